"""What points the judge gives for what was paid."""

from collections.abc import Mapping, Sequence

from loyalty.offers import (
    Offer,
    PointsMultiplier,
    PointsPerItem,
    PointsPerMoney,
    PointsPerReceipt,
    PointsReward,
)
from tests.oracle.judge_arithmetic import MILLION, share_out
from tests.oracle.judge_state import Case, Sold, belongs, holds, sold_lines

ByLine = dict[int, int]


def gives_points(offer: Offer) -> bool:
    """Say whether the offer gives points."""
    return isinstance(offer.gives, PointsReward)


def points_earned(case: Case, paid: Sequence[int], discounted: Sequence[int]) -> dict[str, ByLine]:
    """Return points by offer and line.

    Args:
        paid: what was paid for each line, after discounts and redeemed points.
        discounted: what was left of each line before points were redeemed.
    """
    if not case.account.identified:
        return {}
    office = _Office(case, paid, discounted)
    found = office.by_line()
    found |= office.exclusive(
        {
            offer.offer_id: office.points(offer)
            for offer in office.offers
            if not isinstance(offer.gives, PointsMultiplier)
            and offer.combines.mode != "best_per_line"
        }
    )
    found |= office.exclusive(
        {
            offer.offer_id: office.multiplied(offer, offer.gives, found)
            for offer in office.offers
            if isinstance(offer.gives, PointsMultiplier)
        }
    )
    return {name: by_line for name, by_line in found.items() if any(by_line.values())}


class _Office:
    """The points offers of one receipt."""

    def __init__(self, case: Case, paid: Sequence[int], discounted: Sequence[int]) -> None:
        self.paid = paid
        self.discounted = discounted
        lines = sold_lines(case)
        self.reach: dict[str, list[Sold]] = {
            offer.offer_id: [
                line
                for line in lines
                if belongs(offer.lines, line.sku)
                and "earn" not in line.barred
                and (offer.combines.on_reduced or not line.reduced)
            ]
            for offer in case.bundle.offers
        }
        self.offers = [
            offer
            for offer in sorted(
                case.bundle.offers, key=lambda o: (o.combines.order, -o.priority, o.offer_id)
            )
            if gives_points(offer)
            and self.reach[offer.offer_id]
            and holds(offer.needs, case, lines)
        ]

    def points(self, offer: Offer) -> ByLine:
        """Return what one offer gives by itself."""
        weights, points = self._counted(offer)
        if offer.limits.points_max:
            points = min(points, offer.limits.points_max)
        return self._spread(offer, points, weights)

    def _counted(self, offer: Offer) -> tuple[list[int], int]:
        gives, lines = offer.gives, self.reach[offer.offer_id]
        paid = [self.paid[line.index] for line in lines]
        if isinstance(gives, PointsPerMoney):
            amounts = {
                "paid": paid,
                "discounted": [self.discounted[line.index] for line in lines],
                "gross": [line.gross for line in lines],
            }[gives.basis]
            if gives.counting == "whole_steps":
                return amounts, sum(amounts) // gives.per_minor * gives.points
            return amounts, sum(amounts) * gives.points // gives.per_minor
        if isinstance(gives, PointsPerItem):
            units = [line.units if p else 0 for line, p in zip(lines, paid, strict=True)]
            return units, sum(units) * gives.points
        assert isinstance(gives, PointsPerReceipt), gives
        return paid, gives.points if any(paid) else 0

    def _spread(self, offer: Offer, points: int, weights: Sequence[int]) -> ByLine:
        shares = share_out(points, weights)
        lines = self.reach[offer.offer_id]
        return {line.index: share for line, share in zip(lines, shares, strict=True) if share}

    def multiplied(
        self, offer: Offer, gives: PointsMultiplier, found: Mapping[str, ByLine]
    ) -> ByLine:
        """Return what a multiplier adds to the offers it names."""
        named = [
            sum(found.get(name, {}).get(line.index, 0) for name in gives.of)
            for line in self.reach[offer.offer_id]
        ]
        points = sum(named) * (gives.factor_ppm - MILLION) // MILLION
        if offer.limits.points_max:
            points = min(points, offer.limits.points_max)
        return self._spread(offer, points, named)

    def by_line(self) -> dict[str, ByLine]:
        """Return what groups give that choose line by line; what each line gives is rounded."""
        best: dict[tuple[str, int], tuple[int, str]] = {}
        members = [o for o in self.offers if o.combines.mode == "best_per_line"]
        for offer in sorted(members, key=lambda o: (-o.priority, o.offer_id)):
            lines = self.reach[offer.offer_id]
            for line in lines:
                self.reach[offer.offer_id] = [line]
                points = sum(self.points(offer).values())
                place = (offer.combines.group, line.index)
                if points > best.get(place, (0, ""))[0]:
                    best[place] = (points, offer.offer_id)
            self.reach[offer.offer_id] = lines
        found: dict[str, ByLine] = {}
        for (_, index), (points, name) in best.items():
            found.setdefault(name, {})[index] = points
        return found

    def exclusive(self, found: dict[str, ByLine]) -> dict[str, ByLine]:
        """Return what is left when offers of a group exclude each other."""
        groups = {offer.combines.group for offer in self.offers if offer.combines.group}
        for group in groups:
            members = [
                offer
                for offer in self.offers
                if offer.combines.group == group and offer.offer_id in found
            ]
            if not members:
                continue
            members.sort(key=lambda o: (-o.priority, o.offer_id))
            total = {o.offer_id: sum(found[o.offer_id].values()) for o in members}
            wanted = max(total.values()) if members[0].combines.mode == "best" else None
            winner = next(
                (n for n, points in total.items() if points and wanted in (None, points)), ""
            )
            found = {
                name: by_line
                for name, by_line in found.items()
                if name not in total or name == winner
            }
        return found

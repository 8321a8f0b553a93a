"""Points earned on what was really paid (design: receipt 6)."""

from collections.abc import Sequence
from datetime import date, timedelta

from loyalty.basket import Moment
from loyalty.calculation import EarnedLot
from loyalty.combination import Candidate
from loyalty.money import split
from loyalty.offers import LotTerms, PointsPerItem, PointsPerMoney


def earn(
    candidates: Sequence[Candidate], paid_minor: Sequence[int], moment: Moment
) -> tuple[list[EarnedLot], dict[str, dict[int, int]]]:
    """Return the lots earned and, by offer, the points of each line index.

    Args:
        candidates: points offers that may act, in the order they are to be listed.
        paid_minor: by line index, after discounts and redeemed points.
    """
    lots: list[EarnedLot] = []
    by_offer: dict[str, dict[int, int]] = {}
    for candidate in candidates:
        gives = candidate.offer.gives
        lines = [line for line in candidate.lines if "earn" not in line.product.barred]
        if isinstance(gives, PointsPerMoney):
            weights = [paid_minor[line.index] for line in lines]
            points = sum(weights) * gives.points // gives.per_minor
        elif isinstance(gives, PointsPerItem):
            weights = [line.units if paid_minor[line.index] else 0 for line in lines]
            points = sum(weights) * gives.points
        else:
            continue
        if candidate.offer.points_max:
            points = min(points, candidate.offer.points_max)
        if not points:
            continue
        shares = split(points, weights)
        by_offer[candidate.offer.offer_id] = {
            line.index: share for line, share in zip(lines, shares, strict=True) if share
        }
        lots.append(_lot(candidate.offer.offer_id, points, gives.lot, moment))
    return lots, by_offer


def _lot(offer_id: str, points: int, terms: LotTerms, moment: Moment) -> EarnedLot:
    active = date.fromisoformat(moment.date) + timedelta(days=terms.delay_days)
    ends = (active + timedelta(days=terms.lifetime_days)).isoformat() if terms.lifetime_days else ""
    return EarnedLot(
        offer_id=offer_id,
        points=points,
        name=terms.name,
        active_from=active.isoformat(),
        expires_on=ends,
        restriction=terms.restriction,
    )

"""A return reverses recorded effects; nothing is calculated anew (design: receipt 7).

Amounts of a line are spread evenly over its quantity, by one rule: the first j of n thousandths
carry the j/n-th part. A part is the difference of two such sums, so it depends on nothing but
what came back before and what comes now, and all parts together are the whole. Money and points
are rounded up, what was taken off the price is rounded down: together they make the price.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date as day
from datetime import timedelta

from loyalty.basket import line_order
from loyalty.calculation import (
    CalculatedLine,
    Calculation,
    Counted,
    FrozenTerms,
    RedeemedPart,
)
from loyalty.counters import QUALIFYING
from loyalty.errors import AmountError
from loyalty.limits import QUANTITY_THOUSANDTHS_MAX, TEXT_CHARACTERS_MAX, UNIT_THOUSANDTHS
from loyalty.money import split
from loyalty.outcomes import Outcome
from loyalty.standing import Standing, first, units_of_line, what_stands


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnItem:
    """A line that comes back, or a part of it.

    Attributes:
        quantity: thousandths of the selling unit; 0 = all that is left of the line.
    """

    line_id: str
    quantity: int = 0

    def __post_init__(self) -> None:
        if not 0 < len(self.line_id) <= TEXT_CHARACTERS_MAX:
            raise AmountError(f"line_id must have 1 to {TEXT_CHARACTERS_MAX} characters")
        if not 0 <= self.quantity <= QUANTITY_THOUSANDTHS_MAX:
            raise AmountError(
                f"quantity of line {self.line_id!r}"
                f" must be 0 to {QUANTITY_THOUSANDTHS_MAX} thousandths"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnMade:
    """An earlier return of the same receipt.

    Attributes:
        key: of the return, so that two who know of it count it once.
        items: as in the request; 0 still stands for the whole line.
        charged_back_minor: as in its `ReturnCalculation`.
    """

    key: str
    items: tuple[ReturnItem, ...]
    charged_back_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What came back of a receipt before, in any number of returns.

    Attributes:
        quantities: thousandths by line id.
        charged_back_minor: charged for broken offers so far, less what was given back of it.
    """

    quantities: Mapping[str, int] = field(default_factory=dict)
    charged_back_minor: int = 0


NOTHING_RETURNED = Returned()


@dataclass(frozen=True, slots=True, kw_only=True)
class EarnedBack:
    """Points of one earned lot that a return takes back."""

    offer_id: str
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedLine:
    """What comes back of one line; `gross = discount + redeemed + paid`, as on the receipt.

    Attributes:
        quantity: thousandths.
        paid_minor: what was paid in money for so much of the line.
        money_back_minor: the line's share of the money handed out: what was paid, less what is
            charged back or deducted.
    """

    line_id: str
    quantity: int
    gross_minor: int
    discount_minor: int
    redeemed_minor: int
    redeemed_points: int
    paid_minor: int
    earned_points: int
    money_back_minor: int
    by_weight: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnCalculation:
    """What returning goods of a receipt reverses.

    Attributes:
        date: local day of the return, `YYYY-MM-DD`.
        money_back_minor: to hand out: what was paid, less `charged_back_minor` and
            `deducted_minor`; never negative.
        charged_back_minor: discount on what stays sold that no longer has its condition; negative
            where earlier charges are given back because those goods come back as well.
        deducted_points: earned points the account no longer has, paid with `deducted_minor`.
        points_back: redeemed points that go back to the lots they came from; `expires_on` is the
            end they then have.
        taken_back: earned points taken from the account, by the offer that gave them: those of the
            goods that come back, and those on what stays that have lost their condition.
        counted_back: what is taken off the account's counters.
        completes: nothing of the receipt stays sold.
        available_points: what the account was said to have, where the terms ask for it; None when
            nobody could say: points are taken as if they were there.
    """

    bundle: str
    account_id: int
    date: str
    lines: tuple[ReturnedLine, ...]
    money_back_minor: int
    points_back: tuple[RedeemedPart, ...]
    taken_back: tuple[EarnedBack, ...]
    charged_back_minor: int = 0
    deducted_minor: int = 0
    deducted_points: int = 0
    counted_back: tuple[Counted, ...] = ()
    completes: bool = False
    available_points: int | None = None

    @property
    def points_back_total(self) -> int:
        """Redeemed points given back."""
        return sum(part.points for part in self.points_back)

    @property
    def taken_back_total(self) -> int:
        """Earned points taken back."""
        return sum(part.points for part in self.taken_back)

    @property
    def items(self) -> tuple[ReturnItem, ...]:
        """What comes back, quantities said."""
        return tuple(
            ReturnItem(line_id=line.line_id, quantity=line.quantity) for line in self.lines
        )


def already_returned(original: Calculation, made: Iterable[ReturnMade]) -> Returned:
    """Add up earlier returns of a receipt."""
    sold = {line.line_id: line.quantity for line in original.lines}
    quantities: dict[str, int] = {}
    charged_minor = 0
    for one in made:
        charged_minor += one.charged_back_minor
        for item in one.items:
            quantity = item.quantity or sold.get(item.line_id, 0)
            quantities[item.line_id] = quantities.get(item.line_id, 0) + quantity
    return Returned(quantities=quantities, charged_back_minor=charged_minor)


def calculate_return(
    original: Calculation,
    items: Sequence[ReturnItem],
    already: Returned = NOTHING_RETURNED,
    *,
    date: str,
    available_points: int | None = None,
) -> ReturnCalculation | Outcome:
    """Reverse lines of a recorded calculation, or parts of them, by the terms frozen in it.

    Args:
        items: what comes back; a line named twice comes back with both quantities.
        already: what came back before.
        date: local day of the return, `YYYY-MM-DD`.
        available_points: what could be taken from the account now; None = not known.

    Returns:
        The reversal; or `line_unknown`, `line_already_returned`, `not_whole_pieces` or
        `quantity_not_left`. Returning everything, in any number of parts, reverses exactly
        everything, as far as the account still has the points.
    """
    parts = _parts(original, items, already)
    if isinstance(parts, Outcome):
        return parts
    terms = original.terms
    points_back = tuple(_points_back(original, parts, date))
    before, after = _after(original, already, ()), _after(original, already, parts)
    stood, stands = (_standing(original, state) for state in (before, after))
    earned = _earned(original, parts, date, stood, stands)
    available_minor = sum(part.share(part.line.paid_minor) for part in parts)
    charged_minor = min(_unjustified(stands) - already.charged_back_minor, available_minor)
    available_minor -= charged_minor
    missing, known = _missing(
        terms,
        earned,
        available_points,
        back=sum(part.points for part in points_back if part.lot_id),
    )
    deducted_points = 0
    if terms.returns.earned == "from_refund":
        # What even the refund does not pay for is taken from the account, which then owes it.
        deducted_points = missing = min(missing, _points_worth(available_minor, terms))
    deducted_minor = deducted_points * terms.point_value_minor // terms.point_value_points
    available_minor -= deducted_minor
    assert available_minor >= 0, "a return hands out less than nothing"
    return ReturnCalculation(
        bundle=original.bundle,
        account_id=original.account_id,
        date=date,
        lines=_lines(parts, available_minor),
        money_back_minor=available_minor,
        points_back=points_back,
        taken_back=_less(earned, missing),
        charged_back_minor=charged_minor,
        deducted_minor=deducted_minor,
        deducted_points=deducted_points,
        counted_back=tuple(_counted_back(original, before, after)),
        completes=all(after[line.line_id] == line.quantity for line in original.lines),
        available_points=available_points if known else None,
    )


# What comes back


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of a line: `now` thousandths after the `before` that came back earlier."""

    line: CalculatedLine
    before: int
    now: int

    def share(self, total: int) -> int:
        """Return this part of an amount of the line."""
        whole = self.line.quantity
        return first(total, self.before + self.now, whole) - first(total, self.before, whole)

    def off(self, total: int) -> int:
        """Return this part of what was taken off the line's price."""
        whole = self.line.quantity
        return total * (self.before + self.now) // whole - total * self.before // whole


def _parts(
    original: Calculation, items: Sequence[ReturnItem], already: Returned
) -> list[_Part] | Outcome:
    sold = {line.line_id: line for line in original.lines}
    if not items or any(item.line_id not in sold for item in items):
        return Outcome.LINE_UNKNOWN
    wanted: dict[str, int] = {}
    left: dict[str, int] = {}
    for item in items:
        line = sold[item.line_id]
        left[item.line_id] = line.quantity - already.quantities.get(item.line_id, 0)
        if left[item.line_id] <= 0:
            return Outcome.LINE_ALREADY_RETURNED
    for item in items:
        before = wanted.get(item.line_id, 0)
        # "All that is left" said twice is still all that is left.
        wanted[item.line_id] = (
            before + item.quantity if item.quantity else max(before, left[item.line_id])
        )
        if not sold[item.line_id].by_weight and item.quantity % UNIT_THOUSANDTHS:
            return Outcome.NOT_WHOLE_PIECES
    if any(quantity > left[line_id] for line_id, quantity in wanted.items()):
        return Outcome.QUANTITY_NOT_LEFT
    return [
        _Part(sold[line_id], sold[line_id].quantity - left[line_id], quantity)
        for line_id, quantity in sorted(wanted.items(), key=lambda one: line_order(one[0]))
    ]


def _after(original: Calculation, already: Returned, parts: Iterable[_Part]) -> dict[str, int]:
    """Return what has come back of each line when these parts have."""
    quantities = {
        line.line_id: min(line.quantity, already.quantities.get(line.line_id, 0))
        for line in original.lines
    }
    for part in parts:
        quantities[part.line.line_id] = part.before + part.now
    return quantities


def _standing(original: Calculation, returned: Mapping[str, int]) -> Mapping[str, Standing]:
    """Return what stands of offers with conditions, where the terms charge broken ones back."""
    if original.terms.returns.broken_condition == "keep":
        return {}
    return what_stands(original, returned)


# Money


def _unjustified(standing: Mapping[str, Standing]) -> int:
    """Return the discount on what stays sold that no longer has its condition, in minor units."""
    return sum(one.stays - one.stands for one in standing.values() if not one.of_points)


def _lines(parts: Sequence[_Part], money_back_minor: int) -> tuple[ReturnedLine, ...]:
    """Describe the parts; the money is split by what was paid for each."""
    paid = [part.share(part.line.paid_minor) for part in parts]
    money = split(money_back_minor, paid if any(paid) else [1] * len(paid))
    lines = []
    for part, paid_minor, back_minor in zip(parts, paid, money, strict=True):
        discount_minor = part.off(part.line.discount_minor)
        redeemed_minor = part.off(part.line.redeemed_minor)
        lines.append(
            ReturnedLine(
                line_id=part.line.line_id,
                quantity=part.now,
                gross_minor=discount_minor + redeemed_minor + paid_minor,
                discount_minor=discount_minor,
                redeemed_minor=redeemed_minor,
                redeemed_points=part.share(part.line.redeemed_points),
                paid_minor=paid_minor,
                earned_points=sum(part.share(effect.points) for effect in part.line.effects),
                money_back_minor=back_minor,
                by_weight=part.line.by_weight,
            )
        )
    return tuple(lines)


# Points


def _points_back(
    original: Calculation, parts: Iterable[_Part], date: str
) -> Iterator[RedeemedPart]:
    """Yield the points of each part, the lot that was spent last first.

    What stays redeemed is then what fewer goods would have redeemed: the most special lots.
    """
    by_line: dict[str, list[RedeemedPart]] = {}
    for redeemed in original.redeemed:
        by_line.setdefault(redeemed.line_id, []).append(redeemed)
    for part in parts:
        skipped = first(part.line.redeemed_points, part.before, part.line.quantity)
        wanted = part.share(part.line.redeemed_points)
        for lot in reversed(by_line.get(part.line.line_id, [])):
            points = min(wanted, max(0, lot.points - skipped))
            skipped = max(0, skipped - lot.points)
            wanted -= points
            if points:
                yield RedeemedPart(
                    line_id=lot.line_id,
                    lot_id=lot.lot_id,
                    points=points,
                    expires_on=end_after_return(
                        lot.expires_on, date, original.terms.returns.grace_days
                    ),
                )


def end_after_return(expires_on: str, date: str, grace_days: int) -> str:
    """Return the end of a lot whose points come back: its own, or the grace if it has passed.

    Args:
        expires_on: first local day on which the lot no longer counts; empty = never.
        date: local day of the return; the first of `grace_days`.
    """
    if not expires_on or expires_on > date or not grace_days:
        return expires_on
    return (day.fromisoformat(date) + timedelta(days=grace_days)).isoformat()


def _earned(
    original: Calculation,
    parts: Sequence[_Part],
    date: str,
    stood: Mapping[str, Standing],
    stands: Mapping[str, Standing],
) -> tuple[EarnedBack, ...]:
    """Return the earned points the terms take back, by offer.

    Args:
        stood: what stood of offers before these parts came back, where that was not all.
        stands: what stands now.
    """
    active = set()
    if original.terms.returns.earned == "only_pending":
        active = {lot.offer_id for lot in original.earned if lot.active_from <= date}
    points: dict[str, int] = {}
    for part in parts:
        for effect in part.line.effects:
            if effect.points:
                share = part.share(effect.points)
                points[effect.offer_id] = points.get(effect.offer_id, 0) + share
    for state, sign in ((stood, -1), (stands, 1)):
        for offer_id, one in state.items():
            if one.of_points and one.stands < one.stays:
                broken = sign * (one.stays - one.stands)
                points[offer_id] = points.get(offer_id, 0) + broken
    return tuple(
        EarnedBack(offer_id=offer_id, points=share)
        for offer_id, share in sorted(points.items())
        if share and offer_id not in active
    )


def _missing(
    terms: FrozenTerms, earned: Iterable[EarnedBack], available_points: int | None, *, back: int
) -> tuple[int, bool]:
    """Return the points that are not there, and whether the terms ask for that.

    Args:
        back: points this very return gives back; they are there.
    """
    if terms.returns.earned not in ("within_balance", "from_refund") or available_points is None:
        return 0, False
    return max(0, sum(one.points for one in earned) - available_points - back), True


def _points_worth(minor: int, terms: FrozenTerms) -> int:
    """Return the most points whose value is at most `minor`."""
    return ((minor + 1) * terms.point_value_points - 1) // terms.point_value_minor


def _less(earned: Sequence[EarnedBack], missing: int) -> tuple[EarnedBack, ...]:
    """Take points off, from the last offer on."""
    kept = []
    for one in reversed(earned):
        points = max(0, one.points - missing)
        missing -= one.points - points
        if points:
            kept.append(EarnedBack(offer_id=one.offer_id, points=points))
    return tuple(reversed(kept))


# Counters


def _counted_back(
    original: Calculation, before: Mapping[str, int], after: Mapping[str, int]
) -> Iterator[Counted]:
    """Yield what comes off each counter: unit by unit of its lines, or with the last goods."""
    for one in original.counted:
        gone, going = (_uncounted(original, one, state) for state in (before, after))
        if going > gone:
            yield Counted(counter=one.counter, plus=going - gone, lines=one.lines)


def _uncounted(original: Calculation, one: Counted, returned: Mapping[str, int]) -> int:
    """Return how much is off a counter when so much of each line has come back."""
    if one.counter == QUALIFYING:  # points of one line, in parts as all its amounts
        line = next(line for line in original.lines if line.line_id in one.lines)
        return first(one.plus, returned[line.line_id], line.quantity)
    if not one.lines:
        whole = all(returned[line.line_id] == line.quantity for line in original.lines)
        return one.plus if whole else 0
    counted = frozenset(one.lines)
    lines = [line for line in original.lines if line.line_id in counted]
    units = sum(units_of_line(line, line.quantity) for line in lines) or 1
    return one.plus * sum(units_of_line(line, returned[line.line_id]) for line in lines) // units

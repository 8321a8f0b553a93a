"""A return reverses recorded effects; nothing is calculated anew (design: receipt 7)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from loyalty.calculation import CalculatedLine, Calculation, RedeemedPart
from loyalty.outcomes import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class EarnedBack:
    """Points of one earned lot that a return takes back."""

    offer_id: str
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnCalculation:
    """What returning whole lines of a receipt reverses.

    Attributes:
        lines: the lines returned.
        money_back_minor: what was paid for them in money.
        points_back: redeemed points that go back to the lots they came from.
        taken_back: earned points that are taken back, by the offer that gave them.
    """

    bundle: str
    account_id: int
    lines: tuple[str, ...]
    money_back_minor: int
    points_back: tuple[RedeemedPart, ...]
    taken_back: tuple[EarnedBack, ...]

    @property
    def points_back_total(self) -> int:
        """Redeemed points given back."""
        return sum(part.points for part in self.points_back)

    @property
    def taken_back_total(self) -> int:
        """Earned points taken back."""
        return sum(part.points for part in self.taken_back)


def calculate_return(
    original: Calculation, line_ids: Sequence[str], already_returned: Collection[str] = ()
) -> ReturnCalculation | Outcome:
    """Reverse whole lines of a recorded calculation.

    Returns:
        The reversal; or `line_unknown` / `line_already_returned` when a line cannot be returned.
        Returning all lines, in any number of parts, reverses exactly everything.
    """
    by_id: dict[str, CalculatedLine] = {line.line_id: line for line in original.lines}
    wanted = sorted(set(line_ids))
    if not wanted or any(line_id not in by_id for line_id in wanted):
        return Outcome.LINE_UNKNOWN
    if any(line_id in already_returned for line_id in wanted):
        return Outcome.LINE_ALREADY_RETURNED
    earned: dict[str, int] = {}
    for line_id in wanted:
        for effect in by_id[line_id].effects:
            if effect.points:
                earned[effect.offer_id] = earned.get(effect.offer_id, 0) + effect.points
    return ReturnCalculation(
        bundle=original.bundle,
        account_id=original.account_id,
        lines=tuple(wanted),
        money_back_minor=sum(by_id[line_id].paid_minor for line_id in wanted),
        points_back=tuple(part for part in original.redeemed if part.line_id in wanted),
        taken_back=tuple(
            EarnedBack(offer_id=offer, points=points) for offer, points in sorted(earned.items())
        ),
    )

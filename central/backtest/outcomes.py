"""What became of a receipt, as far as it is counted: calculated now, or as it was printed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from central.backtest.reading import spans_of
from loyalty.bundle import Bundle
from loyalty.calculation import Calculation
from loyalty.limits import UNIT_THOUSANDTHS


class Totals(NamedTuple):
    """Sums over the lines of a receipt."""

    gross_minor: int
    discount_minor: int
    redeemed_minor: int
    redeemed_points: int
    paid_minor: int
    earned_points: int


class OfferEffect(NamedTuple):
    """What one offer did to a receipt: money off, points given, pieces or points handed out."""

    discount_minor: int = 0
    points: int = 0
    handed_out: int = 0


_NO_EFFECT: Final = OfferEffect()


@dataclass(slots=True)
class Outcome:
    """What became of a receipt.

    Attributes:
        effects: by offer id, of the offers that did something.
        lines_at_floor: discounted lines that cannot become any cheaper.
    """

    totals: Totals
    effects: Mapping[str, OfferEffect]
    lines_at_floor: int
    proven: bool

    def differs_from(self, other: "Outcome") -> bool:
        """Say whether money, points or what is handed out is not the same."""
        return self.totals != other.totals or self.effects != other.effects


def outcome_of(calculation: Calculation, bundle: Bundle) -> Outcome:
    """Return the outcome of a calculation."""
    totals = calculation.totals
    return Outcome(
        Totals(
            totals.gross_minor,
            totals.discount_minor,
            totals.redeemed_minor,
            totals.redeemed_points,
            totals.paid_minor,
            totals.earned_points,
        ),
        effects_of(calculation),
        sum(
            line.gross_minor - line.discount_minor
            <= floor_minor(line.sku, line.quantity, line.gross_minor, bundle)
            for line in calculation.lines
            if line.discount_minor
        ),
        calculation.proven,
    )


def effects_of(calculation: Calculation) -> dict[str, OfferEffect]:
    """Return what each offer did to a receipt, by offer id."""
    found: dict[str, OfferEffect] = {}
    for line in calculation.lines:
        for effect in line.effects:
            minor, points, _ = found.get(effect.offer_id, _NO_EFFECT)
            minor += effect.discount_minor
            found[effect.offer_id] = OfferEffect(minor, points + effect.points)
    for given in calculation.hand_outs:
        minor, points, handed_out = found.get(given.offer_id, _NO_EFFECT)
        found[given.offer_id] = OfferEffect(minor, points, handed_out + given.quantity)
    return found


def floor_minor(sku: str, quantity: int, gross_minor: int, bundle: Bundle) -> int:
    """Return the least that discounts leave to pay on a line (`loyalty.candidates.set_scene`)."""
    product = bundle.catalogue.get(sku)
    least = bundle.programme.receipt.line_left_minor_min
    if product is not None and product.floor_minor_per_unit:
        least = max(least, -(-product.floor_minor_per_unit * quantity // UNIT_THOUSANDTHS))
    return min(least, gross_minor)


# As printed


def printed_totals(batch: Any) -> list[Totals]:  # noqa: ANN401 - pyarrow has no types
    """Return the totals of each receipt as they were printed."""
    columns = (batch.column(name).to_pylist() for name in Totals._fields)
    return [Totals(*row) for row in zip(*columns, strict=True)]


def printed_outcomes(
    batch: Any,  # noqa: ANN401 - pyarrow has no types
    bundle: Bundle,
) -> Iterator[Outcome]:
    """Yield what became of each receipt as it was printed."""
    effects = batch.column("effects")
    rows = effects.flatten()
    columns = (rows.field(name).to_pylist() for name in ("offer_id", *OfferEffect._fields))
    flat = [(offer_id, OfferEffect(*effect)) for offer_id, *effect in zip(*columns, strict=True)]
    parts = zip(
        printed_totals(batch),
        spans_of(effects),
        _lines_at_floor(batch, bundle),
        batch.column("proven").to_pylist(),
        strict=True,
    )
    for totals, (first, last), at_floor, proven in parts:
        yield Outcome(totals, dict(flat[first:last]), at_floor, proven)


def _lines_at_floor(
    batch: Any,  # noqa: ANN401 - pyarrow has no types
    bundle: Bundle,
) -> Iterator[int]:
    lines = batch.column("lines")
    rows = lines.flatten()
    names = ("sku", "quantity", "gross_minor", "discount_minor")
    columns = (rows.field(name).to_pylist() for name in names)
    at_floor = [
        off > 0 and gross - off <= floor_minor(sku, quantity, gross, bundle)
        for sku, quantity, gross, off in zip(*columns, strict=True)
    ]
    for first, last in spans_of(lines):
        yield sum(at_floor[first:last])

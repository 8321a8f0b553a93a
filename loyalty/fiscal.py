"""Lines as a fiscal receipt wants them: amount = unit price x pieces, in whole minor units.

Discounts leave a line of three pieces at 29.00, which no unit price makes: it is printed as two
at 9.67 and one at 9.66. The line's own name stays with each part (`source_line_id`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from loyalty.calculation import CalculatedLine, Calculation
from loyalty.limits import UNIT_THOUSANDTHS
from loyalty.money import round_half_up
from loyalty.returns import ReturnCalculation, ReturnedLine

Mode = Literal["discount", "tender"]
"""`discount`: redeemed points lower the prices. `tender`: prices stay, points are a payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FiscalLine:
    """A line to print.

    Attributes:
        line_id: unique on the receipt; of an undivided line, and of the first part, the register's.
        source_line_id: the register's line this is all or a part of.
        quantity: thousandths of the selling unit.
        unit_price_minor: of one unit. Of a weighed line the register's own price, rounded, before
            everything loyalty takes off: there only the amount says what is to be paid.
        amount_minor: of a line sold by piece, unit price x pieces, exactly.
    """

    line_id: str
    source_line_id: str
    quantity: int
    unit_price_minor: int
    amount_minor: int


def fiscal_lines(calculation: Calculation, mode: Mode) -> tuple[FiscalLine, ...]:
    """Return the lines of a receipt; their amounts add up to what is paid.

    In mode `tender` they add up to that and `paid_by_points_minor`.
    """
    return _divided((line, line.paid_minor + _by_points(line, mode)) for line in calculation.lines)


def fiscal_return_lines(returned: ReturnCalculation, mode: Mode) -> tuple[FiscalLine, ...]:
    """Return the lines of a return; their amounts add up to the money handed out.

    In mode `tender` they add up to that and `paid_by_points_minor`.
    """
    return _divided(
        (line, line.money_back_minor + _by_points(line, mode)) for line in returned.lines
    )


def paid_by_points_minor(lines: Iterable[CalculatedLine | ReturnedLine], mode: Mode) -> int:
    """Return what points pay as a kind of payment beside money; nothing in mode `discount`."""
    return sum(_by_points(line, mode) for line in lines)


def _by_points(line: CalculatedLine | ReturnedLine, mode: Mode) -> int:
    return line.redeemed_minor if mode == "tender" else 0


def _divided(
    amounts: Iterable[tuple[CalculatedLine | ReturnedLine, int]],
) -> tuple[FiscalLine, ...]:
    """Divide each line, with its amount, into parts that have one unit price."""
    priced = list(amounts)
    taken = {line.line_id for line, _ in priced}
    return tuple(part for line, amount in priced for part in _parts(line, amount, taken))


def _parts(
    line: CalculatedLine | ReturnedLine, amount_minor: int, taken: set[str]
) -> Iterator[FiscalLine]:
    if line.by_weight:
        yield FiscalLine(
            line_id=line.line_id,
            source_line_id=line.line_id,
            quantity=line.quantity,
            unit_price_minor=round_half_up(line.gross_minor * UNIT_THOUSANDTHS, line.quantity),
            amount_minor=amount_minor,
        )
        return
    pieces = line.quantity // UNIT_THOUSANDTHS
    low, dearer = divmod(amount_minor, pieces)
    line_id = line.line_id
    for price, count in ((low + 1, dearer), (low, pieces - dearer)):
        if count:
            yield FiscalLine(
                line_id=line_id,
                source_line_id=line.line_id,
                quantity=count * UNIT_THOUSANDTHS,
                unit_price_minor=price,
                amount_minor=price * count,
            )
            line_id = _free_name(f"{line.line_id}/2", taken)


def _free_name(name: str, taken: set[str]) -> str:
    """Return the name, made longer until no other line has it."""
    while name in taken:
        name += "'"
    taken.add(name)
    return name

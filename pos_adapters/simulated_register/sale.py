"""A sale as it stands on the register, and what the till last said of exactly that."""

from collections.abc import Container, Iterable, Iterator, Mapping

from pos_adapters.ports import FiscalLine, Receipt, ScannedLine, TillAnswer
from pos_adapters.simulated_register.sessions import PresentCard, PresentCode, Scan, VoidLine

Change = Scan | VoidLine | PresentCard | PresentCode

_PIECE = 1000


class OpenSale:
    """One sale; every change makes the next version.

    Attributes:
        points_were_asked: points may be set aside for it at the till.
        is_foreign: the till has closed this id with other content; it is not ours to cancel.
        totals_shown_minor: what the customer was shown, without repeats.
    """

    def __init__(self, receipt_id: str, moment: str, *, training: bool) -> None:
        self.receipt_id = receipt_id
        self.moment = moment
        self.training = training
        self.version = 0
        self.points_were_asked = False
        self.is_foreign = False
        self.totals_shown_minor: list[int] = []
        self._lines: dict[str, ScannedLine] = {}
        self._codes: dict[str, None] = {}
        self._card = ""
        self._answer: TillAnswer | None = None

    def change(self, step: Change) -> None:
        """Make the step's change.

        Raises:
            KeyError: the line to take out is not there.
        """
        match step:
            case Scan(line):
                self._lines[line.line_id] = line
            case VoidLine(line_id):
                del self._lines[line_id]
            case PresentCode(code):
                self._codes[code] = None
            case PresentCard(card_number):
                self._card = card_number
        self.go_on_from(self.version)

    def go_on_from(self, version: int) -> None:
        """Take the version after the given one; what the till said no longer counts."""
        self.version = version + 1
        self._answer = None

    def receipt(self) -> Receipt:
        """Return the whole receipt for a call."""
        self.version = max(1, self.version)  # a sale that goes to payment with nothing in it
        return Receipt(
            version=self.version,
            moment=self.moment,
            lines=tuple(self._lines.values()),
            codes=tuple(self._codes),
            card=self._card,
            training=self.training,
        )

    def heard(self, answer: TillAnswer) -> None:
        """Keep the till's calculation of the sale as it stands, and show its total."""
        if answer.calculation is None:
            return
        self._answer = answer
        total = totals(answer)["paid_minor"]
        if self.totals_shown_minor[-1:] != [total]:
            self.totals_shown_minor.append(total)

    @property
    def paid_minor(self) -> int | None:
        """What the till calculated for the sale as it stands; None while it has not."""
        return None if self._answer is None else int(totals(self._answer)["paid_minor"])

    @property
    def gross_minor(self) -> int:
        """What the register charges with no loyalty at all."""
        return sum(line.gross_minor for line in self._lines.values())

    @property
    def line_ids(self) -> tuple[str, ...]:
        """The lines in the sale."""
        return tuple(self._lines)

    @property
    def weighed_lines(self) -> frozenset[str]:
        """The lines whose quantity is a weight."""
        return frozenset(line.line_id for line in self._lines.values() if line.by_weight)


def fiscal_faults(
    lines: Iterable[FiscalLine], weighed: Container[str], to_pay_minor: int
) -> Iterator[str]:
    """Yield what a fiscal printer would refuse: prices and sums that do not make the total.

    Args:
        weighed: lines whose price makes no sum.
        to_pay_minor: money and points that pay beside money.
    """
    total_minor = 0
    for line in lines:
        total_minor += line.amount_minor
        pieces, rest = divmod(line.quantity, _PIECE)
        exact = not rest and line.unit_price_minor * pieces == line.amount_minor
        if not exact and line.source_line_id not in weighed:
            yield f"fiscal line {line.line_id}: unit price x pieces is not {line.amount_minor}"
    if total_minor != to_pay_minor:
        yield f"fiscal lines are {total_minor}, to pay is {to_pay_minor}"


def totals(answer: TillAnswer) -> Mapping[str, int]:
    """Return the sums of an answer that has a calculation."""
    assert answer.calculation is not None, "there are no totals without a calculation"
    found: Mapping[str, int] = answer.calculation["totals"]
    return found

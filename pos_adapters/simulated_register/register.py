"""A register that plays sessions at a till as a real one would, and sells whatever happens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal
from uuid import UUID, uuid5

from pos_adapters.errors import DeviceError, TillRefusedError, TillUnreachableError
from pos_adapters.ports import (
    GoodsBack,
    LinesReturned,
    PosClient,
    PrintedReceipt,
    PrintedReturn,
    Receipt,
    ReceiptPrinter,
    Redeem,
    TillAnswer,
)
from pos_adapters.simulated_register.reports import CallMade, Ending, SessionReport, Settlement
from pos_adapters.simulated_register.sale import OpenSale, fiscal_faults, totals
from pos_adapters.simulated_register.sessions import (
    BackToSale,
    CancelSale,
    Complete,
    GoToPayment,
    ReturnLines,
    Step,
)

_NEW_TOTALS_MAX = 2
_CLOSED = ("receipt_closed", "already_recorded_differently")


@dataclass(frozen=True, slots=True)
class _OpenReturn:
    """A return that the till was asked to record and has not confirmed.

    Attributes:
        money_back_minor: as shown to the customer; none where nothing was shown.
    """

    return_id: str
    lines: LinesReturned
    kind: Literal["return", "reversal"]
    money_back_minor: int | None = None

    def shown(self, answer: TillAnswer) -> "_OpenReturn":
        """Return it with the figures an answer shows."""
        found = answer.calculation or {}
        return replace(self, money_back_minor=found.get("money_back_minor"))


class _Story:
    """What happens in one session, while it happens."""

    def __init__(self) -> None:
        self.calls: list[CallMade] = []
        self.faults: list[str] = []
        self.is_recorded = False
        self.printed: PrintedReceipt | PrintedReturn | None = None


def _do_nothing(_: object) -> None:
    return


class SimulatedRegister:
    """Plays sessions one after the other; one register, one thread.

    Every call carries the whole receipt, so a till that was away catches up with the next one. A
    call without an answer is repeated unchanged. While the till stays silent, scans are not sent
    and other calls are tried once, so that the queue does not wait again and again. When the till
    does not answer the completion, or says `journal_unavailable`, the sale goes on without loyalty
    at the register's own prices; it is settled as soon as the till answers: cancelled, or taken
    back whole if it had been recorded after all.

    Attributes:
        settlements: receipts and returns settled later, in order.
    """

    def __init__(
        self,
        till: str,
        client: PosClient,
        printer: ReceiptPrinter,
        *,
        tries_max: int = 3,
        wait: Callable[[int], None] = _do_nothing,
        before_call: Callable[[str], None] = _do_nothing,
    ) -> None:
        """Connects nothing by itself.

        Args:
            till: the register's name on what it prints.
            tries_max: how often a call is sent at most.
            wait: called with the number of tries so far before the same call is sent again.
            before_call: called with `update`, `reserve`, `complete`, `cancel`, `return_preview` or
                `return_confirm` before the first try of each call, so that a drill can break
                something there.
        """
        self._till = till
        self._client = client
        self._printer = printer
        self._tries_max = tries_max
        self._wait = wait
        self._before_call = before_call
        self._till_is_silent = False
        self._unsettled: dict[str, OpenSale | _OpenReturn] = {}
        self.settlements: list[Settlement] = []

    def play(
        self, subject_id: str, steps: Sequence[Step], *, moment: str, training: bool = False
    ) -> SessionReport:
        """Play the steps of one sale or return.

        An error is reported, not raised: the next customer is already waiting.

        Args:
            subject_id: UUID of the receipt, or of the return.
            moment: `YYYY-MM-DDTHH:MM:SS`.
        """
        story = _Story()
        sale = OpenSale(subject_id, moment, training=training)
        try:
            self.settle()
            ending = self._play(sale, steps, story)
        except Exception as error:  # noqa: BLE001 - reported; one session must not stop the following ones
            story.faults.append(f"{type(error).__name__}: {error}")
            ending = Ending.FAILED
            if sale.version and not story.is_recorded:
                self._settle_later(sale)
        return SessionReport(
            subject_id=subject_id,
            ending=ending,
            printed=story.printed,
            calls=tuple(story.calls),
            totals_shown_minor=tuple(sale.totals_shown_minor),
            faults=tuple(story.faults),
        )

    def settle(self) -> int:
        """Settle what the till has not answered: each tried once, until the till does not answer.

        Returns:
            How many are still open.
        """
        for subject in list(self._unsettled.values()):
            try:
                if isinstance(subject, OpenSale):
                    self._settle_sale(subject)
                else:
                    self._settle_return(subject)
            except TillUnreachableError:
                break
            except TillRefusedError:
                pass  # it stays open; the sale's own calls report why the till refuses
            self._till_is_silent = False
        return len(self._unsettled)

    # A sale

    def _play(self, sale: OpenSale, steps: Sequence[Step], story: _Story) -> Ending:
        for step in steps:
            match step:
                case GoToPayment(redeem):
                    self._go_to_payment(sale, redeem, story)
                case BackToSale():
                    pass  # the till hears of it with the next change
                case Complete():
                    return self._complete(sale, story)
                case CancelSale():
                    return self._cancel(sale, story)
                case ReturnLines(original, lines_back):
                    lines = LinesReturned(
                        original_receipt_id=original, lines=lines_back, moment=sale.moment
                    )
                    return self._take_back(sale.receipt_id, lines, story)
                case _:
                    sale.change(step)
                    if not self._till_is_silent:
                        self._update(sale, story)
        return Ending.LEFT_OPEN

    def _update(self, sale: OpenSale, story: _Story) -> None:
        self._tell("update", sale, partial(self._client.update, sale.receipt_id), story)

    def _go_to_payment(self, sale: OpenSale, redeem: Redeem, story: _Story) -> None:
        # Training sets nothing aside; zero is asked for to give back what an earlier payment took.
        if sale.training or (redeem == 0 and not sale.points_were_asked):
            self._update(sale, story)
            return
        sale.points_were_asked = True
        send = partial(self._client.reserve, sale.receipt_id, redeem=redeem)
        self._tell("reserve", sale, send, story)

    def _complete(self, sale: OpenSale, story: _Story) -> Ending:
        if sale.paid_minor is None:
            self._update(sale, story)
        for _ in range(1 + _NEW_TOTALS_MAX):
            if (paid_minor := sale.paid_minor) is None:
                break
            send = partial(self._client.complete, sale.receipt_id, paid_minor=paid_minor)
            answer = self._tell("complete", sale, send, story)
            if answer is not None and answer.outcome == "recorded":
                self._print_recorded(sale, answer, paid_minor, story)
                return Ending.RECORDED
            if answer is None or answer.outcome not in ("stale_calculation", "stale_version"):
                break
        if sale.training:
            return Ending.TRAINING
        self._sell_without_loyalty(sale, story)
        return Ending.WITHOUT_LOYALTY

    def _cancel(self, sale: OpenSale, story: _Story) -> Ending:
        answer = self._call("cancel", partial(self._client.cancel, sale.receipt_id), story)
        if answer is None or answer.outcome == "journal_unavailable":
            self._settle_later(sale)
        elif answer.outcome != "cancelled":
            story.faults.append(f"cancelling an open sale brought {answer.outcome}")
        return Ending.CANCELLED

    def _print_recorded(
        self, sale: OpenSale, answer: TillAnswer, paid_minor: int, story: _Story
    ) -> None:
        story.is_recorded = True
        sums = totals(answer)
        if sums["paid_minor"] != paid_minor:
            story.faults.append(f"completed with {paid_minor}, recorded {sums['paid_minor']}")
        if sums["gross_minor"] != sale.gross_minor:
            story.faults.append(f"sold for {sale.gross_minor}, recorded {sums['gross_minor']}")
        to_pay_minor = paid_minor + answer.paid_by_points_minor
        story.faults += fiscal_faults(answer.fiscal_lines, sale.weighed_lines, to_pay_minor)
        document = PrintedReceipt(
            kind="sale",
            receipt_id=sale.receipt_id,
            till=self._till,
            version=answer.version,
            moment=sale.moment,
            gross_minor=sums["gross_minor"],
            discount_minor=sums["discount_minor"],
            redeemed_minor=sums["redeemed_minor"],
            paid_minor=sums["paid_minor"],
            redeemed_points=sums["redeemed_points"],
            earned_points=sums["earned_points"],
            link=answer.link,
            receipt_code=answer.receipt_code,
        )
        self._print(document, story)

    def _sell_without_loyalty(self, sale: OpenSale, story: _Story) -> None:
        document = PrintedReceipt(
            kind="without_loyalty",
            receipt_id=sale.receipt_id,
            till=self._till,
            version=sale.version,
            moment=sale.moment,
            gross_minor=sale.gross_minor,
            paid_minor=sale.gross_minor,
        )
        self._settle_later(sale)
        self._print(document, story)

    # A return

    def _take_back(self, return_id: str, lines: LinesReturned, story: _Story) -> Ending:
        shown = self._call(
            "return_preview",
            partial(self._client.return_lines, return_id, lines, confirm=False),
            story,
        )
        if shown is None:
            return Ending.RETURN_POSTPONED
        # A receipt unknown here is taken back as well: the centre works out what it was.
        if shown.outcome not in ("previewed", "receipt_unknown", "recorded"):
            return Ending.RETURN_REFUSED
        subject = _OpenReturn(return_id, lines, "return").shown(shown)
        # What was recorded before answers as it did then, whatever is asked for now.
        done = shown if shown.outcome == "recorded" else self._confirm(subject, story)
        for _ in range(_NEW_TOTALS_MAX):
            if done is None or done.outcome != "stale_calculation":
                break
            # Goods came back elsewhere meanwhile: the customer sees the new figures.
            shown, subject = done, subject.shown(done)
            done = self._confirm(subject, story)
        if done is None or done.outcome == "journal_unavailable":
            self._unsettled[return_id] = subject
            return Ending.RETURN_POSTPONED
        if done.outcome != "recorded":
            return Ending.RETURN_REFUSED
        if shown.calculation is not None and done.calculation != shown.calculation:
            story.faults.append("the return was recorded with other figures than were shown")
        self._print(self._printed_return(subject, done), story)
        return Ending.RETURNED

    def _confirm(self, subject: _OpenReturn, story: _Story) -> TillAnswer | None:
        return self._call("return_confirm", partial(self._send_return, subject), story)

    def _send_return(self, subject: _OpenReturn) -> TillAnswer:
        return self._client.return_lines(
            subject.return_id,
            subject.lines,
            confirm=True,
            money_back_minor=subject.money_back_minor,
        )

    def _printed_return(self, subject: _OpenReturn, answer: TillAnswer) -> PrintedReturn:
        found = answer.calculation or {}
        lines = tuple(
            GoodsBack(line["line_id"], line["quantity"]) for line in found.get("lines", ())
        )
        return PrintedReturn(
            kind=subject.kind,
            return_id=subject.return_id,
            original_receipt_id=subject.lines.original_receipt_id,
            till=self._till,
            moment=subject.lines.moment,
            lines=lines or subject.lines.lines,
            money_back_minor=0 if subject.kind == "reversal" else found.get("money_back_minor", 0),
            points_back=sum(part["points"] for part in found.get("points_back", ())),
            points_taken_back=sum(part["points"] for part in found.get("taken_back", ())),
            pending=answer.pending,
        )

    # What is left to settle with the till

    def _settle_later(self, sale: OpenSale) -> None:
        if not sale.is_foreign and not sale.training:
            self._unsettled[sale.receipt_id] = sale

    def _settle_sale(self, sale: OpenSale) -> None:
        """Cancel the sale; take it back if the till had recorded it after all."""
        answer = self._client.cancel(sale.receipt_id)
        if answer.outcome == "receipt_closed":
            # The id follows from the receipt's, so that a repeat is the same return.
            return_id = str(uuid5(UUID(sale.receipt_id), "reversal"))
            lines = LinesReturned(
                original_receipt_id=sale.receipt_id,
                lines=tuple(map(GoodsBack, sale.line_ids)),
                moment=sale.moment,
            )
            self._settle_return(_OpenReturn(return_id, lines, "reversal"))
        elif answer.outcome != "journal_unavailable":
            done = "released" if answer.outcome == "cancelled" else answer.outcome
            self._settled(sale.receipt_id, done)

    def _settle_return(self, subject: _OpenReturn) -> None:
        answer = self._send_return(subject)
        if answer.outcome == "stale_calculation":
            subject = self._unsettled[subject.return_id] = subject.shown(answer)
            answer = self._send_return(subject)
        if answer.outcome == "journal_unavailable":
            return
        outcome = answer.outcome
        if outcome == "recorded":
            outcome = "reversed" if subject.kind == "reversal" else "returned"
            try:
                self._printer.print_document(self._printed_return(subject, answer))
            except DeviceError as error:
                outcome = f"{outcome}, not printed: {error}"
        is_reversal = subject.kind == "reversal"
        self._settled(
            subject.lines.original_receipt_id if is_reversal else subject.return_id, outcome
        )

    def _settled(self, subject_id: str, outcome: str) -> None:
        del self._unsettled[subject_id]
        self.settlements.append(Settlement(subject_id=subject_id, outcome=outcome))

    # Calling and printing

    def _tell(
        self, name: str, sale: OpenSale, send: Callable[[Receipt], TillAnswer], story: _Story
    ) -> TillAnswer | None:
        """Send the sale as it stands; as a later version if the till knows this one otherwise."""
        answer = self._call(name, partial(send, sale.receipt()), story)
        if answer is not None and answer.outcome == "stale_version":
            sale.go_on_from(answer.version)
            answer = self._call(name, partial(send, sale.receipt()), story)
        if answer is None:
            return None
        if answer.outcome in _CLOSED:
            sale.is_foreign = True
            story.faults.append(f"{name} of an open sale brought {answer.outcome}")
        sale.heard(answer)
        return answer

    def _call(self, name: str, send: Callable[[], TillAnswer], story: _Story) -> TillAnswer | None:
        """Send a call until it is answered, refused for good, or tried often enough (None)."""
        self._before_call(name)
        tries_max = 1 if self._till_is_silent else self._tries_max
        outcome, tries = "", 0
        while tries < tries_max:
            if tries:
                self._wait(tries)
            tries += 1
            try:
                answer = send()
            except TillUnreachableError:
                outcome, self._till_is_silent = "unreachable", True
            except TillRefusedError as error:
                outcome = error.code
                if error.code != "journal_unavailable":
                    story.faults.append(f"{name} refused: {error}")
                if not error.is_transient:
                    break
            else:
                self._till_is_silent = False
                story.calls.append(CallMade(name, answer.outcome, tries))
                return answer
        story.calls.append(CallMade(name, outcome, tries))
        return None

    def _print(self, document: PrintedReceipt | PrintedReturn, story: _Story) -> None:
        try:
            self._printer.print_document(document)
        except DeviceError as error:
            story.faults.append(f"not printed: {error}")
        else:
            story.printed = document

"""THE MAIN PATH of the till: basket in, calculation out; reserve; complete durably; or cancel.

Every method that may want to hear from the centre or a sibling is a generator: it yields an `Ask`
or `AskSibling`, is sent the answer or None when none came in time, and goes on with what it knows.
There is no offline mode: one path, with or without an answer (design: till 1 and 2).
The simulator drives the very same generators.
"""

from collections import OrderedDict
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec

from agent.errors import JournalUnavailableError
from agent.journal.receipts import ReceiptRow
from agent.journal.rights import spend_right
from agent.neighbours.heads import ask_for_head
from agent.neighbours.protecting import protect_last
from agent.till_service.allowances import Allowances
from agent.till_service.cancelling import cancel_reserved
from agent.till_service.case import Case
from agent.till_service.identify import Person, identify
from agent.till_service.messages import (
    CashierMessage,
    CompleteRequest,
    CustomerView,
    ReceiptAnswer,
    ReceiptRequest,
    ReserveRequest,
)
from agent.till_service.printed_form import calculation_bytes
from agent.till_service.receipt_codes import receipt_code
from agent.till_service.reserving import Reserving
from agent.till_service.till import Till
from loyalty.account import NO_REDEMPTION, NO_RIGHT, Allowance, RedeemRequest, SpendRight
from loyalty.basket import Basket, Moment
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.compilation import Rules
from loyalty.fiscal import fiscal_lines, paid_by_points_minor
from loyalty.outcomes import Outcome
from loyalty.wording import say_outcome, say_reason
from sync.cycle import Ask
from sync.messages import Message
from sync.neighbours import AskSibling
from sync.records import CalculationInputs, SaleRecord

Steps = Generator[Ask | AskSibling, Message | None, ReceiptAnswer]

_OPEN_RECEIPTS_MAX = 200
_compared = msgspec.json.Encoder(order="deterministic")


@dataclass(slots=True)
class OpenReceipt:
    """What is kept of a receipt between calls; losing it costs only a question to the centre.

    Attributes:
        content: canonical bytes of the latest request,
            to tell a repeat from a change under the same version.
        rules: the bundle active when the receipt was first totalled; it keeps it
            (design: sync 4.4).
    """

    version: int
    content: bytes
    rules: Rules
    person: Person


class TillService:
    """Receipts of one till."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._reserving = Reserving(till)
        self._allowances = Allowances(till, self._plainly)
        self._open: OrderedDict[str, OpenReceipt] = OrderedDict()

    def update(self, receipt_id: str, request: ReceiptRequest) -> Steps:
        """Calculate a receipt, whatever version it is at; nothing is durable yet."""
        case = yield from self._resolve(receipt_id, request)
        if isinstance(case, ReceiptAnswer):
            return case
        return self._answer(case, Outcome.CALCULATED, *self._calculated(case))

    def reserve(self, receipt_id: str, request: ReserveRequest) -> Steps:
        """Set points aside for a receipt, durably; less than asked when less can be had."""
        plain = ReceiptRequest(
            **{name: getattr(request, name) for name in ReceiptRequest.__struct_fields__}
        )
        case = yield from self._resolve(receipt_id, plain)
        if isinstance(case, ReceiptAnswer):
            return case
        if not case.person.identified:
            return self._answer(case, Outcome.NOT_IDENTIFIED, *self._calculated(case))
        if request.training:
            return self._answer(case, Outcome.CALCULATED, *self._calculated(case))
        most = self._calculate(
            self._inputs(case, request.redeem, NO_RIGHT, self._allowances.now(case)), case.rules
        ).redeemable_points_max
        wanted = min(
            most,
            case.person.points if request.redeem.as_many_as_possible else request.redeem.points,
        )
        try:
            aside = yield from self._reserving.set_aside(case, wanted)
        except JournalUnavailableError:
            return self._answer(case, Outcome.JOURNAL_UNAVAILABLE, *self._calculated(case))
        if aside is None:
            return self._plain(receipt_id, Outcome.RECEIPT_CLOSED, request.version)
        taken, held_elsewhere = aside.points, aside.held_elsewhere_points
        outcome = Outcome.RESERVED
        if taken < wanted:
            outcome = Outcome.POINTS_HELD_ELSEWHERE if held_elsewhere else Outcome.RIGHTS_EXHAUSTED
        if taken and outcome != Outcome.RESERVED:
            # A part could be had: it is reserved, and the cashier is told why it is not all.
            note = self._message(outcome, {"points": taken, "held_points": held_elsewhere})
            return self._answer(case, Outcome.RESERVED, *self._calculated(case), notes=(note,))
        return self._answer(case, outcome, *self._calculated(case))

    def complete(self, receipt_id: str, request: CompleteRequest) -> Steps:
        """Record the receipt; on `recorded` it is on the disk and may be printed."""
        content = self._content(request)
        row = self._till.journal.receipts.find(receipt_id)
        if row is not None and row.state == "recorded":
            return self._repeated(row, content)
        journal = self._till.journal
        if journal.rights.reserved(receipt_id) or journal.counter_rights.reserved(receipt_id):
            yield from ask_for_head(self._till)
        plain = ReceiptRequest(
            **{name: getattr(request, name) for name in ReceiptRequest.__struct_fields__}
        )
        case = yield from self._resolve(receipt_id, plain)
        if isinstance(case, ReceiptAnswer):
            return case
        calculation, inputs = self._calculated(case)
        if calculation.totals.paid_minor != request.paid_minor:
            return self._answer(
                case, Outcome.STALE_CALCULATION, calculation, inputs, field="paid_minor"
            )
        if request.training:
            return self._answer(case, Outcome.CALCULATED, calculation, inputs)
        try:
            answer = self._record(case, content, calculation, inputs)
        except JournalUnavailableError:
            return self._answer(case, Outcome.JOURNAL_UNAVAILABLE, calculation, inputs)
        self._open.pop(receipt_id, None)
        self._allowances.forget(receipt_id)
        if calculation.redeemed and not self._till.link_up:
            with suppress(JournalUnavailableError):  # the receipt is on the disk, whatever follows
                yield from protect_last(self._till)
        return answer

    def cancel(self, receipt_id: str) -> ReceiptAnswer:
        """Give a receipt up; what was set aside is free again, durably."""
        known = self._open.pop(receipt_id, None)
        self._allowances.forget(receipt_id)
        row = self._till.journal.receipts.find(receipt_id)
        if row is not None and row.state != "reserved":
            closed = Outcome.CANCELLED if row.state == "cancelled" else Outcome.RECEIPT_CLOSED
            return self._plain(receipt_id, closed, row.version)
        if row is None:
            # Durable as well: a completion that comes late finds the receipt closed.
            row = _untouched(receipt_id, version=known.version if known else 0)
        try:
            cancel_reserved(self._till, row, why="cancelled at the till")
        except JournalUnavailableError:
            return self._plain(receipt_id, Outcome.JOURNAL_UNAVAILABLE, row.version)
        return self._plain(receipt_id, Outcome.CANCELLED, row.version)

    # Resolving a call

    def _resolve(
        self, receipt_id: str, request: ReceiptRequest
    ) -> Generator[Ask, Message | None, Case | ReceiptAnswer]:
        row = self._till.journal.receipts.find(receipt_id)
        if row is not None and row.state != "reserved":
            return self._plain(receipt_id, Outcome.RECEIPT_CLOSED, row.version)
        known = self._open.get(receipt_id)
        content = self._content(request)
        latest = max(known.version if known else 0, row.version if row else 0)
        if request.version < latest:
            return self._plain(receipt_id, Outcome.STALE_VERSION, latest, field="version")
        if known and known.version == request.version and known.content != content:
            field = _first_difference(known.content, content)
            return self._plain(receipt_id, Outcome.STALE_VERSION, latest, field=field)
        card = self._till.card_hash(request.card)
        if known is not None and known.person.card == card:
            person = known.person.refreshed(self._till)
        else:
            person = yield from identify(self._till, card)
        rules = known.rules if known else self._till.books.active
        self._open[receipt_id] = OpenReceipt(request.version, content, rules, person)
        self._open.move_to_end(receipt_id)
        while len(self._open) > _OPEN_RECEIPTS_MAX:
            self._open.popitem(last=False)
        uncertainty_s = self._till.clock.uncertainty_s()
        case = Case(receipt_id, request, content, person, rules, row, uncertainty_s)
        yield from self._allowances.prepare(case)
        row = self._till.journal.receipts.find(receipt_id)
        if row is not None and row.state != "reserved":
            return self._plain(receipt_id, Outcome.RECEIPT_CLOSED, row.version)
        return replace(case, row=row)

    def _content(self, request: ReceiptRequest) -> bytes:
        """One form of a request to compare by, the card number replaced by its keyed hash."""
        card = self._till.card_hash(request.card).hex()
        return _compared.encode(msgspec.structs.replace(request, card=card))

    # Calculating

    def _calculated(self, case: Case) -> tuple[Calculation, CalculationInputs]:
        reserved = self._till.journal.rights.reserved(case.receipt_id)
        row = self._till.journal.receipts.find(case.receipt_id)
        right = NO_RIGHT
        if row is not None and row.account_id == case.person.account.account_id:
            right = spend_right(reserved)
        request = RedeemRequest(points=right.points)
        calculation, allowance = self._allowances.total(
            case,
            lambda allowance: self._calculate(
                self._inputs(case, request, right, allowance), case.rules
            ),
        )
        return calculation, self._inputs(case, request, right, allowance)

    def _plainly(self, case: Case, allowance: Allowance) -> Calculation:
        inputs = self._inputs(case, NO_REDEMPTION, NO_RIGHT, allowance)
        return self._calculate(inputs, case.rules)

    def _inputs(
        self, case: Case, request: RedeemRequest, right: SpendRight, allowance: Allowance
    ) -> CalculationInputs:
        return CalculationInputs(
            bundle=case.rules.bundle_hash,
            basket=Basket(
                lines=case.request.lines, codes=case.request.codes, tender=case.request.tender
            ),
            moment=Moment(local=case.request.moment, uncertainty_s=case.uncertainty_s),
            place=self._till.identity.place,
            account=case.person.account,
            request=request,
            right=right,
            allowance=allowance,
        )

    @staticmethod
    def _calculate(inputs: CalculationInputs, rules: Rules) -> Calculation:
        return calculate(
            inputs.basket,
            rules,
            moment=inputs.moment,
            place=inputs.place,
            account=inputs.account,
            request=inputs.request,
            right=inputs.right,
            allowance=inputs.allowance,
        )

    # Recording

    def _record(
        self, case: Case, content: bytes, calculation: Calculation, inputs: CalculationInputs
    ) -> ReceiptAnswer:
        till, at_ms = self._till, self._till.clock.now_ms()
        answer = self._answer(case, Outcome.RECORDED, calculation, inputs)
        printed = calculation_bytes(calculation)
        with till.journal.transaction():
            settled = till.journal.rights.settle(case.receipt_id, calculation.redeemed)
            sources = till.journal.transfers.named(settled)
            drawn = self._allowances.spend(case.receipt_id, calculation)
            record = SaleRecord(
                at_ms=at_ms,
                key=case.receipt_id,
                version=case.request.version,
                inputs=inputs,
                calculation=msgspec.Raw(printed),
                card=case.person.card.hex(),
                sources=sources,
                link_up=till.link_up,
                clock_q=till.clock.quality(),
                drawn=drawn,
            )
            seq = till.journal.stream.append(record)
            code = receipt_code(till, record, calculation, seq)
            answer = msgspec.structs.replace(answer, receipt_code=code)
            till.journal.own_counts.add_sale(
                case.receipt_id,
                calculation,
                card=case.person.card,
                incarnation=till.journal.stream.head().incarnation,
                seq=seq,
            )
            till.journal.receipts.put(
                ReceiptRow(
                    receipt_id=case.receipt_id,
                    state="recorded",
                    version=case.request.version,
                    account_id=case.person.account.account_id,
                    authorisation_asked=case.row is not None and case.row.authorisation_asked,
                    request=content,
                    answer=msgspec.json.encode(answer),
                    calculation=printed,
                    updated_at_ms=at_ms,
                )
            )
        return answer

    def _repeated(self, row: ReceiptRow, content: bytes) -> ReceiptAnswer:
        field = _first_difference(row.request, content)
        if not field:
            return msgspec.json.decode(row.answer, type=ReceiptAnswer)
        return self._plain(
            row.receipt_id, Outcome.ALREADY_RECORDED_DIFFERENTLY, row.version, field=field
        )

    # Answering

    def _answer(
        self,
        case: Case,
        outcome: Outcome,
        calculation: Calculation,
        inputs: CalculationInputs,
        *,
        field: str = "",
        notes: tuple[CashierMessage, ...] = (),
    ) -> ReceiptAnswer:
        language = self._till.settings.language
        hints = tuple(
            CashierMessage(
                hint.code, say_reason(hint, case.title_of(hint.offer_id, language), language)
            )
            for hint in calculation.hints
        )
        quiet = outcome in (Outcome.CALCULATED, Outcome.RESERVED, Outcome.RECORDED)
        said = () if quiet else (self._message(outcome, {"field": field}),)
        person = case.person
        return ReceiptAnswer(
            outcome=outcome,
            receipt_id=case.receipt_id,
            version=case.request.version,
            link="up" if self._till.link_up else "down",
            calculation=msgspec.Raw(msgspec.json.encode(calculation)),
            fiscal_lines=fiscal_lines(calculation, calculation.terms.mode),
            paid_by_points_minor=paid_by_points_minor(calculation.lines, calculation.terms.mode),
            reserved_points=inputs.right.points,
            customer=CustomerView(
                known=bool(person.account.account_id),
                masked_name=person.masked_name,
                tier=person.account.tier,
                points=person.points,
                blocked=person.blocked,
            )
            if person.identified
            else None,
            field=field,
            messages=(*said, *notes, *hints),
        )

    def _plain(
        self, receipt_id: str, outcome: Outcome, version: int, *, field: str = ""
    ) -> ReceiptAnswer:
        quiet = outcome == Outcome.CANCELLED
        return ReceiptAnswer(
            outcome=outcome,
            receipt_id=receipt_id,
            version=version,
            link="up" if self._till.link_up else "down",
            field=field,
            messages=() if quiet else (self._message(outcome, {"field": field}),),
        )

    def _message(self, outcome: Outcome, figures: dict[str, int | str]) -> CashierMessage:
        return CashierMessage(outcome, say_outcome(outcome, figures, self._till.settings.language))


def _untouched(receipt_id: str, *, version: int) -> ReceiptRow:
    """Return the row of a receipt nothing was ever set aside for."""
    return ReceiptRow(
        receipt_id=receipt_id,
        state="reserved",
        version=version,
        account_id=0,
        authorisation_asked=False,
        request=b"",
        answer=b"",
        calculation=b"",
        updated_at_ms=0,
    )


def _first_difference(ours: bytes, theirs: bytes) -> str:
    """Return the name of the first field in which two requests differ; empty when none does.

    A field that only one of them has came with another version of the agent and says nothing.
    """
    if ours == theirs:
        return ""
    a, b = msgspec.json.decode(ours), msgspec.json.decode(theirs)
    return next((name for name in sorted(a.keys() & b.keys()) if a[name] != b[name]), "")

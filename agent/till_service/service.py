"""THE MAIN PATH of the till: basket in, calculation out; reserve; complete durably; or cancel.

Every method that may want to hear from the centre or a sibling is a generator: it yields an `Ask`
or `AskSibling`, is sent the answer or None when none came in time, and goes on with what it knows.
There is no offline mode: one path, with or without an answer (design: till 1 and 2).
The simulator drives the very same generators.
"""

from collections import OrderedDict
from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace

import msgspec

from agent.errors import JournalUnavailableError
from agent.journal.noted_sales import NotedSale
from agent.journal.receipts import ReceiptRow
from agent.journal.rights import spend_right
from agent.neighbours.heads import ask_for_head
from agent.neighbours.patience import Patience
from agent.neighbours.protecting import protect_last
from agent.reference_data.rule_books import EMPTY_RULES
from agent.till_service.allowances import Allowances, shared_counts
from agent.till_service.cancelling import cancel_reserved
from agent.till_service.case import Case, OpenReceipt
from agent.till_service.identify import Person, identify
from agent.till_service.messages import (
    CashierMessage,
    CompleteRequest,
    CustomerView,
    ReceiptAnswer,
    ReceiptRequest,
    ReserveRequest,
)
from agent.till_service.presenting import Presented, present
from agent.till_service.receipt_codes import receipt_code
from agent.till_service.reserving import Reserving
from agent.till_service.till import Till
from agent.till_service.worked_out import WorkedOut
from loyalty.account import NO_REDEMPTION, NO_RIGHT, Allowance, RedeemRequest, SpendRight
from loyalty.basket import Basket, Moment
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.compilation import Rules
from loyalty.outcomes import Outcome
from loyalty.wording import say_outcome, say_reason
from sync.customer_code import step_of
from sync.cycle import Ask
from sync.messages import Message
from sync.neighbours import AskSibling
from sync.records import CalculationInputs, CounterDrawn, SaleRecord, Source, encode_record

Steps = Generator[Ask | AskSibling, Message | None, ReceiptAnswer]

_OPEN_RECEIPTS_MAX = 200
_compared = msgspec.json.Encoder(order="deterministic")


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
        is_bare = case.rules is EMPTY_RULES
        notes = (self._message(Outcome.RULES_MISSING, {}),) if is_bare else ()
        return self._answer(case, Outcome.CALCULATED, self._calculated(case), notes=notes)

    def reserve(self, receipt_id: str, request: ReserveRequest) -> Steps:
        """Set points aside for a receipt, durably; less than asked when less can be had."""
        plain = ReceiptRequest(
            **{name: getattr(request, name) for name in ReceiptRequest.__struct_fields__}
        )
        case = yield from self._resolve(receipt_id, plain)
        if isinstance(case, ReceiptAnswer):
            return case
        if not case.person.identified:
            return self._answer(case, Outcome.NOT_IDENTIFIED, self._calculated(case))
        if request.training:
            return self._answer(case, Outcome.CALCULATED, self._calculated(case))
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
            return self._answer(case, Outcome.JOURNAL_UNAVAILABLE, self._calculated(case))
        if aside is None:
            return self._plain(receipt_id, Outcome.RECEIPT_CLOSED, request.version)
        taken, held_elsewhere = aside.points, aside.held_elsewhere_points
        outcome = Outcome.RESERVED
        if taken < wanted:
            outcome = _why_not_all(case.person, taken, held_elsewhere)
        if taken and outcome != Outcome.RESERVED:
            # A part could be had: it is reserved, and the cashier is told why it is not all.
            figures: dict[str, int | str] = {
                "points": taken,
                "held_points": held_elsewhere,
                "asked_points": wanted,
                "available_points": case.person.points,
            }
            note = self._message(outcome, figures)
            return self._answer(case, Outcome.RESERVED, self._calculated(case), notes=(note,))
        return self._answer(case, outcome, self._calculated(case))

    def complete(self, receipt_id: str, request: CompleteRequest) -> Steps:
        """Record the receipt; on `recorded` it is on the disk and may be printed."""
        content = self._content(request)
        row = self._till.journal.receipt(receipt_id)
        if row is not None and row.state == "recorded":
            return self._repeated(row, content)
        journal, patience = self._till.journal, Patience(self._till.system)
        if journal.rights.reserved(receipt_id) or journal.counter_rights.reserved(receipt_id):
            yield from ask_for_head(self._till, patience)
        plain = ReceiptRequest(
            **{name: getattr(request, name) for name in ReceiptRequest.__struct_fields__}
        )
        case = yield from self._resolve(receipt_id, plain)
        if isinstance(case, ReceiptAnswer):
            return case
        worked_out = self._calculated(case)
        calculation = worked_out.calculation
        if calculation.totals.paid_minor != request.paid_minor:
            return self._answer(case, Outcome.STALE_CALCULATION, worked_out, field="paid_minor")
        if request.training:
            return self._answer(case, Outcome.CALCULATED, worked_out)
        try:
            answer = self._record(case, content, worked_out)
        except JournalUnavailableError:
            return self._answer(case, Outcome.JOURNAL_UNAVAILABLE, worked_out)
        self._open.pop(receipt_id, None)
        self._allowances.forget(receipt_id)
        spent = calculation.redeemed or shared_counts(calculation.counted)
        if spent and not self._till.link_up:
            with suppress(JournalUnavailableError):  # the receipt is on the disk, whatever follows
                yield from protect_last(self._till, patience)
        return answer

    def cancel(self, receipt_id: str) -> ReceiptAnswer:
        """Give a receipt up; what was set aside is free again, durably."""
        known = self._open.pop(receipt_id, None)
        if known is not None:
            self._till.books.note_dropped(known.rules.bundle_hash)
        self._allowances.forget(receipt_id)
        row = self._till.journal.receipt(receipt_id)
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
        row = self._till.journal.receipt(receipt_id)
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
        rules = known.rules if known else self._till.books.at(request.moment)
        if known and (known.card, known.is_training) == (request.card, request.training):
            # Between a total and its completion nothing is written, as a rule.
            is_fresh = known.read_at == self._editions()
            person = known.person if is_fresh else known.person.refreshed(self._till)
        else:
            shown = self._presented(receipt_id, request, rules)
            person = yield from identify(self._till, shown)
        worked_out = known.worked_out if known else None
        self._open[receipt_id] = OpenReceipt(
            request.version,
            content,
            rules,
            person,
            self._editions(),
            worked_out,
            request.card,
            request.training,
        )
        self._open.move_to_end(receipt_id)
        while len(self._open) > _OPEN_RECEIPTS_MAX:
            self._open.popitem(last=False)
        uncertainty_s = self._till.clock.uncertainty_s()
        case = Case(receipt_id, request, content, person, rules, row, uncertainty_s)
        yield from self._allowances.prepare(case)
        row = self._till.journal.receipt(receipt_id)
        if row is not None and row.state != "reserved":
            return self._plain(receipt_id, Outcome.RECEIPT_CLOSED, row.version)
        return replace(case, row=row)

    def _presented(self, receipt_id: str, request: ReceiptRequest, rules: Rules) -> Presented:
        return present(
            self._till,
            receipt_id,
            request.card,
            programme=rules.bundle.programme.programme_id,
            is_training=request.training,
        )

    def _editions(self) -> object:
        return self._till.journal.edition(), self._till.cache.edition()

    def _content(self, request: ReceiptRequest) -> bytes:
        """One form of a request to compare by, the card number replaced by its keyed hash."""
        card = self._till.card_hash(request.card).hex()
        return _compared.encode(msgspec.structs.replace(request, card=card))

    # Calculating

    def _calculated(self, case: Case) -> WorkedOut:
        reserved = self._till.journal.rights.reserved(case.receipt_id)
        row = self._till.journal.receipt(case.receipt_id)
        right = NO_RIGHT
        if row is not None and row.account_id == case.person.account.account_id:
            right = spend_right(reserved)
        calculation, allowance = self._allowances.total(
            case, lambda allowance: self._work_out(case, right, allowance).calculation
        )
        return self._work_out(case, right, allowance, known=calculation)

    def _work_out(
        self,
        case: Case,
        right: SpendRight,
        allowance: Allowance,
        *,
        known: Calculation | None = None,
    ) -> WorkedOut:
        """Calculate a receipt, unless that was done with the same inputs for its last total."""
        receipt = self._open.get(case.receipt_id)
        key = (
            case.content, case.rules.bundle_hash, case.person.account, right, allowance,
            case.uncertainty_s,
        )  # fmt: skip
        if receipt is not None and receipt.worked_out and receipt.worked_out.key == key:
            return receipt.worked_out
        inputs = self._inputs(case, RedeemRequest(points=right.points), right, allowance)
        worked_out = WorkedOut(key, inputs, known or self._timed(inputs, case.rules))
        if receipt is not None:
            receipt.worked_out = worked_out
        return worked_out

    def _timed(self, inputs: CalculationInputs, rules: Rules) -> Calculation:
        begun_ms = self._till.system.awake_ms()
        calculation = self._calculate(inputs, rules)
        took_ms = self._till.system.awake_ms() - begun_ms
        self._till.books.note_total(rules.bundle_hash, took_ms)
        return calculation

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

    def _record(self, case: Case, content: bytes, worked_out: WorkedOut) -> ReceiptAnswer:
        journal, calculation = self._till.journal, worked_out.calculation
        answer = self._answer(case, Outcome.RECORDED, worked_out)
        if self._is_plain(case, worked_out):
            head = journal.stream.head()
            record = self._sale(case, worked_out)
            code = receipt_code(self._till, record, calculation, head.seq + 1)
            answer = msgspec.structs.replace(answer, receipt_code=code)
            journal.note_sale(
                NotedSale(
                    case.receipt_id, encode_record(record), content, msgspec.json.encode(answer)
                ),
                follows=head,
            )
            return answer
        with journal.transaction():
            settled = journal.rights.settle(case.receipt_id, calculation.redeemed)
            record = self._sale(
                case,
                worked_out,
                sources=journal.transfers.named(settled),
                drawn=self._allowances.spend(case.receipt_id, calculation),
            )
            seq = journal.stream.append(record)
            code = receipt_code(self._till, record, calculation, seq)
            answer = msgspec.structs.replace(answer, receipt_code=code)
            journal.own_counts.add_sale(
                case.receipt_id,
                calculation,
                card=case.person.card,
                incarnation=journal.stream.head().incarnation,
                seq=seq,
            )
            journal.receipts.put(
                ReceiptRow(
                    receipt_id=case.receipt_id,
                    state="recorded",
                    version=case.request.version,
                    account_id=case.person.account.account_id,
                    authorisation_asked=case.row is not None and case.row.authorisation_asked,
                    request=content,
                    answer=msgspec.json.encode(answer),
                    calculation=worked_out.printed,
                    updated_at_ms=record.at_ms,
                )
            )
        return answer

    def _is_plain(self, case: Case, worked_out: WorkedOut) -> bool:
        """Say whether recording a receipt moves no right and ends nothing the journal has of it."""
        journal = self._till.journal
        return not (
            case.row is not None
            or worked_out.calculation.redeemed
            or shared_counts(worked_out.calculation.counted)
            or journal.rights.reserved(case.receipt_id)
            or journal.counter_rights.reserved(case.receipt_id)
            or journal.courier.of_receipt(case.receipt_id)
        )

    def _sale(
        self,
        case: Case,
        worked_out: WorkedOut,
        *,
        sources: tuple[Source, ...] = (),
        drawn: tuple[CounterDrawn, ...] = (),
    ) -> SaleRecord:
        till = self._till
        at_ms, step = till.clock.now_ms(), case.person.shown.step
        return SaleRecord(
            at_ms=at_ms,
            key=case.receipt_id,
            version=case.request.version,
            inputs=worked_out.inputs,
            calculation=msgspec.Raw(worked_out.printed),
            card=case.person.card.hex(),
            sources=sources,
            link_up=till.link_up,
            clock_q=till.clock.quality(),
            drawn=drawn,
            code_age=step_of(at_ms) - step if step else None,
        )

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
        worked_out: WorkedOut,
        *,
        field: str = "",
        notes: tuple[CashierMessage, ...] = (),
    ) -> ReceiptAnswer:
        language = self._till.settings.language
        hints = tuple(
            CashierMessage(
                hint.code, say_reason(hint, case.title_of(hint.offer_id, language), language)
            )
            for hint in worked_out.calculation.hints
        )
        quiet = outcome in (Outcome.CALCULATED, Outcome.RESERVED, Outcome.RECORDED)
        said = () if quiet else (self._message(outcome, {"field": field}),)
        person = case.person
        if person.shown.refused:
            said = (self._message(person.shown.refused, {}), *said)
        return ReceiptAnswer(
            outcome=outcome,
            receipt_id=case.receipt_id,
            version=case.request.version,
            link="up" if self._till.link_up else "down",
            calculation=msgspec.Raw(worked_out.printed),
            fiscal_lines=worked_out.fiscal,
            paid_by_points_minor=worked_out.paid_by_points_minor,
            reserved_points=worked_out.inputs.right.points,
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


def _why_not_all(person: Person, taken: int, held_elsewhere_points: int) -> Outcome:
    """Return why fewer points are reserved than are wanted."""
    if held_elsewhere_points:
        return Outcome.POINTS_HELD_ELSEWHERE
    if person.account.account_id and taken >= person.points:
        return Outcome.POINTS_INSUFFICIENT  # all he has, as far as the till knows
    return Outcome.RIGHTS_EXHAUSTED


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

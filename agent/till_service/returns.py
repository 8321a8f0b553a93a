"""Returns: from this till's journal, else the centre's, else a fact for the centre to work out.

A preview shows just what confirming posts: figures come from what was frozen with the sale, from
what came back before, and, where the programme asks what the account still has, from what the
centre said when the preview was made. Nobody there to say it: points are taken as if they were
there, and the centre settles the rest by the programme's terms (`docs/returns.md`).
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

import msgspec

from agent.errors import JournalUnavailableError
from agent.till_service.messages import (
    CashierMessage,
    ReceiptClaim,
    ReturnAnswer,
    ReturnRequest,
)
from agent.till_service.receipt_codes import Verdict, judge
from agent.till_service.till import Till
from loyalty.basket import Moment
from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes
from loyalty.fiscal import fiscal_return_lines, paid_by_points_minor
from loyalty.outcomes import Outcome
from loyalty.returns import (
    ReturnCalculation,
    ReturnItem,
    ReturnMade,
    already_returned,
    calculate_return,
)
from loyalty.wording import say_outcome
from sync.cycle import PATH_RECEIPT, Ask
from sync.messages import Message, ReceiptAnswer, ReceiptRequest
from sync.qr import ReceiptProof
from sync.records import RefundRecord

ReturnSteps = Generator[Ask, Message | None, ReturnAnswer]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a receipt that comes back.

    Attributes:
        original: none where neither this till nor the centre has it.
        made: returns of it so far, by key.
        available_points: what the centre said the account has.
        claim: what its code says, of a receipt that is not known.
        code_is_wrong: the code is not this receipt's, or not genuine.
    """

    original: Calculation | None = None
    made: Mapping[str, ReturnMade] = field(default_factory=dict)
    available_points: int | None = None
    claim: ReceiptClaim | None = None
    code_is_wrong: bool = False

    @property
    def is_proven(self) -> bool:
        """The receipt itself may be unknown; that it exists is proven."""
        return self.claim is not None and self.claim.is_proven


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the last preview showed, and what it was made from."""

    return_id: str
    wish: tuple[object, ...]
    known: _Known
    result: ReturnCalculation


class ReturnService:
    """Returns at one till."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._shown: _Shown | None = None

    def handle(self, return_id: str, request: ReturnRequest) -> ReturnSteps:
        """Preview a return, or confirm it durably; a preview shows just what confirming posts."""
        content = _content(request)
        if before := self._till.journal.receipts.find_return(return_id):
            return self._repeated(return_id, request, content, before)
        shown = self._shown
        if shown is not None and (shown.return_id, shown.wish) != (return_id, _wish(request)):
            shown = None
        known = yield from self._know(request, shown)
        if known.code_is_wrong:
            return self._answer(return_id, Outcome.CODE_WRONG, known, field_name="receipt_code")
        result = self._calculate(request, known)
        if isinstance(result, Outcome):
            return self._answer(return_id, result, known)
        if result is not None and not request.confirm:
            self._shown = _Shown(return_id, _wish(request), known, result)
        if not request.confirm:
            proven = result is not None or known.is_proven
            outcome = Outcome.PREVIEWED if proven else Outcome.RECEIPT_UNKNOWN
            return self._answer(return_id, outcome, known, result)
        if changed := self._changed(request, shown, result):
            # What came back elsewhere meanwhile changes the figures: the customer sees them first.
            self._shown = _Shown(return_id, _wish(request), known, result) if result else None
            return self._answer(
                return_id, Outcome.STALE_CALCULATION, known, result, field_name=changed
            )
        answer = self._answer(return_id, Outcome.RECORDED, known, result)
        try:
            self._record(return_id, request, content, answer, result)
        except JournalUnavailableError:
            return self._answer(return_id, Outcome.JOURNAL_UNAVAILABLE, known)
        return answer

    def _know(
        self, request: ReturnRequest, shown: _Shown | None
    ) -> Generator[Ask, Message | None, _Known]:
        """Gather what is known; what a preview was made from stays known when it is confirmed."""
        key = request.original_receipt_id
        verdict, proof = Verdict.UNPROVEN, None
        if request.receipt_code:
            verdict, proof = judge(self._till, request.receipt_code, key)
        if verdict == Verdict.WRONG:
            return _Known(code_is_wrong=True)
        here = self._till.journal.receipt(key)
        calculation = here.calculation if here is not None and here.state == "recorded" else b""
        told = ReceiptAnswer()
        if self._till.link_up:
            # Other tills may have taken goods back; the centre decides in the end,
            # so no answer is no obstacle.
            date = Moment(local=request.moment).date
            question = ReceiptRequest(key=key, date=date, code=request.receipt_code)
            answer = yield Ask(PATH_RECEIPT, question, ReceiptAnswer)
            if isinstance(answer, ReceiptAnswer):
                told = answer
        if told.code == "wrong":
            return _Known(code_is_wrong=True)
        calculation = calculation or told.calculation
        # The centre knows how much a return of "all that is left" was, also of one made here.
        made = {
            **self._till.journal.receipts.returns_of(key),
            **(shown.known.made if shown is not None else {}),
            **{one.key: one for one in told.returns},
        }
        original = msgspec.json.decode(calculation, type=Calculation) if calculation else None
        if original is None and shown is None and proof is not None:
            is_proven = verdict == Verdict.GENUINE or told.code == "genuine"
            return _Known(made=made, claim=_claim(proof, is_proven=is_proven))
        if shown is None:
            return _Known(original, made, told.available_points)
        available = shown.known.available_points if request.confirm else told.available_points
        return _Known(shown.known.original, made, available)

    def _calculate(
        self, request: ReturnRequest, known: _Known
    ) -> ReturnCalculation | Outcome | None:
        """Reverse what is wished; None where the receipt is not known."""
        if known.original is None:
            gone = {
                item.line_id
                for one in known.made.values()
                for item in one.items
                if not item.quantity
            }
            if gone.intersection(item.line_id for item in request.lines):
                return Outcome.LINE_ALREADY_RETURNED
            return None
        return calculate_return(
            known.original,
            request.lines,
            already_returned(known.original, known.made.values()),
            date=Moment(local=request.moment).date,
            available_points=known.available_points,
        )

    @staticmethod
    def _changed(
        request: ReturnRequest, shown: _Shown | None, result: ReturnCalculation | None
    ) -> str:
        """Return the name of what is not as it was shown; empty when all is."""
        if shown is None and request.money_back_minor is None:
            return ""  # Nothing was shown to anybody.
        if result is None or request.money_back_minor not in (None, result.money_back_minor):
            return "money_back_minor"
        # After a restart of the agent points may differ where money does not: show it again.
        return "" if shown is not None and shown.result == result else "lines"

    def _record(
        self,
        return_id: str,
        request: ReturnRequest,
        content: bytes,
        answer: ReturnAnswer,
        result: ReturnCalculation | None,
    ) -> None:
        till = self._till
        items = result.items if result else _in_order(request.lines)
        record = RefundRecord(
            at_ms=till.clock.now_ms(),
            key=return_id,
            original_key=request.original_receipt_id,
            lines=items,
            moment=Moment(local=request.moment),
            place=till.identity.place,
            calculation=msgspec.Raw(canonical_bytes(result) if result else b"{}"),
            receipt_code="" if result else request.receipt_code,
        )
        made = ReturnMade(
            key=return_id,
            items=items,
            charged_back_minor=result.charged_back_minor if result else 0,
        )
        with till.journal.transaction():
            seq = till.journal.stream.append(record)
            if result is not None:
                till.journal.own_counts.add_return(
                    return_id,
                    result,
                    original_key=request.original_receipt_id,
                    incarnation=till.journal.stream.head().incarnation,
                    seq=seq,
                )
            till.journal.receipts.put_return(
                made,
                original_key=request.original_receipt_id,
                request=content,
                answer=msgspec.json.encode(answer),
            )

    def _repeated(
        self, return_id: str, request: ReturnRequest, content: bytes, before: tuple[bytes, bytes]
    ) -> ReturnAnswer:
        if before[0] == content or not request.confirm:
            return msgspec.json.decode(before[1], type=ReturnAnswer)
        ours, theirs = msgspec.json.decode(before[0]), msgspec.json.decode(content)
        differs = next(name for name in sorted(ours) if ours[name] != theirs[name])
        return self._answer(
            return_id, Outcome.ALREADY_RECORDED_DIFFERENTLY, _Known(), field_name=differs
        )

    def _answer(
        self,
        return_id: str,
        outcome: Outcome,
        known: _Known,
        result: ReturnCalculation | None = None,
        *,
        field_name: str = "",
    ) -> ReturnAnswer:
        quiet = outcome in (Outcome.PREVIEWED, Outcome.RECORDED)
        text = say_outcome(outcome, {"field": field_name}, self._till.settings.language)
        answer = ReturnAnswer(
            outcome=outcome,
            return_id=return_id,
            pending=outcome in (Outcome.PREVIEWED, Outcome.RECORDED) and result is None,
            field=field_name,
            messages=() if quiet else (CashierMessage(outcome, text),),
            claim=known.claim,
        )
        if result is None or known.original is None:
            return answer
        mode = known.original.terms.mode
        return msgspec.structs.replace(
            answer,
            calculation=msgspec.Raw(canonical_bytes(result)),
            fiscal_lines=fiscal_return_lines(result, mode),
            paid_by_points_minor=paid_by_points_minor(result.lines, mode),
        )


def _claim(proof: ReceiptProof, *, is_proven: bool) -> ReceiptClaim:
    return ReceiptClaim(
        is_proven=is_proven,
        till_id=proof.till_id,
        moment=proof.moment,
        paid_minor=proof.paid_minor,
        earned_points=proof.earned_points,
        redeemed_points=proof.redeemed_points,
    )


def _content(request: ReturnRequest) -> bytes:
    """One form of a request to compare by; a code only speaks for what is there anyway."""
    names = (name for name in request.__struct_fields__ if name != "receipt_code")
    fields = {name: getattr(request, name) for name in names}
    return canonical_bytes({**fields, "lines": _in_order(request.lines)})


def _wish(request: ReturnRequest) -> tuple[object, ...]:
    return request.original_receipt_id, request.moment, _in_order(request.lines)


def _in_order(items: tuple[ReturnItem, ...]) -> tuple[ReturnItem, ...]:
    return tuple(sorted(items, key=lambda item: item.line_id))

"""Returns: from this till's journal, else the centre's, else a fact for the centre to work out."""

from collections.abc import Generator

import msgspec

from agent.errors import JournalUnavailableError
from agent.till_service.messages import (
    CashierMessage,
    ReturnAnswer,
    ReturnRequest,
)
from agent.till_service.till import Till
from loyalty.basket import Moment
from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes
from loyalty.outcomes import Outcome
from loyalty.returns import ReturnCalculation, calculate_return
from loyalty.wording import say_outcome
from sync.cycle import PATH_RECEIPT, Ask
from sync.messages import Message, ReceiptAnswer, ReceiptRequest
from sync.records import RefundRecord

ReturnSteps = Generator[Ask, Message | None, ReturnAnswer]


class ReturnService:
    """Returns at one till."""

    def __init__(self, till: Till) -> None:
        self._till = till
        # What the last preview showed: confirming posts just that, whatever the centre says now.
        self._shown: tuple[str, Calculation] | None = None

    def handle(self, return_id: str, request: ReturnRequest) -> ReturnSteps:
        """Preview a return, or confirm it durably; a preview shows just what confirming posts."""
        content = canonical_bytes(
            {name: getattr(request, name) for name in request.__struct_fields__}
        )
        if before := self._till.journal.receipts.find_return(return_id):
            return self._repeated(return_id, request, content, before)
        original, returned = yield from self._original(request.original_receipt_id)
        if original is None and self._shown is not None and self._shown[0] == return_id:
            original = self._shown[1]
        if original is not None and not request.confirm:
            self._shown = (return_id, original)
        result: ReturnCalculation | None = None
        if original is not None:
            found = calculate_return(original, request.line_ids, returned)
            if isinstance(found, Outcome):
                return self._answer(return_id, found)
            result = found
        elif returned.intersection(request.line_ids):
            return self._answer(return_id, Outcome.LINE_ALREADY_RETURNED)
        if not request.confirm:
            outcome = Outcome.PREVIEWED if result else Outcome.RECEIPT_UNKNOWN
            return self._answer(return_id, outcome, result)
        answer = self._answer(return_id, Outcome.RECORDED, result)
        try:
            self._record(return_id, request, content, answer, result)
        except JournalUnavailableError:
            return self._answer(return_id, Outcome.JOURNAL_UNAVAILABLE)
        return answer

    def _original(
        self, key: str
    ) -> Generator[Ask, Message | None, tuple[Calculation | None, set[str]]]:
        here = self._till.journal.receipts.find(key)
        returned = self._till.journal.receipts.returned_lines(key)
        calculation = here.calculation if here is not None and here.state == "recorded" else b""
        if self._till.link_up:
            # Other tills may have taken lines back; the centre decides in the end,
            # so no answer is no obstacle.
            answer = yield Ask(PATH_RECEIPT, ReceiptRequest(key=key), ReceiptAnswer)
            if isinstance(answer, ReceiptAnswer):
                returned |= set(answer.returned_lines)
                calculation = calculation or answer.calculation
        if not calculation:
            return None, returned
        return msgspec.json.decode(calculation, type=Calculation), returned

    def _record(
        self,
        return_id: str,
        request: ReturnRequest,
        content: bytes,
        answer: ReturnAnswer,
        result: ReturnCalculation | None,
    ) -> None:
        till = self._till
        lines = tuple(sorted(set(request.line_ids)))
        record = RefundRecord(
            at_ms=till.clock.now_ms(),
            key=return_id,
            original_key=request.original_receipt_id,
            lines=lines,
            moment=Moment(local=request.moment),
            place=till.identity.place,
            calculation=msgspec.Raw(canonical_bytes(result) if result else b"{}"),
        )
        with till.journal.transaction():
            till.journal.stream.append(record)
            till.journal.receipts.put_return(return_id, content, msgspec.json.encode(answer))
            till.journal.receipts.add_returned_lines(request.original_receipt_id, lines, return_id)

    def _repeated(
        self, return_id: str, request: ReturnRequest, content: bytes, before: tuple[bytes, bytes]
    ) -> ReturnAnswer:
        if before[0] == content or not request.confirm:
            return msgspec.json.decode(before[1], type=ReturnAnswer)
        ours, theirs = msgspec.json.decode(before[0]), msgspec.json.decode(content)
        field = next(name for name in sorted(ours) if ours[name] != theirs[name])
        return self._answer(return_id, Outcome.ALREADY_RECORDED_DIFFERENTLY, field=field)

    def _answer(
        self,
        return_id: str,
        outcome: Outcome,
        result: ReturnCalculation | None = None,
        *,
        field: str = "",
    ) -> ReturnAnswer:
        quiet = outcome in (Outcome.PREVIEWED, Outcome.RECORDED)
        text = say_outcome(outcome, {"field": field}, self._till.settings.language)
        return ReturnAnswer(
            outcome=outcome,
            return_id=return_id,
            calculation=msgspec.Raw(canonical_bytes(result)) if result else msgspec.UNSET,
            pending=outcome == Outcome.RECORDED and result is None,
            field=field,
            messages=() if quiet else (CashierMessage(outcome, text),),
        )

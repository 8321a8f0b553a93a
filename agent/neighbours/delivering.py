"""Hands siblings' records to the centre: of a till without a line, a life, or its old journal."""

from collections.abc import Generator

import structlog

from agent.journal.witness_store import Copy
from agent.till_service.till import Till
from sync.cycle import Ask
from sync.errors import RefusedError
from sync.messages import Message
from sync.neighbours import PATH_DELIVER, Delivery, DeliveryAnswer, SignedHead

log = structlog.get_logger()

COPIES_MAX = 40
"""Handed in with one conversation; the rest waits for the next."""
_GONE = ("request_invalid", "message_malformed")
"""Refusals that no repeating changes: the copy is given up."""


def deliver(till: Till) -> Generator[Ask, Message | bytes | None, None]:
    """Hand in what is kept for siblings that cannot do so themselves; call it in a live session.

    What is thrown in (no answer) ends it; nothing is lost by ending anywhere.
    """
    neighbours, witness = till.neighbours, till.journal.witness
    left_out = set(neighbours.handing_in().items())
    strange = neighbours.strange_copies
    handed_in = 0
    # Again after every gap: what is between may come from another sibling, or never, and other
    # streams do not wait for it.
    while handed_in < COPIES_MAX and (
        copies := witness.copies(COPIES_MAX - handed_in, without=left_out, but=strange)
    ):
        for copy in copies:
            handed_in += 1
            answer = yield from _hand_in(till, copy)
            if answer is None:
                return
            if answer.verdict == "gap":
                left_out.add((copy.head.till_id, copy.head.incarnation))
                strange = strange - {copy.head.head}
                break


def _hand_in(
    till: Till, copy: Copy
) -> Generator[Ask, Message | bytes | None, DeliveryAnswer | None]:
    """Hand in one copy and settle it; None where the centre gave no answer."""
    message = Delivery(
        head=copy.head,
        from_seq=copy.from_seq,
        previous_hash=copy.previous_hash,
        records=copy.records,
    )
    try:
        answer = yield Ask(PATH_DELIVER, message, DeliveryAnswer)
    except RefusedError as error:
        if error.code not in _GONE:
            raise
        log.warning("delivery_refused", till=copy.head.till_id, why=str(error))
        _settle(till, copy.head)
        return DeliveryAnswer(verdict="branch")
    if not isinstance(answer, DeliveryAnswer):
        return None
    if answer.verdict != "gap":
        _settle(till, copy.head)
    return answer


def _settle(till: Till, head: SignedHead) -> None:
    with till.journal.transaction():
        till.journal.witness.settle(head, now_ms=till.clock.now_ms())
    till.neighbours.strange_copies.discard(head.head)

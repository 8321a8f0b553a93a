"""Hands siblings' records to the centre: of a till without a line, a life, or its old journal."""

from collections.abc import Generator

import structlog

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
    if till.revoked:
        return  # the centre would refuse; a sibling with the same copies may hand them in
    waiting: set[tuple[int, bytes]] = set()
    neighbours = till.neighbours
    copies = till.journal.witness.copies(
        COPIES_MAX, without=neighbours.handing_in(), but=neighbours.strange_copies
    )
    for copy in copies:
        stream = (copy.head.till_id, copy.head.incarnation)
        if stream in waiting:
            continue
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
            continue
        if not isinstance(answer, DeliveryAnswer):
            return
        if answer.verdict == "gap":
            waiting.add(stream)  # what is between may come from another sibling
        else:
            _settle(till, copy.head)


def _settle(till: Till, head: SignedHead) -> None:
    with till.journal.transaction():
        till.journal.witness.settle(head, now_ms=till.clock.now_ms())
    till.neighbours.strange_copies.discard(head.head)

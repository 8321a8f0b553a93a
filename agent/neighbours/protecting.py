"""Has siblings keep copies of records the centre does not have, and keeps theirs.

A copy carries its till's signature over the head it leads to, so that whoever has it can hand it to
the centre, and show it to a till that has forgotten (design: sync 4.6, 4.10, S3).
"""

from collections.abc import Generator

import structlog

from agent.neighbours.heads import Asking, signed_head, take_known
from agent.neighbours.patience import Patience
from agent.till_service.till import Till
from sync.errors import MalformedMessageError
from sync.messages import Message
from sync.neighbours import (
    COPIES_ASKED_MAX,
    UNPACKED_BYTES_MAX,
    WITNESS_RECORDS_MAX,
    AskSibling,
    CopiesAnswer,
    CopiesRequest,
    SignedHead,
    WitnessAnswer,
    WitnessRequest,
    is_signed_by,
    pack,
)
from sync.witnessing import copy_links, judge_copy

log = structlog.get_logger()

BATCHES_MAX = 16
"""Copies asked for in one go; the rest waits for the next."""
_BATCH_BYTES_MAX = UNPACKED_BYTES_MAX * 3 // 4


def protect_last(till: Till, patience: Patience) -> Asking:
    """Have one sibling keep a copy that ends with the last record, within the time a sale has."""
    head = till.journal.stream.head()
    start = max(head.acked_seq, till.neighbours.witnessed(head.incarnation))
    witness = next(iter(till.neighbours.witnesses()), None)
    kept = False
    if witness is not None and patience.left_ms > 0:
        request = _copy(till, max(start, head.seq - WITNESS_RECORDS_MAX), upto_last=True)
        if request is not None:
            kept = yield from _ask(till, witness, request, patience, follows=start)
    if not kept:
        till.neighbours.unwitnessed += 1


def protect_rest(till: Till) -> Asking:
    """Have siblings keep copies of everything the centre does not have and nobody else has."""
    incarnation = till.journal.stream.head().incarnation
    for _ in range(BATCHES_MAX):
        head = till.journal.stream.head()
        start = max(head.acked_seq, till.neighbours.witnessed(head.incarnation))
        witness = next(iter(till.neighbours.witnesses()), None)
        if witness is None or start >= head.seq or head.incarnation != incarnation:
            return
        request = _copy(till, start)
        if request is None:
            # Larger than any envelope: the centre alone can have it.
            till.neighbours.note_witnessed(head.incarnation, start + 1)
            continue
        yield from _ask(till, witness, request, Patience(till.system), follows=start)


def _copy(till: Till, start: int, *, upto_last: bool = False) -> WitnessRequest | None:
    """Return a copy of records after `start`, as many as an envelope holds; None if not one fits.

    Args:
        upto_last: rather leave out the first ones than the last.
    """
    stream = till.journal.stream
    bodies = stream.bodies_after(start, WITNESS_RECORDS_MAX)
    while bodies:
        if sum(map(len, bodies)) <= _BATCH_BYTES_MAX:
            previous = stream.hash_at(start)
            assert previous is not None
            request = WitnessRequest(
                head=signed_head(till, seq=start + len(bodies)),
                from_seq=start + 1,
                previous_hash=previous,
                records=tuple(bodies),
            )
            if pack(request) is not None:
                return request
        half = (len(bodies) + 1) // 2 if len(bodies) > 1 else 1
        if upto_last:
            bodies, start = bodies[half:], start + half
        else:
            bodies = bodies[:-half]
    return None


def _ask(
    till: Till, witness: int, request: WitnessRequest, patience: Patience, *, follows: int
) -> Generator[AskSibling, Message | None, bool]:
    """Ask one sibling to keep a copy; says whether it is durable there."""
    ask = AskSibling(witness, request, WitnessAnswer)
    answer = yield from patience.ask(ask, at_most_ms=patience.left_ms)
    if not isinstance(answer, WitnessAnswer):
        till.neighbours.missed(witness)
        return False
    if take_known(till, answer.known) == "amnesia":
        return False
    if answer.verdict not in ("kept", "fork"):
        till.neighbours.refused(witness)
        return False
    if request.from_seq <= follows + 1:
        till.neighbours.note_witnessed(request.head.incarnation, request.head.seq)
    return True


def keep_copy(till: Till, request: WitnessRequest, sender: int) -> WitnessAnswer:
    """Keep a sibling's records and say what is known of its stream.

    Raises:
        JournalUnavailableError: the disk refuses.
    """
    head, store = request.head, till.journal.witness
    public = till.neighbours.key_of(head.till_id)
    if sender != head.till_id or public is None or not is_signed_by(head, public):
        return WitnessAnswer(verdict="refused")
    try:
        links = copy_links(request)
    except MalformedMessageError:
        return WitnessAnswer(verdict="refused")
    judgement = judge_copy(
        request, links, store.links(head, request.from_seq - 1), is_here=store.has(request)
    )
    if judgement.verdict != "known":
        if not store.has_room(head.till_id, sum(map(len, request.records))):
            return WitnessAnswer(verdict="full", known=newest_known(till, head.till_id))
        with till.journal.transaction():
            store.keep(request, links, now_ms=till.clock.now_ms())
    if judgement.verdict == "fork":
        return WitnessAnswer(verdict="fork", known=store.head_at(head, judgement.contradicted))
    return WitnessAnswer(verdict="kept", known=newest_known(till, head.till_id))


# Copies the centre has


def ask_about_copies(till: Till) -> Asking:
    """Settle copies of siblings that the centre has; the till they are of vouches for each.

    What it says is acknowledged is of its own history alone. A till that came back from an image
    may have another one than its copies, and be past them: those nobody vouches for are handed in.
    """
    neighbours, store = till.neighbours, till.journal.witness
    for till_id in neighbours.alive():
        said = neighbours.siblings[till_id].head
        if said is None:
            continue
        heads = [
            head
            for head in store.acked_copies(said, COPIES_ASKED_MAX + len(neighbours.strange_copies))
            if head.head not in neighbours.strange_copies
        ][:COPIES_ASKED_MAX]
        if heads:
            answer = yield AskSibling(till_id, CopiesRequest(heads=tuple(heads)), CopiesAnswer)
            if isinstance(answer, CopiesAnswer):
                _settle(till, heads, answer)
            else:
                neighbours.missed(till_id)


def _settle(till: Till, heads: list[SignedHead], answer: CopiesAnswer) -> None:
    """Settle the copies that their till vouches for and says are acknowledged; hand in the rest."""
    said = {(each.incarnation, each.seq, each.head): each for each in answer.heads}
    public = till.neighbours.key_of(heads[0].till_id)
    known: list[SignedHead] = []
    for head in heads:
        word = said.get((head.incarnation, head.seq, head.head))
        is_its_word = (
            word is not None
            and public is not None
            and word.till_id == head.till_id
            and is_signed_by(word, public)
        )
        if is_its_word and word is not None and word.acked_seq >= head.seq:
            # A centre that went back may not have them: who has not heard of it vouches for less.
            if word.epoch >= till.cache.cursor().epoch:
                known.append(head)
        elif not is_its_word:
            log.warning("copy_of_another_history", till=head.till_id, seq=head.seq)
            till.neighbours.strange_copies.add(head.head)
    if known:
        with till.journal.transaction():
            for head in known:
                till.journal.witness.settle(head, now_ms=till.clock.now_ms())


def vouch(till: Till, request: CopiesRequest) -> CopiesAnswer:
    """Sign those heads of copies again that this till's stream holds.

    One that it once signed and that its stream contradicts proves amnesia.
    """
    mine = [head for head in request.heads if take_known(till, head) == "continues"]
    now = till.journal.stream.head().incarnation
    heads = (signed_head(till, seq=head.seq) for head in mine if head.incarnation == now)
    return CopiesAnswer(heads=tuple(heads))


def newest_known(till: Till, till_id: int) -> SignedHead | None:
    """Return the highest head this till has of a sibling, by incarnation number, then by seq."""
    sibling = till.neighbours.siblings.get(till_id)
    heads = (till.journal.witness.newest_head(till_id), sibling.head if sibling else None)
    return max(
        (head for head in heads if head is not None),
        key=lambda head: (head.incarnation_number, head.seq),
        default=None,
    )

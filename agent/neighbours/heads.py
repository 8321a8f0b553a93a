"""Where this till's stream stands, signed; and what it means when a sibling knows better."""

from collections.abc import Generator

import msgspec
import structlog

from agent.neighbours.patience import Answering, Patience
from agent.till_service.till import Till
from sync.messages import Message
from sync.neighbours import AskSibling, HeadAnswer, HeadRequest, SignedHead, is_signed_by, sign_head
from sync.signing import NO_SESSION, SigningKey
from sync.witnessing import Standing, judge_known

log = structlog.get_logger()

ASKED_AT_START_MAX = 3

Asking = Generator[AskSibling, Message | None, None]


def signed_head(till: Till, *, seq: int | None = None) -> SignedHead:
    """Return where the stream stands, or stood at `seq`; only what is durable is ever signed."""
    head = till.journal.stream.head()
    at = head.seq if seq is None else seq
    link = till.journal.stream.hash_at(at)
    assert link is not None, "a head is signed of records that are here"
    bare = SignedHead(
        till_id=till.identity.till_id,
        incarnation=head.incarnation,
        incarnation_number=head.incarnation_number,
        seq=at,
        head=link,
        acked_seq=head.acked_seq,
        epoch=till.cache.cursor().epoch,
    )
    said = till.neighbours.said
    if said is not None and msgspec.structs.replace(said, signature=b"") == bare:
        return said  # a till that sells nothing says the same every two seconds
    signed = sign_head(bare, SigningKey(till.identity.key_seed))
    if seq is None:
        till.neighbours.said = signed
    return signed


def take_known(till: Till, known: SignedHead | None) -> Standing:
    """Compare what a sibling has of this till with its stream; proof of amnesia is acted on.

    Only this till's own signature is proof: whatever a sibling says by itself changes nothing.
    """
    if known is None or known.till_id != till.identity.till_id:
        return "silent"
    if not is_signed_by(known, SigningKey(till.identity.key_seed).public):
        return "silent"
    stream = till.journal.stream
    head = stream.head()
    standing = judge_known(
        known,
        incarnation=head.incarnation,
        incarnation_number=head.incarnation_number,
        last_seq=head.seq,
        hash_at=stream.hash_at,
    )
    is_later = standing == "amnesia" and known.incarnation != head.incarnation
    if is_later and (till.quarantined or not _holds(till)):
        # A later stream of this till, and no right here that was given to two. Two machines with
        # one key would else outbid each other's streams at every heartbeat; the centre ends it.
        return "silent"
    if standing == "amnesia":
        log.warning("amnesia_by_witness", known_seq=known.seq, seq=head.seq)
        till.session = NO_SESSION
        till.start_incarnation("witness", number_min=max(1, known.incarnation_number + 1))
    return standing


def _holds(till: Till) -> bool:
    """Say whether there is anything a new stream would not have: rights, or asks for them."""
    journal = till.journal
    return bool(
        journal.rights.is_held()
        or journal.counter_rights.is_held()
        or journal.courier.open_nonces()
        or till.session != NO_SESSION
    )


def ask_for_head(till: Till, patience: Patience | None = None) -> Asking:
    """Ask siblings once in a life of the process, before any right is spent, what they know.

    Nobody answering changes nothing: then the anchor alone has spoken (design: sync 4.11). Whoever
    did not answer, because the bus had just begun or the sibling was away, is asked when heard.

    Args:
        patience: of the register's call that waits; a half of it is for this, in equal parts.
    """
    neighbours = till.neighbours
    if not neighbours.connected or not neighbours.siblings:
        return
    silent = sorted(neighbours.siblings.keys() - neighbours.told_heads)
    if neighbours.asked_for_head:
        silent = [till_id for till_id in silent if neighbours.is_alive(till_id)]
    asked = silent[:ASKED_AT_START_MAX]
    part_ms = patience.left_ms // (2 * max(1, len(asked))) if patience else 0
    for till_id in asked:
        nonce = till.system.random_bytes(16)
        request = HeadRequest(till_id=till.identity.till_id, nonce=nonce)
        ask = AskSibling(till_id, request, HeadAnswer)
        answer = yield from patience.ask(ask, at_most_ms=part_ms) if patience else _whole(ask)
        if isinstance(answer, HeadAnswer) and answer.nonce == nonce:
            neighbours.told_heads.add(till_id)
            take_known(till, answer.known)
        elif neighbours.asked_for_head and not patience:
            neighbours.missed(till_id)  # it had all the time there is
    neighbours.asked_for_head = True


def _whole(ask: AskSibling) -> Answering:
    """Ask with all the time that a question has."""
    return (yield ask)

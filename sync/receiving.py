"""The centre's side of a stream, without I/O: how a HELLO and a push are judged (sync 4.2, 4.7)."""

from dataclasses import dataclass
from typing import Literal

from sync.chain import first_link, links
from sync.errors import MalformedMessageError
from sync.limits import BATCH_BYTES_MAX, BATCH_RECORDS_MAX
from sync.messages import Hello, Push, Verdict


@dataclass(frozen=True, slots=True)
class StreamState:
    """What the centre has of one stream: the contiguous prefix up to `last_seq`."""

    incarnation: bytes
    incarnation_number: int
    last_seq: int
    last_hash: bytes


@dataclass(frozen=True, slots=True)
class HelloJudgement:
    """A verdict, and whether the till's chain was compared up to the centre's last record."""

    verdict: Verdict
    verified: bool


def judge_hello(
    hello: Hello,
    stream: StreamState | None,
    *,
    newest_incarnation_number: int,
    has_copies: bool = False,
) -> HelloJudgement:
    """Judge where a till's stream stands.

    Args:
        stream: what the centre has of the till's incarnation; None if nothing.
        newest_incarnation_number: the highest of this till's streams, 0 if there is none.
        has_copies: two machines run as this till (it is quarantined): a later stream is the other
            one's, and ends none. Else they would end each other's without end.
    """
    if stream is None:
        if hello.incarnation_number <= newest_incarnation_number:
            return HelloJudgement("amnesia", verified=False)
        # Nothing is known, so nothing can disagree;
        # but acknowledged records that vanished must come again.
        return HelloJudgement("rewind" if hello.acked_seq else "ok", verified=not hello.acked_seq)
    is_over = hello.incarnation_number < newest_incarnation_number and not has_copies
    if is_over or hello.seq < stream.last_seq:
        return HelloJudgement("amnesia", verified=False)
    known = {hello.seq: hello.head, hello.acked_seq: hello.acked_hash}
    seen = known.get(stream.last_seq)
    if seen is not None and seen != stream.last_hash:
        return HelloJudgement("amnesia", verified=False)
    if stream.last_seq < hello.acked_seq:
        return HelloJudgement("rewind", verified=False)
    return HelloJudgement("ok", verified=seen is not None)


@dataclass(frozen=True, slots=True)
class PushJudgement:
    """What to do with a push.

    Attributes:
        skip: leading records the centre already has, byte for byte.
        hashes: links of all records of the push.
    """

    verdict: Literal["ack", "gap", "fork"]
    skip: int
    hashes: tuple[bytes, ...]


def judge_push(
    push: Push, stream: StreamState, known_hashes: dict[int, bytes], *, till_id: int
) -> PushJudgement:
    """Judge a push against the centre's prefix.

    Args:
        known_hashes: the centre's links by seq,
            at least for `push.from_seq - 1` to the end of the overlap.

    Raises:
        MalformedMessageError: the batch is empty or larger than the limits.
    """
    if not push.records or len(push.records) > BATCH_RECORDS_MAX:
        raise MalformedMessageError(
            f"a push has 1 to {BATCH_RECORDS_MAX} records, this one {len(push.records)}"
        )
    if sum(map(len, push.records)) > BATCH_BYTES_MAX and len(push.records) > 1:
        raise MalformedMessageError(f"a push has at most {BATCH_BYTES_MAX} bytes of records")
    hashes = tuple(links(push.previous_hash, push.records))
    if push.from_seq > stream.last_seq + 1:
        return PushJudgement("gap", 0, hashes)
    before = push.from_seq - 1
    expected = first_link(till_id, push.incarnation) if before == 0 else known_hashes.get(before)
    if expected != push.previous_hash:
        return PushJudgement("fork", 0, hashes)
    skip = min(len(push.records), stream.last_seq - before)
    for offset in range(skip):
        if known_hashes.get(push.from_seq + offset) != hashes[offset]:
            return PushJudgement("fork", 0, hashes)
    return PushJudgement("ack", skip, hashes)

"""How a witness judges a copy, and a till what its witnesses know (pure; design: sync 4.10, 4.11).

Chains are compared by their hashes, never by their numbers: a shorter, different chain under the
same incarnation is a fork, and a witness that took it for "already have it" would let the new
history go unprotected (design: sync S3).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from sync.chain import first_link, links
from sync.errors import MalformedMessageError
from sync.neighbours import Delivery, SignedHead, WitnessRequest


@dataclass(frozen=True, slots=True)
class CopyJudgement:
    """What a witness makes of a copy.

    Attributes:
        verdict: kept: goes beyond what is there; known: is there already, byte for byte; fork:
            contradicts what is there, and is kept beside it.
        contradicted: seq at which the chains differ, of a fork.
    """

    verdict: Literal["kept", "known", "fork"]
    contradicted: int = 0


def copy_links(request: WitnessRequest | Delivery) -> tuple[bytes, ...]:
    """Return the links of a copy's records.

    Raises:
        MalformedMessageError: its records do not lead to the head it names.
    """
    head = request.head
    if request.from_seq == 1:
        start = first_link(head.till_id, head.incarnation)
        if start != request.previous_hash:
            raise MalformedMessageError("a stream begins with the hash of its name")
    found = tuple(links(request.previous_hash, request.records))
    if request.from_seq + len(found) - 1 != head.seq or found[-1] != head.head:
        raise MalformedMessageError("the records do not lead to the head")
    return found


def judge_copy(
    request: WitnessRequest,
    found: tuple[bytes, ...],
    known: Mapping[int, frozenset[bytes]],
    *,
    is_here: bool,
) -> CopyJudgement:
    """Compare a copy with what the witness has of the same incarnation.

    Args:
        found: links of the copy's records.
        known: links by seq, of everything kept and of heads that were only heard of; more than one
            where a fork was kept before.
        is_here: a copy of these very records is kept.
    """
    before = request.from_seq - 1
    chain = {before: request.previous_hash} if before else {}
    chain |= {request.from_seq + i: link for i, link in enumerate(found)}
    for seq, link in chain.items():
        if any(other != link for other in known.get(seq, ())):
            return CopyJudgement("fork", seq)
    if is_here:
        return CopyJudgement("known")
    return CopyJudgement("kept")


Standing = Literal["continues", "amnesia", "silent"]


def judge_known(
    known: SignedHead,
    *,
    incarnation: bytes,
    incarnation_number: int,
    last_seq: int,
    hash_at: Callable[[int], bytes | None],
) -> Standing:
    """Compare what a witness has of this till with its own stream; the signature was checked.

    Args:
        incarnation: the live one, with its number and last record.
        hash_at: gives the link of a record of it; None where it is not kept any more.

    Returns:
        continues: the witness vouches for this stream; amnesia: this till once said what its
        stream does not hold, so that the past came back; silent: the witness only knows streams
        before this one.
    """
    if known.incarnation_number > incarnation_number:
        return "amnesia"
    if known.incarnation != incarnation:
        # Another stream under the same number: both cannot be this till's only one.
        return "amnesia" if known.incarnation_number == incarnation_number else "silent"
    if known.seq > last_seq:
        return "amnesia"
    link = hash_at(known.seq)
    if link is None:
        return "silent"
    return "continues" if link == known.head else "amnesia"

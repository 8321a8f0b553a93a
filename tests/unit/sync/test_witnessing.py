"""Chains are compared by what they hold, never by how long they are (S3)."""

import msgspec
import pytest

from sync.chain import first_link, links
from sync.errors import MalformedMessageError
from sync.neighbours import SignedHead, WitnessRequest
from sync.witnessing import copy_links, judge_copy, judge_known

TILL, INCARNATION = 17, b"i" * 8
START = first_link(TILL, INCARNATION)
BODIES = tuple(b'{"n":%d}' % n for n in range(10))
CHAIN = (START, *links(START, BODIES))


def copy(first: int, last: int, *, bodies: tuple[bytes, ...] = BODIES) -> WitnessRequest:
    """Return a copy of records `first` to `last` of a history."""
    chain = (START, *links(START, bodies))
    head = SignedHead(
        till_id=TILL, incarnation=INCARNATION, incarnation_number=3, seq=last, head=chain[last]
    )
    return WitnessRequest(
        head=head,
        from_seq=first,
        previous_hash=chain[first - 1],
        records=bodies[first - 1 : last],
    )


def known(first: int, last: int) -> dict[int, frozenset[bytes]]:
    """Return the links a witness has."""
    return {seq: frozenset({CHAIN[seq]}) for seq in range(first, last + 1)}


def verdict(request: WitnessRequest, kept: dict[int, frozenset[bytes]]) -> str:
    """Judge a copy of which the witness has no exact twin."""
    return judge_copy(request, copy_links(request), kept, is_here=False).verdict


def by_number(request: WitnessRequest, kept: dict[int, frozenset[bytes]]) -> str:
    """The naive witness."""
    return "known" if request.head.seq <= max(kept, default=0) else "kept"


OTHER = (*BODIES[:4], b'{"other":4}', b'{"other":5}', *BODIES[6:])


@pytest.mark.parametrize("last", [5, 6, 8, 10])
def test_a_different_history_is_a_fork_though_shorter_than_what_is_known(last: int) -> None:
    request = copy(5, last, bodies=OTHER)
    assert verdict(request, known(1, 8)) == "fork"


def test_who_compares_numbers_leaves_the_new_history_unprotected() -> None:
    request = copy(5, 6, bodies=OTHER)
    assert by_number(request, known(1, 8)) == "known"  # S3: never kept, and lost with its till
    assert verdict(request, known(1, 8)) == "fork"


@pytest.mark.parametrize(("first", "last"), [(1, 5), (3, 9), (6, 9), (9, 10)])
def test_the_same_history_goes_on_wherever_it_is_taken_up(first: int, last: int) -> None:
    assert verdict(copy(first, last), known(1, 5)) == "kept"


def test_a_history_that_parts_where_the_copy_begins_is_a_fork() -> None:
    request = msgspec.structs.replace(copy(6, 8, bodies=OTHER))
    judgement = judge_copy(request, copy_links(request), known(1, 5), is_here=False)
    assert (judgement.verdict, judgement.contradicted) == ("fork", 5)


def test_a_copy_that_is_here_is_not_kept_again() -> None:
    request = copy(2, 5)
    judgement = judge_copy(request, copy_links(request), known(1, 5), is_here=True)
    assert judgement.verdict == "known"


@pytest.mark.parametrize(
    "change",
    [
        {"records": BODIES[:4]},
        {"records": BODIES[:6]},
        {"from_seq": 2},
        {"previous_hash": b"p" * 32},
        {"records": (b"x", *BODIES[1:5])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_records_that_do_not_lead_to_their_head_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(MalformedMessageError):
        copy_links(msgspec.structs.replace(copy(1, 5), **change))


# What a till makes of what is known of it


def standing(
    seq: int, *, link: bytes = b"", number: int = 3, incarnation: bytes = INCARNATION
) -> str:
    """Judge a head against a till that stands at record 6 and keeps no record before 3."""
    head = SignedHead(
        till_id=TILL,
        incarnation=incarnation,
        incarnation_number=number,
        seq=seq,
        head=link or CHAIN[seq],
    )
    return judge_known(
        head,
        incarnation=INCARNATION,
        incarnation_number=3,
        last_seq=6,
        hash_at=lambda at: CHAIN[at] if 3 <= at <= 6 else None,
    )


def test_what_the_stream_holds_vouches_for_it() -> None:
    assert standing(6) == standing(4) == "continues"


def test_what_the_stream_does_not_hold_any_more_proves_that_the_past_came_back() -> None:
    assert standing(7) == "amnesia"
    assert standing(6, link=b"h" * 32) == "amnesia"
    assert standing(4, link=b"h" * 32) == "amnesia"
    assert standing(1, number=4, incarnation=b"later..!") == "amnesia"
    assert standing(1, number=3, incarnation=b"beside.!") == "amnesia"


def test_what_is_not_kept_any_more_and_streams_before_this_one_prove_nothing() -> None:
    assert standing(2) == "silent"
    assert standing(9, number=2, incarnation=b"before.!") == "silent"

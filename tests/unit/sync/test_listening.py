"""An answer in few bytes means what the whole one says."""

import dataclasses

import msgspec
import pytest

from loyalty.account import AccountSnapshot
from sync.errors import MalformedMessageError
from sync.listening import (
    FreshAnswer,
    ListenAnswer,
    changed_accounts,
    changed_rows,
    lengthened,
    shortened,
    snapshot_of,
    stamp_of,
)
from sync.messages import AccountRow, Applied, Cursor, OutcomeRow, PullAnswer
from sync.short_grants import Holder

OURS, BEFORE = b"our life", b"a former"
CURSOR = Cursor(epoch=3, transaction=70, row=4)
NOTHING = PullAnswer(cursor=CURSOR, applied_through=0, more=False)


def row(account_id: int, *, card: bytes = b"card", tier: str = "", points: int = 5) -> AccountRow:
    return AccountRow(
        card=card,
        snapshot=AccountSnapshot(
            identified=True, account_id=account_id, tier=tier, points=points, version=points
        ),
        points=points,
    )


def told(
    answer: PullAnswer, known: list[AccountRow], *, holder: Holder | None = None
) -> PullAnswer:
    """Return what a till makes of an answer that came short, with the rows it has."""
    short = shortened(answer, incarnation=OURS, holder=holder)
    meant = lengthened(short, epoch=CURSOR.epoch, incarnation=OURS, holder=holder)
    rows = changed_rows(short, known) if changed_accounts(short) else ()
    assert rows is not None
    return msgspec.structs.replace(meant, accounts=(*meant.accounts, *rows))


def test_nothing_new_is_a_cursor() -> None:
    short = shortened(NOTHING, incarnation=OURS)
    assert short == ListenAnswer(transaction=70, row=4)
    assert lengthened(short, epoch=3, incarnation=OURS).cursor == CURSOR


def test_accounts_the_till_has_are_told_by_what_changed() -> None:
    now = (row(7, points=9), row(7, card=b"other", points=9), row(12, card=b"third", points=8))
    before = [msgspec.structs.replace(r, points=1, held_points=3) for r in now]
    answer = msgspec.structs.replace(
        NOTHING, accounts=now, applied=(Applied(incarnation=OURS, through=6, waiting=(4,)),)
    )
    meant = told(answer, before)
    assert sorted(meant.accounts, key=lambda r: r.card) == sorted(now, key=lambda r: r.card)
    assert meant.applied == answer.applied
    assert changed_accounts(shortened(answer, incarnation=OURS)) == (7, 12)


@pytest.mark.parametrize(
    "known",
    [[], [row(7, tier="gold")], [row(7), row(7, card=b"another card")], [row(8)]],
)
def test_a_till_that_has_another_account_asks_for_it_whole(known: list[AccountRow]) -> None:
    short = shortened(msgspec.structs.replace(NOTHING, accounts=(row(7),)), incarnation=OURS)
    assert changed_rows(short, known) is None


def test_an_account_asked_for_comes_whole() -> None:
    answer = msgspec.structs.replace(NOTHING, accounts=(row(7), row(8, card=b"eight")))
    short = shortened(answer, incarnation=OURS, whole=[answer.accounts[0]])
    assert changed_accounts(short) == (8,)
    assert lengthened(short, epoch=3, incarnation=OURS).accounts == (row(7),)


def test_every_outcome_is_told() -> None:
    outcomes = (
        *(OutcomeRow(seq=seq, incarnation=OURS, outcome="accepted") for seq in (2, 3, 4, 9)),
        OutcomeRow(seq=5, incarnation=OURS, outcome="accepted", reason="clock_adjusted"),
        OutcomeRow(seq=6, incarnation=OURS, outcome="adjusted", reason="why", points=-3),
        OutcomeRow(seq=2, incarnation=BEFORE, outcome="accepted"),
    )
    answer = msgspec.structs.replace(NOTHING, outcomes=outcomes)
    short = shortened(answer, incarnation=OURS)
    assert short.accepted == {"": (2, 3, 9, 1), "clock_adjusted": (5, 1)}
    assert set(told(answer, []).outcomes) == set(outcomes)


def test_all_else_travels_as_in_a_pull() -> None:
    answer = msgspec.structs.replace(
        NOTHING,
        more=True,
        recalls=("grant",),
        compare=True,
        accounts=(row(7),),
        applied=(
            Applied(incarnation=OURS, through=6),
            Applied(incarnation=BEFORE, through=2, waiting=(1,)),
        ),
    )
    assert told(answer, [row(7, points=1)]) == answer


def test_a_name_the_centre_does_not_know_makes_the_till_pull() -> None:
    answer = ListenAnswer(transaction=70, row=4, again=True)
    assert lengthened(answer, epoch=3, incarnation=OURS).more


def test_stamps_tell_versions_and_accounts_apart() -> None:
    stamps = {stamp_of(row(7)), stamp_of(row(7, points=6)), stamp_of(row(8))}
    assert len(stamps) == 3
    assert snapshot_of(FreshAnswer(snapshot=b"damaged")) is None


# To a till that reads them: accounts without counters in numbers alone


HOLDER = Holder(41, OURS, b"s" * 16)


def test_accounts_without_counters_are_told_in_numbers_alone() -> None:
    counted = row(9, card=b"ninth", points=7)
    counted = msgspec.structs.replace(
        counted, snapshot=dataclasses.replace(counted.snapshot, counters={"stamps": 2})
    )
    now = (row(7, points=9), row(1_000_012, card=b"third", points=8_000), counted)
    before = [msgspec.structs.replace(r, points=1, held_points=3) for r in now]
    answer = msgspec.structs.replace(NOTHING, accounts=now)
    short = shortened(answer, incarnation=OURS, holder=HOLDER)
    assert [change.step for change in short.changed] == [9]
    assert len(short.moved) == 5 + 9
    assert changed_accounts(short) == (7, 9, 1_000_012)
    meant = told(answer, before, holder=HOLDER)
    assert sorted(meant.accounts, key=lambda r: r.card) == sorted(now, key=lambda r: r.card)


@pytest.mark.parametrize("moved", [b"\x80", b"\x01\x02", b"\xff" * 20])
def test_numbers_that_cannot_be_read_are_malformed(moved: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        changed_accounts(ListenAnswer(transaction=1, row=1, moved=moved))

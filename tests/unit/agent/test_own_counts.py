"""A till's own sales count once: in the account as it was told, or beside it, never both."""

import random
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from agent.journal.own_counts import OwnCounts
from agent.reference_data.cache import Cache, open_cache_database
from loyalty.calculation import Calculation, Counted, Totals
from loyalty.canonical import canonical_bytes
from loyalty.returns import ReturnCalculation
from sync.messages import Applied, Cursor
from sync.records import CalculationInputs, SaleRecord
from tests.support import builders
from tests.support.till import CARD, OTHER_CARD, JoinedTill, customer, receipt

A, B, NOBODY_ELSE = b"card a", b"card b", b"card c"
OTHER = b"\x01" * 8


def calculation(*counted: tuple[str, int], account_id: int = 7, day: int = 5) -> Calculation:
    return Calculation(
        bundle="",
        rounding="",
        account_id=account_id,
        moment=f"2025-03-{day:02}T12:00:00",
        store="store-1",
        lines=(),
        totals=Totals(),
        counted=tuple(Counted(counter=name, plus=plus) for name, plus in counted),
    )


def sell(till: JoinedTill, key: str, made: Calculation, *, card: bytes = A) -> int:
    """Append a sale, as recording one does."""
    journal = till.till.journal
    inputs = CalculationInputs(
        bundle="",
        basket=builders.basket(),
        moment=builders.moment(),
        place=builders.place(),
        account=builders.account(made.account_id),
    )
    raw = msgspec.Raw(canonical_bytes(made))
    record = SaleRecord(at_ms=0, key=key, version=1, inputs=inputs, calculation=raw)
    with journal.transaction():
        seq = journal.stream.append(record)
        head = journal.stream.head()
        journal.own_counts.add_sale(key, made, card=card, incarnation=head.incarnation, seq=seq)
    return seq


def told(till: JoinedTill, through: int, *waiting: int) -> tuple[Applied, ...]:
    incarnation = till.till.journal.stream.head().incarnation
    return (Applied(incarnation=incarnation, through=through, waiting=waiting),)


def pending(
    till: JoinedTill,
    applied: tuple[Applied, ...] = (),
    *,
    account_id: int = 7,
    cards: Iterable[bytes] = (A,),
) -> tuple[int, dict[str, int]]:
    own = till.till.journal.own_counts.of_account(account_id, list(cards), applied)
    return own.purchases, own.counters


def test_only_what_the_account_does_not_hold_is_added(alone: JoinedTill) -> None:
    seqs = [sell(alone, f"k{n}", calculation(("uses:x", 1), (f"stamps:{n}", n))) for n in (1, 2, 3)]
    assert seqs == [2, 3, 4]  # the first record opens the stream
    every = (3, {"uses:x": 3, "stamps:1": 1, "stamps:2": 2, "stamps:3": 3})
    assert pending(alone) == every  # nobody says what is in it
    assert pending(alone, told(alone, 0)) == pending(alone, told(alone, 1)) == every
    assert pending(alone, told(alone, 3)) == (1, {"uses:x": 1, "stamps:3": 3})
    assert pending(alone, told(alone, 4)) == pending(alone, told(alone, 99)) == (0, {})
    assert pending(alone, told(alone, 4, 2, 3)) == (2, {"uses:x": 2, "stamps:1": 1, "stamps:2": 2})
    assert pending(alone, told(alone, 4, 1)) == (0, {})  # the opening counts nothing


def test_other_accounts_and_cards_have_their_own(alone: JoinedTill) -> None:
    sell(alone, "k1", calculation(("uses:x", 1)))
    sell(alone, "k2", calculation(("uses:x", 1), account_id=8), card=B)
    sell(alone, "k3", calculation(("uses:x", 1), account_id=0), card=B)
    sell(alone, "k4", calculation(("uses:x", 1), account_id=0), card=NOBODY_ELSE)
    assert pending(alone) == (1, {"uses:x": 1})
    assert pending(alone, cards=(A, B)) == (2, {"uses:x": 2})  # one card the till did not know
    assert pending(alone, account_id=8, cards=()) == (1, {"uses:x": 1})
    assert pending(alone, account_id=9, cards=()) == (0, {})
    assert alone.till.journal.own_counts.of_card(B).counters == {"uses:x": 2}


def test_a_sale_to_nobody_counts_nothing(alone: JoinedTill) -> None:
    sell(alone, "k1", calculation(("uses:x", 1), account_id=0), card=b"")
    assert alone.till.journal.own_counts.of_card(b"") == OwnCounts()


def test_the_last_use_is_told_with_its_place(alone: JoinedTill) -> None:
    sell(alone, "k1", calculation(("uses:x", 1), day=7))
    sell(alone, "k2", calculation(("uses:x", 1), day=6))
    own = alone.till.journal.own_counts.of_account(7, [], ())
    assert own.last_used == {"uses:x": "2025-03-07T12:00:00 store store-1"}


def test_a_journal_begun_after_the_account_was_told_is_in_no_part_of_it(alone: JoinedTill) -> None:
    sell(alone, "k1", calculation(("uses:x", 1)))
    stranger = (Applied(incarnation=OTHER, through=99),)
    assert pending(alone, stranger) == (1, {"uses:x": 1})


def test_a_new_stream_takes_along_what_it_repeats(alone: JoinedTill) -> None:
    sell(alone, "k1", calculation(("uses:x", 1)))
    before = told(alone, 2)
    with alone.till.journal.transaction():
        alone.till.journal.stream.move_acked(2, durable_seq=2)
    sell(alone, "k2", calculation(("stamps:y", 1)))
    in_old = Applied(incarnation=before[0].incarnation, through=3, waiting=(2,))
    alone.till.start_incarnation("amnesia")
    # k2 was not acknowledged: it is record 2 of the new stream. k1 stays where it was.
    assert pending(alone, before) == (1, {"stamps:y": 1})
    assert pending(alone, told(alone, 1)) == (1, {"stamps:y": 1})
    assert pending(alone, told(alone, 2)) == (0, {})
    assert pending(alone, (*told(alone, 2), in_old)) == (1, {"uses:x": 1})


def test_a_return_takes_off_again_until_the_account_was_told_with_it(alone: JoinedTill) -> None:
    journal = alone.till.journal
    sell(alone, "k1", calculation(("stamps:y", 3), account_id=0))
    made = ReturnCalculation(
        bundle="",
        account_id=0,
        date="2025-03-06",
        lines=(),
        money_back_minor=0,
        points_back=(),
        taken_back=(),
        counted_back=(Counted(counter="stamps:y", plus=2), Counted(counter="stamps:y", plus=1)),
        completes=True,
    )
    with journal.transaction():
        journal.own_counts.add_return(
            "r1", made, original_key="k1", incarnation=journal.stream.head().incarnation, seq=3
        )
    assert pending(alone) == (0, {"stamps:y": 0})
    assert pending(alone, told(alone, 2)) == (-1, {"stamps:y": -3})
    assert pending(alone, told(alone, 3)) == (0, {})


def test_a_return_of_nobodys_receipt_takes_off_nothing(alone: JoinedTill) -> None:
    journal = alone.till.journal
    made = ReturnCalculation(
        bundle="",
        account_id=0,
        date="2025-03-06",
        lines=(),
        money_back_minor=0,
        points_back=(),
        taken_back=(),
        counted_back=(Counted(counter="stamps:y", plus=2),),
    )
    with journal.transaction():
        journal.own_counts.add_return(
            "r1", made, original_key="k1", incarnation=journal.stream.head().incarnation, seq=3
        )
    assert journal.own_counts.of_card(b"") == OwnCounts()


def test_what_is_told_and_what_is_added_is_always_everything_once(
    alone: JoinedTill, seed: int
) -> None:
    draw = random.Random(seed)
    seqs = {sell(alone, f"k{n}", calculation(("uses:x", 2**n))): 2**n for n in range(12)}
    for _ in range(50):
        applied = {seq for seq in seqs if draw.random() < 0.5}
        kept = draw.choice([1, *seqs])
        waiting = [seq for seq in range(1, kept + 1) if seq not in applied]
        inside = sum(seqs.get(seq, 0) for seq in range(1, kept + 1) if seq in applied)
        _, counters = pending(alone, told(alone, kept, *waiting))
        assert inside + counters.get("uses:x", 0) == 2**12 - 1


# At the cache


def test_an_older_account_replaces_neither_the_newer_one_nor_what_it_holds(
    alone: JoinedTill,
) -> None:
    cache, new = alone.till.cache, customer(version=3, points=5)
    cache.put_accounts((new,), told(alone, 9))
    cache.put_accounts((customer(version=2),), told(alone, 4))
    known = cache.told(new.card)
    assert known is not None
    assert (known.account, known.applied) == (new, told(alone, 9))
    cache.put_accounts((customer(version=3),), told(alone, 9, 8))
    known = cache.told(new.card)
    assert known is not None
    assert known.applied == told(alone, 9, 8)


def test_the_cards_of_an_account_are_known(alone: JoinedTill) -> None:
    one, other = customer(), customer(OTHER_CARD)
    alone.till.cache.put_accounts((one, other, customer("4000 9", 8)))
    assert set(alone.till.cache.cards_of(7)) == {one.card, other.card}


@pytest.mark.parametrize("times", [1, 2])
def test_a_cache_of_an_earlier_release_keeps_what_it_has(tmp_path: Path, times: int) -> None:
    path = str(tmp_path / "cache.db")
    database = open_cache_database(path)
    cache = Cache(database)
    row = customer(points=5)
    cache.put_accounts((row,), (Applied(incarnation=OTHER, through=4),))
    cache.put_value("cursor", Cursor(row=17))
    with database.transaction():
        database.run("alter table account drop column applied")
    cache.close()
    for _ in range(times):
        cache = Cache(open_cache_database(path))
        known = cache.told(row.card)
        assert known is not None
        assert (known.account, known.applied, cache.cursor()) == (row, (), Cursor(row=17))
        cache.close()


# At the register


def test_a_customer_is_shown_with_what_the_till_has_sold_since(joined: JoinedTill) -> None:
    assert joined.centre is not None
    joined.centre.knows(customer())
    joined.talk()
    joined.update(receipt(card=CARD))
    sell(joined, "k1", calculation(("uses:x", 1)))
    answer = joined.complete(receipt(card=CARD), 1_000)
    assert answer.outcome == "recorded"
    sale = joined.own_records()[-1]
    account = sale.inputs.account  # type: ignore[union-attr]
    assert (account.purchases, account.counters) == (1, {"uses:x": 1})
    assert account.last_used == {"uses:x": "2025-03-05T12:00:00 store store-1"}
    assert pending(joined, cards=()) == (2, {"uses:x": 1})

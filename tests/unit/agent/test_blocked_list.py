"""A blocked card is known as such at every till, with a line or without."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.journal.database import Database
from agent.reference_data.blocked_list import BlockedList, ToldUpTo
from agent.reference_data.cache import Cache, open_cache_database
from loyalty.offers import PointsPerMoney
from loyalty.outcomes import Outcome
from sync.blocked import BLOCKED_CARD_BYTES, BlockedCards, cards_in
from sync.limits import BLOCKED_CARDS_MAX
from sync.messages import AuthoriseRequest
from tests.support import builders
from tests.support.builders import offer
from tests.support.till import CARD, FakeCentre, JoinedTill, customer, receipt

TEN = receipt(card=CARD)
ONE, TWO, THREE = (bytes([number]) * 8 for number in (1, 2, 3))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_cache_database(str(tmp_path / "cache.db"))
    yield database
    database.close()


def held(blocked: BlockedList) -> set[bytes]:
    return {card for card in (ONE, TWO, THREE) if blocked.holds(card + b"the rest")}


def test_the_list_is_what_was_told_last(database: Database) -> None:
    blocked = Cache(database).blocked
    assert blocked.told() is None
    assert held(blocked) == set()
    blocked.take(BlockedCards(epoch=1, version=2, is_whole=True, blocked=ONE + TWO))
    assert (held(blocked), blocked.told()) == ({ONE, TWO}, ToldUpTo(1, 2))
    blocked.take(BlockedCards(epoch=1, version=4, blocked=THREE, lifted=ONE))
    assert (held(blocked), blocked.told()) == ({TWO, THREE}, ToldUpTo(1, 4))
    blocked.take(BlockedCards(epoch=1, version=4, blocked=THREE, lifted=ONE))
    assert (held(blocked), blocked.told()) == ({TWO, THREE}, ToldUpTo(1, 4))
    blocked.take(BlockedCards(epoch=2, version=1, is_whole=True, blocked=ONE))
    assert (held(blocked), blocked.told()) == ({ONE}, ToldUpTo(2, 1))


def test_a_list_told_anew_takes_the_place_of_the_old_one_when_its_last_piece_is_here(
    database: Database,
) -> None:
    blocked = Cache(database).blocked
    blocked.take(BlockedCards(epoch=1, version=3, is_whole=True, blocked=ONE + TWO))
    blocked.take(BlockedCards(epoch=2, version=1, is_whole=True, blocked=TWO, goes_on=True))
    assert held(blocked) == {ONE, TWO}, "the line may break here for days"
    blocked.take(BlockedCards(epoch=3, version=1, is_whole=True, blocked=THREE, goes_on=True))
    assert held(blocked) == {ONE, TWO, THREE}
    blocked.take(BlockedCards(epoch=3, version=2, blocked=TWO))
    assert (held(blocked), blocked.told()) == ({TWO, THREE}, ToldUpTo(3, 2))
    blocked.take(BlockedCards(epoch=3, version=3, lifted=THREE))
    assert held(blocked) == {TWO}


def test_it_is_still_there_after_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "cache.db")
    first = open_cache_database(path)
    Cache(first).blocked.take(BlockedCards(epoch=1, version=2, is_whole=True, blocked=ONE))
    first.close()
    second = open_cache_database(path)
    assert held(Cache(second).blocked) == {ONE}
    second.close()


def test_it_keeps_no_more_than_it_may_and_forgets_the_oldest(database: Database) -> None:
    blocked = Cache(database).blocked
    blocked.take(BlockedCards(epoch=1, version=1, is_whole=True, blocked=ONE + TWO))
    # As if so many others had come between.
    database.run("update blocked set place = place + ? where card = ?", BLOCKED_CARDS_MAX, TWO)
    blocked.take(BlockedCards(epoch=1, version=2, blocked=THREE))
    assert held(blocked) == {TWO, THREE}


def test_a_list_that_was_cut_short_names_no_half_card() -> None:
    assert cards_in(ONE + TWO[:5]) == [ONE]
    assert cards_in(b"") == []


# At the register


def test_a_card_on_the_list_earns_and_does_not_redeem_though_its_points_are_here(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.talk()
    centre.knows(customer(points=300))
    centre.grants(100)
    centre.publishes(builders.bundle(offer("points", PointsPerMoney(points=1, per_minor=100))))
    joined.talk()
    listed = joined.till.card_hash(CARD)[:BLOCKED_CARD_BYTES]
    joined.till.cache.blocked.take(BlockedCards(epoch=1, version=1, is_whole=True, blocked=listed))
    centre.questions.clear()
    answer = joined.reserve(TEN, 50)
    assert (answer.outcome, answer.reserved_points) == (Outcome.RIGHTS_EXHAUSTED, 0)
    assert centre.asked(AuthoriseRequest) == []
    assert answer.customer is not None
    assert answer.customer.blocked
    joined.till.cache.blocked.take(BlockedCards(epoch=1, version=2, lifted=listed))
    assert joined.reserve(receipt(card=CARD, version=2), 50).reserved_points == 50


def test_a_card_nobody_knows_here_is_known_to_be_blocked(joined: JoinedTill) -> None:
    listed = joined.till.card_hash(CARD)[:BLOCKED_CARD_BYTES]
    joined.till.cache.blocked.take(BlockedCards(epoch=1, version=1, is_whole=True, blocked=listed))
    answer = joined.update(TEN)
    assert answer.customer is not None
    assert answer.customer.blocked

"""Every till learns of every blocked card, whoever's customer it is, in few bytes and in order."""

import asyncio
import random
from pathlib import Path

import pytest

from agent.till_service.identify import identify
from agent.till_service.presenting import Presented
from central.ledger.card_moves import move_card
from central.ledger.places import drop_cards
from central.rights.blocking import set_blocked
from central.tills.blocked_cards import read_blocked
from central.tills.feed import begin_epoch
from sync.blocked import BLOCKED_CARD_BYTES, BlockedCards, cards_in
from sync.cycle import PATH_PULL
from sync.listening import PATH_LISTEN, Listen, ListenAnswer, lengthened
from sync.messages import Pull, PullAnswer
from tests.support.centre import JoinedCentre
from tests.support.till_on_centre import TillOnCentre
from tests.support.till_probe import TillProbe


async def block(centre: JoinedCentre, account_id: int, *, blocked: bool = True) -> None:
    async with centre.pool.acquire() as connection, connection.transaction():
        await set_blocked(connection, account_id, blocked=blocked)


async def hand_on(centre: JoinedCentre, card: bytes, to_account: int) -> None:
    now_ms = centre.system.now_ms()
    await move_card(centre.pool, card, to_account, person="ann", reason="found", now_ms=now_ms)


async def do_away(centre: JoinedCentre, account_id: int) -> None:
    """Delete an account's cards."""
    async with centre.pool.acquire() as connection, connection.transaction():
        gone = "delete from card where account_id = $1 returning card"
        cards = [card for (card,) in await connection.fetch(gone, account_id)]
        await drop_cards(connection, account_id, cards, programme="")


async def till_elsewhere(centre: JoinedCentre) -> TillProbe:
    """Return a till of a store that none of the customers has ever been to."""
    await centre.store("store-9")
    till = await centre.till("store-9")
    till.blocked = (0, 0)
    return till


def on_the_list(till: TillProbe, *numbers: str) -> set[bytes]:
    return {till.card(number)[:BLOCKED_CARD_BYTES] for number in numbers}


async def test_a_till_of_another_store_learns_of_a_block_and_of_its_end(
    centre: JoinedCentre,
) -> None:
    till = await till_elsewhere(centre)
    await centre.load(
        {"kind": "account", "account_id": 7, "home_store": "store-1", "cards": ["4000", "4001"]}
    )
    await block(centre, 7)
    answer = await till.pull()
    assert answer.accounts == ()
    assert till.blocked_cards == on_the_list(till, "4000", "4001")
    assert (await till.pull()).blocked is None
    await block(centre, 7, blocked=False)
    await till.pull()
    assert till.blocked_cards == set()


async def test_only_what_has_changed_is_told(centre: JoinedCentre) -> None:
    till = await till_elsewhere(centre)
    for account_id in (7, 8):
        await centre.customer(account_id, card=f"card {account_id}")
        await block(centre, account_id)
        answer = await till.pull()
        assert answer.blocked is not None
        assert answer.blocked.is_whole == (account_id == 7)
        assert len(answer.blocked.blocked) == BLOCKED_CARD_BYTES
    assert till.blocked_cards == on_the_list(till, "card 7", "card 8")


async def test_a_till_that_keeps_no_list_and_a_revoked_one_are_told_none(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, card="4000")
    await block(centre, 7)
    till = await centre.till()
    assert (await till.pull()).blocked is None
    till.blocked = (0, 0)
    await centre.pool.execute("update till set revoked = true")
    assert (await till.pull()).blocked is None


async def test_a_card_of_a_blocked_account_is_on_the_list_as_soon_as_it_is_known(
    centre: JoinedCentre,
) -> None:
    till = await till_elsewhere(centre)
    await centre.customer(7, card="4000")
    await block(centre, 7)
    await till.pull()
    await centre.customer(7, card="4001")
    await till.pull()
    assert till.blocked_cards == on_the_list(till, "4000", "4001")
    # It is handed to somebody who is not blocked, and one is done away with.
    await centre.customer(8)
    await hand_on(centre, till.card("4001"), 8)
    await do_away(centre, 7)
    await till.pull()
    assert till.blocked_cards == set()


async def test_in_another_programme_the_card_is_as_good_as_any(centre: JoinedCentre) -> None:
    till = await till_elsewhere(centre)
    await centre.customer(7, card="4000")
    await centre.pool.execute("insert into programme (programme) values ('blue')")
    await centre.pool.execute("insert into account (account_id, programme) values (8, 'blue')")
    await centre.pool.execute(
        "insert into card (card, account_id, programme) values ($1, 8, 'blue')", till.card("4000")
    )
    await block(centre, 8)
    await till.pull()
    assert till.blocked_cards == set()
    await block(centre, 7)
    await block(centre, 8, blocked=False)
    await till.pull()
    assert till.blocked_cards == on_the_list(till, "4000")


async def test_a_list_that_does_not_fit_is_told_in_pages(centre: JoinedCentre) -> None:
    till = await till_elsewhere(centre)
    for account_id in range(1, 61):
        await centre.customer(account_id, card=f"card {account_id}")
        await block(centre, account_id)
    pages = []
    more = True
    while more:
        answer = await till.pull(bytes_max=1_024)
        assert answer.blocked is not None
        pages.append(len(answer.blocked.blocked) // BLOCKED_CARD_BYTES)
        more = answer.more
    assert pages == [25, 25, 10]
    assert till.blocked_cards == on_the_list(till, *(f"card {n}" for n in range(1, 61)))


async def test_of_a_long_list_a_new_till_is_told_those_blocked_last(
    centre: JoinedCentre,
) -> None:
    till = await till_elsewhere(centre)
    for account_id in (7, 8, 9):
        await centre.customer(account_id, card=f"card {account_id}")
        await block(centre, account_id)
    async with centre.pool.acquire() as connection:
        told, has_more = await read_blocked(
            connection, (0, 0), programme="", epoch=1, newest=3, room_bytes=1_000, list_max=2
        )
    assert told is not None
    assert set(cards_in(told.blocked)) == on_the_list(till, "card 8", "card 9")
    assert not has_more


async def test_after_a_restore_the_list_begins_anew(centre: JoinedCentre) -> None:
    till = await till_elsewhere(centre)
    for account_id in (7, 8):
        await centre.customer(account_id, card=f"card {account_id}")
        await block(centre, account_id)
    await till.pull()
    # What the copy does not know has never happened.
    await centre.pool.execute("delete from blocked_card where version = 2")
    await centre.pool.execute("update blocked_state set version = 1")
    await begin_epoch(centre.pool, now_ms=0)
    await till.pull()
    assert till.blocked_cards == on_the_list(till, "card 7")
    assert till.blocked == (2, 1)


async def test_a_block_that_commits_later_is_never_passed_over(centre: JoinedCentre) -> None:
    till = await till_elsewhere(centre)
    for account_id in (7, 8):
        await centre.customer(account_id, card=f"card {account_id}")
    async with centre.pool.acquire() as slow:
        begun = slow.transaction()
        await begun.start()
        await set_blocked(slow, 7, blocked=True)
        other = asyncio.create_task(block(centre, 8))
        await till.pull()
        assert till.blocked_cards == set()
        await begun.commit()
        await other
    await till.pull()
    assert till.blocked_cards == on_the_list(till, "card 7", "card 8")


async def test_what_travels_in_few_bytes_says_the_same(centre: JoinedCentre) -> None:
    till = await till_elsewhere(centre)
    await centre.customer(7, card="4000")
    await block(centre, 7)
    plain = await till.ask(PATH_PULL, till.pull_message(), PullAnswer)
    listen = Listen(epoch=1, transaction=0, row=0, seq=0, wait_s=0, blocked=0)
    answer = await till.ask(PATH_LISTEN, listen, ListenAnswer)
    meant = lengthened(answer, epoch=1, incarnation=till.incarnation)
    assert meant.blocked == plain.blocked is not None


# With a till


async def test_without_a_line_a_till_knows_a_blocked_card_of_another_stores_customer(
    centre: JoinedCentre, tmp_path: Path
) -> None:
    await centre.store("store-9")
    await centre.customer(7, 300, card="stranger", home="store-9")
    till = await TillOnCentre.enrolled(centre, tmp_path / "till")
    identified = identify(till.joined.till, Presented(card=till.joined.till.card_hash("stranger")))
    for is_blocked in (True, False):
        await block(centre, 7, blocked=is_blocked)
        await till.talk()
        till.joined.till.link_up = False
        with pytest.raises(StopIteration) as known:
            next(identified)
        assert (known.value.value.account.account_id, known.value.value.blocked) == (0, is_blocked)
        identified = identify(
            till.joined.till, Presented(card=till.joined.till.card_hash("stranger"))
        )
    till.close()


async def test_a_list_of_another_epoch_is_asked_for_with_its_epoch(
    centre: JoinedCentre, tmp_path: Path
) -> None:
    till = await TillOnCentre.enrolled(centre, tmp_path / "till")
    side, told = till.joined.side, till.joined.till.cache.blocked
    told.take(BlockedCards(epoch=1, version=5))
    ask = side.listen(0)
    assert isinstance(ask.message, Listen)
    assert ask.message.blocked == 5
    told.take(BlockedCards(epoch=4, version=5))
    ask = side.listen(0)
    assert isinstance(ask.message, Pull)
    assert ask.message.blocked == (4, 5)
    till.close()


# At random


async def blocked_at_the_centre(centre: JoinedCentre) -> set[bytes]:
    rows = await centre.pool.fetch(
        "select substr(c.card, 1, 8) as beginning from card c join account a using (account_id)"
        " where a.blocked"
    )
    return {row["beginning"] for row in rows}


async def happens(centre: JoinedCentre, what: str, account_id: int, draw: random.Random) -> None:
    match what:
        case "block" | "lift":
            await block(centre, account_id, blocked=what == "block")
        case "card":
            await centre.customer(account_id, card=f"new {draw.random()}")
        case "gone":
            await do_away(centre, account_id)
        case "move":
            to_account = draw.randint(1, 20)
            cards = "select card from card where account_id = $1 and account_id <> $2 order by card"
            for (card,) in await centre.pool.fetch(cards, account_id, to_account):
                await hand_on(centre, card, to_account)
        case _ if draw.random() < 0.2:
            await begin_epoch(centre.pool, now_ms=0)


async def test_whatever_happens_a_till_ends_with_the_list_as_it_is(
    centre: JoinedCentre, seed: int
) -> None:
    draw = random.Random(seed)
    till = await till_elsewhere(centre)
    for account_id in range(1, 21):
        await centre.customer(account_id, card=f"card {account_id}")
    for _ in range(120):
        what = draw.choice(("block", "block", "lift", "card", "gone", "move", "epoch"))
        await happens(centre, what, draw.randint(1, 20), draw)
        if draw.random() < 0.3:  # and every other answer is lost
            await till.pull(bytes_max=1_024, receive=draw.random() < 0.5)
    while (await till.pull(bytes_max=1_024)).blocked is not None:
        pass
    assert till.blocked_cards == await blocked_at_the_centre(centre)

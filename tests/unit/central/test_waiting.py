"""A pull waits for what is urgent, is answered when there is some, and takes no connection."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager

import msgspec
import pytest
import pytest_asyncio

from central.database.doors import AGAIN_PER_S, Door
from central.rights.blocking import set_blocked
from central.tills.listening import hear, listen_for_ever
from central.tills.waiting import (
    ANYTHING,
    CLOSED,
    HELD_MAX,
    PACE_KNOWN_S,
    REPLACED,
    RULES,
    WOKEN_A_TURN,
    Seat,
    WaitingRoom,
)
from sync.cycle import PATH_PULL
from sync.errors import RefusedError
from sync.messages import Cursor, PullAnswer
from tests.support import builders
from tests.support.centre import BUNDLE, STORE, JoinedCentre
from tests.support.till_probe import TillProbe

LONG_S = 600
CROWD = 1_000


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the database has no event for it
            await asyncio.sleep(0.001)


@pytest_asyncio.fixture
async def holding(centre: JoinedCentre) -> AsyncIterator[JoinedCentre]:
    """Give a centre in which pulls wait, and which hears from its database."""
    room = centre.parts.desk.room
    room.hold_s_max = LONG_S
    listening = asyncio.create_task(listen_for_ever(centre.pool, room, centre.parts.desk.directory))
    await until(lambda: room.hold_s(LONG_S) > 0)
    yield centre
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


class Listener:
    """A till that has heard everything, and a pull of it that waits."""

    def __init__(self, centre: JoinedCentre, till: TillProbe, roster: str) -> None:
        self.till = till
        self.centre = centre
        self.room = centre.parts.desk.room
        self._roster = roster

    async def begin(self) -> asyncio.Task[PullAnswer]:
        """Ask; returns once the centre has found nothing urgent and waits."""
        await self.centre.apply()
        asked = msgspec.structs.replace(
            self.till.pull_message(), wait_s=LONG_S, roster=self._roster
        )
        task = asyncio.create_task(self.till.ask(PATH_PULL, asked, PullAnswer))
        await until(lambda: self.room.waits(self.till.till_id) or task.done())
        return task

    async def take(self, task: asyncio.Task[PullAnswer]) -> PullAnswer:
        async with asyncio.timeout(20):
            answer = await task
        self.till.cursor = answer.cursor
        return answer


async def listener(centre: JoinedCentre, *, is_vault: bool = False) -> Listener:
    till = await centre.till(is_vault=is_vault)
    answer = await till.pull()
    while answer.more or answer.grants:
        await till.push()
        await centre.apply()
        answer = await till.pull()
    assert answer.roster is not None
    return Listener(centre, till, answer.roster.version)


async def test_hello_says_how_long_a_pull_may_wait(holding: JoinedCentre) -> None:
    till = await holding.till()
    assert (await till.hello()).hold_s == LONG_S


async def test_a_pull_waits_without_a_connection_while_nothing_is_urgent(
    holding: JoinedCentre,
) -> None:
    await holding.customer(7, 100, home=STORE, card="4000")
    heard = await listener(holding)
    task = await heard.begin()
    # A balance that has changed is no reason to wake a till.
    await holding.pool.execute("insert into feed (scope, account_id) values ('store:store-1', 7)")
    await asyncio.sleep(0)
    assert not task.done()
    assert holding.pool.get_idle_size() == holding.pool.get_size() - 1
    holding.parts.desk.room.wake_all()
    answer = await heard.take(task)
    assert [row.snapshot.account_id for row in answer.accounts] == [7]


async def test_a_pull_that_waits_takes_no_place_from_others(holding: JoinedCentre) -> None:
    front = holding.parts.desk.front
    other = await holding.till()
    heard = await listener(holding)
    front.others = Door(running_max=1, waiting_max=0, wait_s_max=LONG_S)
    task = await heard.begin()
    assert (await other.hello()).verdict == "ok"
    assert not task.done()
    async with front.others:
        heard.room.wake(heard.till.till_id)
        with pytest.raises(RefusedError, match="overloaded"):
            await heard.take(task)  # a look needs one
    await heard.till.pull()


async def test_a_blocked_card_is_heard_of_at_once(holding: JoinedCentre) -> None:
    await holding.customer(7, 100, home=STORE, card="4000")
    heard = await listener(holding)
    task = await heard.begin()
    async with holding.pool.acquire() as connection, connection.transaction():
        await set_blocked(connection, 7, blocked=True)
    answer = await heard.take(task)
    assert [row.blocked for row in answer.accounts] == [True]


async def test_points_asked_back_are_heard_of_at_once(holding: JoinedCentre) -> None:
    await holding.customer(7, 100, home=STORE, card="4000")
    await holding.store("store-2")
    heard = await listener(holding, is_vault=True)
    assert [grant.points for grant in heard.till.grants.values()] == [100]
    elsewhere = await holding.till("store-2")
    task = await heard.begin()
    wish = await elsewhere.authorise("sale 1", 7, 60)
    assert wish.held_elsewhere_points == 100
    answer = await heard.take(task)
    assert answer.recalls == tuple(heard.till.grants)


async def test_new_rules_are_heard_of_at_once(holding: JoinedCentre) -> None:
    heard = await listener(holding)
    task = await heard.begin()
    hear(heard.room, "a kind of a later release")
    hear(heard.room, "till:999")
    await holding.pool.execute("select pg_notify('tillside_wake', 'rules')")
    assert not task.done()
    rules = await holding.publish(builders.bundle(*BUNDLE.offers, version=2))
    answer = await heard.take(task)
    assert answer.manifest is not None
    assert answer.manifest.bundle == rules.bundle_hash


async def test_another_till_of_the_store_wakes_the_others_by_its_roster(
    holding: JoinedCentre,
) -> None:
    heard = await listener(holding)
    task = await heard.begin()
    other = await holding.till()
    await holding.pool.execute(
        "update till set bus_address = '10.0.0.9:7720' where till_id = $1", other.till_id
    )
    answer = await heard.take(task)
    assert answer.roster is not None
    assert other.till_id in {till.till_id for till in answer.roster.tills}


async def test_urgent_news_does_not_wait(holding: JoinedCentre) -> None:
    heard = await listener(holding)
    asked = msgspec.structs.replace(heard.till.pull_message(), wait_s=LONG_S)  # has no roster
    answer = await heard.take(asyncio.create_task(heard.till.ask(PATH_PULL, asked, PullAnswer)))
    assert answer.roster is not None


async def test_hello_ends_the_pull_that_waits_in_the_session_before(
    holding: JoinedCentre,
) -> None:
    heard = await listener(holding)
    task = await heard.begin()
    await heard.till.hello()
    with pytest.raises(RefusedError, match="session"):
        await heard.take(task)


async def test_a_later_pull_of_the_till_takes_the_place_of_the_one_that_waits(
    holding: JoinedCentre,
) -> None:
    await holding.customer(7, 100, home=STORE, card="4000")
    heard = await listener(holding)
    before = await heard.begin()
    after = await heard.begin()
    answer = await heard.take(before)
    assert (answer.cursor, answer.accounts) == (heard.till.cursor, ())
    assert not after.done()
    assert len(heard.room) == 1
    heard.room.close()
    await heard.take(after)
    assert len(heard.room) == 0


async def test_nobody_waits_where_nobody_listens(centre: JoinedCentre) -> None:
    centre.parts.desk.room.hold_s_max = LONG_S
    heard = await listener(centre)
    asked = msgspec.structs.replace(heard.till.pull_message(), wait_s=LONG_S)
    answer = await heard.till.ask(PATH_PULL, asked, PullAnswer)
    assert answer.cursor != Cursor()


async def test_waking_all_says_what_it_is_about() -> None:
    room = WaitingRoom(hold_s_max=LONG_S)
    with room.seat(1, "a") as first, room.seat(2, "a") as second, room.seat(3, "b") as third:
        room.wake_all(RULES)
        room.wake_store("a")
        assert await third.wait(LONG_S) == RULES
        # Whoever is woken for two reasons looks at everything, but where nobody hears any more.
        assert await second.wait(LONG_S) == ANYTHING
        assert await first.wait(LONG_S) == ANYTHING
        with room.seat(3, "b"):
            assert await third.wait(LONG_S) == REPLACED
        room.close()
        assert await first.wait(LONG_S) == CLOSED


@contextmanager
def crowd() -> Iterator[tuple[WaitingRoom, list[Seat]]]:
    """Give a room in which very many wait."""
    room = WaitingRoom(hold_s_max=LONG_S)
    with ExitStack() as seated:
        yield room, [seated.enter_context(room.seat(till, "a")) for till in range(CROWD)]


def woken(seats: list[Seat]) -> int:
    """Count who was woken."""
    return sum(bool(seat.topics) for seat in seats)


async def test_of_very_many_some_are_woken_in_each_turn_of_the_loop_in_their_order() -> None:
    with crowd() as (room, seats):
        room.wake_all(RULES)
        for turn in range(1, 6):  # a purchase takes as many
            assert woken(seats) == woken(seats[: turn * WOKEN_A_TURN]) == turn * WOKEN_A_TURN
            await asyncio.sleep(0)
        await until(lambda: woken(seats) == CROWD)


async def test_who_comes_behind_comes_when_all_will_be_woken_at_the_pace_so_far(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 1_000.0
    with crowd() as (room, _), monkeypatch.context() as clock:
        clock.setattr(asyncio.get_running_loop(), "time", lambda: now_s)
        for _ in range(2):  # the second one has a pace and a line of its own
            assert room.come_behind() is None
            room.wake_all(RULES)
            now_s += PACE_KNOWN_S / 2
            assert [room.come_behind(), room.come_behind()] == [0, 1 / AGAIN_PER_S]
            now_s += PACE_KNOWN_S / 2
            turns = CROWD // WOKEN_A_TURN
            assert room.come_behind() == (turns - 1) * PACE_KNOWN_S + 2 / AGAIN_PER_S
            await asyncio.sleep(0)
            assert room.come_behind() == (turns / 2 - 1) * PACE_KNOWN_S + 3 / AGAIN_PER_S
            for _ in range(turns):
                await asyncio.sleep(0)
            now_s += 1_000


async def test_a_second_wake_keeps_the_places_of_the_first_and_neither_is_quicker() -> None:
    with crowd() as (room, seats):
        room.wake_all(RULES)
        for seat in seats[:WOKEN_A_TURN]:
            seat.forget(RULES)
        room.wake_all(RULES)
        await asyncio.sleep(0)
        assert woken(seats) == woken(seats[WOKEN_A_TURN : 2 * WOKEN_A_TURN]) == WOKEN_A_TURN
        await until(lambda: woken(seats) == CROWD)


async def test_a_room_that_closes_while_many_are_woken_answers_everybody_at_once() -> None:
    with crowd() as (room, seats):
        room.wake_all(RULES)
        room.close()
        assert {await seat.wait(LONG_S) for seat in seats} == {CLOSED}
        # And whoever sits down afterwards is woken like anybody else.
        with room.seat(CROWD, "a") as late:
            await asyncio.sleep(0)
            room.wake_all(RULES)
            await until(lambda: late.topics == {RULES})


async def test_who_leaves_or_comes_while_many_are_woken_stands_in_nobodys_way() -> None:
    room = WaitingRoom(hold_s_max=LONG_S)
    with ExitStack() as seated:
        gone = ExitStack()
        for till in range(CROWD):
            gone.enter_context(room.seat(till, "a"))
        room.wake_all(RULES)
        gone.close()
        late = seated.enter_context(room.seat(0, "a"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not late.topics  # it has looked for itself
        room.wake_all(RULES)
        assert late.topics == {RULES}


async def test_a_pull_waits_no_longer_than_it_offers_and_the_room_has_an_end() -> None:
    room = WaitingRoom(hold_s_max=60)
    room.open()
    assert [room.hold_s(wait_s) for wait_s in (0, 30, 90)] == [0, 30, 60]
    with room.seat(1, "a") as seat:
        assert await seat.wait(0) == ANYTHING
    assert HELD_MAX > 50_000

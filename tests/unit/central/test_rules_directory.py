"""What a process knows of the rules grows no older, and tills that wait hear what changes."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from central.database.pool import Connection, Pool
from central.rules import directory as directory_module
from central.rules.directory import RuleDirectory
from central.rules.reports import note_report
from central.rules.ways import TillRules
from central.tills import listening
from central.tills.listening import listen_for_ever
from central.tills.waiting import RULES, WaitingRoom
from sync.rule_messages import RulesReport
from tests.support.centre import JoinedCentre
from tests.unit.central.test_rules_life import Office
from tests.unit.central.test_rules_scheduled import MONDAY, rules

WAIT_S = 20


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - the database has no event for it
            await asyncio.sleep(0.01)


class Room(WaitingRoom):
    """Keeps what everybody was woken for, and who was by himself."""

    def __init__(self) -> None:
        super().__init__(hold_s_max=60)
        self.woken: list[str] = []
        self.alone: list[tuple[int, str]] = []

    def wake_all(self, topic: str = "") -> None:
        self.woken.append(topic)
        super().wake_all(topic)

    def wake(self, till_id: int, topic: str = "") -> None:
        self.alone.append((till_id, topic))
        super().wake(till_id, topic)


class Hearing:
    """A process that listens."""

    def __init__(self, centre: JoinedCentre) -> None:
        self.room = Room()
        self.directory = RuleDirectory(centre.pool, centre.system)
        self._pool = centre.pool
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        self._task = asyncio.create_task(listen_for_ever(self._pool, self.room, self.directory))
        await until(lambda: self.room.hold_s(1) > 0)

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


@pytest_asyncio.fixture
async def hearing(centre: JoinedCentre) -> AsyncIterator[Hearing]:
    hearing = Hearing(centre)
    yield hearing
    await hearing.end()


def stands(directory: RuleDirectory, bundle_hash: str) -> bool:
    """Say whether a new till would be given a bundle."""
    told = directory.answer(TillRules(1, "store-1", "", ""))
    return told is not None and told.manifest.bundle == bundle_hash


async def test_a_change_that_a_pull_has_read_first_still_wakes_who_waits(
    centre: JoinedCentre, hearing: Hearing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener writes down what tills were told when a halt comes, and a pull looks."""
    office = await Office.of(centre)
    busy, goes_on = asyncio.Event(), asyncio.Event()
    note_told = hearing.directory.note_told

    async def slow(database: Connection | Pool) -> bool:
        busy.set()
        await goes_on.wait()
        return await note_told(database)

    monkeypatch.setattr(hearing.directory, "note_told", slow)
    await hearing.begin()
    bad = await office.published(await office.approved(rules(90)), "everywhere")
    await asyncio.wait_for(busy.wait(), WAIT_S)
    woken = hearing.room.woken.count(RULES)
    await office.do("halt", bad.version, why="?", by="boris")
    await hearing.directory.refresh()
    goes_on.set()
    await until(lambda: hearing.room.woken.count(RULES) > woken)
    assert not stands(hearing.directory, bad.bundle)


async def test_what_was_read_before_a_halt_does_not_bring_the_release_back(
    centre: JoinedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    office, directory = await Office.of(centre), centre.parts.desk.directory
    await directory.refresh()
    bad = await office.published(await office.approved(rules(90)), "everywhere")
    read = directory_module._read  # noqa: SLF001
    has_read, goes_on = asyncio.Event(), asyncio.Event()

    async def slow(connection: Connection, number: int, now_ms: int) -> directory_module._Known:
        found = await read(connection, number, now_ms)
        has_read.set()
        await goes_on.wait()
        return found

    monkeypatch.setattr(directory_module, "_read", slow)
    older = asyncio.create_task(directory.refresh())
    await asyncio.wait_for(has_read.wait(), WAIT_S)
    monkeypatch.setattr(directory_module, "_read", read)
    await office.do("halt", bad.version, why="?", by="boris")
    newer = asyncio.create_task(directory.refresh())
    await asyncio.wait({newer}, timeout=0.5)  # as quick as it can be
    goes_on.set()
    await asyncio.gather(older, newer)
    assert not stands(directory, bad.bundle)


async def test_a_snapshot_from_before_a_halt_does_not_bring_the_release_back(
    centre: JoinedCentre,
) -> None:
    office, directory = await Office.of(centre), centre.parts.desk.directory
    bad = await office.published(await office.approved(rules(90)), "everywhere")
    async with (
        centre.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await connection.execute("select number from rule_change")
        await office.do("halt", bad.version, why="?", by="boris")
        await directory.refresh()
        await directory.refresh(connection)
        assert not stands(directory, bad.bundle)


async def test_who_listens_anew_takes_what_the_database_says_though_it_lost_changes(
    centre: JoinedCentre, hearing: Hearing
) -> None:
    """A standby that became the server may lack the last changes; their numbers come again."""
    office = await Office.of(centre)
    bad = await office.published(await office.approved(rules(90)), "everywhere")
    await hearing.directory.refresh()
    assert stands(hearing.directory, bad.bundle)
    number = await centre.pool.fetchval("select number from rule_change")
    await centre.pool.execute(
        "update rule_release set state = 'halted' where version = $1", bad.version
    )
    await centre.pool.execute("update rule_change set number = $1", number)
    await hearing.begin()
    assert not stands(hearing.directory, bad.bundle)


async def test_what_a_till_says_to_another_process_is_heard_while_a_release_waits(
    centre: JoinedCentre, hearing: Hearing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in force there was halted before it had said that something waits above it."""
    office = await Office.of(centre)
    good = await office.published(await office.approved(rules(10)), "everywhere")
    bad = await office.published(await office.approved(rules(90)), "everywhere")
    title = await office.approved(rules(20))
    monday = await office.published(title, "everywhere", activate_at=MONDAY)
    await office.do("halt", bad.version, why="?", by="boris")
    monkeypatch.setattr(listening, "_ALIVE_S", 0.05)
    await hearing.begin()
    till = await centre.till()
    taken = (0, monday.version)
    has = TillRules(till.till_id, "store-1", "", monday.bundle, taken)
    assert hearing.directory.answer(has) is None
    woken = hearing.room.woken.count(RULES)
    assert not hearing.room.alone
    waits = RulesReport(version=monday.version, waiting=monday.bundle)
    async with centre.pool.acquire() as connection:
        now_ms = centre.system.now_ms()
        await note_report(connection, till.till_id, bad.bundle, waits, now_ms=now_ms)
    await until(lambda: hearing.room.alone == [(till.till_id, RULES)])
    assert hearing.room.woken.count(RULES) == woken
    told = hearing.directory.answer(has)
    assert told is not None
    assert told.manifest.bundle == good.bundle


async def test_while_nothing_waits_nobody_is_asked_what_tills_have(centre: JoinedCentre) -> None:
    office, directory = await Office.of(centre), centre.parts.desk.directory
    asked: list[str] = []
    for activate_at in ("", MONDAY):
        title = await office.approved(rules(10 + len(activate_at)))
        await office.published(title, "everywhere", activate_at=activate_at)
        await directory.refresh()
        async with centre.pool.acquire() as connection:
            with connection.query_logger(lambda each: asked.append(each.query)):
                assert not await directory.hear_others(connection)
                await asyncio.sleep(0)
        assert bool(asked) is bool(activate_at)

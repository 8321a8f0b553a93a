"""The durable mark: tills keep what no tried copy of the centre holds, and forget what one does."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from agent.journal.pruning import RECORD_DAYS, RECORDS_AT_ONCE
from central.bootstrap import join_centre
from central.database.backups import make_backup, read_manifest, restore_backup
from central.database.drill import drill
from central.database.named_sql import load_queries
from central.database.pool import Pool, open_pool
from central.errors import BadRequestError
from central.rights.issuing import RightsSettings
from central.streams.durable import (
    LATE_MS,
    CopiedStream,
    mark_copy,
    mark_received,
    read_copied,
    require_past,
)
from central.system import System
from sync.codec import encode
from sync.records import SaleRecord, VoidRecord, decode_record
from tests.support.centre import KEYS, NOW_MS, JoinedCentre, joined_centre
from tests.support.command_line import central
from tests.support.explained import plan_by_indexes
from tests.support.postgres import folder_for_postgres
from tests.support.scraping import Scrape, page_of
from tests.support.till import DAY_MS, receipt
from tests.support.till_on_centre import TillOnCentre
from tests.support.till_probe import TillProbe

FIGURES = load_queries("central.observability", "figures.sql")
DAYS = 2 * RECORD_DAYS + 2
EACH_DAY = 30


@pytest_asyncio.fixture
async def waiting(pool: Pool) -> AsyncIterator[JoinedCentre]:
    """Give a centre whose tills wait for copies."""
    async with joined_centre(pool, durable="backup") as centre:
        yield centre


async def pushed(till: TillProbe, *keys: str) -> tuple[int, int]:
    """Hand in records; returns how far they are acknowledged, and the mark."""
    for key in keys:
        till.append(till.void(key))
    answer = await till.push()
    return answer.last_seq, answer.durable_seq


async def copied(centre: JoinedCentre) -> list[CopiedStream]:
    async with centre.pool.acquire() as connection:
        return await read_copied(connection)


async def marks(pool: Pool) -> list[int]:
    rows = await pool.fetch("select durable_seq from till_stream order by till_id")
    return [row["durable_seq"] for row in rows]


async def test_what_is_committed_is_durable_unless_the_setting_says_otherwise(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    assert await pushed(till, "a", "b") == (3, 3)
    answer = await till.hello()
    assert (answer.last_seq, answer.durable_seq, answer.mark_waits) == (3, 3, False)
    assert b"mark_waits" not in encode(answer)  # not a byte more than before


async def test_the_mark_waits_for_a_copy_and_moves_to_what_is_in_it(waiting: JoinedCentre) -> None:
    till = await waiting.till()
    assert await pushed(till, "a", "b") == (3, 0)
    copy = await copied(waiting)
    assert await pushed(till, "c") == (4, 0)
    assert (await mark_copy(waiting.pool, copy)).streams == 1
    answer = await till.hello()
    assert (answer.last_seq, answer.durable_seq, answer.mark_waits) == (4, 3, True)
    assert await pushed(till, "d") == (5, 3)
    # A copy made before says nothing new, and takes nothing back.
    await mark_copy(waiting.pool, await copied(waiting))
    assert (await mark_copy(waiting.pool, copy)).streams == 0
    assert await pushed(till, "e") == (6, 5)


async def test_the_copy_of_another_past_marks_nothing(waiting: JoinedCentre) -> None:
    till, other = await waiting.till(), await waiting.till()
    await pushed(till, "a", "b")
    await pushed(other, "c")
    good, _ = await copied(waiting)
    wrong = [
        CopiedStream(good.till_id, good.incarnation, good.last_seq, b"x" * 32),
        CopiedStream(good.till_id, good.incarnation, 99, good.last_hash),
        CopiedStream(good.till_id, b"another!", good.last_seq, good.last_hash),
    ]
    moved = await mark_copy(waiting.pool, wrong)
    assert (moved.streams, moved.strange) == (0, 3)
    assert await marks(waiting.pool) == [0, 0]
    moved = await mark_copy(waiting.pool, [*wrong, good])
    assert (moved.streams, moved.strange) == (1, 3)
    assert await marks(waiting.pool) == [3, 0]


async def test_a_moment_marks_what_came_safely_before_it(waiting: JoinedCentre) -> None:
    till, quiet = await waiting.till(), await waiting.till()
    await pushed(till, "a")
    await pushed(quiet, "b")
    waiting.system.at_ms += LATE_MS
    await pushed(till, "c")
    waiting.system.at_ms += LATE_MS
    await pushed(till, "d")
    # What came within the last minutes before may have been committed after.
    moved = await mark_received(waiting.pool, NOW_MS + LATE_MS, may_go_back=False)
    assert (moved.streams, await marks(waiting.pool)) == (0, [0, 0])
    moved = await mark_received(waiting.pool, NOW_MS + LATE_MS + 1, may_go_back=False)
    assert (moved.streams, await marks(waiting.pool)) == (2, [2, 2])
    await mark_received(waiting.pool, NOW_MS + 2 * LATE_MS + 1, may_go_back=False)
    assert await marks(waiting.pool) == [3, 2]
    await mark_received(waiting.pool, NOW_MS + 9 * LATE_MS, may_go_back=False)
    assert await marks(waiting.pool) == [4, 2]


async def test_a_record_that_came_early_by_another_way_does_not_pass_for_those_before_it(
    waiting: JoinedCentre,
) -> None:
    till = await waiting.till()
    await pushed(till, "a", "b", "c", "d")
    # A sibling had handed in the last two, kept beside the stream, before the others came.
    await waiting.pool.execute(
        "update inbox set received_at_ms = received_at_ms + $1 where seq between 2 and 3", LATE_MS
    )
    await mark_received(waiting.pool, NOW_MS + LATE_MS + 1, may_go_back=False)
    assert await marks(waiting.pool) == [1]


async def test_marks_go_back_only_when_that_is_asked_for(waiting: JoinedCentre) -> None:
    till = await waiting.till()
    await pushed(till, "a")
    waiting.system.at_ms += 2 * LATE_MS
    await pushed(till, "b")
    await mark_copy(waiting.pool, await copied(waiting))
    early_ms = NOW_MS + LATE_MS + 1
    moved = await mark_received(waiting.pool, early_ms, may_go_back=False)
    assert (moved.streams, moved.beyond, await marks(waiting.pool)) == (0, 1, [3])
    moved = await mark_received(waiting.pool, early_ms, may_go_back=True)
    assert (moved.streams, moved.back, await marks(waiting.pool)) == (1, 1, [2])
    assert await pushed(till, "c") == (4, 2)


def test_nothing_is_safe_before_it_has_come() -> None:
    require_past(NOW_MS, now_ms=NOW_MS)
    with pytest.raises(BadRequestError, match="to come"):
        require_past(NOW_MS + 1, now_ms=NOW_MS)


async def test_the_figure_is_the_age_of_the_oldest_record_no_copy_holds(
    waiting: JoinedCentre,
) -> None:
    async def age_s() -> float:
        page = page_of(waiting, durable="backup")
        return Scrape.of((await page.render()).decode()).value("tillside_durable_mark_age_seconds")

    assert await age_s() == 0
    till, other = await waiting.till(), await waiting.till()
    await pushed(till, "a")
    waiting.system.at_ms += DAY_MS
    await pushed(other, "b")
    waiting.system.at_ms += DAY_MS
    assert await age_s() == 2 * DAY_MS / 1000
    first, second = await copied(waiting)
    await mark_copy(waiting.pool, [first])
    assert await age_s() == DAY_MS / 1000
    await mark_copy(waiting.pool, [second])
    assert await age_s() == 0
    # Where commits count nothing is ever behind.
    await pushed(till, "c")
    waiting.system.at_ms += DAY_MS
    page = await page_of(waiting).render()
    assert Scrape.of(page.decode()).value("tillside_durable_mark_age_seconds") == 0


async def test_the_figure_looks_at_one_record_of_each_stream(centre: JoinedCentre) -> None:
    """Their unique hashes would find it too, reading each stream whole, and seem as cheap."""
    async with centre.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "insert into inbox (till_id, incarnation, seq, hash, body, received_at_ms, applied)"
            " select t, int8send(t), s, sha256(int8send(t * 1000 + s)), '', 0, true"
            " from generate_series(1, 40) s, generate_series(1, 100) t"
        )
        await connection.execute("analyze inbox")
        plan = await plan_by_indexes(connection, FIGURES["oldest_beyond"])
        await connection.execute("delete from inbox")
    assert "using inbox_contiguous" in plan, plan
    assert "Sort" not in plan, plan


# With a real till


def kept_seqs(till: TillOnCentre) -> list[int]:
    rows = till.joined.till.journal._database.rows("select seq from record order by seq")  # noqa: SLF001
    return [row[0] for row in rows]  # type: ignore[misc]


async def a_day(centre: JoinedCentre, till: TillOnCentre) -> None:
    """Sell, note something, talk, forget what may be forgotten, and let the day pass."""
    joined = till.joined
    await till.sell(receipt())
    with joined.till.journal.transaction():
        for number in range(EACH_DAY - 1):
            at_ms = joined.system.now_ms()
            joined.till.journal.stream.append(
                VoidRecord(at_ms=at_ms, key=f"void {at_ms} {number}", why="test")
            )
    await till.talk()
    await till.sell(receipt())
    await till.talk()  # few records travel as lines, whose answer tells no mark
    while joined.till.journal.prune(joined.system.now_ms()):
        pass
    joined.system.let_pass(DAY_MS)
    centre.system.pass_days(1)


async def brought_back(dsn: str, dump: Path, system: System) -> Pool:
    await restore_backup(
        dsn, dump, await read_manifest(dump), now_ms=system.now_ms(), with_roles=False
    )
    return await open_pool(dsn)


async def sales_at(pool: Pool) -> list[str]:
    bodies = await pool.fetch("select body from inbox where not branch order by arrival")
    records = [decode_record(row["body"]) for row in bodies]
    return sorted(each.key for each in records if isinstance(each, SaleRecord))


async def test_a_centre_brought_back_from_its_last_copy_finds_every_record_at_its_tills(
    waiting: JoinedCentre, database: str, empty_database: str, tmp_path: Path
) -> None:
    """A month has passed since that copy: twice as long as tills keep what is safe."""
    till = await TillOnCentre.enrolled(waiting, tmp_path / "till")
    for _ in range(3):
        await a_day(waiting, till)
    dump, _ = await make_backup(database, tmp_path, now_ms=NOW_MS)
    with folder_for_postgres() as folder:
        drilled = await drill(dump, folder, System())
    assert drilled.report.good
    assert (await mark_copy(waiting.pool, drilled.streams)).streams == 1
    (mark,) = await marks(waiting.pool)
    for _ in range(DAYS):
        await a_day(waiting, till)
    head = till.joined.till.journal.stream.head()
    assert (head.acked_seq, head.durable_seq) == (head.seq, mark)
    # Not one of those the copy has not is gone, however old.
    assert kept_seqs(till)[-(head.seq - mark) :] == list(range(mark + 1, head.seq + 1))
    sold = await sales_at(waiting.pool)
    await waiting.apply()
    pool = await brought_back(empty_database, dump, waiting.system)
    try:
        assert len(await sales_at(pool)) < len(sold)
        parts = join_centre(pool, KEYS, waiting.system, RightsSettings(), durable="backup")
        transport = httpx.ASGITransport(app=parts.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://centre") as http:
            till.reach(http)
            await till.talk()
            assert till.joined.till.journal.stream.head().incarnation == head.incarnation
            assert await sales_at(pool) == sold
            # It knows the mark it had when it was copied, and no more.
            assert await marks(pool) == [0]
            assert till.joined.till.journal.stream.head().durable_seq == 0
    finally:
        await pool.close()
        till.close()


async def test_a_till_forgets_when_the_mark_has_passed_and_the_days_are_over(
    waiting: JoinedCentre, tmp_path: Path
) -> None:
    till = await TillOnCentre.enrolled(waiting, tmp_path / "till")
    for _ in range(RECORD_DAYS + 7):
        await a_day(waiting, till)
    assert kept_seqs(till)[0] == 1
    await mark_copy(waiting.pool, await copied(waiting))
    await a_day(waiting, till)
    seqs = kept_seqs(till)
    assert seqs[0] > RECORDS_AT_ONCE
    assert seqs[0] <= 8 * (EACH_DAY + 1)  # the last two weeks are here
    till.close()


async def test_where_commits_count_a_till_forgets_as_ever(
    centre: JoinedCentre, tmp_path: Path
) -> None:
    till = await TillOnCentre.enrolled(centre, tmp_path / "till")
    for _ in range(RECORD_DAYS + 8):
        await a_day(centre, till)
    head = till.joined.till.journal.stream.head()
    assert head.durable_seq == head.seq
    assert kept_seqs(till)[0] > RECORDS_AT_ONCE
    till.close()


# As people give it


def test_the_commands_move_the_mark_and_say_so(database: str, tmp_path: Path) -> None:
    with folder_for_postgres() as folder:
        at = ["--data", str(folder), "--database", database]
        made = central("backup", "make", tmp_path, *at, "--json")
        file = json.loads(made.said)["file"]
        tried = central("backup", "drill", file, "--mark", *at)
        assert (tried.code, "the durable mark of 0 streams" in tried.said) == (0, True), (
            tried.complained
        )
        noted = central("backup", "mark", "2025-03-05T12:00:00+03:00", *at)
        assert (noted.code, "until 2025-03-05T08:50:00Z" in noted.said) == (0, True), (
            noted.complained
        )
        future = central("backup", "mark", "2999-01-01T00:00:00Z", *at)
        assert (future.code, "is to come" in future.complained) == (1, True)
        for wrong in ("2025-03-05T12:00:00", "yesterday", "0001-01-01T00:00:00+20:00"):
            refused = central("backup", "mark", wrong, *at)
            assert (refused.code, "with its zone" in refused.complained) == (2, True)
        audited = central("audit", "--json", *at)
        assert audited.said.count("backup.mark") == 2

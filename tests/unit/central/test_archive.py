"""Posted receipts in Parquet: each once, whatever broke a run off, and nobody's card or name."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.dataset as columnar
import pytest
from pyarrow import parquet

from central.backtest.archive import Archive, ArchiveError, Period, read_period
from central.backtest.archiving import Archived, archive_receipts
from central.backtest.batch import Terms, backtest_batch
from central.backtest.change import RuleChange
from central.backtest.pairs import Pairs
from central.rules.drafts import save_draft
from central.staff.persons import add_person, find_person
from loyalty.account import AccountSnapshot
from loyalty.documents import encode
from loyalty.offers import PointsPerMoney
from sync.records import SaleRecord
from tests.support.builders import line
from tests.support.centre import BUNDLE, JoinedCentre
from tests.support.command_line import central_process
from tests.support.till_probe import TillProbe, take

DAY = "2025-03-05"
ONE_DAY = Period(DAY, DAY)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


async def sold(centre: JoinedCentre, count: int, *, first: int = 1) -> TillProbe:
    till = await centre.till()
    await centre.customer(7 + first, card=f"card-{first}")
    sales = [
        till.sale(f"s{number}", line("1", gross_minor=100 * number), account=7 + first)
        for number in range(first, first + count)
    ]
    await centre.post(till, *sales)
    return till


async def run(
    centre: JoinedCentre,
    archive: Archive,
    period: Period = ONE_DAY,
    *,
    batch_receipts: int = 2,
    part_receipts: int = 3,
) -> Archived:
    async with centre.pool.acquire() as connection:
        return await archive_receipts(
            connection,
            archive,
            period,
            batch_receipts=batch_receipts,
            part_receipts=part_receipts,
        )


def rows(archive: Archive) -> list[dict[str, Any]]:
    found = columnar.dataset(
        [part.path for day in archive.days(Period("0000", "9999")) for part in archive.parts(day)]
    )
    return list(found.to_table().to_pylist())


async def test_every_receipt_is_archived_once_however_often_it_is_asked_for(
    centre: JoinedCentre, archive: Archive
) -> None:
    await sold(centre, 5)
    first = await run(centre, archive)
    assert (first.receipts, first.files, first.known, first.bundles) == (5, 2, 0, 1)
    again = await run(centre, archive)
    assert (again.receipts, again.files, again.known) == (0, 0, 5)
    assert sorted(row["sale_key"] for row in rows(archive)) == ["s1", "s2", "s3", "s4", "s5"]


async def test_receipts_that_came_late_are_added_by_the_next_run(
    centre: JoinedCentre, archive: Archive
) -> None:
    await sold(centre, 2)
    await run(centre, archive)
    await sold(centre, 2, first=10)
    late = await run(centre, archive)
    assert (late.receipts, late.known) == (2, 2)
    assert sorted(row["sale_key"] for row in rows(archive)) == ["s1", "s10", "s11", "s2"]


class Killed(BaseException):
    """The process ends here."""


async def test_a_run_that_was_broken_off_is_simply_run_again(
    centre: JoinedCentre, archive: Archive
) -> None:
    await sold(centre, 5)

    def told(_day: str, done: int, _of: int) -> None:
        if done == 4:
            raise Killed

    async with centre.pool.acquire() as connection:
        with pytest.raises(Killed):
            await archive_receipts(
                connection, archive, ONE_DAY, told=told, batch_receipts=2, part_receipts=2
            )
    assert archive.keys(DAY) == {"s1", "s2"}
    (archive.folder / f"date={DAY}" / ".part-00001.parquet.unfinished").write_bytes(b"half a file")
    again = await run(centre, archive)
    assert (again.receipts, again.known) == (3, 2)
    assert archive.keys(DAY) == {"s1", "s2", "s3", "s4", "s5"}
    assert not list(archive.folder.glob("date=*/.*.unfinished"))


async def test_two_at_once_would_archive_twice_so_the_second_is_refused(
    centre: JoinedCentre, archive: Archive
) -> None:
    with archive.locked(), pytest.raises(ArchiveError, match="another process"):
        await run(centre, archive)


async def test_the_business_date_decides_where_a_receipt_lies(
    centre: JoinedCentre, archive: Archive
) -> None:
    await sold(centre, 2)
    await centre.pool.execute(
        "update receipt set business_moment = '2025-03-06T08:00:00' where sale_key = 's2'"
    )
    await run(centre, archive, Period(DAY, "2025-03-07"))
    assert (archive.keys(DAY), archive.keys("2025-03-06")) == ({"s1"}, {"s2"})
    assert archive.days(Period("2025-03-06", "2025-03-07")) == ["2025-03-06"]


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings(inner)


async def test_of_a_customer_there_is_the_account_s_number_and_no_card(
    centre: JoinedCentre, archive: Archive
) -> None:
    till = await centre.till()
    await centre.customer(7, card="4006381333931")
    known = AccountSnapshot(
        identified=True, account_id=7, counters={"uses:o": 1}, last_used={"uses:o": "in Riga"}
    )
    sale = till.sale("s1", account=known, card="4006381333931")
    assert await centre.post(till, sale) == [("accepted", "", 0)]
    await run(centre, archive)
    (row,) = rows(archive)
    assert row["account_id"] == 7
    told = set(strings(row))
    assert not told & {"4006381333931", till.card("4006381333931").hex(), "in Riga"}


async def test_what_is_archived_is_calculated_again_as_it_was_printed(
    centre: JoinedCentre, archive: Archive
) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    wish = await till.authorise("s1", 7, 100)
    (right,) = wish.authorisations
    sale: SaleRecord = till.sale(
        "s1", line("1", gross_minor=5_000), line("2", "tea"), account=7, sources=[take(right)]
    )
    assert await centre.post(till, sale, till.sale("s2")) == [("accepted", "", 0)] * 2
    await run(centre, archive)
    (part,) = archive.parts(DAY)
    (batch,) = parquet.read_table(part.path, partitioning=None).combine_chunks().to_batches()
    pairs = Pairs(RuleChange(removed_offers=frozenset({"tenth"})), archive.read_bundle)
    total = backtest_batch(batch, pairs, terms=Terms(recalculate=True)).total()
    assert (total.receipts, total.checked, total.printed_otherwise) == (2, 2, 0)
    assert (total.without.redeemed_points, total.without.earned_points) == (100, 590)
    assert total.with_change.earned_points == 0
    assert BUNDLE.offers[0].offer_id in total.without.offers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2025-03-05", ONE_DAY),
        ("2025-03-05..2025-03-31", Period(DAY, "2025-03-31")),
    ],
)
def test_a_period_is_one_date_or_two(text: str, found: Period) -> None:
    assert read_period(text) == found


@pytest.mark.parametrize("text", ["", "march", "2025-3-5", "2025-03-05..2025-03-01", "20250305"])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_period(text)


async def test_a_draft_of_the_centre_is_back_tested_on_its_own_receipts(
    centre: JoinedCentre, database: str, tmp_path: Path
) -> None:
    await sold(centre, 3)
    double = replace(BUNDLE.offers[0], gives=PointsPerMoney(points=2, per_minor=10))
    document = json.dumps(encode(replace(BUNDLE, offers=(double,)))).encode()
    async with centre.pool.acquire() as connection:
        token = await add_person(connection, "ann", ["author"], by="test", system=centre.system)
        author = await find_person(connection, token)
        await save_draft(
            connection, "double", document, author=author, note_text="", system=centre.system
        )
    ended = await asyncio.to_thread(
        central_process, "rules", "backtest", "double", "--period", f"{DAY}..{DAY}", "--jobs", "1",
        "--json", "--database", database, "--data", tmp_path,
    )  # fmt: skip
    assert ended.code == 0, ended.complained
    found = json.loads(ended.said)
    assert (found["offers_put_in"], found["total"]["changed"]) == (["tenth"], 3)
    assert (found["total"]["points_more"], found["total"]["cost_minor"]) == (60, 0)
    assert Archive(tmp_path / "archive").keys(DAY) == {"s1", "s2", "s3"}

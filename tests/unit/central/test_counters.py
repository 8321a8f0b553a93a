"""Counters and purchases of an account: added once with the receipt, taken off with its return."""

from collections.abc import Iterable
from dataclasses import replace

import msgspec
import pytest

from central.streams import counters
from loyalty.calculation import Calculation, Counted
from loyalty.canonical import canonical_bytes
from loyalty.limits import POINTS_MAX
from loyalty.returns import ReturnItem
from sync.limits import ACCOUNT_COUNTERS_MAX
from sync.messages import SnapshotAnswer, SnapshotRequest
from sync.records import SaleRecord
from tests.support.builders import line, moment
from tests.support.centre import JoinedCentre
from tests.support.till_probe import TillProbe

ACCEPTED = ("accepted", "", 0)
UNEQUAL = ("accepted", "the centre calculates otherwise; posted as printed", 0)


def counting(
    sale: SaleRecord,
    counted: Iterable[tuple[str, int]],
    *,
    more: tuple[Counted, ...] = (),
    local: str = "",
) -> SaleRecord:
    """Return a receipt that says it counts so; the centre's own calculation will not."""
    printed = msgspec.json.decode(sale.calculation, type=Calculation)
    printed = replace(
        printed,
        counted=(*(Counted(counter=name, plus=plus) for name, plus in counted), *more),
        moment=local or printed.moment,
    )
    inputs = sale.inputs
    if local:
        inputs = msgspec.structs.replace(inputs, moment=moment(local))
    raw = msgspec.Raw(canonical_bytes(printed))
    return msgspec.structs.replace(sale, calculation=raw, inputs=inputs)


async def counted(centre: JoinedCentre, account_id: int = 7) -> dict[str, int]:
    rows = await centre.pool.fetch(
        "select name, value from account_counter where account_id = $1", account_id
    )
    return {row["name"]: row["value"] for row in rows}


async def purchases(centre: JoinedCentre, account_id: int = 7) -> int:
    found: int = await centre.pool.fetchval(
        "select purchases from account where account_id = $1", account_id
    )
    return found


async def snapshot(till: TillProbe, card: str = "4000") -> SnapshotAnswer:
    return await till.ask(
        "/v1/till/snapshot", SnapshotRequest(card=till.card(card)), SnapshotAnswer
    )


async def test_a_receipt_adds_what_it_counted_to_its_account(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, card="4000")
    await centre.customer(8)
    first = counting(till.sale("s1", account=7), [("uses:a", 1), ("stamps:b", 3), ("stamps:b", 2)])
    second = counting(till.sale("s2", account=7), [("uses:a", 1)], local="2025-03-06T18:30:00")
    late = counting(till.sale("s3", account=7), [("uses:a", 1)], local="2025-03-04T09:00:00")
    assert await centre.post(till, first, second, late) == [UNEQUAL] * 3
    assert await counted(centre) == {"uses:a": 3, "stamps:b": 5}
    assert (await purchases(centre), await purchases(centre, 8)) == (3, 0)
    told = (await snapshot(till)).account
    assert told is not None
    assert (told.snapshot.purchases, told.snapshot.counters) == (3, await counted(centre))
    assert told.snapshot.last_used == {
        "uses:a": "2025-03-06T18:30:00 store store-1",  # not when it arrived last
        "stamps:b": "2025-03-05T12:00:00 store store-1",
    }
    centre.broken_checks = {"equal"}


async def test_a_receipt_of_nobody_counts_nowhere(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    await centre.post(till, counting(till.sale("s1"), [("uses:a", 1)]))
    assert (await counted(centre), await purchases(centre)) == ({}, 0)
    centre.broken_checks = {"equal"}


async def test_a_receipt_counts_once_however_often_it_comes(centre: JoinedCentre) -> None:
    till, other = await centre.till(), await centre.till()
    await centre.customer(7)
    sale = counting(till.sale("s1", account=7), [("uses:a", 1)])
    await centre.post(till, sale)
    for _ in range(2):
        await till.push(1)
        await centre.apply()
    till.open_stream(2, reason="amnesia")
    await till.hello()
    assert await centre.post(till, sale) == [("accepted", "posted before", 0)]
    assert await centre.post(other, sale) == [("accepted", "posted before", 0)]
    changed = counting(other.sale("s1", account=7), [("uses:a", 5)])
    assert (await centre.post(other, changed))[0].outcome == "adjusted"
    assert (await counted(centre), await purchases(centre)) == ({"uses:a": 1}, 1)
    centre.broken_checks = {"equal"}


async def test_a_receipt_that_is_not_posted_counts_nowhere(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, card="4000")
    unknown = counting(till.sale("s1", card="4001"), [("uses:a", 1)])
    assert (await centre.post(till, unknown))[0].outcome == "parked"
    await centre.pool.execute("update till set revoked = true where till_id = $1", till.till_id)
    revoked = counting(till.sale("s2", account=7), [("uses:a", 1)])
    assert (await centre.post(till, revoked))[0].outcome == "rejected_kept"
    assert (await counted(centre), await purchases(centre)) == ({}, 0)


async def test_a_receipt_set_aside_as_broken_leaves_nothing_counted(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    broken = counting(till.sale("s1", account=7), [("uses:a", 1), ("stamps:\x00", 1)])
    (outcome,) = await centre.post(till, broken)
    assert outcome.outcome == "rejected_kept"
    assert (await counted(centre), await purchases(centre)) == ({}, 0)


@pytest.mark.parametrize(
    "wrong",
    [("uses:a", 0), ("uses:a", -1), ("uses:a", POINTS_MAX + 1), ("", 1), ("x" * 1_000, 1)],
)
async def test_a_receipt_that_counts_what_no_receipt_counts_is_kept_and_not_posted(
    centre: JoinedCentre, wrong: tuple[str, int]
) -> None:
    till = await centre.till()
    await centre.customer(7)
    sale = counting(till.sale("s1", account=7), [("uses:b", 1), wrong])
    assert await centre.post(till, sale) == [
        ("rejected_kept", "it counts what no receipt counts", 0)
    ]
    assert await purchases(centre) == 0


async def test_a_counter_grows_to_the_largest_number_and_no_further(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    await centre.post(till, counting(till.sale("s1", account=7), [("stamps:a", POINTS_MAX)]))
    await centre.pool.execute("update account_counter set value = 4611686018427387900")
    await centre.post(till, counting(till.sale("s2", account=7), [("stamps:a", 100)]))
    assert await counted(centre) == {"stamps:a": 2**62}
    centre.broken_checks = {"equal"}


async def test_counters_of_periods_long_over_are_forgotten(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    centre.system.pass_days(17)  # it is 2025-03-22; what ended before 2025-02-19 is long over
    kept = ["uses:a@2025-02-18", "uses:a@2025-02", "uses:a@2025", "uses:a", "redeemed@2025-03-05"]
    gone = ["uses:a@2025-02-17", "uses:a@2025-01", "uses:a@2024", "uses:a@2025-W07"]
    sale = counting(till.sale("s1", account=7), [(name, 1) for name in [*kept, *gone]])
    assert await centre.post(till, sale) == [UNEQUAL]
    assert set(await counted(centre)) == set(kept)
    centre.broken_checks = {"equal"}


async def test_of_too_many_counters_those_used_last_are_kept(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    for day, names in ((1, range(30)), (2, range(30, ACCOUNT_COUNTERS_MAX)), (3, range(10))):
        await centre.post(
            till,
            counting(
                till.sale(f"s{day}", account=7),
                [(f"uses:{n}", 1) for n in names],
                local=f"2025-03-0{day}T12:00:00",
            ),
        )
    assert len(await counted(centre)) == ACCOUNT_COUNTERS_MAX
    last = counting(till.sale("s4", account=7), [(f"uses:new {n}", 1) for n in range(20)])
    await centre.post(till, last)
    expected = {*(f"uses:{n}" for n in (*range(10), *range(30, ACCOUNT_COUNTERS_MAX)))}
    assert set(await counted(centre)) == expected | {f"uses:new {n}" for n in range(20)}
    centre.broken_checks = {"equal"}


async def test_every_posted_receipt_raises_the_version_so_that_tills_take_it(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7, card="4000", home="store-1")
    versions = []
    for key in ("s1", "s2", "s2"):  # the last one repeats a key: what is applied has changed
        await till.pull()
        await centre.post(till, till.sale(key, line(gross_minor=5), account=7))  # earns nothing
        (row,) = (await till.pull()).accounts
        versions.append(row.snapshot.version)
    assert versions == sorted(set(versions))


async def test_a_return_takes_off_what_came_back_and_the_last_one_all_of_it(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7)
    await centre.post(till, counting(till.sale("s0", account=7), [("uses:a", 1)]))
    sale = till.sale("s1", line("1", pieces=4), line("2"), account=7)
    on_line = Counted(counter="stamps:b", plus=4, lines=("1",))
    await centre.post(till, counting(sale, [("uses:a", 1)], more=(on_line,)))
    expected = (
        (ReturnItem(line_id="1", quantity=1_000), {"uses:a": 2, "stamps:b": 3}, 2),
        (ReturnItem(line_id="2"), {"uses:a": 2, "stamps:b": 3}, 2),
        (ReturnItem(line_id="1"), {"uses:a": 1}, 1),
    )
    for number, (item, left, bought) in enumerate(expected):
        (outcome,) = await centre.post(till, till.refund(f"r{number}", "s1", item))
        assert outcome.outcome == "accepted"
        assert (await counted(centre), await purchases(centre)) == (left, bought)
    centre.broken_checks = {"equal"}


async def test_a_return_that_comes_again_takes_off_nothing(centre: JoinedCentre) -> None:
    till, other = await centre.till(), await centre.till()
    await centre.customer(7)
    await centre.post(till, counting(till.sale("s0", account=7), [("uses:a", 1)]))
    await centre.post(till, counting(till.sale("s1", account=7), [("uses:a", 1)]))
    for by, key in ((till, "r1"), (other, "r1"), (other, "r2")):
        await centre.post(by, by.refund(key, "s1"))
        assert (await counted(centre), await purchases(centre)) == ({"uses:a": 1}, 1)
    centre.broken_checks = {"equal"}


async def test_returning_leaves_alone_what_is_forgotten_by_then(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    names = [("uses:a@2025-03-05", 1), ("uses:b", 1)]
    await centre.post(till, counting(till.sale("s1", account=7), names))
    await centre.pool.execute("delete from account_counter where name like '%@%'")
    await centre.post(till, till.refund("r1", "s1"))
    assert (await counted(centre), await purchases(centre)) == ({}, 0)
    centre.broken_checks = {"equal"}


async def test_a_repeated_record_has_its_account_told_again(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, card="4000", home="store-1")
    sale, refund = till.sale("s1", account=7), till.refund("r1", "s1")
    await centre.post(till, sale, refund)
    await till.pull()
    till.open_stream(2, reason="amnesia")
    await till.hello()
    for record in (sale, refund):
        await centre.post(till, record)
        assert [row.snapshot.account_id for row in (await till.pull()).accounts] == [7]


async def test_an_account_is_told_of_records_that_change_nothing_of_it(
    centre: JoinedCentre,
) -> None:
    """Their till counts them by itself until the account arrives that holds them."""
    till, other = await centre.till(), await centre.till()
    await centre.customer(7, card="4000", home="store-1")
    await centre.post(till, till.sale("s1", account=7), till.refund("r1", "s1"))
    unsound = counting(till.sale("s2", account=7), [("uses:a", 0)])
    second = other.refund("r2", "s1")
    for by, record, outcome in ((other, second, "adjusted"), (till, unsound, "rejected_kept")):
        await by.pull()
        (decided,) = await centre.post(by, record)
        assert decided.outcome == outcome
        answer = await by.pull()
        assert [row.snapshot.account_id for row in answer.accounts] == [7]
        (stream,) = (each for each in answer.applied if each.incarnation == by.incarnation)
        assert (stream.through, stream.waiting) == (len(by.hashes), ())


async def test_receipts_counted_before_there_were_counters_are_not_taken_off(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7)
    await centre.post(till, till.sale("s1", account=7))
    await centre.pool.execute("update receipt set counted = false")
    await centre.pool.execute("update account set purchases = 0")
    await centre.post(till, till.refund("r1", "s1"))
    assert await purchases(centre) == 0


def test_a_receipt_counts_a_bounded_number_of_things() -> None:
    one = Counted(counter="uses:a", plus=1)
    empty = Calculation(
        bundle="",
        rounding="",
        account_id=7,
        moment="",
        store="",
        lines=(),
        totals=None,  # type: ignore[arg-type]
    )
    assert counters.is_sound(replace(empty, counted=(one,) * 10_000))
    assert not counters.is_sound(replace(empty, counted=(one,) * 10_001))

"""A receipt with older rules than its till should have had is posted as printed and told apart."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from asyncpg import InterfaceError

from central.commands.rules_stale import stale_text
from central.rules import pinning, releases
from central.rules.due import DueRules, StaleReceipts, list_stale
from central.rules.release_file import sign_file
from central.rules.releases import build_release, publish_release
from central.rules.rings import read_ring
from central.rules.ways import TillRules
from central.streams.apply import Applier
from central.streams.business_date import earliest_local, earliest_ms
from central.streams.items import Item
from central.streams.staleness import HELD_MS_MAX, begun_at, judge
from central.streams.stored import StoredRecord
from loyalty.bundle import EMPTY_BUNDLE, Bundle
from loyalty.calculation import Calculation
from loyalty.compilation import compile_bundle
from loyalty.wording import say_outcome
from sync.base_rules import base_of
from sync.records import CalculationInputs, SaleRecord
from tests.support import builders
from tests.support.builders import bundle, offer, percent
from tests.support.centre import BUNDLE, KEYS, NOW_MS, RULE_KEY, JoinedCentre, Totals
from tests.support.till import receipt
from tests.support.till_on_centre import TillOnCentre
from tests.support.till_probe import Outcome, TillProbe

MINUTE_MS = 60_000
RIGA = ZoneInfo("Europe/Riga")
TEN = bundle(*BUNDLE.offers, offer("ten", percent(10)), version=2)
TWENTY = bundle(*BUNDLE.offers, offer("twenty", percent(20)), version=3)
FINE = Outcome("accepted")
STALE = Outcome("accepted_stale", "release 2 was due; against it discount_minor -1000, points +100")


async def scene(centre: JoinedCentre) -> TillProbe:
    """Give a till in Riga with the first rules, and a customer."""
    await centre.load({"kind": "store", "store": "store-1", "region": "north", "banner": "green",
                       "time_zone": "Europe/Riga"})  # fmt: skip
    till = await centre.till()
    await centre.customer(7)
    return till


async def released(centre: JoinedCentre, rules: Bundle, *rings: str, activate_at: str = "") -> int:
    """Publish rules everywhere at once, or otherwise; returns the version of the release."""
    await centre.publish(rules)
    if not rings and not activate_at:
        return rules.version
    await centre.pool.execute("delete from rule_ring where release = $1", rules.version)
    return await released_again(centre, rules.version, *rings, activate_at=activate_at)


async def released_again(
    centre: JoinedCentre, version: int, *rings: str, activate_at: str = ""
) -> int:
    """Publish the content of a release again; returns the version of the new one."""
    system = centre.system
    async with centre.pool.acquire() as connection:
        made = await build_release(connection, str(version), activate_at=activate_at, system=system)
        done = await publish_release(
            connection, sign_file(made, RULE_KEY), keys=dict.fromkeys(KEYS.rule_public, 0),
            rings=[read_ring(each) for each in rings or ("everywhere",)], by=None, system=system,
        )  # fmt: skip
    return done.version


def sold(till: TillProbe, key: str, at_ms: int, **more: object) -> SaleRecord:
    """Return a receipt of 100.00 as its till prints it at a moment."""
    sale = till.sale(key, builders.line("1", gross_minor=10_000), account=7)
    local = datetime.fromtimestamp(at_ms // 1000, RIGA).strftime("%Y-%m-%dT%H:%M:%S")
    inputs = msgspec.structs.replace(sale.inputs, moment=builders.moment(local))
    printed = msgspec.Raw(till.calculate(inputs))
    return msgspec.structs.replace(sale, inputs=inputs, calculation=printed, **more)


async def sell(
    centre: JoinedCentre, till: TillProbe, minutes: int, key: str = "", **more: object
) -> Outcome:
    """Sell so many minutes after the centre's first moment; returns what became of it."""
    centre.system.at_ms = at_ms = NOW_MS + minutes * MINUTE_MS
    (outcome,) = await centre.post(till, sold(till, key or f"at {minutes}", at_ms, **more))
    return outcome


def uuid7(at_ms: int) -> str:
    digits = f"{at_ms:012x}7abc8def001122334455"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


# What it is


async def test_it_is_posted_as_printed_and_what_it_cost_is_kept_and_told(
    centre: JoinedCentre,
) -> None:
    till = await scene(centre)
    await released(centre, TEN)
    assert await sell(centre, till, 120) == STALE
    assert await sell(centre, till, 180) == STALE
    assert await centre.totals(7) == Totals(2_000)  # of 100.00 each, not of 90.00
    async with centre.pool.acquire() as connection:
        (found,) = await list_stale(connection)
    assert found == StaleReceipts(
        release=2, bundle=found.bundle, state="open", receipts=2, tills=1, discount_minor=-2_000,
        points=200, unknown=0, last_posted_at_ms=NOW_MS + 180 * MINUTE_MS,
    )  # fmt: skip
    assert stale_text(found) == (
        "release 2 was due: 2 receipts of 1 tills had older rules; discount_minor -2,000,"
        " points +200"
    )
    told = [row for row in (await till.pull()).outcomes if row.outcome != "accepted"]
    assert [(row.outcome, row.reason, row.points) for row in told] == [(*STALE[:2], 0)] * 2
    assert say_outcome(told[0].outcome, {}, "en") == (
        "Accepted as printed; the till used older offers, at our cost."
    )
    assert "как напечатано" in say_outcome(told[0].outcome, {}, "ru", audience="customer")


async def test_a_till_whose_line_was_cut_over_a_release_hears_of_it_and_goes_on(
    centre: JoinedCentre, tmp_path: Path
) -> None:
    await scene(centre)
    till = await TillOnCentre.enrolled(centre, tmp_path / "till")
    first, second = uuid7(NOW_MS + 119 * MINUTE_MS), uuid7(NOW_MS + 120 * MINUTE_MS)
    till.line_is_cut = True
    till.joined.cut_off()
    await released(centre, TEN)
    till.joined.system.let_pass(120 * MINUTE_MS)
    centre.system.at_ms += 120 * MINUTE_MS
    at_the_register = msgspec.structs.replace(receipt(), moment="2025-03-05T16:00:00")
    printed = await till.sell(at_the_register, first)
    till.line_is_cut = False
    for _ in range(2):
        till.joined.system.let_pass(MINUTE_MS)
        await till.talk()
        await centre.apply()
    assert printed.totals.discount_minor == 0
    assert (await till.sell(at_the_register, second)).totals.discount_minor == 100
    await till.talk()
    await centre.apply()
    till.joined.system.let_pass(MINUTE_MS)
    await till.talk()
    kept = till.joined.till.journal._database.rows(  # noqa: SLF001
        "select subject, outcome, reason from record where kind = 'sale' order by seq"
    )
    reason = "release 2 was due; against it discount_minor -100, points +0"
    assert [tuple(each) for each in kept] == [
        (first, "accepted_stale", reason), (second, "accepted", ""),
    ]  # fmt: skip
    till.close()


async def test_what_the_older_rules_gave_more_stands_above_zero(centre: JoinedCentre) -> None:
    await scene(centre)
    await centre.publish(TWENTY)
    till = await centre.till()
    await released(centre, bundle(*BUNDLE.offers, version=4))
    outcome = await sell(centre, till, 120)
    assert outcome.reason == "release 4 was due; against it discount_minor +2000, points -200"


async def test_the_newest_release_that_was_due_is_what_counts(centre: JoinedCentre) -> None:
    till = await scene(centre)
    await released(centre, TEN)
    centre.system.at_ms += 90 * MINUTE_MS
    await released(centre, TWENTY)
    assert (await sell(centre, till, 120)).reason.startswith("release 2 was due")
    assert (await sell(centre, till, 151)).reason.startswith("release 3 was due")


async def test_a_receipt_that_comes_late_is_measured_by_its_own_moment(
    centre: JoinedCentre,
) -> None:
    till = await scene(centre)
    sale = sold(till, "s1", NOW_MS)
    centre.system.at_ms += 30 * MINUTE_MS
    await released(centre, TEN)
    centre.system.pass_days(10)
    assert await centre.post(till, sale) == [FINE]


async def test_base_rules_are_as_old_as_the_bundle_they_come_from(centre: JoinedCentre) -> None:
    till = await scene(centre)
    await released(centre, TEN)
    base_hash = await centre.pool.fetchval("select base_hash from bundle where version = 1")
    till.rules = compile_bundle(base_of(BUNDLE), base_hash)
    assert (await sell(centre, till, 120)).outcome == "accepted_stale"
    newest = await centre.pool.fetchval("select base_hash from bundle where version = 2")
    till.rules = compile_bundle(base_of(TEN), newest)
    assert await sell(centre, till, 121) == FINE


async def test_rules_that_cannot_be_read_leave_the_outcome_without_a_variance(
    centre: JoinedCentre,
) -> None:
    till = await scene(centre)
    await released(centre, TEN)
    await centre.pool.execute("update bundle set content_zstd = 'no rules' where version = 2")
    assert await sell(centre, till, 120) == Outcome(
        "accepted_stale", "release 2 was due; it cannot calculate this receipt"
    )
    async with centre.pool.acquire() as connection:
        (found,) = await list_stale(connection)
    assert (found.receipts, found.unknown, found.discount_minor, found.points) == (1, 1, 0, 0)
    assert stale_text(found).endswith("; 1 it cannot calculate, their part is not known")


# What it is not


@pytest.mark.parametrize(("minutes", "expected"), [(1, FINE), (59, FINE), (61, STALE)])
async def test_a_till_has_an_hour_to_take_what_was_published(
    centre: JoinedCentre, minutes: int, expected: Outcome
) -> None:
    till = await scene(centre)
    await released(centre, TEN)
    assert await sell(centre, till, minutes) == expected


@pytest.mark.parametrize(
    ("minutes", "outcome"),
    [(17 * 60, "accepted"), (16 * 60 + 59, "accepted"), (17 * 60 + 1, "accepted_stale")],
)
async def test_a_release_is_due_an_hour_after_it_began_at_the_store(
    centre: JoinedCentre, minutes: int, outcome: str
) -> None:
    till = await scene(centre)  # 14:00 in Riga
    await released(centre, TEN, activate_at="2025-03-06T06:00:01")
    assert (await sell(centre, till, minutes)).outcome == outcome


async def test_what_begins_after_another_is_due_once_tills_can_have_been_offered_it(
    centre: JoinedCentre,
) -> None:
    """A till keeps one release that waits; the second one of a day comes when the first is past."""
    till = await scene(centre)  # 14:00 in Riga
    await released(centre, TEN, activate_at="2025-03-06T06:00:00")
    first = await centre.pool.fetchval("select max(version) from rule_release")
    await centre.publish(replace(TWENTY, version=first + 100))
    await centre.pool.execute("delete from rule_ring where release = $1", first + 100)
    second = await released_again(centre, first + 100, activate_at="2025-03-06T12:00:00")
    # Begun everywhere at 19:00 UTC: by 20:00 a till that talks has the second one.
    for hours, due in ((17, first), (31, first), (32, second)):
        minutes = hours * 60 + 1 - (2 if hours == 31 else 0)
        assert (await sell(centre, till, minutes)).reason.startswith(f"release {due} was due")


@pytest.mark.parametrize(
    ("held_minutes", "outcome"),
    [
        (30, "accepted_stale"),
        (90, "accepted"),
        (HELD_MS_MAX // MINUTE_MS, "accepted"),
        (HELD_MS_MAX // MINUTE_MS + 1, "accepted_stale"),  # that key says something else
    ],
)
async def test_a_receipt_that_was_held_open_keeps_the_rules_it_began_with(
    centre: JoinedCentre, held_minutes: int, outcome: str
) -> None:
    till = await scene(centre)
    await released(centre, TEN)
    key = uuid7(NOW_MS + (120 - held_minutes) * MINUTE_MS)
    assert (await sell(centre, till, 120, key)).outcome == outcome


async def test_a_release_is_due_where_a_ring_holds_the_till_since_it_does(
    centre: JoinedCentre,
) -> None:
    till = await scene(centre)
    await centre.store("store-2")
    version = await released(centre, TEN, "store:store-2")
    assert await sell(centre, till, 120) == FINE
    async with centre.pool.acquire() as connection:
        await releases.add_ring(
            connection, version, read_ring("region:north"), by=None, system=centre.system
        )
    assert await sell(centre, till, 150) == FINE
    assert (await sell(centre, till, 181)).outcome == "accepted_stale"


async def test_what_was_halted_is_not_due_until_an_hour_after_it_is_resumed(
    centre: JoinedCentre,
) -> None:
    till = await scene(centre)
    await released(centre, TEN)
    other = await centre.till()  # has the release, and hears nothing of what comes
    assert await sell(centre, till, 120) == STALE
    async with centre.pool.acquire() as connection:
        await releases.halt(connection, 2, why="wrong", by="guard", system=centre.system)
    assert await sell(centre, till, 240) == FINE
    assert await sell(centre, other, 241) == FINE
    async with centre.pool.acquire() as connection:
        await releases.resume(connection, 2, why="right", by=None, system=centre.system)
    assert await sell(centre, till, 270) == FINE
    assert await sell(centre, till, 302) == STALE


async def test_a_till_that_went_back_from_a_halted_release_has_what_it_should(
    centre: JoinedCentre,
) -> None:
    till = await scene(centre)
    await released(centre, TEN)
    await released(centre, TWENTY)
    async with centre.pool.acquire() as connection:
        await releases.halt(connection, 3, why="wrong", by="guard", system=centre.system)
    back = await centre.till()
    assert back.rules.bundle.version == 2
    assert await sell(centre, back, 120) == FINE
    assert await sell(centre, till, 121) == STALE  # it never had the one before either


async def test_content_that_goes_out_again_is_new(centre: JoinedCentre) -> None:
    till = await scene(centre)
    other = await centre.till()
    await released(centre, TEN)
    newer = await centre.till()
    await released_again(centre, 1)  # the first rules, after the second
    assert await sell(centre, till, 120) == FINE
    assert await sell(centre, other, 121) == FINE
    assert (await sell(centre, newer, 122)).outcome == "accepted_stale"


async def test_a_pin_decides_and_nobody_is_blamed_for_one_that_was_moved_since(
    centre: JoinedCentre,
) -> None:
    till = await scene(centre)
    async with centre.pool.acquire() as connection:
        await pinning.pin(connection, "store", "store-1", 1, by=None, system=centre.system)
    await released(centre, TEN)
    assert await sell(centre, till, 120) == FINE
    pinned = sold(till, "under the pin", centre.system.at_ms)
    async with centre.pool.acquire() as connection:
        await pinning.unpin(connection, "store", "store-1", by=None, system=centre.system)
    assert await sell(centre, till, 150) == FINE
    assert await centre.post(till, pinned) == [FINE]
    assert await sell(centre, till, 181) == STALE
    async with centre.pool.acquire() as connection:
        await pinning.pin(connection, "till", str(till.till_id), 2, by=None, system=centre.system)
    assert await sell(centre, till, 200) == FINE
    assert await sell(centre, till, 242) == STALE


async def test_a_till_that_refused_the_release_was_right_to_go_on(centre: JoinedCentre) -> None:
    till = await scene(centre)
    await released(centre, TEN)
    await centre.pool.execute(
        "insert into till_rules (till_id, refused, told_at_ms)"
        " select $1, hash, 0 from bundle where version = 2"
        " on conflict (till_id) do update set refused = excluded.refused",
        till.till_id,
    )
    assert await sell(centre, till, 120) == FINE


async def test_of_a_suspect_clock_only_what_the_centre_knows_counts(centre: JoinedCentre) -> None:
    till = await scene(centre)
    await released(centre, TEN)
    assert await sell(centre, till, 120, clock_q="suspect") == FINE
    await till.hello()  # the centre has everything now, two hours after the release
    assert await sell(centre, till, 121, clock_q="suspect") == STALE


async def test_a_clock_that_cannot_be_right_makes_nothing_stale(centre: JoinedCentre) -> None:
    till = await scene(centre)
    await released(centre, TEN)
    late = sold(till, "s1", NOW_MS + 1_000 * MINUTE_MS)
    assert await centre.post(till, late) == [Outcome("accepted", "clock_adjusted")]


async def test_a_store_without_a_time_zone_may_be_anywhere(centre: JoinedCentre) -> None:
    till = await scene(centre)
    await centre.load({"kind": "store", "store": "store-1", "region": "north", "banner": "green",
                       "time_zone": "UTC"})  # fmt: skip
    await released(centre, TEN)
    assert await sell(centre, till, 12 * 60) == FINE
    assert await sell(centre, till, 15 * 60) == STALE


async def test_a_till_without_rules_has_no_older_ones(centre: JoinedCentre) -> None:
    till = await scene(centre)
    await released(centre, TEN)
    till.rules = compile_bundle(EMPTY_BUNDLE, "")
    assert (await sell(centre, till, 120)).outcome == "accepted"


# What it takes


async def test_nothing_is_asked_of_the_database_where_nothing_is_newer(
    centre: JoinedCentre,
) -> None:
    old = await scene(centre)
    await released(centre, TEN)
    till = await centre.till()
    due = DueRules()
    await due.refresh(centre.pool, 1)
    library = centre.parts.applier.library
    async with centre.pool.acquire() as connection:
        pass  # it answers nothing any more

    def item(probe: TillProbe) -> Item:
        sale = sold(probe, "s1", NOW_MS + 120 * MINUTE_MS)
        stored = StoredRecord(1, probe.till_id, b"", 1, b"", b"", branch=False)
        printed = msgspec.json.decode(sale.calculation, type=Calculation)
        return Item(stored, sale, printed=printed, recalculated=bytes(sale.calculation))

    await judge(connection, [item(till)], due, library)
    with pytest.raises(InterfaceError):
        await judge(connection, [item(till), item(old)], due, library)


async def test_memory_is_read_anew_when_releases_have_changed_and_only_then(
    centre: JoinedCentre,
) -> None:
    till = await scene(centre)
    other = Applier(centre.pool, centre.parts.applier.library, centre.system)
    assert await sell(centre, till, 1) == FINE
    number = await centre.pool.fetchval("select number from rule_change")
    await released(centre, TEN)
    assert await centre.pool.fetchval("select number from rule_change") > number
    centre.system.at_ms += 120 * MINUTE_MS
    till.append(sold(till, "s2", centre.system.at_ms))
    await till.push()
    assert await other.apply_pending() == 1  # of another process, that knew nothing yet
    assert list((await centre.outcomes(till)).values())[-1] == STALE


def test_a_local_time_that_comes_twice_is_the_earlier_one() -> None:
    twice = datetime(2025, 10, 26, 0, 30, tzinfo=UTC)  # 03:30 in Riga, and again an hour later
    assert earliest_ms("2025-10-26T03:30:00", "Europe/Riga") == twice.timestamp() * 1000
    never = datetime(2025, 3, 30, 0, 30, tzinfo=UTC)
    assert earliest_ms("2025-03-30T03:30:00", "Europe/Riga") == never.timestamp() * 1000
    assert earliest_local(NOW_MS, "Europe/Riga") == "2025-03-05T14:00:00"
    assert earliest_local(NOW_MS, None) == "2025-03-04T22:00:00"
    assert earliest_ms("2025-03-05T12:00:00", None) == NOW_MS - 14 * 60 * MINUTE_MS


@pytest.mark.parametrize("zone", ["Europe/Riga", "Asia/Kolkata", "No/Such_Zone", None])
@pytest.mark.parametrize("local", ["1000-01-01T00:00:00", "8999-12-31T23:59:59"])
def test_no_moment_a_receipt_may_say_is_beyond_the_calendar(local: str, zone: str | None) -> None:
    stored = StoredRecord(1, 1, b"", 1, b"", b"", branch=False)
    till_says = builders.moment(local, uncertainty_s=3_600)
    inputs = CalculationInputs(
        bundle="", basket=builders.basket(), moment=till_says, place=builders.place(),
        account=builders.account(7),
    )  # fmt: skip
    sale = SaleRecord(
        at_ms=0, key=uuid7(0), version=1, inputs=inputs, calculation=msgspec.Raw(b"{}")
    )
    begun = begun_at(Item(stored, sale), sale, zone)
    assert begun is not None
    assert DueRules().find(TillRules(1, "", "", ""), local=begun[0], at_ms=begun[1]) is None

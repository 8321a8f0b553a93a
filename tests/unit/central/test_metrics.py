"""What monitoring reads: true figures, of bounded cardinality, without anybody's data."""

import re

import httpx
import pytest
from starlette.applications import Starlette

from central.api.traffic import Bounds, TrafficControl
from central.database.named_sql import load_queries
from central.database.pool import open_pool
from central.observability import figures
from central.observability.exposition import STALE_MS_MAX, FigureReader
from central.observability.figures import STORES_MAX
from central.observability.measured import Measured
from central.observability.readiness import Readiness
from central.rights import exposure
from sync.cycle import PATH_HELLO
from tests.support.centre import NOW_MS, JoinedCentre
from tests.support.explained import plan_by_indexes, read_whole
from tests.support.scraping import Scrape, page_of, scrape
from tests.support.till_probe import risk

MINUTE_MS = 60_000
QUERIES = load_queries("central.observability", "figures.sql")
LABELS = {
    "banner", "cause", "error", "generation", "implementation", "kind", "le", "longer_than",
    "major", "minor", "news", "outcome", "patchlevel", "place", "pool", "queue", "region", "role",
    "route", "service", "state", "status", "store", "version", "window",
}  # fmt: skip
"""Every label there is; `store` is bounded by `STORES_MAX`, the others by what they can be."""


def measured(centre: JoinedCentre, control: TrafficControl | None = None) -> httpx.AsyncClient:
    app = Measured(control or TrafficControl(centre.parts.app), centre.parts.app.routes)
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://centre")


async def test_tills_are_counted_by_when_they_were_heard(centre: JoinedCentre) -> None:
    up, silent, revoked = [await centre.till() for _ in range(3)]
    await centre.till(greet=False)
    await centre.pool.execute("update till set revoked = true where till_id = $1", revoked.till_id)
    await centre.pool.execute("update till set software = '1.2' where till_id = $1", silent.till_id)
    centre.system.at_ms += 2 * 60 * MINUTE_MS
    await up.hello()
    found = await scrape(centre)
    assert found.series("tillside_tills") == {
        ("up",): 1, ("silent",): 1, ("new",): 1, ("revoked",): 1,
    }  # fmt: skip
    assert found.series("tillside_tills_silent") == {("1h",): 1, ("1d",): 0, ("7d",): 0}
    assert found.value("tillside_till_silence_max_seconds") == 7200
    assert found.value("tillside_tills_by_software", version="1.2") == 1
    assert sum(found.series("tillside_tills_by_software").values()) == 3
    assert found.value("tillside_tills_by_rules", version="1") >= 1
    # Its other till speaks: the store is not silent.
    assert found.value("tillside_stores_silent") == 0


async def test_of_silent_stores_only_the_longest_silent_are_named(centre: JoinedCentre) -> None:
    await centre.till()
    for number in range(STORES_MAX + 5):
        await centre.store(f"s{number}")
    await centre.pool.execute(
        "insert into till (store_id, slot, public_key, hardware, enrolled_at_ms, last_seen_ms)"
        " select 's' || n, '1', int4send(n), '', 0, $1 - n * 60000::bigint"
        " from generate_series(0, $2::int - 1) n",
        NOW_MS - 12 * MINUTE_MS, STORES_MAX + 5,
    )  # fmt: skip
    found = await scrape(centre)
    named = found.series("tillside_store_silent_seconds")
    assert len(named) == STORES_MAX
    assert found.value("tillside_stores_silent") == STORES_MAX + 5
    assert max(named.values()) == (12 + STORES_MAX + 4) * 60
    assert ("s0", "north", "green") not in named


async def test_versions_beyond_a_bound_are_one(centre: JoinedCentre) -> None:
    await centre.pool.execute(
        "insert into till (store_id, slot, public_key, hardware, enrolled_at_ms, software)"
        " select 'store-1', '1', int4send(n), '', 0, 'v' || n from generate_series(1, 30) n"
    )
    by_software = (await scrape(centre)).series("tillside_tills_by_software")
    assert len(by_software) == 21
    assert by_software[("other",)] == 10
    assert sum(by_software.values()) == 30


async def test_tills_in_quarantine_are_counted_by_store(centre: JoinedCentre) -> None:
    await centre.store("store-2")
    first, second, revoked = [await centre.till("store-2") for _ in range(3)]
    other = await centre.till()
    assert (await scrape(centre)).series("tillside_store_tills_quarantined") == {}
    for till in (first, second, revoked, other):
        await centre.pool.execute(
            "update till set quarantined_at_ms = 1 where till_id = $1", till.till_id
        )
    await centre.pool.execute("update till set revoked = true where till_id = $1", revoked.till_id)
    centre.system.at_ms += MINUTE_MS
    found = await scrape(centre)
    assert found.value("tillside_tills_quarantined") == 3
    assert found.series("tillside_store_tills_quarantined") == {("store-2",): 2, ("store-1",): 1}


async def test_queues_have_a_length_and_an_age(centre: JoinedCentre) -> None:
    till = await centre.till()
    till.append(till.sale("s1"))
    till.append(till.refund("r1", "nowhere"))
    await till.push()
    centre.system.at_ms += MINUTE_MS
    before = await scrape(centre)
    assert before.value("tillside_records_waiting", queue="next") == 3
    assert before.value("tillside_records_waiting_seconds", queue="next") == 60
    await centre.apply()
    centre.system.at_ms += MINUTE_MS
    after = await scrape(centre)
    assert after.value("tillside_records_waiting", queue="next") == 0
    assert after.value("tillside_records_waiting_seconds", queue="next") == 0
    assert after.value("tillside_records_waiting", queue="parked") == 1
    assert after.value("tillside_records_waiting_seconds", queue="parked") == 120


async def test_what_is_applied_is_counted_by_outcome(centre: JoinedCentre) -> None:
    till = await centre.till()
    before = await scrape(centre)
    await centre.post(
        till, till.sale("s1"), till.sale("s2"), till.refund("r1", "nowhere"), b"rubbish"  # type: ignore[arg-type]
    )  # fmt: skip
    after = await scrape(centre)

    def more(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    assert more("tillside_records_applied_total", outcome="accepted") == 3  # with the stream's open
    assert more("tillside_records_applied_total", outcome="parked") == 1
    assert more("tillside_records_applied_total", outcome="rejected_kept") == 1
    assert more("tillside_apply_records_count") >= 1
    assert more("tillside_apply_seconds_count") == more("tillside_apply_records_count")


async def test_a_receipt_the_centre_calculates_otherwise_is_an_incident(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    till.rules.bundle_hash = "ab" * 32
    centre.broken_checks = {"equal"}
    await centre.post(till, till.sale("s1"))
    assert (await scrape(centre)).value("tillside_receipts_unequal") == 1
    centre.system.at_ms += 3_600_000  # over, however many there were: the next one is heard again
    await centre.post(till, till.sale("s2"))
    assert (await scrape(centre)).value("tillside_receipts_unequal") == 1
    centre.system.at_ms += 3_600_000
    assert (await scrape(centre)).value("tillside_receipts_unequal") == 0


async def test_the_meter_and_the_pool_are_told(centre: JoinedCentre) -> None:
    await centre.fund(10_000)
    till = await centre.till()
    await centre.customer(7, 1_000)
    await centre.post(till, till.sale("s1", account=7, sources=[risk(50)]))
    found = await scrape(centre)
    assert found.series("tillside_exposure_points")[("risk_budgets",)] == 450
    pool = found.series("tillside_risk_pool_points")
    assert (pool[("free",)], pool[("budgets",)]) == (9_550, 450)
    assert found.value("tillside_uncovered_points") == 0


async def test_requests_are_counted_by_class_route_and_status(centre: JoinedCentre) -> None:
    till = await centre.till()
    before = await scrape(centre)
    async with measured(centre) as http:
        hello = till.request(PATH_HELLO, till.hello_message(), session=bytes(16))
        assert (await http.send(hello)).status_code == 200
        await http.get("/v1/receipts/one")
        await http.get("/v1/receipts/two")
        await http.get("/v2/nowhere/4000-1234")
    after = await scrape(centre)
    requests = {
        key: value - before.series("tillside_requests_total").get(key, 0)
        for key, value in after.series("tillside_requests_total").items()
    }
    assert requests[("till", PATH_HELLO, "200")] == 1
    assert requests[("office", "/v1/receipts/{key}", "401")] == 2
    assert requests[("office", "none", "404")] == 1
    assert not [key for key in requests if "4000" in "".join(key)]
    served = after.value("tillside_request_seconds_count", kind="till", route=PATH_HELLO)
    assert served - before.value(
        "tillside_request_seconds_count", kind="till", route=PATH_HELLO
    ) == 1  # fmt: skip


async def test_refusals_at_the_door_are_counted_by_class(centre: JoinedCentre) -> None:
    shut = Bounds(per_s_max=1e9, running_max=1, waiting_max=0, wait_s_max=1.0, late_ms_max=1e9)
    control = TrafficControl(centre.parts.app, app_bounds=shut)
    before = await scrape(centre)
    async with measured(centre, control) as http:
        assert (await http.get("/v1/app/courier")).status_code == 503
    after = await scrape(centre)
    labels = {"kind": "app", "route": "none", "status": "503"}
    assert after.value("tillside_requests_total", **labels) == 1 + before.value(
        "tillside_requests_total", **labels
    )


async def test_what_is_refused_by_name_is_counted_by_it(centre: JoinedCentre) -> None:
    before = await scrape(centre)
    await centre.http.get("/v1/receipts/one")
    after = await scrape(centre)
    assert after.value("tillside_problems_total", error="not_authenticated") == 1 + before.value(
        "tillside_problems_total", error="not_authenticated"
    )


async def test_labels_are_few_and_hold_nobodys_data(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(700_007, 1_000, card="4000123412341234")
    await centre.post(till, till.sale("sale-key-1", account=700_007))
    page = (await page_of(centre).render()).decode()
    found = Scrape.of(page)
    assert set().union(*found.labels().values()) <= LABELS
    for secret in ("700007", "4000123412341234", till.card("4000123412341234").hex(), "sale-key-1"):
        assert secret not in page
    for family in found.families.values():
        assert family.documentation, family.name


async def test_of_several_processes_one_tells_the_database_and_any_that_is_asked_to(
    centre: JoinedCentre,
) -> None:
    """Prometheus adds up what all of them tell; whoever reads one of them has to say so."""
    page = page_of(centre)
    page.is_teller = lambda: False
    transport = httpx.ASGITransport(app=Starlette(routes=page.routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://centre") as http:
        told = [
            "tillside_database_up" in Scrape.of((await http.get(url)).text).families
            for url in ("/metrics", "/metrics?database=1", "/metrics?database=0")
        ]
    assert told == [False, True, False]


async def test_without_the_database_the_page_says_so_and_is_there(
    centre: JoinedCentre, database: str
) -> None:
    pool = await open_pool(database, connections_max=2)
    page = page_of(centre, pool=pool)
    assert Scrape.of((await page.render()).decode()).value("tillside_database_up") == 1
    await pool.close()
    centre.system.at_ms += MINUTE_MS
    found = Scrape.of((await page.render()).decode())
    assert found.value("tillside_database_up") == 0
    assert "tillside_tills" not in found.families
    assert "process_open_fds" in found.families


async def test_a_meter_that_cannot_be_read_costs_itself_alone(
    centre: JoinedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_of(centre)
    slow = "select pg_sleep(60) as causes"
    with monkeypatch.context() as meter:
        meter.setattr(exposure, "_SQL", {"exposure": slow})
        meter.setattr(figures, "METER_S_MAX", 0.2)
        found = Scrape.of((await page.render()).decode())
    assert found.value("tillside_database_up") == 1
    assert found.value("tillside_tills", state="up") == 0
    assert "tillside_exposure_points" not in found.families
    centre.system.at_ms += MINUTE_MS
    found = Scrape.of((await page.render()).decode())
    assert found.value("tillside_exposure_points", cause="write_offs") == 0


async def test_a_database_that_answers_late_keeps_nobody_waiting(
    centre: JoinedCentre, database: str
) -> None:
    pool = await open_pool(database, connections_max=1)
    try:
        reader = FigureReader(pool, centre.system, wait_s=0.2)
        ready = Readiness(pool, "processing", wait_s=0.2)
        async with centre.pool.acquire() as other, other.transaction():
            await other.execute("lock table till in access exclusive mode")
            assert await reader.read() is None
            answer = await ready.look()
            assert (answer.ready, answer.why) == (False, "database")
        reader.wait_s = ready.wait_s = 30.0
        assert await reader.read() is not None
        assert (await ready.look()).ready
        ready.is_ending = True
        assert (await ready.look()).why == "ending"
    finally:
        await pool.close()


async def test_figures_of_a_while_ago_are_told_with_their_age_and_then_no_more(
    centre: JoinedCentre, database: str
) -> None:
    pool = await open_pool(database, connections_max=1)
    try:
        page = page_of(centre, pool=pool)
        assert page.reader is not None
        await page.render()
        page.reader.wait_s = 0.2
        async with centre.pool.acquire() as other, other.transaction():
            await other.execute("lock table till in access exclusive mode")
            centre.system.at_ms += STALE_MS_MAX - 1
            found = Scrape.of((await page.render()).decode())
            assert found.value("tillside_database_up") == 1
            assert found.value("tillside_figures_age_seconds") == (STALE_MS_MAX - 1) / 1000
            centre.system.at_ms += 1
            found = Scrape.of((await page.render()).decode())
            assert found.value("tillside_database_up") == 0
            assert "tillside_figures_age_seconds" not in found.families
        page.reader.wait_s = 30.0
        assert await page.reader.read() is not None
    finally:
        await pool.close()


async def test_many_who_ask_at_once_cost_one_reading(centre: JoinedCentre) -> None:
    page = page_of(centre)
    assert page.reader is not None
    first = await page.reader.read()
    assert await page.reader.read() is first
    centre.system.at_ms += MINUTE_MS
    assert await page.reader.read() is not first


async def test_reading_looks_through_neither_receipts_nor_records(centre: JoinedCentre) -> None:
    """Every statement of the page has an index for what grows with sales."""
    values: dict[str, tuple[object, ...]] = {
        "tills": (NOW_MS, 1), "quarantined": (10,), "quarantined_stores": (10,),
        "software": (), "rules": (),
        "silent_stores": (NOW_MS, 1, 1),
        "silent_stores_count": (NOW_MS, 1),
        "unapplied": (10,), "inbox": (NOW_MS, 10), "feed": (10,),
        "releases": (), "halted": (NOW_MS,), "events": (NOW_MS, 10),
        "seals": ("2025-03-05",), "server": (), "oldest_beyond": (),
    }  # fmt: skip
    assert set(values) == set(QUERIES)
    growing = {"receipt", "inbox", "outcome", "account", "lot"}
    async with centre.pool.acquire() as connection:
        for name, arguments in values.items():
            plan = await plan_by_indexes(connection, QUERIES[name], *arguments)
            assert not read_whole(plan) & growing, (name, plan)


@pytest.mark.parametrize("waiting", [0, 4_000], ids=["all_was_applied", "all_waited"])
async def test_what_waits_is_counted_by_its_indexes_whatever_the_planner_believes(
    centre: JoinedCentre, waiting: int
) -> None:
    """Health asks so too, and anybody may ask for health."""
    async with centre.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "insert into inbox (till_id, incarnation, seq, hash, body, received_at_ms, applied)"
            " select 1, 'i', n, int8send(n), '', 0, n > $1 from generate_series(1, 5000) n",
            waiting,
        )
        await connection.execute("analyze inbox")
        rows = await connection.fetch("explain (costs off) " + QUERIES["unapplied"], 10_000)
    plan = "\n".join(row[0] for row in rows)
    assert re.findall(r"Scan (?:using (\w+) )?on", plan) == ["inbox_to_apply", "inbox_parked"], plan

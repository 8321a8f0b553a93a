"""A bad rule in a ring halts by itself, and its tills go back to what was good."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from central.database.named_sql import load_queries
from central.errors import BadRequestError
from central.rules.guarding import YOUNG_MS, Halted, RuleGuard
from central.rules.guards import GUARD, Figures, GuardSettings, judge, read_guards
from central.rules.moments import come_at
from central.rules.pinning import pin
from central.rules.release_file import sign_file
from central.rules.releases import (
    Release,
    add_ring,
    build_release,
    find_release,
    publish_release,
    resume,
)
from central.rules.reports import note_report
from central.rules.rings import read_ring
from central.staff.audit import read_audit
from loyalty.bundle import Bundle, Product
from loyalty.compilation import compile_bundle
from sync.rule_messages import RulesReport
from tests.support.builders import bundle, offer, percent
from tests.support.centre import BUNDLE, KEYS, NOW_MS, RULE_KEY, JoinedCentre
from tests.support.till import receipt
from tests.support.till_on_centre import TillOnCentre
from tests.unit.central.test_rules_life import Office

GOOD = bundle(*BUNDLE.offers, offer("ten", percent(10)))
OTHER = bundle(*BUNDLE.offers, offer("ten", percent(11)))
BAD = bundle(*BUNDLE.offers, offer("ten", percent(90)))
"""Somebody typed a nought too many."""
STORES = 3
TILLS_OF_A_STORE = 2
GUARDS = GuardSettings(receipts_min=12)
HOUR_MS = 3_600_000
LAST_HOUR_MS = NOW_MS + 8 * 24 * HOUR_MS + 6 * HOUR_MS
"""The last hour begins of the three days after Monday, 06:00, has come at every store."""


class Chain:
    """Tills with their files, an office with two people, and the guard."""

    def __init__(self, office: Office, tills: dict[str, list[TillOnCentre]]) -> None:
        self.office = office
        self.centre = office.centre
        self.tills = tills
        self.guard = RuleGuard(self.centre.pool, self.centre.system)
        self.sold: dict[str, int] = {}

    async def publish(self, rules: Bundle, *rings: str, activate_at: str = "") -> Release:
        title = await self.office.approved(rules)
        system = self.centre.system
        async with self.centre.pool.acquire() as connection:
            made = await build_release(connection, title, activate_at=activate_at, system=system)
            return await publish_release(
                connection, sign_file(made, RULE_KEY), keys=dict.fromkeys(KEYS.rule_public, 0),
                rings=[read_ring(each) for each in rings], by=self.office.boris, system=system,
                guards=GUARDS,
            )  # fmt: skip

    async def trade(self) -> None:
        """Each till talks and sells one receipt; ten seconds pass."""
        for tills in self.tills.values():
            for till in tills:
                await till.talk()
                sold = await till.sell(receipt())
                bundle_hash = till.joined.till.books.active.bundle_hash
                assert sold.lines
                self.sold[bundle_hash] = self.sold.get(bundle_hash, 0) + 1
                await till.talk()
        await self.centre.apply()
        self.centre.system.at_ms += 10_000

    def bundles(self, store: str) -> set[str]:
        return {till.joined.till.books.active.bundle_hash for till in self.tills[store]}

    async def resume(self, release: Release) -> None:
        async with self.centre.pool.acquire() as connection:
            await resume(
                connection, release.version, why="it was meant so", by=self.office.boris,
                system=self.centre.system,
            )  # fmt: skip

    async def pin(self, store: str, release: Release) -> None:
        async with self.centre.pool.acquire() as connection:
            await pin(
                connection, "store", store, release.version, by=self.office.boris,
                system=self.centre.system,
            )  # fmt: skip

    def let_pass(self, passed_ms: int) -> None:
        """Let time pass, at the centre and at every till."""
        self.centre.system.at_ms += passed_ms
        for tills in self.tills.values():
            for till in tills:
                till.joined.system.let_pass(passed_ms)

    async def state(self, release: Release) -> str:
        async with self.centre.pool.acquire() as connection:
            return (await find_release(connection, release.version)).state

    async def looks_until_it_halts(self, rounds: int) -> Halted | None:
        for _ in range(rounds):
            await self.trade()
            if halted := await self.guard.look():
                return halted[0]
        return None


@pytest_asyncio.fixture
async def chain(centre: JoinedCentre, tmp_path: Path) -> AsyncIterator[Chain]:
    office = await Office.of(centre)
    tills: dict[str, list[TillOnCentre]] = {}
    for number in range(1, STORES + 1):
        name = f"store-{number}"
        await centre.store(name)
        tills[name] = [
            await TillOnCentre.enrolled(centre, tmp_path / f"{name}-{slot}", store=name)
            for slot in range(TILLS_OF_A_STORE)
        ]
    yield Chain(office, tills)
    for each in tills.values():
        for till in each:
            till.close()


async def test_a_planted_bad_rule_is_halted_in_its_first_ring(chain: Chain) -> None:
    good = await chain.publish(GOOD, "everywhere")
    for _ in range(3):
        await chain.trade()
        assert await chain.guard.look() == ()
    assert chain.bundles("store-1") == {good.bundle}
    bad = await chain.publish(BAD, "store:store-1")
    halted: list[Halted] = []
    for _ in range(30):
        await chain.trade()
        halted += await chain.guard.look()
        if halted:
            break
    (found,) = halted  # the good rules beside it are not its to answer for
    assert (found.version, found.why) == (bad.version, "it takes 90.00 % off, others 10.00 %")
    # One store of three had it, and no more receipts than the guard has to see.
    assert chain.sold[bad.bundle] == found.release.receipts == GUARDS.receipts_min
    await chain.trade()
    assert chain.bundles("store-1") == {good.bundle}
    assert chain.sold[bad.bundle] == GUARDS.receipts_min
    versions = [till.joined.till.books.active_version for till in chain.tills["store-1"]]
    assert min(versions) > bad.version


async def test_what_a_bad_rule_touches_in_a_burst_and_at_a_till_without_a_line(
    chain: Chain,
) -> None:
    """Beyond what the guard has to see: what is sold until it looks, and until each till hears."""
    good = await chain.publish(GOOD, "everywhere")
    for _ in range(3):
        await chain.trade()
    bad = await chain.publish(BAD, "store:store-1")
    await chain.trade()  # every till talks; those of the store sell one receipt each with it
    burst, alone = 10, 7
    on_line, cut = chain.tills["store-1"]
    for till in (on_line, cut):
        for _ in range(burst):
            await till.sell(receipt())
        await till.talk()
    await chain.centre.apply()
    (halted,) = await chain.guard.look()
    assert halted.release.receipts == TILLS_OF_A_STORE * (1 + burst) > GUARDS.receipts_min
    assert halted.left_behind == 0
    cut.line_is_cut, cut.joined.till.link_up = True, False
    await on_line.talk()
    for _ in range(alone):
        for till in (on_line, cut):
            await till.sell(receipt())
    cut.line_is_cut = False
    await cut.talk()
    assert chain.bundles("store-1") == {good.bundle}
    await cut.sell(receipt())
    for till in (on_line, cut):
        await till.talk()
    await chain.centre.apply()
    touched = await chain.centre.pool.fetchval(
        "select count(*) from receipt where bundle = $1", bad.bundle
    )
    assert touched == TILLS_OF_A_STORE * (1 + burst) + alone


async def test_a_bad_rule_that_a_store_has_by_a_pin_alone_is_halted(chain: Chain) -> None:
    good = await chain.publish(GOOD, "everywhere")
    for _ in range(3):
        await chain.trade()
    bad = await chain.publish(BAD)
    assert await chain.looks_until_it_halts(1) is None
    assert chain.bundles("store-1") == {good.bundle}
    await chain.pin("store-1", bad)
    found = await chain.looks_until_it_halts(12)
    assert found is not None
    assert (found.version, found.why) == (bad.version, "it takes 90.00 % off, others 10.00 %")
    assert chain.sold[bad.bundle] == found.release.receipts == GUARDS.receipts_min
    await chain.trade()  # the pin counts no more
    assert chain.bundles("store-1") == {good.bundle}
    with pytest.raises(BadRequestError, match="halted: it takes 90"):
        await chain.pin("store-1", bad)
    await chain.resume(bad)
    await chain.trade()  # and counts again, as does the guard
    assert chain.bundles("store-1") == {bad.bundle}
    again = await chain.looks_until_it_halts(12)
    assert again is not None
    assert again.release.receipts == GUARDS.receipts_min
    await chain.trade()
    assert chain.bundles("store-1") == {good.bundle}


async def test_an_old_release_that_a_store_is_pinned_to_is_judged_beside_what_others_have_now(
    chain: Chain,
) -> None:
    """Weeks after its ring: newer releases that nobody looks after any more are what is normal."""
    bad = await chain.publish(BAD, "everywhere")
    chain.let_pass(YOUNG_MS + HOUR_MS)
    good = await chain.publish(GOOD, "everywhere")
    await chain.trade()
    chain.let_pass(YOUNG_MS + HOUR_MS)
    await chain.trade()
    await chain.pin("store-1", bad)
    found = await chain.looks_until_it_halts(12)
    assert found is not None
    assert (found.version, found.why) == (bad.version, "it takes 90.00 % off, others 10.00 %")
    assert chain.sold[bad.bundle] == GUARDS.receipts_min
    await chain.trade()
    assert chain.bundles("store-1") == {good.bundle}


async def test_a_halt_is_sticky_and_only_a_person_lifts_it(chain: Chain) -> None:
    good = await chain.publish(GOOD, "everywhere")
    await chain.trade()
    bad = await chain.publish(BAD, "store:store-1")
    first = await chain.looks_until_it_halts(12)
    assert first is not None
    office, centre = chain.office, chain.centre
    async with centre.pool.acquire() as connection:
        with pytest.raises(BadRequestError, match="halted: it takes 90"):
            await add_ring(
                connection, bad.version, read_ring("everywhere"), by=office.boris,
                system=centre.system,
            )  # fmt: skip
        rows = await read_audit(connection, subject=f"release:{bad.version}")
        assert (rows[0].person, rows[0].action) == (GUARD, "rules.halt")
    await chain.trade()
    assert chain.bundles("store-1") == {good.bundle}
    await chain.resume(bad)
    # The figures that halted it are old; another process of the guard says so, too.
    for guard in (chain.guard, RuleGuard(centre.pool, centre.system)):
        assert await guard.look() == ()
    await chain.trade()
    assert chain.bundles("store-1") == {bad.bundle}
    for _ in range(4):
        assert await chain.guard.look() == ()
        await chain.trade()
    assert await chain.state(bad) == "open"
    # What comes after it is judged by itself: so many new receipts halt it again, and no fewer.
    again = await chain.looks_until_it_halts(12)
    assert again is not None
    assert (again.why, again.release.receipts) == (first.why, GUARDS.receipts_min)


async def test_receipts_from_just_before_somebody_resumed_are_not_judged(chain: Chain) -> None:
    await chain.publish(GOOD, "everywhere")
    await chain.trade()
    bad = await chain.publish(BAD, "store:store-1")
    chain.centre.system.at_ms += 5_000
    assert await chain.looks_until_it_halts(12) is not None
    chain.centre.system.at_ms -= 8_000  # in the same ten seconds as the last of them
    await chain.resume(bad)
    chain.centre.system.at_ms += 60_000
    async with chain.centre.pool.acquire() as connection:
        begun_ms = await connection.fetchval("select max(bucket_ms) from rule_count")
        resumed_ms = await connection.fetchval(
            "select changed_at_ms from rule_release where version = $1", bad.version
        )
    assert begun_ms < resumed_ms < begun_ms + 10_000
    assert await chain.guard.look() == ()
    found = await chain.looks_until_it_halts(12)
    assert found is not None
    assert found.release.receipts == GUARDS.receipts_min


async def test_a_receipt_that_could_not_be_posted_before_somebody_resumed_is_not_judged(
    chain: Chain,
) -> None:
    await chain.publish(GOOD, "everywhere")
    other = await chain.publish(OTHER, "store:store-1")
    await chain.trade()
    assert await chain.guard.look() == ()
    await not_posted(chain)
    (halted,) = await chain.guard.look()
    assert (halted.version, halted.release.unequal) == (other.version, 1)
    chain.centre.system.at_ms += 20_000
    await chain.resume(other)
    assert await chain.guard.look() == ()
    chain.centre.system.at_ms += 20_000
    await not_posted(chain)
    (halted,) = await chain.guard.look()
    assert halted.release.unequal == 1


@pytest.mark.parametrize("started_anew", [True, False])
async def test_a_receipt_that_could_not_be_posted_counts_whenever_it_was_decided_and_by_whom(
    chain: Chain, *, started_anew: bool
) -> None:
    """Of several processing processes one may be behind: what arrived first is decided last."""
    await chain.publish(GOOD, "everywhere")
    other = await chain.publish(OTHER, "store:store-1")
    await chain.trade()
    arrival = await posted_last(chain)
    await chain.trade()  # these came later and are decided already
    assert await chain.guard.look() == ()
    await set_aside(chain, arrival)
    if started_anew:
        chain.guard = RuleGuard(chain.centre.pool, chain.centre.system)
    (halted,) = await chain.guard.look()
    assert (halted.version, halted.release.unequal) == (other.version, 1)


async def not_posted(chain: Chain) -> None:
    """Let the last receipt of a till of the ring be one that could not be applied."""
    await set_aside(chain, await posted_last(chain))


async def posted_last(chain: Chain) -> int:
    """Sell at a till of the ring; returns its last record."""
    till = chain.tills["store-1"][0]
    await till.talk()
    await till.sell(receipt())
    await till.talk()
    await chain.centre.apply()
    last = "select max(i.arrival) from inbox i where till_id = $1"
    return int(await chain.centre.pool.fetchval(last, till.joined.till.identity.till_id))


async def set_aside(chain: Chain, arrival: int) -> None:
    """Let a record be one that could not be applied."""
    await chain.centre.pool.execute(
        "update outcome set outcome = 'rejected_kept', reason = 'could not be applied: test',"
        " decided_at_ms = $2 where arrival = $1",
        arrival, chain.centre.system.now_ms(),
    )  # fmt: skip


@pytest.mark.parametrize("started_anew", [True, False])
async def test_a_release_that_begins_days_after_its_ring_is_guarded_when_it_begins(
    chain: Chain, *, started_anew: bool
) -> None:
    """Ringed on Wednesday for Monday: the guard's three days begin when the release has."""
    good = await chain.publish(GOOD, "everywhere")
    await chain.trade()
    bad = await chain.publish(BAD, "store:store-1", activate_at="2025-03-10T06:00:00")
    await chain.trade()
    assert await chain.guard.look() == ()
    assert chain.bundles("store-1") == {good.bundle}
    chain.let_pass(LAST_HOUR_MS - chain.centre.system.at_ms)
    if started_anew:
        chain.guard = RuleGuard(chain.centre.pool, chain.centre.system)
    found = await chain.looks_until_it_halts(12)
    assert found is not None
    assert (found.version, found.why) == (bad.version, "it takes 90.00 % off, others 10.00 %")


async def test_a_release_that_began_three_days_ago_is_left_alone(centre: JoinedCentre) -> None:
    office = await Office.of(centre)
    release = await office.published(
        await office.approved(GOOD), "everywhere", activate_at="2025-03-10T06:00:00"
    )
    async with centre.pool.acquire() as connection:
        for at_ms, young in ((LAST_HOUR_MS + HOUR_MS, 1), (LAST_HOUR_MS + HOUR_MS + 1_000, 0)):
            since_ms = at_ms - YOUNG_MS
            sql = load_queries("central.rules", "guarding.sql")["young"]
            rows = await connection.fetch(sql, since_ms, come_at(since_ms))
            assert [row["version"] for row in rows] == [release.version] * young


async def test_one_receipt_the_centre_calculates_otherwise_halts(
    centre: JoinedCentre,
) -> None:
    office = await Office.of(centre)
    till = await centre.till()
    release = await office.published(await office.approved(GOOD), "everywhere")
    guard = RuleGuard(centre.pool, centre.system)
    assert await guard.look() == ()
    till.rules = compile_bundle(BAD, release.bundle)  # the till's engine is not the centre's
    await centre.post(till, till.sale("sale 1"))
    (halted,) = await guard.look()
    centre.broken_checks.add("equal")
    assert halted.why == "1 of 1 receipts are calculated otherwise here"


async def test_tills_whose_self_test_fails_keep_the_good_one_and_halt_the_release(
    chain: Chain,
) -> None:
    good = await chain.publish(GOOD, "everywhere")
    await chain.trade()
    nameless = bundle(*BUNDLE.offers, offer("five", percent(5)), catalogue={"": Product()})
    broken = await chain.publish(nameless, "store:store-1")
    await chain.trade()  # each refuses it, and says so at its next HELLO
    (halted,) = await chain.guard.look()
    assert (halted.version, halted.release.receipts) == (broken.version, 0)
    assert halted.why == "2 of 2 tills refuse it"
    assert chain.bundles("store-1") == {good.bundle}
    row = await chain.centre.pool.fetchrow("select * from till_rules where refused <> '' limit 1")
    assert row is not None
    assert "sku must have 1 to 200 characters" in row["why"]


async def test_who_refused_a_release_before_somebody_resumed_it_halts_it_no_more(
    chain: Chain,
) -> None:
    await chain.publish(GOOD, "everywhere")
    await chain.trade()
    nameless = bundle(*BUNDLE.offers, offer("five", percent(5)), catalogue={"": Product()})
    broken = await chain.publish(nameless, "store:store-1")
    assert await chain.looks_until_it_halts(2) is not None
    await chain.resume(broken)
    assert await chain.looks_until_it_halts(2) is None  # they say again that they refuse it
    async with chain.centre.pool.acquire() as connection:
        await add_ring(
            connection, broken.version, read_ring("store:store-2"), by=chain.office.boris,
            system=chain.centre.system,
        )  # fmt: skip
    found = await chain.looks_until_it_halts(2)
    assert found is not None
    assert found.why == "2 of 2 tills refuse it"


async def test_what_tills_counted_before_somebody_resumed_is_not_judged(
    centre: JoinedCentre,
) -> None:
    office = await Office.of(centre)
    release = await office.published(await office.approved(GOOD), "everywhere")
    till, guard = await centre.till(), RuleGuard(centre.pool, centre.system)

    async def said(bundle_hash: str, slow: int) -> tuple[Halted, ...]:
        centre.system.at_ms += 10_000
        rules = RulesReport(version=release.version, calculated=1_000, slow=slow)
        async with centre.pool.acquire() as connection:
            now_ms = centre.system.now_ms()
            await note_report(connection, till.till_id, bundle_hash, rules, now_ms=now_ms)
        return await guard.look()

    assert await said(release.bundle, slow=500)
    await office.do("resume", release.version, why="so it is")
    assert not await said(release.bundle, slow=501)  # it had not heard of the halt
    assert not await said("", slow=0)
    assert await said(release.bundle, slow=502)  # it began to count anew


# Judging

CONTROL = Figures(
    receipts=1_000, gross_minor=1_000_000, discount_minor=100_000, calculated=1_000, dropped=20,
    slow=1, in_debt=2,
)  # fmt: skip


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        ({}, ""),
        ({"unequal": 1}, "1 of 1000 receipts"),
        ({"receipts": 200_000, "unequal": 1}, ""),
        ({"discount_minor": 125_000}, ""),
        ({"discount_minor": 140_000}, "takes 14.00 % off, others 10.00 %"),
        ({"discount_minor": 60_000}, "takes 6.00 % off"),
        ({"receipts": 99, "discount_minor": 900_000}, ""),
        ({"in_debt": 20}, "leave a debt"),
        ({"slow": 60}, "are slow"),
        ({"dropped": 90}, "give up 9.00 %"),
        ({"tills": 300, "refused": 2}, ""),
        ({"tills": 300, "refused": 4}, "4 of 300 tills refuse it"),
    ],
)
def test_a_guard_speaks_up_where_a_figure_is_beyond_its_bound(
    figures: dict[str, int], why: str
) -> None:
    shown = Figures(
        **{
            "receipts": 1_000, "gross_minor": 1_000_000, "discount_minor": 100_000,
            "calculated": 1_000, "dropped": 20, "slow": 1, "in_debt": 2, **figures,
        }
    )  # fmt: skip
    found = judge(GuardSettings(), shown, CONTROL)
    assert (why in found) if why else found == ""


@pytest.mark.parametrize(
    "text", ["{", '{"colour": 1}', '{"receipts_min": 0}', '{"slow_over_ppm": -1}']
)
def test_settings_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(BadRequestError, match="guards"):
        read_guards(text)

"""Releases that begin at a moment of each store: neither early nor never, whatever else is done."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from central.rules import pinning
from central.rules.moments import FOR_EVER, come_at, first_ms, has_come, is_moment, last_ms
from central.rules.release_file import sign_file
from central.rules.releases import Release, build_release, publish_release
from central.rules.rings import EVERYWHERE, read_ring
from central.rules.unable import find_unable
from central.rules.ways import Standing, in_turn
from loyalty.bundle import Bundle
from sync.cycle import converse
from sync.errors import LinkError
from tests.support.builders import bundle, offer, percent
from tests.support.centre import BUNDLE, KEYS, NOW_MS, RULE_KEY, JoinedCentre
from tests.support.till import JoinedTill, receipt
from tests.support.till_on_centre import TillOnCentre
from tests.unit.central.test_rules_life import Office

HOUR_MS = 3_600_000
SUNDAY, MONDAY, WEDNESDAY = (f"2025-03-{day:02}T06:00:00" for day in (9, 10, 12))
BEFORE = "2025-03-05T12:00:00"


def rules(rate_percent: int) -> Bundle:
    return bundle(*BUNDLE.offers, offer("ten", percent(rate_percent)))


class Shop:
    """A store in UTC with one till, and an office with two people; one clock for all."""

    def __init__(self, office: Office, till: TillOnCentre) -> None:
        self.office = office
        self.centre = office.centre
        self.till = till
        self.versions: list[int] = []

    async def publish(self, rate_percent: int, activate_at: str = "") -> Release:
        title = await self.office.approved(rules(rate_percent))
        return await self.again(title, activate_at)

    async def again(self, title: str, activate_at: str = "") -> Release:
        done = await self.office.published(title, "everywhere", activate_at=activate_at)
        await self.talk()
        return done

    async def do(self, what: str, release: Release) -> None:
        await self.office.do(what, release.version, why="?", by=self.office.boris
                             if what != "halt" else "boris")  # fmt: skip
        await self.talk()

    async def pin(self, version: int) -> None:
        async with self.centre.pool.acquire() as connection:
            await pinning.pin(
                connection, "store", "store-1", version, by=self.office.boris,
                system=self.centre.system,
            )  # fmt: skip
        await self.talk()

    async def unpin(self) -> None:
        async with self.centre.pool.acquire() as connection:
            await pinning.unpin(
                connection, "store", "store-1", by=self.office.boris, system=self.centre.system
            )
        await self.talk()

    async def talk(self) -> None:
        """Talk until nothing is left to take; versions only rise."""
        for _ in range(4):
            await self.till.talk()
            version = self.till.joined.till.books.active_version
            if version not in self.versions[-1:]:
                self.versions.append(version)
        assert self.versions == sorted(set(self.versions))

    def let_pass_until(self, local: str, *, hours: int = 0) -> None:
        at = datetime.fromisoformat(local).replace(tzinfo=UTC) + timedelta(hours=hours)
        passed_ms = int(at.timestamp() * 1000) - self.centre.system.at_ms
        self.centre.system.at_ms += passed_ms
        self.till.joined.system.let_pass(passed_ms)

    async def discount(self, local: str, *, hours: int = 0) -> int:
        """Return the share a receipt sold at a moment gets off, %, once the till has talked."""
        self.let_pass_until(local, hours=hours)
        await self.talk()
        moment = (datetime.fromisoformat(local) + timedelta(hours=hours)).isoformat()
        sold = await self.till.sell(msgspec.structs.replace(receipt(), moment=moment))
        return 100 * sold.totals.discount_minor // sold.totals.gross_minor


@pytest_asyncio.fixture
async def shop(centre: JoinedCentre, tmp_path: Path) -> AsyncIterator[Shop]:
    office = await Office.of(centre)
    till = await TillOnCentre.enrolled(centre, tmp_path / "till")
    shop = Shop(office, till)
    await shop.publish(10)
    yield shop
    shop.till.close()


def reopened(shop: Shop, *, without_cache: bool = False) -> None:
    """Start the till anew."""
    joined = shop.till.joined
    joined.close()
    if without_cache:
        for file in joined.folder.glob("cache.db*"):
            file.unlink()
    identity = joined.till.identity
    shop.till.joined = JoinedTill(joined.folder, system=joined.system, identity=identity)


# Neither early


async def halted_and_resumed(shop: Shop, release: Release) -> None:
    await shop.do("halt", release)
    await shop.do("resume", release)


async def store_pinned_and_unpinned(shop: Shop, _: Release) -> None:
    await shop.pin(1)
    await shop.unpin()


async def newer_one_withdrawn(shop: Shop, _: Release) -> None:
    await shop.do("roll_back", await shop.publish(50))


async def newer_one_halted_while_fetched(shop: Shop, _: Release) -> None:
    till = shop.till
    title = await shop.office.approved(rules(50))
    newer = await shop.office.published(title, "everywhere")
    till.pieces_max = len(till.pieces)  # the line breaks after the till was told
    with suppress(LinkError):
        await till.talk()
    till.pieces_max = 1_000
    await shop.do("halt", newer)


async def till_started_anew(shop: Shop, _: Release) -> None:
    reopened(shop)


async def cache_lost(shop: Shop, _: Release) -> None:
    reopened(shop, without_cache=True)


@pytest.mark.parametrize(
    "meanwhile",
    [
        halted_and_resumed, store_pinned_and_unpinned, newer_one_withdrawn,
        newer_one_halted_while_fetched, till_started_anew, cache_lost,
    ],
)  # fmt: skip
async def test_a_release_that_waits_begins_at_its_moment_whatever_is_done_meanwhile(
    shop: Shop, meanwhile: Callable[[Shop, Release], Awaitable[None]]
) -> None:
    monday = await shop.publish(20, MONDAY)
    await meanwhile(shop, monday)
    assert await shop.discount(BEFORE, hours=1) == 10
    assert await shop.discount(MONDAY, hours=-1) == 10
    assert await shop.discount(MONDAY) == 20


async def test_what_was_signed_without_its_moment_does_not_begin_before_it_has_come(
    shop: Shop,
) -> None:
    """Spare manifests of before named no moment at all."""
    system, office = shop.centre.system, shop.office
    title = await office.approved(rules(20))
    async with shop.centre.pool.acquire() as connection:
        made = await build_release(connection, title, activate_at=MONDAY, system=system)
        first, *spare = made.manifests
        bare = (msgspec.structs.replace(each, activate_at="") for each in spare)
        file = msgspec.structs.replace(made, manifests=(first, *bare))
        monday = await publish_release(
            connection, sign_file(file, RULE_KEY), keys=dict.fromkeys(KEYS.rule_public, 0),
            rings=[EVERYWHERE], by=office.boris, system=system,
        )  # fmt: skip
    await shop.talk()
    await halted_and_resumed(shop, monday)
    assert await shop.discount(MONDAY, hours=-1) == 10
    assert await shop.discount(MONDAY, hours=13) == 20


# Nor never


async def test_a_till_without_rules_gets_what_is_in_force_and_then_what_waits(
    shop: Shop, tmp_path: Path
) -> None:
    await shop.publish(20, MONDAY)
    new = await TillOnCentre.enrolled(shop.centre, tmp_path / "new")
    assert (await new.sell(receipt())).totals.discount_minor == 100
    await new.talk()
    shop.till.close()
    shop.till, shop.versions = new, []
    assert await shop.discount(MONDAY, hours=-1) == 10
    assert await shop.discount(MONDAY) == 20


@pytest.mark.parametrize("only_trial", [True, False])
async def test_a_till_that_lost_its_cache_gets_by_the_same_manifest_what_it_had(
    centre: JoinedCentre, tmp_path: Path, *, only_trial: bool
) -> None:
    office = await Office.of(centre)
    shop = Shop(office, await TillOnCentre.enrolled(centre, tmp_path / "till"))
    if not only_trial:
        await shop.publish(10)
    books = shop.till.joined.till.books
    had = books.active.bundle_hash, books.active_version
    reopened(shop, without_cache=True)
    await shop.talk()
    books = shop.till.joined.till.books
    assert (books.active.bundle_hash, books.active_version) == had
    shop.till.close()


async def test_two_releases_that_wait_begin_one_after_the_other(shop: Shop) -> None:
    await shop.publish(20, MONDAY)
    await shop.publish(30, WEDNESDAY)
    assert await shop.discount(MONDAY, hours=-1) == 10
    assert await shop.discount(MONDAY) == 20
    assert await shop.discount(MONDAY, hours=14) == 20
    reopened(shop)
    assert await shop.discount(WEDNESDAY, hours=-1) == 20
    assert await shop.discount(WEDNESDAY) == 30


async def test_a_till_that_sells_nothing_on_the_first_day_does_not_skip_it(shop: Shop) -> None:
    await shop.publish(20, MONDAY)
    await shop.publish(30, WEDNESDAY)
    shop.let_pass_until(MONDAY, hours=20)
    await shop.talk()
    assert await shop.discount(MONDAY, hours=21) == 20
    assert await shop.discount(WEDNESDAY) == 30


async def test_a_newer_release_that_begins_sooner_is_the_one(shop: Shop) -> None:
    await shop.publish(20, MONDAY)
    await shop.publish(30, SUNDAY)
    assert await shop.discount(SUNDAY, hours=-1) == 10
    assert await shop.discount(SUNDAY) == 30
    assert await shop.discount(WEDNESDAY) == 30


async def test_a_release_put_off_begins_when_it_was_put_off_to(shop: Shop) -> None:
    monday = await shop.publish(20, MONDAY)
    await shop.do("halt", monday)
    await shop.again(str(monday.version), WEDNESDAY)
    assert await shop.discount(MONDAY) == 10
    assert await shop.discount(WEDNESDAY) == 20


async def test_content_that_is_in_force_may_come_back_at_a_moment(shop: Shop) -> None:
    first = await shop.publish(20)
    await shop.publish(30)
    await shop.again(str(first.version), MONDAY)
    assert await shop.discount(MONDAY, hours=-1) == 30
    assert await shop.discount(MONDAY) == 20


@pytest.mark.parametrize("began", [False, True])
async def test_a_halt_reaches_what_waits_and_what_began_and_the_next_begins_in_time(
    shop: Shop, *, began: bool
) -> None:
    monday = await shop.publish(20, MONDAY)
    await shop.publish(30, WEDNESDAY)
    if began:
        assert await shop.discount(MONDAY, hours=15) == 20
    await shop.do("halt", monday)
    assert await shop.discount(MONDAY, hours=16) == 10
    assert await shop.discount(WEDNESDAY, hours=-1) == 10
    assert await shop.discount(WEDNESDAY) == 30


async def test_a_halt_reaches_what_is_in_force_below_what_waits(shop: Shop) -> None:
    bad = await shop.publish(90)
    await shop.publish(20, MONDAY)
    assert await shop.discount(BEFORE, hours=1) == 90
    await shop.do("halt", bad)
    assert await shop.discount(BEFORE, hours=2) == 10
    taken = shop.till.joined.till.books.active_version
    await shop.office.do("add_ring", 1, ring=read_ring("region:north"))
    await shop.talk()
    assert shop.till.joined.till.books.active_version == taken  # it has what it should
    assert await shop.discount(MONDAY) == 20


async def test_a_halt_reaches_a_till_that_had_not_said_yet_that_something_waits_above(
    shop: Shop,
) -> None:
    bad = await shop.publish(90)
    title = await shop.office.approved(rules(20))
    await shop.office.published(title, "everywhere", activate_at=MONDAY)
    till = shop.till
    await till._driven(converse(till.joined.side, greet=False), till._asked)  # noqa: SLF001
    await shop.office.do("halt", bad.version, why="?", by="boris")
    await shop.centre.parts.desk.directory.refresh()
    assert await shop.discount(BEFORE, hours=1) == 10
    assert await shop.discount(MONDAY) == 20


# What people see


async def test_tills_that_cannot_take_what_comes_in_turn_are_named_for_it(shop: Shop) -> None:
    monday = await shop.publish(20, MONDAY)
    wednesday = await shop.publish(30, WEDNESDAY)
    silent = await shop.centre.till()
    await shop.centre.pool.execute("update till set bundle = '' where till_id = $1", silent.till_id)
    shop.centre.system.pass_days(2)
    await shop.talk()
    for release in (monday, wednesday):
        async with shop.centre.pool.acquire() as connection:
            (found,) = await find_unable(
                connection, release.version, now_ms=shop.centre.system.now_ms()
            )
        assert (found.why, found.named) == ("silent", (silent.till_id,))


# In turn


def standing(version: int, activate_at: str = "") -> Standing:
    return Standing(version, f"bundle {version}", (EVERYWHERE,), activate_at=activate_at)


@pytest.mark.parametrize(
    ("moments", "turn"),
    [
        (("", "", ""), (3,)),
        (("", MONDAY, WEDNESDAY), (1, 2, 3)),
        (("", WEDNESDAY, MONDAY), (1, 3)),
        (("", MONDAY, MONDAY), (1, 3)),
        (("", MONDAY, ""), (3,)),
        ((MONDAY, WEDNESDAY), (0, 1, 2)),
        ((WEDNESDAY, SUNDAY, MONDAY), (0, 2, 3)),
        ((), (0,)),
    ],
)
def test_what_is_no_better_than_what_begins_before_it_never_begins(
    moments: tuple[str, ...], turn: tuple[int, ...]
) -> None:
    best_first = [standing(number, at) for number, at in enumerate(moments, 1)][::-1]
    now, coming = in_turn(best_first, NOW_MS)
    assert tuple(each.version if each else 0 for each in (now, *coming)) == turn


def test_a_moment_comes_first_in_the_east_and_has_come_when_the_west_has_it() -> None:
    at_ms = int(datetime(2025, 3, 10, 6, tzinfo=UTC).timestamp() * 1000)
    assert first_ms(MONDAY) == at_ms - 14 * HOUR_MS
    assert last_ms(MONDAY) == at_ms + 13 * HOUR_MS
    assert has_come(MONDAY, last_ms(MONDAY))
    assert not has_come(MONDAY, last_ms(MONDAY) - 1)
    assert come_at(last_ms(MONDAY)) == MONDAY


@pytest.mark.parametrize("text", ["", "soon", "0001-01-01T00:00:00", "9999-12-31T23:59:59"])
def test_no_text_of_a_moment_is_an_error(text: str) -> None:
    assert has_come(text, FOR_EVER)
    assert first_ms(text) <= last_ms(text)
    assert is_moment(text) is (len(text) == len(MONDAY))

"""Halted and withdrawn rules leave every till, or it is said how many they do not leave."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from central.errors import BadRequestError, NotFoundError
from central.rules import pinning
from central.rules.releases import Release, find_release
from central.rules.rings import read_ring
from loyalty.bundle import Bundle
from sync.errors import LinkError
from tests.support.builders import bundle, offer, percent
from tests.support.centre import BUNDLE, JoinedCentre
from tests.support.till import receipt
from tests.support.till_on_centre import TillOnCentre
from tests.unit.central.test_rules_life import Office

GOOD = bundle(*BUNDLE.offers, offer("ten", percent(10)))
OTHER = bundle(*BUNDLE.offers, offer("ten", percent(20)))
BAD = bundle(*BUNDLE.offers, offer("ten", percent(90)))


class Town:
    """Tills of two stores with their files, and an office with two people."""

    def __init__(self, office: Office, tills: dict[str, TillOnCentre]) -> None:
        self.office = office
        self.centre = office.centre
        self.tills = tills

    async def publish(self, rules: Bundle, *rings: str) -> Release:
        done = await self.office.published(await self.office.approved(rules), *rings)
        await self.talk()
        return done

    async def talk(self) -> None:
        for till in self.tills.values():
            await till.talk()

    def has(self, store: str) -> str:
        return self.tills[store].joined.till.books.active.bundle_hash

    async def discount_percent(self, store: str) -> int:
        """Return what a receipt sold now gets off."""
        calculation = await self.tills[store].sell(receipt())
        return 100 * calculation.totals.discount_minor // calculation.totals.gross_minor

    async def pin(self, store: str, version: int) -> None:
        async with self.centre.pool.acquire() as connection:
            await pinning.pin(
                connection, "store", store, version, by=self.office.boris,
                system=self.centre.system,
            )  # fmt: skip

    async def found(self, version: int) -> Release:
        async with self.centre.pool.acquire() as connection:
            return await find_release(connection, version)


@pytest_asyncio.fixture
async def town(centre: JoinedCentre, tmp_path: Path) -> AsyncIterator[Town]:
    office = await Office.of(centre)
    tills = {}
    for name in ("store-1", "store-2"):
        await centre.store(name)
        tills[name] = await TillOnCentre.enrolled(centre, tmp_path / name, store=name)
    yield Town(office, tills)
    for till in tills.values():
        till.close()


@pytest.mark.parametrize("away", ["halt", "roll_back"])
async def test_a_pin_does_not_hold_a_till_on_what_was_taken_away(town: Town, away: str) -> None:
    good = await town.publish(GOOD, "everywhere")
    bad = await town.publish(BAD)
    await town.pin("store-1", bad.version)
    await town.talk()
    assert (await town.discount_percent("store-1"), town.has("store-2")) == (90, good.bundle)
    by = "guard" if away == "halt" else town.office.boris
    done = await town.office.do(away, bad.version, why="90 % off", by=by)
    assert done.left_behind == 0
    await town.talk()
    assert (await town.discount_percent("store-1"), town.has("store-1")) == (10, good.bundle)
    async with town.centre.pool.acquire() as connection:
        (kept,) = await pinning.list_pins(connection)
    assert not kept.counts
    with pytest.raises(BadRequestError, match="90 % off"):
        await town.pin("store-2", bad.version)


async def test_a_pin_counts_again_once_somebody_resumes(town: Town) -> None:
    await town.publish(GOOD, "everywhere")
    other = await town.publish(OTHER)
    await town.pin("store-1", other.version)
    await town.talk()
    await town.office.do("halt", other.version, why="?", by="boris")
    await town.talk()
    assert town.has("store-1") != other.bundle
    await town.office.do("resume", other.version, why="it was right")
    await town.talk()
    assert town.has("store-1") == other.bundle


async def test_a_halt_reaches_a_ring_of_an_older_release(town: Town) -> None:
    good = await town.publish(GOOD, "everywhere")
    ring = await town.publish(OTHER, "store:store-1")
    bad = await town.publish(BAD, "everywhere")
    assert {town.has("store-1"), town.has("store-2")} == {bad.bundle}
    done = await town.office.do("halt", bad.version, why="90 % off", by="guard")
    assert (done.left_behind, done.remedy) == (0, "")
    await town.talk()
    assert (town.has("store-1"), town.has("store-2")) == (ring.bundle, good.bundle)
    # One by one back to the very first, as long as something was signed.
    assert (await town.office.do("halt", ring.version, why="", by="boris")).left_behind == 0
    await town.talk()
    assert town.has("store-1") == good.bundle


async def test_where_the_best_cannot_be_reached_the_next_that_stands_is_taken(town: Town) -> None:
    good = await town.publish(GOOD, "everywhere")
    ring = await town.publish(OTHER, "store:store-1")
    bad = await town.publish(BAD, "everywhere")
    # As releases were signed before rings of older ones were thought of.
    await town.centre.pool.execute(
        "delete from rule_manifest where release = $1 and bundle = $2", bad.version, ring.bundle
    )
    done = await town.office.do("halt", bad.version, why="90 % off", by="guard")
    assert done.left_behind == 0
    await town.talk()
    assert {town.has("store-1"), town.has("store-2")} == {good.bundle}


async def test_halting_the_only_release_says_whom_it_cannot_bring_back(town: Town) -> None:
    only = await town.found(1)
    assert (only.left_behind, town.has("store-1")) == (0, only.bundle)
    done = await town.office.do("halt", 1, why="90 % off", by="guard")
    assert done.left_behind == 2
    assert done.remedy == "nothing else is published for them: publish good rules"
    await town.talk()
    assert town.has("store-1") == only.bundle  # a till sells on
    good = await town.publish(GOOD, "store:store-1")
    assert town.has("store-1") == good.bundle
    assert (await town.found(1)).left_behind == 1


async def test_the_halt_for_which_nothing_is_signed_any_more_says_so_at_once(town: Town) -> None:
    good = await town.publish(GOOD, "everywhere")
    bad = await town.publish(BAD, "store:store-1")
    for _ in range(3):
        done = await town.office.do("halt", bad.version, why="", by="boris")
        assert done.left_behind == 0
        await town.talk()
        assert town.has("store-1") == good.bundle
        await town.office.do("resume", bad.version, why="")
        await town.talk()
    version = town.tills["store-1"].joined.till.books.active_version
    done = await town.office.do("halt", bad.version, why="", by="boris")
    again = f"rules publish {good.version} --ring RING"
    assert (done.left_behind, done.remedy) == (
        1, f"publish again what they should have: {again}",
    )  # fmt: skip
    await town.talk()
    assert town.has("store-1") == bad.bundle
    # What it says helps: versions have only risen.
    await town.office.published(str(good.version), "everywhere")
    await town.talk()
    assert town.has("store-1") == good.bundle
    assert town.tills["store-1"].joined.till.books.active_version > version
    assert (await town.found(bad.version)).left_behind == 0


async def test_a_halt_counts_tills_that_were_told_and_have_not_said_a_word_since(
    town: Town,
) -> None:
    only = await town.publish(GOOD, "everywhere")
    await town.office.do("halt", 1, why="", by="boris")
    till = town.tills["store-1"]
    till.pieces_max = len(till.pieces)  # the line breaks after the till was told
    bad = await town.office.published(await town.office.approved(BAD), "everywhere")
    for each in town.tills.values():
        with suppress(LinkError):
            await each.talk()
    assert (town.has("store-1"), town.has("store-2")) == (only.bundle, bad.bundle)
    await town.office.do("halt", only.version, why="", by="boris")
    done = await town.office.do("halt", bad.version, why="", by="boris")
    assert done.left_behind == 2


async def test_what_was_taken_away_takes_older_releases_of_the_same_content_with_it(
    town: Town,
) -> None:
    good = await town.publish(GOOD, "everywhere")
    bad = await town.publish(BAD, "store:store-1")
    again = await town.office.published(str(bad.version), "everywhere")
    await town.talk()
    assert {town.has("store-1"), town.has("store-2")} == {again.bundle}
    assert (await town.office.do("halt", again.version, why="", by="guard")).left_behind == 0
    await town.talk()
    assert {town.has("store-1"), town.has("store-2")} == {good.bundle}


# Names


@pytest.mark.parametrize(
    ("ring", "why"),
    [
        ("till:77", "there is no till 77"),
        ("store:store-1,moon", "there is no store moon"),
        ("region:nosuch", "there is no region nosuch"),
        ("stores:50", "there are 2 stores"),
    ],
)
async def test_a_ring_of_nobody_is_refused_by_name(town: Town, ring: str, why: str) -> None:
    good = await town.publish(GOOD)
    with pytest.raises(BadRequestError, match=why):
        await town.office.do("add_ring", good.version, ring=read_ring(ring))
    assert (await town.found(good.version)).rings == ()


@pytest.mark.parametrize(("scope", "name"), [("store", "nosuch"), ("till", "99"), ("till", "x")])
async def test_a_pin_of_nobody_is_refused_by_name(
    town: Town, scope: pinning.Scope, name: str
) -> None:
    async with town.centre.pool.acquire() as connection:
        with pytest.raises(NotFoundError, match=f"there is no {scope} {name}"):
            await pinning.pin(
                connection, scope, name, 1, by=town.office.boris, system=town.centre.system
            )

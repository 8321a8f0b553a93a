"""Releases of two programmes go to their own tills, and say nothing about each other's."""

from dataclasses import replace

import pytest

from central.errors import BadRequestError
from central.rules import pinning
from central.rules.guarding import RuleGuard
from central.rules.releases import find_release
from loyalty.bundle import Bundle
from tests.support.builders import bundle, offer, percent
from tests.support.centre import BUNDLE, JoinedCentre
from tests.support.till_probe import TillProbe
from tests.unit.central.test_programmes import add
from tests.unit.central.test_rules_guard import GUARDS
from tests.unit.central.test_rules_life import Office, Taker


def of_blue(rate_percent: int) -> Bundle:
    """Return rules of the programme blue."""
    rules = bundle(*BUNDLE.offers, offer("all", percent(rate_percent)))
    return replace(rules, programme=replace(BUNDLE.programme, programme_id="blue"))


def of_green(rate_percent: int) -> Bundle:
    """Return rules of the default programme."""
    return bundle(*BUNDLE.offers, offer("ten", percent(rate_percent)))


async def two_programmes(centre: JoinedCentre) -> Office:
    """Have store-1 and store-4 in the default programme, store-2 in blue, and people."""
    await add(centre, "blue", "blue")
    await centre.store("store-2", banner="blue")
    await centre.store("store-4")
    return await Office.of(centre)


async def test_a_release_goes_to_tills_of_its_programme(centre: JoinedCentre) -> None:
    office = await two_programmes(centre)
    green, blue = Taker(await centre.till()), Taker(await centre.till("store-2"))
    first = await office.published(await office.approved(of_blue(10)), "everywhere")
    ten = await office.published(await office.approved(of_green(10)), "everywhere")
    second = await office.published(await office.approved(of_blue(20)), "everywhere")
    assert (first.programme, ten.programme) == ("blue", "")
    for till in (green, blue):
        await till.pull()
    assert (green.bundle, blue.bundle) == (ten.bundle, second.bundle)
    await office.do("roll_back", second.version, why="too much")
    await blue.pull()
    assert blue.bundle == first.bundle
    assert await green.pull() is None
    with pytest.raises(BadRequestError, match="nothing before"):
        await office.do("roll_back", first.version, why="too much")
    again = await office.published(str(second.version), "everywhere")
    await blue.pull()
    assert (again.programme, blue.bundle) == ("blue", second.bundle)


@pytest.mark.parametrize("ring", ["store:store-1", "till:1"])
async def test_a_ring_of_another_programmes_tills_is_refused(
    centre: JoinedCentre, ring: str
) -> None:
    office = await two_programmes(centre)
    await centre.till()
    with pytest.raises(BadRequestError, match=r"1 is not of blue"):
        await office.published(await office.approved(of_blue(10)), ring)


async def test_some_stores_are_stores_of_the_programme(centre: JoinedCentre) -> None:
    office = await two_programmes(centre)
    title = await office.approved(of_blue(10))
    with pytest.raises(BadRequestError, match="there are 1 stores of blue, not 3"):
        await office.published(title, "stores:3")
    release = await office.published(title, "stores:1")
    assert release.rings == ("store:store-2",)


@pytest.mark.parametrize(("scope", "name"), [("store", "store-1"), ("till", "1")])
async def test_nobody_is_pinned_to_rules_of_another_programme(
    centre: JoinedCentre, scope: pinning.Scope, name: str
) -> None:
    office = await two_programmes(centre)
    await centre.till()
    release = await office.published(await office.approved(of_blue(10)), "everywhere")
    async with centre.pool.acquire() as connection:
        with pytest.raises(BadRequestError, match="is for blue"):
            await pinning.pin(
                connection, scope, name, release.version, by=office.boris, system=centre.system
            )


async def sold(centre: JoinedCentre, till: TillProbe, count: int) -> None:
    """Sell some receipts under the rules the till has."""
    names = [f"{till.till_id}-{number}" for number in range(count)]
    await centre.post(till, *(till.sale(name) for name in names))


async def test_what_is_normal_in_another_programme_halts_nothing(centre: JoinedCentre) -> None:
    """The other programme takes 90 % off, always: 10 % more in this one is not too little."""
    office = await two_programmes(centre)
    library = centre.parts.applier.library
    await office.published(await office.approved(of_blue(90)), "everywhere")
    await office.published(await office.approved(of_green(10)), "everywhere")
    control, other = await centre.till("store-4"), await centre.till("store-2")
    eleven = replace(of_green(10), groups={"spring": ("milk",)})
    title = await office.approved(eleven)
    release = await office.published(title, "store:store-1")
    await centre.pool.execute(
        "update rule_release set guards = $1", f'{{"receipts_min": {GUARDS.receipts_min}}}'
    )
    ringed = await centre.till("store-1")
    async with centre.pool.acquire() as connection:
        ringed.rules = await library.find(connection, release.bundle)
    await sold(centre, other, 40)
    await sold(centre, control, GUARDS.receipts_min)
    await sold(centre, ringed, GUARDS.receipts_min)
    assert await RuleGuard(centre.pool, centre.system).look() == ()
    async with centre.pool.acquire() as connection:
        assert (await find_release(connection, release.version)).state == "open"

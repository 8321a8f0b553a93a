"""What each customer is given is kept by tills that do not hear of each other."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from central.rights.counters import read_states
from loyalty.bundle import Bundle
from loyalty.offers import AmountOff, Limits, SharedLimit
from tests.support import builders
from tests.support.centre import JoinedCentre
from tests.support.till import receipt
from tests.support.till_on_centre import TillOnCentre
from tests.support.till_probe import TillProbe

ONCE, DAILY = "account.uses.7:once", "account.uses.7:daily@2025-03-05"
OFF_MINOR = 100


def rules() -> Bundle:
    return builders.bundle(
        builders.offer(
            "once",
            AmountOff(amount_minor=OFF_MINOR),
            limits=Limits(account=SharedLimit(uses_max=1)),
        ),
        builders.offer("daily", limits=Limits(account=SharedLimit(uses_max=3, period="day"))),
        version=2,
    )


async def given(till: TillProbe, name: str, amount: int = 0) -> list[int]:
    return [grant.amount for grant in (await till.ask_counters(name, amount=amount)).grants]


async def test_a_till_gets_for_a_customer_who_waits_what_he_may_have_and_no_other_till_does(
    centre: JoinedCentre,
) -> None:
    await centre.publish(rules())
    first, second = await centre.till(), await centre.till()
    assert await given(first, DAILY, amount=2) == [2]
    assert await given(second, DAILY, amount=2) == [1]
    assert await given(second, DAILY, amount=1) == []
    # The first one is asked to give back what it does not use.
    await first.push()
    await centre.apply()
    assert len((await first.pull()).recalls) == 1


async def test_in_advance_only_the_till_gets_it_that_holds_the_customers_points(
    centre: JoinedCentre,
) -> None:
    await centre.publish(rules())
    home, other = await centre.till(is_vault=True), await centre.till()
    await centre.customer(7, 300, home="store-1")
    await home.pull()
    assert await given(other, DAILY) == []
    assert await given(home, DAILY) == [3]


@pytest.mark.parametrize(
    "name",
    [
        "account.uses.7:unheard-of",
        "account.uses.7:daily@2025-06-05",
        "account.uses.0:once",
        "account.uses.007:once",
        "account.minor.7:once",
    ],
)
async def test_what_no_rule_gives_a_customer_now_is_not_handed_out(
    centre: JoinedCentre, name: str
) -> None:
    await centre.publish(rules())
    assert await given(await centre.till(), name, amount=1) == []


@dataclass(slots=True)
class Chain:
    """Three tills, two of them of store-1, the home of customer 7."""

    centre: JoinedCentre
    tills: list[TillOnCentre]

    async def talk(self, till: TillOnCentre) -> None:
        till.line_is_cut = False
        for _ in range(3):
            till.joined.system.let_pass(60_000)
            await till.talk()
            await self.centre.apply()

    def cut(self, till: TillOnCentre) -> None:
        till.line_is_cut = True
        till.joined.cut_off()

    async def off(self, till: TillOnCentre) -> bool:
        """Sell to customer 7; returns whether the offer acted."""
        printed = await till.sell(receipt(card="card-7"))
        return any(each.counter == ONCE for each in printed.counted)

    async def used(self) -> tuple[int, int]:
        now_ms = self.centre.system.now_ms()
        assert await read_states(self.centre.pool, now_ms=now_ms) == []
        states = await read_states(self.centre.pool, now_ms=now_ms, account_id=7)
        found = next(each for each in states if each.name == ONCE)
        return found.used, found.overdrawn


@pytest_asyncio.fixture
async def chain(centre: JoinedCentre, tmp_path: Path) -> AsyncIterator[Chain]:
    await centre.store("store-2")
    await centre.publish(rules())
    await centre.customer(7, 300, card="card-7", home="store-1")
    tills = [
        await TillOnCentre.enrolled(centre, tmp_path / f"till-{n}", store=store)
        for n, store in enumerate(["store-1", "store-2", "store-2"])
    ]
    chain = Chain(centre, tills)
    for till in tills:
        await chain.talk(till)
    yield chain
    for till in tills:
        till.close()


async def test_stores_that_do_not_hear_of_each_other_give_it_once(chain: Chain) -> None:
    home, away, further = chain.tills
    # Everybody knows the customer, and then all lines are cut.
    for till in (away, further):
        await till.calculate(receipt(card="card-7"))
        for receipt_id in list(till.joined.till.allowances.shown):
            till.joined.cancel(receipt_id)
        await chain.talk(till)
    await chain.talk(home)
    home.joined.system.let_pass(1_800_000)  # it gave back what somebody asked for elsewhere
    await chain.talk(home)
    for till in chain.tills:
        chain.cut(till)
    given = [await chain.off(till) for till in (away, home, further, home, away)]
    assert given == [False, True, False, False, False]
    for till in chain.tills:
        await chain.talk(till)
    assert await chain.used() == (1, 0)


async def test_with_a_line_it_is_given_wherever_the_customer_is_and_once(chain: Chain) -> None:
    home, away, further = chain.tills
    assert not await chain.off(away)  # home has it, and is asked to give it back
    await chain.talk(home)
    away.joined.system.let_pass(60_000)
    assert await chain.off(away)
    further.joined.system.let_pass(60_000)
    assert not await chain.off(further)
    assert not await chain.off(home)
    for till in chain.tills:
        await chain.talk(till)
    assert await chain.used() == (1, 0)


async def test_what_was_shown_and_not_bought_can_be_given_elsewhere(chain: Chain) -> None:
    home, away, further = chain.tills
    chain.cut(home)
    await chain.talk(home)
    await away.calculate(receipt(card="card-7"))
    await chain.talk(home)
    await away.calculate(receipt(card="card-7"))
    for receipt_id in list(away.joined.till.allowances.shown):
        away.joined.cancel(receipt_id)
    await chain.talk(away)
    further.joined.system.let_pass(60_000)
    assert await chain.off(further)
    for till in chain.tills:
        await chain.talk(till)
    assert await chain.used() == (1, 0)

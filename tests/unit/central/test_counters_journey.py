"""Whole tills and their centre: with lines cut, no more is printed than a campaign's limit."""

import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid5

import msgspec
import pytest
import pytest_asyncio

from agent.journal.counter_rights import CounterRights, Share
from agent.till_service.allowance_memory import ASK_AGAIN_MS
from central.rights.counters import read_states, release
from loyalty.bundle import Bundle
from loyalty.calculation import Calculation
from loyalty.offers import AmountOff, Limits, NeedsCode, SharedLimit
from sync.messages import CounterGrant
from sync.records import CounterDrawn
from tests.support import builders
from tests.support.centre import JoinedCentre
from tests.support.till import calculation_of, receipt
from tests.support.till_on_centre import TillOnCentre

LIMIT = 12
MONEY = 900
USES, MINOR = "campaign.uses:first", "campaign.minor:budget"
TEN = receipt()
_SHOWN = UUID("01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d")


def campaign() -> Bundle:
    return builders.bundle(
        builders.offer(
            "first",
            AmountOff(amount_minor=100),
            limits=Limits(campaign=SharedLimit(uses_max=LIMIT)),
        ),
        builders.offer(
            "budget",
            AmountOff(amount_minor=70),
            limits=Limits(campaign=SharedLimit(discount_minor_max=MONEY)),
        ),
        builders.offer(
            "coupon", AmountOff(amount_minor=50), needs=NeedsCode(prefix="ONCE-", uses_max=1)
        ),
        version=2,
    )


@dataclass(slots=True)
class Chain:
    """Tills of two stores; `paper` is what they printed, by counter."""

    centre: JoinedCentre
    tills: list[TillOnCentre]
    paper: dict[str, int]
    shown: list[tuple[TillOnCentre, str, int]] = field(default_factory=list)

    async def sell(self, till: TillOnCentre, *codes: str) -> int:
        """Sell for ten; returns what was taken off."""
        printed = await till.sell(receipt(codes=codes))
        self._note(printed)
        return printed.totals.discount_minor

    async def show(self, till: TillOnCentre) -> None:
        """Total a receipt and leave it open."""
        receipt_id = str(uuid5(_SHOWN, str(len(self.shown))))
        answer = till.joined.update(TEN, receipt_id)
        self.shown.append((till, receipt_id, calculation_of(answer).totals.paid_minor))

    async def complete_all(self) -> None:
        """Complete what was shown, as it was shown; a till that began anew says no to some."""
        for till, receipt_id, paid_minor in self.shown:
            self.cut(till)
            done = till.joined.complete(TEN, paid_minor, receipt_id)
            if done.outcome == "recorded":
                self._note(calculation_of(done))

    def _note(self, printed: Calculation) -> None:
        for each in printed.counted:
            self.paper[each.counter] = self.paper.get(each.counter, 0) + each.plus

    async def talk(self, till: TillOnCentre) -> None:
        """Give a till its line and let it talk until it has told everything."""
        till.line_is_cut = False
        for _ in range(2):
            await till.talk()
            await self.centre.apply()

    def cut(self, till: TillOnCentre) -> None:
        """Take a till's line; it notices."""
        till.line_is_cut = True
        till.joined.cut_off()

    async def used(self, name: str) -> tuple[int, int]:
        """Return what the centre counts as used, and what was overdrawn."""
        states = await read_states(self.centre.pool, now_ms=self.centre.system.now_ms())
        found = next(each for each in states if each.name == name)
        return found.used, found.overdrawn


@pytest_asyncio.fixture
async def chain(centre: JoinedCentre, tmp_path: Path) -> AsyncIterator[Chain]:
    await centre.store("store-2")
    await centre.publish(campaign())
    stores = ["store-1", "store-1", "store-2"]
    tills = [
        await TillOnCentre.enrolled(centre, tmp_path / f"till-{n}", store=store)
        for n, store in enumerate(stores)
    ]
    chain = Chain(centre, tills, {})
    for till in tills:
        await chain.talk(till)
    yield chain
    for till in tills:
        till.close()


async def test_tills_without_lines_never_exceed_a_campaigns_limit(chain: Chain) -> None:
    for till in chain.tills:
        chain.cut(till)
    for _ in range(LIMIT):
        for till in chain.tills:
            await chain.sell(till)
    assert 0 < chain.paper[USES] <= LIMIT
    assert 0 < chain.paper[MINOR] <= MONEY
    for till in chain.tills:
        await chain.talk(till)
    for name in (USES, MINOR):
        assert await chain.used(name) == (chain.paper[name], 0)


async def test_with_lines_all_of_it_is_given_and_no_more(chain: Chain) -> None:
    for _ in range(3 * LIMIT):
        if chain.paper == {USES: LIMIT, MINOR: MONEY}:
            break
        for till in chain.tills:
            till.joined.system.let_pass(ASK_AGAIN_MS)
            await chain.talk(till)
            await chain.sell(till)
    assert chain.paper == {USES: LIMIT, MINOR: MONEY}
    await chain.sell(chain.tills[0])
    assert chain.paper == {USES: LIMIT, MINOR: MONEY}
    for till in chain.tills:
        await chain.talk(till)
    for name in (USES, MINOR):
        assert await chain.used(name) == (chain.paper[name], 0)


async def test_a_single_code_is_taken_in_one_store_only(chain: Chain) -> None:
    first, _, other = chain.tills
    assert "code.uses:ONCE-1" not in chain.paper
    await chain.sell(first, "ONCE-1")
    chain.cut(first)
    await chain.sell(other, "ONCE-1")
    await chain.sell(first, "ONCE-1")
    assert chain.paper["code.uses:ONCE-1"] == 1


async def test_a_code_shown_and_not_used_can_be_used_elsewhere(chain: Chain) -> None:
    first, _, other = chain.tills
    await first.calculate(receipt(codes=["ONCE-1"]))
    await chain.sell(other, "ONCE-1")
    assert "code.uses:ONCE-1" not in chain.paper
    for receipt_id in list(first.joined.till.allowances.shown):
        first.joined.cancel(receipt_id)
    await chain.talk(first)
    other.joined.system.let_pass(60_000)
    await chain.sell(other, "ONCE-1")
    assert chain.paper["code.uses:ONCE-1"] == 1


Plant = Callable[[TillOnCentre], None]


def as_built(_: TillOnCentre) -> None:
    """Plant nothing."""


async def storm(chain: Chain, story: int, plant: Plant = as_built, *, leases: bool = False) -> None:
    """Sell, show, cut, heal, restart and begin anew, in an order out of the story's number.

    Args:
        leases: the centre takes rights of tills it does not hear of for free again.
    """
    draws = random.Random(story)
    for till in chain.tills:
        plant(till)
    for step in range(80):
        n = draws.randrange(len(chain.tills))
        till = chain.tills[n]
        what = draws.choice(["sell", "sell", "sell", "show", "cut", "talk", "restart", "anew"])
        if what == "sell":
            await chain.sell(till, f"ONCE-{draws.randrange(4)}")
        elif what == "show":
            await chain.show(till)
        elif what == "cut":
            chain.cut(till)
            if leases:
                await release(chain.centre.pool, till.joined.till.identity.till_id, really=True)
        elif what == "restart":
            till.joined = till.joined.reopened()
            plant(till)
        elif what == "anew" and step % 5 == 0:
            till.joined.till.start_incarnation("a test")
            await chain.talk(till)
        else:
            till.joined.system.let_pass(1_800_000)
            await chain.talk(till)
    await chain.complete_all()
    for till in chain.tills:
        await chain.talk(till)


async def is_kept(chain: Chain) -> bool:
    """Say whether no limit was exceeded on paper, and the centre counts what is on paper."""
    codes = [plus for name, plus in chain.paper.items() if name.startswith("code.")]
    within = chain.paper[USES] <= LIMIT and chain.paper[MINOR] <= MONEY
    known = [await chain.used(name) == (chain.paper[name], 0) for name in (USES, MINOR)]
    return within and max(codes, default=0) <= 1 and all(known)


@pytest.mark.parametrize("story", range(4))
async def test_whatever_happens_no_limit_is_exceeded(chain: Chain, story: int) -> None:
    await storm(chain, story)
    assert await is_kept(chain)


# The usual mistakes: the same stories must notice each of them


class CountedTwice(CounterRights):
    """Credits a grant as if it had come twice."""

    def receive(self, grant: CounterGrant) -> None:
        super().receive(grant)
        again = f"{grant.grant_id} again"
        super().receive(msgspec.structs.replace(grant, grant_id=again))


class NotSetAside(CounterRights):
    """Finds out at the sale whether something is left, and then sells what was shown anyway."""

    def set_aside(self, receipt_id: str, wanted: Mapping[str, int], *, at_ms: int) -> bool:
        self._wanted = dict(wanted)
        return True

    def spend(self, receipt_id: str) -> tuple[CounterDrawn, ...]:
        for name, amount in self._wanted.items():
            left = self.shares([name]).get(name, Share()).left
            super().set_aside(receipt_id, {name: min(amount, left)}, at_ms=0)
        return super().spend(receipt_id)


def planting(kind: type[CounterRights]) -> Plant:
    """Return what puts other rights into a till."""

    def plant(till: TillOnCentre) -> None:
        journal = till.joined.till.journal
        journal.counter_rights = kind(journal.counter_rights.database)

    return plant


@pytest.mark.parametrize("kind", [CountedTwice, NotSetAside])
async def test_a_mistake_at_the_till_is_noticed(chain: Chain, kind: type[CounterRights]) -> None:
    await storm(chain, 1, planting(kind))
    assert not await is_kept(chain)


async def test_rights_released_by_time_are_noticed(chain: Chain) -> None:
    await storm(chain, 1, leases=True)
    assert not await is_kept(chain)

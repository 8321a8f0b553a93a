"""Merges among everything else, in an order drawn from a seed: the ledger is proven after each."""

from contextlib import suppress
from random import Random

from central.errors import BadRequestError
from central.ledger.merging import Restored, merge_accounts, undo_merge
from sync.messages import Grant
from tests.support.centre import JoinedCentre
from tests.support.till_probe import TillProbe, take

ACCOUNTS = (11, 12, 13, 14)
STEPS = 45


class Storm:
    """Sales, returns, rights and merges at one centre."""

    def __init__(self, centre: JoinedCentre, tills: list[TillProbe], seed: int) -> None:
        self.centre = centre
        self.tills = tills
        self.draws = Random(seed)
        self.keys: list[str] = []
        self.grants: list[tuple[TillProbe, Grant]] = []
        self.merges: list[int] = []
        self.restored: list[Restored] = []
        self.numbers = iter(range(10_000))

    async def step(self) -> None:
        name = self.draws.choice(
            ["sell", "sell", "spend", "spend", "give_back", "give_up", "pull", "merge", "merge",
             "undo", "open"]
        )  # fmt: skip
        await getattr(self, name)()

    def key(self) -> str:
        return f"key-{next(self.numbers)}"

    @property
    def till(self) -> TillProbe:
        return self.draws.choice(self.tills)

    async def sell(self) -> None:
        key, till = self.key(), self.till
        await self.centre.post(till, till.sale(key, account=self.draws.choice(ACCOUNTS)))
        self.keys.append(key)

    async def spend(self) -> None:
        """Spend an authorisation, or a grant that was pulled, in full or in part."""
        account = self.draws.choice(ACCOUNTS)
        key, till = self.key(), self.till
        if self.grants and self.draws.random() < 0.5:
            till, grant = self.grants.pop(self.draws.randrange(len(self.grants)))
            account = grant.account_id
        else:
            wished = self.draws.randint(1, 300)
            rights = (await till.authorise(key, account, wished)).authorisations
            if not rights:
                return
            grant = rights[0]
        points = self.draws.randint(1, min(grant.points, 450))
        sale = till.sale(key, account=account, sources=[take(grant, points)])
        await self.centre.post(till, sale)
        self.keys.append(key)

    async def open(self) -> None:
        """Leave an authorisation open, or give its receipt up."""
        key, till = self.key(), self.till
        await till.authorise(key, self.draws.choice(ACCOUNTS), self.draws.randint(1, 200))
        if self.draws.random() < 0.5:
            await self.centre.post(till, till.void(key))

    async def pull(self) -> None:
        vault = self.tills[0]
        answer = await vault.pull()
        self.grants += [(vault, grant) for grant in answer.grants]
        if answer.grants:
            await vault.push()
            await self.centre.apply()

    async def give_back(self) -> None:
        if self.grants:
            till, grant = self.grants.pop(self.draws.randrange(len(self.grants)))
            await self.centre.post(till, till.give_back(grant))

    async def give_up(self) -> None:
        """Return the goods of a receipt."""
        if self.keys:
            key, till = self.keys.pop(self.draws.randrange(len(self.keys))), self.till
            await self.centre.post(till, till.refund(f"back-{key}", key))

    async def merge(self) -> None:
        old, new = self.draws.sample(ACCOUNTS, 2)
        with suppress(BadRequestError):  # one of them is merged already
            done = await merge_accounts(
                self.centre.pool, old, new, person="ann", reason="a storm", now_ms=0
            )
            self.merges.append(done.merge_id)

    async def undo(self) -> None:
        if self.merges:
            number = self.draws.choice(self.merges)
            with suppress(BadRequestError):  # a later one has to be undone before
                done = await undo_merge(self.centre.pool, number, person="bob", now_ms=0)
                self.merges.remove(number)
                self.restored.append(done)


async def test_whatever_happens_between_merges_the_ledger_is_proven(
    centre: JoinedCentre, seed: int
) -> None:
    await centre.fund(100_000)
    await centre.store("store-2")
    tills = [
        await centre.till(is_vault=True),
        await centre.till(),
        await centre.till("store-2"),
    ]
    for number, account_id in enumerate(ACCOUNTS):
        home = "store-1" if number % 2 else ""
        await centre.customer(account_id, 200, 100 * number + 1, home=home, card=f"c{number}")
    storm = Storm(centre, tills, seed)
    for _ in range(STEPS):
        await storm.step()
        await centre.assert_balanced()
    # Whatever is left to undo, the newest first: everybody is somebody again.
    for number in sorted(storm.merges, reverse=True):
        await undo_merge(centre.pool, number, person="bob", now_ms=0)
        await centre.assert_balanced()
    merged = await centre.pool.fetchval(
        "select count(*) from account where merged_into is not null"
    )
    assert merged == 0
    reasons = await centre.pool.fetch("select reason from outcome where outcome = 'rejected_kept'")
    assert [row["reason"] for row in reasons] == []

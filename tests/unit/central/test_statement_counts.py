"""A purchase takes one small bounded number of statements; receipts posted together take as many.

What is counted is what goes over the wire: transactions' begin and end too, but not what triggers
do inside of the server, which is no round trip.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest_asyncio
from asyncpg.connection import LoggedQuery

from central.database.pool import open_pool
from sync.cycle import PATH_SNAPSHOT
from sync.messages import SnapshotAnswer, SnapshotRequest
from tests.support.centre import JoinedCentre, joined_centre
from tests.support.till_probe import TillProbe, take

# Of a snapshot, an authorisation, a push and its posting; of the first, with what is asked once.
STATEMENTS_MAX = (2, 13, 5, 35)
FIRST_MAX = (3, 13, 7, 40)
TOGETHER = 200
_CONNECTIONS = 4


@dataclass(slots=True)
class _Sent:
    """The statements that were sent, in order."""

    texts: list[str] = field(default_factory=list)

    def hear(self, query: LoggedQuery) -> None:
        """Take one."""
        self.texts.append(query.query)

    async def take(self) -> list[str]:
        """Return those since the last time."""
        await asyncio.sleep(0)  # the last ones are told in the loop's next round
        taken, self.texts = self.texts, []
        return taken


@dataclass(slots=True)
class _Scene:
    centre: JoinedCentre
    sent: _Sent
    till: TillProbe

    async def pushed(self) -> list[str]:
        """Hand in what the till has; return what that took."""
        await self.sent.take()
        await self.till.push()
        return await self.sent.take()

    async def posted(self) -> list[str]:
        """Post what is kept; return what that took, with the look that finds nothing more."""
        await self.sent.take()
        await self.centre.apply()
        return await self.sent.take()

    async def authorised(self, key: str, account_id: int) -> list[str]:
        """Get points for a receipt and put the receipt into the stream; return what that took."""
        await self.sent.take()
        (right,) = (await self.till.authorise(key, account_id, 20)).authorisations
        taken = await self.sent.take()
        self.till.append(self.till.sale(key, account=account_id, sources=[take(right)]))
        return taken


@pytest_asyncio.fixture
async def scene(database: str) -> AsyncIterator[_Scene]:
    """Give a centre whose connections say what they send."""
    sent = _Sent()
    pool = await open_pool(database, connections_max=_CONNECTIONS)
    async with AsyncExitStack() as held:
        for _ in range(_CONNECTIONS):
            connection = await held.enter_async_context(pool.acquire())
            connection.add_query_logger(sent.hear)
    async with joined_centre(pool) as centre:
        yield _Scene(centre, sent, await centre.till())
    await pool.close()


async def test_a_purchase_takes_a_bounded_number_of_statements(scene: _Scene) -> None:
    till = scene.till
    await scene.centre.customer(7, 300, card="4007")
    for number in range(3):
        await scene.sent.take()
        request = SnapshotRequest(card=till.card("4007"))
        answer = await till.ask(PATH_SNAPSHOT, request, SnapshotAnswer)
        assert answer.account is not None
        snapshot = await scene.sent.take()
        authorisation = await scene.authorised(f"s{number}", 7)
        push, post = await scene.pushed(), await scene.posted()
        sent = (snapshot, authorisation, push, post)
        for each, most in zip(sent, STATEMENTS_MAX if number else FIRST_MAX, strict=True):
            assert 0 < len(each) <= most, each
    outcomes = await scene.centre.outcomes(till)
    assert {each.outcome for each in outcomes.values()} == {"accepted"}


async def test_posting_200_receipts_takes_as_many_statements_as_posting_one(scene: _Scene) -> None:
    customers = [
        {
            "kind": "account",
            "account_id": account_id,
            "home_store": "",
            "lots": [{"points": 300, "active_from": "2025-01-01"}],
        }
        for account_id in range(1, TOGETHER + 1)
    ]
    await scene.centre.load(*customers)
    counts: list[tuple[int, int]] = []
    for together in (1, 1, TOGETHER):
        for account_id in range(1, together + 1):
            key = f"{len(counts)}/{account_id}"
            if account_id % 9 == 1:
                await scene.authorised(key, account_id)
            else:
                scene.till.append(scene.till.sale(key, account=account_id))
        counts.append((len(await scene.pushed()), len(await scene.posted())))
    # The first one of all is what a front asks once.
    assert counts[2] == counts[1]
    outcomes = await scene.centre.outcomes(scene.till)
    assert {each.outcome for each in outcomes.values()} == {"accepted"}

"""A joined centre for each test that asks for one; its ledger is proven when the test ends."""

from collections.abc import AsyncIterator

import pytest_asyncio

from central.database.pool import Pool
from tests.support.centre import JoinedCentre, joined_centre


@pytest_asyncio.fixture
async def centre(pool: Pool) -> AsyncIterator[JoinedCentre]:
    """Give a centre with one store and published rules."""
    async with joined_centre(pool) as centre:
        yield centre

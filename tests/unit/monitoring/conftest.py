"""A page of metrics of a centre that has seen a bit of everything."""

from collections.abc import AsyncIterator

import pytest_asyncio

from central.database.pool import Pool
from tests.support.centre import JoinedCentre, joined_centre
from tests.support.scraping import Scrape, busy_scrape


@pytest_asyncio.fixture
async def centre(pool: Pool) -> AsyncIterator[JoinedCentre]:
    """Give a centre with one store and published rules."""
    async with joined_centre(pool) as centre:
        yield centre


@pytest_asyncio.fixture
async def page(centre: JoinedCentre) -> Scrape:
    """Give what such a centre tells."""
    return await busy_scrape(centre)

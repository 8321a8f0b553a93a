"""One customer, one card, three banners: two of them share a programme, one has its own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from tests.support import builders
from tests.support.centre import JoinedCentre
from tests.support.till import RECEIPT, receipt
from tests.support.till_on_centre import TillOnCentre
from tests.unit.central.test_programmes import CARD, two_programmes

TEN = receipt(builders.line("1"), builders.line("2"), card=CARD)
"""Two things for 10.00 each: 200 points at green, 1,000 at blue and sky."""


@dataclass(slots=True)
class Street:
    """A till of each banner: green in the default programme, blue and sky in another."""

    centre: JoinedCentre
    green: TillOnCentre
    blue: TillOnCentre
    sky: TillOnCentre

    async def settle(self) -> None:
        """Let all tills talk until what they sold is in the accounts, and they know."""
        for _ in range(2):
            for till in (self.green, self.blue, self.sky):
                await till.talk()
            await self.centre.apply()

    async def wallets(self) -> tuple[int, int]:
        """Return the points of both wallets, less what is owed while tills hold the rest."""
        green, blue = [await self.centre.totals(account_id) for account_id in (7, 107)]
        return green.posted - green.debt, blue.posted - blue.debt


@pytest_asyncio.fixture
async def street(centre: JoinedCentre, tmp_path: Path) -> AsyncIterator[Street]:
    await two_programmes(centre)
    tills = [
        await TillOnCentre.enrolled(centre, tmp_path / store, store=store)
        for store in ("store-1", "store-2", "store-3")
    ]
    street = Street(centre, *tills)
    await street.settle()
    yield street
    for till in tills:
        till.close()


async def test_a_customer_shops_under_three_banners(street: Street) -> None:
    assert await street.wallets() == (300, 50)

    # Each banner earns by its programme's rules, into its programme's wallet.
    assert (await street.green.sell(TEN)).totals.earned_points == 200
    await street.settle()
    assert await street.wallets() == (500, 50)
    assert (await street.blue.sell(TEN, RECEIPT)).totals.earned_points == 1_000
    await street.settle()
    assert await street.wallets() == (500, 1_050)

    # What was earned at blue is spent at sky; green knows nothing of it.
    at_sky, at_green = await street.sky.redeem(TEN, 550), await street.green.redeem(TEN, 5_000)
    assert (at_sky.totals.redeemed_points, at_green.totals.redeemed_points) == (550, 500)
    await street.settle()
    earned = (at_green.totals.earned_points, at_sky.totals.earned_points)
    assert await street.wallets() == (earned[0], 500 + earned[1])

    # A return under the other banner of the programme goes to the wallet it came from.
    before = await street.wallets()
    await street.sky.take_back("1", original=RECEIPT)
    await street.settle()
    assert await street.wallets() == (before[0], before[1] - 500)


async def test_goods_of_another_programme_come_back_to_their_own_wallet(street: Street) -> None:
    await street.green.sell(TEN, RECEIPT)
    await street.settle()
    await street.blue.take_back("1", original=RECEIPT)
    await street.settle()
    assert await street.wallets() == (400, 50)


async def test_without_a_line_a_card_waits_for_the_wallet_of_its_banner(street: Street) -> None:
    """Sold at sky, which has never seen the customer, while its line is down."""
    street.sky.line_is_cut = True
    street.sky.joined.cut_off()
    sold = await street.sky.sell(TEN)
    assert sold.account_id == 0
    street.sky.line_is_cut = False
    await street.settle()
    assert await street.wallets() == (300, 1_050)

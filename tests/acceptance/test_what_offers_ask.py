"""What offers ask about an account, from the centre to the till and back, lines cut in between.

Real till cores over real files, a real centre over PostgreSQL, its routes and signatures between
them; `joined_centre` proves at the end of each test that every receipt was recalculated equal.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest_asyncio

from central.database.pool import Pool
from central.people.birthdays import turn_birthdays
from loyalty.calculation import Calculation
from loyalty.offers import AmountOff, Limits, Percent, PercentOff, Stamps, Who
from loyalty.reasons import ReasonCode
from loyalty.returns import ReturnItem
from tests.support import builders
from tests.support.builders import having, line, offer
from tests.support.centre import STORE, JoinedCentre, joined_centre
from tests.support.till import receipt
from tests.support.till_on_centre import TillOnCentre

CARD, OTHER_CARD = "4000 0001", "4000 0002"
HALF = Percent(rate_ppm=500_000)
BUNDLE = builders.bundle(
    offer("welcome", HALF, lines=having("sku", "milk"), limits=Limits(uses_per_account_max=1)),
    offer(
        "coffee-card",
        Stamps(counter="coffee", every=6, off=PercentOff(rate_ppm=500_000)),
        lines=having("sku", "coffee"),
        who=Who(identified=True),
    ),
    offer("yours", AmountOff(amount_minor=100), lines=having("sku", "tea"), who=Who(personal=True)),
    offer("cake", HALF, lines=having("sku", "cake"), who=Who(birthday=True)),
    offer("third", HALF, lines=having("sku", "bread"), who=Who(purchases=(3,))),
    version=2,
)
MILK, COFFEE, TEA = line("1", "milk"), line("1", "coffee", gross_minor=200), line("1", "tea")
TILLS = 2
RECEIPT = ("01957e3c-9a40-7c11-8d22-00000000000a", "01957e3c-9a40-7c11-8d22-00000000000b")

OpenTill = Callable[[], TillOnCentre]


@pytest_asyncio.fixture
async def centre(pool: Pool) -> AsyncIterator[JoinedCentre]:
    async with joined_centre(pool) as centre:
        await centre.publish(BUNDLE)
        yield centre


@pytest_asyncio.fixture
async def tills(centre: JoinedCentre, tmp_path: Path) -> AsyncIterator[list[TillOnCentre]]:
    """Two tills of one store that have the rules."""
    async with AsyncExitStack() as stack:
        found = []
        for number in range(TILLS):
            found.append(await TillOnCentre.enrolled(centre, tmp_path / str(number)))
            stack.callback(found[-1].close)
        yield found


async def load(centre: JoinedCentre, account_id: int = 7, **more: object) -> None:
    account = {"kind": "account", "account_id": account_id, "home_store": STORE}
    await centre.load({**account, "cards": [CARD], **more})


async def counters(centre: JoinedCentre, account_id: int = 7) -> dict[str, int]:
    rows = await centre.pool.fetch(
        "select name, value from account_counter where account_id = $1", account_id
    )
    return {row["name"]: row["value"] for row in rows}


async def synced(centre: JoinedCentre, *tills: TillOnCentre) -> None:
    """Let tills hand in what they have, the centre apply it, and all hear of it."""
    for till in tills:
        await till.talk()
    await centre.apply()
    for till in tills:
        await till.talk()


def off(calculation: Calculation) -> int:
    return calculation.totals.discount_minor


def why(calculation: Calculation, offer_id: str) -> tuple[str, Mapping[str, int | str]]:
    (reason,) = (each for each in calculation.reasons if each.offer_id == offer_id)
    return reason.code, reason.figures


async def test_an_offer_for_one_use_is_given_once_and_then_refused_with_when_and_where(
    centre: JoinedCentre, tills: list[TillOnCentre]
) -> None:
    here, there = tills
    await load(centre)
    assert off(await here.sell(receipt(MILK, card=CARD))) == 500
    await synced(centre, here)
    assert await counters(centre) == {"uses:welcome": 1}
    for till in (here, there):
        again = await till.sell(receipt(MILK, card=CARD))
        assert off(again) == 0
        assert why(again, "welcome") == (
            ReasonCode.LIMIT_USED,
            {
                "used": 1,
                "limit": 1,
                "period": "ever",
                "last": "2025-03-05T12:00:00 store store-1",
            },
        )


async def test_a_till_without_a_line_remembers_its_own_uses(
    centre: JoinedCentre, tills: list[TillOnCentre]
) -> None:
    here, _ = tills
    await load(centre)
    await here.talk()
    here.line_is_cut = True
    assert off(await here.sell(receipt(MILK, card=CARD))) == 500
    assert why(await here.sell(receipt(MILK, card=CARD)), "welcome")[0] == ReasonCode.LIMIT_USED
    here.joined = here.joined.reopened()
    here.joined.till.link_up = True  # as far as it knows; the line is still cut
    assert off(await here.sell(receipt(MILK, card=CARD))) == 0
    here.line_is_cut = False
    for _ in range(2):
        await synced(centre, here)
        assert await counters(centre) == {"uses:welcome": 1}
        assert off(await here.calculate(receipt(MILK, card=CARD))) == 0
    assert await centre.pool.fetchval("select purchases from account") == 3


async def test_a_card_nobody_knows_uses_an_offer_once_at_a_till(
    centre: JoinedCentre, tills: list[TillOnCentre]
) -> None:
    here, _ = tills
    here.line_is_cut = True
    assert off(await here.sell(receipt(MILK, card=CARD))) == 500
    assert off(await here.sell(receipt(MILK, card=CARD))) == 0
    assert off(await here.sell(receipt(MILK, card=OTHER_CARD))) == 500
    here.line_is_cut = False
    await synced(centre, here)
    await load(centre, cards=[CARD, OTHER_CARD])
    await here.talk()  # the account is told with both cards, its receipts not applied yet
    for _ in range(3):
        for card in (CARD, OTHER_CARD):
            shown = await here.calculate(receipt(MILK, card=card))
            assert why(shown, "welcome")[1]["used"] == 2
        await centre.apply()
        await here.talk()
    assert await counters(centre) == {"uses:welcome": 2}


async def test_a_stamp_card_goes_on_over_tills_and_cuts_and_counts_each_cup_once(
    centre: JoinedCentre, tills: list[TillOnCentre]
) -> None:
    here, there = tills
    await load(centre)
    bought = 0

    async def cup(till: TillOnCentre) -> None:
        nonlocal bought
        bought += 1
        sold = await till.sell(receipt(COFFEE, card=CARD))
        assert off(sold) == (100 if bought % 6 == 0 else 0), f"cup {bought}"

    for till in (here, there):
        await cup(till)  # told by the snapshot before its receipt is applied, or after
        await cup(till)
        await till.talk()
        await centre.apply()
        await cup(till)
        await synced(centre, here, there)
        assert await counters(centre) == {"stamps:coffee": bought}
    here.line_is_cut = True
    for _ in range(7):
        await cup(here)
    here.line_is_cut = False
    await here.talk()  # handed in, not applied
    await cup(here)
    await synced(centre, here, there)
    await cup(there)
    await synced(centre, here, there)
    assert await counters(centre) == {"stamps:coffee": bought}


async def test_tills_without_a_line_may_each_give_a_use_and_the_centre_counts_both(
    centre: JoinedCentre, tills: list[TillOnCentre]
) -> None:
    """The window that remains between tills; rights for counters will close it."""
    await load(centre)
    for till in tills:
        till.line_is_cut = True
        assert off(await till.sell(receipt(MILK, card=CARD))) == 500
        till.line_is_cut = False
    await synced(centre, *tills)
    assert await counters(centre) == {"uses:welcome": 2}
    for till in tills:
        assert why(await till.sell(receipt(MILK, card=CARD)), "welcome")[1]["used"] == 2


async def test_a_stream_begun_anew_repeats_its_receipts_and_counts_them_once(
    centre: JoinedCentre, tills: list[TillOnCentre]
) -> None:
    here, _ = tills
    await load(centre)
    await here.talk()
    await here.sell(receipt(COFFEE, card=CARD))
    await synced(centre, here)
    here.line_is_cut = True
    await here.sell(receipt(COFFEE, card=CARD))
    here.joined.till.start_incarnation("amnesia", number_min=2)

    async def stamps() -> int:
        shown = await here.calculate(receipt(COFFEE, card=CARD))
        held = why(shown, "coffee-card")[1]["stamps"]
        assert isinstance(held, int)
        return held

    assert await stamps() == 3  # two bought, and the one shown
    here.line_is_cut = False
    await here.talk()
    assert await stamps() == 3
    await centre.apply()
    assert await stamps() == 3
    await here.talk()
    here.line_is_cut = True
    assert await stamps() == 3
    assert await counters(centre) == {"stamps:coffee": 2}


async def test_what_comes_back_whole_leaves_no_use_with_and_without_a_line(
    centre: JoinedCentre, tills: list[TillOnCentre]
) -> None:
    here, there = tills
    await load(centre)
    two = receipt(line("1", "milk"), line("2", "milk"), card=CARD)
    for is_cut in (False, True):
        here.line_is_cut = is_cut
        assert off(await here.sell(two, RECEIPT[is_cut])) == 1_000
        await here.take_back("1", original=RECEIPT[is_cut])
        assert off(await here.calculate(two)) == 0  # a part has come back, the use has not
        await here.take_back("2", original=RECEIPT[is_cut])
        if is_cut:
            assert off(await here.calculate(two)) == 1_000
        here.line_is_cut = False
        for _ in range(2):
            await synced(centre, here, there)
            for till in tills:
                shown = await till.calculate(two)
                assert off(shown) == 1_000
        assert await counters(centre) == {}
        assert await centre.pool.fetchval("select purchases from account") == 0


async def test_cups_that_come_back_take_their_stamps_along(
    centre: JoinedCentre, tills: list[TillOnCentre]
) -> None:
    here, there = tills
    await load(centre)
    five = receipt(line("1", "coffee", gross_minor=1_000, pieces=5), card=CARD)
    one = receipt(COFFEE, card=CARD)
    await here.sell(five, RECEIPT[0])
    await synced(centre, here, there)
    here.line_is_cut = True
    assert off(await here.calculate(one)) == 100
    await here.take_back(ReturnItem(line_id="1", quantity=2_000), original=RECEIPT[0])
    assert off(await here.calculate(one)) == 0
    await here.take_back("1", original=RECEIPT[0])
    assert why(await here.calculate(one), "coffee-card")[1]["stamps"] == 1  # the one shown
    here.line_is_cut = False
    await synced(centre, here, there)
    assert await counters(centre) == {}
    for till in tills:
        assert why(await till.calculate(one), "coffee-card")[1]["stamps"] == 1


async def test_personal_offers_are_those_of_the_list_loaded_last(
    centre: JoinedCentre, tills: list[TillOnCentre]
) -> None:
    here, _ = tills
    await load(centre, personal_offers=["yours", "other"])
    assert off(await here.sell(receipt(TEA, card=CARD))) == 100
    await load(centre, personal_offers=["other"])
    await here.talk()
    here.line_is_cut = True
    shown = await here.calculate(receipt(TEA, card=CARD))
    assert (off(shown), why(shown, "yours")[0]) == (0, ReasonCode.NOT_PERSONAL)


async def test_a_birthday_opens_and_closes_at_tills_that_are_told_only_that(
    centre: JoinedCentre, tills: list[TillOnCentre]
) -> None:
    here, _ = tills
    cake = receipt(line("1", "cake"), card=CARD)
    await load(centre, birthday="03-20")  # today is 03-05
    given = []
    for _ in range(4):
        await turn_birthdays(centre.pool, now_ms=centre.system.now_ms(), days=7)
        await here.talk()
        here.joined.till.link_up = False
        given.append(off(await here.calculate(cake)))
        centre.system.pass_days(8)
    assert given == [0, 500, 500, 0]
    row = here.joined.till.cache.account(here.joined.till.card_hash(CARD))
    assert "03-20" not in str(row)


async def test_the_third_purchase_is_the_third_wherever_the_others_were(
    centre: JoinedCentre, tills: list[TillOnCentre]
) -> None:
    here, there = tills
    await load(centre)
    bread = receipt(line("1", "bread"), card=CARD)
    assert off(await there.sell(bread)) == 0
    await synced(centre, *tills)
    here.line_is_cut = True
    assert [off(await here.sell(bread)) for _ in range(3)] == [0, 500, 0]
    here.line_is_cut = False
    await synced(centre, *tills)
    assert why(await there.calculate(bread), "third")[1] == {"number": 5}

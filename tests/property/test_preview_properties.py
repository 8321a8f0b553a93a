"""A preview shows just what confirming posts, whatever the line and other tills do meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import msgspec
from hypothesis import event, given, settings
from hypothesis import strategies as st

from agent.journal.receipts import ReceiptRow
from agent.till_service.messages import ReturnAnswer, ReturnRequest
from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes
from loyalty.outcomes import Outcome
from loyalty.returns import (
    ReturnCalculation,
    ReturnItem,
    ReturnMade,
    already_returned,
    calculate_return,
)
from sync.messages import ReceiptAnswer
from sync.records import RefundRecord
from tests.support.effort import examples
from tests.support.return_strategies import made_up_receipts
from tests.support.till import FakeCentre, JoinedTill

DAY = "2025-03-06"
REFUSALS = {Outcome.LINE_ALREADY_RETURNED, Outcome.QUANTITY_NOT_LEFT, Outcome.NOT_WHOLE_PIECES}
numbers = count(1)


class Shop:
    """One till that sold a receipt, other tills, and the centre that hears of every return."""

    def __init__(self, till: JoinedTill, centre: FakeCentre, sold: Calculation) -> None:
        self.till, self.centre, self.sold = till, centre, sold
        self.key = str(UUID(int=next(numbers)))
        self.made: dict[str, ReturnMade] = {}
        self.own: set[str] = set()
        # What the centre refuses (the goods came back elsewhere) goes on counting at its till,
        # which cannot tell it from what is on its way.
        self.refused: set[str] = set()
        row = ReceiptRow(self.key, "recorded", 1, 7, False, b"", b"", canonical_bytes(sold), 0)  # noqa: FBT003
        with till.till.journal.transaction():
            till.till.journal.receipts.put(row)

    def tell(self, *, link_up: bool, available_points: int | None) -> set[str]:
        """Set the line and what the centre says; returns the returns the till then knows."""
        self.till.till.link_up = link_up
        self.centre.receipts[self.key] = ReceiptAnswer(
            returns=tuple(self.made.values()), available_points=available_points
        )
        return set(self.made) if link_up else set()

    def come_back_elsewhere(self, data: st.DataObject) -> None:
        """Take something back at another till that knows everything."""
        item = draw_item(data, self.sold)
        already = already_returned(self.sold, self.made.values())
        found = calculate_return(self.sold, (item,), already, date=DAY)
        if isinstance(found, ReturnCalculation):
            self.post(str(UUID(int=next(numbers))), found)

    def post(self, key: str, result: ReturnCalculation) -> None:
        """Note a return at the centre."""
        self.made[key] = ReturnMade(
            key=key, items=result.items, charged_back_minor=result.charged_back_minor
        )


def draw_item(data: st.DataObject, sold: Calculation) -> ReturnItem:
    line = data.draw(st.sampled_from(sold.lines))
    if data.draw(st.booleans()):
        return ReturnItem(line_id=line.line_id)
    step = 1 if line.by_weight else 1_000
    quantity = data.draw(st.integers(1, max(1, line.quantity // step))) * step
    return ReturnItem(line_id=line.line_id, quantity=quantity)


@contextmanager
def till_with_centre() -> Iterator[tuple[JoinedTill, FakeCentre]]:
    with TemporaryDirectory() as folder:
        centre = FakeCentre()
        till = JoinedTill(Path(folder) / "till", centre=centre)
        yield till, centre
        till.close()


balances = st.one_of(st.none(), st.integers(0, 60))


def take_back(shop: Shop, data: st.DataObject) -> None:
    """Preview and confirm one return while the world goes on."""
    return_id = str(UUID(int=next(numbers)))
    request = ReturnRequest(
        original_receipt_id=shop.key,
        lines=(draw_item(data, shop.sold),),
        moment=f"{DAY}T12:00:00",
    )
    told = shop.tell(link_up=data.draw(st.booleans()), available_points=data.draw(balances))
    shown = shop.till.take_back(request, return_id)
    if shown.outcome != Outcome.PREVIEWED:
        assert shown.outcome in REFUSALS
        return
    if data.draw(st.booleans()):
        shop.come_back_elsewhere(data)
    told_later = shop.tell(link_up=data.draw(st.booleans()), available_points=data.draw(balances))
    news = told_later - told - shop.own
    confirm = msgspec.structs.replace(request, confirm=True)
    done = shop.till.take_back(confirm, return_id)
    while done.outcome == Outcome.STALE_CALCULATION:
        event("shown again")
        assert news
        shown, done = done, shop.till.take_back(confirm, return_id)
    if done.outcome in REFUSALS:
        assert news
        return
    knows_all = not shop.refused and set(shop.made) <= told | told_later | shop.own
    judge(shop, return_id, shown, done, knows_all=knows_all)


def judge(
    shop: Shop, return_id: str, shown: ReturnAnswer, done: ReturnAnswer, *, knows_all: bool
) -> None:
    """Post what was recorded as the centre does, and compare it with what was shown."""
    assert done.outcome == Outcome.RECORDED
    assert done.calculation == shown.calculation
    (record,) = (
        one
        for one in shop.till.own_records()
        if isinstance(one, RefundRecord) and one.key == return_id
    )
    assert bytes(record.calculation) == bytes(shown.calculation or b"")
    seen = msgspec.json.decode(record.calculation, type=ReturnCalculation)
    posted = calculate_return(
        shop.sold,
        record.lines,
        already_returned(shop.sold, shop.made.values()),
        date=DAY,
        available_points=seen.available_points,
    )
    event("knew all" if knows_all else "did not know all")
    if isinstance(posted, Outcome):
        assert not knows_all
        shop.refused.add(return_id)
        return
    if knows_all:
        assert canonical_bytes(posted) == bytes(record.calculation)
    shop.own.add(return_id)
    shop.post(return_id, posted)


@settings(max_examples=examples(60))
@given(made_up_receipts(), st.data())
def test_a_preview_is_what_is_recorded_and_what_the_centre_posts(
    sold: Calculation, data: st.DataObject
) -> None:
    with till_with_centre() as (till, centre):
        shop = Shop(till, centre, sold)
        for _ in range(data.draw(st.integers(1, 5))):
            take_back(shop, data)

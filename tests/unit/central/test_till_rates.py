"""One till cannot hold up the others: it is told when to come again, and loses nothing by it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from central.api.till_rates import TillRates
from central.database.pool import Pool
from central.errors import TooManyRequestsError
from sync.cycle import PATH_PUSH, PATH_SNAPSHOT
from sync.errors import RefusedError
from sync.messages import PushAnswer, SnapshotAnswer, SnapshotRequest
from tests.support.centre import JoinedCentre, joined_centre

PER_S = 2


@pytest_asyncio.fixture
async def bounded(pool: Pool) -> AsyncIterator[JoinedCentre]:
    """Give a centre that lets a till ask twice a second, ten times at once."""
    rates = TillRates(PER_S)
    async with joined_centre(pool, rates=rates) as centre:
        yield centre


def used_up(rates: TillRates, till_id: int, *, now_ms: int = 0) -> int:
    """Return how many calls are let in until one is not."""
    for count in range(1_000):
        try:
            rates.take(till_id, now_ms=now_ms, brings_records=False)
        except TooManyRequestsError:
            return count
    raise AssertionError("there is no bound")


def test_a_burst_is_let_in_and_then_a_steady_rate() -> None:
    rates = TillRates(PER_S)
    assert used_up(rates, 1) == 10
    assert used_up(rates, 1, now_ms=1_000) == 2
    assert used_up(rates, 1, now_ms=3_000_000) == 10


def test_it_is_said_when_to_come_again() -> None:
    rates = TillRates(PER_S)
    used_up(rates, 1)
    with pytest.raises(TooManyRequestsError) as refused:
        rates.take(1, now_ms=100, brings_records=False)
    assert refused.value.retry_after_s == pytest.approx(0.4)
    rates.take(1, now_ms=500, brings_records=False)


def test_one_till_does_not_use_up_anothers() -> None:
    rates = TillRates(PER_S)
    assert (used_up(rates, 1), used_up(rates, 2)) == (10, 10)
    assert rates.refused == 2


def test_questions_do_not_stand_in_the_way_of_receipts() -> None:
    rates = TillRates(PER_S)
    used_up(rates, 1)
    rates.take(1, now_ms=0, brings_records=True)


async def test_accounts_are_asked_for_by_number_now_and_then(pool: Pool) -> None:
    async with joined_centre(pool, rates=TillRates(1_000)) as centre:
        till = await centre.till()
        by_number = SnapshotRequest(card=b"", account_id=7)
        for _ in range(5):
            await till.ask(PATH_SNAPSHOT, by_number, SnapshotAnswer)
        with pytest.raises(RefusedError):
            await till.ask(PATH_SNAPSHOT, by_number, SnapshotAnswer)
        await till.ask(PATH_SNAPSHOT, SnapshotRequest(card=b"c" * 32), SnapshotAnswer)


def test_memory_is_bounded_and_forgets_who_called_longest_ago() -> None:
    rates = TillRates(PER_S, tills_max=3)
    for till_id in range(100):
        rates.take(till_id, now_ms=0, brings_records=False)
    assert len(rates) == 3
    assert used_up(rates, 99) == 9
    assert used_up(rates, 1) == 10


async def test_a_till_that_comes_too_often_gets_429_and_its_receipts_come_later(
    bounded: JoinedCentre,
) -> None:
    await bounded.customer(7, 300, card="seven")
    till = await bounded.till()
    ask = SnapshotRequest(card=till.card("seven"))
    for _ in range(9):  # HELLO was the first
        await till.ask(PATH_SNAPSHOT, ask, SnapshotAnswer)
    request = till.request(PATH_SNAPSHOT, ask)
    response = await bounded.http.send(request)
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    with pytest.raises(RefusedError, match="comes too often"):
        await till.send(till.request(PATH_SNAPSHOT, ask), SnapshotAnswer)
    till.append(till.sale("one", account=7, card="seven"))
    answer = await till.push()
    assert answer.verdict == "ack"
    for _ in range(9):
        await till.ask(PATH_PUSH, till.push_message(1), PushAnswer)
    till.append(till.sale("two", account=7, card="seven"))
    with pytest.raises(RefusedError, match="comes too often"):
        await till.push()
    bounded.system.at_ms += 1_000
    assert (await till.push()).last_seq == 3
    await bounded.apply()
    assert await bounded.pool.fetchval("select count(*) from receipt") == 2


async def test_who_has_not_signed_uses_up_nothing(bounded: JoinedCentre) -> None:
    one, two = await bounded.till(), await bounded.till()
    one.key, key = two.key, one.key
    for _ in range(30):
        with pytest.raises(RefusedError, match="signature"):
            await one.ask(PATH_SNAPSHOT, SnapshotRequest(card=b"c" * 16), SnapshotAnswer)
    one.key = key
    await one.ask(PATH_SNAPSHOT, SnapshotRequest(card=b"c" * 16), SnapshotAnswer)

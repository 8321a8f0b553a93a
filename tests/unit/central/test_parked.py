"""Records that wait: what waits, for what and since when, and giving one up for good."""

import msgspec
import pytest

from central.errors import BadRequestError, ConflictError, NotFoundError
from central.streams import parked as unparking
from central.streams.parked_queue import ParkedRecord, give_up, list_parked
from central.streams.stored import PARKED_DAYS_MAX
from sync import cycle
from sync.messages import PullAnswer
from tests.support.centre import NOW_MS, JoinedCentre, LotState, Totals
from tests.support.till_probe import Outcome, TillProbe
from tests.unit.central.test_transfers import pair

GIVEN_UP = Outcome("rejected_kept", "given up by hand: what it waited for had not come")
RECEIPT_GIVEN_UP = Outcome("rejected_kept", "its receipt was given up by hand")
NO_RECEIPT = Outcome("parked", "its receipt has not come yet")


async def parked(centre: JoinedCentre, *, store: str = "", days: int = 0) -> list[ParkedRecord]:
    queue = await list_parked(centre.pool, now_ms=centre.system.at_ms, store=store, days=days)
    assert queue.total == len(queue.records)
    return list(queue.records)


async def given_up(
    centre: JoinedCentre, number: int, *, is_early: bool = False, reason: str = "store burnt down"
) -> ParkedRecord:
    """Give a record up and let processing end it."""
    async with centre.pool.acquire() as connection, connection.transaction():
        found = await give_up(
            connection, number, person="ann", reason=reason, is_early=is_early,
            now_ms=centre.system.at_ms,
        )  # fmt: skip
    await centre.apply()
    return found


async def last_outcome(centre: JoinedCentre, till: TillProbe) -> Outcome:
    return (await centre.outcomes(till))[len(till.bodies)]


async def entries(centre: JoinedCentre) -> int:
    found: int = await centre.pool.fetchval("select count(*) from ledger_entry")
    return found


async def test_nothing_waits_where_nothing_was_parked(centre: JoinedCentre) -> None:
    await centre.customer(7, 300)
    till = await centre.till()
    await centre.post(till, till.sale("s1", account=7))
    assert await parked(centre) == []


async def test_however_many_wait_a_look_takes_some_and_the_next_goes_on(
    centre: JoinedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unparking, "NAMES_AT_ONCE", 2)
    await centre.customer(7, 300)
    till = await centre.till()
    cards = sorted(("4000", "4001", "4002", "4003", "4004"), key=till.card)
    await centre.post(till, *(till.sale(f"s{card}", card=card) for card in cards))
    # Loaded between looking for the cards and parking the records, so nothing wakes them.
    for card in (cards[0], cards[4]):
        await centre.pool.execute(
            "insert into card (card, account_id) values ($1, 7)", till.card(card)
        )
    posted = []
    for _ in range(3):  # the look after posting took the first two names
        await centre.parts.applier.apply_pending()
        posted.append((await centre.totals(7)).posted)
    assert posted == [300, 400, 500]
    await centre.pool.execute(
        "insert into card (card, account_id) values ($1, 7)", till.card(cards[1])
    )
    for _ in range(3):  # of four names, and from the first again
        await centre.parts.applier.apply_pending()
    assert (await centre.totals(7)).posted == 600
    assert len(await parked(centre)) == 2


async def test_the_queue_tells_what_waits_for_what_the_oldest_first(centre: JoinedCentre) -> None:
    await centre.store("store-2")
    till, other = await centre.till(), await centre.till("store-2")
    sold = till.sale("s1", card="4000")
    await centre.post(till, sold)
    centre.system.pass_days(2)
    await centre.post(other, other.refund("r1", "s9"))
    first, second = await parked(centre)
    card = till.card("4000").hex()
    assert first == ParkedRecord(
        record=first.record, kind="sale", key="s1", till=till.till_id, store="store-1",
        received_at_ms=NOW_MS, waited_ms=2 * 86_400_000, waits_for="card", name=card[:12],
        money_minor=1_000, points=100,
    )  # fmt: skip
    assert (second.kind, second.key, second.waits_for, second.name) == (
        "refund", "r1", "receipt", "s9",
    )  # fmt: skip
    # Its till did not know the receipt: what comes back of it cannot be said.
    assert (second.store, second.money_minor, second.points) == ("store-2", None, None)
    assert await parked(centre, store="store-2") == [second]
    assert await parked(centre, days=1) == [first]


async def test_a_given_up_receipt_is_kept_told_and_never_posted(centre: JoinedCentre) -> None:
    till = await centre.till()
    sale = till.sale("s1", card="4000")
    await centre.post(till, sale)
    (waits,) = await parked(centre)
    centre.system.pass_days(PARKED_DAYS_MAX)
    found = await given_up(centre, waits.record)
    assert (found.kind, found.key, found.points) == ("sale", "s1", 100)
    assert await last_outcome(centre, till) == GIVEN_UP
    assert await parked(centre) == []
    told = await till.ask(cycle.PATH_PULL, till.pull_message(), PullAnswer)
    assert told.outcomes[-1].outcome == "rejected_kept"
    row = await centre.pool.fetchrow(
        "select person, action, subject, detail from audit order by 1 limit 1"
    )
    assert row is not None
    assert (row["person"], row["action"], row["subject"]) == (
        "ann", "parked.give_up", f"record:{waits.record}",
    )  # fmt: skip
    assert msgspec.json.decode(row["detail"])["reason"] == "store burnt down"
    # Its customer is known at last, and its till hands it in once more.
    await centre.customer(7, 50, card="4000")
    await centre.apply()
    till.open_stream(2)
    await till.hello()
    assert await centre.post(till, sale) == [GIVEN_UP]
    assert await centre.totals(7) == Totals(50)
    body = await centre.pool.fetchval("select body from inbox where arrival = $1", waits.record)
    assert msgspec.json.decode(body)["key"] == "s1"


async def test_returns_of_a_given_up_receipt_end_with_it(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.post(till, till.sale("s1", card="4000"), till.refund("r1", "s1"))
    assert await last_outcome(centre, till) == NO_RECEIPT
    (sale, _) = await parked(centre)
    await given_up(centre, sale.record, is_early=True)
    assert await last_outcome(centre, till) == RECEIPT_GIVEN_UP
    assert await centre.post(till, till.refund("r2", "s1")) == [RECEIPT_GIVEN_UP]
    assert await parked(centre) == []


async def test_a_given_up_return_posts_nothing_when_its_receipt_comes(centre: JoinedCentre) -> None:
    till, other = await centre.till(), await centre.till()
    await centre.customer(7, 300)
    refund = other.refund("r1", "s1")
    assert await centre.post(other, refund) == [NO_RECEIPT]
    (waits,) = await parked(centre)
    await given_up(centre, waits.record, is_early=True)
    assert await last_outcome(centre, other) == GIVEN_UP
    await centre.post(till, till.sale("s1", account=7))
    assert await centre.totals(7) == Totals(400)
    before = await entries(centre)
    # The same return comes again, by a till that begins anew: it was given up, whoever brings it.
    other.open_stream(2)
    await other.hello()
    assert await centre.post(other, refund) == [GIVEN_UP]
    assert (await entries(centre), await centre.totals(7)) == (before, Totals(400))
    # What was not given up comes back as ever: nothing of the receipt is used up.
    assert await centre.post(till, till.refund("r2", "s1")) == [Outcome("accepted")]
    assert await centre.totals(7) == Totals(300)
    assert (await centre.lots(7))[1] == LotState(0, taken_back=100)


async def test_given_up_points_stay_in_their_grant_when_their_transfer_comes(
    centre: JoinedCentre,
) -> None:
    p = await pair(centre)
    await centre.post(p.sibling, p.home(100))
    (waits,) = await parked(centre)
    assert (waits.kind, waits.waits_for, waits.money_minor, waits.points) == (
        "points", "transfer", 0, 100,
    )  # fmt: skip
    await given_up(centre, waits.record, is_early=True)
    assert await last_outcome(centre, p.sibling) == GIVEN_UP
    await centre.post(p.vault, p.out())
    assert await last_outcome(centre, p.sibling) == GIVEN_UP
    assert await p.outstanding() == 300
    assert await centre.totals(7) == Totals(300, 300)


async def test_nothing_is_given_up_early_unless_that_is_said(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.post(till, till.refund("r1", "s1"))
    (waits,) = await parked(centre)
    centre.system.pass_days(PARKED_DAYS_MAX - 1)
    with pytest.raises(ConflictError, match="has waited 89 days of 90"):
        await given_up(centre, waits.record)
    assert await parked(centre, days=89) != []
    centre.system.pass_days(1)
    await given_up(centre, waits.record)
    assert await parked(centre) == []


async def test_nothing_is_given_up_by_itself(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    await centre.post(till, till.refund("r1", "s1"))
    centre.system.pass_days(400)
    await centre.apply()
    assert await last_outcome(centre, till) == NO_RECEIPT
    sold = await centre.till()
    await centre.post(sold, sold.sale("s1", account=7))
    assert await last_outcome(centre, till) == Outcome("accepted")


async def test_what_does_not_wait_cannot_be_given_up(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    await centre.post(till, till.refund("r1", "s1"), till.sale("s0", account=7))
    (waits,) = await parked(centre)
    for number in (waits.record + 1, 4711, 2**63):
        with pytest.raises(NotFoundError):
            await given_up(centre, number, is_early=True)
    await given_up(centre, waits.record, is_early=True)
    with pytest.raises(NotFoundError, match="given up before"):
        await given_up(centre, waits.record, is_early=True)


async def test_what_has_just_come_is_not_given_up(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    await centre.post(till, till.refund("r1", "s1"))
    (waits,) = await parked(centre)
    await centre.post(till, till.sale("s1", account=7))
    await centre.pool.execute(
        "update inbox set parked_for = 'sale:s1', applied = false where arrival = $1", waits.record
    )
    with pytest.raises(ConflictError, match="has come"):
        await given_up(centre, waits.record, is_early=True)
    await centre.apply()
    assert await parked(centre) == []


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, "one\ntwo"])
async def test_giving_up_needs_a_reason(centre: JoinedCentre, reason: str) -> None:
    till = await centre.till()
    await centre.post(till, till.refund("r1", "s1"))
    (waits,) = await parked(centre)
    with pytest.raises(BadRequestError):
        await given_up(centre, waits.record, is_early=True, reason=reason)
    assert await parked(centre) == [waits]


async def test_what_was_given_up_stands_for_ever(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.post(till, till.refund("r1", "s1"))
    (waits,) = await parked(centre)
    await given_up(centre, waits.record, is_early=True)
    with pytest.raises(Exception, match="append-only"):
        await centre.pool.execute("delete from given_up")

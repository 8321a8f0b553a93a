"""What a till is told of an account, and which of the till's own records are in it."""

import msgspec

from central.rights.issuing import RightsSettings
from central.rights.tending import tend
from central.tills.account_rows import find_account
from central.tills.snapshots import Shown, read_spread, read_together
from loyalty.account import AccountSnapshot
from sync.limits import MESSAGE_BYTES_MAX, WAITING_RECORDS_MAX
from sync.messages import AccountRow, Applied, SnapshotAnswer, SnapshotRequest
from tests.support.centre import JoinedCentre
from tests.support.till_probe import TillProbe


async def snapshot(till: TillProbe, card: str = "4000") -> SnapshotAnswer:
    return await till.ask(
        "/v1/till/snapshot", SnapshotRequest(card=till.card(card)), SnapshotAnswer
    )


async def wide_customer(centre: JoinedCentre, account_id: int, *, counters: int) -> None:
    """Add a customer with counters whose names are long."""
    await centre.customer(account_id, home="store-1", card=f"card {account_id}")
    await centre.pool.execute(
        "insert into account_counter select $1, 'uses:' || repeat('x', 190) || n, n, '',"
        " '2025-03-05T12:00:00', 'store-1' from generate_series(1, $2::int) n",
        account_id, counters,
    )  # fmt: skip


async def test_a_till_is_told_everything_offers_ask_about(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.load(
        {
            "kind": "account",
            "account_id": 7,
            "home_store": "store-1",
            "cards": ["4000"],
            "tier": "gold",
            "segments": ["pets", "baby"],
            "personal_offers": ["yours", "mine"],
            "birthday": "03-01",
        }
    )
    await centre.pool.execute(
        "insert into account_counter values (7, 'uses:a@2025', 1, '2026-01-01',"
        " '2025-02-28T18:30:00', 'store-2'), (7, 'stamps:b', 4, '', '2025-03-01T08:00:00', '1')"
    )
    await centre.pool.execute("update account set purchases = 3")
    expected = AccountSnapshot(
        identified=True,
        account_id=7,
        tier="gold",
        segments=("baby", "pets"),
        in_birthday_window=True,
        personal_offers=("mine", "yours"),
        purchases=3,
        counters={"stamps:b": 4, "uses:a@2025": 1},
        last_used={
            "stamps:b": "2025-03-01T08:00:00 store 1",
            "uses:a@2025": "2025-02-28T18:30:00 store store-2",
        },
        version=2,
    )
    told = AccountRow(card=till.card("4000"), snapshot=expected)
    assert (await snapshot(till)).account == told
    assert (await till.pull()).accounts == (told,)
    centre.broken_checks = {"purchases"}


async def test_an_answer_says_which_records_are_in_it(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, home="store-1", card="4000")
    through = 0
    for applied, waiting in ((0, (1, 2, 3)), (2, (3,)), (1, ())):
        if not through:
            till.append(till.sale("s1", account=7))
            till.append(till.sale("s2", account=7))
            await till.push()
            through = 3
        await centre.parts.applier.apply_pending(applied)
        told = (Applied(incarnation=till.incarnation, through=through, waiting=waiting),)
        assert (await snapshot(till)).applied == told
        assert (await till.pull()).applied == told


async def test_a_record_applied_out_of_turn_is_in_and_the_one_before_it_is_not(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7, home="store-1", card="4000")
    till.append(till.sale("s1", account=7))
    till.append(till.sale("s2", account=7))
    await till.push()
    async with centre.pool.acquire() as connection, connection.transaction():
        await connection.execute("select 1 from inbox where seq = 2 for update")
        await centre.parts.applier.apply_pending(10)
    answer = await snapshot(till)
    assert answer.applied == (Applied(incarnation=till.incarnation, through=3, waiting=(2,)),)
    assert answer.account is not None
    assert answer.account.snapshot.purchases == 1


async def test_older_streams_are_told_while_something_of_them_waits(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, card="4000")
    old = till.incarnation
    till.append(till.sale("s1", account=7))
    await till.push()
    till.open_stream(2, reason="amnesia")
    await till.hello()
    await till.push()
    assert (await snapshot(till)).applied == (
        Applied(incarnation=till.incarnation, through=1, waiting=(1,)),
        Applied(incarnation=old, through=2, waiting=(1, 2)),
    )
    await centre.apply()
    for answer in (await snapshot(till), await till.pull()):
        assert answer.applied == (Applied(incarnation=till.incarnation, through=1),)


async def test_another_tills_records_are_none_of_its_business(centre: JoinedCentre) -> None:
    till, other = await centre.till(), await centre.till()
    await centre.customer(7, card="4000")
    await other.push()
    answer = await snapshot(till)
    assert answer.applied == (Applied(incarnation=till.incarnation, through=0),)


async def test_of_a_long_queue_what_is_far_behind_counts_as_not_in(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, card="4000")
    for number in range(WAITING_RECORDS_MAX + 50):
        till.append(till.void(f"k{number}"))
    while till.acked < len(till.bodies):
        await till.push(last=till.acked + 300)
    (told,) = (await snapshot(till)).applied
    assert (told.through, told.waiting) == (
        WAITING_RECORDS_MAX,
        tuple(range(1, WAITING_RECORDS_MAX + 1)),
    )
    await centre.parts.applier.apply_pending(60)
    (told,) = (await snapshot(till)).applied
    assert (told.through, told.waiting[0], len(told.waiting)) == (551, 61, 491)


async def test_a_page_ends_where_wide_accounts_would_make_it_too_long(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    for account_id in range(1, 8):
        await wide_customer(centre, account_id, counters=100 if account_id % 2 else 0)
    told: list[int] = []
    pages = 0
    more = True
    while more:
        answer = await till.pull(bytes_max=60_000)
        assert len(msgspec.msgpack.encode(answer)) < 2 * 60_000
        told += [row.snapshot.account_id for row in answer.accounts]
        pages, more = pages + 1, answer.more
    assert (told, pages) == (list(range(1, 8)), 4)


async def test_one_account_wider_than_a_page_is_told_all_the_same(centre: JoinedCentre) -> None:
    till = await centre.till()
    await wide_customer(centre, 1, counters=200)
    await wide_customer(centre, 2, counters=200)
    pages = [await till.pull(bytes_max=1_024) for _ in range(2)]
    assert [len(page.accounts) for page in pages] == [1, 1]
    assert [page.more for page in pages] == [True, False]
    assert all(len(msgspec.msgpack.encode(page)) < MESSAGE_BYTES_MAX for page in pages)


async def test_thin_clients_get_what_tills_get(centre: JoinedCentre) -> None:
    till = await centre.till()
    await wide_customer(centre, 1, counters=3)
    told = (await snapshot(till, "card 1")).account
    assert told is not None
    assert len(told.snapshot.counters) == len(told.snapshot.last_used) == 3
    assert await find_account(centre.pool, till.card("card 1")) == told


async def test_points_of_lots_that_are_over_are_told_to_nobody(centre: JoinedCentre) -> None:
    await centre.customer(7, 300, 40, card="card-7", ends=["2025-03-10"])
    till = await centre.till()

    async def told() -> int:
        request = SnapshotRequest(card=till.card("card-7"))
        answer = await till.ask("/v1/till/snapshot", request, SnapshotAnswer)
        assert answer.account is not None
        assert answer.account.points == answer.account.snapshot.points
        return answer.account.points

    for days, points in ((0, 340), (4, 340), (1, 40)):
        centre.system.pass_days(days)
        now_ms = centre.system.now_ms()
        await tend(centre.pool, now_ms=now_ms, settings=RightsSettings())
        assert await told() == points
    # Nothing was burnt: the lot has what it had.
    assert (await centre.totals(7)).posted == 340


async def test_where_accounts_are_spread_tills_are_told_the_same(centre: JoinedCentre) -> None:
    """Cards asked for together: two tills, one with records waiting, and a card nobody has."""
    tills = [await centre.till(), await centre.till()]
    for account_id in (7, 8):
        await centre.customer(account_id, 100 * account_id, card=f"card {account_id}")
    await centre.post(tills[0], tills[0].sale("s1", account=7))
    tills[1].append(tills[1].sale("s2", account=7))
    await tills[1].push()
    shown = [
        Shown(till.card(card), till.till_id, till.incarnation, programme)
        for till in tills
        for card in ("card 7", "card 8", "nobody's", "card 7")
        for programme in ("", "blue")
    ]
    told = await read_together(centre.pool, shown)
    known = [each.account is not None for each in told]
    assert known == [True, False, True, False, False, False, True, False] * 2
    assert await read_spread(centre.pool, shown) == told
    assert await read_spread(centre.pool, []) == []

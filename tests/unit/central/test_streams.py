"""What tills hand in: a contiguous prefix, branches beside it, and one outcome for every record."""

import pytest

from sync.errors import RefusedError
from sync.limits import BATCH_RECORDS_MAX, RECORD_BYTES_MAX
from sync.records import OpenRecord
from tests.support.centre import JoinedCentre, Totals
from tests.support.till_probe import TillProbe, take


async def kept(centre: JoinedCentre, till: TillProbe, *, branch: bool = False) -> list[int]:
    rows = await centre.pool.fetch(
        "select seq from inbox where till_id = $1 and incarnation = $2 and branch = $3"
        " order by arrival",
        till.till_id, till.incarnation, branch,
    )  # fmt: skip
    return [row["seq"] for row in rows]


async def assert_one_outcome_each(centre: JoinedCentre) -> None:
    rows = await centre.pool.fetch(
        "select i.arrival, i.applied, count(o.arrival) as outcomes"
        " from inbox i left join outcome o using (arrival)"
        " group by i.arrival having count(o.arrival) <> 1 or not i.applied"
    )
    assert rows == []


async def test_a_push_repeated_is_acknowledged_and_kept_once(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    till.append(till.sale("s1", account=7))
    first = await till.push()
    again = await till.push(1)
    assert first == again
    assert (again.verdict, again.last_seq, again.last_hash) == ("ack", 2, till.link(2))
    await centre.apply()
    await centre.apply()
    assert await kept(centre, till) == [1, 2]
    assert await centre.totals(7) == Totals(100)
    await assert_one_outcome_each(centre)


async def test_an_overlapping_push_adds_what_is_new(centre: JoinedCentre) -> None:
    till = await centre.till()
    for number in range(2, 6):
        till.append(till.void(f"s{number}"))
    assert (await till.push(1, 3)).last_seq == 3
    assert (await till.push(2, 5)).last_seq == 5
    assert await kept(centre, till) == [1, 2, 3, 4, 5]


async def test_pushes_out_of_order_leave_a_gap_and_nothing_is_kept_until_it_is_filled(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    for number in range(2, 5):
        till.append(till.void(f"s{number}"))
    early = await till.push(3)
    assert (early.verdict, early.last_seq, early.last_hash) == ("gap", 0, till.link(0))
    assert await kept(centre, till) == []
    assert (await till.push(1, 2)).verdict == "ack"
    assert (await till.push(3)).last_seq == 4
    assert (await till.push(1, 2)).last_seq == 4  # the first batch, late and for the second time
    assert await kept(centre, till) == [1, 2, 3, 4]


async def test_a_changed_record_is_a_fork_and_the_branch_is_kept_whole(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7)
    await centre.post(till, till.sale("s1", account=7), till.sale("s2", account=7))
    honest_head = till.link(3)
    till.forget_after(1)
    seqs = [till.append(till.sale(key, account=7)) for key in ("s1", "s3", "s4")]
    answer = await till.push(2)
    assert (answer.verdict, answer.last_seq, answer.last_hash) == ("fork", 3, honest_head)
    assert await kept(centre, till) == [1, 2, 3]
    # The first record is the same bytes at the same place, so it is no part of the branch.
    assert await kept(centre, till, branch=True) == seqs[1:]
    again = await till.push(2)
    assert again == answer
    assert await kept(centre, till, branch=True) == seqs[1:]
    await centre.apply()
    await assert_one_outcome_each(centre)


async def test_facts_of_a_branch_count_once_and_its_rights_not_at_all(
    centre: JoinedCentre,
) -> None:
    till = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    await till.push()
    (grant,) = (await till.pull()).grants
    await centre.post(till, till.sale("s1", account=7, sources=[take(grant, 50)]))
    assert await centre.totals(7) == Totals(300 - 50 + 95, 250)
    till.forget_after(1)
    till.append(till.void("never heard of"))
    till.append(till.sale("s1", account=7, sources=[take(grant, 50)]))
    till.append(till.sale("s2", account=7))
    till.append(till.give_back(grant, 250))
    assert (await till.push(2)).verdict == "fork"
    await centre.apply()
    assert await centre.totals(7) == Totals(300 - 50 + 95 + 100, 250)
    rows = await centre.pool.fetch(
        "select outcome, reason from outcome join inbox using (arrival) where branch"
        " order by arrival"
    )
    assert [tuple(row) for row in rows] == [
        ("accepted", ""),
        ("accepted", "posted before"),
        ("accepted", ""),
        ("rejected_kept", "moves rights in a diverged stream"),
    ]
    await assert_one_outcome_each(centre)


async def test_a_push_that_does_not_follow_its_own_beginning_is_a_fork(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await till.push()
    stream = till.incarnation
    till.append(till.void("s2"))
    other = await centre.till()
    other.incarnation = stream
    other.hashes[:] = till.hashes
    other.bodies[:] = till.bodies
    with pytest.raises(RefusedError, match="stream_unknown"):  # a stream belongs to its till
        await other.push(1)


async def test_a_stream_nobody_announced_is_asked_to_say_hello(centre: JoinedCentre) -> None:
    till = await centre.till()
    till.open_stream(2)
    with pytest.raises(RefusedError, match="stream_unknown"):
        await till.push()


async def test_a_centre_that_lost_records_asks_for_them_again(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    till.append(till.sale("s1", account=7))
    till.append(till.void("s2"))
    await till.push()
    # Back from a backup that had the first record alone.
    await centre.pool.execute("delete from inbox where seq > 1")
    await centre.pool.execute(
        "update till_stream set last_seq = 1, last_hash = $1 where till_id = $2",
        till.link(1), till.till_id,
    )  # fmt: skip
    answer = await till.hello()
    assert (answer.verdict, answer.verified, answer.last_seq) == ("rewind", False, 1)
    assert (await till.push()).last_seq == 3
    await centre.apply()
    assert [o.outcome for o in (await centre.outcomes(till)).values()] == ["accepted"] * 3
    assert await centre.totals(7) == Totals(100)


async def test_a_till_that_lost_records_is_told_so_and_begins_anew(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    await centre.post(till, till.sale("s1", account=7), till.sale("s2", account=7))
    till.forget_after(2)
    answer = await till.hello()
    assert (answer.verdict, answer.verified) == ("amnesia", False)
    till.open_stream(answer.incarnation_number_min, reason="amnesia")
    assert (await till.hello()).verdict == "ok"
    # What it still has and does not know to be safe comes again, under the same keys.
    assert await centre.post(till, till.sale("s1", account=7), till.sale("s3", account=7)) == [
        ("accepted", "posted before", 0),
        ("accepted", "", 0),
    ]
    assert await centre.totals(7) == Totals(300)


async def test_an_incarnation_number_that_is_not_new_is_amnesia(centre: JoinedCentre) -> None:
    till = await centre.till()
    till.open_stream(5)
    assert (await till.hello()).verdict == "ok"
    till.open_stream(4)
    answer = await till.hello()
    assert (answer.verdict, answer.incarnation_number_min) == ("amnesia", 6)
    with pytest.raises(RefusedError, match="stream_unknown"):
        await till.push()


async def test_a_session_is_verified_only_when_the_chain_was_compared_to_its_end(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    for number in range(2, 5):
        till.append(till.void(f"s{number}"))
    await till.push(1)
    till.forget_after(2)
    assert (await till.hello()).verdict == "amnesia"
    assert (await till.push(1, 2)).verdict == "ack"  # an old part of the stream, known to both
    with pytest.raises(RefusedError, match="session_unknown"):
        await till.authorise("s9", 7, 100)


async def test_a_push_that_reaches_the_centres_end_verifies_the_session(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    till.append(till.void("s2"))
    till.append(till.void("s3"))
    await till.push(1, 2)
    till.acked = 1  # the answer was lost: the till cannot say what link the centre has
    answer = await till.hello()
    assert (answer.verdict, answer.verified, answer.last_seq) == ("ok", False, 2)
    with pytest.raises(RefusedError, match="session_unknown"):
        await till.authorise("s9", 7, 100)
    await till.push()
    assert sum(right.points for right in (await till.authorise("s9", 7, 100)).authorisations) == 100


async def test_a_malformed_record_is_kept_and_stands_in_nobodys_way(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    bad = [
        b"",
        b"\xff\xfe not JSON",
        b'{"kind":"bonfire","at_ms":1}',
        b'{"kind":"sale","at_ms":1}',
        b"[" * 100_000,
        b'{"kind":"void","at_ms":1,"key":"' + b"x" * RECORD_BYTES_MAX + b'","why":""}',
    ]
    till.append(till.sale("s1", account=7))
    for body in bad:
        till.append(body)
    last = till.append(till.sale("s2", account=7))
    await till.push(1, 7)
    await till.push(8, 8)  # a record over the limit travels alone
    await till.push(9)
    await centre.apply()
    outcomes = await centre.outcomes(till)
    assert [outcomes[seq].outcome for seq in range(3, last)] == ["rejected_kept"] * len(bad)
    assert all(outcomes[seq].reason for seq in range(3, last))
    assert outcomes[2].outcome == outcomes[last].outcome == "accepted"
    assert await centre.totals(7) == Totals(200)
    rows = await centre.pool.fetch("select body from inbox where seq > 2 order by seq")
    assert [row["body"] for row in rows[:-1]] == bad
    await assert_one_outcome_each(centre)


@pytest.mark.parametrize(
    "key",
    [
        "nul \x00 byte",
        "",
        "".join(map(chr, range(0x4E00, 0x4E00 + 9_000))),
        "'; drop table receipt; --",
    ],
    ids=["nul", "empty", "too long for an index", "quoted"],
)
async def test_a_key_of_any_text_stands_in_nobodys_way(centre: JoinedCentre, key: str) -> None:
    till = await centre.till()
    await centre.customer(7)
    till.append(till.sale(key, account=7))
    till.append(till.void(key))
    till.append(till.refund(key, key))
    (last,) = await centre.post(till, till.sale("s2", account=7))
    assert last.outcome == "accepted"
    assert await centre.pool.fetchval("select count(*) from outcome") == 5


async def test_numbers_beyond_the_database_stand_in_nobodys_way(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    body = till.append(till.sale("s1", account=7))
    till.forget_after(body - 1)
    sale = till.sale("s1", account=7)
    printed = bytes(sale.calculation)
    assert b'"paid_minor":1000' in printed
    wild = printed.replace(b'"paid_minor":1000', b'"paid_minor":%d' % 2**80)
    till.append(OpenRecord(at_ms=2**63, incarnation_number=2**80, reason="far out"))
    till.append(_with_calculation(till, "s1", wild))
    (last,) = await centre.post(till, till.sale("s2", account=7))
    assert last.outcome == "accepted"
    assert [o.outcome for o in (await centre.outcomes(till)).values()] == [
        "accepted", "accepted", "rejected_kept", "accepted",
    ]  # fmt: skip


def _with_calculation(till: TillProbe, key: str, calculation: bytes) -> bytes:
    seq = till.append(till.sale(key, account=7))
    body = till.bodies[seq - 1]
    till.forget_after(seq - 1)
    start = body.index(b'"calculation":') + len(b'"calculation":')
    end = body.index(b"}", body.rindex(b'"totals"')) + 2
    return body[:start] + calculation + body[end:]


async def test_a_batch_over_the_limits_is_refused_whole(centre: JoinedCentre) -> None:
    till = await centre.till()
    for number in range(BATCH_RECORDS_MAX):
        till.append(till.void(f"s{number}"))
    with pytest.raises(RefusedError, match=f"1 to {BATCH_RECORDS_MAX} records, this one 501"):
        await till.push()
    with pytest.raises(RefusedError, match="this one 0"):
        await till.push(1, 0)
    big = b'{"kind":"void","at_ms":1,"key":"' + b"x" * 600_000 + b'","why":""}'
    seqs = till.append(big), till.append(big)
    await till.push(1, 500)
    with pytest.raises(RefusedError, match="at most 1048576 bytes"):
        await till.push(*seqs)
    assert await kept(centre, till) == list(range(1, 501))

"""Records handed in by a witness are worth what they are worth from their own till."""

import msgspec
import pytest

from sync.errors import RefusedError
from sync.neighbours import PATH_DELIVER, Delivery, DeliveryAnswer, SignedHead, sign_head
from sync.signing import SigningKey
from tests.support.centre import JoinedCentre, Totals
from tests.support.till_probe import Outcome, TillProbe, take


def delivery(
    owner: TillProbe, first: int = 1, last: int | None = None, *, key: SigningKey | None = None
) -> Delivery:
    """Return records of a till with the head it signed."""
    last = last or len(owner.bodies)
    head = SignedHead(
        till_id=owner.till_id,
        incarnation=owner.incarnation,
        incarnation_number=owner.number,
        seq=last,
        head=owner.link(last),
    )
    return Delivery(
        head=sign_head(head, key or owner.key),
        from_seq=first,
        previous_hash=owner.link(first - 1),
        records=tuple(owner.bodies[first - 1 : last]),
    )


async def hand_in(witness: TillProbe, what: Delivery) -> tuple[str, int]:
    """Hand records in for another till."""
    answer = await witness.ask(PATH_DELIVER, what, DeliveryAnswer)
    return answer.verdict, answer.last_seq


async def sales(centre: JoinedCentre) -> list[str]:
    """Return the keys of the receipts that were posted."""
    await centre.apply()
    rows = await centre.pool.fetch("select sale_key from receipt order by sale_key")
    return [row["sale_key"] for row in rows]


async def test_a_dead_tills_receipts_are_posted_and_its_stream_goes_on(
    centre: JoinedCentre,
) -> None:
    dead, witness = await centre.till(is_vault=True), await centre.till()
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await dead.pull()).grants
    await dead.push()
    known = len(dead.bodies)
    dead.append(dead.sale("s1", account=7, sources=[take(grant, 60)]))
    dead.append(dead.give_back(grant, 40))
    assert await hand_in(witness, delivery(dead, known + 1)) == ("ack", known + 2)
    assert await sales(centre) == ["s1"]
    assert (await centre.outcomes(dead))[known + 2] == Outcome("accepted")
    assert await centre.totals(7) == Totals(300 - 60 + 94, 200)
    answer = await dead.hello()  # it was not dead after all
    assert (answer.verdict, answer.last_seq) == ("ok", known + 2)


async def test_twice_is_as_once_and_the_till_itself_may_be_first(centre: JoinedCentre) -> None:
    owner, witness = await centre.till(), await centre.till()
    owner.append(owner.sale("s1"))
    what = delivery(owner)
    await owner.push()
    for _ in range(2):
        assert await hand_in(witness, what) == ("ack", 2)
    assert await sales(centre) == ["s1"]
    assert await centre.pool.fetchval("select count(*) from inbox where branch") == 0


async def test_a_till_that_never_said_hello_is_heard_by_its_witness(centre: JoinedCentre) -> None:
    owner, witness = await centre.till(greet=False), await centre.till()
    owner.append(owner.sale("s1"))
    assert await hand_in(witness, delivery(owner)) == ("ack", 2)
    assert await sales(centre) == ["s1"]
    assert (await owner.hello()).verdict == "ok"


async def test_what_has_a_gap_before_it_is_not_kept(centre: JoinedCentre) -> None:
    owner, witness = await centre.till(), await centre.till()
    for number in range(4):
        owner.append(owner.sale(f"s{number}"))
    assert await hand_in(witness, delivery(owner, 3)) == ("gap", 0)
    assert await sales(centre) == []
    assert await hand_in(witness, delivery(owner, 1, 2)) == ("ack", 2)
    assert await hand_in(witness, delivery(owner, 3)) == ("ack", 5)
    assert await sales(centre) == ["s0", "s1", "s2", "s3"]


async def test_a_gap_that_nobody_can_fill_does_not_keep_receipts_waiting(
    centre: JoinedCentre,
) -> None:
    """Its till forgot them and goes on in another stream; one sibling has a part of them."""
    owner, witness = await centre.till(), await centre.till()
    for number in range(4):
        owner.append(owner.sale(f"s{number}"))
    first, rest = delivery(owner, 1, 2), delivery(owner, 3)
    owner.open_stream(2)
    await owner.hello()
    assert await hand_in(witness, rest) == ("gap", 0)  # another sibling may have what is missing
    centre.system.at_ms += 3_600_000
    assert (await hand_in(witness, rest))[0] == "branch"
    assert await sales(centre) == ["s1", "s2", "s3"]
    assert await hand_in(witness, first) == ("ack", 2)
    assert await hand_in(witness, rest) == ("ack", 5)  # it had been the stream after all
    assert await sales(centre) == ["s0", "s1", "s2", "s3"]
    beside = "select count(*) from inbox where branch"
    assert await centre.pool.fetchval(beside) == 0


async def test_what_was_kept_beside_a_gap_joins_the_stream_its_till_pushes(
    centre: JoinedCentre,
) -> None:
    """A revoked till that was silent comes back and hands in all it has."""
    owner, witness = await centre.till(is_vault=True), await centre.till()
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await owner.pull()).grants
    await owner.push()
    known = len(owner.bodies)
    owner.append(owner.sale("s1"))
    owner.append(owner.sale("s2"))
    owner.append(owner.give_back(grant, 40))
    rest = delivery(owner, known + 2)
    turn = "update till set revoked = not revoked where till_id = $1"
    await centre.pool.execute(turn, owner.till_id)
    centre.system.at_ms += 3_600_000
    assert (await hand_in(witness, rest))[0] == "branch"
    await centre.pool.execute(turn, owner.till_id)
    assert await sales(centre) == ["s2"]
    assert await centre.totals(7) == Totals(300, 300)
    await owner.push()
    assert await sales(centre) == ["s1", "s2"]
    told = await centre.outcomes(owner)
    assert [told[known + number] for number in (1, 2, 3)] == [Outcome("accepted", "")] * 3
    assert await centre.totals(7) == Totals(300, 260)  # what was returned beside it counts now
    contiguous = "select array_agg(seq order by seq) from inbox where till_id = $1 and not branch"
    seqs = await centre.pool.fetchval(contiguous, owner.till_id)
    assert seqs == list(range(1, known + 4))


async def test_another_history_is_a_branch_whose_facts_count(centre: JoinedCentre) -> None:
    """S4: the receipts of a till that forgot them."""
    owner, witness = await centre.till(is_vault=True), await centre.till()
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await owner.pull()).grants
    await owner.push()
    known = len(owner.bodies)
    owner.append(owner.sale("s1", account=7, sources=[take(grant, 60)]))
    owner.append(owner.give_back(grant, 40))
    forgotten = delivery(owner, known + 1)
    owner.forget_after(known)
    owner.append(owner.sale("s2"))
    await owner.push()
    assert (await hand_in(witness, forgotten))[0] == "branch"
    assert await sales(centre) == ["s1", "s2"]
    assert await centre.totals(7) == Totals(300 - 60 + 94, 240)  # the return did not count


async def test_receipts_of_a_stream_its_till_has_left_count(centre: JoinedCentre) -> None:
    owner, witness = await centre.till(greet=False), await centre.till()
    owner.append(owner.sale("s1"))
    old = delivery(owner)
    owner.open_stream(2)
    await owner.hello()
    await owner.push()
    for _ in range(2):
        assert (await hand_in(witness, old))[0] == "branch"
    assert await sales(centre) == ["s1"]


async def test_a_till_that_is_behind_what_its_witness_handed_in_has_forgotten(
    centre: JoinedCentre,
) -> None:
    owner, witness = await centre.till(), await centre.till()
    owner.append(owner.sale("s1"))
    await hand_in(witness, delivery(owner))
    owner.forget_after(1)
    assert (await owner.hello()).verdict == "amnesia"


async def test_nobody_speaks_for_a_till_that_did_not_sign(centre: JoinedCentre) -> None:
    owner, witness = await centre.till(), await centre.till()
    owner.append(owner.sale("s1"))
    good = delivery(owner)
    await centre.store("store-2")
    stranger = await centre.till("store-2")
    for who, what in (
        (witness, delivery(owner, key=witness.key)),
        (
            witness,
            msgspec.structs.replace(good, head=msgspec.structs.replace(good.head, till_id=99)),
        ),
        (witness, msgspec.structs.replace(good, records=(*good.records, b"{}"))),
        (witness, msgspec.structs.replace(good, previous_hash=b"p" * 32)),
        (stranger, good),
    ):
        with pytest.raises(RefusedError):
            await hand_in(who, what)
    assert await sales(centre) == []


async def test_a_revoked_till_hands_in_for_others_and_its_own_records_are_only_kept(
    centre: JoinedCentre,
) -> None:
    owner, witness = await centre.till(), await centre.till()
    owner.append(owner.sale("s1"))
    await centre.pool.execute("update till set revoked = true where till_id = $1", owner.till_id)
    assert await hand_in(witness, delivery(owner)) == ("ack", 2)
    assert await sales(centre) == []
    assert (await centre.outcomes(owner))[2] == Outcome("rejected_kept", "the till was revoked")
    other = await centre.till()
    other.append(other.sale("s2"))
    await centre.pool.execute("update till set revoked = true where till_id = $1", witness.till_id)
    assert await hand_in(witness, delivery(other)) == ("ack", 2)
    assert await sales(centre) == ["s2"]

"""Sealed days: entries are proven against signed, chained roots; no change goes unnoticed."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import msgspec
import pytest

from central.errors import ConflictError, NotFoundError
from central.ledger import merkle, sealing
from central.ledger.merging import merge_accounts, undo_merge
from central.ledger.sealing import (
    InclusionProof,
    Seal,
    newest_seals,
    problem_of_proof,
    prove,
    seal_day,
    seal_due,
)
from central.ledger.verify import CHECKS, verify_ledger
from tests.support.centre import KEYS, JoinedCentre

# The tree


def plain_root(leaves: list[bytes]) -> bytes:
    """Return the root as RFC 6962, 2.1 writes it."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return merkle.node_hash(plain_root(leaves[:split]), plain_root(leaves[split:]))


def leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(str(n).encode()) for n in range(count)]


@pytest.mark.parametrize("count", [*range(18), 31, 32, 33, 100])
def test_a_root_is_that_of_the_standard(count: int) -> None:
    assert merkle.root_of(leaves(count)) == plain_root(leaves(count))


def test_known_answers_of_the_standards_test_vectors() -> None:
    data = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
            "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
    hashed = [merkle.leaf_hash(bytes.fromhex(text)) for text in data]
    roots = [merkle.root_of(hashed[:count]).hex() for count in (1, 2, 8)]
    assert roots == [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13, 33])
def test_a_leafs_path_leads_to_the_root_and_no_other_does(count: int) -> None:
    all_leaves = leaves(count)
    root = merkle.root_of(all_leaves)
    draws = Random(count)
    for index, leaf in enumerate(all_leaves):
        path = merkle.path_of(index, all_leaves)
        assert merkle.root_by_path(leaf, index, count, path) == root
        assert merkle.root_by_path(leaf, index, count, [*path, root]) is None
        if path:
            assert merkle.root_by_path(leaf, index, count, path[1:]) != root
            at = draws.randrange(len(path))
            wrong = [*path[:at], merkle.leaf_hash(path[at]), *path[at + 1 :]]
            assert merkle.root_by_path(leaf, index, count, wrong) != root
        other = merkle.leaf_hash(b"another")
        assert merkle.root_by_path(other, index, count, path) != root
    with pytest.raises(IndexError):
        merkle.path_of(count, all_leaves)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11, 16, 17, 33])
def test_a_path_goes_on_from_the_root_of_a_block(count: int) -> None:
    all_leaves, size = leaves(count), 4
    blocks = [all_leaves[begin : begin + size] for begin in range(0, count, size)]
    roots = [merkle.root_of(block) for block in blocks]
    assert merkle.root_of(roots) == merkle.root_of(all_leaves)
    for index in range(count):
        number, place = divmod(index, size)
        path = [*merkle.path_of(place, blocks[number]), *merkle.path_of(number, roots)]
        assert path == merkle.path_of(index, all_leaves)


# Seals


async def sealed(centre: JoinedCentre, day: str = "2025-03-05") -> Seal | None:
    now_ms = centre.system.now_ms()
    return await seal_day(centre.pool, KEYS.centre, day=day, now_ms=now_ms)


async def sold(centre: JoinedCentre, *keys: str) -> None:
    till = await centre.till()
    await centre.post(till, *(till.sale(key, account=7) for key in keys))


async def proof_of(centre: JoinedCentre, subject: str) -> InclusionProof:
    async with centre.pool.acquire() as connection:
        return await prove(connection, subject)


async def test_each_day_has_a_seal_chained_to_the_one_before(centre: JoinedCentre) -> None:
    await centre.customer(7, 300)
    await sold(centre, "s1", "s2")
    first = await sealed(centre)
    await sold(centre, "s3")
    second = await sealed(centre, "2025-03-06")
    assert first is not None
    assert second is not None
    assert (first.entries, second.entries) == (3, 1)
    assert (second.previous, second.first_entry) == (first.root, first.last_entry + 1)
    assert await newest_seals(centre.pool) == [second, first]
    assert await sealed(centre, "2025-03-06") is None
    assert await sealed(centre, "2025-03-05") is None


async def test_the_day_that_is_over_is_due(centre: JoinedCentre) -> None:
    due = await seal_due(centre.pool, KEYS.centre, now_ms=centre.system.now_ms())
    assert due is not None
    assert (due.day, due.entries) == ("2025-03-04", 0)
    assert await seal_due(centre.pool, KEYS.centre, now_ms=centre.system.now_ms()) is None
    centre.system.pass_days(1)
    again = await seal_due(centre.pool, KEYS.centre, now_ms=centre.system.now_ms())
    assert again is not None
    assert again.day == "2025-03-05"


async def test_a_receipt_is_proven_without_a_database(centre: JoinedCentre) -> None:
    await centre.customer(7, 300)
    await sold(centre, *(f"s{n}" for n in range(9)))
    await sealed(centre)
    proof = await proof_of(centre, "s4")
    sent = msgspec.json.decode(msgspec.json.encode(proof), type=InclusionProof)
    assert problem_of_proof(sent, KEYS.centre.public) == ""
    assert problem_of_proof(sent, b"x" * 32) != ""
    (entry,) = sent.entries
    changed = entry.entry.replace("100", "900")
    assert changed != entry.entry
    for wrong in (
        msgspec.structs.replace(entry, entry=changed),
        msgspec.structs.replace(entry, index=entry.index + 1),
        msgspec.structs.replace(entry, path=entry.path[1:]),
        msgspec.structs.replace(entry, path=("zz",)),
        msgspec.structs.replace(entry, entry="{}"),
        msgspec.structs.replace(entry, seal=msgspec.structs.replace(entry.seal, day="2025-03-04")),
    ):
        bad = msgspec.structs.replace(sent, entries=(wrong,))
        assert problem_of_proof(bad, KEYS.centre.public) != ""
    other = msgspec.structs.replace(sent, subject="s5")
    assert problem_of_proof(other) == "an entry is of another subject"


async def test_what_is_not_sealed_yet_is_told(centre: JoinedCentre) -> None:
    await centre.customer(7, 300)
    await sold(centre, "s1")
    proof = await proof_of(centre, "s1")
    assert (proof.entries, proof.unsealed) == ((), 1)
    with pytest.raises(NotFoundError):
        await proof_of(centre, "s9")


async def test_a_change_that_balances_breaks_its_seal(centre: JoinedCentre) -> None:
    await centre.customer(7, 300)
    await sold(centre, "s1")
    await sealed(centre)
    await centre.assert_balanced()
    await centre.pool.execute("alter table ledger_entry disable trigger user")
    await centre.pool.execute("update ledger_entry set at_ms = at_ms + 1 where subject = 's1'")
    centre.broken_checks = {"seals"}
    await centre.assert_balanced()


async def test_an_entry_slipped_into_a_sealed_day_breaks_its_seal(centre: JoinedCentre) -> None:
    await centre.customer(7, 300)
    await sold(centre, "s1")
    await centre.pool.fetchval("select nextval(pg_get_serial_sequence('ledger_entry', 'entry_id'))")
    await sold(centre, "s2")
    await sealed(centre)
    await centre.pool.execute(
        "with gap as (select max(entry_id) - 1 as entry_id from ledger_entry), entry as ("
        " insert into ledger_entry (account_id, entry_id, kind, subject, at_ms)"
        " overriding system value select 7, entry_id, 'note', 'x', 0 from gap returning entry_id)"
        " insert into ledger_posting select 7, entry_id, leg, 'issued', 0, 3 - 2 * leg"
        " from entry, generate_series(1, 2) leg"
    )
    centre.broken_checks = {"seals"}
    await centre.assert_balanced()


async def test_sales_go_on_while_days_are_sealed_and_each_entry_is_in_one_seal(
    centre: JoinedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A writer on a slow machine takes longer than a round of the service would wait for it.
    monkeypatch.setattr(sealing, "_WAIT_FOR_WRITERS", "set local lock_timeout = '20s'")
    await centre.customer(7, 300)
    till = await centre.till()
    for number in range(12):
        till.append(till.sale(f"s{number}", account=7))
    await till.push()
    days = [f"2025-03-{day:02}" for day in range(6, 12)]

    async def seal_all() -> None:
        for day in days:
            await sealed(centre, day)

    await asyncio.gather(centre.apply(), seal_all())
    await sealed(centre, "2025-03-12")
    entries = await centre.pool.fetchval("select count(*) from ledger_entry")
    assert sum(seal.entries for seal in await newest_seals(centre.pool)) == entries == 13


async def test_the_ledger_is_proven_while_sales_and_merges_go_on(centre: JoinedCentre) -> None:
    await centre.customer(7, 300)
    await centre.customer(8, 40)
    till = await centre.till()
    for number in range(30):
        till.append(till.sale(f"s{number}", account=7 + number % 2))
    await till.push()
    seen: list[str] = []

    async def prove_again() -> None:
        for _ in range(6):
            async with centre.pool.acquire() as connection:
                proof = await verify_ledger(connection, lambda name, _, __: seen.append(name))
            assert [check for check in proof.checks if check.broken] == []
            assert proof.rows > 0

    async def merge_and_undo() -> None:
        now_ms = centre.system.now_ms()
        merged = await merge_accounts(
            centre.pool, 7, 8, person="ann", reason="one customer", now_ms=now_ms
        )
        await undo_merge(centre.pool, merged.merge_id, person="ann", now_ms=now_ms)

    await asyncio.gather(centre.apply(), prove_again(), merge_and_undo())
    assert set(seen) == set(CHECKS)


# Nobody waits for it


async def test_a_day_that_is_sealed_stops_nobody_who_writes(centre: JoinedCentre) -> None:
    await centre.customer(7, 300)
    await sealed(centre)
    async with centre.pool.acquire() as writer, writer.transaction():
        await writer.execute("lock table ledger_entry in row exclusive mode")
        assert await sealed(centre) is None


SMALL_BLOCK = 4
SALES = 10
"""With the customer's opening entry they make three blocks, of which the last is not full."""


class HashedPerTurn:
    """Counts the leaves that are hashed in each turn of the event loop."""

    def __init__(self) -> None:
        self.leaves: Counter[int] = Counter()
        self._turn = 0

    def leaf_hash(self, data: bytes) -> bytes:
        self.leaves[self._turn] += 1
        return merkle.leaf_hash(data)

    async def of(self, work: Awaitable[object]) -> Counter[int]:
        """Return what the turns of some work hashed."""
        self.leaves.clear()
        turns = asyncio.create_task(self._turns())
        try:
            await work
        finally:
            turns.cancel()
        return self.leaves

    async def _turns(self) -> None:
        while True:
            self._turn += 1
            await asyncio.sleep(0)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> HashedPerTurn:
    """Give the leaves that are hashed, with small blocks and turns."""
    hashed = HashedPerTurn()
    monkeypatch.setattr(sealing, "leaf_hash", hashed.leaf_hash)
    monkeypatch.setattr(sealing, "BLOCK_LEAVES", SMALL_BLOCK)
    monkeypatch.setattr(sealing, "ENTRIES_PER_TURN", 2)
    return hashed


async def ten_sold(centre: JoinedCentre) -> list[str]:
    await centre.customer(7, 300)
    keys = [f"s{number}" for number in range(SALES)]
    await sold(centre, *keys)
    return keys


async def verified(centre: JoinedCentre) -> None:
    async with centre.pool.acquire() as connection:
        assert (await verify_ledger(connection)).balanced


async def without_blocks(centre: JoinedCentre) -> None:
    """Make the days as a release sealed them that kept no blocks."""
    await centre.pool.execute("alter table ledger_seal_block disable trigger user")
    await centre.pool.execute("delete from ledger_seal_block")


async def test_the_event_loop_has_its_turn_while_entries_are_hashed(
    hashed: HashedPerTurn, centre: JoinedCentre
) -> None:
    await ten_sold(centre)
    works: list[Callable[[], Awaitable[object]]] = [
        lambda: sealed(centre), lambda: verified(centre), lambda: proof_of(centre, "s4"),
    ]  # fmt: skip
    for work in works:
        assert max((await hashed.of(work())).values()) == 2
    await without_blocks(centre)
    turns = await hashed.of(proof_of(centre, "s4"))
    assert (turns.total() > SALES, max(turns.values())) == (True, 2)


async def test_an_entry_is_proven_from_its_block_alone(
    hashed: HashedPerTurn, centre: JoinedCentre
) -> None:
    for key in await ten_sold(centre):
        assert (await proof_of(centre, key)).unsealed == 1
    await sealed(centre)
    for key in ["opening:7", "s0", "s1", "s4", "s8", "s9"]:
        turns = await hashed.of(proof_of(centre, key))
        assert turns.total() <= SMALL_BLOCK + 1, "its block, and its own leaf"
        proof = await proof_of(centre, key)
        assert problem_of_proof(proof, KEYS.centre.public) == ""
        assert len(proof.entries) == 1


async def test_a_day_sealed_without_blocks_is_read_whole_once(
    hashed: HashedPerTurn, centre: JoinedCentre
) -> None:
    keys = await ten_sold(centre)
    await sealed(centre)
    with_blocks = [await proof_of(centre, key) for key in keys]
    await without_blocks(centre)
    await centre.assert_balanced()
    at_length: list[str] = []

    @asynccontextmanager
    async def noting() -> AsyncIterator[None]:
        at_length.append("read whole")
        yield

    async with centre.pool.acquire() as connection:
        assert with_blocks == [await prove(connection, key, at_length=noting) for key in keys]
    assert at_length == ["read whole"]
    assert (await hashed.of(proof_of(centre, "s4"))).total() <= SMALL_BLOCK + 1


CHANGED = "update ledger_entry set at_ms = at_ms + 1 where subject = 's4'"
TAKEN_AWAY = (
    "delete from ledger_posting where entry_id ="
    " (select entry_id from ledger_entry where subject = 's4')"
)


@pytest.mark.parametrize("are_kept", [True, False])
@pytest.mark.parametrize("change", [CHANGED, TAKEN_AWAY])
async def test_no_proof_is_made_of_what_was_changed(
    hashed: HashedPerTurn, centre: JoinedCentre, change: str, *, are_kept: bool
) -> None:
    assert not hashed.leaves
    await ten_sold(centre)
    await sealed(centre)
    if not are_kept:
        await without_blocks(centre)
    for table in ("ledger_entry", "ledger_posting"):
        await centre.pool.execute(f"alter table {table} disable trigger user")
    await centre.pool.execute(change)
    with pytest.raises(ConflictError, match="not as they were sealed"):
        await proof_of(centre, "s4")
    kept = await centre.pool.fetchval("select count(*) from ledger_seal_block")
    assert kept == (3 if are_kept else 0), "blocks of what is not as it was are not kept"
    centre.broken_checks = {"seals"}
    if change == TAKEN_AWAY:
        centre.broken_checks |= {"entries", "accounts", "lots", "receipts"}


async def test_an_entry_behind_the_last_block_has_no_proof(centre: JoinedCentre) -> None:
    await centre.customer(7, 300)
    await sealed(centre)
    await sold(centre, "s1")
    await centre.pool.execute("alter table ledger_seal disable trigger user")
    await centre.pool.execute("update ledger_seal set last_entry = last_entry + 1")
    with pytest.raises(ConflictError, match="not as they were sealed"):
        await proof_of(centre, "s1")
    centre.broken_checks = {"seals"}


async def test_blocks_that_are_not_those_of_the_entries_break_the_seal(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, 300)
    await sealed(centre)
    await centre.assert_balanced()
    await centre.pool.execute("alter table ledger_seal_block disable trigger user")
    await centre.pool.execute("update ledger_seal_block set root = sha256(root)")
    centre.broken_checks = {"seals"}
    await centre.assert_balanced()

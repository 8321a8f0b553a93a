"""The ledger's days are sealed: a Merkle root over their entries, chained and signed.

Whoever has a seal can prove years later that an entry was in it, or that somebody changed one. A
day's seal holds the entries written since the one before, up to the moment it is made; entries of
records that come late are in the seal of the day they were written (design: centre 2).

Beside a seal stand the roots of its blocks: the tree's lower part is cut into blocks of
`BLOCK_LEAVES` leaves, so that proving an entry reads its block and no other.
"""

from bisect import bisect_left
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Final, Literal, NamedTuple

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import ConflictError, NotFoundError
from central.ledger.merkle import (
    HASH_BYTES,
    GrowingTree,
    leaf_hash,
    path_of,
    root_by_path,
    root_of,
)
from sync.errors import SignatureError
from sync.signing import SigningKey, check

_SQL = load_queries("central.ledger", "sealing.sql")

ENTRIES_AT_ONCE: Final = 30_000
ENTRIES_PER_TURN: Final = 1_000
"""So many come at a time and are hashed before the event loop has its turn: tills are served on it.
"""
BLOCK_LEAVES: Final = 4_096
"""A power of two, so that a block is a subtree of its own; blocks that are kept have this size."""
NOTHING_BEFORE: Final = b"\x00" * HASH_BYTES
_WAIT_FOR_WRITERS: Final = "set local lock_timeout = '2s'"
_SUBJECT: Final = 3
"""Where an entry's bytes name its subject."""

Told = Callable[[int], None]
"""Told of more entries that were read."""
Place = Callable[[], AbstractAsyncContextManager[None]]
"""Where something is done that takes long."""


class _Block(NamedTuple):
    """Some leaves of a day that lie side by side, up to an entry."""

    last_entry: int
    root: bytes


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed day; hashes, key and signature in hexadecimal.

    Attributes:
        day: UTC, `YYYY-MM-DD`; days on which nobody was there to seal are in the next one.
        first_entry, last_entry: the numbers it holds, those of undone transactions missing.
        previous: root of the seal before.
    """

    seal_id: int
    day: str
    first_entry: int
    last_entry: int
    entries: int
    root: str
    previous: str
    public_key: str
    signature: str
    sealed_at_ms: int


class EntryProof(msgspec.Struct, frozen=True, kw_only=True):
    """An entry, and the way from it to its day's root.

    Attributes:
        entry: its bytes as they were hashed, a JSON text.
        index: its place among the day's entries.
        path: hashes beside the way, from below, hexadecimal.
    """

    entry: str
    index: int
    path: tuple[str, ...]
    seal: Seal


class InclusionProof(msgspec.Struct, frozen=True, kw_only=True):
    """That the entries of a subject stand in sealed days.

    Attributes:
        kind: of the document.
        unsealed: entries of it that no seal holds yet.
    """

    kind: Literal["tillside-ledger-proof/1"] = "tillside-ledger-proof/1"
    subject: str
    entries: tuple[EntryProof, ...]
    unsealed: int = 0


async def seal_due(pool: Pool, key: SigningKey, *, now_ms: int) -> Seal | None:
    """Seal the day that is over, unless it is sealed; returns the new seal."""
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    return await seal_day(pool, key, day=(today - timedelta(days=1)).isoformat(), now_ms=now_ms)


async def seal_day(pool: Pool, key: SigningKey, *, day: str, now_ms: int) -> Seal | None:
    """Seal what was written so far as a day's entries; None where the day or a later one is."""
    async with pool.acquire() as connection:
        # Whoever is writing is held up for a seal that is due, not for every look at it.
        if _is_sealed(day, await connection.fetchrow(_SQL["last_seal"])):
            return None
        async with connection.transaction():
            await connection.execute(_WAIT_FOR_WRITERS)
            await connection.execute(_SQL["hold_writers"])
            last_entry: int = await connection.fetchval(_SQL["last_entry"])
        async with connection.transaction():
            await connection.execute(_SQL["one_sealer"])
            before = await connection.fetchrow(_SQL["last_seal"])
            if _is_sealed(day, before):
                return None
            first = before["last_entry"] if before else 0
            entries, blocks = await _read_blocks(connection, first, last_entry)
            seal = _signed(
                key,
                seal_id=before["seal_id"] + 1 if before else 1,
                day=day,
                first_entry=first + 1,
                last_entry=max(last_entry, first),
                entries=entries,
                root=_root_over(blocks).hex(),
                previous=(before["root"] if before else NOTHING_BEFORE).hex(),
                sealed_at_ms=now_ms,
            )
            await connection.execute(
                _SQL["insert_seal"], seal.seal_id, seal.day, seal.first_entry, seal.last_entry,
                seal.entries, bytes.fromhex(seal.root), bytes.fromhex(seal.previous),
                bytes.fromhex(seal.public_key), bytes.fromhex(seal.signature), seal.sealed_at_ms,
            )  # fmt: skip
            await _keep_blocks(connection, seal.seal_id, blocks)
    return seal


def _is_sealed(day: str, last_seal: asyncpg.Record | None) -> bool:
    return last_seal is not None and last_seal["day"] >= day


def _signed(key: SigningKey, **fields: int | str) -> Seal:
    bare = Seal(**fields, public_key=key.public.hex(), signature="")  # type: ignore[arg-type]
    return msgspec.structs.replace(bare, signature=key.sign(seal_content(bare)).hex())


def seal_content(seal: Seal) -> bytes:
    """Return the bytes a seal's signature is over."""
    parts = (
        "tillside-ledger-seal/1", seal.seal_id, seal.day, seal.first_entry, seal.last_entry,
        seal.entries, seal.root, seal.previous,
    )  # fmt: skip
    return "\n".join(map(str, parts)).encode()


def entry_bytes(row: asyncpg.Record) -> bytes:
    """Return an entry's bytes as they are hashed: a JSON list, postings by leg."""
    postings = zip(row["ledger_accounts"], row["lot_ids"], row["points"], strict=True)
    return msgspec.json.encode(
        (
            row["entry_id"], row["account_id"], row["kind"], row["subject"], row["arrival"],
            row["at_ms"], tuple(postings),
        )
    )  # fmt: skip


async def _rows(
    connection: Connection, after: int, last: int, told: Told | None = None
) -> AsyncIterator[asyncpg.Record]:
    while after < last:
        upto, count = min(after + ENTRIES_AT_ONCE, last), 0
        async for row in connection.cursor(_SQL["entries"], after, upto, prefetch=ENTRIES_PER_TURN):
            count += 1
            yield row
        if told is not None:
            told(count)
        after = upto


async def _read_blocks(
    connection: Connection, after: int, last: int, told: Told | None = None
) -> tuple[int, list[_Block]]:
    """Return how many entries there are, and the roots of their blocks; within a transaction."""
    entries, blocks, tree, entry_id = 0, list[_Block](), GrowingTree(), after
    async for row in _rows(connection, after, last, told):
        tree.add(leaf_hash(entry_bytes(row)))
        entries, entry_id = entries + 1, row["entry_id"]
        if tree.leaves == BLOCK_LEAVES:
            blocks.append(_Block(entry_id, tree.root()))
            tree = GrowingTree()
    if tree.leaves:
        blocks.append(_Block(entry_id, tree.root()))
    return entries, blocks


def _root_over(blocks: list[_Block]) -> bytes:
    return root_of(block.root for block in blocks)


async def _kept_blocks(connection: Connection, seal_id: int) -> list[_Block]:
    return [_Block(*row) for row in await connection.fetch(_SQL["blocks"], seal_id)]


async def _keep_blocks(connection: Connection, seal_id: int, blocks: list[_Block]) -> None:
    last_entries, roots = [block.last_entry for block in blocks], [block.root for block in blocks]
    await connection.execute(_SQL["keep_blocks"], seal_id, last_entries, roots)


async def broken_seals(connection: Connection, told: Told | None = None) -> int:
    """Count the seals that do not hold: root, blocks, signature, or the chain to the one before."""
    broken = 0
    previous, last = NOTHING_BEFORE.hex(), 0
    for row in await connection.fetch(_SQL["seals"]):
        seal = _seal(row)
        entries, blocks = await _read_blocks(
            connection, seal.first_entry - 1, seal.last_entry, told
        )
        holds = (
            _root_over(blocks).hex() == seal.root
            and entries == seal.entries
            and (seal.previous, seal.first_entry) == (previous, last + 1)
            and is_signed(seal)
            and await _kept_blocks(connection, seal.seal_id) in ([], blocks)
        )
        broken += not holds
        previous, last = seal.root, seal.last_entry
    return broken


async def newest_seals(pool: Pool, seals_max: int = 31) -> list[Seal]:
    """Return the last seals, the newest first."""
    return [_seal(row) for row in await pool.fetch(_SQL["newest_seals"], seals_max)]


async def prove(
    connection: Connection, subject: str, *, at_length: Place = nullcontext
) -> InclusionProof:
    """Return the proof that all entries of a receipt, return or other subject stand as sealed.

    Args:
        at_length: entered to read a whole day: one that was sealed by a release that kept no
            blocks, and once.

    Raises:
        NotFoundError: there is no entry of it.
        ConflictError: entries of its day are not as they were sealed.
    """
    rows = await connection.fetch(_SQL["entries_of_subject"], subject)
    if not rows:
        raise NotFoundError(f"the ledger has no entry of {subject!r}")
    proofs: list[EntryProof] = []
    for row in rows:
        found = await connection.fetchrow(_SQL["seal_of_entry"], row["entry_id"])
        if found is None:
            continue
        seal = _seal(found)
        async with connection.transaction():
            blocks = await _kept_blocks(connection, seal.seal_id)
            if not blocks:
                async with at_length():
                    blocks = await _make_blocks(connection, seal)
            proofs.append(await _entry_proof(connection, row["entry_id"], seal, blocks))
    return InclusionProof(subject=subject, entries=tuple(proofs), unsealed=len(rows) - len(proofs))


async def _make_blocks(connection: Connection, seal: Seal) -> list[_Block]:
    """Read a whole day that has no blocks and keep them, if they are those of the seal."""
    entries, blocks = await _read_blocks(connection, seal.first_entry - 1, seal.last_entry)
    if (entries, _root_over(blocks).hex()) != (seal.entries, seal.root):
        raise _not_as_sealed(seal)
    await _keep_blocks(connection, seal.seal_id, blocks)
    return blocks


async def _entry_proof(
    connection: Connection, entry_id: int, seal: Seal, blocks: list[_Block]
) -> EntryProof:
    number = bisect_left(blocks, entry_id, key=attrgetter("last_entry"))
    if number == len(blocks):
        raise _not_as_sealed(seal)
    after = blocks[number - 1].last_entry if number else seal.first_entry - 1
    leaves: list[bytes] = []
    index, text = 0, b""
    async for row in _rows(connection, after, blocks[number].last_entry):
        content = entry_bytes(row)
        if row["entry_id"] == entry_id:
            index, text = len(leaves), content
        leaves.append(leaf_hash(content))
    if not text:
        raise _not_as_sealed(seal)
    path = [*path_of(index, leaves), *path_of(number, [block.root for block in blocks])]
    index += number * BLOCK_LEAVES
    root = root_by_path(leaf_hash(text), index, seal.entries, path)
    if root is None or root.hex() != seal.root:
        raise _not_as_sealed(seal)
    hexadecimal = tuple(part.hex() for part in path)
    return EntryProof(entry=text.decode(), index=index, path=hexadecimal, seal=seal)


def _not_as_sealed(seal: Seal) -> ConflictError:
    return ConflictError(
        f"entries of {seal.day} are not as they were sealed: run tillside-central verify-ledger"
    )


def problem_of_proof(proof: InclusionProof, public_key: bytes | None = None) -> str:
    """Return what is wrong with a proof, empty when it holds; needs no database.

    Args:
        public_key: of the centre, where the reader has it from elsewhere: the seal's own key
            says no more than that one hand signed all of it.
    """
    for each in proof.entries:
        try:
            entry = msgspec.json.decode(each.entry)
            path = [bytes.fromhex(part) for part in each.path]
        except (msgspec.DecodeError, ValueError):
            return "it cannot be read"
        if not isinstance(entry, list) or entry[_SUBJECT : _SUBJECT + 1] != [proof.subject]:
            return "an entry is of another subject"
        leaf = leaf_hash(each.entry.encode())
        root = root_by_path(leaf, each.index, each.seal.entries, path)
        if root is None or root.hex() != each.seal.root:
            return f"an entry does not lead to the root of {each.seal.day}"
        if public_key is not None and each.seal.public_key != public_key.hex():
            return f"the seal of {each.seal.day} is signed with another key"
        if not is_signed(each.seal):
            return f"the seal of {each.seal.day} is not signed as it stands"
    return ""


def is_signed(seal: Seal) -> bool:
    """Say whether a seal's signature is its key's."""
    try:
        check(bytes.fromhex(seal.public_key), bytes.fromhex(seal.signature), seal_content(seal))
    except (SignatureError, ValueError):
        return False
    return True


def _seal(row: asyncpg.Record) -> Seal:
    fields = dict(row)
    for name in ("root", "previous", "public_key", "signature"):
        fields[name] = fields[name].hex()
    return Seal(**fields)

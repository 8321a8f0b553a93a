"""The ledger's days are sealed: a Merkle root over their entries, chained and signed.

Whoever has a seal can prove years later that an entry was in it, or that somebody changed one. A
day's seal holds the entries written since the one before, up to the moment it is made; entries of
records that come late are in the seal of the day they were written (design: centre 2).
"""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import NotFoundError
from central.ledger.merkle import HASH_BYTES, GrowingTree, leaf_hash, path_of, root_by_path
from sync.errors import SignatureError
from sync.signing import SigningKey, check

_SQL = load_queries("central.ledger", "sealing.sql")

ENTRIES_AT_ONCE: Final = 30_000
NOTHING_BEFORE: Final = b"\x00" * HASH_BYTES
_WAIT_FOR_WRITERS: Final = "set local lock_timeout = '2s'"
_SUBJECT: Final = 3
"""Where an entry's bytes name its subject."""

Told = Callable[[int], None]
"""Told of more entries that were read."""


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
        async with connection.transaction():
            await connection.execute(_WAIT_FOR_WRITERS)
            await connection.execute(_SQL["hold_writers"])
            last_entry: int = await connection.fetchval(_SQL["last_entry"])
        async with connection.transaction():
            await connection.execute(_SQL["one_sealer"])
            before = await connection.fetchrow(_SQL["last_seal"])
            if before is not None and before["day"] >= day:
                return None
            first = before["last_entry"] if before else 0
            tree = GrowingTree()
            async for row in _rows(connection, first, last_entry):
                tree.add(leaf_hash(entry_bytes(row)))
            seal = _signed(
                key,
                seal_id=before["seal_id"] + 1 if before else 1,
                day=day,
                first_entry=first + 1,
                last_entry=max(last_entry, first),
                entries=tree.leaves,
                root=tree.root().hex(),
                previous=(before["root"] if before else NOTHING_BEFORE).hex(),
                sealed_at_ms=now_ms,
            )
            await connection.execute(
                _SQL["insert_seal"], seal.seal_id, seal.day, seal.first_entry, seal.last_entry,
                seal.entries, bytes.fromhex(seal.root), bytes.fromhex(seal.previous),
                bytes.fromhex(seal.public_key), bytes.fromhex(seal.signature), seal.sealed_at_ms,
            )  # fmt: skip
    return seal


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
        upto = min(after + ENTRIES_AT_ONCE, last)
        rows = await connection.fetch(_SQL["entries"], after, upto)
        if told is not None:
            told(len(rows))
        for row in rows:
            yield row
        after = upto


async def broken_seals(connection: Connection, told: Told | None = None) -> int:
    """Count the seals that do not hold: root, signature, or the chain from one to the next."""
    broken = 0
    previous, last = NOTHING_BEFORE.hex(), 0
    for row in await connection.fetch(_SQL["seals"]):
        seal = _seal(row)
        tree = GrowingTree()
        async for entry in _rows(connection, seal.first_entry - 1, seal.last_entry, told):
            tree.add(leaf_hash(entry_bytes(entry)))
        holds = (
            tree.root().hex() == seal.root
            and tree.leaves == seal.entries
            and (seal.previous, seal.first_entry) == (previous, last + 1)
            and is_signed(seal)
        )
        broken += not holds
        previous, last = seal.root, seal.last_entry
    return broken


async def newest_seals(pool: Pool, seals_max: int = 31) -> list[Seal]:
    """Return the last seals, the newest first."""
    return [_seal(row) for row in await pool.fetch(_SQL["newest_seals"], seals_max)]


async def prove(connection: Connection, subject: str) -> InclusionProof:
    """Return the proof that all entries of a receipt, return or other subject stand as sealed.

    Raises:
        NotFoundError: there is no entry of it.
    """
    rows = await connection.fetch(_SQL["entries_of_subject"], subject)
    if not rows:
        raise NotFoundError(f"the ledger has no entry of {subject!r}")
    proofs: list[EntryProof] = []
    for row in rows:
        found = await connection.fetchrow(_SQL["seal_of_entry"], row["entry_id"])
        if found is not None:
            proofs.append(await _entry_proof(connection, row["entry_id"], _seal(found)))
    return InclusionProof(subject=subject, entries=tuple(proofs), unsealed=len(rows) - len(proofs))


async def _entry_proof(connection: Connection, entry_id: int, seal: Seal) -> EntryProof:
    leaves: list[bytes] = []
    index, text = -1, b""
    async for row in _rows(connection, seal.first_entry - 1, seal.last_entry):
        content = entry_bytes(row)
        if row["entry_id"] == entry_id:
            index, text = len(leaves), content
        leaves.append(leaf_hash(content))
    path = tuple(part.hex() for part in path_of(index, leaves))
    return EntryProof(entry=text.decode(), index=index, path=path, seal=seal)


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

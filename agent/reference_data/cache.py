"""Accounts, bundles and the pull cursor as last told; the file may be thrown away at any time."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final, TypeVar

import msgspec
import zstandard

from agent.journal.database import Database, Row
from agent.reference_data.blocked_list import BlockedList
from sync.fingerprints import bucket_of, fingerprint
from sync.messages import AccountRow, Applied, Cursor, Manifest

_PRAGMAS: Final = (
    "pragma locking_mode=exclusive",
    "pragma journal_mode=wal",
    "pragma synchronous=off",
    "pragma trusted_schema=off",
    "pragma secure_delete=on",  # what is forgotten is not left in the file
)

V = TypeVar("V", bound=msgspec.Struct)

_applied_decoder = msgspec.msgpack.Decoder(tuple[Applied, ...])


@dataclass(frozen=True, slots=True)
class Told:
    """An account as the centre told it, and which records of this till it held then."""

    account: AccountRow
    applied: tuple[Applied, ...] = ()


def open_cache_database(path: str, *, vfs: str | None = None) -> Database:
    """Open the cache file; losing it costs one full pull, so nothing waits for the disk.

    Raises:
        JournalDamagedError: the file is damaged; delete it and open again.
    """
    return Database(path, vfs=vfs, pragmas=_PRAGMAS)


class Cache:
    """The disposable file.

    Attributes:
        blocked: cards of blocked accounts, kept here or not.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.blocked = BlockedList(database)
        schema = (
            resources.files("agent.reference_data")
            .joinpath("schema.sql")
            .read_text(encoding="utf-8")
        )
        with database.transaction():
            for statement in schema.split(";\n"):
                if statement.strip():
                    database.run(statement)
            if ("applied",) not in database.rows("select name from pragma_table_info('account')"):
                # A file of an earlier release: what it has stays, the cursor says that it is known.
                database.run("alter table account add column applied blob not null default x'90'")
            if ("generation",) not in database.rows("select name from pragma_table_info('bundle')"):
                database.run("alter table bundle add column generation integer not null default 0")

    def edition(self) -> tuple[int, int]:
        """Return what changes with every write: while it is the same, what was read is true."""
        return self._database.edition()

    def account(self, card: bytes) -> AccountRow | None:
        """Return what is known of a card's account."""
        told = self.told(card)
        return told.account if told else None

    def told(self, card: bytes) -> Told | None:
        """Return what was told of a card's account."""
        row = self._database.row("select body, applied from account where card = ?", card)
        if row is None:
            return None
        body, applied = row
        assert isinstance(body, bytes)
        assert isinstance(applied, bytes)
        account = msgspec.msgpack.decode(body, type=AccountRow)
        return Told(account, _applied_decoder.decode(applied))

    def rows_of(self, account_id: int) -> list[AccountRow]:
        """Return what was told of an account, a row for each of its cards."""
        rows = self._database.rows("select body from account where account_id = ?", account_id)
        return [msgspec.msgpack.decode(_blob(row), type=AccountRow) for row in rows]

    def cards_of(self, account_id: int) -> list[bytes]:
        """Return the cards an account is known by."""
        rows = self._database.rows("select card from account where account_id = ?", account_id)
        return [_blob(row) for row in rows]

    def account_count(self) -> int:
        """Return how many cards are known."""
        row = self._database.row("select count(*) from account")
        assert row is not None
        return int(row[0])  # type: ignore[arg-type]

    def put_accounts(self, rows: tuple[AccountRow, ...], applied: tuple[Applied, ...] = ()) -> None:
        """Keep accounts, never replacing a newer version by an older one.

        Args:
            applied: which records of this till are in them.
        """
        told = msgspec.msgpack.encode(applied)
        with self._database.transaction():
            for row in rows:
                self._database.run(
                    "insert into account (card, account_id, version, body, applied)"
                    " values (?, ?, ?, ?, ?) on conflict (card) do update"
                    " set account_id = excluded.account_id, version = excluded.version,"
                    " body = excluded.body, applied = excluded.applied"
                    " where excluded.version >= version",
                    row.card, row.snapshot.account_id, row.snapshot.version,
                    msgspec.msgpack.encode(row), told,
                )  # fmt: skip

    def sums(self) -> bytes:
        """Return the fingerprint of all accounts known (`sync.fingerprints`)."""
        rows = self._database.rows("select card, account_id, version from account")
        return fingerprint(rows)  # type: ignore[arg-type]

    def buckets_here(self) -> bytes:
        """Return the buckets that accounts known here are in (`sync.fingerprints`)."""
        rows = self._database.rows("select distinct substr(card, 1, 1) from account")
        return bytes(sorted({bucket_of(_blob(row)) for row in rows}))

    def put_buckets(
        self, buckets: bytes, rows: tuple[AccountRow, ...], applied: tuple[Applied, ...]
    ) -> None:
        """Take buckets as the centre has them, whatever was known before."""
        told = msgspec.msgpack.encode(applied)
        with self._database.transaction():
            for number in buckets:
                first = bytes([number])
                self._database.run("delete from account where substr(card, 1, 1) = ?", first)
            for row in rows:
                self._database.run(
                    "insert or replace into account (card, account_id, version, body, applied)"
                    " values (?, ?, ?, ?, ?)",
                    row.card, row.snapshot.account_id, row.snapshot.version,
                    msgspec.msgpack.encode(row), told,
                )  # fmt: skip

    def forget_accounts(self, account_ids: Sequence[int]) -> None:
        """Forget accounts and their cards, in the file and its log, too."""
        with self._database.transaction():
            for account_id in account_ids:
                self._database.run("delete from account where account_id = ?", account_id)
        self._database.wipe_log()

    def pieces_here(self, bundle_hash: str) -> int:
        """Return how many first pieces of a bundle are here."""
        row = self._database.row("select count(*) from piece where bundle = ?", bundle_hash)
        assert row is not None
        return int(row[0])  # type: ignore[arg-type]

    def put_piece(self, bundle_hash: str, number: int, content: bytes) -> None:
        """Keep a piece of a bundle, so that a download goes on after whatever broke it."""
        with self._database.transaction():
            # What is left of another bundle will not be asked for again.
            self._database.run("delete from piece where bundle <> ?", bundle_hash)
            self._database.run(
                "insert or replace into piece values (?, ?, ?)", bundle_hash, number, content
            )

    def take_pieces(self, bundle_hash: str) -> list[bytes]:
        """Return all pieces of a bundle and forget them."""
        rows = self._database.rows(
            "select content from piece where bundle = ? order by number", bundle_hash
        )
        with self._database.transaction():
            self._database.run("delete from piece")
        return [_blob(row) for row in rows]

    def bundle(self, bundle_hash: str) -> bytes | None:
        """Return a good bundle's bytes, if they can still be read; the caller checks them."""
        row = self._database.row(
            "select content from bundle where hash = ? and state = 'good'", bundle_hash
        )
        try:
            return zstandard.decompress(_blob(row)) if row else None
        except zstandard.ZstdError:
            return None

    def bundle_part(self, bundle_hash: str, start: int, bytes_max: int) -> tuple[bytes, int] | None:
        """Return some bytes of a good bundle as it is kept, packed and unchecked, and its size.

        Args:
            start: where they begin.
        """
        row = self._database.row(
            "select substr(content, ?, ?), length(content) from bundle"
            " where hash = ? and state = 'good'",
            start + 1, bytes_max, bundle_hash,
        )  # fmt: skip
        return (_blob(row), int(row[1])) if row else None  # type: ignore[arg-type]

    def held_manifests(self) -> list[tuple[int, Manifest]]:
        """Return the manifests of the good bundles with their generations, the newest first."""
        rows = self._database.rows(
            "select manifest, generation from bundle where state = 'good'"
            " order by generation desc, version desc"
        )
        return [
            (int(row[1]), msgspec.msgpack.decode(_blob(row), type=Manifest))  # type: ignore[arg-type]
            for row in rows
        ]

    def is_refused(self, bundle_hash: str) -> bool:
        """Say whether a bundle was tried here and refused."""
        return (
            self._database.row(
                "select 1 from bundle where hash = ? and state = 'refused'", bundle_hash
            )
            is not None
        )

    def put_bundle(
        self, manifest: Manifest, content: bytes, *, good: bool, generation: int = 0
    ) -> None:
        """Keep a bundle that was tried; of the good ones, and of the bad, the last three stay."""
        state = "good" if good else "refused"
        with self._database.transaction():
            self._database.run(
                "insert or replace into bundle (hash, version, manifest, content, state,"
                " generation) values (?, ?, ?, ?, ?, ?)",
                manifest.bundle, manifest.version, msgspec.msgpack.encode(manifest),
                zstandard.compress(content, 3) if good else b"", state, generation,
            )  # fmt: skip
            self._database.run(
                "delete from bundle where state = ? and hash not in (select hash from bundle"
                " where state = ? order by generation desc, version desc limit 3)",
                state, state,
            )  # fmt: skip

    def value(self, name: str, kind: type[V]) -> V | None:
        """Return a stored value, e.g. the cursor."""
        row = self._database.row("select body from value where name = ?", name)
        return msgspec.msgpack.decode(_blob(row), type=kind) if row else None

    def put_value(self, name: str, value: msgspec.Struct) -> None:
        """Store a value."""
        with self._database.transaction():
            self._database.run(
                "insert or replace into value values (?, ?)", name, msgspec.msgpack.encode(value)
            )

    def cursor(self) -> Cursor:
        """Return how far the change feed has been read."""
        return self.value("cursor", Cursor) or Cursor()

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _blob(row: Row) -> bytes:
    assert isinstance(row[0], bytes)
    return row[0]

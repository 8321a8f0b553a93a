"""Copies of siblings' records that the centre may not have, and the heads they once said.

Bounded in bytes for each sibling and as a whole, so that a mad sibling can fill its own share
alone. Every change happens inside a transaction of the journal.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from agent.journal.database import Database
from sync.chain import HASH_BYTES
from sync.neighbours import SignedHead, WitnessRequest

TILL_BYTES_MAX: Final = 33_554_432
"""Of one sibling: about two weeks of receipts of a busy till."""
TILLS_MAX: Final = 32
COPY_DAYS_MAX: Final = 60
SETTLED_DAYS: Final = 14
"""As long as own records that the centre has (`RECORD_DAYS` of `agent.journal.pruning`)."""
HEADS_MAX: Final = 4
"""Incarnations of a sibling whose heads are kept; the latest by number."""

_DAY_MS = 86_400_000
_records = msgspec.msgpack.Decoder(tuple[bytes, ...])


@dataclass(frozen=True, slots=True)
class Copy:
    """Consecutive records of a sibling, as it asked to keep them."""

    head: SignedHead
    from_seq: int
    previous_hash: bytes
    records: tuple[bytes, ...]


class WitnessStore:
    """What this till keeps for its siblings."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def links(self, head: SignedHead, first: int) -> dict[int, frozenset[bytes]]:
        """Return the links known of a stream from `first` to the head's seq, by seq."""
        found: dict[int, set[bytes]] = {}
        rows = self._database.rows(
            "select from_seq, previous_hash, links from witness_copy"
            " where till_id = ? and incarnation = ? and to_seq >= ? and from_seq <= ? + 1",
            head.till_id, head.incarnation, first, head.seq,
        )  # fmt: skip
        for from_seq, previous, links in rows:
            assert isinstance(from_seq, int)
            assert isinstance(previous, bytes)
            assert isinstance(links, bytes)
            seq, chain = from_seq - 1, previous + links
            for start in range(0, len(chain), HASH_BYTES):
                found.setdefault(seq, set()).add(chain[start : start + HASH_BYTES])
                seq += 1
        said = self.head_of(head.till_id, head.incarnation)
        if said is not None:
            found.setdefault(said.seq, set()).add(said.head)
        return {seq: frozenset(links) for seq, links in found.items() if seq}

    def has(self, request: WitnessRequest) -> bool:
        """Say whether these very records are kept: the same head after at least as many."""
        head = request.head
        row = self._database.row(
            "select from_seq from witness_copy"
            " where till_id = ? and incarnation = ? and to_seq = ? and head = ?",
            head.till_id, head.incarnation, head.seq, head.head,
        )  # fmt: skip
        return row is not None and row[0] <= request.from_seq  # type: ignore[operator]

    def head_at(self, head: SignedHead, seq: int) -> SignedHead | None:
        """Return the first signed head of the stream that says anything about `seq`."""
        row = self._database.row(
            "select signed from witness_copy where till_id = ? and incarnation = ?"
            " and to_seq >= ? and head <> ? order by to_seq limit 1",
            head.till_id, head.incarnation, seq, head.head,
        )  # fmt: skip
        return _head(row[0]) if row else self.head_of(head.till_id, head.incarnation)

    def has_room(self, till_id: int, size_bytes: int) -> bool:
        """Say whether so many more bytes of a sibling may be kept; settled copies make room."""
        row = self._database.row(
            "select coalesce(sum(size_bytes), 0) from needed_copy where till_id = ?", till_id
        )
        tills = self._database.rows("select distinct till_id from witness_copy")
        assert row is not None
        assert isinstance(row[0], int)
        known = (till_id,) in tills or len(tills) < TILLS_MAX
        return known and row[0] + size_bytes <= TILL_BYTES_MAX

    def keep(self, request: WitnessRequest, links: tuple[bytes, ...], *, now_ms: int) -> None:
        """Keep a copy and the head it leads to; settled ones go where there is no room for both."""
        head = request.head
        row = self._database.row(
            "select coalesce(sum(size_bytes), 0) from witness_copy where till_id = ?", head.till_id
        )
        assert row is not None
        assert isinstance(row[0], int)
        if row[0] > TILL_BYTES_MAX:
            self._forget_settled(before_ms=now_ms + 1, till_id=head.till_id)
        records = msgspec.msgpack.encode(request.records)
        self._database.run(
            "insert or replace into witness_copy values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            head.till_id, head.incarnation, head.seq, head.head, request.from_seq,
            msgspec.msgpack.encode(head), request.previous_hash, b"".join(links), records,
            len(records), now_ms,
        )  # fmt: skip
        self.keep_head(head)

    def keep_head(self, head: SignedHead) -> None:
        """Keep a head where it is the highest of its stream."""
        self._database.run(
            "insert into witness_head values (?, ?, ?, ?, ?) on conflict do update"
            " set seq = excluded.seq, signed = excluded.signed where excluded.seq > seq",
            head.till_id, head.incarnation, head.incarnation_number, head.seq,
            msgspec.msgpack.encode(head),
        )  # fmt: skip
        self._database.run(
            "delete from witness_head where till_id = ?1 and incarnation not in (select incarnation"
            " from witness_head where till_id = ?1 order by incarnation_number desc limit ?2)",
            head.till_id, HEADS_MAX,
        )  # fmt: skip

    def head_of(self, till_id: int, incarnation: bytes) -> SignedHead | None:
        """Return the highest head of a stream."""
        row = self._database.row(
            "select signed from witness_head where till_id = ? and incarnation = ?",
            till_id, incarnation,
        )  # fmt: skip
        return _head(row[0]) if row else None

    def newest_head(self, till_id: int) -> SignedHead | None:
        """Return the highest head of a sibling's newest stream."""
        row = self._database.row(
            "select signed from witness_head where till_id = ?"
            " order by incarnation_number desc limit 1",
            till_id,
        )
        return _head(row[0]) if row else None

    def copies(
        self, count: int, *, without: Mapping[int, bytes], but: Collection[bytes] = ()
    ) -> list[Copy]:
        """Return copies to hand in, by stream and place.

        Args:
            without: streams, by till, that are left out.
            but: heads of copies that are not left out with their stream.
        """
        left_out = [[till_id, incarnation.hex()] for till_id, incarnation in without.items()]
        found: list[Copy] = []
        rows = self._database.rows(
            "select till_id, signed, from_seq, previous_hash, records from needed_copy"
            " where (till_id, lower(hex(incarnation))) not in"
            " (select value ->> 0, value ->> 1 from json_each(?))"
            " or lower(hex(head)) in (select value from json_each(?))"
            " order by till_id, incarnation, from_seq, to_seq limit ?",
            msgspec.json.encode(left_out).decode(),
            msgspec.json.encode([head.hex() for head in but]).decode(), count,
        )  # fmt: skip
        for _, signed, from_seq, previous, records in rows:
            assert isinstance(from_seq, int)
            assert isinstance(previous, bytes)
            assert isinstance(records, bytes)
            found.append(Copy(_head(signed), from_seq, previous, _records.decode(records)))
        return found

    def settle(self, head: SignedHead, *, now_ms: int) -> None:
        """Note that the centre has the records of a copy, or will never take them."""
        self._database.run(
            "insert or replace into settled_copy values (?, ?, ?, ?, ?)",
            head.till_id, head.incarnation, head.seq, head.head, now_ms,
        )  # fmt: skip

    def unsettle(self) -> None:
        """Have every copy needed again: the centre went back to an older state of itself."""
        self._database.run("delete from settled_copy")

    def acked_copies(self, head: SignedHead, count: int) -> list[SignedHead]:
        """Return the heads of copies up to what the till says is acknowledged of this stream."""
        rows = self._database.rows(
            "select signed from needed_copy"
            " where till_id = ? and incarnation = ? and to_seq <= ? order by to_seq limit ?",
            head.till_id, head.incarnation, head.acked_seq, count,
        )  # fmt: skip
        return [_head(signed) for (signed,) in rows]

    def tidy(self, *, now_ms: int) -> None:
        """Forget what was settled long ago, and copies nobody could hand in for months."""
        self._forget_settled(before_ms=now_ms - SETTLED_DAYS * _DAY_MS)
        self._database.run(
            "delete from witness_copy where kept_at_ms < ?", now_ms - COPY_DAYS_MAX * _DAY_MS
        )

    def _forget_settled(self, *, before_ms: int, till_id: int = 0) -> None:
        """Forget what was settled before a moment, of one till or of all (0)."""
        self._database.run(
            "delete from witness_copy where (till_id, incarnation, to_seq, head) in"
            " (select till_id, incarnation, to_seq, head from settled_copy"
            " where settled_at_ms < ?1 and ?2 in (till_id, 0))",
            before_ms, till_id,
        )  # fmt: skip
        self._database.run(
            "delete from settled_copy where settled_at_ms < ?1 and ?2 in (till_id, 0)",
            before_ms, till_id,
        )  # fmt: skip

    def size_bytes(self) -> int:
        """Return how much is kept, for status."""
        row = self._database.row("select coalesce(sum(size_bytes), 0) from witness_copy")
        assert row is not None
        assert isinstance(row[0], int)
        return row[0]


def _head(signed: object) -> SignedHead:
    assert isinstance(signed, bytes)
    return msgspec.msgpack.decode(signed, type=SignedHead)

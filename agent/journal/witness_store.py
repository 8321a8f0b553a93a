"""Copies of siblings' records that the centre may not have, and the heads they once said.

Bounded in bytes for each sibling and as a whole, so that a mad sibling can fill its own share
alone. Every change happens inside a transaction of the journal.
"""

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

import msgspec

from agent.journal.database import Database, SqlValue
from sync.chain import HASH_BYTES
from sync.neighbours import SignedHead, WitnessRequest

TILL_BYTES_MAX: Final = 33_554_432
"""Of one sibling: about two weeks of receipts of a busy till."""
TILLS_MAX: Final = 32
SETTLED_DAYS: Final = 14
"""As long as own records that the centre has (`RECORD_DAYS` of `agent.journal.pruning`)."""
FORGOTTEN_AT_ONCE: Final = 64
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
        kept = self._sum(
            "select coalesce(sum(size_bytes), 0) from copy_state"
            " where till_id = ? and settled_at_ms = 0",
            till_id,
        )
        return kept + size_bytes <= TILL_BYTES_MAX and self._has_place(till_id)

    def _has_place(self, till_id: int) -> bool:
        """Say whether copies of this till may be kept beside those of others."""
        known, last = 0, -1
        while known < TILLS_MAX:
            row = self._database.row("select min(till_id) from copy_state where till_id > ?", last)
            if row is None or row[0] is None or row[0] == till_id:
                return True
            assert isinstance(row[0], int)
            known, last = known + 1, row[0]
        return self._sum("select count(*) from copy_state where till_id = ?", till_id) > 0

    def _sum(self, sql: str, *values: SqlValue) -> int:
        row = self._database.row(sql, *values)
        assert row is not None
        assert isinstance(row[0], int)
        return row[0]

    def keep(self, request: WitnessRequest, links: tuple[bytes, ...], *, now_ms: int) -> None:
        """Keep a copy and the head it leads to; settled ones go where there is no room for both."""
        head = request.head
        all_kept = "select coalesce(sum(size_bytes), 0) from copy_state where till_id = ?"
        while self._sum(all_kept, head.till_id) > TILL_BYTES_MAX and self._forget_settled(
            "select till_id, incarnation, to_seq, head from copy_state"
            " where till_id = ? and settled_at_ms > 0 order by settled_at_ms limit ?",
            head.till_id,
        ):
            pass
        records = msgspec.msgpack.encode(request.records)
        self._database.run(
            "insert or replace into witness_copy values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            head.till_id, head.incarnation, head.seq, head.head, request.from_seq,
            msgspec.msgpack.encode(head), request.previous_hash, b"".join(links), records,
            len(records), now_ms,
        )  # fmt: skip
        self._database.run(
            "insert or replace into copy_state values (?, ?, ?, ?, ?, 0)",
            head.till_id, head.incarnation, head.seq, head.head, len(records),
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
        self, count: int, *, without: Container[tuple[int, bytes]], but: Container[bytes] = ()
    ) -> list[Copy]:
        """Return copies to hand in, by stream and place.

        Args:
            without: streams that are left out: till and incarnation.
            but: heads of copies that are not left out with their stream.
        """
        found: list[Copy] = []
        streams = self._database.rows(
            "select distinct till_id, incarnation from copy_state where settled_at_ms = 0"
        )
        for till_id, incarnation in sorted(streams):
            is_left_out = (till_id, incarnation) in without
            heads = self._database.rows(
                "select to_seq, head from copy_state where till_id = ? and incarnation = ?"
                " and settled_at_ms = 0 order by to_seq",
                till_id, incarnation,
            )  # fmt: skip
            for to_seq, head in heads:
                if len(found) == count:
                    return found
                if not is_left_out or head in but:
                    found.append(self._copy(till_id, incarnation, to_seq, head))
        return found

    def _copy(self, *key: SqlValue) -> Copy:
        row = self._database.row(
            "select signed, from_seq, previous_hash, records from witness_copy"
            " where till_id = ? and incarnation = ? and to_seq = ? and head = ?",
            *key,
        )
        assert row is not None, "what has a state is kept"
        signed, from_seq, previous, records = row
        assert isinstance(from_seq, int)
        assert isinstance(previous, bytes)
        assert isinstance(records, bytes)
        return Copy(_head(signed), from_seq, previous, _records.decode(records))

    def settle(self, head: SignedHead, *, now_ms: int) -> None:
        """Note that the centre has the records of a copy, or will never take them."""
        self._database.run(
            "update copy_state set settled_at_ms = ?"
            " where till_id = ? and incarnation = ? and to_seq = ? and head = ?",
            max(1, now_ms), head.till_id, head.incarnation, head.seq, head.head,
        )  # fmt: skip

    def unsettle(self) -> None:
        """Have every copy needed again: the centre went back to an older state of itself."""
        # One by one: a statement over many rows may want a file for its way back.
        for key in self._database.rows(
            "select till_id, incarnation, to_seq, head from copy_state where settled_at_ms > 0"
        ):
            self._database.run(
                "update copy_state set settled_at_ms = 0"
                " where till_id = ? and incarnation = ? and to_seq = ? and head = ?",
                *key,
            )

    def acked_copies(self, head: SignedHead, count: int) -> list[SignedHead]:
        """Return the heads of needed copies up to what the till says is acknowledged."""
        rows = self._database.rows(
            "select signed from copy_state s join witness_copy using"
            " (till_id, incarnation, to_seq, head) where s.settled_at_ms = 0"
            " and s.till_id = ? and s.incarnation = ? and s.to_seq <= ? order by to_seq limit ?",
            head.till_id, head.incarnation, head.acked_seq, count,
        )  # fmt: skip
        return [_head(signed) for (signed,) in rows]

    def tidy(self, *, now_ms: int) -> None:
        """Forget what was settled long ago; needed copies are bounded by their bytes alone."""
        self._forget_settled(
            "select till_id, incarnation, to_seq, head from copy_state"
            " where settled_at_ms between 1 and ? limit ?",
            now_ms - SETTLED_DAYS * _DAY_MS,
        )

    def _forget_settled(self, sql: str, *values: SqlValue) -> bool:
        """Forget the copies a query names, `FORGOTTEN_AT_ONCE` at most; says whether any."""
        keys = self._database.rows(sql, *values, FORGOTTEN_AT_ONCE)
        for key in keys:
            for table in ("witness_copy", "copy_state"):
                self._database.run(
                    f"delete from {table}"  # noqa: S608 - a name of the two above
                    " where till_id = ? and incarnation = ? and to_seq = ? and head = ?",
                    *key,
                )
        return bool(keys)

    def size_bytes(self) -> int:
        """Return how much is kept that the centre may not have, for status."""
        return self._sum(
            "select coalesce(sum(size_bytes), 0) from copy_state where settled_at_ms = 0"
        )


def _head(signed: object) -> SignedHead:
    assert isinstance(signed, bytes)
    return msgspec.msgpack.decode(signed, type=SignedHead)

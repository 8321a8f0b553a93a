"""Takes live records that travel packed: turns them back, repeats what was left out, and proves it.

What does not come out as the till wrote it is refused, and the till pushes it as it is; nothing is
kept before the chain's link is the same. Then a batch is as any other (`central.streams.ingest`).
"""

from dataclasses import dataclass, field
from typing import Final, Protocol

from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.rules.library import RuleLibrary
from central.streams.recalculating import recalculate
from loyalty.errors import LoyaltyError
from sync.chain import first_link, links
from sync.errors import MalformedMessageError
from sync.limits import BATCH_BYTES_MAX
from sync.line_form import body_of, form_of, with_calculation
from sync.lines import LINES_RECORDS_MAX, Forms, Lines, fitting, unpack_forms
from sync.messages import AccountRow, Push
from sync.moulds import Named, Told, form_of_parts, unpack_parts
from sync.record_parts import Parts, joined, parts_of
from sync.records import SaleRecord, decode_record

_SQL = load_queries("central.streams", "queries.sql")

_NOT_READ: Final = (MalformedMessageError, LoyaltyError, LookupError, ValueError, TypeError)
STREAMS_KEPT: Final = 20_000
"""Whose last records a process remembers, about 6 KB each; those of others it reads."""


class Customers(Protocol):
    """Who knows what tills were told."""

    async def find(self, till_id: int, named: Named) -> AccountRow | None:
        """Return the account that is named, as the till was told it, or None."""
        ...


@dataclass(frozen=True, slots=True)
class LineReader:
    """Reads lines of all tills."""

    pool: Pool
    library: RuleLibrary
    customers: Customers
    _forms: Forms = field(default_factory=lambda: Forms(STREAMS_KEPT))

    async def read(self, till_id: int, incarnation: bytes, lines: Lines) -> Push | None:
        """Return the records as a push; None where it is not exactly what the till has written."""
        try:
            return await self._read(till_id, incarnation, lines)
        except _NOT_READ:
            return None

    async def _read(self, till_id: int, incarnation: bytes, lines: Lines) -> Push | None:
        known = await self._before(till_id, incarnation, lines)
        if known is None:
            return None
        link, before = known
        near = before[len(before) - lines.before :]
        if lines.moulds:
            came = unpack_parts(lines.packed, near, records_max=LINES_RECORDS_MAX)
            whole = [await self._with_customer(till_id, each) for each in came]
            forms = list(map(form_of_parts, whole))
            bodies = [await self._calculated(*joined(parts)) for parts in whole]
        else:
            forms = unpack_forms(lines.packed, near)
            bodies = [await self._calculated(*body_of(form)) for form in forms]
        if not bodies:
            return None
        chain = links(link, bodies)
        if not chain[-1].startswith(lines.proof) or sum(map(len, bodies)) > BATCH_BYTES_MAX:
            return None
        last_seq = lines.from_seq + len(bodies) - 1
        known_now = fitting([*before, *forms])
        self._forms.keep(till_id, (incarnation, last_seq, lines.moulds), chain[-1], known_now)
        return Push(
            incarnation=incarnation,
            from_seq=lines.from_seq,
            previous_hash=link,
            records=tuple(bodies),
        )

    async def _before(
        self, till_id: int, incarnation: bytes, lines: Lines
    ) -> tuple[bytes, list[bytes]] | None:
        """Return the link before the lines, and forms of records up to there, the needed at least.

        None where the centre does not have those records.
        """
        acked = lines.from_seq - 1
        if not acked:
            return (first_link(till_id, incarnation), []) if not lines.before else None
        if known := self._forms.find(till_id, (incarnation, acked, lines.moulds), lines.before):
            return known
        first = max(1, lines.from_seq - max(1, lines.before))
        rows = await self.pool.fetch(_SQL["bodies_before"], till_id, incarnation, first, acked)
        if len(rows) < max(1, lines.before) or rows[-1]["seq"] != acked:
            return None
        bodies = [row["body"] for row in rows]
        if lines.moulds:
            return rows[-1]["hash"], [form_of_parts(parts_of(body)) for body in bodies]
        return rows[-1]["hash"], list(map(form_of, bodies))

    async def _with_customer(self, till_id: int, came: Told) -> Parts:
        if came.named is None:
            return came.parts
        row = await self.customers.find(till_id, came.named)
        if row is None:
            raise LookupError("an account that is another by now")
        return came.of(row)

    async def _calculated(self, body: bytes, is_short: bool) -> bytes:  # noqa: FBT001 - as it came
        if not is_short:
            return body
        sale = decode_record(body)
        assert isinstance(sale, SaleRecord)
        async with self.pool.acquire() as connection:
            repeated = await recalculate(connection, sale.inputs, self.library)
        return with_calculation(body, repeated.content)

"""Takes live records that travel packed: turns them back, repeats what was left out, and proves it.

What does not come out as the till wrote it is refused, and the till pushes it as it is; nothing is
kept before the chain's link is the same. Then a batch is as any other (`central.streams.ingest`).
"""

from dataclasses import dataclass, field
from typing import Final

from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.rules.library import RuleLibrary
from central.streams.recalculating import recalculate
from loyalty.errors import LoyaltyError
from sync.chain import first_link, links
from sync.errors import MalformedMessageError
from sync.limits import BATCH_BYTES_MAX
from sync.line_form import body_of, form_of, with_calculation
from sync.lines import Forms, Lines, fitting, unpack_forms
from sync.messages import Push
from sync.records import SaleRecord, decode_record

_SQL = load_queries("central.streams", "queries.sql")

_NOT_READ: Final = (MalformedMessageError, LoyaltyError, LookupError, ValueError, TypeError)
STREAMS_KEPT: Final = 20_000
"""Whose last records a process remembers, about 6 KB each; those of others it reads."""


@dataclass(frozen=True, slots=True)
class LineReader:
    """Reads lines of all tills."""

    pool: Pool
    library: RuleLibrary
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
        forms = unpack_forms(lines.packed, before[len(before) - lines.before :])
        bodies = [await self._body(form) for form in forms]
        chain = links(link, bodies)
        if not chain[-1].startswith(lines.proof) or sum(map(len, bodies)) > BATCH_BYTES_MAX:
            return None
        last_seq = lines.from_seq + len(bodies) - 1
        known_now = fitting([*before, *forms])
        self._forms.keep(till_id, (incarnation, last_seq), chain[-1], known_now)
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
        if known := self._forms.find(till_id, (incarnation, acked), lines.before):
            return known
        first = max(1, lines.from_seq - max(1, lines.before))
        rows = await self.pool.fetch(_SQL["bodies_before"], till_id, incarnation, first, acked)
        if len(rows) < max(1, lines.before) or rows[-1]["seq"] != acked:
            return None
        return rows[-1]["hash"], [form_of(row["body"]) for row in rows]

    async def _body(self, form: bytes) -> bytes:
        body, is_short = body_of(form)
        if not is_short:
            return body
        sale = decode_record(body)
        assert isinstance(sale, SaleRecord)
        async with self.pool.acquire() as connection:
            calculation = await recalculate(connection, sale.inputs, self.library)
        return with_calculation(body, calculation)

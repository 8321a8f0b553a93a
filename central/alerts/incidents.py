"""Makes incidents of findings: a mail when one begins, one at its end, seldom one between.

They are kept where there is no mail server, too: people look them up.

What is wrong has to be so for a while before it is an incident, and right for a while before it is
over, so that what comes and goes is one incident and not many mails.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import asyncpg
import msgspec

from central.alerts.findings import HOLD_MS, REPEAT_MS_MIN, Finding, Findings, Kind
from central.alerts.words import Language, Occasion, body_of, subject_of, title_of
from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool

_SQL = load_queries("central.alerts", "alerts.sql")

QUIET_MS: Final = 180_000
"""An incident is over when nothing was seen of it for so long."""
KEEP_MS: Final = 400 * 86_400_000
"""So long an incident that is over is kept."""
INCIDENTS_MAX: Final = 1_000


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is or was wrong, and how telling people of it goes.

    Attributes:
        says: what is wrong, in words, as it was last seen.
        ended_ms: None while it goes on.
        sent, waiting, given_up: mails.
        failure: what the mail server last said.
    """

    incident_id: int
    kind: str
    subject: str
    says: str
    began_ms: int
    ended_ms: int | None
    sent: int
    waiting: int
    given_up: int
    failure: str


@dataclass(slots=True)
class IncidentBook:
    """Keeps incidents; one process's memory of what has been wrong since when.

    Attributes:
        repeat_ms: an incident that goes on is told again after so long; 0 = never.
        tells: by mail; else incidents are kept and nobody is told.
    """

    pool: Pool
    language: Language = "en"
    repeat_ms: int = 0
    tells: bool = True
    _since: dict[tuple[Kind, str], int] = field(default_factory=dict)

    async def note(self, findings: Findings, *, now_ms: int) -> int:
        """Begin, go on with and end incidents; returns how many mails that made.

        Several processes may do so: one at a time works, the others do nothing.
        """
        held = self._held(findings, now_ms)
        async with self.pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval(_SQL["lock"]):
                return 0
            return await self._write(connection, findings, held, now_ms)

    def _held(self, findings: Findings, now_ms: int) -> dict[tuple[Kind, str], Finding]:
        """Return what has been wrong for long enough."""
        keys = {(each.kind, each.subject): each for each in findings.found}
        undecided = {key: at for key, at in self._since.items() if key[0] in findings.undecided}
        self._since = undecided | {key: self._since.get(key, now_ms) for key in keys}
        return {
            key: each
            for key, each in keys.items()
            if now_ms - self._since[key] >= HOLD_MS.get(key[0], 0)
        }

    async def _write(
        self,
        connection: Connection,
        findings: Findings,
        held: dict[tuple[Kind, str], Finding],
        now_ms: int,
    ) -> int:
        mails = 0
        seen = {(each.kind, each.subject): each for each in findings.found}
        known = set()
        for row in await connection.fetch(_SQL["open"]):
            key = (row["kind"], row["subject"])
            known.add(key)
            if (finding := seen.get(key)) is not None:
                mails += await self._go_on(connection, row, finding, now_ms)
            elif row["kind"] not in findings.undecided and now_ms - row["seen_ms"] >= QUIET_MS:
                mails += await self._end(connection, row, now_ms)
        for key, finding in held.items():
            if key not in known:
                mails += await self._begin(connection, finding, now_ms)
        await connection.execute(_SQL["forget"], now_ms - KEEP_MS)
        return mails

    async def _begin(self, connection: Connection, finding: Finding, now_ms: int) -> int:
        says = title_of(finding, self.language)
        began_ms = self._since[finding.kind, finding.subject]
        incident_id = await connection.fetchval(
            _SQL["begin"], finding.kind, finding.subject, says, began_ms, now_ms
        )
        return await self._tell(
            connection, "began", incident_id, finding.kind, finding.subject,
            says=says, began_ms=began_ms, now_ms=now_ms,
        )  # fmt: skip

    async def _go_on(
        self, connection: Connection, row: asyncpg.Record, finding: Finding, now_ms: int
    ) -> int:
        says = title_of(finding, self.language)
        await connection.execute(_SQL["seen"], row["incident_id"], says, now_ms)
        repeat_ms = max(self.repeat_ms, REPEAT_MS_MIN.get(finding.kind, 0))
        if not self.repeat_ms or now_ms - row["told_ms"] < repeat_ms:
            return 0
        await connection.execute(_SQL["told"], row["incident_id"], now_ms)
        return await self._tell(
            connection, "still", row["incident_id"], finding.kind, finding.subject,
            says=says, began_ms=row["began_ms"], now_ms=now_ms,
        )  # fmt: skip

    async def _end(self, connection: Connection, row: asyncpg.Record, now_ms: int) -> int:
        await connection.execute(_SQL["end"], row["incident_id"], now_ms)
        return await self._tell(
            connection, "ended", row["incident_id"], row["kind"], row["subject"],
            says=row["says"], began_ms=row["began_ms"], now_ms=now_ms,
        )  # fmt: skip

    async def _tell(
        self,
        connection: Connection,
        occasion: Occasion,
        incident_id: int,
        kind: Kind,
        subject: str,
        *,
        says: str,
        began_ms: int,
        now_ms: int,
    ) -> int:
        if not self.tells:  # no mails pile up that a server set later would be sent
            return 0
        body = body_of(
            kind,
            subject,
            says,
            language=self.language,
            incident=str(incident_id),
            began=written(began_ms),
            ended=written(now_ms) if occasion == "ended" else "",
        )
        await connection.execute(
            _SQL["put_mail"], incident_id, occasion,
            subject_of(says, occasion, self.language), body, now_ms,
        )  # fmt: skip
        return 1


async def list_incidents(connection: Connection, *, most: int = 100) -> tuple[Incident, ...]:
    """Return incidents, those that go on first."""
    rows = await connection.fetch(_SQL["incidents"], min(most, INCIDENTS_MAX))
    return tuple(Incident(**row) for row in rows)


def written(at_ms: int) -> str:
    """Return a moment as mails write it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")

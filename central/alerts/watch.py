"""Looks at the figures every little while, keeps incidents and sends the mails that are due."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import structlog

from central.alerts.findings import HOLD_MS, find
from central.alerts.incidents import IncidentBook, written
from central.alerts.mail import Letter, MailError, MailSettings, send
from central.alerts.words import Language, body_of, subject_of, title_of
from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.observability.exposition import FigureReader
from central.system import System

log = structlog.get_logger()
_SQL = load_queries("central.alerts", "alerts.sql")

_LOOK_S: Final = 30.0
TOGETHER_MAX: Final = 20
LEASE_MS: Final = 300_000
FIRST_AGAIN_MS: Final = 30_000
AGAIN_MS_MAX: Final = 3_600_000
GIVE_UP_MS: Final = 3 * 86_400_000
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


@dataclass(slots=True)
class Watch:
    """One process's watch over a centre.

    A database that does not answer cannot keep its own incident: that one is kept in memory, and
    its mails are tried at each look until they are taken.

    Attributes:
        settings: how mails leave; None where incidents are kept and nobody is told.
    """

    pool: Pool
    reader: FigureReader
    book: IncidentBook
    settings: MailSettings | None
    system: System
    language: Language = "en"
    _down_since_ms: int | None = None
    _is_down_told: bool = False
    _unsent: list[Letter] = field(default_factory=list)

    async def look(self) -> int:
        """Look once; returns how many mails were sent."""
        now_ms = self.system.now_ms()
        figures = await self.reader.read()
        sent = 0
        if self.settings is not None:
            self._note_database(is_down=figures is None, now_ms=now_ms)
            sent = await self._send_unsent(self.settings)
        if figures is None:
            return sent
        try:
            await self.book.note(find(figures), now_ms=now_ms)
            if self.settings is not None:
                sent += await deliver(self.pool, self.settings, now_ms=now_ms)
            return sent
        except _LOST as error:
            log.warning("alerts_wait", why=repr(error))
            return sent

    def _note_database(self, *, is_down: bool, now_ms: int) -> None:
        if is_down:
            if self._down_since_ms is None:
                self._down_since_ms = now_ms
            if now_ms - self._down_since_ms >= HOLD_MS["database_down"] and not self._is_down_told:
                self._is_down_told = True
                self._unsent.append(self._letter("began", now_ms))
            return
        if self._is_down_told:
            self._unsent.append(self._letter("ended", now_ms))
        self._down_since_ms, self._is_down_told = None, False

    def _letter(self, occasion: str, now_ms: int) -> Letter:
        (finding,) = find(None).found
        assert self._down_since_ms is not None
        said = title_of(finding, self.language)
        name = f"tillside-database-{self._down_since_ms}"
        ended = occasion == "ended"
        return Letter(
            name=f"{name}-ended" if ended else name,
            subject=subject_of(said, "ended" if ended else "began", self.language),
            body=body_of(
                finding.kind, "", said,
                language=self.language, incident="-", began=written(self._down_since_ms),
                ended=written(now_ms) if ended else "",
            ),
            at_ms=now_ms,
            thread=name if ended else "",
        )  # fmt: skip

    async def _send_unsent(self, settings: MailSettings) -> int:
        sent = 0
        while self._unsent:
            try:
                await send(settings, self._unsent[0])
            except MailError as error:
                log.warning("mail_waits", why=str(error))
                break
            del self._unsent[0]
            sent += 1
        return sent


async def watch_for_ever(watch: Watch) -> None:
    """Look every half minute, until cancelled; a look that fails is logged, and the next one is."""
    while True:
        try:
            await watch.look()
        except Exception:
            log.exception("watch_failed")
        await asyncio.sleep(_LOOK_S)


async def deliver(pool: Pool, settings: MailSettings, *, now_ms: int) -> int:
    """Send the mails that are due; returns how many were taken.

    One that is not is tried again after 30 seconds, then after twice as long each time, an hour at
    most, and given up after three days.
    """
    rows = await pool.fetch(_SQL["claim_mails"], now_ms, now_ms + LEASE_MS, TOGETHER_MAX)
    sent = 0
    for row in sorted(rows, key=lambda row: int(row["mail_id"])):
        try:
            await send(settings, _letter_of(row))
        except MailError as error:
            await _note_failure(pool, row, str(error), now_ms)
            continue
        await pool.execute(_SQL["sent"], row["mail_id"], now_ms)
        log.info("mail_sent", incident=row["incident_id"], occasion=row["occasion"])
        sent += 1
    return sent


def _letter_of(row: asyncpg.Record) -> Letter:
    began = f"tillside-incident-{row['incident_id']}"
    is_first = row["occasion"] == "began"
    return Letter(
        name=began if is_first else f"tillside-mail-{row['mail_id']}",
        subject=row["subject"],
        body=row["body"],
        at_ms=row["made_ms"],
        thread="" if is_first else began,
    )


async def _note_failure(pool: Pool, row: asyncpg.Record, why: str, now_ms: int) -> None:
    pause_ms = min(FIRST_AGAIN_MS << min(row["attempts"] - 1, 10), AGAIN_MS_MAX)
    is_old = now_ms - row["made_ms"] >= GIVE_UP_MS
    log.warning("mail_waits", incident=row["incident_id"], attempts=row["attempts"], why=why)
    await pool.execute(
        _SQL["failed"], row["mail_id"], now_ms + pause_ms, why, now_ms if is_old else None
    )

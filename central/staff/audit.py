"""Who did what: a row for every write by a person, in that write's transaction, for ever."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection

_SQL = load_queries("central.staff", "queries.sql")

NEWEST: Final = 2**62
_SHOWN_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One thing somebody did.

    Attributes:
        subject: what it was done to, `release:12`.
        detail: JSON.
    """

    audit_id: int
    at_ms: int
    person: str
    action: str
    subject: str
    detail: msgspec.Raw


async def note(
    connection: Connection,
    *,
    person: str,
    action: str,
    subject: str,
    detail: Mapping[str, object],
    now_ms: int,
) -> None:
    """Write down what somebody does; call it in the transaction that does it."""
    text = msgspec.json.encode(detail).decode()
    await connection.execute(_SQL["note"], now_ms, person, action, subject, text)


async def read_audit(
    connection: Connection, *, subject: str = "", before: int = NEWEST, rows_max: int = 100
) -> tuple[AuditRow, ...]:
    """Return what was done last, the newest first.

    Args:
        subject: to this alone; empty = to anything.
        before: only rows with a smaller `audit_id`, for turning pages.
    """
    rows = await connection.fetch(_SQL["audit"], subject, before, min(rows_max, _SHOWN_MAX))
    return tuple(
        AuditRow(
            row["audit_id"],
            row["at_ms"],
            row["person"],
            row["action"],
            row["subject"],
            msgspec.Raw(row["detail"].encode()),
        )
        for row in rows
    )

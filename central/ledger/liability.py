"""What the chain owes its customers in points at the end of a day, by kind and end of the lots.

A balance at a moment is the fold of the entries until then, so any past day can be asked for
(design: centre 2). Points end by their lot's date alone; no job has to burn them: what is over is
shown apart and is owed to nobody.
"""

from datetime import UTC, date, datetime, timedelta

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import BadRequestError
from central.ledger.verify import PATIENT_S, take_time
from central.programmes.registry import DEFAULT, require_programme

_SQL = load_queries("central.ledger", "liability.sql")
_FORM = "write it YYYY-MM-DD"


class OpenPoints(msgspec.Struct, frozen=True, kw_only=True):
    """Points of lots that are alike.

    Attributes:
        kind: the lots' name.
        restriction: product group they may pay for; empty = everything.
        ends_in: month in which they end, `YYYY-MM`; empty = they never do.
    """

    kind: str
    restriction: str
    ends_in: str
    points: int
    lots: int


class Liability(msgspec.Struct, frozen=True, kw_only=True):
    """Points owed at the end of a day, UTC.

    Attributes:
        programme: whose points; empty = the default one's.
        points: the sum of `open`.
        over: points of lots whose end has come; nobody can spend them.
        debt: points customers owe.
    """

    day: str
    programme: str
    points: int
    over: int
    debt: int
    open: tuple[OpenPoints, ...] = ()


def day_of(now_ms: int) -> str:
    """Return the day of a moment, UTC, `YYYY-MM-DD`."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).date().isoformat()


def asked_day(given: str, *, now_ms: int) -> str:
    """Return the day that is asked for: today where none is given.

    Raises:
        BadRequestError: it is no day, or still to come: nobody knows what will be owed then.
    """
    today = day_of(now_ms)
    try:
        is_to_come = bool(given) and date.fromisoformat(given) > date.fromisoformat(today)
    except ValueError as error:
        raise BadRequestError("day", _FORM) from error
    if is_to_come:
        raise BadRequestError("day", f"it is still to come: give one until today, {today}, UTC")
    return given or today


async def read_liability(
    connection: Connection, day: str, programme: str = DEFAULT, *, is_patient: bool = False
) -> Liability:
    """Return what was owed in a programme at the end of a day, from one snapshot.

    Args:
        is_patient: as of `verify_ledger`: all postings until then are added up.

    Raises:
        BadRequestError: it is no day.
        NotFoundError: there is no such programme.
    """
    try:
        after = datetime.combine(
            date.fromisoformat(day) + timedelta(days=1), datetime.min.time(), UTC
        )
    except (ValueError, OverflowError) as error:
        raise BadRequestError("day", _FORM) from error
    end_ms = int(after.timestamp()) * 1000
    patience_s = PATIENT_S if is_patient else None
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        if is_patient:
            await take_time(connection)
        await require_programme(connection, programme)
        rows = await connection.fetch(_SQL["liability"], end_ms, day, programme, timeout=patience_s)
        debt = await connection.fetchval(_SQL["debt"], end_ms, programme, timeout=patience_s)
    found = tuple(
        OpenPoints(**{name: row[name] for name in OpenPoints.__struct_fields__})
        for row in rows
        if not row["over"]
    )
    return Liability(
        day=day,
        programme=programme,
        points=sum(each.points for each in found),
        over=sum(row["points"] for row in rows if row["over"]),
        debt=debt,
        open=found,
    )

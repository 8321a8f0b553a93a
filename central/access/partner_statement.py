"""What a partner gave of our points, and what tills handed out of its own: lines and sums of days.

Two kinds of points and two debts that are never set off here: the partner owes for points of the
programme it gave, the chain for points of the partner's programme that its offers promised on
receipts (design: centre 2).
"""

from collections.abc import Sequence
from typing import Literal

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection

_SQL = load_queries("central.access", "partner_statement.sql")


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a statement; days are the centre's, UTC."""

    number: int
    day: str
    at_ms: int
    kind: Literal["accrual", "reversal"]
    reference: str
    of_reference: str
    points: int
    not_recovered_points: int
    occurred_on: str


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What a partner gave and took back in some days.

    Attributes:
        accrued_points, reversed_points, not_recovered_points: of all these days.
        owed_points: what the partner owes for: given, less what could be taken back.
        handed_out_points, handed_back_points: of the partner's own points, as `HandOuts` has them.
        due_points: what the chain owes the partner for: handed out, less what came back.
        next: given as `after` for more lines, empty at the end.
    """

    partner: str
    first_day: str
    last_day: str
    accrued_points: int
    reversed_points: int
    not_recovered_points: int
    owed_points: int
    handed_out_points: int
    handed_back_points: int
    due_points: int
    movements: tuple[Movement, ...]
    next: str = ""


class HandOut(msgspec.Struct, frozen=True, kw_only=True):
    """Points of the partner's own programme that a receipt promised, or that went back with goods.

    Attributes:
        day: the centre's, UTC, on which they came into the statement.
        at_ms: when the centre posted the receipt or the return.
        kind: `hand_out`, or `hand_back` for a return.
        receipt: as it is named at the till.
        refund: the return; empty for a hand-out.
        offer: that gave them.
        occurred_on: local day of the receipt or the return.
    """

    number: int
    day: str
    at_ms: int
    kind: Literal["hand_out", "hand_back"]
    receipt: str
    refund: str
    offer: str
    points: int
    occurred_on: str


class HandOuts(msgspec.Struct, frozen=True, kw_only=True):
    """What tills handed out of a partner's own points in some days.

    Attributes:
        handed_out_points, handed_back_points: of all these days.
        due_points: what the chain owes the partner for: handed out, less what came back.
        next: given as `after` for more lines, empty at the end.
    """

    partner: str
    first_day: str
    last_day: str
    handed_out_points: int
    handed_back_points: int
    due_points: int
    lines: tuple[HandOut, ...]
    next: str = ""


async def read_statement(
    connection: Connection, client_id: str, first: str, last: str, *, after: int, rows_max: int
) -> Statement:
    """Return lines of a partner's statement, in the order they were made, and the days' totals."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        totals = await connection.fetchrow(_SQL["totals"], client_id, first, last)
        own = await connection.fetchrow(_SQL["hand_out_totals"], client_id, first, last)
        rows = await connection.fetch(
            _SQL["statement"], client_id, first, last, after, rows_max + 1
        )
    assert totals is not None
    assert own is not None
    recovered = totals["reversed"] - totals["not_recovered"]
    return Statement(
        partner=client_id,
        first_day=first,
        last_day=last,
        accrued_points=totals["accrued"],
        reversed_points=totals["reversed"],
        not_recovered_points=totals["not_recovered"],
        owed_points=totals["accrued"] - recovered,
        handed_out_points=own["handed_out"],
        handed_back_points=own["handed_back"],
        due_points=own["handed_out"] - own["handed_back"],
        movements=tuple(Movement(**row) for row in rows[:rows_max]),
        next=_next(rows, rows_max),
    )


async def read_hand_outs(
    connection: Connection, client_id: str, first: str, last: str, *, after: int, rows_max: int
) -> HandOuts:
    """Return what tills handed out of a partner's points, in order, and the days' totals."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        own = await connection.fetchrow(_SQL["hand_out_totals"], client_id, first, last)
        rows = await connection.fetch(
            _SQL["hand_outs"], client_id, first, last, after, rows_max + 1
        )
    assert own is not None
    return HandOuts(
        partner=client_id,
        first_day=first,
        last_day=last,
        handed_out_points=own["handed_out"],
        handed_back_points=own["handed_back"],
        due_points=own["handed_out"] - own["handed_back"],
        lines=tuple(HandOut(**row) for row in rows[:rows_max]),
        next=_next(rows, rows_max),
    )


def _next(rows: Sequence[asyncpg.Record], rows_max: int) -> str:
    return str(rows[rows_max - 1]["number"]) if len(rows) > rows_max else ""

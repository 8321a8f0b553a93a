"""Points a person gives to an account or takes from it: with a reason, an author and a daily limit.

A reason has a code, the most points it is good for at once, and how long points given live. A role
has the most points a person may move in a day, given and taken together; of several roles the
highest counts. What is taken is taken from what the account has available, never from what tills
hold (design: centre 2).
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import BadRequestError, ForbiddenError, NotFoundError
from central.ledger.books import Cause, LockedAccount, current_account, lock_account, write
from central.outreach import outbox
from central.outreach.events import Event, PointsAdjusted, account_key
from central.rights.planner import wish_for_home
from central.staff.audit import note
from central.staff.roles import require_roles
from loyalty import entries
from loyalty.limits import POINTS_MAX

_SQL = load_queries("central.ledger", "adjustments.sql")
_LEDGER = load_queries("central.ledger", "queries.sql")
_STREAMS = load_queries("central.streams", "queries.sql")

FINANCE: Final = "finance"
"""The role that says what adjustments are for and how large they may be."""
CALL_CENTRE: Final = "call_centre"
"""The role that merges accounts and moves cards."""
LOT_NAME: Final = "adjustment"
_CODE = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,40}$")]


class AdjustmentReason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why points may be given or taken.

    Attributes:
        points_max: the most one adjustment may move.
        days: points given end so many days later; 0 = never.
    """

    code: _CODE
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    points_max: Annotated[int, Meta(ge=1, le=POINTS_MAX)]
    days: Annotated[int, Meta(ge=0, le=36_500)] = 0


class AdjustmentLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most a person with a role may move in a day, given and taken together."""

    role: Annotated[str, Meta(min_length=1, max_length=64)]
    points_per_day: Annotated[int, Meta(ge=0, le=POINTS_MAX)]


class AdjustmentTerms(msgspec.Struct, frozen=True, kw_only=True):
    """All reasons and limits."""

    reasons: tuple[AdjustmentReason, ...] = ()
    limits: tuple[AdjustmentLimit, ...] = ()


class Adjustment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A wish to move points of one account.

    Attributes:
        key: named by who asks; the same key moves points once.
        points: given; taken where below zero.
    """

    key: Annotated[str, Meta(min_length=8, max_length=64)]
    account_id: Annotated[int, Meta(ge=1)]
    points: Annotated[int, Meta(ge=-POINTS_MAX, le=POINTS_MAX)]
    reason: _CODE
    note: Annotated[str, Meta(max_length=500)] = ""


class Adjusted(msgspec.Struct, frozen=True, kw_only=True):
    """What an adjustment did.

    Attributes:
        repeated: it was made before under this key; nothing moved now.
        left_today: points its author may still move today.
    """

    key: str
    account_id: int
    points: int
    repeated: bool
    left_today: int


async def adjust(
    pool: Pool, wish: Adjustment, *, person: str, roles: Iterable[str], now_ms: int
) -> Adjusted:
    """Move points of an account.

    Raises:
        BadRequestError: no points, an unknown reason, more than the reason is good for or than
            the account has, its customer was erased, or another adjustment has the key.
        ForbiddenError: the author may not move so many today.
        NotFoundError: there is no such account.
    """
    if not wish.points:
        raise BadRequestError("$.points", "say how many points, below zero to take them")
    day = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(_SQL["lock_person"], person)
        most = await connection.fetchval(_SQL["limit_of"], sorted(set(roles)))
        moved = await connection.fetchval(_SQL["moved_today"], person, day.isoformat())
        left = (most or 0) - moved
        if await _is_made(connection, wish, person):
            return _adjusted(wish, repeated=True, left=left)
        reason = await _reason(connection, wish)
        if abs(wish.points) > left:
            raise ForbiddenError(
                f"{person} may move {max(left, 0)} more points today, not {abs(wish.points)}"
            )
        try:
            account = await lock_account(connection, wish.account_id)
        except LookupError as error:
            raise NotFoundError(f"there is no account {wish.account_id}") from error
        if account.erased:
            raise BadRequestError("$.account_id", "its customer was erased")
        cause = Cause(f"adjustment:{wish.key}", None, now_ms)
        today = day.isoformat()
        if wish.points > 0:
            ends = (day + timedelta(days=reason.days)).isoformat() if reason.days else ""
            await _give(connection, account, wish.points, today=today, ends=ends, cause=cause)
        else:
            await _take(connection, account, -wish.points, today=today, cause=cause)
        await connection.execute(
            _SQL["insert"], wish.key, account.account_id, wish.points, wish.reason, wish.note,
            person, today, now_ms,
        )  # fmt: skip
        await note(
            connection, person=person, action="account.adjust",
            subject=f"account:{account.account_id}",
            detail={"key": wish.key, "points": wish.points, "reason": wish.reason}, now_ms=now_ms,
        )  # fmt: skip
        event = PointsAdjusted(
            account=account.account_id, adjustment=wish.key, points=wish.points, reason=wish.reason
        )
        await outbox.write(
            connection, [Event(account_key(account.account_id), event)], now_ms=now_ms
        )
        home = "" if account.blocked else account.home_store
        await wish_for_home(connection, account_id=account.account_id, home_store=home)
        await connection.execute(_STREAMS["tell_stores"], account.account_id)
    return _adjusted(wish, repeated=False, left=left - abs(wish.points))


async def _is_made(connection: Connection, wish: Adjustment, person: str) -> bool:
    made = await connection.fetchrow(_SQL["made"], wish.key)
    if made is None:
        return False
    # Either may have been merged since.
    owner = await current_account(connection, made["account_id"])
    known = (owner, made["points"], made["code"], made["person"])
    wished = await current_account(connection, wish.account_id)
    if known != (wished, wish.points, wish.reason, person):
        raise BadRequestError("$.key", "another adjustment has this key")
    return True


async def _reason(connection: Connection, wish: Adjustment) -> AdjustmentReason:
    row = await connection.fetchrow(_SQL["reason"], wish.reason)
    if row is None:
        raise BadRequestError("$.reason", f"there is no reason {wish.reason!r}")
    reason = AdjustmentReason(**row)
    if abs(wish.points) > reason.points_max:
        raise BadRequestError("$.points", f"at most {reason.points_max} for {reason.code}")
    return reason


async def _give(
    connection: Connection,
    account: LockedAccount,
    points: int,
    *,
    today: str,
    ends: str,
    cause: Cause,
) -> None:
    lot_id = await connection.fetchval(
        _LEDGER["new_lot"], account.account_id, LOT_NAME, "", today, ends, cause.subject, "", points
    )
    await write(connection, account.account_id, entries.adjusted([(lot_id, points)]), cause)
    await connection.execute(_LEDGER["change_account"], account.account_id, points, 0, 0)


async def _take(
    connection: Connection, account: LockedAccount, points: int, *, today: str, cause: Cause
) -> None:
    """Take points from lots that count, those that end first first."""
    taken: list[tuple[int, int]] = []
    rest = points
    rows = await connection.fetch(_LEDGER["spendable_lots"], account.account_id, today, today)
    for row in rows:
        if part := min(row["available"], rest):
            await connection.execute(_LEDGER["take_back"], account.account_id, row["lot_id"], part)
            taken.append((row["lot_id"], -part))
            rest -= part
    if rest:
        raise BadRequestError(
            "$.points", f"the account has {points - rest} points available, not {points}"
        )
    await write(connection, account.account_id, entries.adjusted(taken), cause)
    await connection.execute(_LEDGER["change_account"], account.account_id, -points, 0, 0)


def _adjusted(wish: Adjustment, *, repeated: bool, left: int) -> Adjusted:
    return Adjusted(
        key=wish.key,
        account_id=wish.account_id,
        points=wish.points,
        repeated=repeated,
        left_today=max(left, 0),
    )


# Terms


async def put_reason(
    connection: Connection, reason: AdjustmentReason, *, person: str, now_ms: int
) -> None:
    """Add a reason, or change what it is good for."""
    await connection.execute(
        _SQL["put_reason"], reason.code, reason.title, reason.points_max, reason.days
    )
    await note(
        connection, person=person, action="adjustment.reason", subject=f"reason:{reason.code}",
        detail=msgspec.to_builtins(reason), now_ms=now_ms,
    )  # fmt: skip


async def put_limit(
    connection: Connection, limit: AdjustmentLimit, *, person: str, now_ms: int
) -> None:
    """Say how much a role may move in a day; 0 = nothing."""
    require_roles((limit.role,))
    await connection.execute(_SQL["put_limit"], limit.role, limit.points_per_day)
    await note(
        connection, person=person, action="adjustment.limit", subject=f"role:{limit.role}",
        detail=msgspec.to_builtins(limit), now_ms=now_ms,
    )  # fmt: skip


async def read_terms(pool: Pool) -> AdjustmentTerms:
    """Return all reasons and limits."""
    return AdjustmentTerms(
        reasons=tuple(AdjustmentReason(**row) for row in await pool.fetch(_SQL["reasons"])),
        limits=tuple(AdjustmentLimit(**row) for row in await pool.fetch(_SQL["limits"])),
    )

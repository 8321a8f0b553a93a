"""Partners give points of the programme and take them back, each under a name of their own once.

What a partner gives becomes a lot like any other. What it takes back comes off what the account has
available; points that are spent by then stay spent, and the partner owes for them: the statement
(`partner_statement`) says how many.
"""

import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

import asyncpg
import msgspec
from msgspec import Meta

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    LimitReachedError,
    NotFoundError,
)
from central.ledger import books
from central.ledger.books import Cause, LockedAccount, lock_account
from central.outreach import outbox
from central.outreach.events import Event, PartnerPointsMoved, account_key
from central.rights.planner import wish_for_home
from central.staff.audit import note
from loyalty.calculation import EarnedLot
from loyalty.limits import POINTS_MAX
from loyalty.returns import EarnedBack

_SQL = load_queries("central.access", "partners.sql")
_SESSIONS = load_queries("central.access", "sessions.sql")
_STREAMS = load_queries("central.streams", "queries.sql")

DAYS_PAST_MAX: Final = 31
"""A partner may tell of what happened so many days ago."""
_DAY_PATTERN: Final = r"^\d{4}-\d{2}-\d{2}$"
REFERENCE_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"

Points = Annotated[int, Meta(ge=1, le=POINTS_MAX)]
Day = Annotated[str, Meta(pattern=_DAY_PATTERN)]


class PartnerTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The most a partner may give.

    Attributes:
        days: points given end so many days later; 0 = never.
        reversal_days: so long after it was told an accrual may be taken back.
    """

    points_per_accrual_max: Points
    points_per_customer_day_max: Points
    points_per_day_max: Points
    days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    reversal_days: Annotated[int, Meta(ge=0, le=3_650)] = 90


class AccrualRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points for a customer.

    Attributes:
        card: number of any card of the customer.
        occurred_on: the day they were earned on at the partner's, `YYYY-MM-DD`; empty = today.
    """

    card: Annotated[str, Meta(min_length=1, max_length=64)]
    points: Points
    occurred_on: Annotated[str, Meta(pattern=r"^(\d{4}-\d{2}-\d{2})?$")] = ""


class ReversalRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points of an accrual are taken back; all that is left of it where no number is given."""

    points: Points | None = None


class Accrual(msgspec.Struct, frozen=True, kw_only=True):
    """An accrual as it stands.

    Attributes:
        repeated: it was made before under this reference; nothing moved now.
        reversed_points: of it, what was taken back.
        not_recovered_points: of those, what had been spent.
    """

    reference: str
    points: int
    occurred_on: str
    day: str
    at_ms: int
    repeated: bool
    reversed_points: int = 0
    not_recovered_points: int = 0


class Reversal(msgspec.Struct, frozen=True, kw_only=True):
    """A reversal.

    Attributes:
        of_reference: the accrual.
        not_recovered_points: had been spent; the partner owes for them.
        repeated: it was made before under this reference; nothing moved now.
    """

    reference: str
    of_reference: str
    points: int
    not_recovered_points: int
    day: str
    at_ms: int
    repeated: bool


def subject_of(client_id: str, reference: str) -> str:
    """Return the name of a movement in the ledger."""
    return f"partner:{client_id}:{reference}"


async def put_terms(
    connection: Connection, client_id: str, terms: PartnerTerms, *, by: str, now_ms: int
) -> None:
    """Say how much a partner may give.

    Raises:
        NotFoundError: there is no such partner, or it was revoked.
    """
    async with connection.transaction():
        if not await connection.fetchval(_SQL["is_enabled_partner"], client_id):
            raise NotFoundError(f"there is no partner {client_id!r}")
        await connection.execute(
            _SQL["put_terms"], client_id, terms.points_per_accrual_max,
            terms.points_per_customer_day_max, terms.points_per_day_max, terms.days,
            terms.reversal_days,
        )  # fmt: skip
        await note(
            connection, person=by, action="partner.terms", subject=f"client:{client_id}",
            detail=msgspec.to_builtins(terms), now_ms=now_ms,
        )  # fmt: skip


async def accrue(
    pool: Pool,
    client_id: str,
    reference: str,
    wish: AccrualRequest,
    *,
    card: bytes,
    programme: str,
    now_ms: int,
) -> Accrual:
    """Give points to the customer with a card, once under a reference.

    Args:
        card: keyed hash of `wish.card`.
        programme: whose wallet gets the points; a card leads to one in each.

    Raises:
        NotFoundError: nobody is known by the card.
        ConflictError: another movement has the reference.
        ForbiddenError: the partner may give nothing, or the account is blocked.
        LimitReachedError: so many points are more than the partner may give.
        BadRequestError: the day is none, or too far away.
    """
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    async with pool.acquire() as connection, connection.transaction():
        given_today = await _lock_day(connection, client_id, today)
        account_id = await connection.fetchval(_SESSIONS["account_of_card"], card, programme)
        made = await connection.fetchrow(_SQL["movement"], client_id, reference)
        if made is not None:
            await _require_same(connection, made, reference, wish, card=card, owner=account_id)
            return await _read(connection, client_id, reference, made, repeated=True)
        # Only now: what is told again may have become too old since.
        occurred_on = _occurred_on(wish.occurred_on, today)
        if account_id is None:
            raise NotFoundError("nobody is known by this card")
        account = await lock_account(connection, account_id)
        if account.blocked:
            raise ForbiddenError("this customer's account is blocked")
        terms = await _terms(connection, client_id)
        await _require_within(
            connection, client_id, terms, account, wish.points, given_today=given_today, today=today
        )
        accrual = Accrual(
            reference=reference,
            points=wish.points,
            occurred_on=occurred_on,
            day=today.isoformat(),
            at_ms=now_ms,
            repeated=False,
        )
        await _give(connection, client_id, account, accrual, terms=terms, card=card)
    return accrual


def _card_check(reference: str, card: bytes) -> int:
    """Return sixteen bits: nearly surely they tell two cards apart, and say not which it was."""
    content = hashlib.blake2b(card, key=reference.encode(), digest_size=2).digest()
    return int.from_bytes(content, "big")


async def _require_same(
    connection: Connection,
    made: asyncpg.Record,
    reference: str,
    wish: AccrualRequest,
    *,
    card: bytes,
    owner: int | None,
) -> None:
    """Refuse another accrual than was made; the card may lead to another account by now."""
    is_same = made["card_check"] == _card_check(reference, card)
    is_same = is_same or owner == await books.current_account(connection, made["account_id"])
    wished = ("accrual", wish.points, wish.occurred_on or made["occurred_on"])
    known = (made["kind"], made["points"], made["occurred_on"])
    if known != wished or not is_same:
        raise ConflictError("another movement has this reference")


async def _give(
    connection: Connection,
    client_id: str,
    account: LockedAccount,
    made: Accrual,
    *,
    terms: PartnerTerms,
    card: bytes,
) -> None:
    ends = date.fromisoformat(made.day) + timedelta(days=terms.days)
    lot = EarnedLot(
        offer_id="",
        points=made.points,
        name=f"partner:{client_id}",
        active_from=made.day,
        expires_on=ends.isoformat() if terms.days else "",
    )
    cause = Cause(subject_of(client_id, made.reference), None, made.at_ms)
    check = _card_check(made.reference, card)
    await books.earn(connection, account, [lot], cause)
    await connection.execute(
        _SQL["insert_movement"], client_id, made.reference, "accrual", "", account.account_id,
        made.points, 0, made.occurred_on, made.day, made.at_ms, check,
    )  # fmt: skip
    await connection.execute(_SQL["count"], client_id, made.day, made.points, 0, 0)
    await _tell(connection, client_id, account, made.reference, made.points, now_ms=made.at_ms)
    await wish_for_home(connection, account_id=account.account_id, home_store=account.home_store)
    await connection.execute(_STREAMS["tell_stores"], account.account_id)


async def reverse(
    pool: Pool, client_id: str, of_reference: str, reference: str, wish: ReversalRequest, *,
    now_ms: int,
) -> Reversal:  # fmt: skip
    """Take points of an accrual back, once under a reference.

    Raises:
        NotFoundError: the partner has told no such accrual.
        ConflictError: another movement has the reference, or less is left of the accrual.
        ForbiddenError: the accrual was told too long ago.
    """
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    async with pool.acquire() as connection, connection.transaction():
        await _lock_day(connection, client_id, today)
        accrual = await connection.fetchrow(_SQL["movement"], client_id, of_reference)
        if accrual is None or accrual["kind"] != "accrual":
            raise NotFoundError("this partner has told no such accrual")
        account = await lock_account(connection, accrual["account_id"])
        made = await connection.fetchrow(_SQL["movement"], client_id, reference)
        if made is not None:
            if (made["kind"], made["of_reference"]) != ("reversal", of_reference) or (
                wish.points not in (None, made["points"])
            ):
                raise ConflictError("another movement has this reference")
            return _reversal(reference, made, repeated=True)
        terms = await _terms(connection, client_id)
        if date.fromisoformat(accrual["day"]) + timedelta(days=terms.reversal_days) < today:
            raise ForbiddenError(f"an accrual may be taken back for {terms.reversal_days} days")
        before = await connection.fetchrow(_SQL["reversed"], client_id, of_reference)
        assert before is not None
        left = accrual["points"] - before["points"]
        points = left if wish.points is None else wish.points
        if not 0 < points <= left:
            raise ConflictError(f"{left} points are left of this accrual")
        _, missing = await books.take_back(
            connection,
            account,
            [EarnedBack(offer_id="", points=points)],
            sale_key=subject_of(client_id, of_reference),
            date=today.isoformat(),
            owes=False,
            cause=Cause(subject_of(client_id, reference), None, now_ms),
        )
        # Of a customer who was forgotten the chain took them; nobody has spent them.
        owed = 0 if account.erased else missing
        await connection.execute(
            _SQL["insert_movement"], client_id, reference, "reversal", of_reference,
            account.account_id, points, owed, today.isoformat(), today.isoformat(), now_ms, 0,
        )  # fmt: skip
        await connection.execute(_SQL["count"], client_id, today.isoformat(), 0, points, owed)
        await _tell(connection, client_id, account, reference, missing - points, now_ms=now_ms)
        await connection.execute(_STREAMS["tell_stores"], account.account_id)
        row = await connection.fetchrow(_SQL["movement"], client_id, reference)
        assert row is not None
    return _reversal(reference, row, repeated=False)


async def read_accrual(pool: Pool, client_id: str, reference: str) -> Accrual:
    """Return an accrual as it stands.

    Raises:
        NotFoundError: the partner has told no such accrual.
    """
    async with pool.acquire() as connection:
        made = await connection.fetchrow(_SQL["movement"], client_id, reference)
        if made is None or made["kind"] != "accrual":
            raise NotFoundError("this partner has told no such accrual")
        return await _read(connection, client_id, reference, made, repeated=True)


async def _tell(
    connection: Connection,
    client_id: str,
    account: LockedAccount,
    reference: str,
    points: int,
    *,
    now_ms: int,
) -> None:
    """Tell other systems what moved; of a reversal that found nothing there is nothing to tell."""
    if points:
        event = PartnerPointsMoved(
            account=account.account_id, partner=client_id, reference=reference, points=points
        )
        key = account_key(account.account_id)
        await outbox.write(connection, [Event(key, event)], now_ms=now_ms)


def _occurred_on(text: str, today: date) -> str:
    if not text:
        return today.isoformat()
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise BadRequestError("$.occurred_on", "is no day") from error
    # Where the day is ahead of UTC it may be tomorrow already.
    if not today - timedelta(days=DAYS_PAST_MAX) <= day <= today + timedelta(days=1):
        raise BadRequestError("$.occurred_on", f"is within the last {DAYS_PAST_MAX} days")
    return text


async def _lock_day(connection: Connection, client_id: str, today: date) -> int:
    await connection.execute(_SQL["lock_client"], client_id)
    await connection.execute(_SQL["open_day"], client_id, today.isoformat())
    given: int = await connection.fetchval(_SQL["lock_day"], client_id, today.isoformat())
    return given


async def _terms(connection: Connection, client_id: str) -> PartnerTerms:
    row = await connection.fetchrow(_SQL["terms"], client_id)
    if row is None:
        raise ForbiddenError(f"nobody has said how much {client_id} may give")
    return PartnerTerms(**row)


async def _require_within(
    connection: Connection,
    client_id: str,
    terms: PartnerTerms,
    account: LockedAccount,
    points: int,
    *,
    given_today: int,
    today: date,
) -> None:
    if points > terms.points_per_accrual_max:
        raise LimitReachedError(f"at most {terms.points_per_accrual_max} points at once")
    to_customer = await connection.fetchval(
        _SQL["given_to_customer"], client_id, account.account_id, today.isoformat()
    )
    if to_customer + points > (most := terms.points_per_customer_day_max):
        raise LimitReachedError(f"at most {most} points a day for a customer")
    if given_today + points > (most := terms.points_per_day_max):
        raise LimitReachedError(f"at most {most} points a day")


async def _read(
    connection: Connection,
    client_id: str,
    reference: str,
    made: asyncpg.Record,
    *,
    repeated: bool,
) -> Accrual:
    back = await connection.fetchrow(_SQL["reversed"], client_id, reference)
    assert back is not None
    return Accrual(
        reference=reference,
        points=made["points"],
        occurred_on=made["occurred_on"],
        day=made["day"],
        at_ms=made["at_ms"],
        repeated=repeated,
        reversed_points=back["points"],
        not_recovered_points=back["not_recovered"],
    )


def _reversal(reference: str, made: asyncpg.Record, *, repeated: bool) -> Reversal:
    return Reversal(
        reference=reference,
        of_reference=made["of_reference"],
        points=made["points"],
        not_recovered_points=made["not_recovered"],
        day=made["day"],
        at_ms=made["at_ms"],
        repeated=repeated,
    )

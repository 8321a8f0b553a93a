"""Forgets customers: at the centre at once, at every till as soon as it confirms.

The personal part goes in the transaction that asks (role of people's data). The rest of the centre
follows within seconds (processing): cards, birthday, segments, counters and visits go, points are
forfeited, receipts and entries stay with an account nobody is behind. Tills are told in numbered
order and confirm how far they have forgotten; while one has not, a receipt it made before still
finds the account by its card, and afterwards that is gone, too (design: centre 8).
"""

from dataclasses import dataclass
from typing import Final

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import BadRequestError, NotFoundError
from central.ledger.books import Cause, lock_account, write
from central.ledger.places import drop_cards
from central.outreach import outbox
from central.outreach.events import AccountErased, Event, PointsAdjusted, account_key
from central.privacy.customers import CustomerDesk, find_living
from central.rights.blocking import set_blocked
from central.staff.audit import note
from loyalty import entries

_SQL = load_queries("central.privacy", "erasing.sql")
_CUSTOMERS = load_queries("central.privacy", "customers.sql")
_LEDGER = load_queries("central.ledger", "queries.sql")

REASON_CHARACTERS_MAX: Final = 200
_LISTED_MAX: Final = 1_000
_TILLS_NAMED_MAX: Final = 1_000
_AHEAD_MS_MAX: Final = 10 * 365 * 86_400_000
"""What a till says that is further ahead than any clock lifts no numbers."""
_DROPPED: Final = (
    "birthdays", "tiers", "visits", "interests", "counters", "wishes", "sessions", "offers",
)  # fmt: skip


class TillMissing(msgspec.Struct, frozen=True, kw_only=True):
    """A till that has not confirmed.

    Attributes:
        last_seen_ms: Unix milliseconds; 0 = never.
        can_confirm: its software says what it has forgotten; an older one never will.
    """

    till_id: int
    store_id: str
    slot: str
    last_seen_ms: int
    can_confirm: bool


class ErasureState(msgspec.Struct, frozen=True, kw_only=True):
    """How far an erasure has come.

    Attributes:
        account_ids: the account, the customer's in other programmes, and those merged into them.
        state: `asked`, then `emptied` while tills or points are missing, then `done`.
        tills: that were there then and may come in; `confirmed` of them did.
        tills_revoked: that never confirmed and may not come in any more.
        points_forfeited, points_left: what is left tills hold and bring home.
        missing: tills that have not confirmed, a thousand at most; empty in lists.
    """

    erasure_id: int
    account_ids: tuple[int, ...]
    state: str
    reason: str
    person: str
    asked_at_ms: int
    emptied_at_ms: int | None
    done_at_ms: int | None
    tills: int
    confirmed: int
    tills_revoked: int
    points_forfeited: int
    points_left: int
    missing: tuple[TillMissing, ...] = ()


class Erasures(msgspec.Struct, frozen=True, kw_only=True):
    """The newest erasures.

    Attributes:
        tills_know_more: some till has forgotten a customer this database knows nothing of, because
            an older copy of it was put back: erasures since then have to be asked for again.
    """

    erasures: tuple[ErasureState, ...]
    tills_know_more: bool


@dataclass(frozen=True, slots=True)
class Tended:
    """What a round did."""

    emptied: int
    done: int


async def ask_erasure(desk: CustomerDesk, account_id: int, *, reason: str, person: str) -> int:
    """Forget who a customer is, and have everything else forgotten; returns the erasure's id.

    It cannot be undone.

    Args:
        reason: for those who read it later; no personal data.
        person: who asks, for the audit.

    Raises:
        NotFoundError: there is no such account, or it was erased.
        BadRequestError: no reason is given, or it is being erased already.
    """
    reason = reason.strip()
    if not 0 < len(reason) <= REASON_CHARACTERS_MAX:
        raise BadRequestError("$.reason", f"has 1 to {REASON_CHARACTERS_MAX} characters")
    async with desk.pool.acquire() as connection, connection.transaction():
        await connection.execute(_SQL["lock_erasures"])
        if (known := await connection.fetchval(_SQL["open_of_account"], account_id)) is not None:
            raise BadRequestError("$.account", f"erasure {known} is at work on it")
        account_id = await find_living(connection, account_id)
        rows = await connection.fetch(_SQL["aliases"], account_id)
        accounts = [account_id, *(n for (n,) in rows if n != account_id)]
        await connection.execute(_CUSTOMERS["forget"], accounts)
        await connection.execute(_CUSTOMERS["forget_consents"], accounts)
        now_ms = desk.system.now_ms()
        erasure_id: int = await connection.fetchval(_SQL["ask"], accounts, person, reason, now_ms)
        await note(
            connection, person=person, action="customer.erase", subject=f"account:{account_id}",
            detail={"erasure": erasure_id, "reason": reason}, now_ms=now_ms,
        )  # fmt: skip
    return erasure_id


async def tend_erasures(pool: Pool, *, now_ms: int) -> Tended:
    """Empty the accounts of those asked for, and end those that are everywhere; may be repeated."""
    await _number_anew(pool, now_ms=now_ms)
    emptied = 0
    for row in await pool.fetch(_SQL["not_emptied"]):
        emptied += await _empty(pool, row["erasure_id"], now_ms=now_ms)
    done, after = 0, 0
    while rows := await pool.fetch(_SQL["to_finish"], after):
        for row in rows:
            after = row["number"]
            done += await _finish(pool, row, now_ms=now_ms)
    for row in await pool.fetch(_SQL["come_back"]):
        await _empty_again(pool, row["account_id"], now_ms=now_ms)
    return Tended(emptied, done)


async def _finish(pool: Pool, row: asyncpg.Record, *, now_ms: int) -> bool:
    """Take what has come home, and end an erasure that is everywhere."""
    told = (row["number"], row["emptied_at_ms"])
    is_everywhere = await pool.fetchval(_SQL["is_everywhere"], *told)
    if not (is_everywhere or row["has_rest"]):
        return False
    async with pool.acquire() as connection, connection.transaction():
        erasure_id, accounts = row["erasure_id"], row["accounts"]
        await _forfeit(connection, erasure_id, accounts, now_ms=now_ms)
        if not (is_everywhere and await connection.fetchval(_SQL["is_empty"], accounts)):
            return False
        # Late receipts may have counted and visited since.
        await _drop(connection, accounts)
        await connection.execute(_SQL["leave_home"], accounts)
        await connection.execute(_SQL["drop_lifted"], row["number"])
        await connection.execute(_SQL["drop_cards"], row["number"])
        await connection.execute(_SQL["done"], erasure_id, now_ms)
    return True


async def _empty_again(pool: Pool, account_id: int, *, now_ms: int) -> None:
    """Take what a receipt or return brought that came after all."""
    async with pool.acquire() as connection, connection.transaction():
        erasure_id = await connection.fetchval(_SQL["erasure_of"], account_id)
        await _forfeit(connection, erasure_id, [account_id], now_ms=now_ms)
        await _drop(connection, [account_id])
        await connection.execute(_SQL["leave_home"], [account_id])


async def _number_anew(pool: Pool, *, now_ms: int) -> None:
    """Lift open erasures above what tills know of another life of this database.

    Such a till would be taken for one that has confirmed, and would not ask.
    """
    latest_ms = now_ms + _AHEAD_MS_MAX
    async with pool.acquire() as connection, connection.transaction():
        if not await connection.fetchval(_SQL["is_behind"], latest_ms):
            return
        await connection.execute(_SQL["lock_erasures"])
        for row in await connection.fetch(_SQL["open"]):
            number = await connection.fetchval(_SQL["next_number"], now_ms, latest_ms)
            await connection.execute(_SQL["number_anew"], row["erasure_id"], number)
            await connection.execute(_SQL["number_cards_anew"], row["number"], number)


async def _empty(pool: Pool, erasure_id: int, *, now_ms: int) -> bool:
    """Take everything out of the accounts that is not finance; says whether it was done here."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(_SQL["lock_erasures"])
        row = await connection.fetchrow(_SQL["lock_erasure"], erasure_id)
        if row is None:
            return False
        asked = sorted(row["accounts"])
        current = {(await lock_account(connection, each)).account_id for each in asked}
        accounts = await connection.fetchval(_SQL["grown"], [*row["accounts"], *sorted(current)])
        number = await connection.fetchval(_SQL["next_number"], now_ms, now_ms + _AHEAD_MS_MAX)
        # Once more: of accounts merged since it was asked for.
        await connection.execute(_SQL["forget_people"], accounts)
        # Cards before the block: a list of blocked ones is told to every till.
        await _take_cards(connection, accounts, number)
        for account_id in sorted(current):
            await set_blocked(connection, account_id, blocked=True)
        await connection.execute(_SQL["empty_accounts"], accounts)
        await _drop(connection, accounts)
        await connection.execute(_SQL["drop_words"], accounts)
        await connection.execute(_SQL["end_merges"], accounts, now_ms)
        await connection.execute(_SQL["end_card_moves"], accounts, now_ms)
        await connection.execute(_SQL["emptied"], erasure_id, accounts, number, now_ms)
        await _forfeit(connection, erasure_id, accounts, now_ms=now_ms)
        for account_id in sorted(current):
            await note(
                connection, person=row["person"], action="customer.emptied",
                subject=f"account:{account_id}", detail={"erasure": erasure_id}, now_ms=now_ms,
            )  # fmt: skip
        told = [Event(account_key(each), AccountErased(account=each)) for each in accounts]
        await outbox.write(connection, told, now_ms=now_ms)
    return True


async def _take_cards(connection: Connection, accounts: list[int], number: int) -> None:
    cards = await connection.fetch(_SQL["cards_of"], accounts)
    await connection.execute(_SQL["take_cards"], accounts, number)
    for row in cards:
        await drop_cards(connection, row["account_id"], row["cards"], programme=row["programme"])


async def _drop(connection: Connection, accounts: list[int]) -> None:
    for what in _DROPPED:
        await connection.execute(_SQL[f"drop_{what}"], accounts)


async def _forfeit(
    connection: Connection, erasure_id: int, accounts: list[int], *, now_ms: int
) -> None:
    """Take points that are available, and let a debt go; what tills hold when it has come home."""
    cause = Cause(f"erasure:{erasure_id}", None, now_ms)
    for account_id in sorted({(await lock_account(connection, n)).account_id for n in accounts}):
        account = await lock_account(connection, account_id)
        rows = await connection.fetch(_SQL["lots_left"], account_id)
        taken = [(row["lot_id"], -row["available"]) for row in rows]
        points, debt = -sum(each for _, each in taken), account.debt
        if not (points or debt):
            continue
        for lot_id, each in taken:
            await connection.execute(_LEDGER["take_back"], account_id, lot_id, -each)
        await write(connection, account_id, entries.adjusted(taken, debt=debt), cause)
        await connection.execute(_LEDGER["change_account"], account_id, -points, 0, -debt)
        await connection.execute(_SQL["forfeited"], erasure_id, points)
        event = PointsAdjusted(
            account=account_id, adjustment=cause.subject, points=debt - points, reason="erasure"
        )
        # Of one erasure there are several: points may come home later.
        told = Event(account_key(account_id), event, is_named=False)
        await outbox.write(connection, [told], now_ms=now_ms)


# How far it is


async def read_erasure(pool: Pool, erasure_id: int) -> ErasureState:
    """Return how far an erasure has come, with the tills that are missing.

    Raises:
        NotFoundError: there is no such erasure.
    """
    async with pool.acquire() as connection:
        row = await connection.fetchrow(_SQL["erasures"], erasure_id, 1) if erasure_id else None
        if row is None:
            raise NotFoundError(f"there is no erasure {erasure_id}")
        state = await _state(connection, dict(row))
        rows = []
        if row["number"] is not None and row["done_at_ms"] is None:
            told = (row["number"], row["emptied_at_ms"])
            rows = await connection.fetch(_SQL["tills_missing"], *told, _TILLS_NAMED_MAX)
    return msgspec.structs.replace(state, missing=tuple(TillMissing(**each) for each in rows))


async def list_erasures(pool: Pool, *, rows_max: int = 100) -> Erasures:
    """Return the newest erasures, the newest first."""
    async with pool.acquire() as connection:
        rows = await connection.fetch(_SQL["erasures"], 0, min(rows_max, _LISTED_MAX))
        states = [await _state(connection, dict(row)) for row in rows]
        ahead = await connection.fetchval(_SQL["ahead"])
    return Erasures(erasures=tuple(states), tills_know_more=ahead > 0)


async def _state(connection: Connection, row: dict[str, int]) -> ErasureState:
    tills = {"tills": 0, "confirmed": 0, "revoked": 0}
    if row["number"] is not None:
        told = (row["number"], row["emptied_at_ms"])
        tills = dict(await connection.fetchrow(_SQL["tills_of"], *told) or tills)
    state = "asked" if row["number"] is None else "emptied"
    return ErasureState(
        erasure_id=row["erasure_id"],
        account_ids=tuple(row["accounts"]),  # type: ignore[arg-type]
        state=state if row["done_at_ms"] is None else "done",
        reason=str(row["reason"]),
        person=str(row["person"]),
        asked_at_ms=row["asked_at_ms"],
        emptied_at_ms=row["emptied_at_ms"],
        done_at_ms=row["done_at_ms"],
        tills=tills["tills"],
        confirmed=tills["confirmed"],
        tills_revoked=tills["revoked"],
        points_forfeited=row["points"],
        points_left=await connection.fetchval(_SQL["points_left"], row["accounts"]),
    )

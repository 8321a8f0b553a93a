"""Decides which store's vault holds an account's points, and asks for them to be moved there.

Home is the store with the most visits, each counting half of what it did 60 days before; with
several vaults the account's number chooses one. An account is never split: points go to the new
vault when the old one has given them back (design: sync 3.3, 3.6 and 4.8).
"""

from datetime import date
from typing import Final

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.ledger.account_books import AccountBooks, columns
from central.ledger.books import lock_account
from central.rights.issuing import RightsSettings, business_date
from central.rights.waking import wake_holders

_SQL = load_queries("central.rights", "queries.sql")
_HOMES = load_queries("central.rights", "home_books.sql")

INTEREST_DAYS: Final = 180
"""So long after a visit a store still keeps the account."""
NAMED_VISITS: Final = 3
"""A home store that somebody named counts as so many visits on the day it was named."""
_DAY_ZERO: Final = date(2020, 1, 1)
"""Days are counted from here, as weights are: only their proportions matter."""
ACCOUNTS_AT_ONCE: Final = 500
STEPS_MAX: Final = 20
"""So many steps are one turn of the planner, at most."""
TURNS_A_DAY: Final = 1440
WISHES_MAX: Final = 20_000
"""So many accounts are wished for when a till comes to its store; the planner finds the others."""


def day_number(day: str) -> int:
    """Return the number of a day, `YYYY-MM-DD`; days before 2020 are the first one."""
    return max(0, (date.fromisoformat(day) - _DAY_ZERO).days)


async def name_home(connection: Connection, *, account_id: int, store_id: str, now_ms: int) -> None:
    """Let a store keep an account that named it; until it is seen elsewhere, that is its home."""
    today = day_number(business_date(now_ms))
    await connection.execute(_SQL["add_visit"], account_id, store_id, today, NAMED_VISITS)
    await connection.execute(_SQL["keep_interest"], store_id, account_id, True)  # noqa: FBT003 - SQL's order
    await wish_for_home(connection, account_id=account_id, home_store=store_id)


async def wish_for_home(connection: Connection, *, account_id: int, home_store: str) -> None:
    """Ask that an account's points be set aside at its home store's vault, and there alone.

    What other tills hold of it is asked back; until that has come home the wish waits.
    """
    vaults = await connection.fetch(_SQL["vaults"], home_store)
    vault = vaults[account_id % len(vaults)]["till_id"] if vaults else None
    asked_back = await connection.fetch(_SQL["recall_elsewhere"], account_id, vault)
    await wake_holders(connection, account_id, [tuple(row) for row in asked_back])
    await connection.execute(_SQL["drop_wishes_elsewhere"], account_id, vault)
    if vault is not None:
        await connection.execute(_SQL["wish"], vault, account_id)


async def wish_for_share(pool: Pool, *, store_id: str, till_id: int) -> None:
    """Ask that points be set aside where they belong since a till came to its store.

    What was wished for at another till moves to the vault that has the account now. If the till is
    a vault, the points of its share of the customers are wished for; those that another till holds
    stay with that one until the planner comes to them, as do those beyond `WISHES_MAX`.
    """
    vaults = [row["till_id"] for row in await pool.fetch(_SQL["vaults"], store_id)]
    rows = await pool.fetch(_SQL["wishes_elsewhere"], store_id, vaults, WISHES_MAX)
    if till_id in vaults:
        share = (len(vaults), vaults.index(till_id))
        rows += await pool.fetch(_SQL["share_to_wish_for"], store_id, *share, WISHES_MAX)
    account_ids = sorted({row["account_id"] for row in rows})
    for first in range(0, len(account_ids), ACCOUNTS_AT_ONCE):
        some = account_ids[first : first + ACCOUNTS_AT_ONCE]
        async with pool.acquire() as connection, connection.transaction():
            # Before wishes, as everybody does: those look at their account, too.
            books = await AccountBooks.lock(connection, some)
            wished = [
                (account_id, vaults[account_id % len(vaults)] if vaults else None)
                for account_id, book in sorted(books.accounts.items())
                if book.home_store == store_id
            ]
            if wished:
                await connection.execute(_HOMES["drop_wishes_elsewhere"], *columns(wished))
                await connection.execute(_HOMES["wish"], *columns(wished))


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What steps of the planner did.

    Attributes:
        accounts: looked at.
        moved: accounts of which something is held where it should not be.
        wished: accounts with points of which nothing was set aside.
        forgotten: accounts that a store need not keep any more.
        of_round: as many as the round before looked at, or this one by now, if that is more.
    """

    accounts: int = 0
    moved: int = 0
    wished: int = 0
    forgotten: int = 0
    round_complete: bool = False
    of_round: int = 0

    def and_then(self, step: "Planned") -> "Planned":
        """Return what was done together with the next step."""
        return Planned(
            accounts=self.accounts + step.accounts,
            moved=self.moved + step.moved,
            wished=self.wished + step.wished,
            forgotten=self.forgotten + step.forgotten,
            round_complete=step.round_complete,
            of_round=step.of_round,
        )


async def plan_turn(pool: Pool, *, now_ms: int, settings: RightsSettings) -> Planned:
    """Take as many steps as bring a round to its end within a day, `STEPS_MAX` at most."""
    done = Planned()
    for _ in range(STEPS_MAX):
        step = await plan_step(pool, now_ms=now_ms, settings=settings)
        done = done.and_then(step)
        if done.round_complete or done.accounts * TURNS_A_DAY >= done.of_round:
            break
    return done


async def plan_step(
    pool: Pool,
    *,
    now_ms: int,
    settings: RightsSettings,
    accounts_max: int | None = None,
) -> Planned:
    """Look at the next accounts: what visits alone do not tell (new vaults, points come home).

    Steps go round over all accounts; one process at a time takes one, the others find nothing.
    Homes need no looking at: they change by visits alone.

    Args:
        accounts_max: by default `ACCOUNTS_AT_ONCE`.
    """
    most = accounts_max or ACCOUNTS_AT_ONCE
    async with pool.acquire() as connection, connection.transaction():
        cursor = await connection.fetchrow(_SQL["lock_plan"])
        if cursor is None:
            return Planned()
        after, looked_at, before = cursor
        account_ids = await _next_accounts(connection, after, most)
        looked_at += len(account_ids)
        of_round = max(looked_at, before)
        complete = len(account_ids) < most
        place = (0, 0, looked_at) if complete else (account_ids[-1], looked_at, before)
        await connection.execute(_SQL["move_plan"], *place)
    planned = await _plan(pool, after, account_ids, now_ms=now_ms, settings=settings)
    return msgspec.structs.replace(planned, round_complete=complete, of_round=of_round)


async def plan_all(pool: Pool, *, now_ms: int, settings: RightsSettings) -> Planned:
    """Look at all accounts once, whatever step the round is at."""
    total, after = Planned(), 0
    while True:
        async with pool.acquire() as connection:
            account_ids = await _next_accounts(connection, after, ACCOUNTS_AT_ONCE)
        if not account_ids:
            return msgspec.structs.replace(total, round_complete=True)
        step = await _plan(pool, after, account_ids, now_ms=now_ms, settings=settings)
        after = account_ids[-1]
        total = total.and_then(step)


async def _next_accounts(connection: Connection, after: int, accounts_max: int) -> list[int]:
    rows = await connection.fetch(_SQL["accounts_to_plan"], after, accounts_max)
    return [row["account_id"] for row in rows]


async def _plan(
    pool: Pool, after: int, account_ids: list[int], *, now_ms: int, settings: RightsSettings
) -> Planned:
    if not account_ids:
        return Planned()
    accounts = (after, account_ids[-1])
    oldest = day_number(business_date(now_ms, -INTEREST_DAYS))
    days = (business_date(now_ms), business_date(now_ms, settings.grant_days))
    least = settings.grant_points_min
    moved = {row["account_id"] for row in await pool.fetch(_SQL["misplaced"], *accounts)}
    unplaced = await pool.fetch(_SQL["unplaced"], *accounts, oldest, *days, least)
    wished = {row["account_id"] for row in unplaced} - moved
    for account_id in sorted(moved | wished):
        await _replace(pool, account_id)
    done = await pool.execute(_SQL["forget_interests"], *accounts, oldest)
    return Planned(
        accounts=len(account_ids),
        moved=len(moved),
        wished=len(wished),
        forgotten=int(done.rpartition(" ")[2]),
    )


async def _replace(pool: Pool, account_id: int) -> None:
    async with pool.acquire() as connection, connection.transaction():
        account = await lock_account(connection, account_id)
        await wish_for_home(connection, account_id=account_id, home_store=account.home_store)

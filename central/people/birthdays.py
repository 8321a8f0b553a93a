"""Birthdays: which accounts are in their birthday window today; tills are told that alone.

A window opens and closes without anything happening to the account, so the centre turns the flags
once a day and tells the stores of the accounts it has turned (design: receipt 2).
"""

from datetime import UTC, date, datetime, timedelta

from central.database.named_sql import load_queries
from central.database.pool import Pool

_SQL = load_queries("central.people", "queries.sql")

DAYS_DEFAULT = 7
"""Before and after the birthday."""
_AT_ONCE = 500
"""Small transactions: a long one that writes holds up the feed for everybody (design: sync 1.7)."""


def window(now_ms: int, days: int) -> list[str]:
    """Return the birthdays, `MM-DD`, whose window holds the day of a moment.

    Args:
        days: the window reaches so far before and after the birthday.
    """
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    found = {f"{today + timedelta(days=n):%m-%d}" for n in range(-days, days + 1)}
    if {"02-28", "03-01"} <= found:
        found.add("02-29")  # those born then have a birthday every year
    return sorted(found)


def is_month_and_day(text: str) -> bool:
    """Say whether a text is a birthday, `MM-DD`."""
    try:
        return f"{date.fromisoformat(f'2000-{text}'):%m-%d}" == text
    except ValueError:
        return False


async def turn_birthdays(pool: Pool, *, now_ms: int, days: int) -> int:
    """Open and close the windows that are due; returns of how many accounts.

    Accounts somebody else has locked are left for the next time.
    """
    turned = 0
    for name, is_open in (("windows_to_open", True), ("windows_to_close", False)):
        while rows := await pool.fetch(_SQL[name], window(now_ms, days), _AT_ONCE):
            found = [account_id for (account_id,) in rows]
            async with pool.acquire() as connection, connection.transaction():
                free = await connection.fetch(_SQL["lock_free_accounts"], found)
                accounts = [account_id for (account_id,) in free]
                done = await connection.execute(_SQL["turn_windows"], accounts, is_open)
                await connection.execute(_SQL["tell_stores_of_all"], accounts)
            count = int(done.rpartition(" ")[2])
            turned += count
            if count < _AT_ONCE:
                break
    return turned

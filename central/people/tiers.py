"""Tiers: what receipts of a cycle come to decides; reached at once, lost by time alone.

Accounts with news are found in the feed, those whose tier ends in a list of due days. What counts
is worked out anew from the posted receipts each time, so returns, merges and late receipts need no
arithmetic of their own, and looking twice changes nothing: the feed's news are over only when they
were looked at. No receipt waits for it (design: centre 1, "processing").
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final, Literal

import asyncpg
import msgspec
import structlog
from msgspec import Meta

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.ledger.books import lock_account
from central.outreach import outbox
from central.outreach.events import Event, TierChanged, account_key
from central.people.cycles import Cycle, span_before, span_of, valid_until
from central.programmes.registry import DEFAULT, programme_of_account, require_programme
from central.staff.audit import note

_SQL = load_queries("central.people", "tiers.sql")
_STREAMS = load_queries("central.streams", "queries.sql")
log = structlog.get_logger()

_LOCK: Final = 0x54494C4C54494552  # "TILLTIER": one round at a time in a database
NEWS_AT_ONCE: Final = 1_000
_DUE_AT_ONCE: Final = 500
_LOST: Final = (
    asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError,
)  # fmt: skip
_DAYS_MAX: Final = 3_660

Measure = Literal["spend_minor", "points", "qualifying_points", "purchases"]


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tier, and what the cycle's receipts must come to at least."""

    name: Annotated[str, Meta(max_length=64)]
    at_least: Annotated[int, Meta(ge=0)]


class TierTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How tiers are reached and lost.

    Attributes:
        tiers: ascending; the first one has everybody, at least 0.
        measure: money paid for goods that were kept, points earned on them, those among them that
            only qualify, or receipts of which something was kept.
        cycle: calendar year, quarter or month of the store's local days, or the last `days`.
        downgrade: when time is up, to what the cycles reach (`reached`), or one tier at most
            (`one_down`).
        programme: whose accounts; empty = the default one's.
    """

    tiers: Annotated[tuple[Tier, ...], Meta(min_length=1, max_length=20)]
    measure: Measure = "spend_minor"
    cycle: Cycle = "year"
    days: Annotated[int, Meta(ge=1, le=_DAYS_MAX)] = 365
    downgrade: Literal["reached", "one_down"] = "reached"
    programme: Annotated[str, Meta(max_length=64)] = DEFAULT

    def __post_init__(self) -> None:
        bounds = [tier.at_least for tier in self.tiers]
        if bounds[0] or sorted(set(bounds)) != bounds:
            raise ValueError("tiers rise from at_least 0, each above the one before")
        if len({tier.name for tier in self.tiers}) != len(self.tiers):
            raise ValueError("each tier has a name of its own")

    def rank_of(self, name: str) -> int:
        """Return a tier's place; of a name that is none of them the lowest."""
        names = [tier.name for tier in self.tiers]
        return names.index(name) if name in names else 0

    def reached_by(self, value: int) -> int:
        """Return the place of the highest tier a value is enough for."""
        return max(n for n, tier in enumerate(self.tiers) if tier.at_least <= value)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an account stands: the place of its tier, the cycle's value, and when time is up."""

    rank: int
    value: int
    due: date


def decide(
    terms: TierTerms, *, rank: int, due: date | None, today: date, value: int, before: int
) -> Standing:
    """Return where an account stands now.

    Args:
        rank: place of its tier so far.
        due: first day on which that counts no more by itself; none where it was never decided.
        value: of the cycle so far.
        before: of the cycle before.

    Returns:
        The same or a higher tier while `due` has not come; the lowest one has nothing to lose.
    """
    found = _decide(terms, rank=rank, due=due, today=today, value=value, before=before)
    return found if found.rank else Standing(0, value, date.max)


def _decide(
    terms: TierTerms, *, rank: int, due: date | None, today: date, value: int, before: int
) -> Standing:
    lasting = valid_until(terms.cycle, today, days=terms.days)
    now = terms.reached_by(value)
    if now > rank or now == rank > 0:
        return Standing(now, value, lasting)
    if due is None:
        return Standing(rank, value, lasting)
    if today < due:
        return Standing(rank, value, due)
    kept = max(now, terms.reached_by(before))
    if terms.downgrade == "one_down":
        kept = max(kept, rank - 1)
    _, end = span_of(terms.cycle, today, days=terms.days)
    return Standing(min(kept, rank), value, lasting if terms.cycle == "rolling" else end)


class TiersTended(msgspec.Struct, frozen=True, kw_only=True):
    """What a round did.

    Attributes:
        looked_at: accounts that came to an end.
        failed: those that did not. With news they are looked at again in the next round, those
            that were only due tomorrow.
        more: whether some are left for a round at once.
    """

    looked_at: int = 0
    changed: int = 0
    failed: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class _News:
    """Accounts stores were told of, and where in the feed to go on once they were looked at.

    Attributes:
        is_full: as many rows as are read at once: there may be more.
    """

    accounts: frozenset[int] = frozenset()
    upto: tuple[int, int, int] | None = None
    is_full: bool = False


async def tend_tiers(pool: Pool, *, now_ms: int) -> TiersTended:
    """Look at accounts with news and at those that are due; a bounded step, to be repeated.

    Each account has a transaction of its own, and the cursor of the feed moves after all of them:
    whoever dies in between leaves the same accounts to the next round, of any process. One that
    fails stands in nobody's way and is looked at again. While another process is at it, and where
    there are no terms, nothing is done here.

    Raises:
        asyncpg.PostgresError, asyncpg.InterfaceError, OSError: the database went away.
    """
    async with pool.acquire() as connection:
        is_mine = True  # so it may be if asking was cut off
        try:
            is_mine = bool(await connection.fetchval(_SQL["begin_round"], _LOCK))
            return await _round(connection, now_ms=now_ms) if is_mine else TiersTended()
        finally:
            if is_mine:
                await _end_round(connection)


async def _end_round(connection: Connection) -> None:
    """Give the lock back. The pool takes connections as they are: one that keeps it is ended."""
    is_free = False
    try:
        with suppress(*_LOST):
            is_free = await connection.fetchval(_SQL["end_round"], _LOCK)
    finally:
        if not is_free:
            with suppress(asyncpg.InterfaceError):  # where it is lost already
                connection.terminate()


async def _round(connection: Connection, *, now_ms: int) -> TiersTended:
    today = _day(now_ms)
    asks_more = await _make_due(connection)
    # Read after that: who is due for new terms is never worked out with those before.
    terms = await read_all_terms(connection)
    news = await _read_news(connection)
    rows = await connection.fetch(_SQL["due"], today.isoformat(), _DUE_AT_ONCE, sorted(terms))
    due = {row["account_id"] for row in rows}
    accounts = news.accounts | due
    changed = 0
    failed: set[int] = set()
    for account_id in sorted(accounts):
        try:
            async with connection.transaction():
                changed += await evaluate(connection, account_id, terms, now_ms=now_ms)
        except Exception:
            if connection.is_closed():
                raise  # no account's fault
            failed.add(account_id)
            log.exception("tier_fails", account=account_id)
    await _put_off(connection, failed & due, until=today + timedelta(days=1))
    await _go_on(connection, news, failed & news.accounts)
    looked_at = len(accounts) - len(failed)
    # Where all failed, going on at once would be looking at the same ones again and again.
    is_full = looked_at > 0 and (news.is_full or len(rows) == _DUE_AT_ONCE)
    return TiersTended(
        looked_at=looked_at, changed=changed, failed=len(failed), more=asks_more or is_full
    )


async def _make_due(connection: Connection) -> bool:
    """Make the next accounts due for each programme's new terms; says whether some are left.

    Rows and place are one transaction: each account is asked once for the same terms, so that a
    tier that goes down by one goes down once.
    """
    is_full = False
    for new in await connection.fetch(_SQL["new_terms"]):
        async with connection.transaction():
            rows = await connection.fetch(_SQL["next_accounts"], new["due_upto"], _DUE_AT_ONCE)
            accounts = [row["account_id"] for row in rows]
            await connection.execute(_SQL["make_due"], accounts, new["programme"])
            upto = accounts[-1] if len(accounts) == _DUE_AT_ONCE else None
            await connection.execute(_SQL["made_due"], new["terms_id"], upto)
        is_full |= upto is not None
    return is_full


async def _put_off(connection: Connection, failed: Collection[int], *, until: date) -> None:
    """Let due accounts that failed wait: as the first of the list they would be all of it."""
    for account_id in sorted(failed):
        try:
            await connection.execute(_SQL["put_off"], account_id, until.isoformat())
        except Exception:
            if connection.is_closed():
                raise
            log.exception("tier_stays_due", account=account_id)


async def _read_news(connection: Connection) -> _News:
    """Return accounts stores were told of since the last time; the cursor stays where it is."""
    cursor = await connection.fetchrow(_SQL["cursor"])
    assert cursor is not None
    epoch = cursor["now_epoch"]
    at = (cursor["transaction"], cursor["row"]) if cursor["epoch"] == epoch else (0, 0)
    rows = await connection.fetch(_SQL["news"], *at, cursor["upto"], NEWS_AT_ONCE)
    if not rows:
        return _News()
    accounts = frozenset(row["account_id"] for row in rows)
    upto = (epoch, rows[-1]["transaction"], rows[-1]["row"])
    return _News(accounts, upto, is_full=len(rows) == NEWS_AT_ONCE)


async def _go_on(connection: Connection, news: _News, failed: Collection[int]) -> None:
    """Move the cursor behind the news; those that failed are news once more, behind all others."""
    if news.upto is None:
        return
    async with connection.transaction():
        await connection.execute(_SQL["move_cursor"], *news.upto)
        if failed:
            await connection.execute(_SQL["look_again"], sorted(failed))


async def evaluate(
    connection: Connection, account_id: int, all_terms: Mapping[str, TierTerms], *, now_ms: int
) -> bool:
    """Work out an account's tier; returns whether it is another one now. In a transaction.

    Done twice it changes nothing the second time. A tier that somebody set by hand, or loaded,
    counts as reached today.

    Args:
        all_terms: by programme; accounts of others keep the tier they were loaded with.
    """
    today = _day(now_ms)
    try:
        account = await lock_account(connection, account_id)
    except LookupError:
        return False
    if account.account_id != account_id:
        await connection.execute(_SQL["forget"], account_id)  # merged: the other one has its news
        return False
    terms = all_terms.get(account.programme)
    if terms is None or account.erased:
        return False
    tier = await connection.fetchval(_SQL["account"], account_id)
    before = await connection.fetchrow(_SQL["reached"], account_id)
    due, since = None, today.isoformat()
    if before is not None and before["tier"] == tier:
        # No day: the terms are others since.
        due = date.fromisoformat(before["due_on"]) if before["due_on"] else today
        since = before["since_day"]
    rank = terms.rank_of(tier)
    spans = [span(terms.cycle, today, days=terms.days) for span in (span_of, span_before)]
    value, last = [await _value(connection, account_id, terms, span) for span in spans]
    found = decide(terms, rank=rank, due=due, today=today, value=value, before=last)
    name = terms.tiers[found.rank].name
    changed = bool(await connection.fetchval(_SQL["set_tier"], account_id, name))
    since = today.isoformat() if changed else since
    await connection.execute(
        _SQL["put_reached"], account_id, name, found.value, since, found.due.isoformat()
    )
    if changed:
        await connection.execute(_STREAMS["tell_stores"], account_id)
        event = TierChanged(account=account_id, tier=name, tier_before=tier)
        await outbox.write(connection, [Event(account_key(account_id), event)], now_ms=now_ms)
    return changed


async def _value(
    connection: Connection, account_id: int, terms: TierTerms, span: tuple[date, date]
) -> int:
    days = [day.isoformat() for day in span]
    row = await connection.fetchrow(_SQL["qualifying"], account_id, *days)
    assert row is not None
    value: int = row[terms.measure]
    return max(value, 0)


# For people


class TierState(msgspec.Struct, frozen=True, kw_only=True):
    """Where an account stands, and what the next tier asks for.

    Attributes:
        value: of the cycle so far, in the terms' measure.
        due_on: first day on which the tier counts no more by itself; empty = it is looked at soon.
        next_tier: empty at the top.
    """

    account_id: int
    tier: str
    value: int
    since_day: str
    due_on: str
    next_tier: str
    next_at_least: int


async def read_state(connection: Connection, account_id: int) -> TierState | None:
    """Return where an account stands; None where no tier was ever worked out for it."""
    programme = await programme_of_account(connection, account_id)
    terms = await read_terms(connection, programme or DEFAULT)
    row = await connection.fetchrow(_SQL["reached"], account_id)
    if row is None or terms is None:
        return None
    rank = terms.rank_of(row["tier"])
    above = terms.tiers[rank + 1] if rank + 1 < len(terms.tiers) else None
    return TierState(
        account_id=account_id,
        **dict(row),
        next_tier=above.name if above else "",
        next_at_least=above.at_least if above else 0,
    )


class TierCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many accounts of a programme have a tier, and what their cycles come to."""

    programme: str
    tier: str
    accounts: int
    value: int


async def read_overview(pool: Pool) -> list[TierCount]:
    """Return the tiers that accounts have."""
    return [TierCount(**row) for row in await pool.fetch(_SQL["overview"])]


async def read_terms(connection: Connection, programme: str = DEFAULT) -> TierTerms | None:
    """Return a programme's terms in force; None where tiers are only loaded."""
    document = await connection.fetchval(_SQL["terms"], programme)
    return msgspec.json.decode(document, type=TierTerms) if document is not None else None


async def read_all_terms(connection: Connection) -> dict[str, TierTerms]:
    """Return the terms in force by programme."""
    return {
        row["programme"]: msgspec.json.decode(row["document"], type=TierTerms)
        for row in await connection.fetch(_SQL["terms_of_all"])
    }


async def put_terms(connection: Connection, terms: TierTerms, *, person: str, now_ms: int) -> None:
    """Put terms of a programme in force. In a transaction.

    Its accounts are looked at anew by the rounds from then on, so many at a time: one statement
    over millions would not end in time.

    Raises:
        NotFoundError: there is no such programme.
    """
    await require_programme(connection, terms.programme)
    document = msgspec.json.encode(terms)
    await connection.execute(_SQL["put_terms"], document, person, now_ms, terms.programme)
    await note(
        connection, person=person, action="tiers.terms", subject="tiers",
        detail=msgspec.to_builtins(terms), now_ms=now_ms,
    )  # fmt: skip


def _day(now_ms: int) -> date:
    return datetime.fromtimestamp(now_ms / 1000, UTC).date()

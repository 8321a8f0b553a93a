"""Two accounts become one, and one becomes two again.

A merge moves everything of an account to the other one: lots with what rights hold of them, the
rights, debt, receipts, cards, counters, visits. Entries of both accounts say so. The number of the
emptied account goes on meaning the other one (`account.merged_into`), so that records of tills that
have not heard of it, and rights in flight, work as before; tills that hold such rights are asked to
give them back, and hear of the account by the feed (design: centre 2; sync 4.8).

Undoing gives back what is still there. What was spent since stays spent, and is told.
"""

from collections.abc import Iterable
from typing import Final

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import BadRequestError, NotFoundError
from central.ledger import moving
from central.ledger.books import Cause, lock_account, write
from central.ledger.places import follow
from central.outreach import outbox
from central.outreach.events import AccountMerged, AccountMergeUndone, Event, account_key
from central.programmes.registry import called
from central.rights.planner import wish_for_home
from central.staff.audit import note
from loyalty import entries

_SQL = load_queries("central.ledger", "merging.sql")
_STREAMS = load_queries("central.streams", "queries.sql")
_RIGHTS = load_queries("central.rights", "queries.sql")

_TRIES: Final = 3
REASON_CHARACTERS_MAX: Final = 500


class MovedCounter(msgspec.Struct, frozen=True):
    """A counter of the emptied account."""

    name: str
    value: int
    ends_on: str
    used_at: str
    used_store: str


class MovedVisit(msgspec.Struct, frozen=True):
    """Visits of the emptied account to a store."""

    store_id: str
    weight: float
    last_day: int


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What a merge took over: what undoing it looks for.

    Attributes:
        lots: number and points (available and held) of each.
        aliases: accounts that had been merged into the emptied one.
        birthday: of the emptied account, `MM-DD`; empty = not known, or not noted at that time.
        birthday_given: the other account had none and got it.
    """

    lots: tuple[tuple[int, int], ...] = ()
    held: int = 0
    debt: int = 0
    purchases: int = 0
    grants: tuple[str, ...] = ()
    receipts: tuple[str, ...] = ()
    cards: tuple[bytes, ...] = ()
    counters: tuple[MovedCounter, ...] = ()
    visits: tuple[MovedVisit, ...] = ()
    offers: tuple[str, ...] = ()
    aliases: tuple[int, ...] = ()
    birthday: str = ""
    birthday_given: bool = False


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What a merge did.

    Attributes:
        points: that went over; `held` of them in rights, which are asked back.
    """

    merge_id: int
    from_account: int
    into_account: int
    points: int
    held: int
    debt: int
    cards: int
    receipts: int


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What undoing a merge gave back, and what it could not.

    Attributes:
        points: back with their account; `held` of them in rights.
        spent: of the lots that had come over: redeemed or taken back since.
        held_since: in rights issued since; they stay with the other account.
        debt_paid: of the debt that had come over; it was repaid since.
        cards_elsewhere: that went on to a third account since.
    """

    merge_id: int
    from_account: int
    into_account: int
    points: int
    held: int
    spent: int
    held_since: int
    debt: int
    debt_paid: int
    cards: int
    cards_elsewhere: int


class MergeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A merge, as listed."""

    merge_id: int
    from_account: int
    into_account: int
    person: str
    reason: str
    merged_at_ms: int
    undone_at_ms: int | None
    undone_by: str


async def merge_accounts(
    pool: Pool, from_account: int, into_account: int, *, person: str, reason: str, now_ms: int
) -> Merged:
    """Empty an account into another one.

    Raises:
        BadRequestError: it is the same account, one of them is merged already, one of them alone
            is blocked, or no reason.
        NotFoundError: there is no such account.
    """
    check_reason(reason)
    if from_account == into_account:
        raise BadRequestError("$.into", "an account cannot be merged into itself")
    for tries_left in reversed(range(_TRIES)):
        try:
            async with pool.acquire() as connection, connection.transaction():
                return await _merge(
                    connection, from_account, into_account,
                    person=person, reason=reason, now_ms=now_ms,
                )  # fmt: skip
        except asyncpg.DeadlockDetectedError:
            if not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


async def _merge(
    connection: Connection,
    from_account: int,
    into_account: int,
    *,
    person: str,
    reason: str,
    now_ms: int,
) -> Merged:
    blocked = await lock_both(connection, from_account, into_account)
    if len(blocked) == 1:
        raise BadRequestError("$", f"account {blocked[0]} is blocked, the other one is not")
    moved = await _take(connection, from_account, into_account)
    merge_id = await connection.fetchval(
        _SQL["insert_merge"], from_account, into_account, person, reason, now_ms,
        msgspec.json.encode(moved),
    )  # fmt: skip
    cause = Cause(f"merge:{merge_id}", None, now_ms)
    lots = [(lot_id, points) for lot_id, points in moved.lots if points]
    points = sum(points for _, points in lots)
    if lots or moved.debt:
        await write(connection, from_account, entries.gone_over(lots, debt=moved.debt), cause)
        await write(connection, into_account, entries.come_over(lots, debt=moved.debt), cause)
    await connection.execute(_SQL["empty_account"], from_account, into_account)
    await connection.execute(
        _SQL["add_account"], into_account, points, moved.held, moved.debt, moved.purchases,
        list(moved.offers),
    )  # fmt: skip
    await _tell(connection, into_account)
    await note(
        connection, person=person, action="account.merge", subject=f"account:{into_account}",
        detail={"merge": merge_id, "from": from_account, "reason": reason, "points": points},
        now_ms=now_ms,
    )  # fmt: skip
    event = AccountMerged(
        merge=merge_id, from_account=from_account, into_account=into_account, points=points
    )
    await outbox.write(connection, _of_both(event), now_ms=now_ms)
    return Merged(
        merge_id=merge_id,
        from_account=from_account,
        into_account=into_account,
        points=points,
        held=moved.held,
        debt=moved.debt,
        cards=len(moved.cards),
        receipts=len(moved.receipts),
    )


async def _take(connection: Connection, from_account: int, into_account: int) -> Moved:
    """Move all rows of an account; totals and entries are the caller's."""
    both = (from_account, into_account)
    lots = await connection.fetch(_SQL["lots"], from_account)
    parts = await connection.fetchrow(_SQL["account_parts"], from_account)
    assert parts is not None
    rights = await moving.take_rights(connection, both)
    await moving.move_lots(connection, both)
    await moving.put_rights(connection, rights)
    await moving.move_redemptions(connection, both)
    receipts = await connection.fetchval(_SQL["move_receipts"], *both)
    cards = await connection.fetchval(_SQL["move_cards"], *both)
    await follow(connection, *both, cards=cards, grants=rights.grants)
    counters = [
        MovedCounter(**row) for row in await connection.fetch(_SQL["take_counters"], from_account)
    ]
    await _add_counters(connection, into_account, counters)
    visits = [
        MovedVisit(**row) for row in await connection.fetch(_SQL["take_visits"], from_account)
    ]
    await _add_visits(connection, into_account, visits)
    await connection.execute(_SQL["copy_interests"], *both)
    await connection.execute(_SQL["drop_interests"], from_account)
    await connection.execute(_SQL["drop_wishes"], from_account)
    birthday = await connection.fetchval(_SQL["take_birthday"], from_account) or ""
    given = birthday and await connection.fetchval(_SQL["put_birthday"], into_account, birthday)
    own = await connection.fetchrow(_SQL["account_parts"], into_account)
    assert own is not None
    return Moved(
        lots=tuple((row["lot_id"], row["points"]) for row in lots),
        held=parts["held"],
        debt=parts["debt"],
        purchases=parts["purchases"],
        grants=rights.grants,
        receipts=tuple(receipts),
        cards=tuple(cards),
        counters=tuple(counters),
        visits=tuple(visits),
        offers=tuple(set(parts["personal_offers"]) - set(own["personal_offers"])),
        aliases=tuple(await connection.fetchval(_SQL["follow"], *both)),
        birthday=birthday,
        birthday_given=bool(given),
    )


async def undo_merge(pool: Pool, merge_id: int, *, person: str, now_ms: int) -> Restored:
    """Make one account two again, as far as what went over is still there.

    Raises:
        NotFoundError: there is no such merge.
        BadRequestError: it was undone, or a later one has to be undone before.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            async with pool.acquire() as connection, connection.transaction():
                return await _undo(connection, merge_id, person=person, now_ms=now_ms)
        except asyncpg.DeadlockDetectedError:
            if not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


async def _undo(connection: Connection, merge_id: int, *, person: str, now_ms: int) -> Restored:
    row = await connection.fetchrow(_SQL["merge"], merge_id)
    if row is None:
        raise NotFoundError(f"there is no merge {merge_id}")
    if row["undone_at_ms"] is not None:
        raise BadRequestError("$.merge", "it was undone before")
    both = (row["into_account"], row["from_account"])
    later = await connection.fetchval(_SQL["later_merge"], merge_id, both[0])
    if later is not None:
        raise BadRequestError("$.merge", f"merge {later} came later and has to be undone before")
    into = await lock_account(connection, both[0])
    moved = msgspec.json.decode(row["moved"], type=Moved)
    # Locked too: from now on the other number means its own account again.
    await connection.execute(_SQL["unmerge"], both[1])
    lots, held_since = await _lots_back(connection, both, moved)
    held = sum(part[2] for part in lots)
    points = sum(part[1] for part in lots)
    debt = min(into.debt, moved.debt)
    counted = await connection.fetchval(_SQL["receipts_back"], *both, list(moved.receipts))
    await moving.move_redemptions(connection, both, moved.receipts)
    cards = await connection.fetchval(_SQL["cards_back"], *both, list(moved.cards))
    await follow(connection, *both, cards=cards, grants=moved.grants)
    cause = Cause(f"merge:{merge_id}:undone", None, now_ms)
    back = [(lot_id, each) for lot_id, each, _ in lots if each]
    if back or debt:
        await write(connection, both[0], entries.gone_over(back, debt=debt), cause)
        await write(connection, both[1], entries.come_over(back, debt=debt), cause)
    await connection.execute(_SQL["drop_offers"], both[0], list(moved.offers))
    await connection.execute(_SQL["add_account"], both[0], -points, -held, -debt, -counted, [])
    await connection.execute(
        _SQL["add_account"], both[1], points, held, debt, counted, list(moved.offers)
    )
    await _rest_back(connection, both, moved)
    for account_id in both:
        await _tell(connection, account_id)
    restored = Restored(
        merge_id=merge_id,
        from_account=both[1],
        into_account=both[0],
        points=points,
        held=held,
        spent=max(sum(each for _, each in moved.lots) - points - held_since, 0),
        held_since=held_since,
        debt=debt,
        debt_paid=moved.debt - debt,
        cards=len(cards),
        cards_elsewhere=len(moved.cards) - len(cards),
    )
    await connection.execute(
        _SQL["end_merge"], merge_id, now_ms, person, msgspec.json.encode(restored)
    )
    await note(
        connection, person=person, action="account.unmerge", subject=f"account:{both[1]}",
        detail=msgspec.to_builtins(restored), now_ms=now_ms,
    )  # fmt: skip
    event = AccountMergeUndone(
        merge=merge_id, from_account=both[1], into_account=both[0], points=points
    )
    await outbox.write(connection, _of_both(event), now_ms=now_ms)
    return restored


def _of_both(event: AccountMerged | AccountMergeUndone) -> list[Event]:
    """Return an event of two accounts, told in the order of each."""
    both = (event.from_account, event.into_account)
    return [Event(account_key(account_id), event) for account_id in both]


async def _lots_back(
    connection: Connection, both: tuple[int, int], moved: Moved
) -> tuple[list[tuple[int, int, int]], int]:
    """Move lots and rights back.

    Returns:
        Number, points and of them held of each lot that went back, and what stays held by rights
        issued since.
    """
    grants, lot_ids = list(moved.grants), [lot_id for lot_id, _ in moved.lots]
    rows = await connection.fetch(_SQL["stay_with"], both[0], lot_ids, grants, list(moved.receipts))
    back: list[tuple[int, int, int]] = []
    whole: list[int] = []
    split: list[tuple[int, int, int]] = []
    for row in rows:
        held_since, redeemed_since = row["held_since"], row["redeemed_since"]
        rest = sum(row[name] for name in ("available", "held", "redeemed", "taken_back"))
        if rest > held_since + redeemed_since:
            if held_since or redeemed_since:
                split.append((row["lot_id"], held_since, redeemed_since))
            else:
                whole.append(row["lot_id"])
            held = row["held"] - held_since
            back.append((row["lot_id"], row["available"] + held, held))
    gone = [lot_id for lot_id, _, _ in back]
    await connection.execute(_SQL["forget_settled"], both[0], gone, grants)
    rights = await moving.take_rights(connection, both, grants)
    await moving.move_lots(connection, both, whole)
    for lot_id, held, redeemed in split:
        await moving.split_lot(connection, both, lot_id, held=held, redeemed=redeemed)
    await moving.put_rights(connection, rights)
    return back, sum(row["held_since"] for row in rows)


async def _rest_back(connection: Connection, both: tuple[int, int], moved: Moved) -> None:
    into_account, from_account = both
    if moved.aliases:
        await connection.execute(_SQL["unfollow"], list(moved.aliases), from_account)
    names = [counter.name for counter in moved.counters]
    values = [counter.value for counter in moved.counters]
    await connection.execute(_SQL["subtract_counters"], into_account, names, values)
    await _add_counters(connection, from_account, moved.counters)
    stores = [visit.store_id for visit in moved.visits]
    weights = [visit.weight for visit in moved.visits]
    await connection.execute(_SQL["subtract_visits"], into_account, stores, weights)
    await _add_visits(connection, from_account, moved.visits)
    await connection.execute(_SQL["copy_interests"], into_account, from_account)
    if moved.birthday_given:
        await connection.execute(_SQL["drop_birthday"], into_account, moved.birthday)
    if moved.birthday:
        await connection.execute(_SQL["put_birthday"], from_account, moved.birthday)
    await connection.execute(_SQL["end_sessions"], into_account, list(moved.cards))


async def _add_counters(
    connection: Connection, account_id: int, counters: Iterable[MovedCounter]
) -> None:
    each = list(counters)
    await connection.execute(
        _SQL["add_counters"], account_id, [one.name for one in each],
        [one.value for one in each], [one.ends_on for one in each],
        [one.used_at for one in each], [one.used_store for one in each],
    )  # fmt: skip


async def _add_visits(
    connection: Connection, account_id: int, visits: Iterable[MovedVisit]
) -> None:
    each = list(visits)
    await connection.execute(
        _SQL["add_visits"], account_id, [one.store_id for one in each],
        [one.weight for one in each], [one.last_day for one in each],
    )  # fmt: skip


async def lock_both(connection: Connection, *account_ids: int) -> list[int]:
    """Lock two accounts of one programme; returns those that are blocked.

    Raises:
        BadRequestError: one of them is merged or its customer was erased, or they are wallets of
            two programmes.
        NotFoundError: there is no such account.
    """
    blocked: list[int] = []
    programmes: set[str] = set()
    for account_id in sorted(account_ids):
        try:
            account = await lock_account(connection, account_id)
        except LookupError as error:
            raise NotFoundError(f"there is no account {account_id}") from error
        if account.account_id != account_id:
            raise BadRequestError(
                "$", f"account {account_id} is merged into {account.account_id} already"
            )
        if account.erased:
            raise BadRequestError("$", f"the customer of account {account_id} was erased")
        programmes.add(account.programme)
        if account.blocked:
            blocked.append(account_id)
    if len(programmes) > 1:
        whose = " and ".join(map(called, sorted(programmes)))
        raise BadRequestError("$", f"the accounts are wallets of two programmes: {whose}")
    return blocked


async def _tell(connection: Connection, account_id: int) -> None:
    """Let the account's points be set aside where it is at home, and its stores hear of it."""
    home = await connection.fetchval(_RIGHTS["home_by_visits"], account_id, "")
    if home:
        await connection.execute(_RIGHTS["set_home"], account_id, home)
    account = await lock_account(connection, account_id)
    home_store = "" if account.blocked else account.home_store
    await wish_for_home(connection, account_id=account_id, home_store=home_store)
    await connection.execute(_STREAMS["tell_stores"], account_id)


async def list_merges(pool: Pool, account_id: int) -> list[MergeRow]:
    """Return the merges of an account, the newest first."""
    return [MergeRow(**row) for row in await pool.fetch(_SQL["merges"], account_id)]


def check_reason(reason: str) -> None:
    """Refuse a reason that says nothing, or too much.

    Raises:
        BadRequestError: it does.
    """
    if not 0 < len(reason.strip()) <= REASON_CHARACTERS_MAX:
        raise BadRequestError("$.reason", f"say why, in 1 to {REASON_CHARACTERS_MAX} characters")

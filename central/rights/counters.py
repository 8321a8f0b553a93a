"""Grants of shared counters: what is limited over all tills, set aside for them in shares.

A shared counter is a budget with a ceiling, the limit the newest rules name. A till gives of it
only what was handed out to its incarnation before (rules R1, R2), so that all tills together never
give more. As with points, nothing handed out comes home by time: a record of the till brings it, or
the proof that it never arrived, or an operator who knows that the till is gone (design: sync 1.2,
4.8).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.rights.grants import Holder
from central.rights.issuing import RightsSettings
from central.rules.library import RuleLibrary
from central.system import System
from loyalty.compilation import Rules
from loyalty.counters import (
    SharedCounter,
    account_of,
    code_uses,
    ends_on,
    is_shared,
    shared,
    shared_of_code,
)
from loyalty.coupons import counted_needs
from loyalty.limits import POINTS_MAX
from loyalty.offers import NeedsCode, Offer
from sync.messages import CounterAnswer, CounterGrant, CounterRequest, CounterWish, UsedCode
from sync.signing import SigningKey, sign_message

_SQL = load_queries("central.rights", "counters.sql")

DAYS_AROUND: Final = 2
"""Counters of periods that hold one of so many days before and after today are handed out."""
RECALLED_AT_ONCE: Final = 4
SILENT_MS: Final = 86_400_000
KEPT_DAYS: Final = 40
"""So long after it was given a settled grant is kept, and a counter after its period."""
EXCEEDED_KEPT_DAYS: Final = 400
"""The same for counters of which more was given than there was."""
_STATES_MAX: Final = 10_000
_SWEPT_MAX: Final = 5_000
_DAY_MS: Final = 86_400_000
_CODE: Final = code_uses("")


class CounterDesk:
    """Hands out grants of shared counters to verified sessions; the caller has checked that."""

    def __init__(
        self,
        pool: Pool,
        system: System,
        key: SigningKey,
        settings: RightsSettings,
        library: RuleLibrary,
    ) -> None:
        self._pool = pool
        self._system = system
        self._key = key
        self._settings = settings
        self._library = library

    async def hand_out(
        self, request: CounterRequest, holder: Holder, *, store: str, programme: str = ""
    ) -> CounterAnswer:
        """Set aside what there is of what is wished; asked again, what did not arrive comes again.

        Where a customer waits and nothing is left, other tills are asked to give back what they
        have; that takes until their next pull and is not waited for.

        Args:
            programme: the store's; its newest rules say what is limited.
        """
        async with self._pool.acquire() as connection:
            limits = _Limits.of(await self._library.newest(connection, programme))
        known = limits.near(store, self._system.now_ms())
        wishes = {wish.counter: wish for wish in request.wishes}
        grants: list[CounterGrant] = []
        used: list[UsedCode] = []
        for name in sorted(wishes):
            counter = known.get(name) or limits.named(name, store, self._system.now_ms())
            if counter is None:
                continue
            async with self._pool.acquire() as connection, connection.transaction():
                if not await connection.fetchval(
                    _SQL["hold_session"], holder.till_id, holder.session
                ):
                    break  # a later HELLO ended the session
                given, last = await self._give(
                    connection, counter, wishes[name], holder, store=store, taken=request.taken
                )
            grants += given
            if last is not None:
                used.append(UsedCode(code=name.removeprefix(_CODE), last=last))
        return CounterAnswer(grants=tuple(grants), used_codes=tuple(used))

    async def _give(
        self,
        connection: Connection,
        counter: SharedCounter,
        wish: CounterWish,
        holder: Holder,
        *,
        store: str,
        taken: tuple[str, ...],
    ) -> tuple[list[CounterGrant], str | None]:
        """Return the grants for a wish; and of a code that is used up, when and where it was."""
        name = counter.name
        row = await connection.fetchrow(_SQL["open_counter"], name, counter.most, ends_on(name))
        assert row is not None
        whose = (name, holder.till_id, holder.incarnation)
        again = await connection.fetch(_SQL["undelivered"], *whose, holder.session, list(taken))
        grants = [msgspec.msgpack.decode(one["body"], type=CounterGrant) for one in again]
        on_its_way = sum(one["outstanding"] for one in again)
        held = await connection.fetchval(_SQL["held_by_till"], *whose)
        left = max(counter.most - row["given"] - row["overdrawn"], 0)
        share = await self._share(connection, counter, left + held, store, holder)
        amount = min(left, max(share - held, wish.amount - on_its_way, 0))
        if amount:
            grants.append(await self._issue(connection, name, amount, holder))
        if grants or not wish.amount:
            return grants, None
        await connection.execute(_SQL["recall_others"], name, holder.till_id, RECALLED_AT_ONCE)
        is_used = name.startswith(_CODE) and not await connection.fetchval(_SQL["held"], name)
        return [], row["last_used"] if is_used else None

    async def _share(
        self,
        connection: Connection,
        counter: SharedCounter,
        amount: int,
        store: str,
        holder: Holder,
    ) -> int:
        """Return how much a till should have of an amount.

        What one account is given is all for the till that holds points of it: its home vault.
        """
        if counter.scope == "account":
            account_id = account_of(counter.name)
            is_home = await connection.fetchval(
                _SQL["holds_points_of"], account_id, holder.till_id, holder.incarnation
            )
            return amount if is_home else 0
        if counter.scope == "store":
            tills = await connection.fetchval(_SQL["tills_of_store"], store)
        else:
            tills = await connection.fetchval(_SQL["tills"])
        part: int = -(-amount // (max(tills, 1) * self._settings.counter_parts))
        return part if counter.counts == "uses" else max(part, self._settings.counter_amount_min)

    async def _issue(
        self, connection: Connection, name: str, amount: int, holder: Holder
    ) -> CounterGrant:
        grant = sign_message(
            CounterGrant(
                grant_id=str(self._system.new_uuid7()),
                counter=name,
                till_id=holder.till_id,
                incarnation=holder.incarnation,
                session=holder.session,
                amount=amount,
                ends_on=ends_on(name),
            ),
            self._key,
        )
        await connection.execute(
            _SQL["insert_grant"], grant.grant_id, name, holder.till_id, holder.incarnation,
            holder.session, amount, msgspec.msgpack.encode(grant), self._system.now_ms(),
        )  # fmt: skip
        await connection.execute(_SQL["give"], name, amount)
        return grant


@dataclass(frozen=True, slots=True)
class _Limits:
    """What the newest rules limit over all customers."""

    offers: tuple[Offer, ...]
    codes: tuple[NeedsCode, ...]

    @classmethod
    def of(cls, rules: Rules) -> "_Limits":
        offers = rules.bundle.offers
        needs = (need for offer in offers for need in counted_needs(offer.needs))
        return cls(
            tuple(offer for offer in offers if offer.limits.are_shared),
            tuple(need for need in needs if need.uses_max),
        )

    def named(self, name: str, store: str, now_ms: int) -> SharedCounter | None:
        """Return the counter of a code's uses or of what an account is given, about now."""
        if name.startswith(_CODE):
            return self.of_code(name)
        account_id = account_of(name)
        return self.near(store, now_ms, account_id).get(name) if account_id else None

    def near(self, store: str, now_ms: int, account_id: int = 0) -> dict[str, SharedCounter]:
        """Return counters of a store, campaigns and an account whose period holds a day about now.

        Registers' days are local, and their clocks may be wrong.
        """
        return {
            counter.name: counter
            for days in range(-DAYS_AROUND, DAYS_AROUND + 1)
            for offer in self.offers
            for counter in shared(offer, store, _day(now_ms + days * _DAY_MS), account_id)
            if account_id or counter.scope != "account"
        }

    def of_code(self, name: str) -> SharedCounter | None:
        """Return the counter of a code's uses; of several limits the highest."""
        code = name.removeprefix(_CODE)
        found = [counter for need in self.codes if (counter := shared_of_code(need, code))]
        return max(found, key=lambda counter: counter.most, default=None)


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()


# Coming home


async def recalls_for(pool: Pool, holder: Holder) -> tuple[str, ...]:
    """Return grants the till is asked to give back."""
    rows = await pool.fetch(_SQL["recalled_of_till"], holder.till_id, holder.incarnation)
    return tuple(row["grant_id"] for row in rows)


async def close_unreceived(pool: Pool, holder: Holder) -> None:
    """Bring home grants of earlier sessions that the stream does not mention.

    Call it when the till speaks in its new session (`RightsDesk.close_unreceived` says why).
    """
    rows = await pool.fetch(
        _SQL["never_received"], holder.till_id, holder.incarnation, holder.session
    )
    for row in rows:
        async with pool.acquire() as connection, connection.transaction():
            closed = await connection.fetchrow(_SQL["close_unreceived"], row["grant_id"])
            if closed is not None:
                await connection.execute(_SQL["come_home"], closed["counter"], closed["taken"])


async def mark_received(
    connection: Connection, *, till_id: int, incarnation: bytes, grant_id: str
) -> bool:
    """Note that a till has a grant, durably; False for none of its."""
    done = await connection.execute(_SQL["mark_received"], grant_id, till_id, incarnation)
    return done == "UPDATE 1"


async def take_home(
    connection: Connection, *, till_id: int, incarnation: bytes, grant_id: str, amount: int
) -> int | None:
    """Bring the stated residue of a grant home, at most what it still has; None for no such."""
    row = await connection.fetchrow(_SQL["take_home"], grant_id, till_id, incarnation, amount)
    if row is None:
        return None
    await connection.execute(_SQL["come_home"], row["counter"], row["taken"])
    taken: int = row["taken"]
    return taken


# What receipts draw and returns take back


def by_name(counted: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return what is counted on shared counters, each once."""
    found: dict[str, int] = {}
    for name, plus in counted:
        if is_shared(name):
            found[name] = min(found.get(name, 0) + plus, POINTS_MAX)
    return found


async def take_back(connection: Connection, counted: Mapping[str, int]) -> None:
    """Take off what a return reverses: there is room for so much again, for whichever till."""
    for name in sorted(counted):
        await connection.execute(_SQL["take_back"], name, counted[name])


# Sweeping


async def sweep(pool: Pool, *, now_ms: int) -> int:
    """Forget grants settled long ago and counters of periods long over; returns how many.

    A grant of which nothing is outstanding changes nothing any more: a late record that names it
    finds as little with it as without it. What was used of it stays with its counter.
    """
    swept: int = await pool.fetchval(_SQL["sweep_grants"], now_ms - KEPT_DAYS * _DAY_MS, _SWEPT_MAX)
    over, exceeded = (_day(now_ms - days * _DAY_MS) for days in (KEPT_DAYS, EXCEEDED_KEPT_DAYS))
    done = await pool.execute(_SQL["sweep_counters"], over, exceeded, _SWEPT_MAX)
    return swept + int(done.rpartition(" ")[2])


# For people


class CounterState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a shared counter stands; uses, minor units or points, as its name says.

    Attributes:
        most: the limit; what was given before it was lowered stays.
        handed_out: held by tills.
        used: on receipts, less what came back.
        overdrawn: on receipts with no right behind it.
        excess: what may have been given beyond the limit.
        silent: of what is handed out, held by tills not heard of for a day, revoked, or begun anew.
    """

    name: str
    most: int
    handed_out: int
    used: int
    overdrawn: int
    excess: int
    silent: int
    ends_on: str


async def read_states(pool: Pool, *, now_ms: int, account_id: int = 0) -> list[CounterState]:
    """Return the counters of periods that are not over, by name.

    Args:
        account_id: what this customer is given; 0 = what is given to all.
    """
    silent_ms = now_ms - SILENT_MS
    rows = await pool.fetch(_SQL["states"], _day(now_ms), silent_ms, _STATES_MAX, account_id)
    return [CounterState(**row) for row in rows]


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator gave up for lost.

    Attributes:
        amounts: by counter.
    """

    grants: int = 0
    amounts: dict[str, int] = {}


async def release(pool: Pool, till_id: int, *, counter: str = "", really: bool) -> Released:
    """Count as free again what a till holds that will never be heard of again.

    Should it have been used all the same, it stands beside the counter as overdrawn.

    Args:
        counter: only of this one; empty = all.
        really: do it; otherwise only say what there is.
    """
    amounts: dict[str, int] = {}
    grants = 0
    for row in await pool.fetch(_SQL["held_by"], till_id, counter):
        name, taken = row["counter"], row["outstanding"]
        if really:
            async with pool.acquire() as connection, connection.transaction():
                done = await connection.fetchrow(_SQL["release"], row["grant_id"])
                if done is None:
                    continue
                taken = done["taken"]
                await connection.execute(_SQL["come_home"], name, taken)
        grants += 1
        amounts[name] = amounts.get(name, 0) + taken
    return Released(grants=grants, amounts=amounts)

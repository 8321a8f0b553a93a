"""When rights are issued.

Authorisations on request, grants at the pull of a store's vault, risk budget at HELLO.
"""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import OverloadedError
from central.ledger.books import LockedAccount, lock_account
from central.rights import budgets, grants
from central.rights.grants import Holder, Terms
from central.rights.waking import wake_holders
from central.system import System
from sync.messages import AuthoriseAnswer, AuthoriseRequest, Grant
from sync.signing import SigningKey

_SQL = load_queries("central.rights", "queries.sql")

DAY_MS = 86_400_000

Turn = AbstractAsyncContextManager[object]
"""What is held while the database is asked, and not while one waits."""
_AT_ONCE: Turn = nullcontext()
_CYCLES_KEPT = 50
_LOOK_S = 0.05
_HEARD_MS = 660_000
"""A till heard of so lately may be there to answer a recall; its pull may wait some minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RightsSettings:
    """The bounds of what may be spent away from the centre (defaults: design, sync 4.14).

    Attributes:
        grant_points_max: the most set aside of one account for its home store.
        grant_points_min: fewer are not set aside there: a grant costs a till's line some 170 bytes.
        risk_points_per_till: the most a till, over all its streams, may have of risk budget that
            the centre has not settled; 0 = no overdraft ever.
        grant_days: how long a grant may be spent.
        grants_per_pull_max: bounds the work of one pull.
        till_points_max: the most one till may hold in grants (G of I13).
        offline_points_max: the most a till may spend from grants and risk budget between two
            HELLOs (V of I1): what a disk that came back unnoticed can spend twice.
        loss_days: so long after its end a right whose till is not heard of is written off.
        exposure_days: so long without a word of a till an operator may not close its exposures.
        recall_wait_ms: how long an authorisation waits for what is asked back from a till that may
            be there; what the till waits for an authorisation is more. 0 = not at all.
        counter_parts: of what is left of a shared counter each till gets one part in advance:
            left / (tills x parts).
        counter_amount_min: the least such part of money or points; of uses it is one.
    """

    grant_points_max: int = 500
    grant_points_min: int = 1
    risk_points_per_till: int = 500
    grant_days: int = 14
    grants_per_pull_max: int = 100
    till_points_max: int = 5_000_000
    offline_points_max: int = 20_000
    loss_days: int = 14
    exposure_days: int = 400
    recall_wait_ms: int = 0
    counter_parts: int = 4
    counter_amount_min: int = 1_000


def business_date(now_ms: int, days: int = 0) -> str:
    """Return the day of a moment, plus some days, `YYYY-MM-DD`."""
    return (datetime.fromtimestamp(now_ms / 1000, UTC) + timedelta(days=days)).date().isoformat()


class RightsDesk:
    """Issues rights to verified sessions only (rule R2); the caller has checked that."""

    def __init__(
        self, pool: Pool, system: System, key: SigningKey, settings: RightsSettings
    ) -> None:
        self._pool = pool
        self._system = system
        self._key = key
        self._settings = settings

    @property
    def settings(self) -> RightsSettings:
        """The bounds."""
        return self._settings

    async def authorise(
        self,
        request: AuthoriseRequest,
        holder: Holder,
        *,
        programme: str = "",
        door: Turn = _AT_ONCE,
    ) -> AuthoriseAnswer:
        """Authorise points for one receipt; asked again it only adds what is missing.

        What another till holds is asked back. A till whose pull waits here answers within moments:
        if there is one, the residue is waited for a little and what comes is set aside, too
        (design: sync 4.8). At the end of that time the answer is what is set aside by then, however
        long a look waits: the till waits no longer.

        Args:
            programme: of the till's store; wallets of others pay nothing there.
            door: entered for each look at the database, left while a residue is waited for.

        Raises:
            OverloadedError: too many authorise; nothing was set aside.
        """
        async with door:
            answer = await self._authorise(request, holder, programme)
        if not answer.held_elsewhere_points or not self._settings.recall_wait_ms:
            return answer
        # Nobody may get in any more, or not in time: what was set aside is told all the same.
        with suppress(OverloadedError, TimeoutError):
            async with asyncio.timeout(self._settings.recall_wait_ms / 1000):
                while await self._residue_came(request, holder, answer, door):
                    async with door:
                        answer = await self._authorise(request, holder, programme)
        return answer

    async def _residue_came(
        self, request: AuthoriseRequest, holder: Holder, answer: AuthoriseAnswer, door: Turn
    ) -> bool:
        """Wait until points of a recall are no longer held elsewhere; False: none will come."""
        elsewhere = (request.account_id, holder.till_id, holder.incarnation)
        heard_ms = self._system.now_ms() - _HEARD_MS
        before = held = answer.held_elsewhere_points
        if not before:
            return False
        async with door:
            if not await self._pool.fetchval(_SQL["holders_heard"], *elsewhere, heard_ms):
                return False
        while held >= before:
            await asyncio.sleep(_LOOK_S)
            async with door:
                held = await self._pool.fetchval(_SQL["held_by_others"], *elsewhere)
        return True

    async def _authorise(
        self, request: AuthoriseRequest, holder: Holder, programme: str
    ) -> AuthoriseAnswer:
        async with self._pool.acquire() as connection, connection.transaction():
            await lock_sale_key(connection, request.key)
            try:
                account = await lock_account(connection, request.account_id)
            except LookupError:
                return AuthoriseAnswer()
            if account.blocked or account.programme != programme:
                return AuthoriseAnswer()
            if await _is_settled(connection, request.key):
                return AuthoriseAnswer()
            rows = await connection.fetch(
                _SQL["bodies_of_sale"], request.key, holder.till_id, holder.incarnation,
                account.account_id,
            )  # fmt: skip
            rights = [msgspec.msgpack.decode(row["body"], type=Grant) for row in rows]
            missing = request.points - sum(row["outstanding"] for row in rows)
            if missing > 0:
                now_ms = self._system.now_ms()
                terms = Terms(
                    purpose="authorisation",
                    sale_key=request.key,
                    not_after_ms=now_ms + self._settings.grant_days * DAY_MS,
                    date=business_date(now_ms),
                    last_date=business_date(now_ms),
                    now_ms=now_ms,
                    long_lived_first=False,
                    told_as=request.account_id,
                )
                right = await self._issue(connection, account, missing, holder, terms)
                if right is not None:
                    rights.append(right)
                    missing -= right.points
            held_elsewhere = 0
            if missing > 0:
                elsewhere = (account.account_id, holder.till_id, holder.incarnation)
                held_elsewhere = await connection.fetchval(_SQL["held_by_others"], *elsewhere)
                asked_back = await connection.fetch(_SQL["recall"], *elsewhere)
                await wake_holders(
                    connection, account.account_id, [tuple(row) for row in asked_back]
                )
        return AuthoriseAnswer(authorisations=tuple(rights), held_elsewhere_points=held_elsewhere)

    async def _issue(
        self,
        connection: Connection,
        account: LockedAccount,
        points: int,
        holder: Holder,
        terms: Terms,
    ) -> Grant | None:
        return await grants.issue(
            connection,
            account,
            points=points,
            holder=holder,
            terms=terms,
            grant_id=str(self._system.new_uuid7()),
            key=self._key,
        )

    async def grants_for(self, holder: Holder) -> tuple[Grant, ...]:
        """Issue what is wished for this till and return every grant it has not recorded yet."""
        most = self._settings.grants_per_pull_max
        for row in await self._pool.fetch(_SQL["wishes"], holder.till_id, most):
            await self._fulfil(row["account_id"], holder)
        rows = await self._pool.fetch(
            _SQL["undelivered"], holder.till_id, holder.incarnation, holder.session, most
        )
        return tuple(msgspec.msgpack.decode(row["body"], type=Grant) for row in rows)

    async def _fulfil(self, account_id: int, holder: Holder) -> None:
        now_ms = self._system.now_ms()
        async with self._pool.acquire() as connection, connection.transaction():
            account = await lock_account(connection, account_id)
            if not await connection.fetchval(_SQL["hold_session"], holder.till_id, holder.session):
                return  # a later HELLO ended the session: the wish is its to fulfil
            room = await self._set_bounds(connection, holder.till_id)
            if not room:
                return  # the till holds as much as it may; the wish waits until some is spent
            wished = await connection.fetchval(_SQL["drop_wish"], holder.till_id, account_id)
            if not wished:
                return  # the account is at home elsewhere now
            held = await connection.fetchval(
                _SQL["open_of_account_at"], account_id, holder.till_id, holder.incarnation
            )
            points = min(self._settings.grant_points_max - held, room)
            if points > 0 and not account.blocked:
                terms = Terms(
                    purpose="grant",
                    sale_key="",
                    not_after_ms=now_ms + self._settings.grant_days * DAY_MS,
                    date=business_date(now_ms),
                    # Only lots that live longer than the grant:
                    # a held lot never runs out under a till.
                    last_date=business_date(now_ms, self._settings.grant_days),
                    now_ms=now_ms,
                    long_lived_first=True,
                    points_min=self._settings.grant_points_min,
                )
                await self._issue(connection, account, points, holder, terms)

    async def recalls_for(self, holder: Holder) -> tuple[str, ...]:
        """Return grants the till is asked to give back."""
        rows = await self._pool.fetch(_SQL["recalled_of_till"], holder.till_id, holder.incarnation)
        return tuple(row["grant_id"] for row in rows)

    async def close_unreceived(self, holder: Holder) -> None:
        """Bring home grants of earlier sessions that the stream does not mention.

        Call it when the till speaks in its new session: that proves that its HELLO was no late
        copy, so that the till had ended the session before. Whatever the stream held at that HELLO
        has to be here and applied: what is not in it was never accepted, and can not be any more
        (rule R2).
        """
        rows = await self._pool.fetch(
            _SQL["never_received"], holder.till_id, holder.incarnation, holder.session
        )
        for row in rows:
            async with self._pool.acquire() as connection, connection.transaction():
                account_id, grant_id = row["account_id"], row["grant_id"]
                await lock_account(connection, account_id)
                if await connection.fetchval(_SQL["still_unreceived"], account_id, grant_id):
                    await grants.close(connection, account_id, grant_id)
                    await connection.execute(_SQL["wish"], holder.till_id, account_id)

    async def give_budget(self, connection: Connection, holder: Holder, *, seq: int) -> int:
        """Fill the till's risk budget to its limit; returns all ever given to the incarnation."""
        most = self._settings.risk_points_per_till
        return await budgets.give_budget(connection, holder, seq=seq, points_max=most)

    async def begin_cycle(self, connection: Connection, holder: Holder, *, seq: int) -> int:
        """Begin a cycle at a verified HELLO; returns what the till may spend in it (V of I1).

        Args:
            seq: the stream's last record; those after it are the cycle's.
        """
        await self._set_bounds(connection, holder.till_id)
        cycle = (holder.till_id, holder.incarnation)
        await connection.execute(_SQL["begin_cycle"], *cycle, seq)
        await connection.execute(_SQL["forget_cycles"], *cycle, _CYCLES_KEPT)
        return self._settings.offline_points_max

    async def _set_bounds(self, connection: Connection, till_id: int) -> int:
        """Keep the till's caps where its rights are counted; returns how much more it may hold."""
        caps = (self._settings.till_points_max, self._settings.offline_points_max)
        room: int = await connection.fetchval(_SQL["set_bounds"], till_id, *caps)
        return room


async def _is_settled(connection: Connection, sale_key: str) -> bool:
    """Say whether the receipt's record has come already: nothing is authorised for it any more."""
    return bool(
        await connection.fetchval(
            "select exists(select 1 from receipt where sale_key = $1)"
            " or exists(select 1 from voided_key where sale_key = $1)",
            sale_key,
        )
    )


async def lock_sale_key(connection: Connection, sale_key: str) -> None:
    """Wait for whoever else settles or authorises this receipt; before any account is locked."""
    await connection.execute(_SQL["lock_sale_key"], sale_key)

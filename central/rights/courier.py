"""Grants that a customer's telephone carries to a till without a line (design: sync 4.9).

An ask names a till, its incarnation and a fresh nonce; the grant for it is issued like any other,
once, and can be taken by that incarnation alone. Time releases none: a grant that no record
mentions comes home when the till itself has said that the ask is over (rule R2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import BadRequestError, NotFoundError
from central.ledger.books import LockedAccount, lock_account
from central.rights import grants
from central.rights.grants import Holder, Terms
from central.rights.issuing import RightsSettings, business_date
from central.rights.waking import wake_holders
from central.system import System
from sync import qr
from sync.errors import QrTextError, SignatureError
from sync.messages import Grant, Hello
from sync.qr import CourierAsk, CourierGrant, ReceiptProof
from sync.signing import SigningKey

_SQL = load_queries("central.rights", "courier.sql")
_RIGHTS = load_queries("central.rights", "queries.sql")
_LEDGER = load_queries("central.ledger", "queries.sql")

COURIER_DAYS: Final = 1
"""A grant is carried over at once; what is left of it soon comes home."""
_DAY_MS: Final = 86_400_000
_MINUTE_MS: Final = 60_000


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What a telephone brings back from the centre.

    Attributes:
        outcome: `granted`; or why there is nothing to carry: the customer has nothing, another till
            holds it and is asked to give it back, the account is blocked or the card another's, the
            ask is over or another customer's.
        code: for the register to scan.
        held_elsewhere_points: set aside for other tills.
        receipts_heard: how many of the receipts carried along were new and genuine.
    """

    outcome: Literal[
        "granted", "nothing_available", "held_elsewhere", "blocked", "another_card", "ask_over"
    ]
    store: str
    till_id: int
    code: str = ""
    points: int = 0
    not_after_ms: int = 0
    held_elsewhere_points: int = 0
    receipts_heard: int = 0


@dataclass(frozen=True, slots=True)
class CourierDesk:
    """Answers customers' telephones; who the customer is, the caller has made sure of."""

    pool: Pool
    system: System
    key: SigningKey
    settings: RightsSettings

    async def carry(self, card: bytes, code: str, receipt_codes: Sequence[str] = ()) -> Carried:
        """Give points of the customer to the till that asks; asked again, the same grant.

        Args:
            card: keyed hash of any card of the customer.
            code: the ask, as scanned.
            receipt_codes: of receipts the telephone has seen lately.

        Raises:
            BadRequestError: the ask cannot be read, or no till of this chain signed it.
            NotFoundError: nobody is known by the card in the programme of the till's store.
        """
        ask, till = await self._read(code)
        async with self.pool.acquire() as connection:
            heard = 0
            for receipt_code in receipt_codes:
                heard += await hear(connection, receipt_code, now_ms=self.system.now_ms())
            whose = (card, till["programme"])
            account_id = await connection.fetchval(_SQL["account_of_card"], *whose)
            if account_id is None:
                raise NotFoundError("nobody is known by this card")
            async with connection.transaction():
                carried = await self._give(connection, account_id, ask, till)
        return msgspec.structs.replace(carried, receipts_heard=heard)

    async def _read(self, code: str) -> tuple[CourierAsk, asyncpg.Record]:
        try:
            ask = qr.read(CourierAsk, code)
            till = await self.pool.fetchrow(
                _SQL["asking_till"], ask.till_id, ask.incarnation, ask.number, ask.nonce
            )
            if till is None:
                raise BadRequestError("$.ask", "no till of this chain")
            qr.check_seal(ask, till["public_key"])
        except (QrTextError, SignatureError) as error:
            raise BadRequestError("$.ask", str(error)) from error
        return ask, till

    async def _give(
        self, connection: Connection, account_id: int, ask: CourierAsk, till: asyncpg.Record
    ) -> Carried:
        await connection.execute(_SQL["lock_ask"], ask.till_id, ask.nonce)
        account = await lock_account(connection, account_id)
        nothing = Carried(outcome="ask_over", store=till["store_id"], till_id=ask.till_id)
        made = await connection.fetchrow(
            _SQL["grant_of_ask"], ask.till_id, ask.incarnation, ask.nonce
        )
        if made is not None:
            if made["account_id"] != account_id:
                return nothing
            return await self._carried(connection, nothing, _decoded(made))
        if till["revoked"] or till["over"] or till["followed"]:
            return nothing
        if account.blocked:
            return msgspec.structs.replace(nothing, outcome="blocked")
        cards = await connection.fetch(_SQL["cards_of_account"], account_id)
        if not any(row["card"].startswith(ask.card) for row in cards):
            return msgspec.structs.replace(nothing, outcome="another_card")
        grant = await self._issue(connection, account, ask)
        if grant is None:
            return await self._ask_back(connection, account_id, ask, nothing)
        return await self._carried(connection, nothing, grant)

    async def _issue(
        self, connection: Connection, account: LockedAccount, ask: CourierAsk
    ) -> Grant | None:
        now_ms = self.system.now_ms()
        settings = self.settings
        room: int = await connection.fetchval(
            _RIGHTS["set_bounds"], ask.till_id, settings.till_points_max,
            settings.offline_points_max,
        )  # fmt: skip
        date, last_date = business_date(now_ms), business_date(now_ms, COURIER_DAYS)
        rows = await connection.fetch(
            _LEDGER["spendable_lots"], account.account_id, date, last_date
        )
        fits_one_code = sum(row["available"] for row in rows[: qr.LOTS_MAX])
        points = min(ask.points, settings.grant_points_max, room, fits_one_code)
        if points <= 0:
            return None
        grant = await grants.issue(
            connection,
            account,
            points=points,
            holder=Holder(till_id=ask.till_id, incarnation=ask.incarnation, session=ask.nonce),
            terms=Terms(
                purpose="grant",
                sale_key="",
                not_after_ms=(now_ms + COURIER_DAYS * _DAY_MS) // _MINUTE_MS * _MINUTE_MS,
                date=date,
                last_date=last_date,
                now_ms=now_ms,
                # It is spent at once: what ends first goes first.
                long_lived_first=False,
            ),
            grant_id=str(self.system.new_uuid7()),
            key=self.key,
        )
        if grant is not None:
            await connection.execute(
                _SQL["note_ask"], account.account_id, grant.grant_id, ask.number
            )
        return grant

    async def _carried(self, connection: Connection, nothing: Carried, grant: Grant) -> Carried:
        return msgspec.structs.replace(
            nothing,
            outcome="granted",
            code=await grant_code(connection, grant, self.key),
            points=grant.points,
            not_after_ms=grant.not_after_ms,
        )

    async def _ask_back(
        self, connection: Connection, account_id: int, ask: CourierAsk, nothing: Carried
    ) -> Carried:
        elsewhere = (account_id, ask.till_id, ask.incarnation)
        held: int = await connection.fetchval(_RIGHTS["held_by_others"], *elsewhere)
        asked_back = await connection.fetch(_RIGHTS["recall"], *elsewhere)
        await wake_holders(connection, account_id, [tuple(row) for row in asked_back])
        return msgspec.structs.replace(
            nothing,
            outcome="held_elsewhere" if held else "nothing_available",
            held_elsewhere_points=held,
        )


async def grant_code(connection: Connection, grant: Grant, key: SigningKey) -> str:
    """Return a grant by courier as its telephone shows it."""
    tier = await connection.fetchval(_SQL["tier_of_account"], grant.account_id)
    document = CourierGrant(
        grant_id=grant.grant_id,
        account_id=grant.account_id,
        till_id=grant.till_id,
        incarnation=grant.incarnation,
        nonce=grant.session,
        points=grant.points,
        lots=grant.lots,
        not_after_ms=grant.not_after_ms,
        tier=tier if len(tier.encode()) <= qr.TIER_BYTES_MAX else "",
    )
    return qr.sealed_text(document, key)


def _decoded(row: asyncpg.Record) -> Grant:
    return msgspec.msgpack.decode(row["body"], type=Grant)


# What a till says of its asks


async def note_hello(connection: Connection, till_id: int, hello: Hello, *, now_ms: int) -> int:
    """Keep which asks are over; returns how far the stream must reach at least (`seen_seq`)."""
    await connection.execute(
        _SQL["note_asks"], till_id, hello.asks_made, list(hello.asks_open), now_ms
    )
    seen: int = await connection.fetchval(_SQL["seen_seq"], till_id, hello.incarnation)
    return seen


async def close_dead(pool: Pool, holder: Holder) -> None:
    """Bring home grants by courier whose asks are over and which the stream does not mention.

    Call it when the till speaks in its live session, as `RightsDesk.close_unreceived`.
    """
    rows = await pool.fetch(_SQL["dead_asks"], holder.till_id, holder.incarnation, holder.session)
    for row in rows:
        async with pool.acquire() as connection, connection.transaction():
            account_id, grant_id = row["account_id"], row["grant_id"]
            await lock_account(connection, account_id)
            if await connection.fetchval(_RIGHTS["still_unreceived"], account_id, grant_id):
                await grants.close(connection, account_id, grant_id)


# Receipts that prove themselves


async def prove(connection: Connection, code: str) -> ReceiptProof | None:
    """Return what a receipt's code says; None where no till of this chain has signed it."""
    try:
        proof = qr.read(ReceiptProof, code)
        public = await connection.fetchval(_SQL["key_of_till"], proof.till_id)
        if public is None:
            return None
        qr.check_seal(proof, public)
    except (QrTextError, SignatureError):
        return None
    return proof


async def hear(connection: Connection, code: str, *, now_ms: int) -> bool:
    """Keep a note of a receipt whose record has not come; the record alone posts anything.

    Returns:
        Whether the code is genuine and the receipt was news.
    """
    proof = await prove(connection, code)
    if proof is None:
        return False
    await connection.execute(_SQL["forget_posted"], proof.till_id)
    done = await connection.execute(
        _SQL["hear_receipt"], proof.key, proof.till_id, proof.incarnation, proof.seq,
        proof.earned_points, proof.redeemed_points, proof.paid_minor, proof.moment, code, now_ms,
    )  # fmt: skip
    return done == "INSERT 0 1"


async def fate(
    connection: Connection, proof: ReceiptProof
) -> Literal["posted", "posted_differently", "heard", "unknown"]:
    """Return what became of a receipt, by what its code says of it."""
    row = await connection.fetchrow(_SQL["fate_of_receipt"], proof.key)
    assert row is not None
    if row["till_id"] is None:
        return "heard" if row["heard"] else "unknown"
    posted = (row["till_id"], row["earned_points"], row["redeemed_points"], row["paid_minor"])
    says = (proof.till_id, proof.earned_points, proof.redeemed_points, proof.paid_minor)
    return "posted" if posted == says else "posted_differently"

"""Loads stores, accounts, cards and opening lots from JSON lines; a file can be repeated."""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import BadRequestError
from central.ledger import books
from central.ledger.books import Cause, lock_account
from central.rights.issuing import wish_for_home
from central.system import System
from loyalty.calculation import EarnedLot
from loyalty.limits import POINTS_MAX
from sync.limits import COUNT_MAX
from sync.signing import card_hash

_SQL = load_queries("central.people", "queries.sql")
_TILLS = load_queries("central.tills", "queries.sql")
_STREAMS = load_queries("central.streams", "queries.sql")

_DAY = Annotated[str, Meta(pattern=r"^(\d{4}-\d{2}-\d{2})?$")]


class StoreLine(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="store",
):
    """A store."""

    store: Annotated[str, Meta(min_length=1, max_length=40)]
    region: str = ""
    banner: str = ""
    time_zone: str = "UTC"


class OpeningLot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points an account brings along."""

    points: Annotated[int, Meta(ge=1, le=POINTS_MAX)]
    active_from: _DAY
    name: str = "opening"
    expires_on: _DAY = ""
    restriction: str = ""


class AccountLine(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="account",
):
    """An account with its cards; card numbers are hashed at once and stored nowhere."""

    account_id: Annotated[int, Meta(ge=1, le=COUNT_MAX)]
    home_store: str
    cards: tuple[str, ...] = ()
    tier: str = ""
    segments: tuple[str, ...] = ()
    lots: tuple[OpeningLot, ...] = ()


_decoder = msgspec.json.Decoder(StoreLine | AccountLine)


class Loaded(msgspec.Struct):
    """How many lines made something new."""

    stores: int = 0
    accounts: int = 0
    accounts_known: int = 0


async def load_lines(
    pool: Pool, lines: Iterable[bytes], *, card_key: bytes, system: System
) -> Loaded:
    """Load line by line, each in a transaction of its own.

    Raises:
        BadRequestError: a line is wrong; it names line and field,
            and everything before it is loaded.
    """
    loaded = Loaded()
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            line = _decoder.decode(text)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise BadRequestError(f"line {number}", str(error)) from error
        async with pool.acquire() as connection, connection.transaction():
            if isinstance(line, StoreLine):
                await connection.execute(
                    _TILLS["put_store"], line.store, line.region, line.banner, line.time_zone
                )
                loaded.stores += 1
            elif await _load_account(connection, line, card_key=card_key, system=system):
                loaded.accounts += 1
            else:
                loaded.accounts_known += 1
    return loaded


async def _load_account(
    connection: Connection, line: AccountLine, *, card_key: bytes, system: System
) -> bool:
    made = await connection.fetchval(
        _SQL["put_account"], line.account_id, line.tier, list(line.segments), line.home_store
    )
    for number in line.cards:
        card = card_hash(card_key, number)
        await connection.execute(_SQL["put_card"], card, line.account_id)
        # Receipts may have been waiting for somebody to be known by this card.
        await connection.execute(_STREAMS["unpark"], f"card:{card.hex()}")
    if made is None:
        return False
    account = await lock_account(connection, line.account_id)
    lots = [
        EarnedLot(
            offer_id="opening",
            points=lot.points,
            name=lot.name,
            active_from=lot.active_from,
            expires_on=lot.expires_on,
            restriction=lot.restriction,
        )
        for lot in line.lots
    ]
    cause = Cause(f"opening:{line.account_id}", None, system.now_ms())
    await books.earn(connection, account, lots, cause)
    if await connection.fetchval(
        "select exists(select 1 from store where store_id = $1)", line.home_store
    ):
        await connection.execute(_SQL["put_interest"], line.home_store, line.account_id)
        await connection.execute(_STREAMS["tell_stores"], line.account_id)
        await wish_for_home(connection, account_id=line.account_id, home_store=line.home_store)
    return True

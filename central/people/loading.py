"""Loads stores, accounts, cards and opening lots from JSON lines; a file can be repeated."""

from collections.abc import Iterable
from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from central.access import personal_offers
from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import BadRequestError
from central.ledger import books
from central.ledger.books import Cause, current_account, lock_account
from central.ledger.places import add_cards
from central.people.birthdays import DAYS_DEFAULT, is_month_and_day, window
from central.programmes.registry import (
    DEFAULT,
    called,
    keep_programmes,
    programme_of_account,
    programme_of_new_store,
    programme_of_store,
    require_programme,
)
from central.rights.planner import name_home
from central.streams.stored import wait_for_card
from central.system import System
from loyalty.calculation import EarnedLot
from loyalty.limits import POINTS_MAX, TEXT_CHARACTERS_MAX
from sync.limits import ACCOUNT_OFFERS_MAX, ACCOUNT_SEGMENTS_MAX, COUNT_MAX
from sync.signing import card_hash

_SQL = load_queries("central.people", "queries.sql")
_TILLS = load_queries("central.tills", "queries.sql")
_STREAMS = load_queries("central.streams", "queries.sql")

_DAY = Annotated[str, Meta(pattern=r"^(\d{4}-\d{2}-\d{2})?$")]
_Text = Annotated[str, Meta(max_length=TEXT_CHARACTERS_MAX)]
_Name = Annotated[str, Meta(min_length=1, max_length=TEXT_CHARACTERS_MAX)]

T = TypeVar("T")


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
    """An account with its cards; card numbers are hashed at once and stored nowhere.

    Of an account that is known, what is given replaces what was there, lists as a whole; what is
    left out stays. Cards are added. Lots are opening points, of new accounts alone.

    Attributes:
        programme: whose wallet it is; left out, of a new account that of its home store. It stays.
        personal_offers: ids of the offers made to this customer, beside those switched on.
        offers_to_activate: ids of those the customer may switch on; what is switched on stays.
        birthday: day and month, `MM-DD`; empty = not known.
    """

    account_id: Annotated[int, Meta(ge=1, le=COUNT_MAX)]
    home_store: str
    cards: tuple[str, ...] = ()
    programme: _Text | UnsetType = UNSET
    tier: _Text | UnsetType = UNSET
    segments: Annotated[tuple[_Name, ...], Meta(max_length=ACCOUNT_SEGMENTS_MAX)] | UnsetType = (
        UNSET
    )
    personal_offers: (
        Annotated[tuple[_Name, ...], Meta(max_length=ACCOUNT_OFFERS_MAX)] | UnsetType
    ) = UNSET
    offers_to_activate: (
        Annotated[tuple[_Name, ...], Meta(max_length=ACCOUNT_OFFERS_MAX)] | UnsetType
    ) = UNSET
    birthday: str | UnsetType = UNSET
    lots: tuple[OpeningLot, ...] = ()

    def __post_init__(self) -> None:
        if self.birthday and not is_month_and_day(self.birthday):
            raise ValueError(f"birthday {self.birthday!r} is no day and month, MM-DD")


_decoder = msgspec.json.Decoder(StoreLine | AccountLine)


class Loaded(msgspec.Struct):
    """How many lines made something new.

    Attributes:
        accounts_changed: of those known.
    """

    stores: int = 0
    accounts: int = 0
    accounts_known: int = 0
    accounts_changed: int = 0


async def load_lines(
    pool: Pool,
    lines: Iterable[bytes],
    *,
    card_key: bytes,
    system: System,
    birthday_days: int = DAYS_DEFAULT,
) -> Loaded:
    """Load line by line, each in a transaction of its own.

    Args:
        birthday_days: before and after a birthday, for accounts whose birthday is given.

    Raises:
        BadRequestError: a line is wrong; it names line and field,
            and everything before it is loaded.
    """
    loaded = Loaded()
    birthdays = frozenset(window(system.now_ms(), birthday_days))
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            line = _decoder.decode(text)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise BadRequestError(f"line {number}", str(error)) from error
        async with pool.acquire() as connection, connection.transaction():
            if isinstance(line, StoreLine):
                await _put_store(connection, line)
                loaded.stores += 1
                continue
            line = await _followed(connection, line)
            programme = await _programme_of(connection, line)
            is_new = await _put_account(connection, line, programme)
            if not is_new:
                # First of all, as whoever else changes an account does.
                line = await _locked(connection, line)
            is_changed = await _put_cards(
                connection, line, programme, card_key=card_key, is_new=is_new
            )
            is_changed |= await _put_birthday(connection, line, birthdays)
            if not isinstance(line.offers_to_activate, UnsetType):
                offers = sorted(set(line.offers_to_activate))
                await personal_offers.put_offers(connection, line.account_id, offers)
            if is_new:
                await _open_account(connection, line, system=system)
                loaded.accounts += 1
                continue
            is_changed |= await _change_account(connection, line)
            if is_changed:
                await connection.execute(_STREAMS["tell_stores"], line.account_id)
            loaded.accounts_known += 1
            loaded.accounts_changed += is_changed
    return loaded


async def _followed(connection: Connection, line: AccountLine) -> AccountLine:
    """Return the line; of an account that was merged only its cards, for the other one."""
    if await connection.fetchval(_SQL["is_erased"], line.account_id):
        raise _erased()
    return _for(await current_account(connection, line.account_id), line)


async def _locked(connection: Connection, line: AccountLine) -> AccountLine:
    """Lock a known account; returns the line for what it is by now.

    Whoever erases or merges customers may have had it until this moment.
    """
    account = await lock_account(connection, line.account_id)
    if account.erased:
        raise _erased()
    return _for(account.account_id, line)


def _for(current: int, line: AccountLine) -> AccountLine:
    if current == line.account_id:
        return line
    return AccountLine(account_id=current, home_store=line.home_store, cards=line.cards)


def _erased() -> BadRequestError:
    return BadRequestError(
        "$.account_id", "this customer was erased; a new one gets another number"
    )


async def _put_store(connection: Connection, line: StoreLine) -> None:
    programme = await programme_of_new_store(connection, line.store, line.banner)
    await connection.execute(
        _TILLS["put_store"], line.store, line.region, line.banner, line.time_zone, programme
    )


async def _programme_of(connection: Connection, line: AccountLine) -> str:
    """Return whose wallet an account is, or is to be.

    Raises:
        BadRequestError: the line says another programme than the account has, or its home store.
        NotFoundError: there is no such programme.
    """
    await keep_programmes(connection)
    known = await programme_of_account(connection, line.account_id)
    home = await programme_of_store(connection, line.home_store)
    if isinstance(line.programme, UnsetType):
        return known if known is not None else home or DEFAULT
    if known is not None and known != line.programme:
        raise BadRequestError(
            "$.programme", f"account {line.account_id} is a wallet of {called(known)}"
        )
    if known is None:
        await require_programme(connection, line.programme)
        if home not in (None, line.programme):
            raise BadRequestError(
                "$.home_store", f"store {line.home_store} is of {called(home or DEFAULT)}"
            )
    return line.programme


async def _put_account(connection: Connection, line: AccountLine, programme: str) -> bool:
    made = await connection.fetchval(
        _SQL["put_account"], line.account_id, _given(line.tier), _sorted(line.segments),
        line.home_store, _sorted(line.personal_offers), programme,
    )  # fmt: skip
    return made is not None


async def _put_cards(
    connection: Connection, line: AccountLine, programme: str, *, card_key: bytes, is_new: bool
) -> bool:
    """Keep the account's cards; returns whether one of them is new."""
    some_new = False
    for number in line.cards:
        card = card_hash(card_key, number)
        if await connection.fetchval(_SQL["put_card"], card, line.account_id, programme):
            some_new = True
            await add_cards(connection, line.account_id, [card], is_new=is_new)
        # Receipts may have been waiting for somebody to be known by this card.
        await connection.execute(_STREAMS["unpark"], wait_for_card(card.hex(), programme))
    return some_new


async def _put_birthday(
    connection: Connection, line: AccountLine, birthdays: frozenset[str]
) -> bool:
    """Keep a given birthday; returns whether the account's window opened or closed by it."""
    if isinstance(line.birthday, UnsetType):
        return False
    if line.birthday:
        await connection.execute(_SQL["put_birthday"], line.account_id, line.birthday)
    else:
        await connection.execute(_SQL["drop_birthday"], line.account_id)
    is_open = line.birthday in birthdays
    turned = await connection.fetchval(_SQL["set_window"], line.account_id, is_open)
    return turned is not None


async def _change_account(connection: Connection, line: AccountLine) -> bool:
    offers = _sorted(line.personal_offers)
    if offers is not None:
        switched_on = await personal_offers.activated(connection, line.account_id)
        # Whoever made the list need not know what the customer has switched on since.
        others = [each for each in offers if each not in switched_on]
        offers = sorted([*sorted(switched_on), *others][:ACCOUNT_OFFERS_MAX])
    changed = await connection.fetchval(
        _SQL["change_account"], line.account_id, _given(line.tier), _sorted(line.segments), offers
    )
    return changed is not None


async def _open_account(connection: Connection, line: AccountLine, *, system: System) -> None:
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
        await name_home(
            connection,
            account_id=line.account_id,
            store_id=line.home_store,
            now_ms=system.now_ms(),
        )
        await connection.execute(_STREAMS["tell_stores"], line.account_id)


def _given(value: T | UnsetType) -> T | None:
    return None if isinstance(value, UnsetType) else value


def _sorted(values: tuple[str, ...] | UnsetType) -> list[str] | None:
    return None if isinstance(values, UnsetType) else sorted(set(values))

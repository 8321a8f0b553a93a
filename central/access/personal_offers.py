"""Offers made to one customer: those that act, and those the customer may switch on first.

An offer of the rules that asks for `who.personal` acts for the accounts that name it. One that is
to be switched on is named by the account from then on, and tills hear of it as of any other change.
"""

from typing import Literal

import msgspec

from central.access.sessions import Customer
from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import ConflictError, NotFoundError
from central.ledger.books import lock_account
from central.rules.shown_rules import ShownRules
from loyalty.offers import Offer
from sync.limits import ACCOUNT_OFFERS_MAX

_SQL = load_queries("central.access", "customers.sql")
_STREAMS = load_queries("central.streams", "queries.sql")

State = Literal["acts", "to_activate"]


class PersonalOffer(msgspec.Struct, frozen=True, kw_only=True):
    """An offer made to this customer.

    Attributes:
        state: `acts` from now on, or is `to_activate` first.
        starts, until: local time; empty = open.
        weekdays: 1 = Monday to 7 = Sunday; none = every day.
    """

    offer_id: str
    title: str
    state: State
    starts: str
    until: str
    weekdays: tuple[int, ...]
    stores: tuple[str, ...]


class PersonalOffers(msgspec.Struct, frozen=True, kw_only=True):
    """Offers made to this customer, by id; those that are over are left out."""

    offers: tuple[PersonalOffer, ...]


class Activation(msgspec.Struct, frozen=True, kw_only=True):
    """An offer that was switched on or off.

    Attributes:
        repeated: it stood so before.
    """

    offer_id: str
    state: State
    repeated: bool


async def read_offers(
    connection: Connection, customer: Customer, shown: ShownRules, language: str, *, today: str
) -> PersonalOffers:
    """Return the offers made to a customer that the rules know and that are not over."""
    rows = await connection.fetch(_SQL["offers_of"], customer.account_id)
    found = []
    for row in rows:
        offer = shown.personal.get(row["offer_id"])
        if offer is None or _is_over(offer, today):
            continue
        found.append(_offer(offer, language, "acts" if row["is_active"] else "to_activate"))
    return PersonalOffers(offers=tuple(found))


def _offer(offer: Offer, language: str, state: State) -> PersonalOffer:
    return PersonalOffer(
        offer_id=offer.offer_id,
        title=offer.title.get(language) or offer.title.get("en", ""),
        state=state,
        starts=offer.when.starts,
        until=offer.when.until,
        weekdays=offer.when.weekdays,
        stores=offer.where.stores,
    )


def require_shown(shown: ShownRules, offer_id: str, *, today: str) -> None:
    """Refuse an offer that `read_offers` would leave out: one that is over, or in no rules.

    Raises:
        NotFoundError: it is.
    """
    offer = shown.personal.get(offer_id)
    if offer is None or _is_over(offer, today):
        raise NotFoundError("no such offer was made to this customer")


def _is_over(offer: Offer, today: str) -> bool:
    return bool(offer.when.until) and offer.when.until <= today


async def activate(
    connection: Connection, customer: Customer, offer_id: str, *, now_ms: int
) -> Activation:
    """Switch an offer on; of one that acts nothing changes.

    Raises:
        NotFoundError: no such offer was made to the customer.
        ConflictError: as many offers act for the account as an account can have.
    """
    async with connection.transaction():
        account = await lock_account(connection, customer.account_id)
        number = account.account_id
        acting: list[str] = await connection.fetchval(_SQL["personal_offers"], number)
        if offer_id in acting:
            return Activation(offer_id=offer_id, state="acts", repeated=True)
        if await connection.fetchval(_SQL["activate"], number, offer_id, now_ms) is None:
            raise NotFoundError("no such offer was made to this customer")
        if len(acting) >= ACCOUNT_OFFERS_MAX:
            raise ConflictError(f"{ACCOUNT_OFFERS_MAX} offers act already, and no more can")
        await connection.execute(_SQL["add_personal_offer"], number, offer_id)
        await connection.execute(_STREAMS["tell_stores"], number)
    return Activation(offer_id=offer_id, state="acts", repeated=False)


async def deactivate(connection: Connection, customer: Customer, offer_id: str) -> Activation:
    """Switch an offer off again that the customer has switched on.

    Tills that have not heard of it give it until they do: what a receipt says is promised, and it
    was calculated with what its till knew.

    Raises:
        NotFoundError: no such offer was made to the customer.
        ConflictError: it acts, and the customer did not switch it on.
    """
    async with connection.transaction():
        account = await lock_account(connection, customer.account_id)
        number = account.account_id
        acting: list[str] = await connection.fetchval(_SQL["personal_offers"], number)
        if await connection.fetchval(_SQL["deactivate"], number, offer_id) is None:
            if offer_id in acting:
                raise ConflictError("this offer acts by itself and cannot be switched off")
            if not await connection.fetchval(_SQL["may_activate"], number, offer_id):
                raise NotFoundError("no such offer was made to this customer")
            return Activation(offer_id=offer_id, state="to_activate", repeated=True)
        if offer_id in acting:
            await connection.execute(_SQL["drop_personal_offer"], number, offer_id)
            await connection.execute(_STREAMS["tell_stores"], number)
    return Activation(offer_id=offer_id, state="to_activate", repeated=False)


async def put_offers(connection: Connection, account_id: int, offers: list[str]) -> None:
    """Say which offers an account may switch on; what it has switched on stays."""
    await connection.execute(_SQL["drop_offers_to_activate"], account_id, offers)
    await connection.execute(_SQL["put_offer_to_activate"], account_id, offers)


async def activated(connection: Connection, account_id: int) -> list[str]:
    """Return the offers an account has switched on."""
    rows = await connection.fetch(_SQL["activated"], account_id)
    return [row["offer_id"] for row in rows]

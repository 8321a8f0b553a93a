"""Calls of the customers' app: what the customer has, offers switched on, codes for the till.

A customer's access token says who calls. Only carrying a grant also takes the app's own token: the
service behind the app then says who its customer is and is believed. What the till asks is signed
by the till (design: sync 4.9).
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from central.access import codes, customers, personal_offers
from central.access.clients import ACTIVATE, CARRY, READ, SHOW_CODE
from central.access.sessions import Customer, find_customer
from central.access.tokens import read_token
from central.api.callers import bearer, named
from central.api.problems import NAMED, problem_response
from central.api.till_routes import read_body
from central.database.pool import Pool
from central.errors import BadRequestError, ForbiddenError
from central.keys import CentreKeys
from central.ledger.liability import day_of
from central.rights.courier import Carried, CourierDesk
from central.rules.shown_rules import ShownRuleShelf
from central.system import System
from sync.qr import TEXT_CHARACTERS_MAX
from sync.signing import card_hash

PATH_COURIER: Final = "/v1/app/courier"
PATH_ACTIVATION: Final = "/v1/app/offers/{offer}/activation"
LANGUAGES: Final = ("en", "ru")

_Code = Annotated[str, Meta(min_length=1, max_length=TEXT_CHARACTERS_MAX)]


class CarryRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A telephone has scanned a till's ask.

    Attributes:
        card: with the app's own token the number of any card of the customer who is signed in;
            with a customer's token left out.
        ask: the code the till shows.
        receipt_codes: of receipts the telephone has scanned since it last had a line.
    """

    card: Annotated[str, Meta(max_length=64)] = ""
    ask: _Code
    receipt_codes: Annotated[tuple[_Code, ...], Meta(max_length=20)] = ()


Call = Callable[[Request], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRoutes:
    """Routes of `/v1/app/`.

    Attributes:
        token_public: customers' tokens are checked with.
    """

    pool: Pool
    desk: CourierDesk
    keys: CentreKeys
    token_public: bytes
    system: System
    shelf: ShownRuleShelf

    def routes(self) -> list[Route]:
        """Return every route."""
        calls: tuple[tuple[str, str, Call], ...] = (
            ("GET", "/v1/app/account", self._account),
            ("GET", "/v1/app/lots", self._lots),
            ("GET", "/v1/app/receipts", self._receipts),
            ("GET", "/v1/app/receipts/{key}", self._receipt),
            ("GET", "/v1/app/offers", self._offers),
            ("PUT", PATH_ACTIVATION, self._activate),
            ("DELETE", PATH_ACTIVATION, self._deactivate),
            ("POST", "/v1/app/code", self._code),
            ("POST", PATH_COURIER, self._courier),
        )
        return [Route(path, _endpoint(call), methods=[method]) for method, path, call in calls]

    async def _customer(self, request: Request, scope: str) -> Customer:
        """Return who calls.

        Raises:
            AuthenticationError: nobody who is signed in.
            ForbiddenError: the token is not for that.
        """
        now_ms = self.system.now_ms()
        claims = read_token(bearer(request), self.token_public, now_ms=now_ms)
        claims.require(scope)
        if not claims.account_id:
            raise ForbiddenError("this token speaks for no customer")
        return await find_customer(self.pool, claims, now_ms=now_ms)

    def _today(self) -> str:
        return day_of(self.system.now_ms())

    async def _account(self, request: Request) -> customers.Balance:
        customer = await self._customer(request, READ)
        async with self.pool.acquire() as connection:
            return await customers.read_balance(connection, customer, today=self._today())

    async def _lots(self, request: Request) -> customers.LotPage:
        customer = await self._customer(request, READ)
        after, rows_max = request.query_params.get("after", ""), page_rows(request)
        async with self.pool.acquire() as connection:
            return await customers.read_lots(
                connection, customer, today=self._today(), after=after, rows_max=rows_max
            )

    async def _receipts(self, request: Request) -> customers.ReceiptPage:
        customer = await self._customer(request, READ)
        before, rows_max = request.query_params.get("before", ""), page_rows(request)
        async with self.pool.acquire() as connection:
            return await customers.read_receipts(
                connection, customer, before=before, rows_max=rows_max
            )

    async def _receipt(self, request: Request) -> customers.ReceiptView:
        customer = await self._customer(request, READ)
        key, language = named(request, "key"), language_of(request)
        async with self.pool.acquire() as connection:
            return await customers.read_receipt(connection, customer, key, language, self.shelf)

    async def _offers(self, request: Request) -> personal_offers.PersonalOffers:
        customer = await self._customer(request, READ)
        language = language_of(request)
        async with self.pool.acquire() as connection:
            shown = await self.shelf.newest(connection, customer.programme)
            return await personal_offers.read_offers(
                connection, customer, shown, language, today=self._today()
            )

    async def _activate(self, request: Request) -> personal_offers.Activation:
        customer = await self._customer(request, ACTIVATE)
        offer_id = named(request, "offer")
        async with self.pool.acquire() as connection:
            shown = await self.shelf.newest(connection, customer.programme)
            personal_offers.require_shown(shown, offer_id, today=self._today())
            return await personal_offers.activate(
                connection, customer, offer_id, now_ms=self.system.now_ms()
            )

    async def _deactivate(self, request: Request) -> personal_offers.Activation:
        customer = await self._customer(request, ACTIVATE)
        offer_id = named(request, "offer")
        async with self.pool.acquire() as connection:
            shown = await self.shelf.newest(connection, customer.programme)
            personal_offers.require_shown(shown, offer_id, today=self._today())
            return await personal_offers.deactivate(connection, customer, offer_id)

    async def _code(self, request: Request) -> codes.ShownCode:
        customer = await self._customer(request, SHOW_CODE)
        async with self.pool.acquire() as connection:
            shown = await self.shelf.newest(connection, customer.programme)
            return await codes.show_code(
                connection, customer, shown, self.keys, now_ms=self.system.now_ms()
            )

    async def _courier(self, request: Request) -> Carried:
        known = self.keys.app_token
        is_app = bool(known) and hmac.compare_digest(bearer(request).encode(), known.encode())
        customer = None if is_app else await self._customer(request, CARRY)
        wish = await _wish(request)
        if bool(wish.card) is not is_app:
            raise BadRequestError(
                "$.card", "say whose with the app's own token, nothing with a customer's"
            )
        card = customer.card if customer else card_hash(self.keys.card_key, wish.card)
        return await self.desk.carry(card, wish.ask, wish.receipt_codes)


def _endpoint(call: Call) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            found = await call(request)
        except NAMED as error:
            return problem_response(error)
        # What a customer has is for nobody between.
        headers = {"cache-control": "no-store"}
        return Response(msgspec.json.encode(found), 200, headers, "application/json")

    return endpoint


def page_rows(request: Request) -> int:
    """Return how many rows are asked for.

    Raises:
        BadRequestError: no number that may be.
    """
    text = request.query_params.get("limit", str(customers.PAGE_ROWS))
    is_number = text.isascii() and text.isdecimal() and len(text) <= len("000")
    if not is_number or not 1 <= int(text) <= customers.PAGE_ROWS_MAX:
        raise BadRequestError("limit", f"is a number from 1 to {customers.PAGE_ROWS_MAX}")
    return int(text)


def language_of(request: Request) -> str:
    """Return the language to answer in: asked for, or the first known one the caller accepts.

    Raises:
        BadRequestError: a language that is not known is asked for.
    """
    if "lang" in request.query_params:
        if (asked := request.query_params["lang"]) in LANGUAGES:
            return asked
        raise BadRequestError("lang", f"is one of {', '.join(LANGUAGES)}")
    for part in request.headers.get("accept-language", "").split(","):
        if (primary := part.strip()[:2].lower()) in LANGUAGES:
            return primary
    return LANGUAGES[0]


async def _wish(request: Request) -> CarryRequest:
    try:
        return msgspec.json.decode(await read_body(request), type=CarryRequest)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadRequestError("$", str(error)) from error

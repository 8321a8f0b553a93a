"""JSON calls of thin clients and the office, with its token: calculate, receipts, books."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from central.api.callers import read_json, require_office
from central.api.long_calls import LongCalls
from central.api.problems import NAMED, problem_response
from central.database.pool import Pool
from central.errors import BadRequestError, NotFoundError
from central.keys import CentreKeys
from central.ledger.verify import verify_ledger
from central.programmes.registry import DEFAULT, programme_of_store
from central.rights.allowance import read_allowance
from central.rights.exposure import read_exposure
from central.rules.library import RuleLibrary
from central.tills.account_rows import find_account
from loyalty.account import NO_ALLOWANCE, NO_REDEMPTION, NOBODY, RedeemRequest, SpendRight
from loyalty.asking import counters_asked
from loyalty.basket import Basket, Moment, Place
from loyalty.calculate import calculate
from loyalty.canonical import canonical_bytes
from loyalty.limits import POINTS_MAX
from sync.signing import card_hash


class CalculateRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A basket of an app, a web shop or a register without an agent.

    Attributes:
        card: number of the customer's card; empty for nobody.
        redeem: what the answer should show as redeemable; nothing is set aside by this call.
    """

    basket: Basket
    moment: Moment
    place: Place
    card: Annotated[str, Meta(max_length=64)] = ""
    redeem: RedeemRequest = NO_REDEMPTION


@dataclass(frozen=True, slots=True)
class OfficeRoutes:
    """Routes that need `Authorization: Bearer OFFICE-TOKEN`."""

    pool: Pool
    keys: CentreKeys
    library: RuleLibrary
    long_calls: LongCalls

    def routes(self) -> list[Route]:
        """Return every route."""
        return [
            Route("/v1/calculate", self._guarded(self._calculate), methods=["POST"]),
            Route("/v1/receipts/{key}", self._guarded(self._receipt), methods=["GET"]),
            Route("/v1/ledger/proof", self._guarded(self._proof), methods=["GET"]),
            Route("/v1/exposure", self._guarded(self._exposure), methods=["GET"]),
        ]

    def _guarded(
        self, call: Callable[[Request], Awaitable[bytes]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                require_office(request, self.keys)
                return Response(await call(request), media_type="application/json")
            except NAMED as error:
                return problem_response(error)

        return endpoint

    async def _calculate(self, request: Request) -> bytes:
        """Calculate like a till, same rules and engine; the balance shown is no right to spend."""
        wish = await read_json(request, CalculateRequest)
        account, points = NOBODY, 0
        async with self.pool.acquire() as connection:
            programme = await programme_of_store(connection, wish.place.store) or DEFAULT
        if wish.card.strip():
            card = card_hash(self.keys.card_key, wish.card)
            row = await find_account(self.pool, card, programme)
            if row is None:
                raise NotFoundError("nobody is known by this card")
            account, points = row.snapshot, row.points + row.held_points
        async with self.pool.acquire() as connection:
            rules = await self.library.newest(connection, programme)
            counters = counters_asked(
                rules,
                place=wish.place,
                moment=wish.moment,
                codes=wish.basket.codes,
                account_id=account.account_id,
            )
            allowance = await read_allowance(connection, counters) if counters else NO_ALLOWANCE
        calculation = calculate(
            wish.basket,
            rules,
            moment=wish.moment,
            place=wish.place,
            account=account,
            request=wish.redeem,
            right=SpendRight(points=min(points, POINTS_MAX)),
            allowance=allowance,
        )
        return canonical_bytes(calculation)

    async def _receipt(self, request: Request) -> bytes:
        calculation = await self.pool.fetchval(
            "select calculation from receipt where sale_key = $1", request.path_params["key"]
        )
        if calculation is None:
            raise NotFoundError("no receipt of this key is posted")
        return bytes(calculation)

    async def _proof(self, request: Request) -> bytes:
        """Prove the ledger; sealed entries are read again for whoever asks for it."""
        asked = request.query_params.get("seals", "0")
        if asked not in {"0", "1"}:
            raise BadRequestError("seals", "has to be 0 or 1")
        async with (
            self.long_calls.one("tillside-central verify-ledger"),
            self.pool.acquire() as connection,
        ):
            return msgspec.json.encode(await verify_ledger(connection, with_seals=asked == "1"))

    async def _exposure(self, request: Request) -> bytes:  # noqa: ARG002 - Starlette passes it
        return msgspec.json.encode(await read_exposure(self.pool))

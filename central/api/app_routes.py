"""Calls of the service behind the customers' app: carry a grant to a till without a line.

The service says who its customer is and is believed, on its token; customers that prove themselves
are another matter. What the till asks is signed by the till (design: sync 4.9).
"""

import hmac
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from central.api.problems import NAMED, problem_of
from central.api.till_routes import read_body
from central.errors import AuthenticationError, BadRequestError
from central.keys import CentreKeys
from central.rights.courier import CourierDesk
from sync.qr import TEXT_CHARACTERS_MAX
from sync.signing import card_hash

PATH_COURIER = "/v1/app/courier"

_Code = Annotated[str, Meta(min_length=1, max_length=TEXT_CHARACTERS_MAX)]


class CarryRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A telephone has scanned a till's ask.

    Attributes:
        card: number of any card of the customer who is signed in.
        ask: the code the till shows.
        receipt_codes: of receipts the telephone has scanned since it last had a line.
    """

    card: Annotated[str, Meta(min_length=1, max_length=64)]
    ask: _Code
    receipt_codes: Annotated[tuple[_Code, ...], Meta(max_length=20)] = ()


@dataclass(frozen=True, slots=True)
class AppRoutes:
    """Routes that need `Authorization: Bearer APP-TOKEN`."""

    desk: CourierDesk
    keys: CentreKeys

    def routes(self) -> list[Route]:
        """Return every route."""
        return [Route(PATH_COURIER, self._courier, methods=["POST"])]

    async def _courier(self, request: Request) -> Response:
        try:
            self._require_token(request)
            wish = await self._wish(request)
            card = card_hash(self.keys.card_key, wish.card)
            carried = await self.desk.carry(card, wish.ask, wish.receipt_codes)
        except NAMED as error:
            status, problem = problem_of(error)
            return Response(msgspec.json.encode(problem), status, media_type="application/json")
        return Response(msgspec.json.encode(carried), media_type="application/json")

    def _require_token(self, request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        known = self.keys.app_token
        if not known or not hmac.compare_digest(given.encode(), known.encode()):
            raise AuthenticationError(
                "send the header Authorization: Bearer TOKEN with the app's token"
            )

    @staticmethod
    async def _wish(request: Request) -> CarryRequest:
        try:
            return msgspec.json.decode(await read_body(request), type=CarryRequest)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise BadRequestError("$", str(error)) from error

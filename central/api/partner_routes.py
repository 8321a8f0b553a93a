"""Calls of partners: points given and taken back by the partner's own references, statements.

Each call needs a token with its scope; a partner sees and moves nothing but its own.
"""

import csv
import io
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from central.access import partner_statement, partners
from central.access.clients import ACCRUE, REVERSE, STATEMENT, programme_of
from central.access.partner_statement import HandOuts, Statement
from central.access.partners import AccrualRequest, ReversalRequest
from central.access.tokens import read_token
from central.api.app_routes import page_rows
from central.api.callers import bearer, named, read_json
from central.api.problems import NAMED, problem_response
from central.api.till_rates import PARTNER_CALLS_PER_S, TillRates
from central.database.pool import Pool
from central.errors import AuthenticationError, BadRequestError, ForbiddenError
from central.keys import CentreKeys
from central.ledger.liability import day_of
from central.system import System
from sync.limits import COUNT_MAX
from sync.signing import card_hash

PATH_ACCRUAL: Final = "/v1/partner/accruals/{reference}"
PATH_REVERSAL: Final = "/v1/partner/accruals/{reference}/reversals/{reversal}"
PATH_STATEMENT: Final = "/v1/partner/statement"
PATH_HAND_OUTS: Final = "/v1/partner/hand-outs"
CSV: Final = "text/csv"

_DAYS_MAX: Final = 366
_NUMBER_DIGITS_MAX: Final = 19
_COLUMNS: Final = (
    "number", "day", "kind", "reference", "of_reference", "points", "not_recovered_points",
    "occurred_on",
)  # fmt: skip
_HAND_OUT_COLUMNS: Final = (
    "number", "day", "kind", "receipt", "refund", "offer", "points", "occurred_on",
)  # fmt: skip

K = TypeVar("K", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Partner:
    """Who calls, and whose wallets its customers are known by."""

    name: str
    programme: str


Call = Callable[[Request, Partner], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerRoutes:
    """Routes of `/v1/partner/`."""

    pool: Pool
    keys: CentreKeys
    token_public: bytes
    system: System
    rates: TillRates = field(default_factory=lambda: TillRates(PARTNER_CALLS_PER_S))

    def routes(self) -> list[Route]:
        """Return every route."""
        calls: tuple[tuple[str, str, str, Call], ...] = (
            ("PUT", PATH_ACCRUAL, ACCRUE, self._accrue),
            ("GET", PATH_ACCRUAL, STATEMENT, self._accrual),
            ("PUT", PATH_REVERSAL, REVERSE, self._reverse),
            ("GET", PATH_STATEMENT, STATEMENT, self._statement),
            ("GET", PATH_HAND_OUTS, STATEMENT, self._hand_outs),
        )
        return [
            Route(path, self._endpoint(scope, call), methods=[method])
            for method, path, scope, call in calls
        ]

    def _endpoint(self, scope: str, call: Call) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                found = await call(request, await self._partner(request, scope))
            except NAMED as error:
                return problem_response(error)
            if isinstance(found, Response):
                return found
            return Response(msgspec.json.encode(found), media_type="application/json")

        return endpoint

    async def _partner(self, request: Request, scope: str) -> Partner:
        """Return who calls.

        Raises:
            AuthenticationError: nobody who is let in.
            ForbiddenError: the token is not for that.
            TooManyRequestsError: this partner has called too often.
        """
        now_ms = self.system.now_ms()
        claims = read_token(bearer(request), self.token_public, now_ms=now_ms)
        claims.require(scope)
        if claims.account_id:
            raise ForbiddenError("this token speaks for a customer")
        self.rates.take(claims.client_id, now_ms=self.system.monotonic_ms())
        programme = await programme_of(self.pool, claims.client_id)
        if programme is None:
            raise AuthenticationError("this partner was revoked")
        return Partner(claims.client_id, programme)

    async def _accrue(self, request: Request, partner: Partner) -> partners.Accrual:
        reference, wish = _reference(request, "reference"), await read_json(request, AccrualRequest)
        card = card_hash(self.keys.card_key, wish.card)
        return await partners.accrue(
            self.pool,
            partner.name,
            reference,
            wish,
            card=card,
            programme=partner.programme,
            now_ms=self.system.now_ms(),
        )

    async def _accrual(self, request: Request, partner: Partner) -> partners.Accrual:
        return await partners.read_accrual(
            self.pool, partner.name, _reference(request, "reference")
        )

    async def _reverse(self, request: Request, partner: Partner) -> partners.Reversal:
        of_reference, reference = _reference(request, "reference"), _reference(request, "reversal")
        wish = await read_json(request, ReversalRequest)
        return await partners.reverse(
            self.pool, partner.name, of_reference, reference, wish, now_ms=self.system.now_ms()
        )

    async def _statement(self, request: Request, partner: Partner) -> Statement | Response:
        asked = self._asked(request)
        found = await self._lines(partner_statement.read_statement, partner, asked)
        if not asked.as_csv:
            return found
        return asked.page(PATH_STATEMENT, statement_csv(found), found.next)

    async def _hand_outs(self, request: Request, partner: Partner) -> HandOuts | Response:
        asked = self._asked(request)
        found = await self._lines(partner_statement.read_hand_outs, partner, asked)
        if not asked.as_csv:
            return found
        return asked.page(PATH_HAND_OUTS, hand_outs_csv(found), found.next)

    async def _lines(
        self, read: Callable[..., Awaitable[K]], partner: Partner, asked: "_Asked"
    ) -> K:
        async with self.pool.acquire() as connection:
            return await read(
                connection, partner.name, asked.first, asked.last,
                after=asked.after, rows_max=asked.rows_max,
            )  # fmt: skip

    def _asked(self, request: Request) -> "_Asked":
        """Return which lines are wanted.

        Raises:
            BadRequestError: a parameter makes no sense.
        """
        query = request.query_params
        today = day_of(self.system.now_ms())
        first, last = days_of(query.get("from", today), query.get("to", today))
        as_csv, rows_max = _wants_csv(request), page_rows(request)
        after = query.get("after", "0")
        is_number = after.isascii() and after.isdecimal() and len(after) <= _NUMBER_DIGITS_MAX
        if not is_number or int(after) > COUNT_MAX:
            raise BadRequestError("after", "is what `next` of another page said")
        return _Asked(first, last, int(after), rows_max, as_csv)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which lines of a statement are wanted: of days, past a line, so many."""

    first: str
    last: str
    after: int
    rows_max: int
    as_csv: bool

    def page(self, path: str, text: str, following: str) -> Response:
        """Return a page of CSV, with where the next one is."""
        headers = {}
        if following:
            more = {"format": "csv", "from": self.first, "to": self.last, "limit": self.rows_max}
            link = urlencode({**more, "after": following})
            headers["link"] = f'<{path}?{link}>; rel="next"'
        return Response(text, 200, headers, CSV)


def statement_csv(statement: Statement) -> str:
    """Return the lines of a statement as CSV (RFC 4180) with a line of names."""
    return _csv(_COLUMNS, statement.movements)


def hand_outs_csv(hand_outs: HandOuts) -> str:
    """Return what was handed out as CSV (RFC 4180) with a line of names."""
    return _csv(_HAND_OUT_COLUMNS, hand_outs.lines)


def _csv(names: Sequence[str], rows: Iterable[msgspec.Struct]) -> str:
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(names)
    for row in rows:
        lines.writerow([getattr(row, name) for name in names])
    return text.getvalue()


def days_of(first: str, last: str) -> tuple[str, str]:
    """Return the days of a statement.

    Raises:
        BadRequestError: one of them is no day, or they are too many, or none.
    """
    for name, text in (("from", first), ("to", last)):
        try:
            is_day = date.fromisoformat(text).isoformat() == text
        except ValueError:
            is_day = False
        if not is_day:
            raise BadRequestError(name, "is a day, YYYY-MM-DD")
    days = (date.fromisoformat(last) - date.fromisoformat(first)).days
    if not 0 <= days < _DAYS_MAX:
        raise BadRequestError("to", f"is from `from` on, {_DAYS_MAX} days at most")
    return first, last


def _wants_csv(request: Request) -> bool:
    match request.query_params.get("format", ""):
        case "csv":
            return True
        case "json":
            return False
        case "":
            return request.headers.get("accept", "").strip().lower().startswith(CSV)
    raise BadRequestError("format", "is json or csv")


def _reference(request: Request, name: str) -> str:
    text = named(request, name)
    if not re.fullmatch(partners.REFERENCE_PATTERN.removesuffix("$"), text):
        raise BadRequestError(name, "is 1 to 64 letters, digits and . _ : -")
    return text

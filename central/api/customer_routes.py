"""JSON calls about customers as persons: read, write, find, agree, export, erase.

Each is a person's, with the role it asks for, and leaves a row in the audit, readings too.
Telephone numbers and mail addresses travel in bodies alone: addresses of calls end up in logs.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from central.api.callers import numbered, person_of, read_json
from central.api.problems import NAMED, problem_response
from central.database.pool import Pool
from central.ledger.adjustments import CALL_CENTRE
from central.privacy import erasing, exporting
from central.privacy.customers import PRIVACY, Consent, CustomerData, CustomerDesk, CustomerView
from central.privacy.personal_keys import ContactKind
from central.staff.persons import Person

T = TypeVar("T")
Call = Callable[[Request, Person], Awaitable[Any]]


class FindRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A telephone number or a mail address, however it is written."""

    kind: ContactKind
    text: Annotated[str, Meta(min_length=1, max_length=200)]


class ErasureRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why somebody is erased; no personal data."""

    reason: Annotated[str, Meta(min_length=1, max_length=erasing.REASON_CHARACTERS_MAX)]


class CustomersFound(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts of whom a contact is known."""

    account_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CustomerRoutes:
    """Routes of `/v1/customers/` and `/v1/erasures`.

    Attributes:
        pool: of the back office, where persons of the centre and erasures stand.
        desk: None where this process may not read people's data: nothing is served then.
    """

    pool: Pool
    desk: CustomerDesk | None

    def routes(self) -> list[Route]:
        """Return every route."""
        if self.desk is None:
            return []
        calls: tuple[tuple[str, str, str, Call], ...] = (
            ("POST", "/v1/customers/find", CALL_CENTRE, self._find),
            ("GET", "/v1/customers/{account}", CALL_CENTRE, self._view),
            ("PUT", "/v1/customers/{account}", CALL_CENTRE, self._put),
            ("POST", "/v1/customers/{account}/consents", CALL_CENTRE, self._say),
            ("GET", "/v1/customers/{account}/export", PRIVACY, self._export),
            ("POST", "/v1/customers/{account}/erasure", PRIVACY, self._erase),
            ("GET", "/v1/erasures", PRIVACY, self._erasures),
            ("GET", "/v1/erasures/{erasure}", PRIVACY, self._erasure),
        )
        return [
            Route(path, self._endpoint(call, role), methods=[method])
            for method, path, role, call in calls
        ]

    def _endpoint(self, call: Call, role: str) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                by = await person_of(request, self.pool)
                by.require(role)
                found = await call(request, by)
            except NAMED as error:
                return problem_response(error)
            headers = {"cache-control": "no-store"}
            return Response(
                msgspec.json.encode(found), media_type="application/json", headers=headers
            )

        return endpoint

    def _desk(self) -> CustomerDesk:
        assert self.desk is not None, "nothing is served without it"
        return self.desk

    async def _find(self, request: Request, by: Person) -> CustomersFound:
        wish = await read_json(request, FindRequest)
        found = await self._desk().find(wish.kind, wish.text, person=by.name)
        return CustomersFound(account_ids=found)

    async def _view(self, request: Request, by: Person) -> CustomerView:
        return await self._desk().view(numbered(request, "account"), person=by.name)

    async def _put(self, request: Request, by: Person) -> CustomerView:
        account_id = numbered(request, "account")
        await self._desk().put(account_id, await read_json(request, CustomerData), person=by.name)
        return await self._desk().view(account_id, person=by.name)

    async def _say(self, request: Request, by: Person) -> CustomerView:
        account_id = numbered(request, "account")
        await self._desk().say(account_id, await read_json(request, Consent), person=by.name)
        return await self._desk().view(account_id, person=by.name)

    async def _export(self, request: Request, by: Person) -> exporting.CustomerExport:
        account_id = numbered(request, "account")
        return await exporting.export_customer(self._desk(), account_id, person=by.name)

    async def _erase(self, request: Request, by: Person) -> erasing.ErasureState:
        account_id = numbered(request, "account")
        wish = await read_json(request, ErasureRequest)
        erasure_id = await erasing.ask_erasure(
            self._desk(), account_id, reason=wish.reason, person=by.name
        )
        return await erasing.read_erasure(self.pool, erasure_id)

    async def _erasures(self, _: Request, __: Person) -> erasing.Erasures:
        return await erasing.list_erasures(self.pool)

    async def _erasure(self, request: Request, _: Person) -> erasing.ErasureState:
        return await erasing.read_erasure(self.pool, numbered(request, "erasure"))

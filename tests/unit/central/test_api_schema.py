"""Every call of the OpenAPI document, with what it allows and what it does not (schemathesis).

No input makes the centre fail; each status, media type and body is a documented one, and a refusal
is a problem (RFC 9457), but where tills or RFC 6749 have a form of their own. Nobody is answered
without proving who it is. The ledger is proven when all is over.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, TypeVar

import httpx
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from requests import Request as Prepared
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from central.access.partners import PartnerTerms, put_terms
from central.api.openapi import openapi_document
from central.api.problems import PROBLEM_JSON
from central.database.pool import open_pool
from central.staff.persons import add_person
from central.staff.roles import ROLES
from loyalty.limits import POINTS_MAX
from sync.codec import CONTENT_TYPE
from sync.short_header import HEADER_SHORT
from sync.signing import (
    HEADER_NONCE,
    HEADER_SESSION,
    HEADER_SIGNATURE,
    HEADER_TILL,
    request_content,
)
from tests.support.centre import KEYS, NOW_MS, JoinedCentre, joined_centre
from tests.support.outside import Program, program
from tests.support.postgres import ScratchDatabases
from tests.support.till_probe import TillProbe

T = TypeVar("T")
Case = schemathesis.Case[Any]

EXAMPLES: Final = 4
"""For each call, beside those that cover each part of its schema."""
CARD: Final = "4000"
CHECKS: Final = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_headers_conformance, response_schema_conformance,
]  # fmt: skip
FILE: Final = "application/octet-stream"

SCHEMA = schemathesis.openapi.from_dict(openapi_document())
SCHEMA.config.phases.coverage.enabled = False


@schemathesis.serializer(CONTENT_TYPE)
def _as_till_writes(_: object, value: Any) -> bytes:  # noqa: ANN401 - whatever was drawn
    try:
        return msgspec.msgpack.encode(msgspec.to_builtins(value))
    except OverflowError:  # a number that has no place in a message
        return b"\xc1"


@schemathesis.serializer(FILE)
def _as_file(_: object, value: Any) -> bytes:  # noqa: ANN401 - whatever was drawn
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@dataclass(slots=True)
class Caller:
    """A centre, and everybody who may call it."""

    runner: asyncio.Runner
    centre: JoinedCentre
    till: TillProbe
    tokens: dict[str, str]
    app: Program
    nonces: "count[int]" = field(default_factory=lambda: count(1))

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def call(self, case: Case, *, proven: bool = True) -> httpx.Response:
        """Make a call as whoever may."""
        kwargs = case.as_transport_kwargs(base_url="http://centre")
        made = Prepared(
            **{
                name: kwargs.get(name)
                for name in ("method", "url", "headers", "params", "cookies", "data", "json")
            }
        ).prepare()
        content = made.body or b""
        body = content.encode() if isinstance(content, str) else content
        assert isinstance(body, bytes)
        headers = {
            name: value if isinstance(value, str) else value.decode("latin-1")
            for name, value in made.headers.items()
            if name.lower() not in ("authorization", *TILL_HEADERS)
        }
        request = self.centre.http.build_request(
            case.method, made.url or "", content=body, headers=headers
        )
        if proven:
            request.headers.update(self._proof(case, request.url.path, body))
        return self.wait(self.centre.http.send(request))

    def _proof(self, case: Case, path: str, body: bytes) -> dict[str, str]:
        wanted = {name for each in _security(case) for name in each}
        if "till" in wanted:
            return self._signature(path, body)
        if "client" in wanted:
            return {"authorization": _basic(self.app)}
        for name in ("customer", "partner", "person", "office", "app"):
            if name in wanted:
                return {"authorization": f"Bearer {self.tokens[name]}"}
        return {}

    def _signature(self, path: str, body: bytes) -> dict[str, str]:
        nonce = next(self.nonces).to_bytes(16, "big")
        content = request_content(
            "POST", path, till_id=self.till.till_id, session=self.till.session, nonce=nonce,
            body=body,
        )  # fmt: skip
        return {
            HEADER_TILL: str(self.till.till_id),
            HEADER_SESSION: self.till.session.hex(),
            HEADER_NONCE: nonce.hex(),
            HEADER_SIGNATURE: self.till.key.sign(content).hex(),
        }


TILL_HEADERS: Final = (HEADER_TILL, HEADER_SESSION, HEADER_NONCE, HEADER_SIGNATURE, HEADER_SHORT)


def _security(case: Case) -> list[dict[str, list[str]]]:
    found: list[dict[str, list[str]]] = case.operation.definition.raw.get("security", [])
    return found


def _basic(of: Program) -> str:
    return httpx.BasicAuth(of.client_id, of.secret)._auth_header  # noqa: SLF001 - no other way


@pytest.fixture(scope="module")
def caller(scratch_databases: ScratchDatabases) -> Iterator[Caller]:
    """A centre with rules, a customer with points and receipts, and a caller of each kind."""
    dsn = scratch_databases.create()
    with asyncio.Runner() as runner:
        ending = AsyncExitStack()
        made = runner.run(_joined(dsn, runner, ending))
        yield made
        runner.run(ending.aclose())
    scratch_databases.drop(dsn)


async def _joined(dsn: str, runner: asyncio.Runner, ending: AsyncExitStack) -> Caller:
    pool = await open_pool(dsn)
    ending.push_async_callback(pool.close)
    centre = await ending.enter_async_context(joined_centre(pool))
    await centre.customer(7, 300, card=CARD, home="store-1")
    till = await centre.till()
    await centre.post(till, till.sale("s1", account=7))
    app, partner = await program(centre, "app", "app"), await program(centre, "bakery", "partner")
    terms = PartnerTerms(
        points_per_accrual_max=POINTS_MAX, points_per_customer_day_max=POINTS_MAX,
        points_per_day_max=POINTS_MAX,
    )  # fmt: skip
    async with pool.acquire() as connection:
        person = await add_person(connection, "ann", ROLES, by="root", system=centre.system)
        await put_terms(connection, "bakery", terms, by="root", now_ms=NOW_MS)
    tokens = {
        "customer": (await app.token(card=CARD))["access_token"],
        "partner": (await partner.token())["access_token"],
        "person": person,
        "office": KEYS.office_token,
        "app": KEYS.app_token,
    }
    return Caller(runner, centre, till, tokens, app)


def assert_a_problem(response: httpx.Response, case: Case) -> None:
    """Fail unless a refusal has one of the three forms there are."""
    media = response.headers.get("content-type", "")
    if media == PROBLEM_JSON:
        problem = response.json()
        assert problem["status"] == response.status_code
        assert problem["title"]
        assert problem["error"]
        assert problem["message"] == problem["detail"]
    elif case.operation.path.startswith("/v1/oauth/"):
        assert response.json()["error_description"]
    else:
        assert media == CONTENT_TYPE, response.text
        assert msgspec.msgpack.decode(response.content)["error"]


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_every_call_answers_as_documented(case: Case, caller: Caller) -> None:
    response = caller.call(case)
    case.validate_response(response, checks=CHECKS)
    if response.status_code >= httpx.codes.BAD_REQUEST:
        assert_a_problem(response, case)
    if all(_security(case)) and _security(case):
        stranger = caller.call(case, proven=False)
        assert stranger.status_code in (400, 401), stranger.text
        assert_a_problem(stranger, case)


def test_every_kind_of_caller_is_answered(caller: Caller) -> None:
    """What was drawn above seldom names what is there: these calls are answered as they stand."""
    for path, name in (
        ("/v1/app/account", "customer"), ("/v1/app/lots", "customer"),
        ("/v1/app/receipts", "customer"), ("/v1/app/receipts/s1", "customer"),
        ("/v1/app/offers", "customer"), ("/v1/partner/statement", "partner"),
        ("/v1/ledger/seals", "office"), ("/v1/audit", "person"),
    ):  # fmt: skip
        headers = {"authorization": f"Bearer {caller.tokens[name]}"}
        response = caller.wait(caller.centre.http.get(path, headers=headers))
        assert response.status_code == 200, path

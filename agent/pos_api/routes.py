"""The loopback API for the register's program: routes, tokens, and nothing else.

Contract: `docs/pos-api.md` and the OpenAPI document at `/v1/openapi.json`.
"""

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from agent.errors import JournalDamagedError, JournalUnavailableError
from agent.health import Health
from agent.link.worker import LinkSettings, LinkWorker
from agent.neighbours.bus_driver import BusDriver
from agent.pos_api.http_server import HttpRequest, HttpResponse, problem
from agent.pos_api.openapi import openapi_document
from agent.quiet_work import QuietWork
from agent.till_service.courier import CourierService
from agent.till_service.messages import (
    CompleteRequest,
    CourierAnswer,
    CourierRequest,
    GrantRequest,
    ReceiptAnswer,
    ReceiptRequest,
    ReserveRequest,
    ReturnAnswer,
    ReturnRequest,
)
from agent.till_service.receipt_codes import recorded_code
from agent.till_service.returns import ReturnService, ReturnSteps
from agent.till_service.service import Steps, TillService
from agent.till_service.till import Till
from agent.till_thread import TillThread
from loyalty.basket import Moment
from loyalty.outcomes import Outcome
from sync.cycle import PATH_AUTHORISE, PATH_COUNTERS, Ask
from sync.messages import Message
from sync.neighbours import AskSibling
from sync.points import PATH_POINTS

_UUID = "([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
Body = TypeVar("Body", bound=msgspec.Struct)
Handler = Callable[[HttpRequest, str], Awaitable[HttpResponse]]

STATUS_OF_OUTCOME = {
    Outcome.STALE_VERSION: 409,
    Outcome.STALE_CALCULATION: 409,
    Outcome.RECEIPT_CLOSED: 409,
    Outcome.ALREADY_RECORDED_DIFFERENTLY: 409,
    Outcome.LINE_ALREADY_RETURNED: 409,
    Outcome.QUANTITY_NOT_LEFT: 409,
    Outcome.GRANT_NOT_AWAITED: 409,
    Outcome.CODE_WRONG: 422,
    Outcome.LINE_UNKNOWN: 422,
    Outcome.NOT_WHOLE_PIECES: 422,
    Outcome.RECEIPT_UNKNOWN: 404,
    Outcome.JOURNAL_UNAVAILABLE: 503,
}
"""Every other outcome is 200: it is an answer, not a failure."""


class BadRequestError(Exception):
    """The request's body is not what the call needs."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class PosApi:
    """The routes over one till."""

    till: Till
    thread: TillThread
    receipts: TillService
    returns: ReturnService
    link: LinkWorker
    link_settings: LinkSettings
    siblings: BusDriver
    health: Health
    quiet: QuietWork
    one_call: asyncio.Lock

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        if (request.method, request.path) == ("GET", "/v1/openapi.json"):
            return HttpResponse(200, msgspec.json.encode(openapi_document()))
        if not self._may(request):
            return problem(
                401,
                "token_wrong",
                message="send the header Authorization: Bearer TOKEN with the register's token",
            )
        for method, pattern, handler in self._routes():
            if (
                match := re.fullmatch(pattern, request.path)
            ) is not None and method == request.method:
                try:
                    return await handler(request, match[1] if match.groups() else "")
                except BadRequestError as error:
                    return problem(error.status, error.code, message=str(error))
        return problem(
            404,
            "no_such_call",
            message=f"{request.method} {request.path} is not a call; see /v1/openapi.json",
        )

    def _may(self, request: HttpRequest) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        return hmac.compare_digest(given.encode(), self.till.identity.pos_token.encode())

    def _routes(self) -> tuple[tuple[str, str, Handler], ...]:
        return (
            ("PUT", f"/v1/receipts/{_UUID}", self._update),
            ("POST", f"/v1/receipts/{_UUID}/reserve", self._reserve),
            ("POST", f"/v1/receipts/{_UUID}/complete", self._complete),
            ("POST", f"/v1/receipts/{_UUID}/cancel", self._cancel),
            ("POST", f"/v1/receipts/{_UUID}/courier", self._ask_courier),
            ("GET", f"/v1/receipts/{_UUID}/code", self._code),
            ("POST", "/v1/courier", self._take_grant),
            ("POST", f"/v1/returns/{_UUID}", self._return),
            ("GET", "/v1/health", self._health),
            ("POST", "/v1/link/talk", self._talk),
        )

    async def _update(self, request: HttpRequest, receipt_id: str) -> HttpResponse:
        body = _read(request, ReceiptRequest)
        return await self._drive(lambda: self.receipts.update(receipt_id, body))

    async def _reserve(self, request: HttpRequest, receipt_id: str) -> HttpResponse:
        body = _read(request, ReserveRequest)
        return await self._drive(lambda: self.receipts.reserve(receipt_id, body))

    async def _complete(self, request: HttpRequest, receipt_id: str) -> HttpResponse:
        body = _read(request, CompleteRequest)
        answer = await self._drive(lambda: self.receipts.complete(receipt_id, body))
        self.link.tell()
        return answer

    async def _cancel(
        self,
        request: HttpRequest,  # noqa: ARG002 - handlers are called alike
        receipt_id: str,
    ) -> HttpResponse:
        answer = await self._said(lambda: self.thread.run(self.receipts.cancel, receipt_id))
        self.link.tell()
        return answer

    async def _code(
        self,
        request: HttpRequest,  # noqa: ARG002 - handlers are called alike
        receipt_id: str,
    ) -> HttpResponse:
        try:
            found = await self.thread.run(recorded_code, self.till, receipt_id)
        except JournalUnavailableError as error:
            return problem(503, Outcome.JOURNAL_UNAVAILABLE, message=str(error))
        if found is None:
            message = "no such receipt is kept here as recorded, or it has no code"
            return problem(404, Outcome.RECEIPT_UNKNOWN, message=message)
        return HttpResponse(200, msgspec.json.encode(found))

    async def _ask_courier(self, request: HttpRequest, receipt_id: str) -> HttpResponse:
        body = _read(request, CourierRequest)
        ask = CourierService(self.till).ask
        return await self._said(lambda: self.thread.run(ask, receipt_id, body))

    async def _take_grant(self, request: HttpRequest, _: str) -> HttpResponse:
        body = _read(request, GrantRequest)
        take = CourierService(self.till).take
        answer = await self._said(lambda: self.thread.run(take, body))
        self.link.tell()
        return answer

    async def _return(self, request: HttpRequest, return_id: str) -> HttpResponse:
        body = _read(request, ReturnRequest)
        answer = await self._drive(lambda: self.returns.handle(return_id, body))
        self.link.tell()
        return answer

    async def _health(
        self,
        request: HttpRequest,  # noqa: ARG002 - handlers are called alike
        _: str,
    ) -> HttpResponse:
        return HttpResponse(200, msgspec.json.encode(await self.thread.run(self.health.report)))

    async def _talk(
        self,
        request: HttpRequest,  # noqa: ARG002 - handlers are called alike
        _: str,
    ) -> HttpResponse:
        """Have the link talk to the centre now; the conversation itself is not waited for."""
        self.link.wake()
        return HttpResponse(202, b"{}")

    async def _drive(self, start: Callable[[], Steps | ReturnSteps]) -> HttpResponse:
        return await self._said(lambda: self.thread.drive(start(), self._ask))

    async def _said(
        self, work: Callable[[], Awaitable[ReceiptAnswer | ReturnAnswer | CourierAnswer]]
    ) -> HttpResponse:
        # One register, one call at a time; a repeat that overtakes its first try waits for it.
        try:
            async with self.one_call:
                self.quiet.call_begins()
                try:
                    answer = await work()
                finally:
                    self.quiet.call_ended()
        except JournalUnavailableError as error:
            return problem(503, Outcome.JOURNAL_UNAVAILABLE, message=str(error))
        except JournalDamagedError:
            self.health.journal_damaged.set()
            return problem(
                503,
                Outcome.JOURNAL_UNAVAILABLE,
                message="the journal is damaged; sell without loyalty, the agent restarts",
            )
        return _answer(answer.outcome, answer)

    async def _ask(self, ask: Ask | AskSibling) -> Message | None:
        if isinstance(ask, AskSibling):
            return await self.siblings.ask(ask)
        settings = self.link_settings
        budget_ms = (
            settings.authorise_budget_ms
            if ask.path in (PATH_AUTHORISE, PATH_POINTS, PATH_COUNTERS)
            else settings.ask_budget_ms
        )
        return await self.link.ask_in_time(ask, budget_ms=budget_ms)


def _read(request: HttpRequest, kind: type[Body]) -> Body:
    try:
        body = msgspec.json.decode(request.body, type=kind)
        if hasattr(body, "moment"):
            Moment(local=body.moment)
        if lines := getattr(body, "lines", ()):
            ids = [line.line_id for line in lines]
            if len(set(ids)) != len(ids):
                raise BadRequestError(
                    422,
                    "basket_invalid",
                    "two lines have the same line_id; each line needs its own",
                )
    except msgspec.ValidationError as error:
        raise BadRequestError(422, "request_invalid", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(400, "not_json", f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise BadRequestError(422, "request_invalid", "the body is nested too deeply") from error
    except ValueError as error:
        raise BadRequestError(422, "request_invalid", str(error)) from error
    return body


def _answer(outcome: str, answer: msgspec.Struct) -> HttpResponse:
    return HttpResponse(STATUS_OF_OUTCOME.get(Outcome(outcome), 200), msgspec.json.encode(answer))

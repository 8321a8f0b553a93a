"""The tills' calls: checked signature in, one message to the desk, signed answer out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from central.api.problems import NAMED, problem_of
from central.api.till_claims import claim_of, nonce_of
from central.api.till_rates import BY_NUMBER_PER_S, TillRates
from central.api.traffic import RETRY_AFTER_S
from central.database.pool import Pool
from central.errors import AuthenticationError, TooManyRequestsError
from central.keys import CentreKeys
from central.tills.desk import TillCaller, TillDesk, caller_of
from sync import cycle
from sync.codec import CONTENT_TYPE, compress, decode, decompress, encode
from sync.errors import MalformedMessageError
from sync.forgetting import PATH_FORGOTTEN, Forgotten
from sync.limits import MESSAGE_BYTES_MAX
from sync.lines import PATH_LINES, Lines
from sync.listening import PATH_FRESH, PATH_LISTEN, Fresh, Listen
from sync.messages import (
    AuthoriseRequest,
    Compare,
    CounterRequest,
    Hello,
    Message,
    Pull,
    Push,
    ReceiptRequest,
    SnapshotRequest,
)
from sync.neighbours import PATH_DELIVER, Delivery
from sync.short_header import HEADER_SHORT, write_signature
from sync.signing import HEADER_SIGNATURE, answer_content, check, request_content

log = structlog.get_logger()

_UNAVAILABLE = 503
_BRING_RECORDS = frozenset({cycle.PATH_PUSH, PATH_LINES, PATH_DELIVER})

Say = Callable[[TillCaller, Any], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class TillRoutes:
    """Routes of `/v1/till/`.

    Attributes:
        rates: how often one till may call; None = as often as it likes.
        by_number: how often it may ask for an account without a card, where `rates` are given.
    """

    pool: Pool
    desk: TillDesk
    keys: CentreKeys
    rates: TillRates | None = None
    by_number: TillRates = field(default_factory=lambda: TillRates(BY_NUMBER_PER_S))

    def routes(self) -> list[Route]:
        """Return every route."""
        calls: tuple[tuple[str, type[Message], Say], ...] = (
            (cycle.PATH_HELLO, Hello, self.desk.hello),
            (cycle.PATH_PUSH, Push, self.desk.push),
            (PATH_LINES, Lines, self.desk.take_lines),
            (cycle.PATH_PULL, Pull, self.desk.pull),
            (PATH_LISTEN, Listen, self.desk.listen),
            (PATH_FRESH, Fresh, self.desk.fresh),
            (cycle.PATH_COMPARE, Compare, self.desk.compare),
            (PATH_DELIVER, Delivery, self.desk.deliver),
            (cycle.PATH_SNAPSHOT, SnapshotRequest, self.desk.snapshot),
            (cycle.PATH_AUTHORISE, AuthoriseRequest, self.desk.authorise),
            (cycle.PATH_COUNTERS, CounterRequest, self.desk.hand_out),
            (cycle.PATH_RECEIPT, ReceiptRequest, self.desk.receipt),
            (PATH_FORGOTTEN, Forgotten, self.desk.forget),
        )
        return [
            Route(path, self._endpoint(kind, say), methods=["POST"]) for path, kind, say in calls
        ]

    def _endpoint(self, kind: type[Message], say: Say) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            reply = _Reply(self.keys, request)
            try:
                reply.nonce = nonce_of(request.headers)
                body = await read_body(request)
                caller = await self._authenticate(request, body)
                if self.rates is not None:
                    now_ms = self.desk.system.monotonic_ms()
                    brings = request.url.path in _BRING_RECORDS
                    self.rates.take(caller.till_id, now_ms=now_ms, brings_records=brings)
                message = decode(kind, decompress(body, reply.encoding))
                if self.rates and isinstance(message, SnapshotRequest) and message.account_id:
                    now_ms = self.desk.system.monotonic_ms()
                    self.by_number.take(caller.till_id, now_ms=now_ms)
                return reply.answer(200, await say(caller, message))
            except TooManyRequestsError as error:
                answer = reply.answer(*problem_of(error))
                answer.headers["retry-after"] = str(ceil(error.retry_after_s))
                return answer
            except NAMED as error:
                return reply.answer(*problem_of(error))

        return endpoint

    async def _authenticate(self, request: Request, body: bytes) -> TillCaller:
        claim = claim_of(request.headers)
        row = await self.desk.front.find_till(claim.till_id)
        if row is None:
            raise AuthenticationError("there is no such till; enrol it")
        session = claim.session_of(row["session"])
        content = request_content(
            request.method,
            request.url.path,
            till_id=claim.till_id,
            session=session,
            nonce=claim.nonce,
            body=body,
        )
        check(row["public_key"], claim.signature, content)
        return caller_of(row, session)


class _Reply:
    """The answer to one request: signed with its nonce, in the form it came in."""

    def __init__(self, keys: CentreKeys, request: Request) -> None:
        self.nonce = b""
        self.encoding = request.headers.get("content-encoding", "")
        self._keys = keys
        self._is_short = HEADER_SHORT in request.headers

    def answer(self, status: int, message: Message) -> Response:
        """Return a message, signed."""
        body, encoding = compress(encode(message), self.encoding)
        signature = self._keys.centre.sign(answer_content(self.nonce, status, body))
        headers = {HEADER_SIGNATURE: signature.hex()}
        if self._is_short:
            headers = {HEADER_SHORT: write_signature(signature)}
        if status == _UNAVAILABLE:
            headers["retry-after"] = str(RETRY_AFTER_S)
        if encoding:
            # Not Content-Encoding: a proxy that unpacks it would break the signature over the
            # bytes.
            headers["tillside-encoding"] = encoding
        media_type = None if self._is_short else CONTENT_TYPE
        return Response(body, status_code=status, media_type=media_type, headers=headers)


async def read_body(request: Request, *, bytes_max: int = MESSAGE_BYTES_MAX) -> bytes:
    """Read a body up to the limit.

    Raises:
        MalformedMessageError: it is longer.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise MalformedMessageError(f"a body has at most {bytes_max} bytes")
    return bytes(body)

"""The tills' calls: checked signature in, one message to the desk, signed answer out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from central.api.problems import NAMED, problem_of
from central.api.traffic import RETRY_AFTER_S
from central.database.pool import Pool
from central.errors import AuthenticationError
from central.keys import CentreKeys
from central.tills.desk import TillCaller, TillDesk, caller_of
from sync import cycle
from sync.codec import CONTENT_TYPE, compress, decode, decompress, encode
from sync.errors import MalformedMessageError
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
from sync.signing import (
    HEADER_NONCE,
    HEADER_SESSION,
    HEADER_SIGNATURE,
    HEADER_TILL,
    answer_content,
    check,
    request_content,
)

log = structlog.get_logger()

_UNAVAILABLE = 503

Say = Callable[[TillCaller, Any], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class TillRoutes:
    """Routes of `/v1/till/`."""

    pool: Pool
    desk: TillDesk
    keys: CentreKeys

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
        )
        return [
            Route(path, self._endpoint(kind, say), methods=["POST"]) for path, kind, say in calls
        ]

    def _endpoint(self, kind: type[Message], say: Say) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            nonce, encoding = b"", request.headers.get("content-encoding", "")
            try:
                nonce = _hex(request, HEADER_NONCE, 16)
                body = await read_body(request)
                caller = await self._authenticate(request, nonce, body)
                plain = decompress(body, encoding)
                return self._answer(200, await say(caller, decode(kind, plain)), nonce, encoding)
            except NAMED as error:
                status, problem = problem_of(error)
                return self._answer(status, problem, nonce, encoding)

        return endpoint

    async def _authenticate(self, request: Request, nonce: bytes, body: bytes) -> TillCaller:
        try:
            till_id = int(request.headers[HEADER_TILL])
        except (KeyError, ValueError) as error:
            raise AuthenticationError(
                f"the header {HEADER_TILL} is missing or no number"
            ) from error
        session = _hex(request, HEADER_SESSION, 16)
        signature = _hex(request, HEADER_SIGNATURE, 64)
        row = await self.desk.front.find_till(till_id) if 0 < till_id < 1 << 62 else None
        if row is None:
            raise AuthenticationError("there is no such till; enrol it")
        content = request_content(
            request.method,
            request.url.path,
            till_id=till_id,
            session=session,
            nonce=nonce,
            body=body,
        )
        check(row["public_key"], signature, content)
        return caller_of(row, session)

    def _answer(self, status: int, message: Message, nonce: bytes, asked_in: str) -> Response:
        body, encoding = compress(encode(message), asked_in)
        headers = {
            HEADER_SIGNATURE: self.keys.centre.sign(answer_content(nonce, status, body)).hex()
        }
        if status == _UNAVAILABLE:
            headers["retry-after"] = str(RETRY_AFTER_S)
        if encoding:
            # Not Content-Encoding: a proxy that unpacks it would break the signature over the
            # bytes.
            headers["tillside-encoding"] = encoding
        return Response(body, status_code=status, media_type=CONTENT_TYPE, headers=headers)


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


def _hex(request: Request, header: str, size_bytes: int) -> bytes:
    try:
        value = bytes.fromhex(request.headers[header])
    except (KeyError, ValueError) as error:
        raise AuthenticationError(f"the header {header} is missing or not hexadecimal") from error
    if len(value) != size_bytes:
        raise AuthenticationError(f"the header {header} must have {size_bytes} bytes")
    return value

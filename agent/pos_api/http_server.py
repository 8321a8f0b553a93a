"""HTTP/1.1 on loopback for the programs of one register: h11 parses, asyncio moves the bytes.

Invariants:
    One request at a time per connection; what is pipelined behind it waits unparsed.
    What one connection can hold in memory is bounded by `HttpLimits`, whatever its peer does.
    A handler is never cancelled because its caller went away, only by `HttpServer.close`.
    Nothing a peer sent is logged.
"""

import asyncio
import ipaddress
import re
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

import h11
import msgspec
import structlog

_log = structlog.get_logger(__name__)

# Only addresses and the one name no resolver is asked for: a hostile page's own name never fits.
_LOOPBACK: Final = (
    r"(?:localhost|\[::1\]|127(?:\.(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3})(?::[0-9]{1,5})?"
)
_HOST_ALLOWED: Final = re.compile(_LOOPBACK, re.IGNORECASE | re.ASCII)
_ORIGIN_ALLOWED: Final = re.compile("https?://" + _LOOPBACK, re.IGNORECASE | re.ASCII)
_METHODS: Final = ("DELETE", "GET", "HEAD", "POST", "PUT")
_BODILESS: Final = (204, 304)
_READ_BYTES: Final = 64 * 1024
# A body may come in one-byte chunks; after so many the other connections get their turn.
_PIECES_PER_TURN: Final = 64

_REFUSALS: Final = {
    "malformed_request": (400, "This is not HTTP/1.1: check the address and the client."),
    "target_not_a_path": (400, "The target is not a path: send one that begins with '/'."),
    "body_length_ambiguous": (400, "Both a length and chunks: send only one of the two."),
    "origin_not_loopback": (403, "A page from elsewhere: only pages served on loopback may call."),
    "method_not_allowed": (405, f"This method is not served: use {', '.join(_METHODS)}."),
    "request_too_slow": (408, "The request did not end in time: send it whole, then wait."),
    "body_too_large": (413, "The body is too large: send at most {limits.body_bytes_max} bytes."),
    "host_not_loopback": (421, "The Host header is not this machine: call 127.0.0.1 or localhost."),
    "headers_too_large": (431, "Headers too large: send at most {limits.header_bytes_max} bytes."),
    "transfer_coding_unknown": (501, "Unknown transfer coding: send a length or plain chunks."),
    "too_many_connections": (503, "Too many connections: keep one and send every request on it."),
}
_CODE_BY_PARSER_HINT: Final = {431: "headers_too_large", 501: "transfer_coding_unknown"}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request whose body has been read whole.

    `path` and `query` are as sent, still percent-encoded: split first, decode after. Header names
    are lower-case; repeated headers are joined by a comma.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole answer; `headers` must not name the length or transfer coding of the body."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What peers may cost; every value is positive."""

    body_bytes_max: int = 4 * 1024 * 1024
    header_bytes_max: int = 32 * 1024  # request line and headers together
    connections_max: int = 64
    request_read_ms_max: int = 5_000  # from the first bytes of a request to its last
    idle_ms_max: int = 60_000  # before and between requests
    write_ms_max: int = 10_000  # for a peer that does not take its answer
    linger_ms_max: int = 1_000  # for a refused peer to read why, before its connection is cut
    drain_ms_max: int = 5_000  # `close`: for the requests already with the handler


DEFAULT_LIMITS: Final = HttpLimits()
Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


def problem(status: int, code: str, *, message: str) -> HttpResponse:
    """Build an error answer in the form all of them have.

    Args:
        status: 400 to 599.
        code: snake_case and stable, for programs.
        message: what happened and what to do, for people.
    """
    return HttpResponse(status, msgspec.json.encode({"error": code, "message": message}))


_INTERNAL_ERROR: Final = problem(
    500,
    "internal_error",
    message="The agent failed on this request and logged where. Repeat the request once; if that"
    " fails too, go on with the sale and tell store IT.",
)


class _RefusedError(Exception):
    """A request that never reaches the handler; its connection ends with the answer."""

    def __init__(self, code: str, limits: HttpLimits) -> None:
        super().__init__(code)
        status, message = _REFUSALS[code]
        self.answer = problem(status, code, message=message.format(limits=limits))
        if code == "method_not_allowed":
            self.answer = replace(self.answer, headers=(("allow", ", ".join(_METHODS)),))


class _Connection:
    """One peer: read a request, let the handler answer, write the answer, begin again."""

    def __init__(
        self, server: "HttpServer", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._limits = server.limits
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, server.limits.header_bytes_max)
        self._method = b""
        self.is_busy = False  # a request is with the handler, or its answer on the way
        self.is_refused = False

    async def run(self) -> None:
        # `drain` then means that the kernel has every byte, so that ending is never a wait.
        self._writer.transport.set_write_buffer_limits(high=0)
        try:
            try:
                await self._serve_requests()
            except _RefusedError as refused:
                self.is_refused = True
                await self._refuse(refused.answer)
        except OSError:
            pass  # gone, idle for too long or not reading (TimeoutError): nobody to answer
        finally:
            self._writer.transport.abort()

    async def _serve_requests(self) -> None:
        if self._server.is_full:
            raise _RefusedError("too_many_connections", self._limits)
        while request := await self._read_request():
            self.is_busy = True
            await self._write(*await self._handle(request))
            self.is_busy = False
            if self._http.our_state is h11.MUST_CLOSE or self._server.is_closing:
                return
            self._http.start_next_cycle()

    async def _read_request(self) -> HttpRequest | None:
        """Wait for a request and read it whole; None when the peer asks nothing more."""
        self._method = b""
        if not self._http.trailing_data[0]:
            async with asyncio.timeout(self._limits.idle_ms_max / 1000):
                # Some old clients end a body with a line break that its length leaves out.
                while (data := await self._reader.read(_READ_BYTES)).isspace():
                    pass
            self._http.receive_data(data.lstrip(b"\r\n"))
        try:
            async with asyncio.timeout(self._limits.request_read_ms_max / 1000):
                head = await self._next_event()
                if not isinstance(head, h11.Request):
                    return None
                self._method = head.method
                headers = self._check_head(head)
                body = await self._read_body()
        except TimeoutError:
            raise _RefusedError("request_too_slow", self._limits) from None
        path, _, query = head.target.decode("ascii").partition("?")
        return HttpRequest(head.method.decode("ascii"), path, query, headers, body)

    async def _next_event(self) -> object:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                code = _CODE_BY_PARSER_HINT.get(error.error_status_hint, "malformed_request")
                raise _RefusedError(code, self._limits) from error
            if event is not h11.NEED_DATA:
                return event
            if self._http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                self._writer.write(self._http.send(go_on))
            self._http.receive_data(await self._reader.read(_READ_BYTES))

    def _check_head(self, head: h11.Request) -> dict[str, str]:
        headers: dict[str, str] = {}
        size = len(head.method) + len(head.target)
        for raw_name, raw_value in head.headers:
            name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
            size += len(raw_name) + len(raw_value) + len(": \r\n")
        code = None
        if size > self._limits.header_bytes_max:  # h11 looks only at what is not whole yet
            code = "headers_too_large"
        elif not _HOST_ALLOWED.fullmatch(headers.get("host", "")):
            code = "host_not_loopback"
        elif "origin" in headers and not _ORIGIN_ALLOWED.fullmatch(headers["origin"]):
            code = "origin_not_loopback"
        elif head.method.decode("ascii") not in _METHODS:
            code = "method_not_allowed"
        elif not head.target.startswith(b"/"):
            code = "target_not_a_path"
        elif "transfer-encoding" in headers and "content-length" in headers:
            code = "body_length_ambiguous"
        elif int(headers.get("content-length", "0")) > self._limits.body_bytes_max:
            code = "body_too_large"
        if code is not None:
            raise _RefusedError(code, self._limits)
        return headers

    async def _read_body(self) -> bytes:
        body = bytearray()
        pieces_count = 0
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
            if len(body) > self._limits.body_bytes_max:
                raise _RefusedError("body_too_large", self._limits)
            pieces_count += 1
            if pieces_count % _PIECES_PER_TURN == 0:
                await asyncio.sleep(0)
        return bytes(body)

    async def _handle(self, request: HttpRequest) -> tuple[h11.Response, bytes]:
        try:
            # A task of its own: context variables of one request do not reach the next.
            response = await asyncio.ensure_future(self._server.handler(request))
            return self._head(response), bytes(response.body)
        except Exception as error:  # noqa: BLE001 - logged once, and the connection goes on
            # Neither path nor message nor values: they may hold a card or a telephone number.
            _log.error("http_handler_failed", error=type(error).__name__, where=_where(error))
            return self._head(_INTERNAL_ERROR), _INTERNAL_ERROR.body

    def _head(self, answer: HttpResponse) -> h11.Response:
        headers = list(answer.headers)
        if any(name.lower() in {"content-length", "transfer-encoding"} for name, _ in headers):
            raise ValueError("leave the length and transfer coding of the body to the server")
        if answer.status not in _BODILESS:
            headers.append(("content-type", answer.content_type))
            headers.append(("content-length", str(len(answer.body))))
        if self.is_refused or self._server.is_closing:
            headers.append(("connection", "close"))
        return h11.Response(status_code=answer.status, headers=headers)

    async def _write(self, head: h11.Response, body: bytes) -> None:
        pieces = [self._http.send(head)]
        if body and self._method != b"HEAD" and head.status_code not in _BODILESS:
            pieces.append(self._http.send(h11.Data(data=body)))
        pieces.append(self._http.send(h11.EndOfMessage()))
        self._writer.writelines(pieces)
        async with asyncio.timeout(self._limits.write_ms_max / 1000):
            await self._writer.drain()

    async def _refuse(self, answer: HttpResponse) -> None:
        await self._write(self._head(answer), answer.body)
        # Ending with unread bytes would reset the connection and could destroy the answer.
        self._writer.write_eof()
        async with asyncio.timeout(self._limits.linger_ms_max / 1000):
            while await self._reader.read(_READ_BYTES):
                pass


class HttpServer:
    """A listening server, made by `serve`."""

    def __init__(self, handler: Handler, limits: HttpLimits) -> None:
        self.handler = handler
        self.limits = limits
        self.is_closing = False
        self.accepted_count = 0
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._listener: asyncio.Server

    async def listen(self, address: str, port: int) -> None:
        """Bind and accept; `serve` calls it once, after checking the address."""
        self._listener = await asyncio.start_server(self._accept, address, port, limit=_READ_BYTES)
        self.port: int = self._listener.sockets[0].getsockname()[1]

    @property
    def connections_count(self) -> int:
        """Connections being served or refused now."""
        return len(self._connections)

    @property
    def is_full(self) -> bool:
        """Whether more peers than allowed are served, the newest included."""
        served = sum(not connection.is_refused for connection in self._connections.values())
        return served > self.limits.connections_max

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted_count += 1
        # At twice the limit not even a refusal, or peers that wait for theirs would pile up.
        if self.is_closing or len(self._connections) >= 2 * self.limits.connections_max:
            writer.transport.abort()
            return
        connection = _Connection(self, reader, writer)
        task = asyncio.get_running_loop().create_task(connection.run())
        self._connections[task] = connection
        task.add_done_callback(self._connections.pop)

    async def close(self) -> None:
        """Stop listening, let the handler finish what it has, cut every other connection.

        Handlers still running after `drain_ms_max` are cancelled and have as long again to end;
        their callers get no answer. May be called twice.
        """
        self.is_closing = True
        self._listener.close()
        for task, connection in self._connections.items():
            if not connection.is_busy:
                task.cancel()
        for _ in range(2):
            if self._connections:
                drain_s = self.limits.drain_ms_max / 1000
                _, late = await asyncio.wait(self._connections, timeout=drain_s)
                for task in late:
                    task.cancel()


async def serve(
    handler: Handler, *, host: str = "127.0.0.1", port: int = 0, limits: HttpLimits = DEFAULT_LIMITS
) -> HttpServer:
    """Listen on loopback and answer with `handler`.

    Args:
        handler: called for each request, HEAD included (its body is dropped). An exception becomes
            a 500 without detail.
        host: a loopback address, or `localhost`, taken as 127.0.0.1.
        port: 0 lets the system choose; see `HttpServer.port`.

    Raises:
        ValueError: `host` is no loopback address.
        OSError: the port is taken or may not be used.
    """
    address = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError(f"the POS API listens on loopback only: not {host!r} but 127.0.0.1 or ::1")
    server = HttpServer(handler, limits)
    await server.listen(address, port)
    return server


def _where(error: BaseException) -> list[str]:
    """Name the functions an error came through, outermost first, without any values."""
    return [
        f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]

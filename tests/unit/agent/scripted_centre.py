"""A centre over real sockets that answers what a test has written down, bytes and all."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sync import cycle
from sync.codec import CONTENT_TYPE, compress, decode, decompress, encode
from sync.errors import LinkError
from sync.messages import (
    AuthoriseRequest,
    Compare,
    Hello,
    Message,
    Problem,
    Pull,
    Push,
    ReceiptRequest,
    SnapshotRequest,
)
from sync.reporting import PATH_REPORT, Report
from sync.session_key import mac_of
from sync.short_header import HEADER_SHORT, read_short, write_signature
from sync.signing import HEADER_NONCE, HEADER_SIGNATURE, SigningKey, answer_content
from tests.support.till import CENTRE_KEY, FakeCentre

KIND_OF_PATH: dict[str, type[Message]] = {
    cycle.PATH_HELLO: Hello,
    cycle.PATH_PUSH: Push,
    cycle.PATH_PULL: Pull,
    cycle.PATH_COMPARE: Compare,
    cycle.PATH_SNAPSHOT: SnapshotRequest,
    cycle.PATH_AUTHORISE: AuthoriseRequest,
    cycle.PATH_RECEIPT: ReceiptRequest,
    PATH_REPORT: Report,
}


@dataclass(frozen=True, slots=True)
class Heard:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Reply = Callable[[Heard], bytes | None]
"""The bytes of an answer, after which the connection ends; None never answers."""
LateReply = Callable[[Heard], bytes | Awaitable[bytes] | None]
"""The same, or bytes that are still to come."""


def raw(status: int, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """Return the bytes of an answer; a `length` beyond the body is broken off in the middle."""
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {size}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def always(answer: bytes | None) -> Reply:
    """Say the same whatever is asked."""
    return lambda _: answer


def signed(
    message: Message, *headers: str, status: int = 200, by: SigningKey = CENTRE_KEY
) -> Callable[[Heard], bytes]:
    """Say a message as the centre does."""

    def reply(heard: Heard) -> bytes:
        body, encoding = compress(encode(message))
        nonce = bytes.fromhex(heard.headers.get(HEADER_NONCE, ""))
        signature = by.sign(answer_content(nonce, status, body)).hex()
        more = [f"tillside-encoding: {encoding}"] if encoding else []
        return raw(
            status, body, f"Content-Type: {CONTENT_TYPE}", f"{HEADER_SIGNATURE}: {signature}",
            *more, *headers,
        )  # fmt: skip

    return reply


def signed_shortly(message: Message, *, key: bytes = b"") -> Callable[[Heard], bytes]:
    """Say a message as the centre does to who sends a short header.

    Args:
        key: of the session: a MAC stands in place of the signature.
    """

    def reply(heard: Heard) -> bytes:
        body, encoding = compress(encode(message))
        nonce = read_short(heard.headers[HEADER_SHORT]).nonce
        content = answer_content(nonce, 200, body)
        signature = write_signature(mac_of(key, content) if key else CENTRE_KEY.sign(content))
        more = [f"tillside-encoding: {encoding}"] if encoding else []
        return raw(200, body, f"{HEADER_SHORT}: {signature}", *more)

    return reply


def speaking_for(centre: FakeCentre) -> Reply:
    """Say what a centre in memory says; nothing at all where it is silent."""

    def reply(heard: Heard) -> bytes | None:
        if heard.path.startswith(cycle.PATH_BUNDLE):
            return raw(404)
        body = decompress(heard.body, heard.headers.get("content-encoding", ""))
        message = decode(KIND_OF_PATH[heard.path], body)
        try:
            answer = centre.answer(cycle.Ask(heard.path, message, Message))
        except LinkError:
            return None
        assert isinstance(answer, Message)
        return signed(answer)(heard)

    return reply


def refusing(code: str, status: int) -> Reply:
    """Say no by name."""
    return signed(Problem(error=code, message="do something else"), status=status)


@dataclass(slots=True)
class ScriptedCentre:
    """A listening centre.

    Attributes:
        replies: what the next requests get, one each; the last one stays.
        heard: requests so far.
        connections: how often somebody connected.
    """

    replies: list[LateReply]
    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    connections: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something heard made the condition true."""
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request of a connection."""
        self.connections += 1
        self.changed.set()
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                heard = await _read(reader)
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                self.heard.append(heard)
                self.changed.set()
                said = reply(heard)
                answer = said if said is None or isinstance(said, bytes) else await said
                if answer is None:
                    await reader.read()  # until the caller gives up
                else:
                    writer.write(answer)
                    await writer.drain()
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Heard:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.split(": ", 1) for line in lines)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Heard(method, urlsplit(target).path, headers, body)


@asynccontextmanager
async def scripted_centre(
    *replies: LateReply, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedCentre]:
    """Listen on loopback for the length of the block."""
    centre = ScriptedCentre(list(replies))
    server = await asyncio.start_server(centre.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    centre.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield centre
    finally:
        server.close()

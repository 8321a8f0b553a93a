"""A till's line, as thin as can be: one connection, one request at a time, proven as tills do it.

HELLO is signed and agrees on the session's key; what follows carries a MAC. What proves the answers
is not checked: that is the till's work, and not on the centre's machine.
"""

import asyncio
import itertools
import os
from typing import TypeVar, cast

import msgspec

from sync.codec import PACKED, compress, decode, decompress, encode
from sync.cycle import PATH_HELLO
from sync.messages import Hello, HelloAnswer, Message, Problem
from sync.session_key import KeyOffer, mac_of
from sync.short_header import NONCE_BYTES, TAG_BYTES, ShortHeader, write_short
from sync.signing import NO_SESSION, SigningKey, request_content

M = TypeVar("M", bound=Message)

_OK = 200
_nonces = itertools.count(1)


class RefusedError(Exception):
    """The centre answered with a problem; its code is the text."""


class Line(asyncio.Protocol):
    """One connection; answers come back in order."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> "Line":
        """Connect."""
        _, line = await asyncio.get_running_loop().create_connection(cls, host, port)
        return line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by what it does

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Whoever waits hears of it."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the centre hung up"))

    def data_received(self, data: bytes) -> None:
        """Put an answer together."""
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0 or self._answer is None:
            return
        head = bytes(self._buffer[:head_end]).lower()
        at = head.find(b"content-length: ")
        size = int(head[at + 16 : head.find(b"\r\n", at) if b"\r\n" in head[at:] else None])
        if len(self._buffer) < head_end + 4 + size:
            return
        body = bytes(self._buffer[head_end + 4 : head_end + 4 + size])
        del self._buffer[: head_end + 4 + size]
        answer, self._answer = self._answer, None
        if not answer.done():
            answer.set_result((int(head[9:12]), head, body))

    async def send(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Send bytes; returns status, head and body of the answer.

        Raises:
            ConnectionError: the connection is gone.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("no connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class TillLine:
    """A till that speaks over a line."""

    def __init__(self, till_id: int, key: SigningKey, host: str, port: int) -> None:
        self.till_id = till_id
        self.session = NO_SESSION
        self._key = key
        self._session_key = b""
        self._address = (host, port)
        self._line: Line | None = None

    async def greet(self, hello: Hello) -> HelloAnswer:
        """Say HELLO; the session is the new one from now on.

        Raises:
            RefusedError: the centre refuses.
            OSError: there is no connection.
        """
        self.session, self._session_key = NO_SESSION, b""
        offer = KeyOffer(os.urandom(32))
        hello = msgspec.structs.replace(hello, offer=offer.public)
        answer = await self.ask(PATH_HELLO, hello, HelloAnswer)
        self.session = answer.session
        self._session_key = offer.open(answer.sealed, answer.session)
        return answer

    async def ask(self, path: str, message: Message, kind: type[M]) -> M:
        """Ask the centre.

        Raises:
            RefusedError: it refuses.
            OSError: there is no connection.
        """
        body, encoding = compress(encode(message), PACKED)
        nonce = next(_nonces).to_bytes(NONCE_BYTES, "big")
        content = request_content(
            "POST", path, till_id=self.till_id, session=self.session, nonce=nonce, body=body
        )
        key = self._session_key
        said = ShortHeader(
            till_id=self.till_id,
            nonce=nonce,
            tag=self.session[:TAG_BYTES],
            signature=mac_of(key, content) if key else self._key.sign(content),
        )
        head = (
            f"POST {path} HTTP/1.1\r\nhost: centre\r\ncontent-length: {len(body)}\r\n"
            f"content-encoding: {encoding}\r\ntillside: {write_short(said)}\r\n\r\n"
        )
        if self._line is None:
            self._line = await Line.open(*self._address)
        try:
            status, answer_head, answer = await self._line.send(head.encode() + body)
        except ConnectionError:
            self._line = None
            raise
        packed = PACKED if b"tillside-encoding: tillside-1" in answer_head else ""
        plain = decompress(answer, packed)
        if status != _OK:
            raise RefusedError(decode(Problem, plain).error)
        return decode(kind, plain)

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.close()
            self._line = None

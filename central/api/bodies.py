"""Bodies before a door: whoever is slow to send has no place yet, and is not waited for long.

A request begins for the server with the end of its headers; its body may come much later, or never.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.types import Message, Receive, Scope

from central.errors import SlowSenderError
from sync.errors import MalformedMessageError

FIRST_BYTES: Final = 65_536
"""So much of a body is taken before its place: all of it, but for what the back office sends."""
_SAY_LENGTH: Final = (b"content-length", b"transfer-encoding")


class Senders:
    """Those of one class that are sending: so many at a time.

    One more takes the place of the one that has taken longest: a flood of slow ones is in nobody's
    way who sends at once.
    """

    def __init__(self, *, sending_max: int, body_s_max: float, rest_s_max: float) -> None:
        """Make it.

        Args:
            sending_max: so many send at a time.
            body_s_max: how long the first `FIRST_BYTES` of a body may take.
            rest_s_max: how long the rest of a longer one may, after its place; 0 = none is taken.
        """
        self._sending_max = sending_max
        self._body_s_max = body_s_max
        self._rest_s_max = rest_s_max
        self._sending: dict[asyncio.Timeout, None] = {}

    async def body_of(self, scope: Scope, receive: Receive) -> Receive | None:
        """Wait for a body, or for the beginning of a longer one.

        Returns:
            What hands it on, and the rest; None when the sender has gone.

        Raises:
            SlowSenderError: it has not come in time.
        """
        if not any(name in _SAY_LENGTH for name, _ in scope.get("headers", ())):
            return receive
        body, is_more = bytearray(), True
        try:
            async with self._one_more():
                while is_more and len(body) <= FIRST_BYTES:
                    event = await receive()
                    if event["type"] == "http.disconnect":
                        return None
                    body += event.get("body", b"")
                    is_more = event.get("more_body", False)
        except TimeoutError:
            raise SlowSenderError from None
        return _Body(receive, bytes(body), self._rest_s_max, is_more=is_more)

    @asynccontextmanager
    async def _one_more(self) -> AsyncIterator[None]:
        if len(self._sending) >= self._sending_max:
            oldest = next(iter(self._sending))
            del self._sending[oldest]
            if not oldest.expired():
                oldest.reschedule(asyncio.get_running_loop().time())
        async with asyncio.timeout(self._body_s_max) as limit:
            self._sending[limit] = None
            try:
                yield
            finally:
                self._sending.pop(limit, None)


class _Body:
    """Hands on what has come, then what comes."""

    def __init__(
        self, receive: Receive, first: bytes, rest_s_max: float, *, is_more: bool
    ) -> None:  # fmt: skip
        self._receive = receive
        self._first: bytes | None = first
        self._rest_s_max = rest_s_max
        self._is_more = is_more
        self._due_s = 0.0

    async def __call__(self) -> Message:
        """Return the next part.

        Raises:
            MalformedMessageError: there is more than may be.
            SlowSenderError: the rest has not come in time.
        """
        if self._first is not None:
            first, self._first = self._first, None
            if len(first) > FIRST_BYTES and not self._rest_s_max:
                raise MalformedMessageError(f"a body has at most {FIRST_BYTES} bytes")
            self._due_s = asyncio.get_running_loop().time() + self._rest_s_max
            return {"type": "http.request", "body": first, "more_body": self._is_more}
        if not self._is_more:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._due_s):
                event = await self._receive()
        except TimeoutError:
            raise SlowSenderError from None
        self._is_more = event.get("more_body", False)
        return event

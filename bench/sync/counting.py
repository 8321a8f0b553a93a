"""Counts what really travels: every request and answer of a till, by kind and part."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

_SERVER_HEADERS = b"date: Sun, 22 Nov 2026 03:24:36 GMT\r\n"
"""What the server adds that carries the centre's routes; here they are called without it."""


@dataclass(slots=True)
class Traffic:
    """Bytes by kind of message; nothing of TLS and below.

    Attributes:
        up, down: bodies as sent, packed.
        headers: request lines, status lines and headers, both ways.
    """

    exchanges: Counter[str] = field(default_factory=Counter)
    up: Counter[str] = field(default_factory=Counter)
    down: Counter[str] = field(default_factory=Counter)
    headers: Counter[str] = field(default_factory=Counter)

    @property
    def body_bytes(self) -> int:
        """All bodies, both ways."""
        return self.up.total() + self.down.total()

    def since(self, before: "Traffic") -> "Traffic":
        """Return what came after a copy was made."""
        return Traffic(
            self.exchanges - before.exchanges,
            self.up - before.up,
            self.down - before.down,
            self.headers - before.headers,
        )

    def copy(self) -> "Traffic":
        """Return the counts as they are now."""
        return Traffic(
            Counter(self.exchanges), Counter(self.up), Counter(self.down), Counter(self.headers)
        )

    def add(self, more: "Traffic") -> None:
        """Count an exchange that is known to be the same as one before."""
        for mine, theirs in (
            (self.exchanges, more.exchanges),
            (self.up, more.up),
            (self.down, more.down),
            (self.headers, more.headers),
        ):
            mine.update(theirs)

    def report(self) -> dict[str, Any]:
        """Return the figures by kind, the largest first."""
        kinds = sorted(self.exchanges, key=lambda kind: -(self.up[kind] + self.down[kind]))
        return {
            kind: {
                "exchanges": self.exchanges[kind],
                "up_bytes": self.up[kind],
                "down_bytes": self.down[kind],
                "header_bytes": self.headers[kind],
            }
            for kind in kinds
        }


class CountingTransport(httpx.AsyncBaseTransport):
    """Passes requests on and counts them."""

    def __init__(self, inner: httpx.AsyncBaseTransport, traffic: Traffic) -> None:
        self._inner = inner
        self._traffic = traffic

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on."""
        body = await request.aread()
        response = await self._inner.handle_async_request(request)
        content = await response.aread()
        kind = request.url.path.removeprefix("/v1/till/").removeprefix("/v1/").split("/")[0]
        self._traffic.exchanges[kind] += 1
        self._traffic.up[kind] += len(body)
        self._traffic.down[kind] += len(content)
        line = f"{request.method} {request.url.raw_path.decode()} HTTP/1.1\r\n"
        self._traffic.headers[kind] += (
            len(line)
            + _header_bytes(request.headers)
            + len(b"HTTP/1.1 200 OK\r\n")
            + _header_bytes(response.headers)
            + len(_SERVER_HEADERS)
        )
        return httpx.Response(
            response.status_code, headers=response.headers, stream=httpx.ByteStream(content)
        )


def _header_bytes(headers: httpx.Headers) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers.raw) + 2

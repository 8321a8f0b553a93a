"""Whoever is slow to send holds no place: real sockets that say a body comes, and send none."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn

from central.api import traffic
from central.api.oauth_routes import FORM, PATH_TOKEN
from central.api.openapi import openapi_document
from central.api.traffic import STRANGERS, Send, TrafficControl
from tests.support.centre import KEYS, JoinedCentre

# Everybody comes in however late this machine is.
APP, SIGN_IN, OFFICE = (
    replace(each, late_ms_max=math.inf) for each in (traffic.APP, traffic.SIGN_IN, traffic.OFFICE)
)
FIRST_BYTES = 65_536
SOON_S, LONG_S = 0.2, 60.0
WAIT_S = 20.0
TOO_SLOW, COME_AGAIN = 408, 503
OFFICE_TOKEN = f"authorization: Bearer {KEYS.office_token}"


class Wish(NamedTuple):
    """A call that has a body, and what it is answered where the body is `{}`."""

    path: str
    headers: str
    answered: int


WISHES = {
    "sign_in": Wish(PATH_TOKEN, f"content-type: {FORM}", 401),
    "app": Wish("/v1/app/courier", f"authorization: Bearer {KEYS.app_token}", 422),
    "office": Wish("/v1/calculate", OFFICE_TOKEN, 422),
}


class Peer:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, wish: Wish, body: bytes, *, says_bytes: int | None = None) -> None:
        """Send a request with a body, or with less of it than it says."""
        says_bytes = len(body) if says_bytes is None else says_bytes
        head = (
            f"POST {wish.path} HTTP/1.1\r\nhost: centre\r\n{wish.headers}\r\n"
            f"content-length: {says_bytes}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        await self._writer.drain()

    async def answer(self) -> tuple[int, dict[str, Any]]:
        """Return status and body of an answer after which the centre hangs up."""
        async with asyncio.timeout(WAIT_S):
            said = await self._reader.read()
        head, _, body = said.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()


class Served(NamedTuple):
    """A front on a port of its own."""

    http: httpx.AsyncClient
    port: int
    ending: AsyncExitStack

    async def peer(self) -> Peer:
        """Connect; hangs up when the test ends."""
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port))
        self.ending.push_async_callback(peer.close)
        return peer

    async def status(self, wish: Wish) -> int:
        """Return what one is answered who sends at once."""
        name, _, value = wish.headers.partition(": ")
        answer = await self.http.post(wish.path, headers={name: value}, content=b"{}")
        return answer.status_code


@asynccontextmanager
async def served(control: TrafficControl) -> AsyncIterator[Served]:
    """Serve as a front does."""
    server = uvicorn.Server(uvicorn.Config(control, port=0, log_level="critical", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with (
            AsyncExitStack() as ending,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_S) as http,
        ):
            yield Served(http, port, ending)
    finally:
        server.should_exit = True
        await serving


def of_all(centre: JoinedCentre) -> TrafficControl:
    """Return the centre's traffic control as it is but for that."""
    return TrafficControl(centre.parts.app, app_bounds=APP, sign_in=SIGN_IN, office=OFFICE)


@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES)
async def test_who_says_a_body_comes_and_sends_none_holds_no_place(
    centre: JoinedCentre, wish: Wish
) -> None:
    async with served(of_all(centre)) as front:
        for _ in range(4):
            await (await front.peer()).send(wish, b"", says_bytes=100)
        await asyncio.sleep(SOON_S)
        assert await front.status(wish) == wish.answered


@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES)
async def test_who_is_too_slow_is_told_so_and_hung_up_on(centre: JoinedCentre, wish: Wish) -> None:
    control = TrafficControl(
        centre.parts.app,
        app_bounds=replace(APP, body_s_max=SOON_S),
        sign_in=replace(SIGN_IN, body_s_max=SOON_S),
        office=replace(OFFICE, body_s_max=SOON_S),
    )
    async with served(control) as front:
        peer = await front.peer()
        await peer.send(wish, b"{", says_bytes=100)
        status, problem = await peer.answer()
        assert (status, problem["error"]) == (TOO_SLOW, "request_timeout")
        assert problem["title"] == "Request Timeout"
    if wish is not WISHES["office"]:  # of its calls none names what its door says
        assert str(TOO_SLOW) in openapi_document()["paths"][wish.path]["post"]["responses"]


async def test_an_address_that_is_too_slow_again_and_again_signs_in_by_the_narrow_door(
    centre: JoinedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "_now_ms", lambda: 0)  # what was wrong is not forgiven meanwhile
    shut = replace(STRANGERS, waiting_max=0)
    control = TrafficControl(
        centre.parts.app, sign_in=replace(SIGN_IN, body_s_max=SOON_S), strangers=shut
    )
    async with served(control) as front:
        slow = [await front.peer() for _ in range(25)]
        for peer in slow:
            await peer.send(WISHES["sign_in"], b"", says_bytes=100)
        assert {(await peer.answer())[0] for peer in slow} == {TOO_SLOW}
        assert await front.status(WISHES["sign_in"]) == COME_AGAIN


async def test_of_too_many_slow_ones_the_one_that_takes_longest_makes_room(
    centre: JoinedCentre,
) -> None:
    bounds = replace(APP, sending_max=2, body_s_max=LONG_S)
    wish = WISHES["app"]
    async with served(TrafficControl(centre.parts.app, app_bounds=bounds)) as front:
        first, second, third = [await front.peer() for _ in range(3)]
        for peer in (first, second, third):
            await peer.send(wish, b"", says_bytes=100)
            await asyncio.sleep(0.05)
        assert (await first.answer())[0] == TOO_SLOW
        assert await front.status(wish) == wish.answered
        assert (await second.answer())[0] == TOO_SLOW
        still = asyncio.create_task(third.answer())
        await asyncio.sleep(SOON_S)
        assert not still.done()
        still.cancel()


async def test_what_is_long_is_read_of_those_alone_who_may_and_not_for_ever(
    centre: JoinedCentre,
) -> None:
    bounds = replace(OFFICE, running_max=1, rest_s_max=SOON_S)
    wish = WISHES["office"]
    async with served(TrafficControl(centre.parts.app, office=bounds)) as front:
        known, stranger = await front.peer(), await front.peer()
        await known.send(wish, b" " * 100_000, says_bytes=200_000)
        assert (await known.answer())[1]["error"] == "request_timeout"
        nobody = wish._replace(headers="connection: close")
        await stranger.send(nobody, b" " * 100_000, says_bytes=200_000)
        assert (await stranger.answer())[0] == 401
        assert await front.status(wish) == wish.answered
    async with served(of_all(centre)) as front:
        # Sent at once it may be as long as a message is.
        long = await front.http.post(
            wish.path,
            headers={"authorization": f"Bearer {KEYS.office_token}"},
            content=b" " * 1_000_000 + b"{}",
        )
        assert long.status_code == wish.answered


async def test_an_app_sends_no_more_than_is_taken_before_its_place(centre: JoinedCentre) -> None:
    async with served(of_all(centre)) as front:
        headers = {"authorization": f"Bearer {KEYS.app_token}"}
        path, content = "/v1/app/courier", b" " * (FIRST_BYTES - 2) + b"{}"
        most = await front.http.post(path, headers=headers, content=content)
        more = await front.http.post(path, headers=headers, content=b" " + content)
        assert (most.status_code, more.status_code) == (422, 400)
        assert more.json()["message"] == f"a body has at most {FIRST_BYTES} bytes"


async def test_no_more_than_the_beginning_of_a_body_is_kept_before_its_place() -> None:
    taken = 0

    async def endless() -> MutableMapping[str, Any]:
        nonlocal taken
        taken += 1_000
        return {"type": "http.request", "body": b" " * 1_000, "more_body": True}

    async def send(_: MutableMapping[str, Any]) -> None:
        """Hear nothing."""

    async def app(*_: object) -> None:
        raise AssertionError("nobody comes in")

    shut = TrafficControl(app, office=replace(OFFICE, waiting_max=0))
    scope = {"type": "http", "path": "/", "headers": [(b"transfer-encoding", b"chunked")]}
    await shut(scope, endless, send)
    assert FIRST_BYTES < taken < FIRST_BYTES + 2_000


async def test_who_hangs_up_while_sending_is_not_answered() -> None:
    async def gone() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    async def nobody(*_: object) -> None:
        raise AssertionError("nobody is there")

    says: Send = nobody
    scope = {"type": "http", "path": "/", "headers": [(b"content-length", b"5")]}
    await TrafficControl(nobody)(scope, gone, says)

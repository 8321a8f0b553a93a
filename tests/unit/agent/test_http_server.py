"""The register's HTTP server over real sockets: every limit, hostile bytes, orderly ends."""

import asyncio
import contextvars
import http.client
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.pos_api.http_server import (
    Handler,
    HttpLimits,
    HttpRequest,
    HttpResponse,
    HttpServer,
    problem,
    serve,
)

HOST = b"Host: 127.0.0.1\r\n"
GET = b"GET /ping HTTP/1.1\r\n" + HOST + b"\r\n"
NEVER_MS = 600_000  # a limit that a test must not run into


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        fields = json.loads(self.body)
        assert set(fields) == {"error", "message"}
        assert len(fields["message"]) > 20
        assert self.headers["content-type"] == "application/json"
        return str(fields["error"])


@dataclass(frozen=True)
class Peer:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, is_head: bool = False) -> Answer:
        async with asyncio.timeout(20):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {}
            for line in filter(None, lines[1:]):
                name, _, value = line.partition(": ")
                headers[name.lower()] = value
            length = 0 if is_head else int(headers.get("content-length", "0"))
            return Answer(int(lines[0].split()[1]), headers, await self.reader.readexactly(length))

    async def rest(self) -> bytes:
        """What still comes until the server ends the connection."""
        async with asyncio.timeout(20):
            return await self.reader.read()

    async def ask(self, data: bytes) -> Answer:
        await self.send(data)
        return await self.answer()


async def echo(request: HttpRequest) -> HttpResponse:
    fields = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": request.headers,
        "body": request.body.decode("latin-1"),
    }
    return HttpResponse(200, json.dumps(fields).encode())


@asynccontextmanager
async def serving(handler: Handler = echo, **limits: int) -> AsyncIterator[HttpServer]:
    server = await serve(handler, limits=HttpLimits(**limits))
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def connected(server: HttpServer) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - any condition, by turns of the loop
            await asyncio.sleep(0)


def post(body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST /sales HTTP/1.1", b"Host: localhost:80", *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def chunked(*chunks: bytes) -> bytes:
    head = b"POST /sales HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


# -- plain service -------------------------------------------------------------------------------


async def test_stdlib_client_keeps_one_connection_for_many_requests() -> None:
    async with serving() as server:

        def ask_often() -> list[object]:
            client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            seen = []
            for number in range(50):
                client.request("POST", f"/receipts/{number}", body=b"x" * number)
                seen.append(json.loads(client.getresponse().read())["path"])
            client.close()
            return [*seen, server.accepted_count]

        answers = await asyncio.to_thread(ask_often)
    assert answers == [*(f"/receipts/{number}" for number in range(50)), 1]


async def test_request_reaches_the_handler_as_it_was_sent() -> None:
    async with serving() as server, connected(server) as peer:
        target = b"/m%2Fx/%D1%8F?card=1%202&card=3?"
        lines = [b"PUT " + target + b" HTTP/1.1", b"HOST: [::1]:8080", b"X-Tag: a", b"x-tAG: b"]
        answer = await peer.ask(b"\r\n".join([*lines, b"Content-Length: 3", b"", b"\x00\xff\n"]))
    assert answer.status == 200
    assert json.loads(answer.body) == {
        "method": "PUT",
        "path": "/m%2Fx/%D1%8F",
        "query": "card=1%202&card=3?",
        "headers": {"host": "[::1]:8080", "x-tag": "a, b", "content-length": "3"},
        "body": "\x00\xff\n",
    }


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
async def test_method_is_served(method: str) -> None:
    async with serving() as server, connected(server) as peer:
        answer = await peer.ask(GET.replace(b"GET", method.encode()))
    assert json.loads(answer.body)["method"] == method


async def test_head_is_answered_with_the_length_but_no_body() -> None:
    async with serving() as server, connected(server) as peer:
        await peer.send(GET.replace(b"GET", b"HEAD"))
        head = await peer.answer(is_head=True)
        following = await peer.ask(GET)
    assert int(head.headers["content-length"]) > 50
    assert json.loads(following.body)["method"] == "GET"


async def test_answer_without_content_has_neither_body_nor_length() -> None:
    async def nothing(_: HttpRequest) -> HttpResponse:
        return HttpResponse(204, b"dropped", headers=(("x-kept", "yes"),))

    async with serving(nothing) as server, connected(server) as peer:
        first = await peer.ask(GET)
        second = await peer.ask(GET)
    assert first == second == Answer(204, {"x-kept": "yes"}, b"")


async def test_chunked_body_arrives_whole() -> None:
    async with serving() as server, connected(server) as peer:
        answer = await peer.ask(chunked(b"one ", b"and ", b"two"))
    assert json.loads(answer.body)["body"] == "one and two"


async def test_pipelined_requests_are_answered_in_order_and_one_at_a_time() -> None:
    running: list[str] = []
    overlaps: list[str] = []

    async def handler(request: HttpRequest) -> HttpResponse:
        overlaps.extend(running)
        running.append(request.path)
        await asyncio.sleep(0)
        running.remove(request.path)
        return HttpResponse(200, request.path.encode())

    async with serving(handler) as server, connected(server) as peer:
        paths = [f"/{number}".encode() for number in range(200)]
        await peer.send(b"".join(GET.replace(b"/ping", path) for path in paths))
        answers = [(await peer.answer()).body for _ in paths]
    assert answers == paths
    assert overlaps == []


async def test_line_break_after_a_body_does_not_spoil_the_next_request() -> None:
    async with serving() as server, connected(server) as peer:
        await peer.ask(post(b"{}"))
        await peer.send(b"\r\n")
        for _ in range(10):
            await asyncio.sleep(0)  # lets the server read the line break alone
        assert (await peer.ask(b"\r\n" + GET)).status == 200


async def test_offer_to_switch_to_http2_is_passed_over() -> None:
    async with serving() as server, connected(server) as peer:
        upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
        first = await peer.ask(GET.replace(HOST, HOST + upgrade))
        second = await peer.ask(GET)
    assert [first.status, second.status] == [200, 200]


@pytest.mark.parametrize(
    "request_bytes",
    [GET.replace(b"/1.1", b"/1.0"), GET.replace(HOST, HOST + b"Connection: close\r\n")],
    ids=["HTTP/1.0", "Connection: close"],
)
async def test_connection_ends_when_the_peer_asks_for_it(request_bytes: bytes) -> None:
    async with serving() as server, connected(server) as peer:
        answer = await peer.ask(request_bytes)
        assert answer.headers["connection"] == "close"
        assert await peer.rest() == b""


async def test_peer_that_shut_its_sending_side_is_still_answered() -> None:
    async with serving() as server, connected(server) as peer:
        await peer.send(GET)
        peer.writer.write_eof()
        assert (await peer.answer()).status == 200
        assert await peer.rest() == b""


async def test_context_of_one_request_does_not_reach_the_next() -> None:
    seen = contextvars.ContextVar("seen", default="nobody")

    async def handler(request: HttpRequest) -> HttpResponse:
        before = seen.get()
        seen.set(request.path)
        return HttpResponse(200, before.encode())

    async with serving(handler) as server, connected(server) as peer:
        assert [(await peer.ask(GET)).body for _ in range(2)] == [b"nobody", b"nobody"]


# -- who may call --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8123", "LocalHost:1", "localhost", "[::1]", "127.255.0.9"]
)
async def test_loopback_host_is_served(host: str) -> None:
    async with serving() as server, connected(server) as peer:
        answer = await peer.ask(GET.replace(b"127.0.0.1", host.encode()))
    assert answer.status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example:80",
        "localhost.",
        "127.0.0.256",
        "128.0.0.1",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "localhost:http",
        "localhost:123456",
        "127.0.0.1, 127.0.0.1",
        "",
    ],
)
async def test_other_host_is_refused(host: str) -> None:
    async with serving() as server, connected(server) as peer:
        answer = await peer.ask(GET.replace(b"127.0.0.1", host.encode()))
        assert (answer.status, answer.error) == (421, "host_not_loopback")
        assert await peer.rest() == b""


async def test_old_client_without_host_is_refused() -> None:
    async with serving() as server, connected(server) as peer:
        answer = await peer.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert (answer.status, answer.error) == (421, "host_not_loopback")


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:8123", "https://localhost", "http://[::1]:80", "HTTP://LOCALHOST"]
)
async def test_page_from_loopback_is_served(origin: str) -> None:
    async with serving() as server, connected(server) as peer:
        answer = await peer.ask(GET.replace(HOST, HOST + b"Origin: %b\r\n" % origin.encode()))
    assert answer.status == 200


@pytest.mark.parametrize(
    "origins",
    [
        ["https://evil.example"],
        ["null"],
        [""],
        ["http://localhost.evil.example"],
        ["http://127.0.0.1:80@evil.example"],
        ["file://localhost"],
        ["http://localhost/"],
        ["http://localhost", "https://evil.example"],
    ],
)
async def test_page_from_elsewhere_is_refused(origins: list[str]) -> None:
    lines = b"".join(b"Origin: %b\r\n" % origin.encode() for origin in origins)
    async with serving() as server, connected(server) as peer:
        answer = await peer.ask(GET.replace(HOST, HOST + lines))
    assert (answer.status, answer.error) == (403, "origin_not_loopback")


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.168.1.5", "8.8.8.8", "example.com", "127.0.0.1.evil", "*"]
)
async def test_server_refuses_to_listen_beyond_loopback(host: str) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        await serve(echo, host=host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2"])
async def test_server_listens_on_the_loopback_address_asked_for(host: str) -> None:
    server = await serve(echo, host=host)
    address = "127.0.0.1" if host == "localhost" else host
    reader, writer = await asyncio.open_connection(address, server.port)
    assert (await Peer(reader, writer).ask(GET)).status == 200
    writer.transport.abort()
    await server.close()


async def test_port_already_taken_is_an_error() -> None:
    async with serving() as server:
        with pytest.raises(OSError, match="in use"):
            await serve(echo, port=server.port)


# -- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [post, chunked], ids=["length", "chunked"])
async def test_body_is_taken_up_to_its_limit(make: Callable[[bytes], bytes]) -> None:
    async with serving(body_bytes_max=1000) as server:
        async with connected(server) as peer:
            assert (await peer.ask(make(b"x" * 1000))).status == 200
        async with connected(server) as peer:
            answer = await peer.ask(make(b"x" * 1001))
            assert (answer.status, answer.error) == (413, "body_too_large")
            assert b"1000 bytes" in answer.body


async def test_peer_that_sends_far_too_much_can_still_read_why_it_is_refused() -> None:
    async with serving(linger_ms_max=NEVER_MS) as server, connected(server) as peer:
        sending = asyncio.create_task(peer.send(post(b"x" * 40_000_000)))
        assert (await peer.answer()).error == "body_too_large"
        await sending


async def test_refused_peer_that_never_stops_sending_is_cut_off() -> None:
    async with serving(linger_ms_max=50) as server, connected(server) as peer:

        async def send_for_ever() -> None:
            while True:
                await peer.send(b"\x16\x03\x01" + bytes(65536))

        async with asyncio.timeout(20):
            with pytest.raises(ConnectionError):
                await send_for_ever()


async def test_tiny_chunks_do_not_hold_up_other_peers() -> None:
    async with (
        serving(request_read_ms_max=NEVER_MS) as server,
        connected(server) as slow,
        connected(server) as quick,
    ):
        sending = asyncio.create_task(slow.ask(chunked(*[b"x"] * 20_000)))
        answered = 0
        while not sending.done():
            assert (await quick.ask(GET)).status == 200
            answered += 1
        assert len(json.loads((await sending).body)["body"]) == 20_000
    assert answered > 20


def request_of(size: int) -> bytes:
    """A GET whose line and headers count `size` bytes against the limit."""
    filler = b"x" * (size - len(b"GET/Host: 127.0.0.1\r\nX: \r\n"))
    return b"GET / HTTP/1.1\r\n" + HOST + b"X: " + filler + b"\r\n\r\n"


async def test_headers_are_taken_up_to_their_limit() -> None:
    async with serving(header_bytes_max=1000) as server:
        async with connected(server) as peer:
            assert (await peer.ask(request_of(1000))).status == 200
        async with connected(server) as peer:
            answer = await peer.ask(request_of(1001))
    assert (answer.status, answer.error) == (431, "headers_too_large")
    assert b"1000 bytes" in answer.body


async def test_endless_headers_are_cut_off_before_they_end() -> None:
    async with serving() as server, connected(server) as peer:
        sending = asyncio.create_task(peer.send(GET[:-2] + b"X: 1\r\n" * 20_000))
        answer = await peer.answer()
        assert (answer.status, answer.error) == (431, "headers_too_large")
        await sending


@pytest.mark.parametrize(
    "start", [b"G", GET[:-2], post(b"12345")[:-1], chunked(b"12345")[:-1], chunked(b"1")[:-6]]
)
async def test_request_that_does_not_end_in_time_is_refused(start: bytes) -> None:
    async with (
        serving(request_read_ms_max=50, idle_ms_max=NEVER_MS) as server,
        connected(server) as peer,
    ):
        answer = await peer.ask(start)
        assert (answer.status, answer.error) == (408, "request_too_slow")
        assert await peer.rest() == b""


async def test_dripping_bytes_does_not_prolong_the_time_for_a_request() -> None:
    async with (
        serving(request_read_ms_max=100, idle_ms_max=NEVER_MS) as server,
        connected(server) as peer,
    ):

        async def drip() -> None:
            await peer.send(b"GET / HTTP/1.1\r\nX: ")
            while True:
                await peer.send(b"x")
                await asyncio.sleep(0.005)

        dripping = asyncio.create_task(drip())
        answer = await peer.answer()
        dripping.cancel()
    assert answer.error == "request_too_slow"


@pytest.mark.parametrize("requests_count", [0, 1])
async def test_idle_connection_is_ended_without_a_word(requests_count: int) -> None:
    async with (
        serving(idle_ms_max=1_000, request_read_ms_max=NEVER_MS) as server,
        connected(server) as peer,
    ):
        for _ in range(requests_count):
            await peer.ask(GET)
        assert await peer.rest() == b""


async def test_peer_beyond_the_limit_is_refused_until_another_leaves() -> None:
    async with (
        serving(connections_max=2) as server,
        connected(server) as first,
        connected(server) as second,
    ):
        assert [(await peer.ask(GET)).status for peer in (first, second)] == [200, 200]
        async with connected(server) as third:
            answer = await third.ask(GET)
            assert (answer.status, answer.error) == (503, "too_many_connections")
        assert (await first.ask(GET)).status == 200
        first.writer.close()
        await until(lambda: server.connections_count == 1)
        async with connected(server) as fourth:
            assert (await fourth.ask(GET)).status == 200


async def test_refusals_do_not_pile_up_either() -> None:
    async with (
        serving(connections_max=1, linger_ms_max=NEVER_MS) as server,
        connected(server) as first,
        connected(server) as second,
    ):
        assert [(await peer.ask(GET)).status for peer in (first, second)] == [200, 503]
        async with connected(server) as third:
            assert await third.rest() == b""
        assert (await first.ask(GET)).status == 200
        first.writer.close()
        await until(lambda: server.connections_count == 1)
        async with connected(server) as fourth:
            assert (await fourth.ask(GET)).status == 200


async def test_peer_that_does_not_take_its_answer_is_cut_off() -> None:
    async def large(_: HttpRequest) -> HttpResponse:
        return HttpResponse(200, b"x" * 50_000_000)

    async with serving(large, write_ms_max=50) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as peer:
            peer.sendall(GET)
            await until(lambda: server.accepted_count == 1 and server.connections_count == 0)
            taken = b""
            while data := peer.recv(1_000_000):
                taken += data
    assert b"content-length: 50000000\r\n" in taken
    assert len(taken) < 50_000_000


async def test_last_answer_arrives_whole_although_the_kernel_could_not_take_it_at_once() -> None:
    sizes = [50_000_000]

    async def sized(_: HttpRequest) -> HttpResponse:
        return HttpResponse(200, b"x" * sizes[-1])

    async with serving(sized, write_ms_max=50) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as peer:
            peer.sendall(GET)
            await until(lambda: server.accepted_count == 1 and server.connections_count == 0)
            kernel_bytes = 0
            while data := peer.recv(1_000_000):
                kernel_bytes += len(data)
    sizes.append(kernel_bytes + 30_000)
    async with serving(sized, write_ms_max=NEVER_MS) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as peer:
            peer.sendall(GET.replace(HOST, HOST + b"Connection: close\r\n"))
            await until(lambda: server.accepted_count == 1)
            for _ in range(10):
                await asyncio.sleep(0)  # lets the server write what the kernel takes
            reader, writer = await asyncio.open_connection(sock=peer.dup())
            assert len((await Peer(reader, writer).answer()).body) == sizes[-1]
            writer.close()


async def test_reading_an_answer_slowly_stops_further_requests_of_that_peer() -> None:
    handled: list[str] = []

    async def large(request: HttpRequest) -> HttpResponse:
        handled.append(request.path)
        return HttpResponse(200, b"x" * 20_000_000)

    async with serving(large) as server, connected(server) as peer:
        await peer.send(GET * 3)
        await peer.reader.readuntil(b"\r\n\r\n")
        assert handled == ["/ping"]


async def test_body_is_asked_for_only_when_the_peer_waits_and_it_would_be_taken() -> None:
    head = post(b"12345", b"Expect: 100-continue")[:-5]
    async with serving(body_bytes_max=5) as server:
        async with connected(server) as peer:
            assert (await peer.ask(head)).status == 100
            assert json.loads((await peer.ask(b"12345")).body)["body"] == "12345"
            assert (await peer.ask(GET)).status == 200
        async with connected(server) as peer:
            assert (await peer.ask(head.replace(b": 5", b": 6"))).status == 413


# -- hostile and broken bytes --------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"hello\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
        b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /\xd1\x8f HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X\x00: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X : 1\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded\r\n" + HOST + b"\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1e3\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n12",
        chunked(b"1").replace(b"\r\n1\r\n", b"\r\n-1\r\n", 1),
        chunked(b"12345").replace(b"12345\r\n", b"12345xx"),
        chunked(b"1").replace(b"\r\n1\r\n", b"\r\n" + b"f" * 40 + b"\r\n", 1),
    ],
)
async def test_malformed_request_is_told_so_and_the_next_peer_is_served(data: bytes) -> None:
    async with serving() as server:
        async with connected(server) as peer:
            answer = await peer.ask(data)
            assert (answer.status, answer.error) == (400, "malformed_request")
            assert answer.headers["connection"] == "close"
            assert await peer.rest() == b""
        async with connected(server) as peer:
            assert (await peer.ask(GET)).status == 200


@pytest.mark.parametrize(
    ("data", "status", "error"),
    [
        (GET.replace(b"/ping", b"http://127.0.0.1/ping"), 400, "target_not_a_path"),
        (GET.replace(b"/ping", b"*"), 400, "target_not_a_path"),
        (post(b"5\r\n", b"Transfer-Encoding: chunked"), 400, "body_length_ambiguous"),
        (chunked(b"1").replace(b"chunked", b"gzip"), 501, "transfer_coding_unknown"),
        (GET.replace(b"GET", b"OPTIONS"), 405, "method_not_allowed"),
        (GET.replace(b"GET", b"get"), 405, "method_not_allowed"),
        (GET.replace(b"GET /ping", b"CONNECT 127.0.0.1:80"), 405, "method_not_allowed"),
    ],
)
async def test_request_not_served_says_what_to_do(data: bytes, status: int, error: str) -> None:
    async with serving() as server, connected(server) as peer:
        answer = await peer.ask(data)
        assert (answer.status, answer.error) == (status, error)
        assert ("allow" in answer.headers) == (status == 405)
        assert await peer.rest() == b""


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_malformed_request_behind_a_good_one_gets_an_answer_of_its_own(method: bytes) -> None:
    async with serving() as server, connected(server) as peer:
        await peer.send(GET.replace(b"GET", method) + b"\x00\r\n\r\n")
        assert (await peer.answer(is_head=method == b"HEAD")).status == 200
        assert (await peer.answer()).error == "malformed_request"
        assert await peer.rest() == b""


FRAGMENTS = st.sampled_from(
    [
        *[GET, HOST, post(b"{}"), chunked(b"ab", b"c"), b"\r\n", b"\n", b"\r", b" ", b":", b"\x00"],
        *[b"GET ", b"HEAD /", b"CONNECT a:1", b" HTTP/1.1\r\n", b" HTTP/9.9\r\n", b"0\r\n\r\n"],
        *[b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n"],
        *[b"Upgrade: h2c\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\n", b"ffffffff"],
    ]
)
GARBAGE = st.lists(FRAGMENTS | st.binary(max_size=40), max_size=12).map(b"".join)


@settings(max_examples=150)
@given(garbage=GARBAGE, pieces_count=st.integers(1, 5), shuts=st.booleans())
def test_garbage_never_keeps_the_next_peer_from_being_served(
    garbage: bytes, pieces_count: int, *, shuts: bool
) -> None:
    failures: list[dict[str, object]] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: failures.append(context))
        async with serving() as server:
            async with connected(server) as peer:
                size = len(garbage) // pieces_count + 1
                with suppress(OSError):
                    for start in range(0, len(garbage), size):
                        await peer.send(garbage[start : start + size])
                        await asyncio.sleep(0)
                    if shuts:
                        peer.writer.write_eof()
                        assert (await peer.rest())[:9] in {b"", b"HTTP/1.1 "}
            await until(lambda: server.connections_count == 0)
            async with connected(server) as peer:
                assert (await peer.ask(GET)).status == 200

    asyncio.run(scenario())
    assert failures == []


# -- failing handlers ----------------------------------------------------------------------------


async def test_failing_handler_is_logged_once_without_values_and_the_connection_goes_on() -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        if request.path == "/ping":
            return HttpResponse(200, b"{}")
        raise KeyError("card 2200123412341234")

    async with serving(handler) as server, connected(server) as peer:
        with capture_logs() as logs:
            answer = await peer.ask(GET.replace(b"ping", b"accounts/79001234567"))
            assert (await peer.ask(GET)).status == 200
    assert (answer.status, answer.error) == (500, "internal_error")
    assert b"Key" not in answer.body
    assert [(entry["event"], entry["error"]) for entry in logs] == [
        ("http_handler_failed", "KeyError")
    ]
    assert "test_http_server" in str(logs[0]["where"])
    assert "2200" not in str(logs)
    assert "7900" not in str(logs)


@pytest.mark.parametrize(
    "response",
    [
        HttpResponse(200, b"{}", headers=(("Content-Length", "7"),)),
        HttpResponse(200, b"{}", headers=(("transfer-encoding", "chunked"),)),
        HttpResponse(200, b"{}", headers=(("x-note", "a\r\nset-cookie: b"),)),
        HttpResponse(200, b"{}", content_type="text/html\r\nx: y"),
        HttpResponse(99, b"{}"),
        HttpResponse(101, b""),
        HttpResponse(200, "text"),  # type: ignore[arg-type]
        None,
    ],
)
async def test_unsendable_answer_becomes_a_500(response: HttpResponse | None) -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        if request.path == "/ping":
            return HttpResponse(200, b"{}")
        return response  # type: ignore[return-value]

    async with serving(handler) as server, connected(server) as peer:
        with capture_logs() as logs:
            answer = await peer.ask(GET.replace(b"ping", b"wrong"))
            assert (await peer.ask(GET)).status == 200
    assert (answer.status, answer.error, len(logs)) == (500, "internal_error", 1)


async def test_handler_goes_on_when_its_caller_is_gone() -> None:
    began, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(_: HttpRequest) -> HttpResponse:
        began.set()
        await may_end.wait()
        ended.set()
        return HttpResponse(200, b"{}")

    async with serving(handler) as server:
        async with connected(server) as peer:
            await peer.send(GET)
            await began.wait()
        may_end.set()
        async with asyncio.timeout(20):
            await ended.wait()
        await until(lambda: server.connections_count == 0)


# -- closing -------------------------------------------------------------------------------------


async def test_close_lets_the_handler_finish_and_cuts_everybody_else() -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def handler(_: HttpRequest) -> HttpResponse:
        began.set()
        await may_end.wait()
        return HttpResponse(200, b"done")

    async with (
        serving(handler, drain_ms_max=NEVER_MS) as server,
        connected(server) as busy,
        connected(server) as idle,
        connected(server) as half,
    ):
        await half.send(b"GET / HT")
        await busy.send(GET + GET)
        await began.wait()
        await until(lambda: server.connections_count == 3)
        closing = asyncio.create_task(server.close())
        assert await idle.rest() == b""
        assert await half.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)
        assert not closing.done()
        may_end.set()
        answer = await busy.answer()
        assert (answer.body, answer.headers["connection"]) == (b"done", "close")
        await closing


async def test_close_waits_for_an_answer_that_is_still_being_taken() -> None:
    async def large(_: HttpRequest) -> HttpResponse:
        return HttpResponse(200, b"x" * 20_000_000)

    async with serving(large, drain_ms_max=NEVER_MS) as server, connected(server) as peer:
        await peer.send(GET)
        await peer.reader.readuntil(b"\r\n\r\n")
        closing = asyncio.create_task(server.close())
        assert len(await peer.rest()) == 20_000_000
        async with asyncio.timeout(20):
            await closing


async def test_close_gives_up_on_a_handler_that_does_not_end() -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(_: HttpRequest) -> HttpResponse:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("cannot be reached")

    async with serving(handler, drain_ms_max=20) as server, connected(server) as peer:
        await peer.send(GET)
        await began.wait()
        await server.close()
        assert cancelled.is_set()
        assert await peer.rest() == b""
        await server.close()


def test_problem_has_the_one_form_of_an_error() -> None:
    answer = problem(409, "stale_calculation", message="Send the receipt again.")
    assert json.loads(answer.body) == {
        "error": "stale_calculation",
        "message": "Send the receipt again.",
    }
    assert (answer.status, answer.content_type) == (409, "application/json")

"""A TCP proxy in a process of its own that cuts the network between a store and the centre.

`python -m bench.demo.cut_proxy --upstream 127.0.0.1:8000` prints one JSON line with its two ports
and takes commands on the second, one JSON object a line: {"mode": "drop"}, {"mode": "status"}. The
answer comes when the mode is in force. The process ends when its standard input closes.

    pass        every byte goes through; what `drop` held back goes on, late
    drop        a black hole: nothing passes, nothing is closed, new peers get no answer
    delay       every piece waits `delay_ms` and up to `jitter_ms` more, in order
    half_close  requests pass, answers are lost: open connections are ended towards the client at
                once, new ones when their first answer begins
    reset       every connection is reset, new ones as well
    mixed       each connection gets drop, delay or half_close, drawn by `seed`

A connection that lost bytes never gets whole again; a later `pass` helps only new ones.
"""

import argparse
import asyncio
import ipaddress
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final, Literal, Self

import msgspec

_PIECE_BYTES: Final = 64 * 1024
_PIECES_ON_THE_WAY: Final = 64  # what a delayed direction holds: 4 MiB at most
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s
_CLIENT_TIMEOUT_S: Final = 20
_MODULE: Final = "bench.demo.cut_proxy"

Kind = Literal["pass", "drop", "delay", "half_close", "reset"]
Mode = Literal["pass", "drop", "delay", "half_close", "reset", "mixed"]
_Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=600_000)]
_Address = tuple[str, int]


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One control line; `delay_ms` and `jitter_ms` are for delay and mixed, `seed` for mixed."""

    mode: Mode | Literal["status"]
    delay_ms: _Milliseconds = 300
    jitter_ms: _Milliseconds = 0
    seed: int = 0


class ProxyStatus(msgspec.Struct, frozen=True):
    """The answer to every control line. Counts are since the start, but for `connections`."""

    mode: Mode
    connections: int  # open now
    bytes_up: int  # passed on from clients to upstream
    bytes_down: int  # passed on from upstream to clients
    bytes_lost: int  # answers taken from upstream and thrown away
    cut_connections: int  # ever given drop, half_close or reset
    ok: bool = True


class _Refusal(msgspec.Struct, frozen=True):
    error: str
    message: str
    ok: bool = False


class CutProxyError(Exception):
    """The proxy did not start, or did not accept a command."""


@dataclass(slots=True)
class _Traffic:
    bytes_up: int = 0
    bytes_down: int = 0
    bytes_lost: int = 0
    cut_connections: int = 0


class _Connection:
    """One client and its way to upstream, each direction as a queue between two tasks."""

    def __init__(
        self, client: socket.socket, traffic: _Traffic, draw_delay_s: Callable[[], float]
    ) -> None:
        self._client = client
        self._upstream: socket.socket | None = None
        self._traffic = traffic
        self._draw_delay_s = draw_delay_s
        self._loop = asyncio.get_running_loop()
        self._kind: Kind = "pass"
        self._may_pass = asyncio.Event()
        self._is_cut = False
        self._is_answer_lost = False
        self._is_reset = False
        self._task: asyncio.Task[None]

    def start(self, kind: Kind, upstream: _Address) -> asyncio.Task[None]:
        self.apply(kind, is_new=True)
        self._task = self._loop.create_task(self._run(upstream))
        return self._task

    def apply(self, kind: Kind, *, is_new: bool = False) -> None:
        self._kind = kind
        if kind in {"drop", "half_close", "reset"} and not self._is_cut:
            self._is_cut = True
            self._traffic.cut_connections += 1
        if kind == "drop":
            self._may_pass.clear()
        else:
            self._may_pass.set()
        if kind == "half_close" and not is_new:
            self._lose_answers()
        if kind == "reset":
            self._is_reset = True
            if not is_new:
                self._task.cancel()

    async def _run(self, upstream: _Address) -> None:
        try:
            await self._may_pass.wait()
            if not self._is_reset:
                self._upstream = await self._connect(upstream)
                await self._relay(self._upstream)
        except* OSError:
            # Neither side can be served without the other: both see their peer vanish.
            self._is_reset = True
        finally:
            for side in filter(None, (self._client, self._upstream)):
                if self._is_reset:
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                side.close()

    async def _connect(self, upstream: _Address) -> socket.socket:
        connecting = socket.socket(_family(upstream), socket.SOCK_STREAM)
        connecting.settimeout(0)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._loop.sock_connect(connecting, upstream)
        except BaseException:
            connecting.close()
            raise
        return connecting

    async def _relay(self, upstream: socket.socket) -> None:
        ways = ((self._client, upstream), (upstream, self._client))
        async with asyncio.TaskGroup() as group:
            for source, sink in ways:
                pieces: asyncio.Queue[tuple[float, bytes | None]]
                pieces = asyncio.Queue(_PIECES_ON_THE_WAY)
                group.create_task(self._take(source, pieces))
                group.create_task(self._give(pieces, sink))

    async def _take(
        self, source: socket.socket, pieces: asyncio.Queue[tuple[float, bytes | None]]
    ) -> None:
        """Queue what arrives until the end of the stream, b"", or its reset, None."""
        data: bytes | None = b"not yet"
        while data:
            await self._may_pass.wait()
            try:
                data = await self._loop.sock_recv(source, _PIECE_BYTES)
            except OSError:
                data = None
            delay_s = self._draw_delay_s() if self._kind == "delay" else 0.0
            await pieces.put((self._loop.time() + delay_s, data))

    async def _give(
        self, pieces: asyncio.Queue[tuple[float, bytes | None]], sink: socket.socket
    ) -> None:
        data: bytes | None = b"not yet"
        while data:
            due, data = await pieces.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            await self._may_pass.wait()
            if data is None:
                raise ConnectionResetError
            if data:
                await self._send(sink, memoryview(data))
        with suppress(OSError):  # the peer was quicker
            sink.shutdown(socket.SHUT_WR)

    async def _send(self, sink: socket.socket, data: memoryview) -> None:
        is_answer = sink is self._client
        while data:
            await self._may_pass.wait()
            if is_answer and (self._is_answer_lost or self._kind == "half_close"):
                self._lose_answers()
                self._traffic.bytes_lost += len(data)
                return
            try:
                sent = sink.send(data)
            except BlockingIOError:
                await self._writable(sink)
                continue
            data = data[sent:]
            if is_answer:
                self._traffic.bytes_down += sent
            else:
                self._traffic.bytes_up += sent

    async def _writable(self, sink: socket.socket) -> None:
        is_writable = asyncio.Event()
        self._loop.add_writer(sink, is_writable.set)
        try:
            await is_writable.wait()
        finally:
            self._loop.remove_writer(sink)

    def _lose_answers(self) -> None:
        if not self._is_answer_lost:
            self._is_answer_lost = True
            with suppress(OSError):
                self._client.shutdown(socket.SHUT_WR)


class _Proxy:
    """All connections, the mode they are under, and the control port."""

    def __init__(self, upstream: _Address) -> None:
        self._upstream = upstream
        self._traffic = _Traffic()
        self._command = Command("pass")
        self._draw = random.Random(0)
        self._jitter = random.Random(0)
        self._connections: dict[asyncio.Task[None], _Connection] = {}

    async def accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listening)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(client, self._traffic, self._draw_delay_s)
            task = connection.start(self._draw_kind(), self._upstream)
            self._connections[task] = connection
            task.add_done_callback(self._connections.pop)

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one control client, line by line, until it leaves."""
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(await self._obey(line)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass  # gone, a line beyond all bounds, or the end of the process: no more answers
        finally:
            writer.close()

    async def _obey(self, line: bytes) -> ProxyStatus | _Refusal:
        try:
            command = msgspec.json.decode(line, type=Command)
        except msgspec.DecodeError as error:
            return _Refusal("command_invalid", f"Send one JSON object a line: {error}")
        if command.mode != "status":
            self._command = command
            self._draw = random.Random(command.seed)
            self._jitter = random.Random(command.seed)
            for connection in self._connections.values():
                connection.apply(self._draw_kind())
            if command.mode == "reset" and self._connections:
                await asyncio.wait(self._connections)
        return self._status()

    def _draw_kind(self) -> Kind:
        if self._command.mode == "mixed":
            return self._draw.choice(("drop", "delay", "half_close"))
        assert self._command.mode != "status"
        return self._command.mode

    def _draw_delay_s(self) -> float:
        return (self._command.delay_ms + self._jitter.uniform(0, self._command.jitter_ms)) / 1000

    def _status(self) -> ProxyStatus:
        assert self._command.mode != "status"
        return ProxyStatus(
            mode=self._command.mode,
            connections=len(self._connections),
            bytes_up=self._traffic.bytes_up,
            bytes_down=self._traffic.bytes_down,
            bytes_lost=self._traffic.bytes_lost,
            cut_connections=self._traffic.cut_connections,
        )


class CutProxy:
    """Starts the proxy process and commands it; for one thread, best as a context manager.

    Args:
        upstream_port: where the centre listens on `upstream_host`.
        port: where the store is to connect; 0 lets the system choose, see the attribute `port`.

    Raises:
        CutProxyError: the process did not start, for instance because the port is taken.
    """

    def __init__(
        self, upstream_port: int, *, upstream_host: str = "127.0.0.1", port: int = 0
    ) -> None:
        addresses = ["--listen", f"127.0.0.1:{port}", "--upstream"]
        process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, *addresses, f"{upstream_host}:{upstream_port}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            start_new_session=True,  # Ctrl-C reaches the demo, which then ends its network last
        )
        assert process.stdout is not None
        self._ending = ExitStack()
        self._ending.callback(process.stdout.close)
        self._ending.callback(_end, process)
        line = process.stdout.readline()
        if not line:
            self.stop()
            raise CutProxyError("the proxy did not start: its standard error says why")
        ports = json.loads(line)
        self.port: int = ports["listen_port"]
        self.pid: int = process.pid
        self._control = self._ending.enter_context(
            socket.create_connection(("127.0.0.1", ports["control_port"]), _CLIENT_TIMEOUT_S)
        )
        self._answers = self._ending.enter_context(self._control.makefile("rb"))

    def set(self, mode: Mode, **arguments: int) -> ProxyStatus:
        """Put a mode in force; it is when this returns.

        Args:
            mode: see the module's docstring.
            arguments: `delay_ms`, `jitter_ms` (both 0 to 600,000), `seed`.

        Raises:
            CutProxyError: unknown mode or argument, or the process is gone.
        """
        return self._ask({"mode": mode, **arguments})

    def status(self) -> ProxyStatus:
        """Return the mode and the counts as they are now."""
        return self._ask({"mode": "status"})

    def stop(self) -> None:
        """End the process and with it every connection. May be called twice."""
        self._ending.close()

    def _ask(self, command: dict[str, str | int]) -> ProxyStatus:
        try:
            self._control.sendall(json.dumps(command).encode() + b"\n")
            line = self._answers.readline()
        except (OSError, ValueError) as error:
            raise CutProxyError("the proxy process is gone: start a new one") from error
        if not line:
            raise CutProxyError("the proxy process is gone: start a new one")
        answer = json.loads(line)
        if not answer["ok"]:
            raise CutProxyError(f"{answer['error']}: {answer['message']}")
        return msgspec.convert(answer, ProxyStatus)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(_CLIENT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def _serve(listen: _Address, control: _Address, upstream: _Address) -> None:
    proxy = _Proxy(upstream)
    with socket.create_server(listen, family=_family(listen), backlog=1024) as listening:
        listening.settimeout(0)
        controlling = await asyncio.start_server(proxy.control, *control)
        ports = {
            "listen_port": listening.getsockname()[1],
            "control_port": controlling.sockets[0].getsockname()[1],
        }
        print(json.dumps(ports), flush=True)
        accepting = asyncio.create_task(proxy.accept(listening))
        orphaned = asyncio.create_task(_stdin_closed())
        await asyncio.wait({accepting, orphaned}, return_when=asyncio.FIRST_COMPLETED)
        controlling.close()
        if accepting.done():
            accepting.result()


async def _stdin_closed() -> None:
    loop = asyncio.get_running_loop()
    closed = asyncio.Event()

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=watch, daemon=True).start()
    await closed.wait()


def _family(address: _Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def _address(text: str) -> _Address:
    host, _, port = text.rpartition(":")
    try:
        return str(ipaddress.ip_address(host.strip("[]"))), int(port)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not ADDRESS:PORT") from None


def _loopback(text: str) -> _Address:
    address = _address(text)
    if not ipaddress.ip_address(address[0]).is_loopback:
        raise argparse.ArgumentTypeError(f"{text!r} is reachable from outside this machine")
    return address


def main() -> None:
    """Run the proxy until standard input closes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--listen", type=_loopback, default=("127.0.0.1", 0))
    parser.add_argument("--control", type=_loopback, default=("127.0.0.1", 0))
    parser.add_argument("--upstream", type=_address, required=True)
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.listen, arguments.control, arguments.upstream))


if __name__ == "__main__":
    main()

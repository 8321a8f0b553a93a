"""A pool whose connections wait for PostgreSQL on the spot: no event loop, no task, no timer.

The world stands still while the centre works and one thing happens at a time, so nobody else could
run meanwhile; an event loop would cost more than half of what a short statement takes.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

_RECEIVE_BYTES = 1 << 16
_SETTINGS = {
    "timezone": "UTC",
    "jit": "off",
    "idle_in_transaction_session_timeout": "0",  # a commit may wait for the next statement
    "track_counts": "off",  # nobody is vacuumed in a world so short-lived
    "track_activities": "off",
    # The same statements thousands of times over small tables: planning costs more than running.
    "plan_cache_mode": "force_generic_plan",
}


_HEAD_BYTES = 5


def _query(text: str) -> bytes:
    body = text.encode() + b"\0"
    return b"Q" + (len(body) + 4).to_bytes(4, "big") + body


def _ended(what: bytes, state: bytes) -> bytes:
    return b"C" + (len(what) + 5).to_bytes(4, "big") + what + b"\0Z\0\0\0\5" + state


_COMMIT = _query("COMMIT;")
_BEGUN, _COMMITTED = _ended(b"BEGIN", b"T"), _ended(b"COMMIT", b"I")
_SAID_AT_ONCE = {
    _query("BEGIN;"): _BEGUN,
    _query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"): _BEGUN,
    _COMMIT: _COMMITTED,
}
"""What is put off, and what the server would answer."""
_LATE_BYTES_MAX = max(map(len, _SAID_AT_ONCE))


class _Answer:
    """What a driver's future is to a driver: whoever awaits it reads from the line until it is."""

    def __init__(self, line: "_Line") -> None:
        self._line = line
        self._is_done = False
        self._value: Any = None
        self._error: BaseException | None = None

    def done(self) -> bool:
        return self._is_done

    def cancelled(self) -> bool:
        return False

    def set_result(self, value: Any) -> None:  # noqa: ANN401 - whatever was asked for
        self._is_done, self._value = True, value

    def set_exception(self, error: BaseException) -> None:
        self._is_done, self._error = True, error

    def exception(self) -> BaseException | None:
        return self._error

    def cancel(self) -> bool:
        self.set_exception(asyncio.CancelledError())
        return True

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Forget it: callbacks serve timeouts and cancelling, and there are none here."""

    def __await__(self) -> Generator[None, None, Any]:
        while not self._is_done:
            self._line.receive()
        if self._error is not None:
            raise self._error
        return self._value
        yield  # type: ignore[unreachable]  # what makes it a generator


class _Turn:
    """Whose turn it is among the lines of a pool: one may have a commit that is still to be sent.

    Attributes:
        late: that line.
    """

    late: "_Line | None" = None


class _Line:
    """The parts of an event loop and of a transport that one connection needs.

    Begin and commit travel with the statement that comes next, of whatever line: nobody sees the
    difference but the clock, half of whose ticks a way to and fro costs.
    """

    def __init__(self, turn: _Turn) -> None:
        self._turn = turn
        self._socket: socket.socket | None = None
        self._protocol: Any = None
        self._late: list[bytes] = []
        self._unread = 0
        self._said = b""

    # As an event loop

    def create_future(self) -> _Answer:
        return _Answer(self)

    async def create_unix_connection(
        self, make_protocol: Callable[[], Any], path: str
    ) -> tuple["_Line", Any]:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._protocol = make_protocol()
        self._protocol.connection_made(self)
        return self, self._protocol

    def get_debug(self) -> bool:
        return False

    def is_closed(self) -> bool:
        return self._socket is None

    def time(self) -> float:
        return monotonic()

    # As a transport

    def write(self, data: memoryview) -> None:
        said = _SAID_AT_ONCE.get(bytes(data[:_LATE_BYTES_MAX]))
        if said is not None:
            self._put_off(bytes(data), said)
            return
        late = self._turn.late
        if late is not None and late is not self:
            late.catch_up()
        self._send(data)

    def _put_off(self, data: bytes, said: bytes) -> None:
        is_end = said is _COMMITTED
        if is_end and self._late and self._late[-1] != _COMMIT:
            self._late.pop()  # begun and ended, and nothing in between
        else:
            self._late.append(data)
        if is_end:
            if self._turn.late not in (None, self):
                self._turn.late.catch_up()
            self._turn.late = self if self._late else None
        self._said = said

    def _send(self, data: memoryview | bytes) -> None:
        assert self._socket is not None
        if self._late:
            self._unread = len(self._late)
            data = b"".join((*self._late, data))
            self._late.clear()
            self._turn.late = None
        self._socket.sendall(data)

    def catch_up(self) -> None:
        """Send what was put off and see that it was done."""
        if self._turn.late is self:
            self._turn.late = None
        if self._late:
            self._send(b"")
            rest = b""
            while self._unread:
                rest = self._skip(rest + self._received())
            assert not rest

    def receive(self) -> None:
        """Wait for something and have the protocol read it."""
        data, self._said = self._said or self._received(), b""
        while self._unread and data:
            data = self._skip(data)
            if self._unread or not data:
                more = self._received()
                data = data + more if more else b""
        if data:
            self._protocol.data_received(data)
        else:
            self._protocol.connection_lost(None)

    def _received(self) -> bytes:
        return self._socket.recv(_RECEIVE_BYTES) if self._socket is not None else b""

    def _skip(self, data: bytes) -> bytes:
        """Return what follows the answers to what was put off.

        Raises:
            RuntimeError: it failed.
        """
        at = 0
        while self._unread and at + _HEAD_BYTES <= len(data):
            end = at + 1 + int.from_bytes(data[at + 1 : at + _HEAD_BYTES], "big")
            if end > len(data):
                break
            if data[at : at + 1] == b"E":
                raise RuntimeError(f"a commit failed: {data[at:end]!r}")
            self._unread -= data[at : at + 1] == b"Z"
            at = end
        return data[at:]

    def writelines(self, parts: list[Any]) -> None:
        self.write(memoryview(b"".join(parts)))

    def get_extra_info(self, name: str) -> Any:  # noqa: ANN401 - nothing of any kind
        return None

    def pause_reading(self) -> None:
        """Read no more; nobody reads unasked."""

    def resume_reading(self) -> None:
        """Read again; nobody reads unasked."""

    def abort(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    close = abort


if TYPE_CHECKING:
    _Base = asyncpg.Connection[asyncpg.Record]
else:
    _Base = asyncpg.Connection  # generic in the driver's stubs alone


class _Connection(_Base):
    """Sends a known statement at once: no timer, no loggers, no retries."""

    __slots__ = ("_known",)
    _known: dict[str, Any]

    async def _execute(
        self,
        query: str,
        args: Any,  # noqa: ANN401 - values of whatever types the statement takes
        limit: int,
        timeout: float | None,  # noqa: ASYNC109 - the driver's signature
        *,
        return_status: bool = False,
        ignore_custom_codec: bool = False,
        record_class: type[asyncpg.Record] | None = None,
    ) -> Any:  # noqa: ANN401 - rows, or rows and what the server said
        assert timeout is None
        assert not ignore_custom_codec
        assert record_class is None
        try:
            known = self._known
        except AttributeError:
            known = self._known = {}
        driver: Any = self  # its stubs tell nothing of what it is made of
        statement = known.get(query)
        if statement is None:
            statement = await driver._get_statement(query, None, named=True)  # noqa: SLF001
            known[query] = statement
        send = driver._protocol.bind_execute  # noqa: SLF001
        return await send(statement, args, "", limit, return_status, None)


def _bring_beside(server_pid: int) -> None:
    """Have the server's process run on this process's core, where it keeps to one.

    One of the two always waits for the other: to wake it on a core of its own takes six times as
    long as to hand the core over.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = os.sched_getaffinity(0)
    # Of another machine or container, which shares the socket, it would be somebody else's number.
    with suppress(OSError):
        if len(cores) == 1 and Path(f"/proc/{server_pid}/comm").read_text() == "postgres\n":
            os.sched_setaffinity(server_pid, cores)


class DirectPool:
    """A pool for one user, who nests what he acquires; made with `open_direct`."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._turn = _Turn()
        self._idle: list[_Connection] = []
        self._count = 0

    async def _take(self) -> _Connection:
        if self._idle:
            return self._idle.pop()
        self._count += 1
        loop: Any = _Line(self._turn)  # as much of one as is asked for
        connection = await asyncpg.connect(
            self._dsn,
            loop=loop,
            max_cached_statement_lifetime=0,
            statement_cache_size=1000,
            server_settings=_SETTINGS,
            connection_class=_Connection,
        )
        _bring_beside(connection.get_server_pid())
        return connection

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[_Connection]:
        """Give a connection for the length of the block; with one user nothing needs cleaning."""
        connection = await self._take()
        try:
            yield connection
        finally:
            assert not connection.is_in_transaction(), "given back inside a transaction"
            self._idle.append(connection)

    async def fetch(self, query: str, *args: Any) -> Any:  # noqa: ANN401
        """Return all rows."""
        connection = await self._take()
        try:
            return await connection.fetch(query, *args)
        finally:
            self._idle.append(connection)

    async def fetchrow(self, query: str, *args: Any) -> Any:  # noqa: ANN401
        """Return the first row."""
        connection = await self._take()
        try:
            return await connection.fetchrow(query, *args)
        finally:
            self._idle.append(connection)

    async def fetchval(self, query: str, *args: Any) -> Any:  # noqa: ANN401
        """Return the first value of the first row."""
        connection = await self._take()
        try:
            return await connection.fetchval(query, *args)
        finally:
            self._idle.append(connection)

    async def execute(self, query: str, *args: Any) -> Any:  # noqa: ANN401
        """Run a statement; returns what the server said."""
        connection = await self._take()
        try:
            return await connection.execute(query, *args)
        finally:
            self._idle.append(connection)

    async def close(self) -> None:
        """Close every connection."""
        assert len(self._idle) == self._count, "a connection is still in use"
        for connection in self._idle:
            await connection.close()
        self._idle.clear()
        self._count = 0


async def open_direct(dsn: str) -> Any:  # noqa: ANN401 - it stands for a pool
    """Connect directly where PostgreSQL has a socket here, else as usual."""
    host = parse_qs(urlsplit(dsn).query).get("host", [""])[0]
    if host.startswith("/"):
        return DirectPool(dsn)
    return await asyncpg.create_pool(dsn, min_size=1, max_size=4, server_settings=_SETTINGS)

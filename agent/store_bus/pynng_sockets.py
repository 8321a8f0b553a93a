"""SP sockets of nng, which the package `pynng` carries along."""

from contextlib import suppress
from types import ModuleType
from typing import Any

from agent.store_bus.sp_socket import (
    MESSAGE_BYTES_MAX,
    QUEUE_MESSAGES,
    RECONNECT_MS,
    RECONNECT_MS_MAX,
    Implementation,
    Pattern,
    SpError,
)

_KINDS = {Pattern.BUS: "Bus0", Pattern.REQ: "Req0", Pattern.REP: "Rep0"}
_FOR_EVER = -1
_ANSWER_MS = 20
"""An answer waits so long for the one before it to be on its way; then nobody reads there."""
# By default nng starts two dozen threads and more, by the number of processors.
_THREADS = {
    "NNG_INIT_NUM_TASK_THREADS": 2,
    "NNG_INIT_MAX_TASK_THREADS": 2,
    "NNG_INIT_NUM_EXPIRE_THREADS": 1,
    "NNG_INIT_MAX_EXPIRE_THREADS": 1,
    "NNG_INIT_NUM_POLLER_THREADS": 1,
    "NNG_INIT_MAX_POLLER_THREADS": 1,
    "NNG_INIT_NUM_RESOLVER_THREADS": 1,
}


def load_pynng() -> "PynngLibrary":
    """Load the package.

    Raises:
        SpError: it is missing.
    """
    try:
        import pynng
    except ImportError as error:
        raise SpError(f"pynng is not installed: {error}") from error
    for name, count in _THREADS.items():
        pynng.lib.nng_init_set_parameter(getattr(pynng.lib, name), count)
    return PynngLibrary(pynng)


class PynngLibrary:
    """The nng inside pynng."""

    name: Implementation = "pynng"

    def __init__(self, package: ModuleType) -> None:
        self._package = package
        self.version = str(package.__version__)

    def open(self, pattern: Pattern) -> "PynngSocket":
        """Open a socket with our limits."""
        return PynngSocket(self._package, pattern)


class PynngSocket:
    """One socket of nng."""

    def __init__(self, package: Any, pattern: Pattern) -> None:  # noqa: ANN401 - an untyped module
        self._nng = package
        # An answer that cannot go at once is thrown away by nng, for good: the one before may be
        # with the system already, and nng not have heard of it yet.
        self._may_wait = pattern is Pattern.REP
        try:
            self._socket = getattr(package, _KINDS[pattern])(
                recv_max_size=MESSAGE_BYTES_MAX,
                reconnect_time_min=RECONNECT_MS,
                reconnect_time_max=RECONNECT_MS_MAX,
            )
            self._socket.tcp_nodelay = True
            self._socket.tcp_keepalive = True
            if pattern is Pattern.REQ:
                self._socket.resend_time = _FOR_EVER
            if pattern is Pattern.REP:
                self._socket.send_timeout = _ANSWER_MS
            if pattern is Pattern.BUS:
                self._socket.recv_buffer_size = QUEUE_MESSAGES
                self._socket.send_buffer_size = QUEUE_MESSAGES
            self.readable_fd: int = self._socket.recv_fd
            self.writable_fd: int = self._socket.send_fd
        except package.NNGException as error:
            raise SpError(f"nng: {error}") from error

    def listen(self, address: str) -> None:
        """Accept connections."""
        try:
            self._socket.listen(f"tcp://{address}")
        except self._nng.NNGException as error:
            raise SpError(f"cannot listen at {address}: {error}") from error

    def dial(self, address: str) -> object:
        """Connect, in the background."""
        try:
            return self._socket.dial(f"tcp://{address}", block=False)
        except self._nng.NNGException as error:
            raise SpError(f"cannot dial {address}: {error}") from error

    def hang_up(self, dialled: Any) -> None:  # noqa: ANN401 - an untyped module
        """Close the dialler."""
        with suppress(self._nng.NNGException):
            dialled.close()

    def send(self, packet: bytes) -> bool:
        """Send without waiting; an answer waits some milliseconds where it has to."""
        try:
            self._socket.send(packet, block=self._may_wait)
        except (self._nng.TryAgain, self._nng.Timeout):
            return False
        except self._nng.NNGException as error:
            raise SpError(f"nng: {error}") from error
        return True

    def receive(self) -> bytes | None:
        """Receive without waiting."""
        try:
            # recv() fails on an empty message, which anybody may send; a message's bytes do not.
            return bytes(self._socket.recv_msg(block=False).bytes)
        except (self._nng.TryAgain, self._nng.Timeout, self._nng.BadState):
            return None
        except self._nng.NNGException as error:
            raise SpError(f"nng: {error}") from error

    def close(self) -> None:
        """Close."""
        with suppress(self._nng.NNGException):
            self._socket.close()

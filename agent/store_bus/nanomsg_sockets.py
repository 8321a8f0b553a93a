"""SP sockets of libnanomsg, through the C extension of the package `nanomsg`."""

import warnings
from contextlib import suppress
from types import ModuleType
from typing import Any

from agent.store_bus.sp_socket import (
    MESSAGE_BYTES_MAX,
    NEVER_AGAIN_MS,
    QUEUE_BYTES,
    RECONNECT_MS,
    RECONNECT_MS_MAX,
    Implementation,
    Pattern,
    SpError,
)

_AGAIN = ("EAGAIN", "ETIMEDOUT", "EINTR")


def load_nanomsg() -> "NanomsgLibrary":
    """Load the package.

    Raises:
        SpError: it is missing, or fell back to ctypes, which does not work on Python 3.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it only warns of its fall-back; below it is refused
            import _nanomsg_cpy
            import nanomsg
            import nanomsg.wrapper
    except ImportError as error:
        raise SpError(f"nanomsg with its C extension is not installed: {error}") from error
    if nanomsg.wrapper.nn_socket is not _nanomsg_cpy.nn_socket:
        raise SpError("nanomsg does not use its C extension")
    return NanomsgLibrary(nanomsg)


class NanomsgLibrary:
    """libnanomsg."""

    name: Implementation = "nanomsg"

    def __init__(self, package: ModuleType) -> None:
        self._package = package
        self.version = str(package.__version__)

    def open(self, pattern: Pattern) -> "NanomsgSocket":
        """Open a socket with our limits."""
        return NanomsgSocket(self._package, pattern)


class NanomsgSocket:
    """One socket of libnanomsg."""

    def __init__(self, package: Any, pattern: Pattern) -> None:  # noqa: ANN401 - an untyped module
        self._nn = package
        self._later = {getattr(package, name) for name in _AGAIN}
        try:
            self._socket = package.Socket(getattr(package, pattern.name))
            options = {
                (package.SOL_SOCKET, package.RCVMAXSIZE): MESSAGE_BYTES_MAX,
                (package.SOL_SOCKET, package.SNDBUF): QUEUE_BYTES,
                (package.SOL_SOCKET, package.RCVBUF): QUEUE_BYTES,
                (package.SOL_SOCKET, package.RECONNECT_IVL): RECONNECT_MS,
                (package.SOL_SOCKET, package.RECONNECT_IVL_MAX): RECONNECT_MS_MAX,
                (package.TCP, package.TCP_NODELAY): 1,
            }
            if pattern is Pattern.REQ:
                options[package.REQ, package.REQ_RESEND_IVL] = NEVER_AGAIN_MS
            for (level, option), value in options.items():
                self._socket.set_int_option(level, option, value)
            self.readable_fd: int = self._socket.recv_fd
            self.writable_fd: int = self._socket.send_fd
        except package.NanoMsgError as error:
            raise SpError(f"nanomsg: {error}") from error

    def listen(self, address: str) -> None:
        """Accept connections."""
        try:
            self._socket.bind(f"tcp://{address}")
        except self._nn.NanoMsgError as error:
            raise SpError(f"cannot listen at {address}: {error}") from error

    def dial(self, address: str) -> object:
        """Connect, in the background."""
        try:
            # Not Socket.connect: of its endpoints one cannot be shut down, by a mistake in there.
            dialled: int = self._nn.wrapper.nn_connect(self._socket.fd, f"tcp://{address}")
            if dialled < 0:
                raise self._nn.NanoMsgAPIError
            return dialled
        except self._nn.NanoMsgError as error:
            raise SpError(f"cannot dial {address}: {error}") from error

    def hang_up(self, dialled: object) -> None:
        """Shut the endpoint down."""
        self._nn.wrapper.nn_shutdown(self._socket.fd, dialled)

    def send(self, packet: bytes) -> bool:
        """Send without waiting."""
        try:
            self._socket.send(packet, flags=self._nn.DONTWAIT)
        except self._nn.NanoMsgAPIError as error:
            if error.errno in self._later:
                return False
            raise SpError(f"nanomsg: {error}") from error
        return True

    def receive(self) -> bytes | None:
        """Receive without waiting."""
        try:
            return bytes(self._socket.recv(flags=self._nn.DONTWAIT))
        except self._nn.NanoMsgAPIError as error:
            if error.errno in self._later or error.errno == self._nn.EFSM:
                return None
            raise SpError(f"nanomsg: {error}") from error

    def close(self) -> None:
        """Close."""
        with suppress(self._nn.NanoMsgError):
            self._socket.close()

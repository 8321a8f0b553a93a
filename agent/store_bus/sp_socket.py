"""A socket of the scalability protocols (SP), as nanomsg and nng both speak them over TCP.

What they differ in stays below this: addresses, empty messages, errors, limits. Only the child of
the bus opens such sockets: either library may end its process.
"""

from enum import Enum
from typing import Final, Literal, Protocol

from sync.envelope import ENVELOPE_BYTES_MAX

Implementation = Literal["nanomsg", "pynng"]

MESSAGE_BYTES_MAX: Final = ENVELOPE_BYTES_MAX + 64
"""What either library takes off the wire; SP puts some bytes of its own before a packet.

Neither may be without: by default nng takes any length, and nanomsg asked for any length ends its
process at the first header that says 2**62 bytes.
"""
RECONNECT_MS: Final = 500
RECONNECT_MS_MAX: Final = 5_000
NEVER_AGAIN_MS: Final = 2**31 - 1
"""A request is never sent twice by the library: the receiver would take it for a replay."""
QUEUE_MESSAGES: Final = 64
QUEUE_BYTES: Final = 262_144


class Pattern(Enum):
    """What a socket is for."""

    BUS = "bus"
    REQ = "req"
    REP = "rep"


class SpError(Exception):
    """The library refused."""


class SpSocket(Protocol):
    """One socket; nothing here blocks.

    Attributes:
        readable_fd: readable while there may be something to receive; never read from it.
        writable_fd: readable (not: writable) while something may be sent.
    """

    readable_fd: int
    writable_fd: int

    def listen(self, address: str) -> None:
        """Accept connections at `host:port`.

        Raises:
            SpError: the address cannot be had.
        """

    def dial(self, address: str) -> object:
        """Connect to `host:port`, now or whenever somebody is there, again and again.

        Returns:
            What `hang_up` takes.
        """

    def hang_up(self, dialled: object) -> None:
        """Give up what `dial` began, with the connection it made."""

    def send(self, packet: bytes) -> bool:
        """Send; False when it cannot be done now."""

    def receive(self) -> bytes | None:
        """Return the next packet, None when there is none."""

    def close(self) -> None:
        """Drop the connections and whatever waits in them."""


class SpLibrary(Protocol):
    """One of the two libraries."""

    name: Implementation
    version: str

    def open(self, pattern: Pattern) -> SpSocket:
        """Open a socket.

        Raises:
            SpError: too many sockets are open.
        """


def load_library(wanted: str) -> SpLibrary:
    """Return the library named, for `auto` nanomsg where it is installed whole, else pynng.

    Raises:
        SpError: it is not installed, or nanomsg without its C extension.
    """
    if wanted in ("auto", "nanomsg"):
        from agent.store_bus.nanomsg_sockets import load_nanomsg

        try:
            return load_nanomsg()
        except SpError:
            if wanted == "nanomsg":
                raise
    from agent.store_bus.pynng_sockets import load_pynng

    return load_pynng()

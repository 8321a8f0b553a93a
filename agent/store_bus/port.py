"""The port of the store bus: what the agent calls, and what it is called with.

Everything here lives on the agent's event loop. Nothing of it decides over money: whoever gives a
right away makes that durable first (rule R1), and a bus that is dead costs knowledge only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

from sync.envelope import Sender, StoreKey

WITNESS_TIMEOUT_S = 0.150
"""How long a sale waits for another till (design: sync 4.6)."""


@dataclass(frozen=True, slots=True)
class BusRoster:
    """Who belongs to the store.

    Attributes:
        keys: the store's keys; the first seals, all open. Without one the bus is off.
        addresses: `host:port` of the other tills, by till; empty for one that has told none: it is
            listened to, and cannot be asked. The own one is ignored.
    """

    keys: tuple[StoreKey, ...] = ()
    addresses: Mapping[int, str] = field(default_factory=dict)


class BusStatus(msgspec.Struct, frozen=True, kw_only=True):
    """State of the bus, for people.

    Attributes:
        state: `off`: not configured, or the store has no key yet; `starting`: the child is being
            started or waits for its next start; `up`: it answers.
        listen: own address; empty while off.
        tills: other tills of the store.
        tills_heard: of them, those something genuine came from since the agent's start.
        restarts: how often the child had to be started again.
        refused: packets that were no genuine message of this store, since the child's start.
        replayed: genuine packets that had come before or were too late.
        dropped: messages thrown away because too many waited.
    """

    state: Literal["off", "starting", "up"]
    implementation: str = ""
    listen: str = ""
    tills: int = 0
    tills_heard: int = 0
    restarts: int = 0
    refused: int = 0
    replayed: int = 0
    dropped: int = 0
    last_error: str = ""


class Ears(Protocol):
    """What is called with what other tills say; `sync.envelope.Sender` is who really said it."""

    def heard(self, sender: Sender, body: bytes) -> None:
        """Take gossip; return at once."""

    async def asked(self, sender: Sender, body: bytes) -> bytes | None:
        """Answer a request; None sends no answer. The asking till waits about 150 ms."""


class StoreBus(Protocol):
    """The bus as the agent sees it."""

    def address(self) -> str:
        """Return `host:port` where this till listens, for the centre's roster; empty for nowhere.

        Known also while the bus is off because nobody has told of other tills yet.
        """

    def attach(self, ears: Ears) -> None:
        """Say who listens; before this what arrives is thrown away."""

    def begin_incarnation(self, incarnation: bytes, number: int) -> None:
        """Speak in the name of this incarnation from now on; before the first call, silently."""

    def use_roster(self, roster: BusRoster | None) -> None:
        """Take another roster; None or one without keys switches the bus off."""

    def gossip(self, body: bytes) -> None:
        """Tell all tills, best effort: never blocks, may be lost, one hop, in no order.

        Raises:
            ValueError: the body is empty or longer than `sync.envelope.BODY_BYTES_MAX`.
        """

    async def request(
        self, till_id: int, body: bytes, *, timeout_s: float = WITNESS_TIMEOUT_S
    ) -> bytes | None:
        """Ask one till; None when no genuine answer to exactly this request came in time.

        Raises:
            ValueError: the body is empty or longer than `sync.envelope.BODY_BYTES_MAX`.
        """

    def status(self) -> BusStatus:
        """Return the state now; may be called from any thread."""

    async def run(self) -> None:
        """Keep the bus until cancelled; nothing goes out or comes in before."""

"""Whoever reaches the port of the bus may send anything: honest tills go on talking.

Each attack comes from real sockets while an honest till asks and tells. The child may die of it and
come again; in the end the honest are heard and answered, and no ear has heard the attacker.
"""

import asyncio
import random
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from agent.store_bus.sp_socket import MESSAGE_BYTES_MAX
from sync.envelope import Envelope, Keyring, Kind, Sender, StoreKey
from tests.unit.agent.store_bus.rig import LIBRARIES, Neighbour, answered, two_tills, until

BUS, REQ, PUB = 0x70, 0x30, 0x20
GOSSIP_PORT, REQUESTS_PORT = 0, 1
PORTS = [
    pytest.param(GOSSIP_PORT, BUS, id="gossip"),
    pytest.param(REQUESTS_PORT, REQ, id="requests"),
]
Attack = Callable[[int, int], list[socket.socket]]


def greeting(protocol: int) -> bytes:
    return b"\0SP\0\0" + bytes([protocol]) + b"\0\0"


def framed(body: bytes, *, length: int | None = None) -> bytes:
    return struct.pack(">Q", len(body) if length is None else length) + body


def connect(port: int) -> socket.socket:
    found = socket.create_connection(("127.0.0.1", port), timeout=5)
    found.settimeout(0.5)
    return found


@contextmanager
def sending(port: int) -> Iterator[socket.socket]:
    """Give a connection that the other side may cut at any time."""
    with suppress(OSError), connect(port) as attacker:
        yield attacker


def huge_lengths(port: int, protocol: int) -> list[socket.socket]:
    for length in (2**62, 2**63, 2**64 - 1, 2**32, 2**31, MESSAGE_BYTES_MAX + 1):
        with sending(port) as attacker:
            attacker.sendall(greeting(protocol) + framed(b"x" * 1000, length=length))
            while attacker.recv(1000):
                pass
    return []


def garbage(port: int, protocol: int) -> list[socket.socket]:
    chance = random.Random(protocol)
    for number in range(200):
        with sending(port) as attacker:
            start = greeting(protocol) if number % 2 else b""
            attacker.sendall(start + chance.randbytes(chance.randrange(1, 400)))
    return []


def resets(port: int, protocol: int) -> list[socket.socket]:
    for number in range(200):
        with sending(port) as attacker:
            attacker.sendall((greeting(protocol) + framed(b"x" * 100, length=5_000))[: number * 2])
            attacker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return []


def half_greetings(port: int, protocol: int) -> list[socket.socket]:
    held = [connect(port) for _ in range(60)]
    for number, attacker in enumerate(held):
        attacker.sendall(greeting(protocol)[: number % 8])
    return held


def wrong_greetings(port: int, protocol: int) -> list[socket.socket]:
    for start in (greeting(PUB), b"\0SP\1\0\x70\0\0", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\2"):
        for _ in range(20):
            with sending(port) as attacker:
                attacker.sendall(start + framed(b"hello"))
    return []


def slow_loris(port: int, protocol: int) -> list[socket.socket]:
    held = [connect(port) for _ in range(100)]
    for attacker in held:
        attacker.sendall(greeting(protocol) + framed(b"x", length=MESSAGE_BYTES_MAX - 64))
    return held


def tiny_messages(port: int, protocol: int) -> list[socket.socket]:
    bodies = (b"", b"a", b"abc", b"\0\0\0\1", b"\x80\0\0\1", b"\0\0\0\1" * 300, b"\xff" * 4)
    for body in bodies * 10:
        with sending(port) as attacker:
            attacker.sendall(greeting(protocol) + framed(body))
    return []


def a_flood(port: int, protocol: int) -> list[socket.socket]:
    body = framed(b"\x80\0\0\1" + b"z" * 300)
    with sending(port) as attacker:
        attacker.sendall(greeting(protocol))
        for _ in range(5_000):
            attacker.sendall(body)
    return []


def a_flood_of_forgeries(port: int, protocol: int) -> list[socket.socket]:
    ring, liar = Keyring("s1", [StoreKey(1, b"guessed!" * 4)]), Sender(1, bytes(8), 1)
    kind, to = (Kind.GOSSIP, 0) if protocol == BUS else (Kind.REQUEST, 2)
    head = b"" if protocol == BUS else b"\x80\0\0\1"
    with sending(port) as attacker:
        attacker.sendall(greeting(protocol))
        for counter in range(2_000):
            packet = ring.seal(Envelope(kind, liar, to, 2**50 + counter, b"FORGED"))
            attacker.sendall(framed(head + packet))
    return []


def a_thousand_connections(port: int, protocol: int) -> list[socket.socket]:
    held: list[socket.socket] = []
    with suppress(OSError):  # this process may have to stop at its own limit
        for _ in range(1_000):
            held.append(socket.socket())
            held[-1].settimeout(0)
            held[-1].connect_ex(("127.0.0.1", port))
    return held


ATTACKS = [
    huge_lengths,
    garbage,
    resets,
    half_greetings,
    wrong_greetings,
    slow_loris,
    tiny_messages,
    a_flood,
    a_flood_of_forgeries,
    a_thousand_connections,
]


async def talk(honest: Neighbour, victim: Neighbour) -> None:
    """Ask and tell, in both directions, until it comes through."""
    assert await answered(lambda: honest.bus.request(2, b"honest")) == b"re:honest"
    assert await answered(lambda: victim.bus.request(1, b"honest")) == b"re:honest"
    victim.ears.something.clear()
    await until(victim.ears.something, lambda: honest.bus.gossip(b"honest"))


@pytest.mark.parametrize(("port", "protocol"), PORTS)
@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_the_honest_are_heard_during_and_after(
    attack: Attack, name: str, port: int, protocol: int
) -> None:
    async with two_tills(("auto", name)) as (honest, victim):
        await talk(honest, victim)
        target = int(victim.bus.status().listen.rpartition(":")[2]) + port
        attacking = asyncio.create_task(asyncio.to_thread(attack, target, protocol))
        while not attacking.done():
            # Ends within its time-out, whatever happens; a till in trouble may leave it unanswered.
            assert await honest.bus.request(2, b"during") in (b"re:during", None)
        held = await attacking
        try:
            await talk(honest, victim)
        finally:
            for attacker in held:
                attacker.close()
        await talk(honest, victim)
        heard = {body for _, body in victim.ears.heard_bodies + victim.ears.asked_bodies}
        assert heard <= {b"honest", b"during"}

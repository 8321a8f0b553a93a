"""What nanomsg and nng must both do, each as the other's peer and as its own, in both roles."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from agent.store_bus.addresses import Address
from agent.store_bus.mesh import ASKING_MAX, Mesh
from agent.store_bus.sp_socket import (
    MESSAGE_BYTES_MAX,
    Implementation,
    Pattern,
    SpError,
    load_library,
)
from sync.envelope import ENVELOPE_BYTES_MAX
from tests.unit.agent.store_bus.rig import (
    LIBRARIES,
    PAIRS,
    PATIENCE_S,
    Valley,
    free_address,
    holds,
    until,
)


@dataclass
class Packets:
    """Ears of a mesh: remember gossip and requests, answer as told."""

    gossip: list[bytes] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    reply: Callable[[bytes], bytes | None] = lambda packet: b"re:" + packet

    def gossip_came(self, packet: bytes) -> None:
        self.gossip.append(packet)
        self.came.set()

    async def request_came(self, packet: bytes) -> bytes | None:
        self.requests.append(packet)
        self.asked.set()
        await self.may_answer.wait()
        return self.reply(packet)


@dataclass
class Joined:
    till_id: int
    mesh: Mesh
    ears: Packets


@asynccontextmanager
async def joined(
    libraries: dict[int, str], addresses: dict[int, Address], *, answer_timeout_s: float = 5.0
) -> AsyncIterator[list[Joined]]:
    """Open the meshes of some of the tills that have an address."""
    tills: list[Joined] = []
    try:
        for till_id, name in libraries.items():
            ears = Packets()
            ears.may_answer.set()
            mesh = Mesh(load_library(name), ears, answer_timeout_s=answer_timeout_s)
            mesh.open(till_id, addresses[till_id], without(addresses, till_id))
            tills.append(Joined(till_id, mesh, ears))
        yield tills
    finally:
        for till in tills:
            till.mesh.close()


def without(addresses: dict[int, Address], till_id: int) -> dict[int, Address]:
    return {other: address for other, address in addresses.items() if other != till_id}


def places(count: int) -> dict[int, Address]:
    return {till_id: free_address() for till_id in range(1, count + 1)}


async def asked(till: Joined, other: int, packet: bytes) -> bytes | None:
    async with asyncio.timeout(PATIENCE_S):
        return await till.mesh.request(other, packet)


def by_till(pair: tuple[str, str]) -> dict[int, str]:
    return dict(enumerate(pair, start=1))


@pytest.mark.parametrize("pair", PAIRS)
async def test_gossip_reaches_the_other_in_both_directions(pair: tuple[str, str]) -> None:
    async with joined(by_till(pair), places(2)) as (one, other):
        await until(other.ears.came, lambda: one.mesh.gossip(b"from one"))
        await until(one.ears.came, lambda: other.mesh.gossip(b"from other"))
        assert set(other.ears.gossip) == {b"from one"}
        assert set(one.ears.gossip) == {b"from other"}


async def all_connected(tills: list[Joined]) -> None:
    """Wait until everybody was heard by everybody, and forget it."""
    for till in tills:
        for other in tills:
            if other is not till:
                other.ears.came.clear()
                await until(other.ears.came, lambda t=till: t.mesh.gossip(b"hello"))  # type: ignore[misc]
    for till in tills:
        till.ears.gossip.clear()


@pytest.mark.parametrize("pair", PAIRS)
async def test_in_a_full_mesh_everybody_hears_everybody_once(pair: tuple[str, str]) -> None:
    libraries = {1: pair[0], 2: pair[1], 3: pair[0], 4: pair[1]}
    async with joined(libraries, places(4)) as tills:
        await all_connected(tills)
        for till in tills:
            till.mesh.gossip(b"once from %d" % till.till_id)
            till.mesh.gossip(b"last from %d" % till.till_id)
        for till in tills:
            # On one connection nothing overtakes: what would come twice has come by the last.
            await holds(lambda ears=till.ears: sum(b"last" in one for one in ears.gossip) >= 3)  # type: ignore[misc]
            once = sorted(packet for packet in till.ears.gossip if b"once" in packet)
            others = [other.till_id for other in tills if other is not till]
            assert once == [b"once from %d" % other for other in others]


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_request_gets_its_answer_in_both_roles(pair: tuple[str, str]) -> None:
    async with joined(by_till(pair), places(2)) as (one, other):
        for number in range(20):
            assert await asked(one, 2, b"a%d" % number) == b"re:a%d" % number
            assert await asked(other, 1, b"b%d" % number) == b"re:b%d" % number
        assert len(one.ears.requests) == len(other.ears.requests) == 20


@pytest.mark.parametrize("pair", PAIRS)
async def test_the_longest_packet_arrives_byte_for_byte(pair: tuple[str, str]) -> None:
    longest = bytes(range(256)) * (ENVELOPE_BYTES_MAX // 256)
    async with joined(by_till(pair), places(2)) as (one, other):
        other.ears.reply = lambda packet: packet[::-1]
        assert await asked(one, 2, longest) == longest[::-1]
        assert other.ears.requests == [longest]
        await until(other.ears.came, lambda: one.mesh.gossip(longest))
        assert set(other.ears.gossip) == {longest}


@pytest.mark.parametrize("pair", PAIRS)
async def test_no_answer_is_lost_however_quickly_they_follow(pair: tuple[str, str]) -> None:
    async with joined(by_till(pair), places(2)) as (one, _):
        for number in range(40):
            wanted = [b"%d" % (ASKING_MAX * number + each) for each in range(ASKING_MAX)]
            answers = await asyncio.gather(*(asked(one, 2, packet) for packet in wanted))
            assert None not in answers


@pytest.mark.parametrize("pair", PAIRS)
async def test_requests_to_one_till_keep_their_order_and_their_answers(
    pair: tuple[str, str],
) -> None:
    async with joined(by_till(pair), places(2)) as (one, other):
        wanted = [b"%d" % number for number in range(ASKING_MAX)]
        answers = await asyncio.gather(*(asked(one, 2, packet) for packet in wanted))
        assert answers == [b"re:" + packet for packet in wanted]
        assert other.ears.requests == wanted


@pytest.mark.parametrize("pair", PAIRS)
async def test_more_requests_than_may_wait_are_refused_at_once(pair: tuple[str, str]) -> None:
    async with joined(by_till(pair), places(2)) as (one, other):
        other.ears.may_answer.clear()
        waiting = [asyncio.create_task(asked(one, 2, b"%d" % n)) for n in range(ASKING_MAX)]
        await asyncio.wait_for(other.ears.asked.wait(), PATIENCE_S)
        assert await asked(one, 2, b"too much") is None
        other.ears.may_answer.set()
        assert None not in await asyncio.gather(*waiting)


@pytest.mark.parametrize("pair", PAIRS)
async def test_two_tills_that_ask_each_other_at_once_both_get_answers(
    pair: tuple[str, str],
) -> None:
    async with joined(by_till(pair), places(2)) as (one, other):
        found = await asyncio.gather(
            *(asked(one, 2, b"a%d" % n) for n in range(8)),
            *(asked(other, 1, b"b%d" % n) for n in range(8)),
        )
        assert found == [b"re:a%d" % n for n in range(8)] + [b"re:b%d" % n for n in range(8)]


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_request_that_is_not_answered_does_not_block_the_next(
    pair: tuple[str, str],
) -> None:
    async with joined(by_till(pair), places(2)) as (one, other):
        other.ears.reply = lambda packet: None if packet == b"silence" else packet
        silent = asyncio.create_task(one.mesh.request(2, b"silence"))
        await asyncio.wait_for(other.ears.asked.wait(), PATIENCE_S)
        silent.cancel()
        assert await asked(one, 2, b"hello") == b"hello"


@pytest.mark.parametrize("pair", PAIRS)
async def test_an_answer_that_comes_too_late_is_nobody_elses(pair: tuple[str, str]) -> None:
    async with joined(by_till(pair), places(2)) as (one, other):
        other.ears.may_answer.clear()
        slow = asyncio.create_task(one.mesh.request(2, b"slow"))
        await asyncio.wait_for(other.ears.asked.wait(), PATIENCE_S)
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        other.ears.may_answer.set()
        assert await asked(one, 2, b"quick") == b"re:quick"


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_till_that_hangs_over_a_request_takes_the_next(pair: tuple[str, str]) -> None:
    async with joined(by_till(pair), places(2), answer_timeout_s=0.5) as (one, other):
        other.ears.may_answer.clear()
        hanging = asyncio.create_task(one.mesh.request(2, b"hang"))
        await asyncio.wait_for(other.ears.asked.wait(), PATIENCE_S)
        other.ears.asked.clear()
        hanging.cancel()
        following = asyncio.create_task(asked(one, 2, b"next"))
        await asyncio.wait_for(other.ears.asked.wait(), PATIENCE_S)
        other.ears.may_answer.set()
        assert await following == b"re:next"


@pytest.mark.parametrize("pair", PAIRS)
async def test_what_was_given_up_is_not_delivered_later(pair: tuple[str, str]) -> None:
    addresses = places(2)
    async with joined({1: pair[0]}, addresses) as (one,):
        for packet in (b"given up", b"given up too"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await one.mesh.request(2, packet)
        async with joined({2: pair[1]}, addresses) as (other,):
            assert await asked(one, 2, b"now") == b"re:now"
            assert other.ears.requests == [b"now"]


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_till_that_comes_back_is_heard_and_asked_again(pair: tuple[str, str]) -> None:
    addresses = places(2)
    async with joined({1: pair[0]}, addresses) as (one,):
        for _ in range(2):
            async with joined({2: pair[1]}, addresses) as (other,):
                one.ears.came.clear()
                await until(other.ears.came, lambda: one.mesh.gossip(b"g"))
                await until(one.ears.came, lambda o=other: o.mesh.gossip(b"g"))  # type: ignore[misc]
                assert await asked(one, 2, b"q") == b"re:q"


@pytest.mark.parametrize("pair", PAIRS)
async def test_over_a_way_that_swallows_everything_a_new_call_gets_through(
    pair: tuple[str, str],
) -> None:
    addresses = places(2)
    async with Valley(addresses[2]) as valley, joined({2: pair[1]}, addresses) as (other,):
        around = {1: addresses[1], 2: valley.address}
        async with joined({1: pair[0]}, around) as (one,):
            await until(other.ears.came, lambda: one.mesh.gossip(b"before"))
            valley.cut()
            for _ in range(3):
                one.mesh.redial(2)
            other.ears.came.clear()
            await until(other.ears.came, lambda: one.mesh.gossip(b"after"))
            await until(one.ears.came, lambda: other.mesh.gossip(b"and back"))
            assert other.ears.gossip[-1] == b"after"
            assert list(one.mesh.dialled) == [2]
            assert list(other.mesh.dialled) == []


@pytest.mark.parametrize("name", LIBRARIES)
async def test_nobody_need_listen_to_gossip(name: Implementation) -> None:
    async with joined({1: name}, places(2)) as (one,):
        for _ in range(5_000):
            one.mesh.gossip(b"x" * 1_000)
        assert await one.mesh.request(3, b"a till nobody knows") is None


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_message_too_long_is_never_delivered_and_what_follows_is(
    pair: tuple[str, str],
) -> None:
    addresses = places(2)
    async with joined({1: pair[0]}, addresses) as (one,):
        stranger = load_library(pair[1]).open(Pattern.BUS)
        try:
            stranger.dial(addresses[1].gossip)
            await until(one.ears.came, lambda: stranger.send(b"short"))
            stranger.send(b"x" * (MESSAGE_BYTES_MAX + 1))
            one.ears.came.clear()
            await until(one.ears.came, lambda: stranger.send(b"after"))
        finally:
            stranger.close()
        assert set(one.ears.gossip) <= {b"short", b"after"}


@pytest.mark.parametrize("pair", PAIRS)
async def test_an_empty_message_is_a_message(pair: tuple[str, str]) -> None:
    addresses = places(2)
    async with joined({1: pair[0]}, addresses) as (one,):
        stranger = load_library(pair[1]).open(Pattern.BUS)
        try:
            stranger.dial(addresses[1].gossip)
            await until(one.ears.came, lambda: stranger.send(b""))
        finally:
            stranger.close()
        assert set(one.ears.gossip) == {b""}


@pytest.mark.parametrize("pair", PAIRS)
async def test_an_address_that_is_taken_is_named_and_nothing_stays_open(
    pair: tuple[str, str],
) -> None:
    addresses = places(2)
    async with joined({1: pair[0]}, addresses):
        mesh = Mesh(load_library(pair[1]), Packets())
        with pytest.raises(SpError, match=f"cannot listen at {addresses[1].gossip}"):
            mesh.open(1, addresses[1], {})
        mesh.open(1, addresses[2], {})
        mesh.close()


def test_nanomsg_is_refused_by_name_where_a_library_is_unknown() -> None:
    assert load_library("auto").name in ("nanomsg", "pynng")
    assert load_library("pynng").name == "pynng"

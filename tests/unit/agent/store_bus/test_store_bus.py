"""The bus over a real child: who speaks is proven, and nothing the child does is noticed."""

import asyncio
import itertools
import os
import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agent.store_bus.addresses import Address, parse_address
from agent.store_bus.bus import ANSWERING_MAX
from agent.store_bus.child_process import ChildSettings
from agent.store_bus.counter_file import reserve_counters
from agent.store_bus.port import BusRoster
from agent.store_bus.sp_socket import Pattern, load_library
from agent.system import System
from sync.envelope import (
    BODY_BYTES_MAX,
    REPLAY_WINDOW,
    Envelope,
    Keyring,
    Kind,
    Sender,
    StoreKey,
)
from tests.unit.agent.store_bus.rig import (
    KEY,
    PAIRS,
    PATIENCE_S,
    QUICK,
    Neighbour,
    Remembering,
    answered,
    free_address,
    holds,
    one_till,
    two_tills,
    until,
)

FOREIGN = StoreKey(1, b"f" * 32)
STRANGER = Sender(2, b"stranger", 1)


async def heard(teller: Neighbour, listener: Neighbour, body: bytes) -> None:
    """Tell until it is heard."""
    said = (teller.till_id, body)
    before = listener.ears.heard_bodies.count(said)
    await holds(
        lambda: listener.ears.heard_bodies.count(said) > before,
        again=lambda: teller.bus.gossip(body),
    )


@pytest.mark.parametrize("pair", PAIRS)
async def test_tills_hear_and_answer_each_other(pair: tuple[str, str]) -> None:
    async with two_tills(pair) as (one, other):
        await heard(one, other, b"from one")
        await heard(other, one, b"from other")
        assert set(other.ears.heard_bodies) == {(1, b"from one")}
        assert set(one.ears.heard_bodies) == {(2, b"from other")}
        assert await answered(lambda: one.bus.request(2, b"q")) == b"re:q"
        assert await answered(lambda: other.bus.request(1, b"q" * 60_000)) == b"re:" + b"q" * 60_000
        assert set(other.ears.senders) == {Sender(1, (1).to_bytes(8, "big"), 1)}
        status = one.bus.status()
        assert (status.state, status.tills, status.tills_heard) == ("up", 1, 1)
        assert status.implementation.split()[0] == pair[0]
        assert (status.refused, status.restarts, status.last_error) == (0, 0, "")


@pytest.mark.parametrize("length", [0, BODY_BYTES_MAX + 1])
async def test_a_body_of_a_wrong_length_is_the_callers_mistake(length: int) -> None:
    async with two_tills(("auto", "auto")) as (one, _):
        with pytest.raises(ValueError, match="bytes"):
            one.bus.gossip(bytes(length))
        with pytest.raises(ValueError, match="bytes"):
            await one.bus.request(2, bytes(length))


async def test_an_answer_too_long_is_no_answer_and_the_bus_goes_on() -> None:
    async with two_tills(("auto", "auto")) as (one, other):
        other.ears.reply = lambda body: b"x" * (BODY_BYTES_MAX + (body == b"too long"))
        assert await one.bus.request(2, b"too long") is None
        assert await answered(lambda: one.bus.request(2, b"q")) == b"x" * BODY_BYTES_MAX


async def test_an_ear_that_fails_is_no_answer_and_the_bus_goes_on() -> None:
    def fail(body: bytes) -> bytes | None:
        if body == b"fail":
            raise ZeroDivisionError
        return body

    async with two_tills(("auto", "auto")) as (one, other):
        other.ears.reply = fail
        assert await one.bus.request(2, b"fail") is None
        assert await answered(lambda: one.bus.request(2, b"q")) == b"q"


async def test_an_ear_that_fails_over_gossip_costs_that_gossip_only() -> None:
    class Fragile(Remembering):
        def heard(self, sender: Sender, body: bytes) -> None:
            super().heard(sender, body)
            if body == b"fail":
                raise ZeroDivisionError

    async with two_tills(("auto", "auto")) as (one, other):
        other.ears = Fragile()
        other.bus.attach(other.ears)
        child = other.child_id
        await heard(one, other, b"fail")
        await heard(one, other, b"and on")
        assert (other.child_id, other.bus.status().restarts) == (child, 0)


async def test_a_till_without_the_stores_key_is_neither_heard_nor_answered() -> None:
    addresses = {1: free_address().gossip, 2: free_address().gossip}
    async with one_till(1, addresses) as one, one_till(2, addresses, keys=(FOREIGN,)) as other:
        await one.comes_up()
        await other.comes_up()
        async with asyncio.timeout(PATIENCE_S):
            while other.bus.status().refused == 0:
                one.bus.gossip(b"anybody?")
                assert await one.bus.request(2, b"q", timeout_s=0.05) is None
        assert other.ears.heard_bodies == other.ears.asked_bodies == []


async def test_a_till_of_another_store_is_not_heard_even_with_the_key() -> None:
    addresses = {1: free_address().gossip, 2: free_address().gossip}
    async with one_till(1, addresses) as one, one_till(2, addresses, store="s2") as other:
        await other.comes_up()
        await holds(lambda: other.bus.status().refused, again=lambda: one.bus.gossip(b"anybody?"))
        assert other.ears.heard_bodies == []


async def test_a_till_that_is_not_in_the_roster_is_not_heard() -> None:
    addresses = {1: free_address().gossip, 2: free_address().gossip}
    with_third = addresses | {3: free_address().gossip}
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(one_till(1, addresses))
        third = await stack.enter_async_context(one_till(3, with_third))
        await one.comes_up()
        async with asyncio.timeout(PATIENCE_S):
            while one.bus.status().refused == 0:
                assert await third.bus.request(1, b"q", timeout_s=0.05) is None
        assert one.ears.asked_bodies == []


async def test_a_recorded_packet_is_not_accepted_again_even_by_another_child() -> None:
    async with two_tills(("auto", "auto")) as (one, other):
        packet = Keyring("s1", [KEY]).seal(
            Envelope(Kind.GOSSIP, STRANGER._replace(till_id=2), 0, 2**40, b"recorded")
        )
        stranger = load_library("auto").open(Pattern.BUS)
        try:
            stranger.dial(one.bus.status().listen)
            await until(one.ears.something, lambda: stranger.send(packet))
            assert one.ears.heard_bodies == [(2, b"recorded")]
            os.kill(one.child_id, signal.SIGKILL)
            await one.comes_up(restarts=1)
            await holds(lambda: one.bus.status().replayed, again=lambda: stranger.send(packet))
        finally:
            stranger.close()
        assert one.ears.heard_bodies == [(2, b"recorded")]
        await heard(other, one, b"the till itself is heard")


async def test_gossip_for_one_and_requests_for_all_are_refused() -> None:
    ring = Keyring("s1", [KEY])
    wrong = [
        ring.seal(Envelope(Kind.REQUEST, STRANGER, 1, 2**40, b"a request as gossip")),
        ring.seal(Envelope(Kind.ANSWER, STRANGER, 1, 2**40 + 1, b"an answer nobody asked for")),
        ring.seal(Envelope(Kind.GOSSIP, STRANGER, 7, 2**40 + 2, b"for somebody else")),
        ring.seal(Envelope(Kind.GOSSIP, STRANGER._replace(till_id=1), 0, 1, b"from itself")),
    ]
    right = ring.seal(Envelope(Kind.GOSSIP, STRANGER, 0, 2**40 + 3, b"right"))
    async with two_tills(("auto", "auto")) as (one, _):
        stranger = load_library("auto").open(Pattern.BUS)
        try:
            stranger.dial(one.bus.status().listen)
            await holds(
                lambda: one.bus.status().refused >= 2 * len(wrong),
                again=lambda: [stranger.send(packet) for packet in wrong],
            )
            await until(one.ears.something, lambda: stranger.send(right))
        finally:
            stranger.close()
        assert one.ears.heard_bodies == [(2, b"right")]


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_child_that_dies_comes_again_and_nobody_waits_for_it(pair: tuple[str, str]) -> None:
    async with two_tills(pair) as (one, other):
        assert await answered(lambda: one.bus.request(2, b"q")) == b"re:q"
        waiting = asyncio.create_task(one.bus.request(2, b"while it dies", timeout_s=PATIENCE_S))
        await asyncio.sleep(0)
        for number in (1, 2):
            os.kill(one.child_id, signal.SIGKILL)
            await waiting  # ends when the child does, not after its time-out
            one.bus.gossip(b"into the void")
            assert await one.bus.request(2, b"nobody there", timeout_s=0.05) in (
                None,
                b"re:nobody there",
            )
            await one.comes_up(restarts=number)
        assert await answered(lambda: one.bus.request(2, b"again")) == b"re:again"
        assert await answered(lambda: other.bus.request(1, b"again")) == b"re:again"
        await heard(one, other, b"again")
        await heard(other, one, b"again")


async def test_a_child_that_hangs_is_killed_and_replaced() -> None:
    addresses = {1: free_address().gossip, 2: free_address().gossip}
    settings = ChildSettings(
        ping_interval_s=0.05, ping_timeout_s=0.3, restart_delay_s=0.05, restart_delay_s_max=0.1
    )
    async with one_till(1, addresses, settings=settings) as one:
        await one.comes_up()
        stopped = one.child_id
        os.kill(stopped, signal.SIGSTOP)
        async with asyncio.timeout(PATIENCE_S):
            while one.bus.child.process_id == stopped:
                one.bus.gossip(b"x" * 60_000)
                assert await one.bus.request(2, b"q", timeout_s=0.02) is None
        await one.comes_up(restarts=1)
        with pytest.raises(ProcessLookupError):
            os.kill(stopped, 0)


async def test_the_queue_to_a_child_that_hangs_is_bounded() -> None:
    addresses = {1: free_address().gossip, 2: free_address().gossip}
    patient = ChildSettings(ping_interval_s=60, ping_timeout_s=60)
    async with one_till(1, addresses, settings=patient) as one:
        await one.comes_up()
        os.kill(one.child_id, signal.SIGSTOP)
        for _ in range(1_000):
            one.bus.gossip(b"x" * 60_000)
        assert one.bus.status().dropped >= 1_000 - patient.waiting_max
        asks = [one.bus.request(2, b"q", timeout_s=0.1) for _ in range(3 * patient.waiting_max)]
        assert set(await asyncio.gather(*asks)) == {None}


async def test_a_request_ends_in_time_whoever_does_not_answer() -> None:
    addresses = {1: free_address().gossip, 2: free_address().gossip}
    async with one_till(1, addresses) as one:
        await one.comes_up()
        for till_id in (2, 3):
            async with asyncio.timeout(10):  # without a bound of its own it would wait for ever
                assert await one.bus.request(till_id, b"anybody?") is None


async def test_an_address_that_is_taken_is_told_and_taken_once_it_is_free() -> None:
    taken = free_address()
    addresses = {1: taken.gossip, 2: free_address().gossip}
    squatter = load_library("auto").open(Pattern.BUS)
    squatter.listen(taken.gossip)
    async with one_till(1, addresses) as one:
        await holds(lambda: one.bus.status().last_error)
        status = one.bus.status()
        assert (status.state, status.restarts) == ("starting", 0)
        assert taken.gossip in status.last_error
        squatter.close()
        await one.comes_up()


async def test_keys_and_tills_change_while_the_bus_runs() -> None:
    async with two_tills(("auto", "auto")) as (one, other):
        addresses = {1: one.bus.address(), 2: other.bus.address()}
        child = one.child_id
        for till in (one, other):
            till.bus.use_roster(BusRoster((FOREIGN,), addresses))
        assert await answered(lambda: one.bus.request(2, b"new key")) == b"re:new key"
        one.bus.use_roster(BusRoster((FOREIGN,), {1: addresses[1], 3: free_address().gossip}))
        assert await one.bus.request(2, b"q") is None
        one.bus.use_roster(BusRoster((FOREIGN,), addresses))
        assert await answered(lambda: one.bus.request(2, b"back")) == b"re:back"
        assert one.child_id == child


@pytest.mark.parametrize(
    "roster",
    [
        None,
        BusRoster(),
        BusRoster((), {2: "127.0.0.1:7720"}),
        BusRoster((KEY,), {}),
        BusRoster((KEY,), {1: "127.0.0.1:7720"}),
        BusRoster((StoreKey(1, b"short"),), {2: "127.0.0.1:7720"}),
    ],
)
async def test_without_key_or_others_there_is_no_child(roster: BusRoster | None) -> None:
    async with two_tills(("auto", "auto")) as (one, _):
        one.bus.use_roster(roster)
        await holds(lambda: one.bus.child.process_id is None)
        assert one.bus.status().state == "off"
        one.bus.gossip(b"silence")
        assert await one.bus.request(2, b"silence") is None


async def test_a_till_back_from_an_image_is_heard_and_answered_at_once(tmp_path: Path) -> None:
    addresses = {1: free_address().gossip, 2: free_address().gossip}
    path = tmp_path / "bus-counter"
    now_ms = itertools.count(System().now_ms(), 60_000).__next__

    def says_much() -> None:
        for _ in range(20):
            one.bus.gossip(b"alive")

    async with one_till(2, addresses) as other:
        await other.comes_up()
        reserve_counters(path, now_ms())
        image = path.read_bytes()
        async with one_till(1, addresses, first_counter=reserve_counters(path, now_ms())) as one:
            await one.comes_up()
            await holds(lambda: len(other.ears.heard_bodies) > 2 * REPLAY_WINDOW, again=says_much)
        path.write_bytes(image)
        async with one_till(1, addresses, first_counter=reserve_counters(path, now_ms())) as one:
            await one.comes_up()
            assert await answered(lambda: one.bus.request(2, b"my head")) == b"re:my head"
            await heard(one, other, b"back")
        assert other.bus.status().replayed == 0


class Lan:
    """The address this machine has in the store's network, as the tests say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
        self.host = host
        monkeypatch.setattr("agent.store_bus.bus.resolve_listen", self._resolve)
        monkeypatch.setattr("agent.store_bus.bus._LISTEN_AGAIN_S", 0.01)

    def _resolve(self, text: str) -> Address:
        if not self.host:
            raise OSError("this machine has no address")
        return Address(self.host, parse_address(text).port)


async def test_an_address_that_comes_late_or_changes_is_listened_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lan = Lan(monkeypatch, "")
    port = free_address().port
    addresses = {1: f"127.0.0.1:{port}", 2: free_address().gossip}
    async with one_till(1, addresses) as one:
        assert (one.bus.address(), one.bus.status().state) == ("", "off")
        for lan.host in ("127.0.0.1", "127.0.0.2"):
            at = f"{lan.host}:{port}"
            assert one.bus.address() == at
            await holds(lambda at=at: one.bus.status().listen == at)  # type: ignore[misc]
            await one.comes_up()
            await holds(lambda host=lan.host: is_open(host, port))  # type: ignore[misc]
        assert not is_open("127.0.0.1", port)


async def test_a_network_that_is_gone_for_a_while_costs_no_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lan = Lan(monkeypatch, "127.0.0.1")
    addresses = {1: free_address().gossip, 2: free_address().gossip}
    async with one_till(1, addresses) as one:
        await one.comes_up()
        child, lan.host = one.child_id, ""
        await asyncio.sleep(0.1)
        assert (one.bus.address(), one.child_id) == ("", child)
        lan.host = "127.0.0.1"
        await asyncio.sleep(0.1)
        assert (one.child_id, one.bus.status().state) == (child, "up")


def is_open(host: str, port: int) -> bool:
    """Say whether somebody listens."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


async def test_a_till_whose_address_nobody_knows_is_heard_all_the_same() -> None:
    addresses = {1: free_address().gossip, 2: free_address().gossip}
    async with one_till(1, addresses) as one, one_till(2, addresses) as other:
        await one.comes_up()
        await other.comes_up()
        other.bus.use_roster(BusRoster((KEY,), addresses | {1: ""}))
        await heard(one, other, b"hello")
        assert await other.bus.request(1, b"where are you") is None


async def test_no_more_requests_are_answered_at_once_than_allowed() -> None:
    release = asyncio.Event()
    tills = {number: free_address().gossip for number in range(1, ANSWERING_MAX + 3)}

    class Slow:
        at_once = most = 0

        def heard(self, sender: Sender, body: bytes) -> None:
            raise AssertionError(body)

        async def asked(self, sender: Sender, body: bytes) -> bytes | None:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            try:
                await release.wait()
                return body
            finally:
                self.at_once -= 1

    slow = Slow()
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(one_till(1, tills, settings=QUICK))
        one.bus.attach(slow)
        await one.comes_up()
        asking = await stack.enter_async_context(one_till(2, tills))
        await asking.comes_up()
        await asyncio.gather(*(asking.bus.request(1, b"q") for _ in range(2 * ANSWERING_MAX)))
        release.set()
        assert await answered(lambda: asking.bus.request(1, b"q")) == b"q"
        assert 1 <= slow.most <= ANSWERING_MAX


async def test_a_till_that_says_too_much_is_cut_short_and_then_heard_again() -> None:
    def babble(teller: Neighbour) -> None:
        for _ in range(30):
            teller.bus.gossip(b"blah")

    async with two_tills(("auto", "auto")) as (one, other):
        await holds(lambda: other.bus.status().dropped, again=lambda: babble(one))
        await heard(one, other, b"something of use")
        assert (1, b"something of use") in other.ears.heard_bodies

"""The keeper of the bus child starts it again whatever it does, ever more slowly."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import pytest

from agent.store_bus.child_process import ChildProcess, ChildSettings, child_command
from agent.store_bus.frames import Answer, Ask, FromChild, Gossip, Ping, Pong, SetUp
from tests.unit.agent.store_bus.rig import LIBRARIES, PATIENCE_S, QUICK, free_address, holds

SET_UP = SetUp(1, "s1", "127.0.0.1:1", {2: ""}, ((1, bytes(32)),))


def script(code: str) -> list[str]:
    """Return a child that is a few lines of Python."""
    return [sys.executable, "-c", code]


@asynccontextmanager
async def kept(
    command: list[str], settings: ChildSettings = QUICK, *, jitter: float = 1.0
) -> AsyncIterator[tuple[ChildProcess, list[FromChild]]]:
    came: list[FromChild] = []
    child = ChildProcess(
        command, settings, came=came.append, ended=lambda: None, jitter=lambda: jitter
    )
    running = asyncio.create_task(child.run())
    try:
        yield child, came
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["/no/such/program"], "No such file"),
        (script("raise SystemExit(3)"), "ended with"),
        (script("import os; os.abort()"), "ended with -6"),
        (script("import os; os.write(1, b'\\xff' * 100); input()"), "a frame of"),
        (script("import os; os.write(1, b'\\0\\0\\0\\2{}'); input()"), "not a frame"),
        (script("import os; os.close(1); input()"), "closed its pipe"),
    ],
    ids=["missing", "ends", "aborts", "no-frames", "no-message", "closes"],
)
async def test_a_child_that_cannot_be_used_is_tried_again(command: list[str], why: str) -> None:
    async with kept(command) as (child, came):
        child.use(SET_UP)
        await holds(lambda: child.restarts >= 2)
        assert why in child.last_error
        assert came == []
        child.use(None)
        await holds(lambda: child.process_id is None)


async def test_a_child_that_says_nothing_is_killed() -> None:
    settings = ChildSettings(start_timeout_s=0.1, restart_delay_s=0.01, restart_delay_s_max=0.01)
    async with kept(script("import time; time.sleep(60)"), settings) as (child, _):
        child.use(SET_UP)
        await holds(lambda: child.restarts >= 1)
        assert "does not answer" in child.last_error


async def test_restarts_come_ever_more_slowly() -> None:
    settings = ChildSettings(restart_delay_s=0.02, restart_delay_s_max=0.3)
    loop = asyncio.get_running_loop()
    async with kept(["/no/such/program"], settings) as (child, _):
        began_s = loop.time()
        child.use(SET_UP)
        await holds(lambda: child.restarts >= 6)
        # 20, 40, 80, 160 ms, then twice the longest.
        assert loop.time() - began_s >= 0.02 + 0.04 + 0.08 + 0.16 + 0.3 + 0.3


async def test_without_a_set_up_nothing_is_started_and_nothing_is_taken() -> None:
    async with kept(child_command("auto")) as (child, _):
        assert not child.send(Gossip(b"x"))
        assert not child.send(Ask(1, 2, 100, b"x"))
        await asyncio.sleep(0)
        assert (child.process_id, child.restarts, child.dropped) == (None, 0, 0)


async def test_a_child_answers_pings_and_requests_it_cannot_send() -> None:
    wanted = SetUp(1, "s1", free_address().gossip, {2: free_address().gossip}, ((1, bytes(32)),))
    async with kept(child_command("auto")) as (child, came):
        child.use(wanted)
        await holds(lambda: child.state)
        state = child.state
        assert isinstance(state, Pong)
        assert (state.trouble, state.refused) == ("", 0)
        assert child.send(Ping())
        assert child.send(Ask(7, 3, 100, b"to a till nobody knows"))
        assert child.send(Ask(8, 2, 50, b"to a till that is not there"))
        await holds(lambda: len(came) == 2)
        assert came == [Answer(7, b""), Answer(8, b"")]


@pytest.mark.parametrize("name", LIBRARIES)
async def test_a_till_that_is_dialled_and_says_nothing_is_dialled_anew(name: str) -> None:
    silent = free_address()
    loop = asyncio.get_running_loop()
    with ExitStack() as held:
        listening = held.enter_context(socket.create_server(silent))
        listening.setblocking(False)  # noqa: FBT003 - the socket's own word
        async with kept(child_command(name)) as (child, _):
            keys = ((1, bytes(32)),)
            others = {2: silent.gossip}
            child.use(SetUp(1, "s1", free_address().gossip, others, keys, silence_ms=100))
            for _number in range(3):
                async with asyncio.timeout(PATIENCE_S):
                    connection, _address = await loop.sock_accept(listening)
                    held.enter_context(connection)
                    # A till by its greeting; with that both libraries are content for ever.
                    await loop.sock_sendall(connection, b"\0SP\0\0\x70\0\0")


async def test_the_child_ends_with_its_agent() -> None:
    process = await asyncio.create_subprocess_exec(
        *child_command("auto"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(PATIENCE_S):
        assert await process.wait() == 0


async def test_a_child_that_is_told_rubbish_ends() -> None:
    process = await asyncio.create_subprocess_exec(
        *child_command("auto"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(b"\xff" * 100)
    async with asyncio.timeout(PATIENCE_S):
        assert await process.wait() == 70
    process.stdin.close()


def test_a_packaged_agent_starts_itself() -> None:
    command = ["bus-child", "--implementation", "pynng"]
    assert child_command("pynng", frozen=True) == [sys.executable, *command]
    assert child_command("pynng", frozen=False) == [sys.executable, "-m", "agent", *command]

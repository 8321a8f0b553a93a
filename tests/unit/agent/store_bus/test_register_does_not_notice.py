"""A whole agent sells while its bus child is killed, stopped and attacked."""

import asyncio
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.bootstrap import running_agent
from agent.cli import main
from agent.config import AgentConfig, BusConfig
from agent.store_bus.bus import ChildStoreBus
from sync.messages import BusKey, Roster, RosterTill
from tests.support.till import IDENTITY, TILL_ID, JoinedTill, enrolled_folder
from tests.unit.agent.register import PAID, SALE, Register, register_calling
from tests.unit.agent.store_bus.rig import KEY, free_address, holds, one_till

RECEIPTS = 40


@dataclass
class Shop:
    """A till that sells, its bus, and a neighbour."""

    data: Path
    register: Register
    bus: ChildStoreBus
    listen: str

    async def sell(self, number: int) -> None:
        """Sell one receipt, from the first calculation to the record."""
        path = f"/v1/receipts/0190a000-0000-7000-8000-{number:012d}"
        status, answer = await self.register.update(SALE, path)
        assert (status, answer["outcome"]) == (200, "calculated")
        status, answer = await self.register.call("POST", f"{path}/complete", PAID)
        assert (status, answer["outcome"]) == (200, "recorded")


@asynccontextmanager
async def shop(folder: Path) -> AsyncIterator[Shop]:
    """Run a till that knows its store from an earlier pull, and a neighbour."""
    listen, neighbour = free_address().gossip, free_address().gossip
    addresses = {TILL_ID: listen, TILL_ID + 1: neighbour}
    data = enrolled_folder(folder, IDENTITY)
    before = JoinedTill(data)
    before.till.journal.roster.write(
        Roster(
            version="1",
            store=IDENTITY.place.store,
            bus_keys=(BusKey(number=KEY.number, secret=KEY.secret),),
            tills=tuple(
                RosterTill(till_id=till_id, public_key=bytes(32), bus_address=address)
                for till_id, address in addresses.items()
            ),
        )
    )
    before.close()
    config = AgentConfig(pos_port=0, bus=BusConfig(listen=listen))
    async with (
        one_till(TILL_ID + 1, addresses, store=IDENTITY.place.store),
        running_agent(data, config) as agent,
        register_calling(agent) as register,
    ):
        bus = agent.bus
        assert isinstance(bus, ChildStoreBus)
        await holds(lambda: bus.status().state == "up")
        yield Shop(data, register, bus, listen)


def kill(one: Shop) -> None:
    if one.bus.child.process_id is not None:
        with suppress(ProcessLookupError):
            os.kill(one.bus.child.process_id, signal.SIGKILL)


def stop(one: Shop) -> None:
    if one.bus.child.process_id is not None:
        with suppress(ProcessLookupError):
            os.kill(one.bus.child.process_id, signal.SIGSTOP)


def rubbish(one: Shop) -> None:
    host, _, port = one.listen.rpartition(":")
    for offset in (0, 1):
        with suppress(OSError), socket.create_connection((host, int(port) + offset)) as stranger:
            stranger.sendall(b"\0SP\0\0\x70\0\0" + b"\x40" + bytes(7) + os.urandom(200))


@pytest.mark.parametrize("harm", [kill, stop, rubbish], ids=lambda harm: harm.__name__)
async def test_every_receipt_is_recorded_while_the_child_suffers(
    tmp_path: Path, harm: Callable[[Shop], None]
) -> None:
    async with shop(tmp_path / "till") as one:
        for number in range(RECEIPTS):
            harm(one)
            one.bus.gossip(b"sold something")
            asking = asyncio.create_task(one.bus.request(TILL_ID + 1, b"witness"))
            await one.sell(number)
            assert await asking in (None, b"re:witness")
        _, health = await one.register.call("GET", "/v1/health")
        assert health["receipts"] == {"recorded": RECEIPTS}


async def test_the_status_shows_the_bus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with shop(tmp_path / "till") as one:
        assert await asyncio.to_thread(main, ["status", "--data", str(one.data)]) == 0
        # The sibling's first heartbeat may or may not be in by now.
        wanted = f"store bus         up at {re.escape(one.listen)}, [01] of 1 tills heard"
        assert re.search(wanted, capsys.readouterr().out)
        assert one.bus.address() == one.listen
        one.bus.use_roster(None)
        assert await asyncio.to_thread(main, ["status", "--data", str(one.data)]) == 0
        assert "store bus         off\n" in capsys.readouterr().out
    assert (one.data / "bus-counter").exists()

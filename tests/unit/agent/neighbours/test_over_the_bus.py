"""Two whole agents over the real bus: no line, and the points are there all the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.bootstrap import running_agent
from agent.config import AgentConfig, BusConfig
from agent.neighbours import sharing
from agent.neighbours.bus_driver import BusDriver
from agent.store_bus.addresses import Address, resolve_listen
from agent.store_bus.port import BusRoster, BusStatus, Ears
from agent.till_service.till import Till
from agent.till_thread import TillThread
from loyalty.bundle import Bundle
from sync.cycle import PATH_BUNDLE
from sync.messages import BusKey, Hello, Pull, Roster, RosterTill
from sync.signing import SigningKey
from tests.support.store_lan import SECOND, VAULT, seed_of
from tests.support.till import (
    CARD,
    IDENTITY,
    FakeCentre,
    JoinedTill,
    customer,
    enrolled_folder,
    signed_bundle,
)
from tests.unit.agent.neighbours.conftest import HALF, large_bundle
from tests.unit.agent.register import PAID, SALE, register_calling
from tests.unit.agent.scripted_centre import scripted_centre, speaking_for
from tests.unit.agent.store_bus.rig import KEY, PATIENCE_S, free_address, holds

RECEIPT = "/v1/receipts/0190a000-0000-7000-8000-000000000001"


def store_of_two() -> tuple[dict[int, str], Roster]:
    """Return addresses of two tills by number, and their roster."""
    addresses = {VAULT: free_address().gossip, SECOND: free_address().gossip}
    tills = tuple(
        RosterTill(
            till_id=till_id,
            public_key=SigningKey(seed_of(till_id)).public,
            bus_address=address,
            vault=till_id == VAULT,
        )
        for till_id, address in addresses.items()
    )
    key = BusKey(number=KEY.number, secret=KEY.secret)
    return addresses, Roster(version="1", store=IDENTITY.place.store, bus_keys=(key,), tills=tills)


def config_of(address: str) -> AgentConfig:
    return AgentConfig(pos_port=0, bus=BusConfig(listen=address))


def prepared(
    folder: Path,
    till_id: int,
    roster: Roster,
    *,
    rules: Bundle = HALF,
    centre_url: str = IDENTITY.centre_url,
) -> Path:
    """Return the data folder of a till that met its centre once; the vault holds 100 points."""
    identity = msgspec.structs.replace(
        IDENTITY, till_id=till_id, key_seed=seed_of(till_id), centre_url=centre_url
    )
    data = enrolled_folder(folder, identity)
    centre = FakeCentre(till_id=till_id)
    centre.knows(customer(points=0, held_points=100))
    if till_id == VAULT:
        centre.grants(100)
    # The agents run on today's clock: what they hold must still count.
    centre.system.wall_ms += 10 * 365 * 86_400_000  # type: ignore[attr-defined]
    before = JoinedTill(data, centre=centre, system=centre.system, identity=identity)  # type: ignore[arg-type]
    before.take_rules(rules)
    before.talk()
    before.talk()
    with before.till.journal.transaction():
        before.till.journal.roster.write(roster)
    before.close()
    return data


async def test_a_customer_redeems_at_one_till_what_the_other_holds(tmp_path: Path) -> None:
    addresses, roster = store_of_two()
    folders = {till_id: prepared(tmp_path / str(till_id), till_id, roster) for till_id in addresses}
    configs = {till_id: config_of(address) for till_id, address in addresses.items()}
    async with (
        running_agent(folders[VAULT], configs[VAULT]) as vault,
        running_agent(folders[SECOND], configs[SECOND]) as second,
        register_calling(second) as register,
        register_calling(vault) as there,
    ):
        for agent, other in ((vault, SECOND), (second, VAULT)):
            known = agent.till.neighbours
            await holds(lambda known=known, other=other: known.is_alive(other))  # type: ignore[misc]
            await holds(lambda known=known: known.asked_for_head)  # type: ignore[misc]
        sale = {**SALE, "card": CARD}
        answer: dict[str, Any] = {"reserved_points": 0}
        async with asyncio.timeout(PATIENCE_S):
            while answer["reserved_points"] != 60:
                # A till on a busy machine gives its neighbour up before that has written.
                status, answer = await register.call(
                    "POST", f"{RECEIPT}/reserve", {**sale, "redeem": {"points": 60}}
                )
                assert (status, answer["outcome"]) == (200, "reserved")
        assert "link" not in answer  # down, the default
        status, answer = await register.call(
            "POST", f"{RECEIPT}/complete", {**PAID, "card": CARD, "paid_minor": 940}
        )
        assert (status, answer["outcome"]) == (200, "recorded")
        siblings: dict[str, Any] = {"alive": [], "records_without_copy": 1}
        async with asyncio.timeout(PATIENCE_S):
            while (siblings["alive"], siblings["records_without_copy"]) != ([VAULT], 0):
                _, health = await register.call("GET", "/v1/health")
                siblings = health["siblings"]
        _, health = await there.call("GET", "/v1/health")
        assert health["rights_points"] == 40
        assert health["siblings"]["copies_bytes"] > 0


async def test_rules_that_one_till_has_come_to_the_other_over_the_bus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long the neighbour takes to be heard and to answer: nobody asks the centre instead.
    monkeypatch.setattr(sharing, "WAIT_UNHEARD_MS", 600_000)
    monkeypatch.setattr(sharing, "_BUDGET_MS", 10_000)
    addresses, roster = store_of_two()
    rules = large_bundle()
    vault_data = prepared(tmp_path / "vault", VAULT, roster, rules=rules)
    centre = FakeCentre(till_id=SECOND)
    centre.publishes(rules)
    async with scripted_centre(speaking_for(centre)) as said:  # it has no bundles to fetch
        second_data = prepared(tmp_path / "second", SECOND, roster, rules=HALF, centre_url=said.url)
        async with (
            running_agent(vault_data, config_of(addresses[VAULT])),
            running_agent(second_data, config_of(addresses[SECOND])) as second,
        ):
            books = second.till.books
            manifest, _ = signed_bundle(rules)
            await holds(lambda: books.active.bundle_hash == manifest.bundle)
            # The centre hears of it though the pause after a talk is not over.
            await holds(lambda: any(p.rules == (0, rules.version) for p in centre.asked(Pull)))
            assert not any(heard.path.startswith(PATH_BUNDLE) for heard in said.heard)


async def test_a_till_whose_lan_comes_up_late_has_neighbours_and_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses, roster = store_of_two()
    is_up = False

    def resolve(text: str) -> Address:
        if text == addresses[SECOND] and not is_up:
            raise OSError("this machine has no address")
        return resolve_listen(text)

    monkeypatch.setattr("agent.store_bus.bus.resolve_listen", resolve)
    centre = FakeCentre(till_id=SECOND)
    async with scripted_centre(speaking_for(centre)) as said:
        vault_data = prepared(tmp_path / "vault", VAULT, roster)
        second_data = prepared(tmp_path / "second", SECOND, roster, centre_url=said.url)
        async with (
            running_agent(vault_data, config_of(addresses[VAULT])) as vault,
            running_agent(second_data, config_of(addresses[SECOND])) as second,
        ):
            await holds(lambda: centre.asked(Hello))
            assert centre.asked(Hello)[-1].bus_address == ""
            is_up = True
            await holds(lambda: second.till.neighbours.is_alive(VAULT))
            await holds(lambda: second.till.neighbours.asked_for_head)
            await holds(lambda: vault.till.neighbours.is_alive(SECOND))
            # At once, though the streams were compared just now.
            await holds(lambda: centre.asked(Hello)[-1].bus_address == addresses[SECOND])


class NotedBus:
    """A bus of one till alone: says what it was told.

    Attributes:
        at: its address.
    """

    def __init__(self, at: str = "127.0.0.1:7117") -> None:
        self.rosters: list[BusRoster | None] = []
        self.at = at

    def address(self) -> str:
        return self.at

    def attach(self, ears: Ears) -> None:
        pass

    def begin_incarnation(self, incarnation: bytes, number: int) -> None:
        pass

    def use_roster(self, roster: BusRoster | None) -> None:
        self.rosters.append(roster)

    def gossip(self, body: bytes) -> None:
        pass

    async def request(self, till_id: int, body: bytes, *, timeout_s: float = 0.15) -> bytes | None:
        return None

    def status(self) -> BusStatus:
        return BusStatus(state="off")

    async def run(self) -> None:
        pass


async def keys_told(till: Till, thread: TillThread) -> list[int] | None:
    """Return the numbers of the keys the bus is told at the next round; None for no bus."""
    bus = NotedBus()
    async with driving(till, thread, bus):
        await holds(lambda: bus.rosters)
    roster = bus.rosters[-1]
    return None if roster is None else [key.number for key in roster.keys]


@asynccontextmanager
async def driving(till: Till, thread: TillThread, bus: NotedBus) -> AsyncIterator[list[str]]:
    """Drive a bus; gives the addresses that were worth telling the centre at once."""
    moves: list[str] = []
    driver = BusDriver(
        till,
        thread,
        bus,
        addresses={},
        journal_damaged=asyncio.Event(),
        moved=lambda: moves.append(till.bus_address),
    )
    talking = asyncio.create_task(driver.run())
    try:
        yield moves
    finally:
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)


async def test_siblings_are_asked_while_the_till_has_an_address_and_a_new_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.neighbours.bus_driver.HEARTBEAT_MS", 10)
    joined, thread, bus = JoinedTill(tmp_path / "till"), TillThread(), NotedBus("")
    till = joined.till
    first, second = "192.168.7.21:7720", "192.168.7.22:7720"
    async with driving(till, thread, bus) as moves:
        await holds(lambda: bus.rosters)
        assert (till.neighbours.connected, till.bus_address) == (False, "")
        bus.at = first
        await holds(lambda: till.neighbours.connected)
        assert till.bus_address == first
        bus.at = ""  # siblings may be told where it was: it may be there again
        await holds(lambda: not till.neighbours.connected)
        assert till.bus_address == first
        bus.at = first
        await holds(lambda: till.neighbours.connected)
        bus.at = second
        await holds(lambda: till.bus_address == second)
        await holds(lambda: moves == [first, second])
    thread.close()
    joined.close()


async def test_a_revoked_till_closes_its_bus_and_its_key_is_dropped_by_the_others(
    tmp_path: Path,
) -> None:
    def roster(*numbers: int) -> Roster:
        keys = tuple(BusKey(number=number, secret=bytes([number]) * 32) for number in numbers)
        return Roster(version=str(numbers), store=IDENTITY.place.store, bus_keys=keys)

    till, thread = JoinedTill(tmp_path / "till"), TillThread()
    till.till.neighbours.use_roster(roster(1))
    assert await keys_told(till.till, thread) == [1]
    till.till.neighbours.use_roster(roster(2))
    assert await keys_told(till.till, thread) == [2]
    till.till.revoked = True
    assert await keys_told(till.till, thread) is None
    thread.close()
    till.close()

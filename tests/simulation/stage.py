"""What everything that happens in a world acts upon: its tills, lines, registers and the centre."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.audit_queries import INGESTED_KEYS
from tests.simulation.audited import World as AuditedWorld
from tests.simulation.auditor import Auditor
from tests.simulation.centre import SimulatedCentre
from tests.simulation.chronicle import Chronicle
from tests.simulation.copies import Known
from tests.simulation.customers import Customer
from tests.simulation.disk import SimulatedVfs
from tests.simulation.faults import Faults, Size
from tests.simulation.kernel import DAY_MS, Kernel, really
from tests.simulation.lan import Lan
from tests.simulation.network import Network
from tests.simulation.paper import Paper
from tests.simulation.registers import Register
from tests.simulation.tills import SimulatedTill

HOUR_MS = 3_600_000
_STREAMS = "select till_id, incarnation, incarnation_number, last_seq from till_stream"
_LINKS = "select till_id, incarnation, seq, hash from inbox where not branch"


@dataclass(slots=True, kw_only=True)
class Stage:
    """The world as those see it who make things happen in it.

    Attributes:
        seed_stream: gives randomness by name.
        tills: machines by number; a second machine of one till has a number of its own.
        introduced: late customers the centre was told of.
        slots: of tills, by number; one that takes another's place has its slot.
        vaults: machines the centre gives the store's grants to.
        busy: machines that something longer is happening to.
        dead_disks: names of machines that are gone for good, with what no sibling has.
        is_healed: nothing goes wrong any more.
        is_at_rest: everything that can arrive has arrived, and time goes on.
        is_over: the world ends.
        commits: what waits for the standby and so is never thrown back: tills added and revoked.
        line_ends_ms, lan_ends_ms: when a store's line, and its LAN, is whole again.
    """

    seed_stream: Callable[[str], random.Random]
    kernel: Kernel
    chronicle: Chronicle
    draws: random.Random
    faults: Faults
    size: Size
    centre: SimulatedCentre
    network: Network
    lan: Lan
    vfs: SimulatedVfs
    paper: Paper
    customers: list[Customer]
    audited: AuditedWorld
    auditor: Auditor
    tills: dict[int, SimulatedTill]
    stores: list[str]
    registers: list[Register] = field(default_factory=list)
    introduced: set[int] = field(default_factory=set)
    slots: dict[int, str] = field(default_factory=dict)
    vaults: set[int] = field(default_factory=set)
    busy: set[int] = field(default_factory=set)
    dead_disks: set[str] = field(default_factory=set)
    is_healed: bool = False
    is_at_rest: bool = False
    is_over: bool = False
    commits: int = 0
    stalled_until_ms: int = 0
    line_ends_ms: dict[str, int] = field(default_factory=dict)
    lan_ends_ms: dict[str, int] = field(default_factory=dict)

    # When

    def some_moment(self) -> int:
        """Return a moment of the world's days."""
        return self.draws.randrange(self.size.days * DAY_MS)

    def schedule(self, per_day: float, what: Callable[[], None]) -> None:
        """Have something happen at random moments."""
        draws, end_ms = self.draws, self.size.days * DAY_MS
        count = int(per_day * self.size.days + draws.random())
        for at_ms in sorted(draws.randrange(end_ms) for _ in range(count)):
            self.kernel.at(at_ms, what)

    # Lines

    def cut_line(self, store: str, hours: float) -> None:
        """Cut a store off the centre; a cut under way may become longer."""
        self.chronicle.fault("line cut", f"{store} for {hours:.1f} h")
        self._cut(store, hours, self.network.cut_stores, self.line_ends_ms)

    def cut_lan(self, store: str, hours: float) -> None:
        """Have the tills of a store not hear each other."""
        self.chronicle.fault("LAN cut", f"{store} for {hours:.1f} h")
        self._cut(store, hours, self.lan.cut_stores, self.lan_ends_ms)

    def _cut(self, store: str, hours: float, cut: set[str], ends_ms: dict[str, int]) -> None:
        end_ms = self.kernel.now_ms + int(hours * HOUR_MS)
        ends_ms[store] = max(end_ms, ends_ms.get(store, 0))
        cut.add(store)

        def mend() -> None:
            if self.kernel.now_ms >= ends_ms[store]:
                cut.discard(store)

        self.kernel.at(end_ms, mend)

    # Tills

    def is_fit(self, till: SimulatedTill) -> bool:
        """Say whether something longer may be made happen to a machine now."""
        return not (
            self.is_healed
            or not till.is_up
            or till.machine_number in self.busy | self.audited.dead
            or till.number in self.audited.revoked
            or any(each is not till and each.number == till.number for each in self.tills.values())
        )

    def registers_of(self, till: SimulatedTill) -> list[Register]:
        """Return the registers that call a machine."""
        return [register for register in self.registers if register.till is till]

    def rush(self, store: str, hours: float, *, at: SimulatedTill | None = None) -> None:
        """Have regulars of a store come for some hours, to spend points; to all tills or to one."""
        at_home = [each for each in self.customers if each.home_store == store]
        regulars = at_home[: self.size.regulars] or self.customers[: self.size.regulars]
        for register in self.registers:
            if register.till.store == store and at in (None, register.till):
                register.rush(self.kernel.now_ms + int(hours * HOUR_MS), regulars)

    async def only_at(self, till: SimulatedTill) -> set[str]:
        """Return the keys of which this machine's journal has the only record.

        Call it when the journal is about to go: from then on its copies on siblings count.
        """
        known, paper = await self.keys_at_centre(), self.paper
        alone = {
            key
            for key in (*paper.touched, *paper.returns)
            if paper.machine_of(key) == till.name and key not in known
        }
        return alone - self.lan.copies.survive(alone)

    async def expect_copies(self) -> None:
        """Settle what has to arrive of machines that are dead: nothing goes wrong any more."""
        streams = {
            (row["till_id"], row["incarnation"]): Known(
                number=row["incarnation_number"], last_seq=row["last_seq"], links={}
            )
            for row in await self.centre.pool.fetch(_STREAMS)
        }
        for row in await self.centre.pool.fetch(_LINKS):
            streams[row["till_id"], row["incarnation"]].links[row["seq"]] = row["hash"]
        copies, sometimes = self.lan.copies, self.chronicle.sometimes
        beyond = copies.come_home(self.dead_disks, self.audited.revoked, streams)
        sometimes["copy of a dead till beyond a gap"] += beyond
        at_centre = {row["key"] for row in await self.centre.pool.fetch(INGESTED_KEYS)}
        of_dead = {k for k in self.paper.survivors if self.paper.machine_of(k) in self.dead_disks}
        sometimes["copy of a dead till handed in"] += len(of_dead & at_centre)

    async def keys_at_centre(self) -> set[str]:
        """Return the keys of which the centre has a record."""
        return {row["key"] for row in await really(self.centre.pool.fetch(INGESTED_KEYS))}

    async def seen(self, till_id: int, incarnation: bytes) -> int:
        """Return up to which record the centre has seen a stream."""
        sql = "select last_seq from till_stream where till_id = $1 and incarnation = $2"
        found: Any = await really(self.centre.pool.fetchval(sql, till_id, incarnation))
        return found or 0

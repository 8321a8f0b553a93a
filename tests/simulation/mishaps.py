"""What goes wrong by itself: lines, LANs, processes, power, files, clocks, apply."""

import random
from collections.abc import Callable
from functools import partial
from typing import Literal

from tests.simulation.disk import Disk
from tests.simulation.kernel import DAY_MS, really
from tests.simulation.stage import HOUR_MS, Stage
from tests.simulation.tills import SimulatedTill

_YEAR_MS = 365 * DAY_MS
_REVOKED_SHARE = 0.3


class Mishaps:
    """Makes single things go wrong, one independent of the other."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._draws: random.Random = stage.draws

    def schedule(self) -> None:
        """Put on the agenda what the world's faults say."""
        stage, faults = self._stage, self._stage.faults
        for store in stage.stores:
            stage.schedule(faults.cuts_per_store_day, partial(self._cut, store))
            stage.schedule(faults.lan_cuts_per_store_day, partial(self._cut_lan, store))
        for till in list(stage.tills.values()):
            for rate, what in (
                (faults.kills_per_till_day, self._kill),
                (faults.power_cuts_per_till_day, self._cut_power),
                (faults.spoiled_journals_per_till_day, self._spoil),
                (faults.clock_jumps_per_till_day, self._jump),
                *self._disks(),
            ):
                stage.schedule(rate, partial(what, till))
        stage.schedule(faults.stalls_per_day, self._stall)
        for till_id in self._draws.sample(sorted(stage.tills), faults.revoked_tills):
            if self._draws.random() < _REVOKED_SHARE:
                stage.kernel.at(stage.some_moment(), partial(self._revoke, till_id))

    def _disks(self) -> list[tuple[float, Callable[[SimulatedTill], None]]]:
        """Return what disks do; sound ones draw nothing, so that such worlds stay as they were."""
        faults = self._stage.faults
        rates: list[tuple[float, Callable[[SimulatedTill], None]]] = [
            (faults.full_disks_per_till_day, partial(self._refuse, "full")),
            (faults.read_only_disks_per_till_day, partial(self._refuse, "read-only")),
            (faults.slow_disks_per_till_day, self._slow),
        ]
        return [(rate, what) for rate, what in rates if rate]

    def _cut(self, store: str) -> None:
        if store not in self._stage.network.cut_stores:
            hours = self._draws.uniform(0.1, self._stage.faults.cut_hours_max)
            self._stage.cut_line(store, hours)

    def _cut_lan(self, store: str) -> None:
        self._stage.cut_lan(store, self._draws.uniform(0.1, 8))

    def _kill(self, till: SimulatedTill) -> None:
        if till.is_up:
            self._stage.chronicle.fault("process killed", till.name)
            till.stop(lost_power=False)
            self._back(till, self._draws.randint(5_000, 600_000))

    def _back(self, till: SimulatedTill, after_ms: int) -> None:
        self._stage.kernel.at(self._stage.kernel.now_ms + after_ms, till.restart)

    def _cut_power(self, till: SimulatedTill) -> None:
        if not till.is_up:
            return
        if self._draws.random() < 0.6:
            till.disk.cut_power_after(self._draws.randint(1, 40))
            return
        self._stage.chronicle.fault("power cut", till.name)
        till.stop(lost_power=True)
        self._back(till, self._draws.randint(30_000, HOUR_MS))

    def _spoil(self, till: SimulatedTill) -> None:
        async def work() -> None:
            mine = await self._stage.only_at(till)
            if till.is_up:
                till.stop(lost_power=False)
            self._stage.paper.destroyed |= mine
            self._stage.lan.copies.forget(till.machine_number)
            disk: Disk = till.disk
            disk.spoil(till.journal_path)
            self._stage.chronicle.fault("journal spoiled", f"{till.name}, {len(mine)} keys")
            self._back(till, 60_000)

        self._stage.kernel.start(work(), "spoil")

    def _refuse(self, how: Literal["full", "read-only"], till: SimulatedTill) -> None:
        hours = self._draws.uniform(0.1, 8)
        self._stage.chronicle.fault(f"disk {how}", f"{till.name} for {hours:.1f} h")
        till.disk.refuses = how
        self._mend(till.disk, hours)

    def _slow(self, till: SimulatedTill) -> None:
        hours = self._draws.uniform(0.1, 8)
        self._stage.chronicle.fault("disk slow", f"{till.name} for {hours:.1f} h")
        till.disk.sync_ms = self._draws.choice((500, 2_000, 5_000))
        self._mend(till.disk, hours)

    def _mend(self, disk: Disk, hours: float) -> None:
        self._stage.kernel.at(self._stage.kernel.now_ms + int(hours * HOUR_MS), disk.mend)

    def _jump(self, till: SimulatedTill) -> None:
        till.clock.off_by_ms = self._draws.randint(-10 * _YEAR_MS, 10 * _YEAR_MS)
        days = till.clock.off_by_ms // DAY_MS
        self._stage.chronicle.fault("clock jump", f"{till.name} {days} days")
        if self._draws.random() < 0.5:
            at_ms = self._stage.kernel.now_ms + 12 * HOUR_MS
            self._stage.kernel.at(at_ms, lambda: setattr(till.clock, "off_by_ms", 0))

    def _stall(self) -> None:
        hours = self._draws.uniform(0.5, 8)
        self._stage.chronicle.fault("apply stalled", f"{hours:.1f} h")
        self._stage.stalled_until_ms = self._stage.kernel.now_ms + int(hours * HOUR_MS)

    def _revoke(self, till_id: int) -> None:
        async def work() -> None:
            self._stage.commits += 1
            self._stage.lan.copies.forget(till_id)
            await really(self._stage.centre.revoke(till_id))

        self._stage.audited.revoked.add(till_id)
        self._stage.chronicle.fault("till revoked", str(till_id))
        self._stage.kernel.start(work(), "revoke")

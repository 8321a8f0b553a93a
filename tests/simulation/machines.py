"""Machines that come and go: copied and both in use, lost and found again, dead for good."""

import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from central.rights import budgets
from central.rights.suspicion import clear_till
from central.rights.write_offs import held_by, write_off
from tests.simulation.images import Image, Images
from tests.simulation.kernel import DAY_MS, really, sleep
from tests.simulation.stage import HOUR_MS, Stage
from tests.simulation.tills import SimulatedTill

_STARTS_MS = 60_000
_SILENCE_MS = 60 * HOUR_MS
"""Longer than a right and what its loss is waited for."""


class Replace(Protocol):
    """Enrols another till in a slot of a store."""

    async def __call__(self, store: str, slot: str, *, is_vault: bool) -> None:
        """Enrol it."""
        ...


class Machines:
    """Copies machines, loses them, finds them again, and buries them."""

    def __init__(
        self,
        stage: Stage,
        images: Images,
        *,
        replace: Replace,
        copy: Callable[[SimulatedTill, Image], SimulatedTill],
    ) -> None:
        """Act on a world.

        Args:
            replace: enrols another till in a slot of a store.
            copy: starts a second machine of a till from an image of its disk.
        """
        self._stage = stage
        self._images = images
        self._replace = replace
        self._copy = copy
        self._draws: random.Random = stage.seed_stream("machines")

    def schedule(self) -> None:
        """Put on the agenda what the world's faults say."""
        stage, faults = self._stage, self._stage.faults
        for till in list(stage.tills.values()):
            stage.schedule(faults.dead_disks_per_till_day, partial(self._die, till))
        stage.schedule(faults.clones_per_day, partial(self._to_somebody, self._clone))
        stage.schedule(faults.lost_and_found_per_day, partial(self._to_somebody, self._lose))

    def _to_somebody(self, what: Callable[[SimulatedTill], Awaitable[None]]) -> None:
        fit = [till for till in self._stage.tills.values() if self._stage.is_fit(till)]
        vaults = [till for till in fit if till.machine_number in self._stage.vaults]
        if fit:
            till = self._draws.choice(vaults if vaults and self._draws.random() < 0.8 else fit)

            async def work() -> None:
                self._stage.busy.add(till.machine_number)
                await what(till)
                self._stage.busy.discard(till.machine_number)

            self._stage.kernel.start(work(), "machine")

    # Copied

    async def _clone(self, till: SimulatedTill) -> None:
        """Run a second machine from a copy of a till's disk, beside it (design: sync 4.11)."""
        stage, draws = self._stage, self._draws
        hours = draws.randint(1, 6)
        if draws.random() < 0.5:
            stage.cut_line(till.store, hours)
        if draws.random() < 0.5:
            stage.cut_lan(till.store, hours * draws.choice((0.5, 1.0)))
        stage.rush(till.store, hours, at=till)
        await sleep(draws.randint(0, HOUR_MS))
        taken = self._images.take(till)
        if taken is None or not till.is_up or stage.is_healed:
            return
        image, old = taken
        self._images.count(till.number, old)
        twin = self._copy(till, image)
        stage.rush(till.store, hours, at=twin)
        stage.chronicle.fault("machine copied", f"{till.name}, {twin.name} is like it")
        if draws.random() < 0.3:
            return  # nobody notices
        await sleep(draws.randint(1, 72) * HOUR_MS)
        await self._switch_off(twin)

    async def _switch_off(self, twin: SimulatedTill) -> None:
        if self._stage.is_healed:
            return
        lost = await self._stage.only_at(twin)
        self._stage.paper.destroyed |= lost
        self._bury(twin)
        self._stage.chronicle.fault("copy switched off", f"{twin.name}, {len(lost)} keys")
        # Somebody has looked.
        now_ms = self._stage.centre.system.now_ms()
        await really(clear_till(self._stage.centre.pool, twin.number, now_ms=now_ms))

    def _bury(self, till: SimulatedTill) -> None:
        if till.is_up:
            till.stop(lost_power=False)
        till.is_lost = True
        self._stage.lan.copies.forget(till.machine_number)
        self._stage.audited.dead.add(till.machine_number)
        for register in self._stage.registers_of(till):
            register.retire()

    # Lost and found

    async def _lose(self, till: SimulatedTill) -> None:
        """Lose a machine that sold offline; its rights are written off, and it turns up again."""
        stage, draws = self._stage, self._draws
        hours = draws.randint(1, 4)
        stage.cut_line(till.store, hours)
        if draws.random() < 0.7:
            stage.cut_lan(till.store, hours)
        stage.rush(till.store, hours, at=till)
        await sleep(hours * HOUR_MS - _STARTS_MS)
        if stage.is_healed or till.number in stage.audited.revoked:
            return
        if till.is_up:
            till.stop(lost_power=False)
        till.is_lost = True
        stage.chronicle.fault("machine lost", till.name)
        if draws.random() < 0.6:
            await sleep(draws.randint(1, 6) * HOUR_MS)
            await self._write_off(till)
            await sleep(draws.randint(1, 12) * HOUR_MS)
        else:
            # Time does it.
            await sleep(_SILENCE_MS + draws.randint(0, DAY_MS))
        if till.machine_number not in stage.audited.dead:
            stage.chronicle.note(f"{till.name} found again")
            till.is_lost = False
            till.restart()

    async def _write_off(self, till: SimulatedTill) -> None:
        """An operator says that the disk is destroyed."""
        stage = self._stage
        if stage.is_healed:
            return
        pool = stage.centre.pool
        held = await really(held_by(pool, till.number))
        done = await really(write_off(pool, held, now_ms=stage.centre.system.now_ms()))
        await really(budgets.write_off(pool, till.number, now_ms=stage.centre.system.now_ms()))
        stage.centre.refused += done.refused
        stage.chronicle.note(f"{till.name}: {done.rights} rights written off, {done.refused} not")

    # Dead

    def _die(self, till: SimulatedTill) -> None:
        """Lose a machine for good; another takes its place in the store."""
        stage = self._stage
        if stage.is_healed or till.number in stage.audited.revoked:
            return

        stage.kernel.start(self._dead(till), "die")

    async def _dead(self, till: SimulatedTill) -> None:
        stage, draws = self._stage, self._draws
        lost = await stage.only_at(till)
        # What was never printed nobody has on paper: it may be posted.
        paper = stage.paper
        lost |= {
            key
            for key, name in paper.touched.items()
            if name == till.name and key not in paper.sales and key not in paper.given_up
        }
        paper.destroyed |= lost
        stage.dead_disks.add(till.name)
        self._bury(till)
        stage.chronicle.fault("disk dead", f"{till.name}, {len(lost)} keys")
        stage.commits += 1
        if draws.random() < 0.5:
            # Else its last records, which siblings have, are still welcome.
            await really(stage.centre.revoke(till.number))
            stage.audited.revoked.add(till.number)
        # Most tills may be vaults; the one in a dead vault's place is one sooner than others.
        was_vault = till.machine_number in stage.vaults
        is_vault = draws.random() < (0.7 if was_vault else 0.1)
        stage.chronicle.sometimes["dead vault replaced by a vault"] += was_vault and is_vault
        elsewhere = draws.randrange(1_000, 1_000_000)
        slot = stage.slots[till.number] if elsewhere % 4 else str(elsewhere)
        await really(self._replace(till.store, slot, is_vault=is_vault))
        if draws.random() < 0.5:
            # Who knows that the disk is destroyed need not wait.
            await sleep(draws.randint(1, 12) * HOUR_MS)
            await self._write_off(till)

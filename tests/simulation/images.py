"""Disks that come back from images: now and then in passing, now and then where nobody can tell."""

import random
from dataclasses import dataclass
from functools import partial
from typing import Any

import apsw

from tests.simulation.centre import RIGHTS
from tests.simulation.disk import VFS_NAME, Disk, DiskAnchor
from tests.simulation.kernel import sleep
from tests.simulation.stage import HOUR_MS, Stage
from tests.simulation.tills import SimulatedTill

_RIGHTS = """
    select coalesce((select t.grant_id from transfer_taken t where t.transfer_id = r.grant_id),
        r.grant_id), sum(points)
    from (select grant_id, points_left as points from held_right
        union all select grant_id, points from reservation) r group by 1"""
_RISK = "select points_total - points_spent from risk_budget"
_ASKS = "select nonce, points from courier_ask"
_NEWEST_STREAM = """
    select incarnation, last_seq from stream order by incarnation_number desc limit 1"""

Image = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class OldJournal:
    """A journal in an image of a disk.

    Attributes:
        rights: points by right, as the centre names it; empty for the risk budget.
        asks: points by nonce of an open ask by courier, which is as good as a right.
        keys: what it has records of.
        incarnation, seq: of its newest stream.
    """

    rights: dict[str, int]
    asks: dict[bytes, int]
    keys: frozenset[str]
    incarnation: bytes
    seq: int


class Images:
    """Makes images of disks and brings them back."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._draws: random.Random = stage.seed_stream("images")

    def schedule(self) -> None:
        """Put on the agenda what the world's faults say."""
        stage, faults = self._stage, self._stage.faults
        for till in list(stage.tills.values()):
            rate = faults.restored_images_per_till_day
            stage.schedule(rate, partial(self._make_and_restore_later, till))
        stage.schedule(faults.lone_restores_per_day, self._lone_restore_soon)

    def take(self, till: SimulatedTill) -> tuple[Image, OldJournal] | None:
        """Make an image of a disk; none where it holds no journal that can be read."""
        image = till.disk.image()
        old = self._read(image, till.name) if till.journal_path in image else None
        return (image, old) if old is not None else None

    def _read(self, image: Image, name: str) -> OldJournal | None:
        self._stage.vfs.disks["image"] = disk = Disk(random.Random(0))
        disk.restore({path.replace(f"/{name}/", "/image/", 1): it for path, it in image.items()})
        connection = apsw.Connection("/image/journal.db", vfs=VFS_NAME)
        try:
            connection.execute("pragma locking_mode=exclusive").fetchall()
            rows: list[tuple[Any, ...]] = connection.execute(_RIGHTS).fetchall()
            risk: list[tuple[Any, ...]] = connection.execute(_RISK).fetchall()
            keys = connection.execute(
                "select subject from record union all select receipt_id from noted_sale"
            ).fetchall()
            streams: list[tuple[Any, ...]] = connection.execute(_NEWEST_STREAM).fetchall()
            rights = {str(grant_id): int(points) for grant_id, points in rows}
            rights[""] = rights.get("", 0) + int(risk[0][0])
            asks: list[tuple[Any, ...]] = connection.execute(_ASKS).fetchall()
            return OldJournal(
                rights, dict(asks), frozenset(str(key) for (key,) in keys), *streams[0]
            )
        except (apsw.Error, IndexError):
            return None  # a journal that was being made, or was spoiled
        finally:
            connection.close()

    def count(self, till_id: int, old: OldJournal) -> None:
        """Have the auditor know what may be spent a second time (design: sync 5, I1)."""
        audited = self._stage.audited
        # Between two HELLOs a till spends no more than it was told, whatever it holds.
        points = min(sum(old.rights.values()), RIGHTS.offline_points_max) + sum(old.asks.values())
        audited.restored[till_id] += points
        audited.uncovered += points
        audited.rights_seen_twice.update(old.rights)
        audited.asks_seen_twice.update(old.asks)
        audited.old_streams.add(old.incarnation)

    # In passing

    def _make_and_restore_later(self, till: SimulatedTill) -> None:
        taken = self.take(till)
        if taken is not None:
            later_ms = self._draws.choice((1, 6, 30)) * HOUR_MS
            at_ms = self._stage.kernel.now_ms + self._draws.randint(600_000, later_ms)

            def restore() -> None:
                work = self._restore(till, *taken, with_anchor=self._draws.random() < 0.5)
                self._stage.kernel.start(work, "restore")

            self._stage.kernel.at(at_ms, restore)

    async def _restore(
        self, till: SimulatedTill, image: Image, old: OldJournal, *, with_anchor: bool
    ) -> None:
        stage = self._stage
        if stage.is_healed:
            return
        lost = await stage.only_at(till) - old.keys
        if till.is_up:
            till.stop(lost_power=False)
        stage.paper.destroyed |= lost
        stage.lan.copies.forget(till.machine_number)
        seen = await stage.seen(till.number, old.incarnation)
        anchor = f"/{till.name}/anchor"
        mark = DiskAnchor(till.disk, anchor).read()
        till.disk.restore(image, but="" if with_anchor else anchor)
        till.newest_bundle = 0
        stage.audited.came_back.add(till.number)
        if seen > old.seq:
            stage.audited.overtaken[old.incarnation] = "centre"
        if mark and not with_anchor and mark.incarnation == old.incarnation and mark.seq > old.seq:
            # It finds out before it spends again, so nothing of this is spent twice.
            stage.audited.overtaken[old.incarnation] = "anchor"
        else:
            self.count(till.number, old)
        told = "with its anchor" if with_anchor else "and not its anchor"
        stage.chronicle.fault("image restored", f"{till.name} {told}, {len(lost)} keys lost")
        stage.kernel.at(stage.kernel.now_ms + 300_000, till.restart)

    # Where nobody can tell

    def _lone_restore_soon(self) -> None:
        fit = [till for till in self._stage.tills.values() if self._stage.is_fit(till)]
        vaults = [till for till in fit if till.machine_number in self._stage.vaults]
        if fit:
            till = self._draws.choice(vaults if vaults and self._draws.random() < 0.7 else fit)
            self._stage.kernel.start(self._lone_restore(till), "lone restore")

    async def _lone_restore(self, till: SimulatedTill) -> None:
        """Bring an image back while line and LAN are down, regulars at the till meanwhile.

        What was sold before the centre has seen, a sibling, both or nobody.
        """
        stage, draws, faults = self._stage, self._draws, self._stage.faults
        stage.busy.add(till.machine_number)
        before_ms, after_ms = draws.randint(1, 3) * HOUR_MS, draws.randint(1, 4) * HOUR_MS
        if draws.random() < faults.lone_restores_off_line:
            stage.cut_line(till.store, before_ms / HOUR_MS)
        if draws.random() < faults.lone_restores_off_lan:
            stage.cut_lan(till.store, before_ms / HOUR_MS)
        stage.rush(till.store, (before_ms + after_ms) / HOUR_MS, at=till)
        taken = self.take(till)
        await sleep(before_ms)
        if taken is not None and not stage.is_healed:
            stage.cut_line(till.store, after_ms / HOUR_MS)
            stage.cut_lan(till.store, after_ms * draws.choice((0.3, 1.0, 1.2)) / HOUR_MS)
            await self._restore(
                till, *taken, with_anchor=draws.random() < faults.lone_restores_with_anchor
            )
            await sleep(after_ms)
        stage.busy.discard(till.machine_number)

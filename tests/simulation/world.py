"""One world under one seed: stores, tills, customers, a centre, faults, and the auditor."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import apsw
import structlog

from agent.identity import Identity, identity_of
from central.database.pool import Pool
from loyalty.bundle import Bundle
from sync.signing import SigningKey
from tests.simulation import faults as fault_rates
from tests.simulation.auditor import Auditor
from tests.simulation.auditor import World as AuditedWorld
from tests.simulation.centre import SimulatedCentre
from tests.simulation.chronicle import Chronicle, ViolationError, require
from tests.simulation.disk import VFS_NAME, Disk, DiskAnchor, SimulatedVfs
from tests.simulation.faults import Faults, Size
from tests.simulation.kernel import Kernel, really, sleep
from tests.simulation.lan import Lan
from tests.simulation.network import Network
from tests.simulation.paper import Paper
from tests.simulation.phones import Phones
from tests.simulation.plants import AsBuilt
from tests.simulation.tills import SimulatedTill
from tests.simulation.workload import (
    DAY_MS,
    Customer,
    Register,
    account_line,
    make_bundle,
    make_customers,
)

_HOUR_MS = 3_600_000
_YEAR_MS = 365 * DAY_MS
_SETTLE_ROUNDS_MAX = 6
_APPLY_PAUSES_MS = (500, 60_000, 600_000, 3_600_000)
_REVOKED_SHARE = 0.3
_POOL_POINTS = 2_000
_POOR_POINTS = 90
_ROUND_MS = 60 * 60_000
_RIGHTS_HELD = """
    select (select coalesce(sum(points_left), 0) from held_right)
         + (select coalesce(sum(points), 0) from reservation)
         + (select points_total - points_spent from risk_budget)"""
_NEWEST_STREAM = """
    select incarnation, last_seq from stream order by incarnation_number desc limit 1"""
_BUDGETS = """
    select till_id, sum(risk_points_total)::bigint as points from till_stream group by till_id"""
_GIVEN_SINCE = "select till_id, grant_id, points from right_grant where issued_at_ms >= $1"
_KNOWN = "select account_id from account"
_INGESTED_KEYS = "select convert_from(body, 'utf8')::json->>'key' as key from inbox"


@dataclass(frozen=True, slots=True)
class Run:
    """What one world came to.

    Attributes:
        violation: empty when nothing was found.
        digest: of the log; equal runs have equal ones.
    """

    seed: int
    days: int
    tills: int
    chronicle: Chronicle
    digest: str
    violation: str = ""


@dataclass(frozen=True, slots=True)
class OldJournal:
    """A journal in an image of a disk.

    Attributes:
        points: what its rights and its risk budget are worth.
        keys: what it has records of.
        incarnation, seq: of its newest stream.
    """

    points: int
    keys: frozenset[str]
    incarnation: bytes
    seq: int


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Keep the product's logs off the screen; what matters is checked in tables and files."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        yield
    finally:
        structlog.configure(**before)


async def run_world(
    pool: Pool,
    seed: int,
    *,
    faults: Faults = fault_rates.USUAL,
    size: Size | None = None,
    plant: AsBuilt | None = None,
) -> Run:
    """Run a world from its first sale to rest.

    Args:
        pool: on a fresh migrated database, used by nobody else.
    """
    size = size or Size()
    plant = plant or AsBuilt()
    world = World(pool, seed, faults=plant.faults or faults, size=size, plant=plant)
    violation = ""
    with quiet_logs():
        try:
            with plant.planted():
                await world.run()
        except ViolationError as error:
            violation = str(error)
        except Exception as error:  # noqa: BLE001 - whatever escapes the product is a finding
            violation = f"{type(error).__name__}: {error}"
            world.chronicle.error = error
        finally:
            world.close()
    return Run(
        seed,
        size.days,
        size.stores * size.tills_per_store,
        world.chronicle,
        world.chronicle.digest(),
        violation,
    )


class World:
    """Everything of one run."""

    def __init__(
        self, pool: Pool, seed: int, *, faults: Faults, size: Size, plant: AsBuilt
    ) -> None:
        self._seed = seed
        self._faults = faults
        self._size = size
        self._plant = plant
        self._pool = pool
        # A pool to whoever asks it; the world alone may throw it back.
        self._database: Any = pool
        self.kernel = Kernel()
        self.chronicle = Chronicle(self.kernel)
        self._draws = self._stream("world")
        self._vfs = SimulatedVfs(self._stream("sqlite"), lambda: self.kernel.now_ms)
        self._centre = SimulatedCentre(pool, self.kernel, self._stream("centre"))
        self._network = Network(
            self.kernel,
            self._centre,
            faults=faults,
            chronicle=self.chronicle,
            draws=self._stream("network"),
        )
        self._tills: dict[int, SimulatedTill] = {}
        self._lan = Lan(
            self.kernel,
            self._tills,
            faults=faults,
            chronicle=self.chronicle,
            draws=self._stream("lan"),
        )
        self._phones = Phones(
            self._centre.courier,
            self._centre.joined.keys.card_key,
            chronicle=self.chronicle,
            draws=self._stream("phones"),
        )
        self._paper = Paper()
        self._registers: list[Register] = []
        self._stores = [f"store-{number}" for number in range(1, size.stores + 1)]
        self._bundle_version = 0
        self._bundles: list[Bundle] = []
        self._introduced: set[int] = set()
        self._stalled_until_ms = 0
        self._tend_at_ms = 0
        self._is_healed = False
        self._is_over = False
        customers = make_customers(self._stream("customers"), size.customers, self._stores)
        self._customers = customers
        self._audited = AuditedWorld(
            pool=pool,
            tills=self._tills,
            paper=self._paper,
            chronicle=self.chronicle,
            opening={each.account_id: each.opening_points for each in customers},
        )
        self._auditor = Auditor(self._audited)
        self._applier = plant.applier(self._centre)
        self._centre.after = plant.after_request(self._centre)

    def _stream(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}/{name}")

    def close(self) -> None:
        """End what still waits and take the disks away."""
        self.kernel.forget()
        for till in self._tills.values():
            if till.is_up:
                till.stop(lost_power=False)
        self._vfs.unregister()
        assert VFS_NAME not in apsw.vfs_names()

    async def run(self) -> None:
        """Live through the days, heal, come to rest, and audit all the while.

        Raises:
            ViolationError: something must not have happened.
        """
        await self._found()
        end_ms = self._size.days * DAY_MS
        audit_ms = self._size.audit_hours * _HOUR_MS
        while self.kernel.now_ms < end_ms:
            await self.kernel.run(min(end_ms, self.kernel.now_ms + audit_ms))
            await self._auditor.audit()
        await self._come_to_rest()

    async def _found(self) -> None:
        stores = [{"kind": "store", "store": store, "region": "north"} for store in self._stores]
        await self._centre.load(stores)
        # Now and then the merchant is poor: what nobody pays for is refused.
        await self._centre.fund_pool(_POOL_POINTS if self._draws.random() < 0.8 else _POOR_POINTS)
        await self._publish()
        for number, store in enumerate(self._stores):
            # Alone in its store, a till has no witness but the centre.
            tills = self._size.tills_per_store + number % 3 - 1
            for slot in range(max(1, tills)):
                await self._add_till(store, slot)
        early = [account_line(each) for each in self._customers if not each.is_late]
        await self._centre.load(early)
        self.kernel.start(self._apply(), "apply")
        self._schedule_faults()

    async def _add_till(self, store: str, slot: int) -> None:
        seed = self._draws.randbytes(32)
        answer = await self._centre.enrol(
            store, str(slot), is_vault=slot == 0, key=SigningKey(seed)
        )
        identity: Identity = identity_of(
            answer, centre_url="http://centre", key_seed=seed, pos_token="simulated"
        )
        till = SimulatedTill(
            identity,
            kernel=self.kernel,
            network=self._network,
            chronicle=self.chronicle,
            plant=self._plant,
            draws=self._stream(f"till {answer.till_id}"),
            talk_ms=self._size.talk_minutes * 60_000,
        )
        till.lan = self._lan
        self._vfs.disks[till.name] = till.disk
        self._tills[answer.till_id] = till
        till.start()
        for lane in range(self._size.lanes_per_till):
            register = Register(
                till,
                self._customers,
                kernel=self.kernel,
                paper=self._paper,
                chronicle=self.chronicle,
                draws=self._stream(f"register {answer.till_id} {lane}"),
                minutes_between=self._size.minutes_between_customers,
                phones=self._phones,
            )
            register.on_print = self._printed
            self._registers.append(register)
            self.kernel.start(register.run(), f"{till.name} register {lane}")

    def _printed(self, till: SimulatedTill, key: str) -> None:
        def durable(sql: str) -> list[tuple[object, ...]]:
            if till.disk.is_all_durable(till.journal_path):
                return till.journal_rows(sql)
            self._vfs.disks["platter"] = till.disk.copy_of_durable(till.name, "platter")
            connection = apsw.Connection("/platter/journal.db", vfs=VFS_NAME)
            try:
                connection.execute("pragma locking_mode=exclusive").fetchall()
                return connection.execute(sql).fetchall()
            except apsw.Error:
                return []  # what is on the platter is not even a database yet
            finally:
                connection.close()

        self._auditor.printed(till, key, durable)

    # The centre's own work

    async def _apply(self) -> None:
        """Apply now and then, in pieces, sometimes not for hours."""
        housekeeping = self._plant.housekeeping(self._centre)
        draws = self._stream("apply")
        while not self._is_over:
            await sleep(60_000 if self._is_healed else draws.choice(_APPLY_PAUSES_MS))
            if self.kernel.now_ms < self._stalled_until_ms:
                continue
            if housekeeping is not None:
                await really(housekeeping())
            if self.kernel.now_ms >= self._tend_at_ms:
                self._tend_at_ms = self.kernel.now_ms + _HOUR_MS
                await really(self._centre.tend())
            await really(self._applier.apply_pending(draws.randint(1, 20)))

    async def _publish(self) -> None:
        self._bundle_version += 1
        bundle = make_bundle(self._draws, self._bundle_version)
        self._bundles.append(bundle)
        await self._centre.publish(bundle)
        self.chronicle.note(f"bundle {self._bundle_version} published")

    # What goes wrong, and what merely happens

    def _schedule_faults(self) -> None:
        faults, at = self._faults, self.kernel.at
        for _ in range(self._size.days):
            at(self._some_moment(), self._publish_soon)
        for customer in self._customers:
            if customer.is_late:
                at(self._some_moment(), partial(self._introduce, customer))
        for store in self._stores:
            for rate, what in (
                (faults.cuts_per_store_day, self._cut),
                (faults.lan_cuts_per_store_day, self._cut_lan),
            ):
                self._schedule(rate, partial(what, store))
        for till in self._tills.values():
            self._schedule_faults_of(till)
        self._schedule(faults.stalls_per_day, self._stall)
        self._schedule(faults.failovers_per_day, self._fail_over)
        for till_id in self._draws.sample(sorted(self._tills), faults.revoked_tills):
            if self._draws.random() < _REVOKED_SHARE:
                at(self._some_moment(), partial(self._revoke, till_id))

    def _schedule_faults_of(self, till: SimulatedTill) -> None:
        faults = self._faults
        for rate, what in (
            (faults.kills_per_till_day, self._kill),
            (faults.power_cuts_per_till_day, self._cut_power),
            (faults.spoiled_journals_per_till_day, self._spoil),
            (faults.restored_images_per_till_day, self._image),
            (faults.clock_jumps_per_till_day, self._jump),
            (faults.dead_disks_per_till_day, self._die),
        ):
            self._schedule(rate, partial(what, till))

    def _schedule(self, rate: float, what: Callable[[], None]) -> None:
        for at_ms in self._moments(rate):
            self.kernel.at(at_ms, what)

    def _some_moment(self) -> int:
        return self._draws.randrange(self._size.days * DAY_MS)

    def _moments(self, per_day: float) -> list[int]:
        draws, end_ms = self._draws, self._size.days * DAY_MS
        count = int(per_day * self._size.days + draws.random())
        return sorted(draws.randrange(end_ms) for _ in range(count))

    def _publish_soon(self) -> None:
        async def work() -> None:
            await really(self._publish())

        self.kernel.start(work(), "publish")

    def _introduce(self, customer: Customer) -> None:
        async def work() -> None:
            await really(self._centre.load([account_line(customer)]))

        self._introduced.add(customer.account_id)
        self.chronicle.note(f"account {customer.account_id} becomes known")
        self.kernel.start(work(), "load")

    def _cut(self, store: str) -> None:
        if store not in self._network.cut_stores:
            hours = self._draws.uniform(0.1, self._faults.cut_hours_max)
            self._network.cut_stores.add(store)
            self.chronicle.fault("line cut", f"{store} for {hours:.1f} h")
            self.kernel.at(
                self.kernel.now_ms + int(hours * _HOUR_MS),
                lambda: self._network.cut_stores.discard(store),
            )

    def _cut_lan(self, store: str) -> None:
        hours = self._draws.uniform(0.1, 8)
        self._lan.cut_stores.add(store)
        self.chronicle.fault("LAN cut", f"{store} for {hours:.1f} h")
        self.kernel.at(
            self.kernel.now_ms + int(hours * _HOUR_MS),
            lambda: self._lan.cut_stores.discard(store),
        )

    def _kill(self, till: SimulatedTill) -> None:
        if till.is_up:
            self.chronicle.fault("process killed", till.name)
            till.stop(lost_power=False)
            self.kernel.at(self.kernel.now_ms + self._draws.randint(5_000, 600_000), till.restart)

    def _cut_power(self, till: SimulatedTill) -> None:
        if not till.is_up:
            return
        if self._draws.random() < 0.6:
            till.disk.cut_power_after(self._draws.randint(1, 40))
            return
        self.chronicle.fault("power cut", till.name)
        till.stop(lost_power=True)
        self.kernel.at(self.kernel.now_ms + self._draws.randint(30_000, _HOUR_MS), till.restart)

    def _spoil(self, till: SimulatedTill) -> None:
        async def work() -> None:
            mine = await self._only_at(till)
            if till.is_up:
                till.stop(lost_power=False)
            self._paper.destroyed |= mine
            till.disk.spoil(till.journal_path)
            self.chronicle.fault("journal spoiled", f"{till.name}, {len(mine)} keys")
            self.kernel.at(self.kernel.now_ms + 60_000, till.restart)

        self.kernel.start(work(), "spoil")

    async def _only_at(self, till: SimulatedTill) -> set[str]:
        """Return the keys of which this till's journal has the only record."""
        ingested = await really(self._centre.pool.fetch(_INGESTED_KEYS))
        known = {row["key"] for row in ingested}
        return {
            key
            for key, name in (
                *self._paper.touched.items(),
                *((each.key, each.till) for each in self._paper.returns.values()),
            )
            if name == till.name and key not in known
        }

    def _image(self, till: SimulatedTill) -> None:
        """Make an image of the disk and bring it back later."""
        image = till.disk.image()
        if till.journal_path not in image:
            return
        held = self._read_image(image, till.name)
        if held is None:
            return
        later_ms = self._draws.choice((1, 6, 30)) * _HOUR_MS
        at_ms = self.kernel.now_ms + self._draws.randint(600_000, later_ms)
        self.kernel.at(at_ms, partial(self._restore, till, image, held))

    def _read_image(self, image: dict[str, bytes], name: str) -> "OldJournal | None":
        """Look into an image; none where it holds no journal."""
        self._vfs.disks["image"] = disk = Disk(self._stream("image"))
        disk.restore({path.replace(f"/{name}/", "/image/", 1): it for path, it in image.items()})
        connection = apsw.Connection("/image/journal.db", vfs=VFS_NAME)
        try:
            connection.execute("pragma locking_mode=exclusive").fetchall()
            ((points,),) = connection.execute(_RIGHTS_HELD).fetchall()
            keys = connection.execute("select subject from record").fetchall()
            streams: list[tuple[Any, ...]] = connection.execute(_NEWEST_STREAM).fetchall()
            return OldJournal(int(points), frozenset(str(key) for (key,) in keys), *streams[0])  # type: ignore[arg-type]
        except (apsw.Error, IndexError):
            return None  # a journal that was being made, or was spoiled
        finally:
            connection.close()

    def _restore(self, till: SimulatedTill, image: dict[str, bytes], old: "OldJournal") -> None:
        if self._is_healed:
            return

        async def work() -> None:
            lost = await self._only_at(till) - old.keys
            if till.is_up:
                till.stop(lost_power=False)
            self._paper.destroyed |= lost
            with_anchor = self._draws.random() < 0.5
            seen = await really(
                self._centre.pool.fetchval(
                    "select last_seq from till_stream where till_id = $1 and incarnation = $2",
                    till.identity.till_id, old.incarnation,
                )
            )  # fmt: skip
            anchor = f"/{till.name}/anchor"
            mark = DiskAnchor(till.disk, anchor).read()
            till.disk.restore(image, but="" if with_anchor else anchor)
            if mark and mark.incarnation == old.incarnation and not with_anchor:
                seen = max(seen or 0, mark.seq)
            till.newest_bundle = 0
            self._audited.restored[till.identity.till_id] += old.points
            self._audited.old_streams.add(old.incarnation)
            if (seen or 0) > old.seq:
                self._audited.overtaken.add(old.incarnation)
            told = "with its anchor" if with_anchor else "and not its anchor"
            self.chronicle.fault("image restored", f"{till.name} {told}, {len(lost)} keys lost")
            self.kernel.at(self.kernel.now_ms + 300_000, till.restart)

        self.kernel.start(work(), "restore")

    def _jump(self, till: SimulatedTill) -> None:
        till.clock.off_by_ms = self._draws.randint(-10 * _YEAR_MS, 10 * _YEAR_MS)
        self.chronicle.fault("clock jump", f"{till.name} {till.clock.off_by_ms // DAY_MS} days")
        if self._draws.random() < 0.5:
            self.kernel.at(
                self.kernel.now_ms + 12 * _HOUR_MS, lambda: setattr(till.clock, "off_by_ms", 0)
            )

    def _stall(self) -> None:
        hours = self._draws.uniform(0.5, 8)
        self.chronicle.fault("apply stalled", f"{hours:.1f} h")
        self._stalled_until_ms = self.kernel.now_ms + int(hours * _HOUR_MS)

    def _fail_over(self) -> None:
        """Have the centre go on with a copy that is minutes behind (design: sync 4.11, N17)."""

        async def work() -> None:
            copied_ms = self._centre.system.now_ms()
            given = {row["till_id"]: row["points"] for row in await self._budgets()}
            late = {each.account_id for each in self._customers if each.is_late}
            await really(self._database.copy())
            await sleep(self._draws.randint(60_000, 1_800_000))
            if self._is_healed:
                return
            for row in await self._budgets():
                more = row["points"] - given.get(row["till_id"], 0)
                self._audited.restored[row["till_id"]] += more
                self._audited.uncovered += more
            for row in await really(self._pool.fetch(_GIVEN_SINCE, copied_ms)):
                self._audited.restored[row["till_id"]] += row["points"]
                self._audited.uncovered += row["points"]
                self._audited.forgotten.add(row["grant_id"])
            await really(self._database.fail_over())
            # Publishing waits for the standby, as everything that gives rights does.
            newest = await really(self._pool.fetchval("select max(version) from bundle"))
            for bundle in self._bundles[newest:]:
                await really(self._centre.publish(bundle))
            self._audited.failed_over_ms = self.kernel.now_ms
            self._auditor.forget()
            self.chronicle.fault("failover", "to a copy that is behind")
            known = {row["account_id"] for row in await really(self._pool.fetch(_KNOWN))}
            for customer in self._customers:
                if customer.account_id in self._introduced & late - known:
                    await really(self._centre.load([account_line(customer)]))
            self._publish_soon()

        self.kernel.start(work(), "failover")

    async def _budgets(self) -> list[Any]:
        return list(await really(self._pool.fetch(_BUDGETS)))

    def _die(self, till: SimulatedTill) -> None:
        """Lose a machine for good; another takes its place in the store."""
        if self._is_healed or till.identity.till_id in self._audited.revoked:
            return

        async def work() -> None:
            lost = await self._only_at(till)
            if till.is_up:
                till.stop(lost_power=False)
            self._paper.destroyed |= lost
            self._audited.dead.add(till.identity.till_id)
            for register in self._registers:
                if register.till is till:
                    register.retire()
            self.chronicle.fault("disk dead", f"{till.name}, {len(lost)} keys")
            await really(self._centre.revoke(till.identity.till_id))
            self._audited.revoked.add(till.identity.till_id)
            slot = self._draws.randrange(1_000, 1_000_000)
            await really(self._add_till(till.store, slot))

        self.kernel.start(work(), "die")

    def _revoke(self, till_id: int) -> None:
        async def work() -> None:
            await really(self._centre.revoke(till_id))

        self._audited.revoked.add(till_id)
        self.chronicle.fault("till revoked", str(till_id))
        self.kernel.start(work(), "revoke")

    # Rest

    async def _come_to_rest(self) -> None:
        """Heal everything, let tills and centre talk for some rounds, and audit the rest."""
        self._network.faults = fault_rates.NONE
        self._network.cut_stores.clear()
        self._lan.faults = fault_rates.NONE
        self._lan.cut_stores.clear()
        self._stalled_until_ms = 0
        self._is_healed = True
        for register in self._registers:
            register.is_closing = True
        for till in self._tills.values():
            till.clock.off_by_ms = 0
            if till.number not in self._audited.dead:
                till.restart()
        rounds = 0
        violation = ViolationError("no round")
        while rounds < _SETTLE_ROUNDS_MAX:
            rounds += 1
            for till in self._tills.values():
                till.wake()
            await self.kernel.run(self.kernel.now_ms + _ROUND_MS)
            try:
                require(
                    all(each.is_done for each in self._registers), "a register still has receipts"
                )
                await self._auditor.audit_rest()
            except ViolationError as error:
                violation = error
            else:
                self.chronicle.figures["rounds to rest"] += rounds
                self.chronicle.sometimes["pool empty: write-off refused"] += self._centre.refused
                self._is_over = True
                return
        raise violation

"""One world under one seed: stores, tills, customers, a centre, faults, and the auditor."""

import random
from collections.abc import Iterator
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
from tests.simulation.aftermath import Aftermath
from tests.simulation.audited import World as AuditedWorld
from tests.simulation.auditor import Auditor
from tests.simulation.centre import SimulatedCentre
from tests.simulation.chronicle import Chronicle, ViolationError, require
from tests.simulation.copies import Copies
from tests.simulation.customers import Customer, account_line, make_customers
from tests.simulation.disk import VFS_NAME, SimulatedVfs
from tests.simulation.failover import FailOvers, HeldBack
from tests.simulation.faults import Faults, Size
from tests.simulation.images import Image, Images
from tests.simulation.kernel import DAY_MS, Kernel, really, sleep
from tests.simulation.known_signatures import signatures_known
from tests.simulation.lan import Lan
from tests.simulation.machines import Machines
from tests.simulation.mishaps import Mishaps
from tests.simulation.network import Network
from tests.simulation.offers import make_bundle
from tests.simulation.office import Office
from tests.simulation.paper import Paper
from tests.simulation.phones import Phones
from tests.simulation.plants import AsBuilt
from tests.simulation.registers import Register
from tests.simulation.shared_rules import rules_compiled_once
from tests.simulation.stage import HOUR_MS, Stage
from tests.simulation.tills import SimulatedTill

_SETTLE_ROUNDS_MAX = 6
_APPLY_PAUSES_MS = (500, 60_000, 600_000, 3_600_000)
_POOL_POINTS = 2_000
_POOR_POINTS = 90
_ROUND_MS = 60 * 60_000


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
            with rules_compiled_once(), signatures_known(), plant.planted():
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
        self._size = size
        self._plant = plant
        self._pool = pool
        # A pool to whoever asks it; fail-overs alone may throw it back.
        self._database: Any = pool
        self.kernel = Kernel()
        self.chronicle = Chronicle(self.kernel)
        self._draws = self._stream("world")
        self._bundles: list[Bundle] = []
        self._tend_at_ms = 0
        self._stage = self._build(faults)
        self._images = Images(self._stage)
        self._applier = plant.applier(self._stage.centre)
        self._stage.centre.after = plant.after_request(self._stage.centre)

    def _build(self, faults: Faults) -> Stage:
        kernel, chronicle, size = self.kernel, self.chronicle, self._size
        vfs = SimulatedVfs(self._stream("sqlite"), lambda: kernel.now_ms)
        centre = SimulatedCentre(self._pool, kernel, self._stream("centre"))
        paper = Paper()
        tills: dict[int, SimulatedTill] = {}
        stores = [f"store-{number}" for number in range(1, size.stores + 1)]
        customers = make_customers(self._stream("customers"), size.customers, stores)
        audited = AuditedWorld(
            pool=self._pool,
            tills=tills,
            paper=paper,
            chronicle=chronicle,
            opening={each.account_id: each.opening_points for each in customers},
        )
        self._phones = Phones(
            centre.courier,
            centre.joined.keys.card_key,
            chronicle=chronicle,
            draws=self._stream("phones"),
            answers_ms=faults.phones_ms,
        )
        return Stage(
            seed_stream=self._stream,
            kernel=kernel,
            chronicle=chronicle,
            draws=self._draws,
            faults=faults,
            size=size,
            centre=centre,
            network=Network(
                kernel, centre, faults=faults, chronicle=chronicle, draws=self._stream("network")
            ),
            lan=Lan(
                kernel,
                tills,
                faults=faults,
                chronicle=chronicle,
                draws=self._stream("lan"),
                copies=Copies(paper),
            ),
            vfs=vfs,
            paper=paper,
            customers=customers,
            audited=audited,
            auditor=Auditor(audited),
            tills=tills,
            stores=stores,
        )

    def _stream(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}/{name}")

    def close(self) -> None:
        """End what still waits and take the disks away."""
        self.kernel.forget()
        for till in self._stage.tills.values():
            if till.is_up:
                till.stop(lost_power=False)
        self._stage.vfs.unregister()
        assert VFS_NAME not in apsw.vfs_names()

    async def run(self) -> None:
        """Live through the days, heal, come to rest, and audit all the while.

        Raises:
            ViolationError: something must not have happened.
        """
        await self._found()
        end_ms = self._size.days * DAY_MS
        audit_ms = self._size.audit_hours * HOUR_MS
        while self.kernel.now_ms < end_ms:
            await self.kernel.run(min(end_ms, self.kernel.now_ms + audit_ms))
            await self._stage.auditor.audit()
        await self._come_to_rest()
        if self._seed % self._size.lived_on_of == 0:
            await Aftermath(self._stage).live_through()
        self._stage.is_over = True

    async def _found(self) -> None:
        stage = self._stage
        stores = [{"kind": "store", "store": store, "region": "north"} for store in stage.stores]
        await stage.centre.load(stores)
        # Now and then the merchant is poor: what nobody pays for is refused.
        await stage.centre.fund_pool(_POOL_POINTS if self._draws.random() < 0.8 else _POOR_POINTS)
        await self._publish()
        for number, store in enumerate(stage.stores):
            # Alone in its store, a till has no witness but the centre.
            tills = self._size.tills_per_store + number % 3 - 1
            for slot in range(max(1, tills)):
                await self._add_till(store, str(slot), is_vault=slot == 0)
        early = [account_line(each) for each in stage.customers if not each.is_late]
        await stage.centre.load(early)
        self.kernel.start(self._apply(), "apply")
        self._schedule()

    def _schedule(self) -> None:
        stage = self._stage
        for _ in range(self._size.days):
            self.kernel.at(stage.some_moment(), self._publish_soon)
        for customer in stage.customers:
            if customer.is_late:
                self.kernel.at(stage.some_moment(), partial(self._introduce, customer))
        Mishaps(stage).schedule()
        Office(stage).schedule()
        HeldBack(stage, database=self._database).schedule()
        self._images.schedule()
        FailOvers(
            stage, self._images, database=self._database, bring_rules=self._publish_again
        ).schedule()
        Machines(stage, self._images, replace=self._add_till, copy=self._copy).schedule()

    # Tills

    async def _add_till(self, store: str, slot: str, *, is_vault: bool = False) -> None:
        seed = self._draws.randbytes(32)
        answer = await self._stage.centre.enrol(
            store, slot, is_vault=is_vault, key=SigningKey(seed)
        )
        identity: Identity = identity_of(
            answer, centre_url="http://centre", key_seed=seed, pos_token="simulated"
        )
        self._stage.slots[identity.till_id] = slot
        if is_vault:
            self._stage.vaults.add(identity.till_id)
        self._open(identity, lanes=self._size.lanes_per_till)

    def _copy(self, till: SimulatedTill, image: Image) -> SimulatedTill:
        return self._open(till.identity, machine=1, image=image, lanes=1)

    def _open(
        self, identity: Identity, *, lanes: int, machine: int = 0, image: Image | None = None
    ) -> SimulatedTill:
        """Start a till's machine, with registers that call it."""
        name = f"{identity.till_id} {machine}" if machine else str(identity.till_id)
        stage = self._stage
        till = SimulatedTill(
            identity,
            machine=machine,
            kernel=self.kernel,
            network=stage.network,
            chronicle=self.chronicle,
            plant=self._plant,
            draws=self._stream(f"till {name}"),
            talk_ms=self._size.talk_minutes * 60_000,
            retry_share_max=self._size.retry_share_max,
        )
        till.lan = stage.lan
        stage.vfs.disks[till.name] = till.disk
        if image is not None:
            # Of the till's first machine.
            old = f"/till-{identity.till_id}/"
            files = {path.replace(old, f"/{till.name}/", 1): it for path, it in image.items()}
            till.disk.restore(files)
        stage.tills[till.machine_number] = till
        till.start()
        for lane in range(lanes):
            register = Register(
                till,
                stage.customers,
                kernel=self.kernel,
                paper=stage.paper,
                chronicle=self.chronicle,
                draws=self._stream(f"register {name} {lane}"),
                minutes_between=self._size.minutes_between_customers,
                phones=self._phones,
            )
            register.on_print = self._printed
            stage.registers.append(register)
            self.kernel.start(register.run(), f"{till.name} register {lane}")
        return till

    def _printed(self, till: SimulatedTill, key: str) -> None:
        def durable(sql: str) -> list[tuple[object, ...]]:
            if till.disk.is_all_durable(till.journal_path):
                return till.journal_rows(sql)
            self._stage.vfs.disks["platter"] = till.disk.copy_of_durable(till.name, "platter")
            connection = apsw.Connection("/platter/journal.db", vfs=VFS_NAME)
            try:
                connection.execute("pragma locking_mode=exclusive").fetchall()
                return connection.execute(sql).fetchall()
            except apsw.Error:
                return []  # what is on the platter is not even a database yet
            finally:
                connection.close()

        self._stage.auditor.printed(till, key, durable)

    # The centre's own work

    async def _apply(self) -> None:
        """Apply now and then, in pieces, sometimes not for hours."""
        housekeeping = self._plant.housekeeping(self._stage.centre)
        draws = self._stream("apply")
        while not self._stage.is_over:
            await sleep(self._apply_pause_ms(draws))
            if self.kernel.now_ms < self._stage.stalled_until_ms:
                continue
            if housekeeping is not None:
                await really(housekeeping())
            if self.kernel.now_ms >= self._tend_at_ms:
                hours = 1 if self._stage.is_healed else self._size.tend_hours
                self._tend_at_ms = self.kernel.now_ms + hours * HOUR_MS
                await really(self._stage.centre.tend())
            await really(self._stage.centre.apply(self._applier, draws.randint(1, 20)))

    def _apply_pause_ms(self, draws: random.Random) -> int:
        if self._stage.is_at_rest:
            return _ROUND_MS // 4
        return 60_000 if self._stage.is_healed else draws.choice(_APPLY_PAUSES_MS)

    async def _publish(self) -> None:
        bundle = make_bundle(self._draws, len(self._bundles) + 1)
        self._bundles.append(bundle)
        await self._stage.centre.publish(bundle)
        self.chronicle.note(f"bundle {bundle.version} published")

    async def _publish_again(self) -> None:
        newest = await self._pool.fetchval("select max(version) from bundle")
        for bundle in self._bundles[newest:]:
            await self._stage.centre.publish(bundle)
        await self._publish()

    def _publish_soon(self) -> None:
        async def work() -> None:
            await really(self._publish())

        self.kernel.start(work(), "publish")

    def _introduce(self, customer: Customer) -> None:
        async def work() -> None:
            await really(self._stage.centre.load([account_line(customer)]))

        self._stage.introduced.add(customer.account_id)
        self.chronicle.note(f"account {customer.account_id} becomes known")
        self.kernel.start(work(), "load")

    # Rest

    async def _come_to_rest(self) -> None:
        """Heal everything, let tills and centre talk for some rounds, and audit the rest."""
        self._heal()
        await self._database.let_all_go()
        await self._stage.expect_copies()
        stage, rounds = self._stage, 0
        violation = ViolationError("no round")
        while rounds < _SETTLE_ROUNDS_MAX:
            rounds += 1
            for till in stage.tills.values():
                till.wake()
            await self.kernel.run(self.kernel.now_ms + _ROUND_MS)
            try:
                require(
                    all(each.is_done for each in stage.registers), "a register still has receipts"
                )
                await stage.auditor.audit_rest()
            except ViolationError as error:
                violation = error
            else:
                self.chronicle.figures["rounds to rest"] += rounds
                self.chronicle.sometimes["pool empty: write-off refused"] += stage.centre.refused
                stage.is_at_rest = True
                return
        raise violation

    def _heal(self) -> None:
        stage = self._stage
        stage.network.faults = fault_rates.NONE
        stage.network.cut_stores.clear()
        stage.lan.faults = fault_rates.NONE
        stage.lan.cut_stores.clear()
        stage.stalled_until_ms = 0
        stage.is_healed = True
        for register in stage.registers:
            register.is_closing = True
        for till in stage.tills.values():
            till.clock.off_by_ms = 0
            till.disk.mend()
            if till.machine_number not in stage.audited.dead:
                till.is_lost = False
                till.restart()

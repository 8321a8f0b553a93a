"""A real till in a simulated machine, whose power, clock and process may fail at any moment."""

import random
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, TypeVar

import apsw

from agent.errors import JournalDamagedError, JournalUnavailableError
from agent.identity import Identity
from agent.journal.database import Database
from agent.journal.journal import Journal
from agent.neighbours.delivering import deliver
from agent.neighbours.desk import NeighbourDesk
from agent.neighbours.neighbourhood import Sibling
from agent.reference_data.cache import Cache, open_cache_database
from agent.till_service.allowances import send_idle_home, stock
from agent.till_service.courier import CourierService
from agent.till_service.returns import ReturnService
from agent.till_service.service import TillService
from agent.till_service.till import Till, TillSettings, join_till
from sync.cycle import PATH_AUTHORISE, Ask, Conversation, Fetch, converse, hear, report, tell
from sync.errors import LinkError, SyncError
from sync.messages import HelloAnswer, Message, PushAnswer
from sync.neighbours import AskSibling, SignedHead
from sync.points import PATH_POINTS
from sync.reporting import ReportAnswer
from sync.signing import NO_SESSION
from tests.simulation.chronicle import Chronicle, require
from tests.simulation.clocks import TillClock
from tests.simulation.disk import VFS_NAME, Disk, DiskAnchor
from tests.simulation.kernel import Kernel, Waiter, sleep
from tests.simulation.lan import Lan
from tests.simulation.network import Network
from tests.simulation.plants import AsBuilt

R = TypeVar("R")

Steps = Generator[Any, Any, R]

_RETRY_SHARE_MIN = 0.002
"""Of the time between talks: how soon at least a till tries again when the line is down."""
_LISTEN_SHARE = 0.5
"""Of the tills: those whose line lets a pull wait; after a talk they go on hearing."""
_LISTENS_MAX = 3
_START_AGAIN_MS = 60_000
"""After so long an agent that could not open its files is started again."""
_SIBLINGS_MS = 15_000
"""Between rounds with siblings while rules are waited for."""
_REQUEST_MS = 20_000
_ASK_MS = 150
_AUTHORISE_MS = 1_000
MACHINE = 1_000
"""More than a world has tills: what a second machine of a till has added to its number."""


class MachineOffError(Exception):
    """The agent's process is gone; whoever called it hears nothing."""


class DiskRefusesError(Exception):
    """The agent lives and could not write; who asked for it tries again."""


class SimulatedTill:
    """One till: its machine, and while the machine is up the agent in it.

    Attributes:
        life: rises with every end of the process.
        lives_of_cache: rises when the cache was lost.
        number: the till's; two machines of one till have the same.
        machine_number: its own.
        talk_ms: after so long it talks to the centre though nothing was sold.
        is_lost: it is somewhere else and does not start.
        newest_bundle: highest bundle version seen active in this life of the cache.
        greeted_ms: when it said its last HELLO.
        restarts_by_centre: new streams begun because the centre said so.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        kernel: Kernel,
        network: Network,
        chronicle: Chronicle,
        plant: AsBuilt,
        draws: random.Random,
        talk_ms: int,
        retry_share_max: float = 0.1,
        machine: int = 0,
    ) -> None:
        self.identity = identity
        self.talk_ms = talk_ms
        self._retry_shares = _RETRY_SHARE_MIN, retry_share_max
        self.name = f"till-{identity.till_id}" + (f"-{machine}" if machine else "")
        self.number = identity.till_id
        self.machine_number = identity.till_id + machine * MACHINE
        self.is_lost = False
        self.store = identity.place.store
        self.lan: Lan | None = None
        self.disk = Disk(random.Random(draws.random()))
        self.clock = TillClock(kernel, random.Random(draws.random()))
        self._kernel = kernel
        self._network = network
        self._chronicle = chronicle
        self._plant = plant
        self._draws = draws
        self.till: Till | None = None
        self.life = 0
        self.newest_bundle = 0
        self.greeted_ms = -1
        self._is_busy = False
        self._hello_at_ms = 0
        self._beat: tuple[object, bytes] = (None, b"")
        self._listens = draws.random() < _LISTEN_SHARE
        self._heard: dict[int, tuple[Sibling, bytes, SignedHead | None]] = {}
        self._wake = Waiter(kernel)
        self.journal_path = f"/{self.name}/journal.db"
        self._cache_path = f"/{self.name}/cache.db"

    # The process

    def start(self) -> None:
        """Start the agent, as its own `open_till` does; the power may go meanwhile."""
        self.clock.boot()
        try:
            self.till = self._guarded(self._open)
        except MachineOffError:
            return
        except DiskRefusesError:
            self._kernel.at(self._kernel.now_ms + _START_AGAIN_MS, self.restart)
            return
        self.receipts = TillService(self.till)
        self.returns = ReturnService(self.till)
        self.courier = CourierService(self.till)
        self._side = self._plant.till_side(self.till)
        self.till.neighbours.connected = self.lan is not None
        self._desk = NeighbourDesk(self.till)
        self._beat = (None, b"")
        self._heard.clear()
        self._is_busy = False
        self._hello_at_ms = 0
        self._chronicle.note(f"{self.name} up")
        self._kernel.start(self._link(self.life), f"{self.name} link")

    def _open(self) -> Till:
        opened: list[Database] = []
        try:
            return self._join(opened)
        except BaseException:
            # A process that ends so leaves its files as they are; nothing is written to them later.
            for database in opened:
                _leave(database)
            raise

    def _join(self, opened: list[Database]) -> Till:
        reason = "first start"
        now = self.clock.now_ms()
        try:
            journal = self._open_journal(opened)
        except JournalDamagedError:
            self.disk.set_aside(self.journal_path, f"{self.journal_path}.damaged-{now}")
            reason = "journal damaged"
            self._chronicle.note(f"{self.name} journal set aside")
            self._chronicle.sometimes["damaged journal set aside"] += 1
            journal = self._open_journal(opened)
        try:
            cache = self._open_cache(opened)
        except JournalDamagedError:
            self.disk.set_aside(self._cache_path, f"{self._cache_path}.damaged-{now}")
            self._chronicle.note(f"{self.name} cache set aside")
            self._chronicle.sometimes["damaged cache set aside"] += 1
            cache = self._open_cache(opened)
        return join_till(
            identity=self.identity,
            journal=journal,
            cache=cache,
            system=self.clock,
            settings=TillSettings(),
            start_reason=reason,
        )

    def _open_journal(self, opened: list[Database]) -> Journal:
        pragmas = self._plant.journal_pragmas
        if pragmas:
            opened.append(Database(self.journal_path, vfs=VFS_NAME, pragmas=pragmas))
        else:
            opened.append(Database(self.journal_path, vfs=VFS_NAME))
        anchor = DiskAnchor(self.disk, f"/{self.name}/anchor")
        return self._plant.journal(opened[-1], self.identity.till_id, anchor)

    def _open_cache(self, opened: list[Database]) -> Cache:
        opened.append(open_cache_database(self._cache_path, vfs=VFS_NAME))
        try:
            return Cache(opened[-1])
        except JournalDamagedError:
            _leave(opened.pop())
            raise

    @property
    def is_up(self) -> bool:
        """The agent's process runs."""
        return self.till is not None

    def stop(self, *, lost_power: bool) -> None:
        """End the process wherever it is; with the power goes what was not synced."""
        till, self.till = self.till, None
        self.life += 1
        self._wake.resolve(None)
        self.disk.is_off = True
        if till is not None:
            for close in (till.journal.close, till.cache.close):
                # No power: nothing more is written.
                with suppress(apsw.Error, JournalDamagedError, JournalUnavailableError):
                    close()
        self.disk.come_back(lost_power=lost_power)
        if lost_power:
            self.newest_bundle = 0
        self._chronicle.note(f"{self.name} down{', power lost' if lost_power else ''}")

    def _guarded(self, work: Callable[[], R]) -> R:
        """Run the agent's code.

        Raises:
            MachineOffError: the process did not outlive it.
            DiskRefusesError: the disk is full or read-only.
        """
        try:
            result: R | None = work()
        except JournalDamagedError:
            if not self.disk.is_off:
                self._chronicle.note(f"{self.name} found damage while it ran")
                self.stop(lost_power=False)
                self._kernel.at(self._kernel.now_ms + 30_000, self.restart)
                raise MachineOffError from None
            result = None
        except (JournalUnavailableError, apsw.Error) as error:
            if self.disk.refuses and isinstance(error, JournalUnavailableError):
                self._chronicle.sometimes[f"work refused by a {self.disk.refuses} disk"] += 1
                raise DiskRefusesError from error
            if not self.disk.is_off:
                raise
            result = None
        if self.disk.is_off:
            self._chronicle.fault("power cut while writing", self.name)
            self.stop(lost_power=True)
            self._kernel.at(self._kernel.now_ms + 60_000, self.restart)
            raise MachineOffError
        self._watch_bundle()
        return result  # type: ignore[return-value]

    def restart(self) -> None:
        """Start the agent unless it runs."""
        if self.till is None and not self.is_lost:
            before = self.life
            self.start()
            self._chronicle.sometimes["crash recovered"] += self.life == before

    def _watch_bundle(self) -> None:
        # Without rules a till only knows from its journal what it took last, as long as it has one.
        if self.till is not None and self.till.books.active.bundle_hash:
            version = self.till.books.active_version
            require(version >= self.newest_bundle, f"{self.name} went back to bundle {version}")
            self.newest_bundle = version

    # The register's calls

    async def call(self, start: Callable[[], Any]) -> Any:  # noqa: ANN401 - an answer of the call
        """Have the agent answer a call; None when it is down or ends before it has answered."""
        while self._is_busy and self.is_up:
            await sleep(20)
        if not self.is_up:
            return None
        life, self._is_busy = self.life, True
        try:
            self._hear_siblings()
            till = self.till
            if till is None or self.life != life:
                return None
            steps = self._guarded(start)
            if not isinstance(steps, Generator):
                return steps
            done, value = self._guarded(lambda: _advance(steps, None))
            while not done:
                reply = await self._ask_in_time(value)
                if self.life != life:
                    steps.close()
                    return None
                done, value = self._guarded(lambda: _advance(steps, reply))  # noqa: B023
            with suppress(DiskRefusesError):
                if self._guarded(self._has_to_tell) or self._network.has_rules_for(till):
                    self.wake()
            await self._wait_for_disk(life)
            return value
        except (MachineOffError, DiskRefusesError):
            return None
        finally:
            if self.life == life:
                self._is_busy = False

    async def _wait_for_disk(self, life: int) -> None:
        """Let the time pass that the disk took, with whatever happens meanwhile."""
        if waited_ms := self.disk.take_wait():
            await sleep(waited_ms)
            if self.life != life:
                raise MachineOffError

    def _has_to_tell(self) -> bool:
        assert self.till is not None
        head = self.till.journal.stream.head()
        return head.acked_seq < head.seq

    async def _ask_in_time(self, ask: Ask | AskSibling) -> Message | None:
        """What the agent's link worker and its bus do for a sale."""
        till, life = self.till, self.life
        assert till is not None
        if isinstance(ask, AskSibling):
            return await self.lan.ask(self, ask) if self.lan is not None else None
        if not till.link_up or till.session == NO_SESSION:
            return None
        ms_max = _AUTHORISE_MS if ask.path in (PATH_AUTHORISE, PATH_POINTS) else _ASK_MS
        try:
            return await self._network.ask(self.identity, ask, session=till.session, ms_max=ms_max)
        except SyncError as error:
            if self.life == life:
                if isinstance(error, LinkError):
                    till.link_up = False
                self._hello_at_ms = 0
                self.wake()
            return None

    # The link

    def wake(self) -> None:
        """Have the link talk to the centre soon."""
        self._wake.resolve("woken")

    async def _link(self, life: int) -> None:
        await sleep(self._draws.randint(100, 5_000))
        while self.life == life:
            try:
                await self._beside(life)
                await self._talk(life)
                await self._wait_for_rules(life)
                pause_ms = self.talk_ms
            except MachineOffError:
                return
            except (SyncError, DiskRefusesError):
                pause_ms = int(self.talk_ms * self._draws.uniform(*self._retry_shares))
            if self.life != life:
                return
            self._wake = Waiter(self._kernel)
            await self._wake.wait(pause_ms)
            await sleep(self._draws.randint(100, 60_000))

    async def _talk(self, life: int) -> None:
        till = self.till
        assert till is not None
        now_ms = self._kernel.now_ms
        is_over = till.session == NO_SESSION or till.quarantined
        greet = is_over or now_ms >= self._hello_at_ms
        try:
            self._guarded(lambda: send_idle_home(till))
            if greet or not self._listens:
                await self._drive(converse(self._side, greet=greet), life)
            if self._listens:
                await self._listen(life)
            await self._drive(report(self._side), life)
            await self._drive(stock(till), life)
            await self._drive(deliver(till), life)
        except SyncError as error:
            if self.life == life:
                self._hello_at_ms = 0
                if isinstance(error, LinkError):
                    till.link_up = False
            raise
        if greet:
            self.greeted_ms = now_ms
            self._hello_at_ms = now_ms + self.talk_ms * 2 // 3

    async def _wait_for_rules(self, life: int) -> None:
        """Ask siblings for rules while the agent's link leaves them to these; then talk again."""
        while self.life == life and self._side.waits_for_rules:
            await sleep(_SIBLINGS_MS)
            if self.life == life:
                await self._beside(life)
                if self._guarded(self._side.rules_wait_is_over):
                    self._chronicle.sometimes["rules waited for"] += 1
                    await self._talk(life)

    async def _listen(self, life: int) -> None:
        """Push, and pull in few bytes, as a till does that waits at the centre for news."""
        await self._drive(tell(self._side), life)
        self._side.brought_news = True
        for _ in range(_LISTENS_MAX):
            if not self._side.brought_news:
                return
            ask = self._guarded(lambda: self._side.listen(0))
            reply = await self._answer(ask)
            assert isinstance(reply, Message)
            if self.life != life:
                raise MachineOffError
            answer = self._guarded(lambda: self._side.listened(ask.message, reply))  # noqa: B023
            self._chronicle.sometimes["pull in few bytes"] += 1
            self._side.brought_news = False
            await self._drive(hear(self._side, answer), life)

    async def _drive(self, steps: Conversation, life: int) -> None:
        done, wish = self._guarded(lambda: _advance(steps, None))
        while not done:
            await self._wait_for_disk(life)
            error: SyncError | None = None
            reply: Message | bytes | None = None
            try:
                reply = await self._answer(wish)
            except SyncError as raised:
                error = raised
            if self.life != life:
                steps.close()
                raise MachineOffError
            if error is not None:
                thrown = error
                done, wish = self._guarded(lambda: _throw(steps, thrown))  # noqa: B023
            else:
                heard = reply
                assert self.till is not None
                self.till.link_up = True
                done, wish = self._guarded(lambda: _advance(steps, heard))  # noqa: B023

    async def _answer(self, wish: Ask | Fetch) -> Message | bytes:
        if isinstance(wish, Fetch):
            return await self._network.fetch(self.identity, wish, ms_max=_REQUEST_MS)
        assert self.till is not None
        answer = await self._network.ask(
            self.identity, wish, session=self.till.session, ms_max=_REQUEST_MS
        )
        if isinstance(answer, HelloAnswer) and answer.verdict != "ok":
            self._chronicle.sometimes[f"hello answered: {answer.verdict}"] += 1
        if isinstance(answer, ReportAnswer):
            self._chronicle.sometimes["rules reported between two HELLOs"] += 1
        if isinstance(answer, PushAnswer) and answer.verdict != "ack":
            self._chronicle.sometimes[f"push answered: {answer.verdict}"] += 1
        return answer

    # Siblings

    def _hear_siblings(self) -> None:
        if self.lan is not None:
            self.lan.hear(self)

    async def _beside(self, life: int) -> None:
        """Do what the agent does beside its sales: ask siblings what they know, leave copies."""
        self._hear_siblings()
        till = self.till
        if till is None or self.life != life:
            raise MachineOffError
        self._guarded(lambda: till.journal.prune(till.clock.now_ms()))
        self._guarded(till.journal.tidy)
        steps = self._desk.background()
        done, wish = self._guarded(lambda: _advance(steps, None))
        while not done:
            reply = await self._ask_in_time(wish)
            if self.life != life:
                steps.close()
                raise MachineOffError
            done, wish = self._guarded(lambda: _advance(steps, reply))  # noqa: B023

    def beat(self) -> bytes | None:
        """Return what the agent gossips now; None when it does not live."""
        try:
            return self._guarded(self._beat_now) if self.is_up else None
        except (MachineOffError, DiskRefusesError):
            return None

    def _beat_now(self) -> bytes:
        till = self.till
        assert till is not None
        about = (till.journal.edition(), till.link_up, till.books.active.bundle_hash)
        if self._beat[0] != about:  # else it would say the same
            self._beat = about, self._desk.heartbeat()
        return self._beat[1]

    def hear(self, sibling: "SimulatedTill", body: bytes) -> None:
        """Have the agent hear gossip; the same once more tells it only that the sibling lives."""
        till = self.till
        if till is None:
            return
        known, number = till.neighbours.siblings.get(sibling.number), sibling.number
        if known is not None:
            last = self._heard.get(number)
            if last and last[0] is known and last[1] is body and last[2] is known.head:
                till.neighbours.heard(number)
                return
        with suppress(MachineOffError, DiskRefusesError):
            self._guarded(lambda: self._desk.heard(number, body))
        if known is not None:
            self._heard[number] = known, body, known.head

    def asked_by(self, sibling: "SimulatedTill", body: bytes) -> bytes | None:
        """Have the agent answer a sibling."""
        if not self.is_up:
            return None
        try:
            answer = self._guarded(lambda: self._desk.asked(sibling.number, body))
        except (MachineOffError, DiskRefusesError):
            return None
        return None if self.disk.take_wait() else answer  # so late nobody waits for it

    # For the auditor

    def catch_up(self) -> bool:
        """Have a noted sale entered, as the agent does after an answer; says whether it lives."""
        if self.till is not None:
            try:
                self._guarded(self.till.journal.catch_up)
            except (MachineOffError, DiskRefusesError):
                return False
        return self.is_up

    def journal_rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return rows of the journal as the file has them; nothing is entered meanwhile."""
        assert self.till is not None
        connection = self.till.journal._database._connection  # noqa: SLF001 - the file itself
        return connection.execute(sql).fetchall()

    def cache_rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return rows of the cache."""
        assert self.till is not None
        return list(self.till.cache._database.rows(sql))  # noqa: SLF001 - as above


def _leave(database: Database) -> None:
    with suppress(apsw.Error):  # closed already, or without power
        database.leave()


def _advance(steps: Generator[Any, Any, R], reply: Any) -> tuple[bool, Any]:  # noqa: ANN401
    try:
        return False, steps.send(reply)
    except StopIteration as end:
        return True, end.value


def _throw(steps: Generator[Any, Any, R], error: Exception) -> tuple[bool, Any]:
    try:
        return False, steps.throw(error)
    except StopIteration as end:
        return True, end.value

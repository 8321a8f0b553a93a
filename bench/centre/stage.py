"""A centre to be measured: its own processes over a durable PostgreSQL, stores, tills, accounts."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import asyncpg

from bench.centre.wire import TillLine
from bench.demo.rig import RigError, tillside, wait_until
from bench.engine.timing import Said
from bench.till.shop import Shop
from central.database.embedded import EmbeddedServer, start_embedded
from central.database.migrations import migrate
from central.database.pool import Connection, Pool, open_pool
from central.keys import CentreKeys, load_keys, load_rule_key
from central.rules.publishing import publish
from central.system import System
from loyalty.basket import Place
from loyalty.compilation import Rules, compile_bundle
from loyalty.documents import encode as encode_document
from sync import cycle
from sync.chain import first_link, next_link
from sync.messages import Hello, Push, PushAnswer
from sync.records import OpenRecord, encode_record
from sync.signing import SigningKey, card_hash

STORES = 8
TILLS = 64
POINTS = 500
_ACCOUNTS_AT_ONCE = 100_000


@dataclass(slots=True)
class Till:
    """A till of the stage and its stream.

    Attributes:
        acked: the highest record the centre ever said it has; one that says less later has lost
            some, and must not be believed.
    """

    line: TillLine
    place: Place
    incarnation: bytes
    head: bytes
    seq: int = 0
    acked: int = 0
    bodies: list[bytes] = field(default_factory=list)

    def push_of(self, bodies: Sequence[bytes]) -> Push:
        """Append records to the stream; returns the push that hands them in."""
        push = Push(
            incarnation=self.incarnation,
            from_seq=self.seq + 1,
            previous_hash=self.head,
            records=tuple(bodies),
        )
        for body in bodies:
            self.head = next_link(self.head, body)
        self.seq += len(bodies)
        self.bodies += bodies
        return push

    def _link(self, seq: int) -> bytes:
        """Return the chain's link after so many records."""
        link = first_link(self.line.till_id, self.incarnation)
        for body in self.bodies[:seq]:
            link = next_link(link, body)
        return link

    async def greet(self) -> None:
        """Say HELLO.

        Raises:
            RigError: the centre takes the stream for another, or has other records of it.
        """
        hello = Hello(
            incarnation=self.incarnation, incarnation_number=1, seq=self.seq, head=self.head,
            acked_seq=0, acked_hash=first_link(self.line.till_id, self.incarnation), clock_ms=1,
            bundle="", software="bench", feed_epoch=1,
        )  # fmt: skip
        answer = await self.line.greet(hello)
        if answer.verdict != "ok":
            raise RigError(
                f"till {self.line.till_id} said HELLO at record {self.seq} and was answered"
                f" {answer.verdict!r}"
            )
        if answer.last_seq > self.seq or answer.last_hash != self._link(answer.last_seq):
            raise RigError(
                f"of till {self.line.till_id} the centre has {answer.last_seq} records, and not"
                " the ones it was handed"
            )

    async def push(self, bodies: Sequence[bytes]) -> PushAnswer:
        """Hand records in; they are durable at the centre on return.

        Raises:
            RigError: the centre did not take them.
        """
        answer = await self.line.ask(cycle.PATH_PUSH, self.push_of(bodies), PushAnswer)
        if answer.verdict != "ack":
            raise RigError(
                f"till {self.line.till_id} handed in records up to {self.seq} and was answered"
                f" {answer.verdict!r}: the centre has {answer.last_seq}"
            )
        self.acked = max(self.acked, answer.last_seq)
        return answer

    async def push_again(self) -> None:
        """Hand in what was not acknowledged, as a till does that comes back.

        Nothing that was: a centre that lost some of it answers that there is a gap, has taken
        nothing, and `lost_and_twice` counts what is missing.
        """
        waiting = tuple(self.bodies[self.acked :])
        if not waiting:
            return
        push = Push(
            incarnation=self.incarnation, from_seq=self.acked + 1,
            previous_hash=self._link(self.acked), records=waiting,
        )  # fmt: skip
        answer = await self.line.ask(cycle.PATH_PUSH, push, PushAnswer)
        self.acked = max(self.acked, answer.last_seq)


class Stage:
    """The centre, running or not."""

    def __init__(self, folder: Path, shop: Shop, *, processing: int = 1) -> None:
        self.folder = folder
        self.shop = shop
        self._each_role = {"processing": processing}
        self.keys: CentreKeys
        self.rules: Rules
        self.tills: list[Till] = []
        self._server: EmbeddedServer | None = None
        self._processes: dict[str, list[subprocess.Popen[bytes]]] = {}
        self.port = 0

    async def build(self, *, accounts: int) -> None:
        """Make the database: schema, stores, tills, accounts with a lot each, rules."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)
        system = System()
        self.keys = load_keys(self.folder, system)
        pool = await self.open()
        async with pool.acquire() as connection:
            await migrate(connection, now_ms=system.now_ms())
            await connection.execute(
                "update risk_pool set funded = funded + 1000000000, free = free + 1000000000"
            )
            for number in range(STORES):
                await connection.execute(
                    "insert into store (store_id) values ($1)", f"store-{number}"
                )
            await self._add_tills(connection)
            await self.add_accounts(connection, 1, accounts)
            document = json.dumps(encode_document(self.shop.bundle)).encode()
            rule_key = load_rule_key(self.folder / "keys" / "rules.key")
            published = await publish(connection, document, rule_key, system)
            await connection.execute("vacuum analyze")
        self.rules = compile_bundle(self.shop.bundle, published.manifest.bundle, indexes_kept=400)
        await pool.close()

    async def _add_tills(self, connection: Connection) -> None:
        for number in range(TILLS):
            key = SigningKey(hashlib.sha256(f"till {number}".encode()).digest())
            store = f"store-{number % STORES}"
            till_id = await connection.fetchval(
                "insert into till (store_id, slot, public_key, hardware, is_vault, enrolled_at_ms)"
                " values ($1, $2, $3, '', $4, 0) returning till_id",
                store, str(number), key.public, number < STORES,
            )  # fmt: skip
            incarnation = int(till_id).to_bytes(8, "big")
            line = TillLine(till_id, key, "127.0.0.1", 0)
            head = first_link(till_id, incarnation)
            place = Place(store=store, till=str(till_id))
            self.tills.append(Till(line, place, incarnation, head))

    async def add_accounts(
        self,
        connection: Connection,
        first: int,
        last: int,
    ) -> None:
        """Add accounts with a card and a lot each: some statements for a hundred thousand."""
        said = Said(f"loading accounts up to {last:,}")
        for begin in range(first, last + 1, _ACCOUNTS_AT_ONCE):
            said.step(begin - 1, last)
            ids = range(begin, min(last + 1, begin + _ACCOUNTS_AT_ONCE))
            await connection.execute(
                "insert into account (account_id, posted, home_store)"
                " select g, $3, 'store-' || (g % $4)"
                " from generate_series($1::bigint, $2::bigint) g",
                ids[0], ids[-1], POINTS, STORES,
            )  # fmt: skip
            await connection.execute(
                "insert into lot (account_id, name, active_from, issued, available) select g,"
                " 'opening', '2020-01-01', $3, $3 from generate_series($1::bigint, $2::bigint) g",
                ids[0], ids[-1], POINTS,
            )  # fmt: skip
            await connection.execute(
                "insert into ledger_entry (account_id, kind, subject, at_ms) select g, 'earn',"
                " 'opening ' || g, 0 from generate_series($1::bigint, $2::bigint) g",
                ids[0], ids[-1],
            )  # fmt: skip
            await connection.execute(
                "insert into ledger_posting (account_id, entry_id, leg, ledger_account, lot_id,"
                " points) select l.account_id, e.entry_id, p.leg, p.kind,"
                " case p.leg when 1 then l.lot_id else 0 end, p.points"
                " from lot l join ledger_entry e using (account_id)"
                " cross join (values (1, 'member', $3::bigint), (2, 'issued', -$3::bigint))"
                " p (leg, kind, points) where l.account_id between $1 and $2",
                ids[0], ids[-1], POINTS,
            )  # fmt: skip
            await connection.execute(
                "insert into card (card, account_id)"
                " select * from unnest($1::bytea[], $2::bigint[])",
                [self.card(each) for each in ids], list(ids),
            )  # fmt: skip

    def card(self, account_id: int) -> bytes:
        """Return the keyed hash of an account's card."""
        return card_hash(self.keys.card_key, str(account_id))

    # Processes

    async def open(self) -> Pool:
        """Open the database, started if it does not run."""
        if self._server is None:
            self._server = await asyncio.to_thread(start_embedded, self.folder / "postgres")
        return await open_pool(self._server.dsn, connections_max=4)

    @asynccontextmanager
    async def unbounded(self) -> AsyncIterator[Connection]:
        """Give a connection whose statements may take as long as they like."""
        assert self._server is not None, "the database does not run"
        # As the product's pools: `jit` off and UTC.
        connection = await asyncpg.connect(
            self._server.dsn, server_settings={"timezone": "UTC", "jit": "off"}
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def analyze(self) -> None:
        """Let PostgreSQL look at its tables, as it does by itself after a minute or two.

        Plans of statements made while tables were empty read them whole until then.
        """
        async with self.unbounded() as connection:
            await connection.execute("analyze")

    async def dsn_of(self, database: str) -> str:
        """Make another database of the same server; returns its address."""
        async with self.unbounded() as connection:
            await connection.execute(f"create database {database}")
        assert self._server is not None, "the database does not run"
        return self._server.dsn.replace("/postgres?", f"/{database}?")

    def start(self, *roles: str) -> None:
        """Start parts of the centre; the front answers on return."""
        address = self.folder / "address"
        for role in roles:
            command = tillside(
                "central", "serve", "--data", self.folder, "--port", 0, "--role", role
            )
            if role != "processing":
                address.unlink(missing_ok=True)
            with (self.folder / f"{role}.log").open("ab") as log:
                # Each till here stands for hundreds: what bounds one would bound them all.
                unbounded = {**os.environ, "TILLSIDE_CENTRAL_TILL_REQUESTS_PER_S": "0"}
                self._processes[role] = [
                    subprocess.Popen(
                        command, stdout=log, stderr=log, start_new_session=True, env=unbounded
                    )
                    for _ in range(self._each_role.get(role, 1))
                ]
        for role in roles:
            if role != "processing":
                (process,) = self._processes[role]
                wait_until(address.exists, f"no {role}; see its log", process)
                self.port = int(address.read_text().strip().rstrip("/").rpartition(":")[2])
        for till in self.tills:
            till.line.close()
            till.line._address = ("127.0.0.1", self.port)  # noqa: SLF001 - of this bench

    def stop(self, *roles: str) -> None:
        """Stop parts, or all."""
        ending = [self._processes.pop(role) for role in roles or tuple(self._processes)]
        for process in chain(*ending):
            process.terminate()
        for process in chain(*ending):
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()

    def kill_everything(self) -> None:
        """Kill -9 the parts of the centre and PostgreSQL, all at once."""
        pid = int((self.folder / "postgres" / "postgres" / "postmaster.pid").read_text().split()[0])
        for process in chain(*self._processes.values()):
            process.kill()
        os.kill(pid, signal.SIGKILL)
        for process in chain(*self._processes.values()):
            process.wait()
        self._processes = {}
        if self._server is not None:
            with suppress(Exception):
                self._server.stop()
            self._server = None
        while _is_alive(pid):
            time.sleep(0.01)

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds each part has used so far; PostgreSQL with all its processes."""
        found = {
            role: sum(_cpu_s(process.pid) for process in processes)
            for role, processes in self._processes.items()
        }
        pid = int((self.folder / "postgres" / "postgres" / "postmaster.pid").read_text().split()[0])
        others = (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())
        found["postgres"] = sum(_cpu_s(each, of=pid) for each in others)
        return found | {"load generator": time.process_time()}

    async def greet_all(self) -> None:
        """Let every till say HELLO and open its stream."""
        for till in self.tills:
            await till.greet()
            if not till.seq:
                opening = OpenRecord(at_ms=1, incarnation_number=1, reason="first start")
                await till.push([encode_record(opening)])
            else:
                await till.push_again()

    async def applied(self, pool: Pool, *, timeout_s: float = 600.0) -> float:
        """Wait until everything kept is applied; returns the seconds."""
        began_s = time.perf_counter()
        while await pool.fetchval(
            "select exists(select from inbox where not applied and parked_for is null)"
        ):
            if time.perf_counter() - began_s > timeout_s:
                raise RigError("the records are not applied")
            await asyncio.sleep(0.02)
        return time.perf_counter() - began_s

    async def end(self) -> None:
        """Stop everything."""
        self.stop()
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)
            self._server = None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def _cpu_s(pid: int, *, of: int = 0) -> float:
    """Return a process's CPU seconds; with `of`, only if it is that process or a child of it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    if of and pid != of and int(fields[1]) != of:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

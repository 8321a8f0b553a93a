"""The canonical day of one till, once, over a disk that writes down every operation.

Everything a till does in a day happens in it: the first start, rules and rights arrive, sales with
and without points, from grants, from the risk budget, by authorisation and from a sibling; points
given to a sibling, reservations, a cancelled receipt, a return, a recall, new rules, a line that is
cut and comes back, the log moved into the file, a comparison. What the till answered, and what its
journal held after every transaction, is kept with the number of the operation it came after.
"""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from agent.errors import JournalDamagedError
from agent.journal.database import _PRAGMAS, Database
from agent.journal.journal import Journal
from agent.reference_data.cache import Cache, open_cache_database
from agent.till_service.messages import ReceiptAnswer, ReturnAnswer
from agent.till_service.till import Till, TillSettings, join_till
from bench.crash.disks import Operation
from sync.records import Record, decode_record
from tests.simulation.disk import VFS_NAME, Disk, DiskAnchor
from tests.support.store_lan import VAULT, StoreLan, StoreTill, seed_of
from tests.support.till import IDENTITY, FakeCentre, SetSystem

TILL = "till"
JOURNAL_PATH = f"/{TILL}/journal.db"
CACHE_PATH = f"/{TILL}/cache.db"
ANCHOR_PATH = f"/{TILL}/anchor"
TILL_IDENTITY: Final = msgspec.structs.replace(IDENTITY, till_id=VAULT, key_seed=seed_of(VAULT))
_LOG_PAGES = 24
"""A log this small is moved into the file, and begun anew, many times a day."""
SMALL_LOG: Final = (*_PRAGMAS[:-1], f"pragma wal_autocheckpoint={_LOG_PAGES}")

Answer = ReceiptAnswer | ReturnAnswer


@dataclass(frozen=True, slots=True)
class AsBuilt:
    """How the till keeps its journal; planted bugs do it otherwise.

    Attributes:
        pragmas: of the journal's file.
        journal: makes the journal.
    """

    name: str = "as built"
    pragmas: tuple[str, ...] = SMALL_LOG
    journal: type[Journal] = Journal


@dataclass(frozen=True, slots=True)
class Answered:
    """A call of the register, or of the link, and its answer.

    Attributes:
        begun, done: operations the disk had counted before and after; equal where none was needed.
        states: how many transactions the journal had committed when the answer was given.
        key: of the receipt or return; empty for others.
        again: makes the very same call at a till; none where a repeat is another call.
    """

    name: str
    begun: int
    done: int
    states: int
    key: str = ""
    answer: Answer | None = None
    again: Callable[[StoreTill], Answer] | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What the journal held after a transaction.

    Attributes:
        digest: of all rows of all tables.
        seq: of the newest record.
        held: points by right, with what receipts have reserved of it.
        risk_left: of the risk budget, reserved counted as left.
    """

    digest: bytes
    seq: int
    held: dict[str, int]
    risk_left: int


@dataclass(slots=True)
class Day:
    """What is known of the day after it.

    Attributes:
        centres: the modelled centre after each of its answers, by operations counted then.
        joined_at: operations until the till had started for the first time.
    """

    operations: int = 0
    joined_at: int = 0
    incarnation: bytes = b""
    log: list[Operation] = field(default_factory=list)
    answers: list[Answered] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    centres: list[tuple[int, FakeCentre]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def records(self, count: int) -> list[Record]:
        """Return the first records of the day."""
        return [decode_record(body) for body in self.bodies[:count]]


def state_of(till: Till) -> State:
    """Read a journal whole."""
    database: Database = till.journal._database  # noqa: SLF001 - the file itself, all of it
    digest = hashlib.sha256()
    tables = database.rows("select name from sqlite_schema where type = 'table' order by name")
    for name in (str(row[0]) for row in tables):
        rows = sorted(map(repr, database.rows(f'select * from "{name}"')))
        digest.update(f"{name} {rows}".encode())
    held = {
        str(right): points
        for right, points in database.rows(
            "select grant_id, points_left + coalesce((select sum(r.points) from reservation r"
            " where r.grant_id = h.grant_id), 0) from held_right h where purpose = 'grant'"
        )
        if isinstance(points, int)
    }
    risk = database.row(
        "select points_total - points_spent + coalesce((select sum(points) from reservation"
        " where grant_id = ''), 0) from risk_budget"
    )
    assert risk is not None
    assert isinstance(risk[0], int)
    return State(digest.digest(), till.journal.stream.head().seq, held, risk[0])


def open_till(disk: Disk, system: SetSystem, built: AsBuilt) -> tuple[Till, str]:
    """Start the agent's core over a disk as `agent.bootstrap.open_till` does over files.

    Returns:
        The till, and which files were damaged and set aside.
    """
    aside = ""
    with ExitStack() as leaving:
        try:
            journal = _journal(disk, built, leaving)
        except JournalDamagedError:
            disk.set_aside(JOURNAL_PATH, f"{JOURNAL_PATH}.damaged")
            aside = "journal"
            journal = _journal(disk, built, leaving)
        try:
            cache = Cache(_left(open_cache_database(CACHE_PATH, vfs=VFS_NAME), leaving))
        except JournalDamagedError:
            disk.set_aside(CACHE_PATH, f"{CACHE_PATH}.damaged")
            aside = f"{aside} cache".strip()
            cache = Cache(_left(open_cache_database(CACHE_PATH, vfs=VFS_NAME), leaving))
        till = join_till(
            identity=TILL_IDENTITY,
            journal=journal,
            cache=cache,
            system=system,
            settings=TillSettings(),
        )
        leaving.pop_all()
    return till, aside


def _journal(disk: Disk, built: AsBuilt, leaving: ExitStack) -> Journal:
    database = _left(Database(JOURNAL_PATH, vfs=VFS_NAME, pragmas=built.pragmas), leaving)
    return built.journal(database, TILL_IDENTITY.till_id, DiskAnchor(disk, ANCHOR_PATH))


def _left(database: Database, leaving: ExitStack) -> Database:
    """Have a file closed without a word if the power goes before the till stands."""
    leaving.callback(database.leave)
    return database


def joined(till: Till, folder: Path, lan: StoreLan, centre: FakeCentre) -> StoreTill:
    """Return a till with its services, its sibling and its centre."""
    return StoreTill(
        folder, lan=lan, centre=centre, system=till.system, identity=till.identity, till=till
    )


class LaterSystem(SetSystem):
    """The clock of the machine after its start; what it draws was never drawn before."""

    def __init__(self, now_ms: int) -> None:
        super().__init__(now_ms)
        self.boot = 2

    def random_bytes(self, count: int) -> bytes:
        """Return bytes of another sequence."""
        return hashlib.sha256(b"later" + super().random_bytes(32)).digest()[:count]

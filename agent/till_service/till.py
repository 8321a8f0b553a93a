"""The parts one till is made of, joined; whoever holds a `Till` is on its only thread."""

from dataclasses import dataclass, field

from agent.errors import JournalDamagedError
from agent.identity import Identity
from agent.journal.journal import Journal
from agent.journal.rule_trust import Trust
from agent.neighbours.neighbourhood import Neighbourhood
from agent.reference_data.cache import Cache
from agent.reference_data.rule_books import RuleBooks
from agent.reference_data.self_test import SAMPLES
from agent.system import System
from agent.till_service.allowance_memory import AllowanceMemory
from agent.trusted_clock import TrustedClock
from sync.chain import INCARNATION_BYTES
from sync.errors import MalformedMessageError
from sync.records import CalculationInputs, SaleRecord, decode_record
from sync.signing import NO_SESSION, card_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class TillSettings:
    """What an installation may choose.

    Attributes:
        risk_points_per_receipt_max: the most points one receipt may take from the risk budget.
        language: of texts for people, `en` or `ru`.
    """

    risk_points_per_receipt_max: int = 30
    language: str = "en"


@dataclass(slots=True, kw_only=True)
class Till:
    """One till.

    Attributes:
        session: the live session with the centre; all zero when there is none.
        link_up: whether the last thing tried over the link worked; makes knowledge fresher,
            decides nothing.
        neighbours: the other tills of the store.
        bus_address: where this till listens to them; empty for nowhere.
        takes_lines: the centre takes and tells in few bytes (`sync.lines`, `sync.listening`).
        takes_moulds: it reads records in moulds, and authorises in few bytes (`sync.points`).
        revoked: the centre no longer knows this till's key; it goes on selling and recording.
        quarantined: another machine runs as this till; it goes on selling, and gets no rights.
        allowances: what open receipts were shown of what is limited over all customers.
    """

    identity: Identity
    journal: Journal
    cache: Cache
    books: RuleBooks
    system: System
    clock: TrustedClock
    neighbours: Neighbourhood
    bus_address: str = ""
    settings: TillSettings = field(default_factory=TillSettings)
    session: bytes = NO_SESSION
    link_up: bool = False
    takes_lines: bool = False
    takes_moulds: bool = False
    revoked: bool = False
    quarantined: bool = False
    allowances: AllowanceMemory = field(default_factory=AllowanceMemory)

    def card_hash(self, card: str) -> bytes:
        """Return the keyed hash that stands for a card; empty for no card."""
        return card_hash(self.identity.card_key, card) if card.strip() else b""

    @property
    def gets_rights(self) -> bool:
        """Whether the centre, or a sibling, gives rights to this till."""
        return not self.revoked and not self.quarantined

    def start_incarnation(self, reason: str, *, number_min: int = 1) -> None:
        """Begin a new stream in one transaction: rights are void, unacknowledged facts repeat."""
        with self.journal.transaction():
            self.journal.rights.void_all()
            self.journal.counter_rights.void_all()
            incarnation = self.system.random_bytes(INCARNATION_BYTES)
            self.journal.stream.start(
                incarnation,
                number_min=number_min,
                reason=reason,
                at_ms=self.clock.now_ms(),
            )
            self.journal.own_counts.follow_repeated(incarnation)
        self.neighbours.requests.close_all()


def join_till(
    *,
    identity: Identity,
    journal: Journal,
    cache: Cache,
    system: System,
    settings: TillSettings,
    start_reason: str = "first start",
) -> Till:
    """Join the parts; opens the first stream of a new journal.

    Args:
        start_reason: why a journal without a stream begins,
            e.g. because a damaged one was set aside.
    """
    clock = TrustedClock(system)
    clock.recall(journal.told_times.last(), _written_ms(journal))
    till = Till(
        identity=identity,
        journal=journal,
        cache=cache,
        books=RuleBooks(
            cache,
            identity.rule_keys,
            keeper=_Keeper(journal),
            clocks=_Clocks(clock, system),
            root=identity.root.encode(),
            samples=lambda: _recent_sales(journal),
        ),
        system=system,
        clock=clock,
        neighbours=Neighbourhood(identity.till_id, system),
        settings=settings,
    )
    till.neighbours.use_roster(journal.roster.read())
    number_min = journal.numbers_used() + 1
    if not journal.stream.is_open():
        # If this journal follows one that is lost,
        # the centre answers the first HELLO with the number to go on from.
        till.start_incarnation(start_reason, number_min=number_min)
    elif reason := journal.doubt():
        # A new stream holds no rights: the till sells and collects until the centre vouches for it.
        till.start_incarnation(reason, number_min=number_min)
    else:
        journal.drop_anchor()
    return till


@dataclass(frozen=True, slots=True)
class _Keeper:
    """Keeps what is trusted about rules in the journal."""

    journal: Journal

    def read(self) -> Trust:
        return self.journal.rule_trust.read()

    def write(self, trust: Trust) -> None:
        with self.journal.transaction():
            self.journal.rule_trust.write(trust)


@dataclass(frozen=True, slots=True)
class _Clocks:
    """Trusted time and the machine's clock for how long work takes."""

    clock: TrustedClock
    system: System

    def now_ms(self) -> int:
        return self.clock.now_ms()

    def awake_ms(self) -> int:
        return self.system.awake_ms()


def _recent_sales(journal: Journal) -> tuple[CalculationInputs, ...]:
    """Return the last receipts of this stream, to try new rules on."""
    last_seq = journal.stream.head().seq
    bodies = journal.stream.bodies_after(max(0, last_seq - 2 * SAMPLES), 2 * SAMPLES)
    records = (decode_record(body) for body in bodies)
    sales = [each.inputs for each in records if isinstance(each, SaleRecord)]
    return tuple(sales[-SAMPLES:])


def _written_ms(journal: Journal) -> int:
    """Return the time of the newest record since the centre told the time; 0 for none."""
    try:
        newest = journal.told_times.record_since()
        return decode_record(newest).at_ms if newest else 0
    except (JournalDamagedError, MalformedMessageError):
        return 0  # whether the journal is sound is not judged here

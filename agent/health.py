"""One snapshot of the till for status, the register and the centre."""

import asyncio

import msgspec

from agent.link.worker import LinkWorker
from agent.store_bus.port import BusStatus, StoreBus
from agent.till_service.till import Till


class SiblingsReport(msgspec.Struct, frozen=True, kw_only=True):
    """State of a till among the tills of its store.

    Attributes:
        alive: heard in the last seconds.
        with_line: of them, those the centre answers.
        unwitnessed: offline redemptions since the start that no sibling had a copy of when they
            were printed.
        records_without_copy: records neither the centre nor a sibling has, as far as is known.
        copies_bytes: kept for siblings.
    """

    alive: tuple[int, ...] = ()
    with_line: tuple[int, ...] = ()
    unwitnessed: int = 0
    records_without_copy: int = 0
    copies_bytes: int = 0


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """State of a till.

    Attributes:
        quarantined: another machine runs as this till; it gets no rights until somebody has looked.
        last_contact_ms: trusted time of the last answer of the centre;
            None if there was none since the start.
        conversations: conversations with the centre brought to their end since the start.
        records_waiting: records the centre has not acknowledged.
        bundle: hash of the active rule bundle; empty while there is none.
        clock: `suspect` when this machine's clock is plainly wrong, else `good`.
        clock_ms: trusted time.
        clock_uncertainty_s: how far the register's time may be off.
        courier_asks_open: asks for which a customer's telephone may still bring points.
        rules_age: `fresh`; `old` when the centre has not said for three days which rules are this
            till's; `expired` after two weeks: base rules alone count.
        rules_waiting: hash of the bundle that waits for its moment.
        rules_refused: hash of the bundle that failed the self-test last, and why.
        rules_not_fetched: hash of the announced bundle that could not be fetched last, and why.
    """

    till_id: int
    store: str
    link: str
    revoked: bool
    last_contact_ms: int | None
    last_link_error: str
    conversations: int
    incarnation: str
    incarnation_number: int
    last_seq: int
    records_waiting: int
    receipts: dict[str, int]
    bundle: str
    bundle_version: int
    offers: int
    accounts_cached: int
    clock: str
    clock_ms: int
    clock_uncertainty_s: int
    courier_asks_open: int
    rights_points: int
    risk_points_left: int
    bus: BusStatus = BusStatus(state="off")
    siblings: SiblingsReport = SiblingsReport()
    rules_age: str = "fresh"
    rules_waiting: str = ""
    rules_refused: str = ""
    rules_not_fetched: str = ""
    quarantined: bool = False


class Health:
    """Makes the report; call it on the till's thread.

    Attributes:
        journal_damaged: set when the journal failed for good; the service then ends, to start anew.
    """

    def __init__(self, till: Till, link: LinkWorker, bus: StoreBus) -> None:
        self._till = till
        self._link = link
        self._bus = bus
        self.journal_damaged = asyncio.Event()

    def report(self) -> HealthReport:
        """Return the state now."""
        till = self._till
        head = till.journal.stream.head()
        rules = till.books.now()
        return HealthReport(
            till_id=till.identity.till_id,
            store=till.identity.place.store,
            link="up" if till.link_up else "down",
            revoked=till.revoked,
            last_contact_ms=self._link.last_contact_ms,
            last_link_error=self._link.last_error,
            conversations=self._link.conversations,
            incarnation=head.incarnation.hex(),
            incarnation_number=head.incarnation_number,
            last_seq=head.seq,
            records_waiting=head.seq - head.acked_seq,
            receipts=till.journal.receipts.state_counts(),
            bundle=till.books.active.bundle_hash,
            bundle_version=till.books.active_version,
            offers=len(till.books.active.bundle.offers),
            accounts_cached=till.cache.account_count(),
            clock=till.clock.quality(),
            clock_ms=till.clock.now_ms(),
            clock_uncertainty_s=till.clock.uncertainty_s(),
            courier_asks_open=len(till.journal.courier.open_nonces()),
            rights_points=till.journal.rights.points_held(),
            risk_points_left=till.journal.rights.risk_points_left(),
            bus=self._bus.status(),
            siblings=self._siblings(),
            rules_age=till.books.age_state(),
            rules_waiting=rules.waiting,
            rules_refused=f"{rules.refused} {rules.why}".strip(),
            rules_not_fetched=self._link.rules_not_fetched,
            quarantined=till.quarantined,
        )

    def _siblings(self) -> SiblingsReport:
        neighbours, head = self._till.neighbours, self._till.journal.stream.head()
        copied = max(head.acked_seq, neighbours.witnessed(head.incarnation))
        return SiblingsReport(
            alive=tuple(sorted(neighbours.alive())),
            with_line=tuple(sorted(neighbours.with_line())),
            unwitnessed=neighbours.unwitnessed,
            records_without_copy=head.seq - copied,
            copies_bytes=self._till.journal.witness.size_bytes(),
        )

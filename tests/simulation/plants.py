"""Planted bugs: the simulation must find each; the product knows nothing of these switches."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from unittest.mock import patch

from agent.journal.anchor import Anchor
from agent.journal.database import Database
from agent.journal.journal import Journal
from agent.journal.own_counts import OwnCountRows, OwnCounts
from agent.journal.rights import Rights
from agent.link.till_side import JournalTillSide
from agent.till_service.till import Till
from central.ledger.books import lock_account
from central.rights import grants
from central.streams.apply import Applier
from central.streams.batch import Batch
from central.streams.items import Item
from central.streams.stored import Decision
from loyalty.account import LotPart
from sync.cycle import PATH_HELLO
from sync.messages import Applied, Grant, HelloAnswer, Push, PushAnswer
from sync.records import GrantInRecord, LotTaken, VoidRecord
from sync.signing import HEADER_TILL
from tests.simulation.as_built import SOFTWARE, AsBuilt, Instead
from tests.simulation.centre import Request, Response, SimulatedCentre
from tests.simulation.faults import SOUND_DISKS, USUAL, Size
from tests.simulation.plants_of_homecoming import PLANTS_OF_HOMECOMING
from tests.simulation.plants_of_rights import MANY_SALES, ONLINE, PLANTS_OF_RIGHTS
from tests.simulation.plants_of_streams import PLANTS_OF_STREAMS

__all__ = ["PLANTS", "AsBuilt"]


_TWO_STORES = Size(stores=2, days=1)


class _ForgetfulSide(JournalTillSide):
    """Takes a grant as often as it comes."""

    def _receive(self, grant: Grant) -> None:
        till = self._till
        if grant.session == till.session:
            held = Rights(till.journal.rights._database)  # noqa: SLF001 - a bug knows no manners
            held.give_up(grant.grant_id)
            sql = "delete from held_right where grant_id = ?"
            held._database.run(sql, grant.grant_id)  # noqa: SLF001
            held.receive(grant)
            record = GrantInRecord(at_ms=till.clock.now_ms(), grant_id=grant.grant_id)
            till.journal.stream.append(record)


class GrantTakenAgain(AsBuilt):
    """A grant delivered twice is worth its points twice (design: sync N4)."""

    name = "a grant that comes twice is taken twice"
    faults = replace(USUAL, late_repeats=300)
    first_seed = 6

    def till_side(self, till: Till) -> JournalTillSide:
        """Return a side without the check for grants it has."""
        return _ForgetfulSide(till, software=SOFTWARE)


class NotSynced(AsBuilt):
    """The journal trusts the machine's cache (design: sync 0.10)."""

    name = "the journal is committed without a sync"
    journal_pragmas = (
        "pragma locking_mode=exclusive",
        "pragma journal_mode=wal",
        "pragma synchronous=normal",
        "pragma foreign_keys=on",
    )


class _TrustingSide(JournalTillSide):
    """Counts as acknowledged what was sent, and never looks back."""

    def next_push(self) -> Push | None:
        push = super().next_push()
        stream = self._till.journal.stream
        if push is not None:
            seq = push.from_seq + len(push.records) - 1
            with self._till.journal.transaction():
                stream.move_acked(seq, durable_seq=seq)
        return push

    def hello_answered(self, answer: HelloAnswer) -> None:
        acked = self._till.journal.stream.head()
        super().hello_answered(answer)
        now = self._till.journal.stream.head()
        if now.incarnation == acked.incarnation and now.acked_seq < acked.acked_seq:
            with self._till.journal.transaction():
                self._till.journal.stream.move_acked(acked.acked_seq, durable_seq=acked.acked_seq)

    def push_answered(self, push: Push, answer: PushAnswer) -> None:
        if answer.verdict == "fork":
            super().push_answered(push, answer)


class AckedWhenSent(AsBuilt):
    """The acknowledged pointer moves when a batch is sent, and never back."""

    name = "records count as acknowledged when they are sent"
    size = _TWO_STORES

    def till_side(self, till: Till) -> JournalTillSide:
        """Return a side that moves the pointer too early."""
        return _TrustingSide(till, software=SOFTWARE)


class Lease(AsBuilt):
    """The centre takes a grant back when its time is over (design: sync N3)."""

    name = "the centre releases a grant when it expires"

    def housekeeping(self, centre: SimulatedCentre) -> Callable[[], Awaitable[None]] | None:
        """Return the release."""

        async def release() -> None:
            rows = await centre.pool.fetch(
                "select grant_id, account_id from right_grant"
                " where state = 'open' and not_after_ms < $1 order by grant_id",
                centre.system.now_ms(),
            )
            for row in rows:
                async with centre.pool.acquire() as connection, connection.transaction():
                    await lock_account(connection, row["account_id"])
                    await grants.close(connection, row["account_id"], row["grant_id"])

        return release


class _SharingRights(Rights):
    """Sets points aside without taking them out of what others may take."""

    def _set_left(self, grant_id: str, points_left: int, lots: object) -> None:
        return


class _SharingJournal(Journal):
    """A journal with such rights."""

    def __init__(self, database: Database, till_id: int, anchor: Anchor) -> None:
        super().__init__(database, till_id, anchor)
        self.rights = _SharingRights(database)


class ReservedTwice(AsBuilt):
    """A right that is set aside for one receipt may be taken by another."""

    name = "points set aside for a receipt can be spent again"

    def journal(self, database: Database, till_id: int, anchor: Anchor) -> Journal:
        """Return a journal whose rights never grow less."""
        return _SharingJournal(database, till_id, anchor)


class _VoidBlindApplier(Applier):
    """Takes a void for a mere note."""

    def decide(self, batch: Batch, item: Item) -> Decision:
        if isinstance(item.record, VoidRecord):
            return Decision("accepted")
        return super().decide(batch, item)


class VoidIgnored(AsBuilt):
    """What was authorised for a receipt that was given up stays set aside (design: sync 4.6)."""

    name = "a void releases nothing"
    faults = ONLINE
    size = MANY_SALES

    def applier(self, centre: SimulatedCentre) -> Applier:
        """Return an applier that does not act on voids."""
        right = centre.applier
        return _VoidBlindApplier(right.pool, right.library, right.system)


class ClosedAtHello(AsBuilt):
    """A HELLO brings home what the ledger has not heard of yet (a bug this product once had)."""

    name = "a HELLO closes grants whose arrival is not applied yet"

    def after_request(
        self, centre: SimulatedCentre
    ) -> Callable[[Request, Response], Awaitable[None]] | None:
        """Return the closing."""

        async def close(request: Request, response: Response) -> None:
            if request.path != PATH_HELLO or response.status != 200:
                return
            rows = await centre.pool.fetch(
                "select grant_id, account_id from right_grant join till using (till_id)"
                " join till_stream s using (till_id) where till_id = $1 and session_verified"
                " and s.incarnation = session_incarnation and s.last_seq >= session_seq"
                " and right_grant.incarnation = session_incarnation"
                " and right_grant.session <> till.session and state = 'open'"
                " and not received and purpose = 'grant' order by grant_id",
                int(dict(request.headers)[HEADER_TILL]),
            )
            for row in rows:
                async with centre.pool.acquire() as connection, connection.transaction():
                    await lock_account(connection, row["account_id"])
                    await grants.close(connection, row["account_id"], row["grant_id"])

        return close


class _CountsUntilAcked(OwnCountRows):
    """Takes what is acknowledged for applied, and for told."""

    def of_account(
        self, account_id: int, cards: Sequence[bytes], applied: Sequence[Applied]
    ) -> OwnCounts:
        rows = self._database.rows(
            "select incarnation, acked_seq from stream order by incarnation_number desc limit 1"
        )
        acked = [
            Applied(incarnation=bytes(incarnation), through=seq)  # type: ignore[arg-type]
            for incarnation, seq in rows
        ]
        return super().of_account(account_id, cards, acked)


class OwnUsesForgotten(AsBuilt):
    """The till leaves its own sales to the centre as soon as they are handed in (sync 4.5)."""

    name = "a till forgets its own uses when they are acknowledged"
    # The centre is slow to apply; nobody's memory comes back from an image or goes with a copy.
    faults = replace(
        USUAL,
        stalls_per_day=4.0,
        restored_images_per_till_day=0.0,
        failovers_per_day=0.0,
        lone_restores_per_day=0.0,
        clones_per_day=0.0,
    )
    size = replace(_TWO_STORES, days=2)

    def journal(self, database: Database, till_id: int, anchor: Anchor) -> Journal:
        """Return a journal that looks at the wrong mark."""
        journal = Journal(database, till_id, anchor)
        journal.own_counts = _CountsUntilAcked(database)
        return journal


class _TrustingJournal(Journal):
    """A journal that takes itself for what it was when the power went."""

    def doubt(self) -> str:
        return ""


class AnchorIgnored(AsBuilt):
    """A journal restored from an image keeps its rights (design: sync N12)."""

    name = "a restored journal goes on in its old stream"
    faults = replace(
        SOUND_DISKS,
        lone_restores_per_day=4.0,
        lone_restores_off_line=1.0,
        lone_restores_off_lan=1.0,
        lone_restores_with_anchor=0.0,
    )
    size = Size(stores=1, tills_per_store=3, customers=10, days=1, minutes_between_customers=120.0)

    def journal(self, database: Database, till_id: int, anchor: Anchor) -> Journal:
        """Return a journal that never asks its anchor."""
        return _TrustingJournal(database, till_id, anchor)


class _LoyalSide(JournalTillSide):
    """Begins a new stream when it is told to, and takes its rights along."""

    def _restart(self, why: str, number_min: int) -> None:
        rights = self._till.journal.rights
        forget, rights.void_all = rights.void_all, lambda: None  # type: ignore[method-assign]
        super()._restart(why, number_min)
        rights.void_all = forget  # type: ignore[method-assign]


class RightsTakenAlong(AsBuilt):
    """A new incarnation keeps the rights of the old one (design: sync N13)."""

    name = "a till that lost its memory keeps its rights"
    faults = replace(USUAL, restored_images_per_till_day=1.0, lone_restores_per_day=4.0)
    size = _TWO_STORES

    def till_side(self, till: Till) -> JournalTillSide:
        """Return a side that voids nothing."""
        return _LoyalSide(till, software=SOFTWARE)


class _GenerousRights(Rights):
    """Gives points to siblings and keeps them."""

    _is_giving = False

    def take_part(self, grant_id: str, points: int) -> tuple[LotTaken, ...]:
        self._is_giving = True
        try:
            return super().take_part(grant_id, points)
        finally:
            self._is_giving = False

    def _set_left(self, grant_id: str, points_left: int, lots: list[LotPart]) -> None:
        if not self._is_giving:
            super()._set_left(grant_id, points_left, lots)


class _GenerousJournal(Journal):
    """A journal with such rights."""

    def __init__(self, database: Database, till_id: int, anchor: Anchor) -> None:
        super().__init__(database, till_id, anchor)
        self.rights = _GenerousRights(database)


class GivenAndKept(AsBuilt):
    """What a vault gives to a sibling is not taken out of its own (design: sync N6)."""

    name = "a transfer is not debited"
    faults = replace(USUAL, cuts_per_store_day=2.0)
    size = _TWO_STORES

    def journal(self, database: Database, till_id: int, anchor: Anchor) -> Journal:
        """Return a journal that gives and keeps."""
        return _GenerousJournal(database, till_id, anchor)


class FreeOfCharge(AsBuilt):
    """A right is written off and nobody keeps its points back (design: sync 4.8)."""

    name = "a write-off reserves nothing"
    faults = replace(USUAL, lost_and_found_per_day=2.0)
    size = replace(_TWO_STORES, days=2)

    def planted(self) -> AbstractContextManager[object]:
        """Return a centre that gives lost points again at once."""
        naive = Instead(grants._SQL, reserve_exposure="select $1::bigint > 0")  # noqa: SLF001
        return patch.object(grants, "_SQL", naive)


PLANTS: tuple[type[AsBuilt], ...] = (
    GrantTakenAgain,
    NotSynced,
    AckedWhenSent,
    Lease,
    ReservedTwice,
    VoidIgnored,
    ClosedAtHello,
    OwnUsesForgotten,
    AnchorIgnored,
    RightsTakenAlong,
    GivenAndKept,
    FreeOfCharge,
    *PLANTS_OF_STREAMS,
    *PLANTS_OF_RIGHTS,
    *PLANTS_OF_HOMECOMING,
)

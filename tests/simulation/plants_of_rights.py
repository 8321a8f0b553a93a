"""Planted bugs of rights: by courier, authorised, returned, written off."""

from contextlib import AbstractContextManager
from dataclasses import replace
from unittest.mock import patch

from agent.journal.anchor import Anchor
from agent.journal.database import Database
from agent.journal.journal import Journal
from agent.journal.rights import Rights
from agent.till_service.courier import CourierService
from agent.till_service.messages import CourierAnswer, GrantRequest
from central.database.pool import Connection
from central.rights import budgets, courier
from central.rights.grants import Holder
from central.rights.right_books import RightBook, RightBooks
from loyalty.outcomes import Outcome
from sync import qr
from sync.messages import Grant
from sync.qr import CourierGrant
from sync.records import GrantInRecord, LotTaken
from tests.simulation.as_built import AsBuilt, Instead
from tests.simulation.faults import SOUND_DISKS, USUAL, Size

ONLINE = replace(SOUND_DISKS, cuts_per_store_day=0.2)
"""The centre answers: it authorises what a till has no right to."""
MANY_SALES = Size(stores=2, days=1, minutes_between_customers=35.0)
_ONE_TILL = Size(stores=1, customers=5, days=1, minutes_between_customers=12.0)
_AWAY = replace(SOUND_DISKS, cuts_per_store_day=3.0)
"""The line is down most of the time: customers' telephones carry."""
_HOURS_LATER = replace(
    SOUND_DISKS,
    kills_per_till_day=0.0,
    power_cuts_per_till_day=0.0,
    cuts_per_store_day=10.0,
    cut_hours_max=3.0,
    phones_ms=(2_700_000, 5_400_000, 10_800_000),
)
"""The line is back, and down again, before the customer shows what the centre has sent."""


def _take_whatever_comes(service: CourierService, request: GrantRequest) -> CourierAnswer:
    till = service._till  # noqa: SLF001 - a bug knows no manners
    grant = qr.read(CourierGrant, request.code)
    if grant.till_id != till.identity.till_id or grant.not_after_ms <= till.clock.now_ms():
        return CourierAnswer(outcome=Outcome.GRANT_NOT_AWAITED)
    journal, head = till.journal, till.journal.stream.head()
    right = Grant(
        grant_id=grant.grant_id,
        purpose="grant",
        account_id=grant.account_id,
        till_id=grant.till_id,
        incarnation=head.incarnation,
        session=grant.nonce,
        points=grant.points,
        lots=grant.lots,
        not_after_ms=grant.not_after_ms,
    )
    with journal.transaction():
        journal.rights._database.run(  # noqa: SLF001
            "delete from held_right where grant_id = ?", grant.grant_id
        )
        journal.rights.receive(right)
        if not journal.stream.has_record("grant_in", grant.grant_id):
            record = GrantInRecord(at_ms=till.clock.now_ms(), grant_id=grant.grant_id)
            journal.stream.append(record)
    return CourierAnswer(outcome=Outcome.GRANT_TAKEN, points=grant.points)


class CourierTakenAgain(AsBuilt):
    """A grant by courier is taken as often as its code is shown, by any stream of the till."""

    name = "a grant by courier is taken as often as it is shown"
    faults = _AWAY
    size = _ONE_TILL

    def planted(self) -> AbstractContextManager[object]:
        """Return a till that looks at no ask."""
        return patch.object(CourierService, "take", _take_whatever_comes)


class CourierClosedEarly(AsBuilt):
    """A grant by courier comes home while its ask is still open (design: sync R2)."""

    name = "a grant by courier is closed while the till may still take it"
    faults = _HOURS_LATER
    # The till hears of the centre, and the auditor looks, before the right is paid with and told.
    size = replace(_ONE_TILL, customers=6, days=2, talk_minutes=15, audit_hours=1)
    first_seed = 12

    def planted(self) -> AbstractContextManager[object]:
        """Return a centre that looks at no ask."""
        right = courier._SQL  # noqa: SLF001
        line = (
            "and g.ask_number <= t.session_asks_made and not g.session = any(t.session_asks_open)"
        )
        assert line in right["dead_asks"]
        naive = Instead(right, dead_asks=right["dead_asks"].replace(line, ""))
        return patch.object(courier, "_SQL", naive)


def _never_released(_: RightBooks, __: str) -> None:
    return


class AuthorisationKept(AsBuilt):
    """A receipt does not release what was authorised for it and not used (design: sync S5)."""

    name = "an authorisation is not settled by its receipt"
    faults = ONLINE
    size = MANY_SALES

    def planted(self) -> AbstractContextManager[object]:
        """Return a centre that waits for nobody."""
        return patch.object(RightBooks, "release", _never_released)


class _KeepingRights(Rights):
    """Says that it gives a right up, and keeps it."""

    def give_up(self, grant_id: str) -> tuple[int, tuple[LotTaken, ...]]:
        kept = self._database.rows("select * from held_right where grant_id = ?", grant_id)
        told = super().give_up(grant_id)
        for row in kept:
            marks = ", ".join("?" * len(row))
            self._database.run(f"insert or replace into held_right values ({marks})", *row)
        return told


class _KeepingJournal(Journal):
    """A journal with such rights."""

    def __init__(self, database: Database, till_id: int, anchor: Anchor) -> None:
        super().__init__(database, till_id, anchor)
        self.rights = _KeepingRights(database)


class ReturnedAndKept(AsBuilt):
    """What a till sends home it may still spend (design: sync N7)."""

    name = "a residue is sent home and kept"
    size = Size(stores=2, days=1)

    def journal(self, database: Database, till_id: int, anchor: Anchor) -> Journal:
        """Return a journal that gives nothing up."""
        return _KeepingJournal(database, till_id, anchor)


def _kept_for_ever(_: RightBooks, __: RightBook, ___: int | None = None) -> None:
    return


class ExposureKept(AsBuilt):
    """A late spend of a right that was written off is not paid by what was kept back for it."""

    name = "a late spend leaves its exposure"
    faults = replace(USUAL, lost_and_found_per_day=2.0)
    size = Size(stores=2, days=2)
    first_seed = 13

    def planted(self) -> AbstractContextManager[object]:
        """Return a centre that pays twice."""
        return patch.object(RightBooks, "free_exposure", _kept_for_ever)


_give_budget = budgets.give_budget


async def _given_anew(connection: Connection, holder: Holder, *, seq: int, points_max: int) -> int:
    elsewhere = await connection.fetchval(
        "select coalesce(sum(risk_points_total - risk_points_settled - risk_points_kept"
        " - risk_points_home), 0)::bigint from till_stream"
        " where till_id = $1 and incarnation <> $2",
        holder.till_id, holder.incarnation,
    )  # fmt: skip
    return await _give_budget(connection, holder, seq=seq, points_max=points_max + elsewhere)


class BudgetAnew(AsBuilt):
    """What the streams before have not settled does not count (design: sync I13)."""

    name = "a new stream gets a new budget"
    faults = replace(SOUND_DISKS, spoiled_journals_per_till_day=2.0, cuts_per_store_day=2.0)
    size = Size(stores=2, days=1, minutes_between_customers=60.0)

    def planted(self) -> AbstractContextManager[object]:
        """Return a centre that bounds each stream, and no till."""
        return patch.object(budgets, "give_budget", _given_anew)


PLANTS_OF_RIGHTS: tuple[type[AsBuilt], ...] = (
    CourierTakenAgain,
    CourierClosedEarly,
    AuthorisationKept,
    ReturnedAndKept,
    ExposureKept,
    BudgetAnew,
)

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
from central.rights import courier
from central.rights.right_books import RightBook, RightBooks
from loyalty.outcomes import Outcome
from sync import qr
from sync.messages import Grant
from sync.qr import CourierGrant
from sync.records import GrantInRecord, LotTaken
from tests.simulation.as_built import AsBuilt, Instead
from tests.simulation.faults import USUAL

_AWAY = replace(USUAL, cuts_per_store_day=2.0, lan_cuts_per_store_day=1.0)
"""Lines are down most of the time: customers' telephones carry."""


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

    def planted(self) -> AbstractContextManager[object]:
        """Return a till that looks at no ask."""
        return patch.object(CourierService, "take", _take_whatever_comes)


class CourierClosedEarly(AsBuilt):
    """A grant by courier comes home while its ask is still open (design: sync R2)."""

    name = "a grant by courier is closed while the till may still take it"
    faults = _AWAY

    def planted(self) -> AbstractContextManager[object]:
        """Return a centre that looks at no ask."""
        right = courier._SQL  # noqa: SLF001
        line = (
            "and g.ask_number <= t.session_asks_made and not g.session = any(t.session_asks_open))"
        )
        assert line in right["dead_asks"]
        naive = Instead(right, dead_asks=right["dead_asks"].replace(line, ")"))
        return patch.object(courier, "_SQL", naive)


def _never_released(_: RightBooks, __: str) -> None:
    return


class AuthorisationKept(AsBuilt):
    """A receipt does not release what was authorised for it and not used (design: sync S5)."""

    name = "an authorisation is not settled by its receipt"

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

    def journal(self, database: Database, till_id: int, anchor: Anchor) -> Journal:
        """Return a journal that gives nothing up."""
        return _KeepingJournal(database, till_id, anchor)


def _kept_for_ever(_: RightBooks, __: RightBook, ___: int | None = None) -> None:
    return


class ExposureKept(AsBuilt):
    """A late spend of a right that was written off is not paid by what was kept back for it."""

    name = "a late spend leaves its exposure"
    faults = replace(USUAL, lost_and_found_per_day=2.0)
    days = 3

    def planted(self) -> AbstractContextManager[object]:
        """Return a centre that pays twice."""
        return patch.object(RightBooks, "free_exposure", _kept_for_ever)


PLANTS_OF_RIGHTS: tuple[type[AsBuilt], ...] = (
    CourierTakenAgain,
    CourierClosedEarly,
    AuthorisationKept,
    ReturnedAndKept,
    ExposureKept,
)

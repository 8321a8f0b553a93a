"""Planted bugs of what has to arrive: copies of the dead, residues, transfers, shares, outcomes."""

from collections.abc import Generator
from contextlib import AbstractContextManager
from dataclasses import replace
from unittest.mock import patch

from agent.journal.counter_rights import CounterRights
from agent.journal.rights import Rights
from agent.journal.witness_store import Copy
from agent.neighbours import asking, delivering
from agent.till_service.till import Till
from central.rights import issuing, tending
from central.rights.write_offs import WrittenOff
from central.streams import transfers
from central.streams.apply import Applier
from sync.cycle import Ask
from sync.messages import Message
from sync.neighbours import DeliveryAnswer, RightsAnswer
from sync.records import XferInRecord
from sync.transferring import OpenRequest
from tests.simulation.as_built import AsBuilt, Instead
from tests.simulation.centre import BEGINNING_MS, SimulatedCentre
from tests.simulation.faults import SOUND_DISKS, Size

_LIVED_ON = Size(stores=1, customers=8, days=1, minutes_between_customers=60.0, lived_on_of=1)
"""One store, until every right is over."""
_DYING = replace(
    SOUND_DISKS,
    kills_per_till_day=0.0,
    power_cuts_per_till_day=0.0,
    lan_cuts_per_store_day=0.0,
    cuts_per_store_day=3.0,
    dead_disks_per_till_day=0.3,
)
"""Tills die in their sleep while the line is down, with siblings that hear them."""

_RESTS_MS = 60 * 3_600_000

_deliver_one = delivering._hand_in  # noqa: SLF001 - a bug knows no manners


def _left_to_its_till(
    till: Till, copy: Copy
) -> Generator[Ask, Message | bytes | None, DeliveryAnswer | None]:
    if not till.neighbours.is_alive(copy.head.till_id):
        return DeliveryAnswer(verdict="gap")
    return (yield from _deliver_one(till, copy))


class CopiesOfTheDeadKept(AsBuilt):
    """Siblings hand in copies of the living alone, who could do so themselves (design: I6)."""

    name = "copies of a dead till stay with its siblings"
    faults = _DYING
    size = Size(stores=2, tills_per_store=3, customers=12, days=1, minutes_between_customers=60.0)

    def planted(self) -> AbstractContextManager[object]:
        """Return tills that wait for the dead."""
        return patch.object(delivering, "_hand_in", _left_to_its_till)


class ExpiredKept(AsBuilt):
    """A till keeps what it may not spend any more (design: L2)."""

    name = "a residue stays at its till when its time is over"
    faults = SOUND_DISKS
    size = _LIVED_ON

    def planted(self) -> AbstractContextManager[object]:
        """Return tills for which nothing ends."""
        return patch.object(Rights, "expired", lambda _, __: [])


async def _none_stranded(*_: object) -> int:
    return 0


class StrandedForEver(AsBuilt):
    """What a sibling gave and nobody got is forgotten (design: sync 4.10)."""

    name = "a stranded transfer never comes home"
    faults = replace(
        SOUND_DISKS, lost_replies=200, lan_cuts_per_store_day=0.0, cuts_per_store_day=3.0
    )
    size = replace(_LIVED_ON, tills_per_store=3, minutes_between_customers=30.0)
    first_seed = 4

    def planted(self) -> AbstractContextManager[object]:
        """Return a centre that looks for none."""
        return patch.object(transfers, "bring_home_stranded", _none_stranded)


class SharesKept(AsBuilt):
    """A till keeps its share of a limit whose period is over."""

    name = "a share of a limit stays when its period is over"
    faults = SOUND_DISKS
    size = _LIVED_ON

    def planted(self) -> AbstractContextManager[object]:
        """Return tills for which no period ends."""
        return patch.object(CounterRights, "ended", lambda _, __: [])


async def _none_due(*_: object, **__: object) -> WrittenOff:
    return WrittenOff(rights=0, points=0, refused=0, refused_points=0)


class FrozenForEver(AsBuilt):
    """Rights of tills nobody hears of any more stay frozen (design: L3)."""

    name = "what counts as lost is not written off"
    faults = replace(_DYING, dead_disks_per_till_day=0.5)
    size = replace(_LIVED_ON, stores=2)
    first_seed = 8

    def planted(self) -> AbstractContextManager[object]:
        """Return a centre that waits for ever."""
        return patch.object(tending, "write_off_due", _none_due)


def _whatever_comes(till: Till, request: OpenRequest, answer: RightsAnswer) -> int:
    journal, came = till.journal, 0
    till.neighbours.requests.close(request.nonce)
    with journal.transaction():
        for transfer in answer.transfers:
            for table, column in (("transfer_taken", "transfer_id"), ("held_right", "grant_id")):
                journal.rights._database.run(  # noqa: SLF001
                    f"delete from {table} where {column} = ?",
                    transfer.transfer_id,
                )
            journal.transfers.take(transfer)
            came += transfer.points
            record = XferInRecord(
                at_ms=till.clock.now_ms(),
                transfer_id=transfer.transfer_id,
                grant_id=transfer.grant.grant_id,
                account_id=transfer.grant.account_id,
                points=transfer.points,
                lots=transfer.lots,
                from_till=request.till_id,
                from_incarnation=transfer.from_incarnation.hex(),
                nonce=transfer.nonce.hex(),
                signature=transfer.signature.hex(),
            )
            journal.stream.append(record)
    return came


class TransferTakenAgain(AsBuilt):
    """A sibling's earlier answer that comes once more is worth its points once more (sync N5)."""

    name = "a transfer that comes twice is taken twice"
    faults = replace(SOUND_DISKS, cuts_per_store_day=4.0, lan_cuts_per_store_day=0.0, lan_stale=400)
    size = Size(stores=1, tills_per_store=3, customers=8, days=1, minutes_between_customers=25.0)

    def planted(self) -> AbstractContextManager[object]:
        """Return tills that look at no nonce."""
        return patch.object(asking, "accept", _whatever_comes)


class TillsHoldAll(AsBuilt):
    """A till is given whatever is wished for at it (design: sync I13)."""

    name = "nobody bounds what one till holds"
    faults = SOUND_DISKS
    size = Size(stores=1, customers=16, days=1)

    def planted(self) -> AbstractContextManager[object]:
        """Return a centre that bounds nobody."""
        right = issuing._SQL  # noqa: SLF001
        naive = right["set_bounds"].replace("$2, $3", "$2 * 100, $3")
        return patch.object(issuing, "_SQL", Instead(right, set_bounds=naive))


class _LateApplier(Applier):
    """Rests for most of its first three days."""

    async def apply_pending(self, *arguments: int) -> int:
        if self.system.now_ms() - BEGINNING_MS < _RESTS_MS:
            return 1
        return await super().apply_pending(*arguments)


class DecidedLate(AsBuilt):
    """The centre leaves records lying for days (design: sync I9)."""

    name = "records wait for days to be decided"
    faults = SOUND_DISKS
    size = Size(stores=1, customers=8, days=3)

    def applier(self, centre: SimulatedCentre) -> Applier:
        """Return one that does nothing for more than a day."""
        return _LateApplier(centre.applier.pool, centre.applier.library, centre.applier.system)


PLANTS_OF_HOMECOMING: tuple[type[AsBuilt], ...] = (
    CopiesOfTheDeadKept,
    ExpiredKept,
    StrandedForEver,
    SharesKept,
    FrozenForEver,
    TransferTakenAgain,
    TillsHoldAll,
    DecidedLate,
)

"""Records that move rights: a grant arrived on a till, a residue comes home, a stream begins."""

from typing import Final, TypeGuard

from central.database.pool import Connection
from central.rights import counters
from central.rights.right_books import RightBook
from central.rights.suspicion import suspect
from central.streams import transfers
from central.streams.batch import Batch
from central.streams.items import Item
from central.streams.stored import Decision, StoredRecord, rejected
from sync.records import (
    CounterInRecord,
    CounterReturnRecord,
    GrantInRecord,
    GrantReturnRecord,
    OpenRecord,
)

SEEN_TWICE: Final = ("amnesia", "fork", "witness", "behind a printed receipt")
"""Why a stream began anew after somebody else had seen more of the one before, or another one.

A till that finds out by itself, by its anchor, has spent nothing of what it came back with.
"""

_EARLY_MS: Final = 3_600_000
"""A till's clock may be ahead; by more, what it is given again would come back at once."""


def post_grant_in(batch: Batch, item: Item, record: GrantInRecord) -> Decision:
    """Note that a till has a grant, durably."""
    right = batch.rights.rights.get(record.grant_id)
    if not _is_of(right, item):
        return rejected("no such grant of this till")
    right.is_received_now = True
    return Decision("accepted")


def post_grant_return(batch: Batch, item: Item, record: GrantReturnRecord) -> Decision:
    """Bring the stated residue of a grant home; never more than the grant still has.

    What other tills of the store have of it is not its till's to send. A grant whose time was over
    is wished for again: an account that spends nothing would wait for its next visit.
    """
    right = batch.rights.rights.get(record.grant_id)
    if not _is_of(right, item):
        return rejected("no such grant of this till")
    if sum(lot.points for lot in record.lots) != record.points:
        return rejected("its lots do not add up to its points")
    elsewhere = batch.rights.left_with_others(record.grant_id)
    own = max(right.outstanding + right.exposure - elsewhere, 0)
    lots = transfers.cut(record.lots, own)
    freed = min(right.exposure, sum(lot.points for lot in lots))
    account = batch.account(right.account_id)
    home = batch.rights.take_home(account, right, lots)
    if home and not right.recalled and right.not_after_ms <= batch.now_ms + _EARLY_MS:
        batch.homes.renew(account, now_ms=batch.now_ms)
    if home + freed != record.points:
        short = home + freed - record.points
        return Decision("adjusted", "the grant had fewer points", points=short)
    return Decision("accepted", "written off before: the pool has it again" if freed else "")


def _is_of(right: RightBook | None, item: Item) -> TypeGuard[RightBook]:
    stored = item.stored
    return (
        right is not None
        and right.till_id == stored.till_id
        and right.incarnation == stored.incarnation
    )


async def apply_counter_in(
    connection: Connection, stored: StoredRecord, record: CounterInRecord
) -> Decision:
    """Note that a till has a grant of a shared counter, durably."""
    is_its = await counters.mark_received(
        connection,
        till_id=stored.till_id,
        incarnation=stored.incarnation,
        grant_id=record.grant_id,
    )
    return Decision("accepted") if is_its else rejected("no such grant of this till")


async def apply_counter_return(
    connection: Connection, stored: StoredRecord, record: CounterReturnRecord
) -> Decision:
    """Bring the stated residue home; never more than the grant still has."""
    home = await counters.take_home(
        connection,
        till_id=stored.till_id,
        incarnation=stored.incarnation,
        grant_id=record.grant_id,
        amount=record.amount,
    )
    if home is None:
        return rejected("no such grant of this till")
    if home != record.amount:
        return Decision("adjusted", "the grant had less", points=0)
    return Decision("accepted")


async def apply_open(
    connection: Connection, stored: StoredRecord, record: OpenRecord, *, now_ms: int
) -> Decision:
    """Note that a till began anew, and whether its rights of before may have been spent twice."""
    if record.reason in SEEN_TWICE:
        try:
            before = bytes.fromhex(record.previous_incarnation)
        except ValueError:
            return rejected("the stream before it has no such name")
        await suspect(connection, stored.till_id, before, reason=record.reason, now_ms=now_ms)
    return Decision("accepted", record.reason)

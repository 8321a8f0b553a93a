"""Records that move rights: a grant arrived on a till, a residue comes home, a stream begins."""

from typing import Final

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.ledger.books import lock_account
from central.rights import counters, grants
from central.rights.suspicion import suspect
from central.streams import transfers
from central.streams.stored import Decision, StoredRecord, rejected
from sync.records import (
    CounterInRecord,
    CounterReturnRecord,
    GrantInRecord,
    GrantReturnRecord,
    OpenRecord,
)

_RIGHTS = load_queries("central.rights", "queries.sql")

SEEN_TWICE: Final = ("amnesia", "fork", "witness", "behind a printed receipt")
"""Why a stream began anew after somebody else had seen more of the one before, or another one.

A till that finds out by itself, by its anchor, has spent nothing of what it came back with.
"""


async def apply_grant_in(
    connection: Connection, stored: StoredRecord, record: GrantInRecord
) -> Decision:
    """Note that a till has a grant, durably."""
    done = await connection.execute(
        _RIGHTS["mark_received"], record.grant_id, stored.till_id, stored.incarnation
    )
    return Decision("accepted") if done == "UPDATE 1" else rejected("no such grant of this till")


async def apply_grant_return(
    connection: Connection, stored: StoredRecord, record: GrantReturnRecord
) -> Decision:
    """Bring the stated residue of a grant home; never more than the grant still has.

    What other tills of the store have of it is not its till's to send.
    """
    if record.transfer_id:
        return await transfers.apply_return(connection, stored, record)
    grant = await grants.find(connection, record.grant_id)
    if (
        grant is None
        or grant["till_id"] != stored.till_id
        or grant["incarnation"] != stored.incarnation
    ):
        return rejected("no such grant of this till")
    if sum(lot.points for lot in record.lots) != record.points:
        return rejected("its lots do not add up to its points")
    account_id = grant["account_id"]
    await lock_account(connection, account_id)
    grant = await grants.find(connection, record.grant_id)
    assert grant is not None
    elsewhere = await transfers.left_with_others(connection, account_id, record.grant_id)
    own = max(grant["outstanding"] + grant["exposure"] - elsewhere, 0)
    lots = transfers.cut(record.lots, own)
    freed = min(grant["exposure"], sum(lot.points for lot in lots))
    home = await grants.take_home(connection, account_id, record.grant_id, lots)
    if home + freed != record.points:
        return Decision(
            "adjusted", "the grant had fewer points", points=home + freed - record.points
        )
    return Decision("accepted", "written off before: the pool has it again" if freed else "")


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

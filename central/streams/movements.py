"""Records that move rights: a grant arrived on a till, a residue comes home."""

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.ledger.books import lock_account
from central.rights import grants
from central.streams.stored import Decision, StoredRecord, rejected
from sync.records import GrantInRecord, GrantReturnRecord

_RIGHTS = load_queries("central.rights", "queries.sql")


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
    """Bring the stated residue of a grant home; never more than the grant still has."""
    grant = await grants.find(connection, record.grant_id)
    if (
        grant is None
        or grant["till_id"] != stored.till_id
        or grant["incarnation"] != stored.incarnation
    ):
        return rejected("no such grant of this till")
    if sum(lot.points for lot in record.lots) != record.points:
        return rejected("its lots do not add up to its points")
    await lock_account(connection, grant["account_id"])
    home = await grants.take_home(connection, grant["account_id"], record.grant_id, record.lots)
    if home != record.points:
        return Decision("adjusted", "the grant had fewer points", points=home - record.points)
    return Decision("accepted")

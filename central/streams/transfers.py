"""Points that went from one till of a store to another, as their records tell it, in any order.

A transfer never changes what a grant holds: its points stay a part of the grant until a receipt
uses them or a record brings them home (design: sync 5, I5). So a receipt that names a transfer
nobody has told of yet is settled from the grant at once: the goods were given, whichever till was
right about the points, and waiting would pay for them with nothing else. Only bringing points home
makes them spendable again; it needs the transfer known and goes no further than what is left of it.
"""

from collections.abc import Sequence

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.ledger.books import current_account, lock_account
from central.rights import grants
from central.rights.grants import Holder
from central.rights.issuing import lock_sale_key
from central.streams.stored import GIVEN_UP, Decision, StoredRecord, rejected
from sync.errors import SignatureError
from sync.neighbours import transfer_content
from sync.records import GrantReturnRecord, LotTaken, XferInRecord, XferOutRecord
from sync.signing import check

_SQL = load_queries("central.streams", "transfers.sql")
_STREAMS = load_queries("central.streams", "queries.sql")
_lots = msgspec.json.Decoder(tuple[LotTaken, ...])


async def apply_out(
    connection: Connection, stored: StoredRecord, record: XferOutRecord
) -> Decision:
    """Note that a till gave a part of its grant away."""
    grant = await grants.find(connection, record.grant_id)
    account_id = await current_account(connection, record.account_id)
    if not _is_of(grant, account_id, stored.till_id, stored.incarnation):
        return rejected("no such grant of this till")
    if not _adds_up(record):
        return rejected("its lots do not add up to its points")
    receiver = await connection.fetchrow(_SQL["till_of_store"], record.to_till, stored.till_id)
    incarnation = _hex(record.to_incarnation)
    if receiver is None or incarnation is None:
        return rejected("no till of its store was given them")
    account_id = await _locked(connection, account_id, record.grant_id)
    known = await _find(connection, record.transfer_id)
    if known is not None and not _is_same(known, record, record.to_till, incarnation):
        return rejected("another transfer has its number")
    await connection.execute(
        _SQL["tell_out"], account_id, record.transfer_id, record.grant_id, record.to_till,
        incarnation, record.points, msgspec.json.encode(record.lots), receiver["session"],
    )  # fmt: skip
    await connection.execute(_STREAMS["unpark"], f"transfer:{record.transfer_id}")
    return Decision("accepted")


async def apply_in(connection: Connection, stored: StoredRecord, record: XferInRecord) -> Decision:
    """Note that a till took what another gave; the giver's signature proves it by itself."""
    grant = await grants.find(connection, record.grant_id)
    account_id = await current_account(connection, record.account_id)
    giver_incarnation = _hex(record.from_incarnation)
    is_sound = (
        giver_incarnation is not None
        and _is_of(grant, account_id, record.from_till, giver_incarnation)
        and _adds_up(record)
        and await _is_signed(connection, stored, record, giver_incarnation)
    )
    if not is_sound:
        # Whatever is wrong with it, the till took it: it is not stranded.
        await connection.execute(_SQL["note_in"], record.transfer_id, stored.till_id)
        return rejected("no transfer of a till of its store")
    account_id = await _locked(connection, account_id, record.grant_id)
    known = await _find(connection, record.transfer_id)
    if known is not None and not _is_same(known, record, stored.till_id, stored.incarnation):
        return rejected("another transfer has its number")
    await connection.execute(
        _SQL["tell_in"], account_id, record.transfer_id, record.grant_id, stored.till_id,
        stored.incarnation, record.points, msgspec.json.encode(record.lots),
    )  # fmt: skip
    await connection.execute(_STREAMS["unpark"], f"transfer:{record.transfer_id}")
    if known is not None and known["came_home"] and not known["in_known"]:
        return Decision("adjusted", "its points had come home", points=-known["came_home"])
    return Decision("accepted")


async def apply_return(
    connection: Connection, stored: StoredRecord, record: GrantReturnRecord
) -> Decision:
    """Bring home what is left of points that had come from another till."""
    if sum(lot.points for lot in record.lots) != record.points:
        return rejected("its lots do not add up to its points")
    grant = await grants.find(connection, record.grant_id)
    if grant is None:
        # Forgotten by a centre that went back: nothing of it ever comes, nothing waits for it.
        return rejected("no such grant of this till")
    # Who gives these points up holds the same lock.
    await lock_sale_key(connection, record.transfer_id)
    if await connection.fetchval(_SQL["is_given_up"], stored.arrival):
        return rejected(GIVEN_UP)
    known = await _find(connection, record.transfer_id)
    if known is None or not known["points"]:
        return Decision(
            "parked",
            "its transfer has not come yet",
            parked_for=f"transfer:{record.transfer_id}",
        )
    if (known["grant_id"], known["to_till"], known["to_incarnation"]) != (
        record.grant_id, stored.till_id, stored.incarnation,
    ):  # fmt: skip
        return rejected("no such transfer to this till")
    await lock_account(connection, known["account_id"])
    known = await _find(connection, record.transfer_id)
    assert known is not None
    account_id = known["account_id"]
    left = max(0, known["points"] - known["spent"] - known["came_home"])
    grant = await grants.find(connection, record.grant_id)
    assert grant is not None
    back = cut(record.lots, left)
    freed = min(grant["exposure"], sum(lot.points for lot in back))
    home = await grants.take_home(connection, account_id, record.grant_id, back)
    await connection.execute(
        _SQL["note_home"], account_id, record.transfer_id, sum(lot.points for lot in back)
    )
    if home + freed != record.points:
        short = home + freed - record.points
        return Decision("adjusted", "the transfer had fewer points", points=short)
    return Decision("accepted", "written off before: the pool has it again" if freed else "")


async def left_with_others(connection: Connection, account_id: int, grant_id: str) -> int:
    """Return how many points of a grant other tills have, as far as is known: not its till's."""
    left: int = await connection.fetchval(_SQL["left_with_others"], account_id, grant_id)
    return left


async def recalls_for(pool: Pool, holder: Holder) -> tuple[str, ...]:
    """Return transfers whose grants were asked back."""
    rows = await pool.fetch(_SQL["recalled_transfers"], holder.till_id, holder.incarnation)
    return tuple(row["transfer_id"] for row in rows)


async def bring_home_stranded(pool: Pool, holder: Holder, seq: int) -> int:
    """Bring home what was given to a till and never arrived; returns how many transfers.

    Call it when the till speaks in its live, verified session. A transfer is only ever accepted for
    a request that is open; a till closes all of them when it takes the answer to a HELLO. So
    whatever had been given before this session began, and is not in its stream up to `seq`, can not
    be accepted any more (rule R2). No clock takes part.

    Args:
        seq: the last record of the till's stream when it spoke.
    """
    rows = await pool.fetch(
        _SQL["stranded"], holder.till_id, holder.incarnation, holder.session, seq
    )
    recovered = 0
    for row in rows:
        account_id, transfer_id = row["account_id"], row["transfer_id"]
        async with pool.acquire() as connection, connection.transaction():
            await lock_account(connection, account_id)
            known = await connection.fetchrow(_SQL["still_stranded"], account_id, transfer_id)
            if known is None:
                continue
            lots = _lots.decode(known["lots"])
            await grants.take_home(connection, account_id, known["grant_id"], lots)
            await connection.execute(_SQL["strand"], account_id, transfer_id)
            await connection.execute(_STREAMS["tell_stores"], account_id)
            recovered += 1
    return recovered


def cut(lots: Sequence[LotTaken], points: int) -> list[LotTaken]:
    """Return the first lots up to so many points."""
    found = []
    for lot in lots:
        if part := min(lot.points, points):
            found.append(LotTaken(lot.lot_id, part))
            points -= part
    return found


async def _locked(connection: Connection, account_id: int, grant_id: str) -> int:
    """Lock a grant's account; returns which it is: it may have been merged just now."""
    await lock_account(connection, account_id)
    grant = await grants.find(connection, grant_id)
    assert grant is not None
    owner: int = grant["account_id"]
    return owner


async def _find(connection: Connection, transfer_id: str) -> asyncpg.Record | None:
    return await connection.fetchrow(_SQL["transfer"], transfer_id)


def _is_of(grant: asyncpg.Record | None, account_id: int, till_id: int, incarnation: bytes) -> bool:
    return grant is not None and (
        grant["account_id"], grant["till_id"], grant["incarnation"], grant["purpose"],
    ) == (account_id, till_id, incarnation, "grant")  # fmt: skip


def _is_same(
    known: asyncpg.Record,
    record: XferOutRecord | XferInRecord,
    to_till: int,
    to_incarnation: bytes,
) -> bool:
    """Say whether what is known of a transfer is what a record says, as far as anything is."""
    if (known["grant_id"], known["to_till"]) != (record.grant_id, to_till):
        return False
    return not known["points"] or (
        known["points"] == record.points and known["to_incarnation"] == to_incarnation
    )


def _adds_up(record: XferOutRecord | XferInRecord) -> bool:
    return sum(lot.points for lot in record.lots) == record.points


async def _is_signed(
    connection: Connection, stored: StoredRecord, record: XferInRecord, giver_incarnation: bytes
) -> bool:
    giver = await connection.fetchrow(_SQL["till_of_store"], record.from_till, stored.till_id)
    nonce, signature = _hex(record.nonce), _hex(record.signature)
    if giver is None or nonce is None or signature is None:
        return False
    content = transfer_content(
        record.transfer_id,
        grant_id=record.grant_id,
        account_id=record.account_id,
        points=record.points,
        lots=record.lots,
        giver=(record.from_till, giver_incarnation),
        receiver=(stored.till_id, stored.incarnation),
        nonce=nonce,
    )
    try:
        check(giver["public_key"], signature, content)
    except SignatureError:
        return False
    return True


def _hex(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None

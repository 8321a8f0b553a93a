"""The manual queue: records that wait for what may never come, and giving one up.

Looking is for whoever operates the centre. Giving up is a person's word that waiting is over:
processing then ends the record as `rejected_kept`, its till is told, and nothing of it is posted,
whatever comes later under its key. Nothing is ever given up by itself (design: sync 4.5).
"""

from typing import Final, Literal

import asyncpg
import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import BadRequestError, ConflictError, NotFoundError
from central.rights.issuing import lock_sale_key
from central.staff import audit
from central.streams.parked import find_arrived
from central.streams.refunds import shown_of
from central.streams.stored import PARKED_DAYS_MAX
from loyalty.calculation import Calculation
from sync.limits import COUNT_MAX
from sync.records import GrantReturnRecord, RefundRecord, SaleRecord, decode_record

_SQL = load_queries("central.streams", "parked_queue.sql")

DAY_MS: Final = 86_400_000
DAYS_MAX: Final = 36_500
ROWS_MAX: Final = 1_000
REASON_CHARACTERS_MAX: Final = 200
COUNTED_MAX: Final = 100_000
_CARD_CHARACTERS: Final = 12
"""Of a card's keyed hash: enough to see which records wait for the same one."""

Kind = Literal["sale", "refund", "points"]
_COMES: Final[dict[str, Literal["card", "receipt", "transfer"]]] = {
    "card": "card", "sale": "receipt", "transfer": "transfer",
}  # fmt: skip


class ParkedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record that waits.

    Attributes:
        record: its number at the centre.
        kind: a receipt, a return, or points of another till on their way home.
        key: of the receipt or the return, as the register minted it; of points their transfer's.
        received_at_ms: when it came, Unix milliseconds.
        waits_for: what has to come first.
        name: the receipt's key or the transfer's; of a card the beginning of its keyed hash.
        programme: in which the card has to be known; empty = the default one.
        money_minor: paid, or handed back where `kind` is refund; None = cannot be said.
        points: that its customer will get, below zero what is taken; None = cannot be said.
    """

    record: int
    kind: Kind
    key: str
    till: int
    store: str
    received_at_ms: int
    waited_ms: int
    waits_for: Literal["card", "receipt", "transfer"]
    name: str
    programme: str = ""
    money_minor: int | None = None
    points: int | None = None


class ParkedQueue(msgspec.Struct, frozen=True, kw_only=True):
    """Records that wait, those that came first; `total` are there, counted up to 100,000.

    Attributes:
        limit_days: after so many days a record may be given up.
    """

    total: int
    limit_days: int
    records: tuple[ParkedRecord, ...]


async def list_parked(
    pool: Pool, *, now_ms: int, store: str = "", days: int = 0, rows_max: int = 100
) -> ParkedQueue:
    """Return the records that wait, the oldest first.

    Args:
        store: of its tills alone; empty = of all.
        days: those alone that have waited so long at least.
    """
    asked = (store, now_ms - days * DAY_MS)
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        total = await connection.fetchval(_SQL["count"], *asked, COUNTED_MAX)
        rows = await connection.fetch(_SQL["waiting"], *asked, rows_max)
    records = tuple(_read(row, now_ms=now_ms) for row in rows)
    return ParkedQueue(total=total, limit_days=PARKED_DAYS_MAX, records=records)


async def find_parked(connection: Connection, number: int, *, now_ms: int) -> ParkedRecord:
    """Return a record that waits.

    Raises:
        NotFoundError: no such record waits.
    """
    return _read(await _waits(connection, number), now_ms=now_ms)


async def give_up(
    connection: Connection,
    number: int,
    *,
    person: str,
    reason: str,
    is_early: bool,
    now_ms: int,
) -> ParkedRecord:
    """Give a record up; call it in a transaction. Processing ends it at its next look.

    Args:
        number: as `list_parked` tells it.
        reason: for those who look later; no personal data.
        is_early: although it has not waited for `PARKED_DAYS_MAX`.

    Returns:
        The record as it waited.

    Raises:
        BadRequestError: the reason is empty or too long.
        NotFoundError: no such record waits: there is none, it was decided, or given up before.
        ConflictError: it has not waited long enough, or what it waits for has come.
    """
    if not 0 < len(reason.strip()) <= REASON_CHARACTERS_MAX or not reason.isprintable():
        raise BadRequestError("reason", f"say why, in at most {REASON_CHARACTERS_MAX} characters")
    row = await _waits(connection, number)
    # Whatever posts the receipt, or brings the points home, holds the same lock.
    await lock_sale_key(connection, _ordered_by(row))
    row = await _waits(connection, number)
    found = _read(row, now_ms=now_ms)
    if await find_arrived(connection, [row["parked_for"]]):
        raise ConflictError(f"what record {number} waits for has come: it is decided in a moment")
    if not is_early and found.waited_ms < PARKED_DAYS_MAX * DAY_MS:
        raise ConflictError(
            f"record {number} has waited {found.waited_ms // DAY_MS} days of {PARKED_DAYS_MAX}:"
            " to give it up all the same say `early` (--early)"
        )
    await connection.execute(
        _SQL["give_up"], number, found.kind, found.key, person, reason.strip(), now_ms
    )
    detail = {"kind": found.kind, "reason": reason.strip(), "days": found.waited_ms // DAY_MS}
    await audit.note(
        connection, person=person, action="parked.give_up", subject=f"record:{number}",
        detail={**detail, "early": is_early}, now_ms=now_ms,
    )  # fmt: skip
    return found


async def _waits(connection: Connection, number: int) -> asyncpg.Record:
    row = await connection.fetchrow(_SQL["waits"], number) if number <= COUNT_MAX else None
    if row is None:
        raise NotFoundError(f"record {number} does not wait, or was given up before")
    return row


def _ordered_by(row: asyncpg.Record) -> str:
    """Return the key by which whatever decides a record is ordered."""
    record = decode_record(row["body"])
    if isinstance(record, SaleRecord):
        return record.key
    return str(row["parked_for"]).partition(":")[2]


def _read(row: asyncpg.Record, *, now_ms: int) -> ParkedRecord:
    record = decode_record(row["body"])
    waits_for, _, name = str(row["parked_for"]).partition(":")
    programme = ""
    if waits_for == "card":
        name, _, programme = name.partition(":")
        name = name[:_CARD_CHARACTERS]
    kind, key, money_minor, points = _stake(record)
    return ParkedRecord(
        record=row["arrival"],
        kind=kind,
        key=key,
        till=row["till_id"],
        store=row["store_id"],
        received_at_ms=row["received_at_ms"],
        waited_ms=max(now_ms - row["received_at_ms"], 0),
        waits_for=_COMES[waits_for],
        name=name,
        programme=programme,
        money_minor=money_minor,
        points=points,
    )


def _stake(record: object) -> tuple[Kind, str, int | None, int | None]:
    """Return what kind of record it is, its key, and the money and points in it."""
    match record:
        case SaleRecord():
            try:
                totals = msgspec.json.decode(record.calculation, type=Calculation).totals
            except msgspec.ValidationError:
                return "sale", record.key, None, None
            points = totals.earned_points - totals.redeemed_points
            return "sale", record.key, totals.paid_minor, points
        case RefundRecord():
            shown = shown_of(record)
            if shown is None:
                return "refund", record.key, None, None
            points = shown.points_back_total - shown.taken_back_total
            return "refund", record.key, shown.money_back_minor, points
        case _:
            assert isinstance(record, GrantReturnRecord), "nothing else is ever parked"
            return "points", record.transfer_id, 0, record.points

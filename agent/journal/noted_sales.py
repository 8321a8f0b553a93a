"""The sale that was completed last, as long as it is not entered where it belongs.

A completed sale touches a dozen pages: records, receipts, counts, their indexes. A plain one, which
moves no right, is first noted as one row on one page, and that is durable when the register is
answered; it is entered afterwards (`Journal.note_sale`). At most one is noted at any time.
"""

import msgspec

from agent.errors import JournalDamagedError
from agent.journal.database import Database
from agent.journal.receipts import ReceiptRow
from sync.errors import MalformedMessageError
from sync.limits import MESSAGE_BYTES_MAX, RECORD_BYTES_MAX
from sync.packing import pack, unpack
from sync.records import SaleRecord, decode_record

_NOTED_BYTES_MAX = RECORD_BYTES_MAX + 2 * MESSAGE_BYTES_MAX


class NotedSale(msgspec.Struct, frozen=True, array_like=True):
    """A plain sale: everything that is to be entered.

    Attributes:
        record: the bytes of its `SaleRecord`, as they are hashed.
        request: canonical bytes, as `ReceiptRow.request`.
        answer: the bytes that were answered.
    """

    receipt_id: str
    record: bytes
    request: bytes
    answer: bytes


def record_of(sale: NotedSale) -> SaleRecord:
    """Return a noted sale's record.

    Raises:
        JournalDamagedError: it cannot be read.
    """
    try:
        record = decode_record(sale.record)
    except MalformedMessageError as error:
        raise JournalDamagedError(f"a noted sale: {error}") from error
    assert isinstance(record, SaleRecord)
    return record


def row_of(sale: NotedSale, record: SaleRecord) -> ReceiptRow:
    """Return the receipt's row of a noted sale."""
    return ReceiptRow(
        receipt_id=record.key,
        state="recorded",
        version=record.version,
        account_id=record.inputs.account.account_id,
        authorisation_asked=False,
        request=sale.request,
        answer=sale.answer,
        calculation=bytes(record.calculation),
        updated_at_ms=record.at_ms,
    )


class NotedSales:
    """The one row; every change happens inside a transaction of the journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, sale: NotedSale) -> None:
        """Note a sale."""
        self._database.run(
            "insert into noted_sale values (1, ?, ?)",
            sale.receipt_id, pack(msgspec.msgpack.encode(sale)),
        )  # fmt: skip

    def is_there(self) -> bool:
        """Say whether one is noted."""
        return self._database.row("select 1 from noted_sale") is not None

    def find(self) -> NotedSale | None:
        """Return the sale that is noted and not entered.

        Raises:
            JournalDamagedError: it cannot be read.
        """
        row = self._database.row("select body from noted_sale")
        if row is None:
            return None
        assert isinstance(row[0], bytes)
        try:
            body = unpack(row[0], bytes_max=_NOTED_BYTES_MAX)
            return msgspec.msgpack.decode(body, type=NotedSale)
        except (MalformedMessageError, msgspec.DecodeError) as error:
            raise JournalDamagedError(f"a noted sale: {error}") from error

    def clear(self) -> None:
        """Forget it, in the transaction that enters it."""
        self._database.run("delete from noted_sale")

"""Receipts and returns as this till recorded them: permanent answers by id and content."""

from dataclasses import dataclass

from agent.errors import JournalDamagedError
from agent.journal.database import Database
from loyalty.returns import ReturnItem, ReturnMade
from sync.errors import MalformedMessageError
from sync.limits import MESSAGE_BYTES_MAX
from sync.packing import pack, unpack


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """A receipt that is reserved, recorded or cancelled.

    Attributes:
        request: canonical bytes of the request that made the state.
        answer: bytes of the answer given then.
        calculation: canonical bytes, of a recorded receipt.
    """

    receipt_id: str
    state: str
    version: int
    account_id: int
    authorisation_asked: bool
    request: bytes
    answer: bytes
    calculation: bytes
    updated_at_ms: int


_COLUMNS = (
    "receipt_id, state, version, account_id, authorisation_asked, request, answer, calculation,"
    " updated_at_ms"
)


class Receipts:
    """Rows of receipts and returns; changes happen inside a transaction of the journal."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found: tuple[object, ReceiptRow | None] = (None, None)

    def find(self, receipt_id: str) -> ReceiptRow | None:
        """Return a receipt's row; one call asks for the same several times."""
        asked = (receipt_id, self._database.edition())
        if self._found[0] != asked:
            self._found = (asked, self._find(receipt_id))
        return self._found[1]

    def _find(self, receipt_id: str) -> ReceiptRow | None:
        row = self._database.row(f"select {_COLUMNS} from receipt where receipt_id = ?", receipt_id)  # noqa: S608 - constant columns
        return _receipt(row) if row else None

    def put(self, row: ReceiptRow) -> None:
        """Write a receipt's row in place of the one before."""
        self._database.run(
            f"insert or replace into receipt ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant columns
            row.receipt_id, row.state, row.version, row.account_id, int(row.authorisation_asked),
            pack(row.request), pack(row.answer), pack(row.calculation), row.updated_at_ms,
        )  # fmt: skip

    def latest(self, count: int) -> list[ReceiptRow]:
        """Return the receipts changed last."""
        rows = self._database.rows(
            f"select {_COLUMNS} from receipt order by updated_at_ms desc limit ?",  # noqa: S608 - constant columns
            count,
        )
        return [_receipt(row) for row in rows]

    def reserved_before(self, at_ms: int) -> list[ReceiptRow]:
        """Return receipts reserved before a moment and not finished since."""
        rows = self._database.rows(
            f"select {_COLUMNS} from receipt where state = 'reserved' and updated_at_ms < ?",  # noqa: S608 - constant columns
            at_ms,
        )
        return [_receipt(row) for row in rows]

    def state_counts(self) -> dict[str, int]:
        """Return how many receipts are in each state."""
        rows = self._database.rows("select state, count(*) from receipt group by state")
        return {str(state): int(count) for state, count in rows}  # type: ignore[arg-type]

    def find_return(self, return_id: str) -> tuple[bytes, bytes] | None:
        """Return request and answer of a confirmed return."""
        row = self._database.row(
            "select request, answer from return_document where return_id = ?", return_id
        )
        return (_text(row[0]), _text(row[1])) if row else None

    def put_return(
        self, made: ReturnMade, *, original_key: str, request: bytes, answer: bytes
    ) -> None:
        """Keep a confirmed return."""
        self._database.run(
            "insert into return_document values (?, ?, ?, ?, ?)",
            made.key, original_key, made.charged_back_minor, pack(request), pack(answer),
        )  # fmt: skip
        for item in made.items:
            self._database.run(
                "insert into returned_line values (?, ?, ?)", made.key, item.line_id, item.quantity
            )

    def returns_of(self, original_key: str) -> dict[str, ReturnMade]:
        """Return the returns of a receipt that this till recorded, by key."""
        rows = self._database.rows(
            "select return_id, charged_back_minor, line_id, quantity from return_document"
            " join returned_line using (return_id) where original_key = ?"
            " order by return_id, line_id",
            original_key,
        )
        found: dict[str, ReturnMade] = {}
        for return_id, charged_minor, line_id, quantity in rows:
            key, before = str(return_id), found.get(str(return_id))
            item = ReturnItem(line_id=str(line_id), quantity=quantity)  # type: ignore[arg-type]
            found[key] = ReturnMade(
                key=key,
                items=(*(before.items if before else ()), item),
                charged_back_minor=charged_minor,  # type: ignore[arg-type]
            )
        return found


def _receipt(row: tuple[object, ...]) -> ReceiptRow:
    receipt_id, state, version, account_id, asked, request, answer, calculation, at_ms = row
    texts = (_text(request), _text(answer), _text(calculation))
    return ReceiptRow(receipt_id, state, version, account_id, bool(asked), *texts, at_ms)  # type: ignore[arg-type]


def _text(kept: object) -> bytes:
    assert isinstance(kept, bytes)
    try:
        return unpack(kept, bytes_max=MESSAGE_BYTES_MAX)
    except MalformedMessageError as error:
        raise JournalDamagedError(f"a receipt: {error}") from error

"""Records on their way into the ledger, and what they become there."""

from dataclasses import dataclass

from central.streams.stored import StoredRecord
from loyalty.calculation import Calculation
from sync.records import Record, SaleRecord


@dataclass(frozen=True, slots=True)
class Stale:
    """What a receipt with older rules than were due at its till cost against those.

    Attributes:
        release: that was due.
        bundle: of it.
        discount_minor: printed less what it gives; None where it cannot calculate the receipt.
        points: earned, in the same way.
    """

    release: int
    bundle: str
    discount_minor: int | None = None
    points: int | None = None

    @property
    def reason(self) -> str:
        """What the till is told."""
        if self.discount_minor is None:
            return f"release {self.release} was due; it cannot calculate this receipt"
        return (
            f"release {self.release} was due; against it"
            f" discount_minor {self.discount_minor:+}, points {self.points:+}"
        )


@dataclass(slots=True)
class Item:
    """A record of a batch.

    Attributes:
        record: None for bytes that are no record.
        refusal: why they are none.
        printed: of a receipt, what was printed; or what is wrong with it.
        recalculated: of a receipt, its calculation as made here; or what went wrong.
        account_id: of a receipt, whose it is; 0 for nobody's, or not known.
        stale: of a receipt with older rules than were due, what that cost.
        has_waited: of a receipt with a card its till knew nobody by: when it came, nor did anybody.
    """

    stored: StoredRecord
    record: Record | None
    refusal: str = ""
    printed: Calculation | Exception | None = None
    recalculated: bytes | Exception = b""
    account_id: int = 0
    stale: Stale | None = None
    has_waited: bool = False


@dataclass(frozen=True, slots=True)
class PostedReceipt:
    """A receipt under a sale key: whose it is, and the record it came with."""

    account_id: int | None
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReceipt:
    """A receipt that is being posted.

    Attributes:
        business_moment: local moment it counts at where its own cannot be; empty = its own.
    """

    item: Item
    sale: SaleRecord
    printed: Calculation
    account_id: int | None
    business_moment: str
    recalculation: bytes
    is_equal: bool

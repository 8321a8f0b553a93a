"""A kept record and what was decided about it."""

from dataclasses import dataclass
from typing import Final, Literal

PARKED_DAYS_MAX: Final = 90
"""So long a record may wait before somebody has to decide about it (design: sync 4.5)."""
GIVEN_UP: Final = "given up by hand: what it waited for had not come"
RECEIPT_GIVEN_UP: Final = "its receipt was given up by hand"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """Bytes as a till sent them; `branch` when they diverge from the contiguous stream.

    Attributes:
        received_at_ms: when they came; 0 = not known.
        not_before_ms: when the centre last had everything the till had, before; 0 = not known.
    """

    arrival: int
    till_id: int
    incarnation: bytes
    seq: int
    hash: bytes
    body: bytes
    branch: bool
    received_at_ms: int = 0
    not_before_ms: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of a record.

    Attributes:
        points: what differs from what was printed, where it is adjusted.
        parked_for: what must come first; the record is decided again when it does.
    """

    outcome: Literal["accepted", "accepted_stale", "adjusted", "parked", "rejected_kept"]
    reason: str = ""
    points: int = 0
    parked_for: str = ""


def rejected(reason: str) -> Decision:
    """Keep the record for ever, make nothing of it."""
    return Decision("rejected_kept", reason)


def parked_for_sale(key: str) -> Decision:
    """Wait for a receipt."""
    return Decision("parked", "its receipt has not come yet", parked_for=f"sale:{key}")


def parked_for_card(card: str, programme: str) -> Decision:
    """Wait until somebody is known by this card in the programme of the receipt's store."""
    waits_for = wait_for_card(card, programme)
    return Decision("parked", "nobody is known by its card yet", parked_for=waits_for)


def wait_for_card(card: str, programme: str) -> str:
    """Return what records wait for until a card is known in a programme; '' = the default one."""
    return f"card:{card}:{programme}" if programme else f"card:{card}"

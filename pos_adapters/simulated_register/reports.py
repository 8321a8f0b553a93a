"""What became of a session at the simulated register."""

from dataclasses import dataclass
from enum import StrEnum

from pos_adapters.ports import PrintedReceipt, PrintedReturn


class Ending(StrEnum):
    """How a session ended."""

    RECORDED = "recorded"
    WITHOUT_LOYALTY = "without_loyalty"
    TRAINING = "training"
    CANCELLED = "cancelled"
    LEFT_OPEN = "left_open"
    RETURNED = "returned"
    RETURN_REFUSED = "return_refused"
    RETURN_POSTPONED = "return_postponed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CallMade:
    """One call to the till, however often it was sent.

    Attributes:
        outcome: of the answer; without one `unreachable` or the code of the refusal.
        tries: how often the very same call was sent.
    """

    name: str
    outcome: str
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReport:
    """One session.

    Attributes:
        subject_id: the receipt, or the return.
        printed: what the customer holds; None when nothing was printed.
        totals_shown_minor: to pay, as the customer was shown it, each change once.
        faults: what a sound till and a sound register never do; empty is good.
    """

    subject_id: str
    ending: Ending
    printed: PrintedReceipt | PrintedReturn | None
    calls: tuple[CallMade, ...]
    totals_shown_minor: tuple[int, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What the till was told later about a receipt or return whose end it had not answered.

    Attributes:
        outcome: `released` nothing had been recorded; `reversed` the receipt had been recorded and
            all of it was taken back; `returned` the postponed return is recorded now; else the
            till's outcome, for a person to see.
    """

    subject_id: str
    outcome: str

"""One call of the register, resolved: who, under which rules, with which row of the journal."""

from dataclasses import dataclass

from agent.journal.receipts import ReceiptRow
from agent.till_service.identify import Person
from agent.till_service.messages import ReceiptRequest
from agent.till_service.worked_out import WorkedOut
from loyalty.compilation import Rules


@dataclass(frozen=True, slots=True)
class Case:
    """What a call is about.

    Attributes:
        content: canonical bytes of the request.
        row: the receipt as the journal had it when the call came; None for a new one.
        uncertainty_s: how far the register's moment may be off.
    """

    receipt_id: str
    request: ReceiptRequest
    content: bytes
    person: Person
    rules: Rules
    row: ReceiptRow | None
    uncertainty_s: int = 0

    def title_of(self, offer_id: str, language: str) -> str:
        """Return an offer's name, or nothing where it has none in that language."""
        return self.rules.offers_by_id[offer_id].title.get(language, "")


@dataclass(slots=True)
class OpenReceipt:
    """What is kept of a receipt between calls; losing it costs only a question to the centre.

    Attributes:
        content: canonical bytes of the latest request,
            to tell a repeat from a change under the same version.
        rules: the bundle active when the receipt was first totalled; it keeps it
            (design: sync 4.4).
        read_at: editions of journal and cache in which `person` was read.
        worked_out: the last calculation; the same inputs have the same.
        card: what was scanned or typed, as `person.shown` was made of it.
        is_training: so was it then: a code that was shown in training is not used up.
    """

    version: int
    content: bytes
    rules: Rules
    person: Person
    read_at: object = None
    worked_out: WorkedOut | None = None
    card: str = ""
    is_training: bool = False

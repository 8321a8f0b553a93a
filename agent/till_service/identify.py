"""Who the customer is, as far as the till can know in the time a queue allows."""

from collections.abc import Generator
from dataclasses import dataclass

from agent.errors import JournalUnavailableError
from agent.till_service.till import Till
from loyalty.account import NOBODY, AccountSnapshot
from sync.cycle import PATH_SNAPSHOT, Ask
from sync.messages import AccountRow, Message, SnapshotAnswer, SnapshotRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A customer as a receipt sees him.

    Attributes:
        card: keyed hash of the card; empty for nobody.
        points: last known balance that nobody holds, plus what is held for tills; shown,
            never spent.
        available_points: of them those that nobody held when the till was told.
    """

    card: bytes = b""
    account: AccountSnapshot = NOBODY
    masked_name: str = ""
    blocked: bool = False
    points: int = 0
    available_points: int = 0

    @property
    def identified(self) -> bool:
        """A card was presented."""
        return bool(self.card)

    def refreshed(self, till: Till) -> "Person":
        """Return the same customer with what the till knows by now."""
        row = till.cache.account(self.card)
        return _person(self.card, row) if row is not None else self


def identify(till: Till, card: bytes) -> Generator[Ask, Message | None, Person]:
    """Find the account behind a card: fresh from the centre if it answers in time, else last known.

    A card nobody knows here still identifies:
    the receipt carries it and the centre finds the account.
    """
    if not card:
        return Person()
    if till.link_up:
        answer = yield Ask(PATH_SNAPSHOT, SnapshotRequest(card=card), SnapshotAnswer)
        if isinstance(answer, SnapshotAnswer) and answer.account is not None:
            try:
                till.cache.put_accounts((answer.account,))
            except JournalUnavailableError:
                # Remembering it would be better; a full disk is no reason not to sell.
                return _person(card, answer.account)
    return _person(card, till.cache.account(card))


def _person(card: bytes, row: AccountRow | None) -> Person:
    if row is None:
        return Person(card=card, account=AccountSnapshot(identified=True))
    return Person(
        card=card,
        account=row.snapshot,
        masked_name=row.masked_name,
        blocked=row.blocked,
        points=row.points + row.held_points,
        available_points=row.points,
    )

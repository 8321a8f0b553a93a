"""Who the customer is, as far as the till can know in the time a queue allows."""

from collections.abc import Generator
from dataclasses import dataclass, replace

from agent.errors import JournalUnavailableError
from agent.journal.own_counts import OwnCounts
from agent.reference_data.cache import Told
from agent.till_service.presenting import NOTHING, Presented
from agent.till_service.till import Till
from loyalty.account import NOBODY, AccountSnapshot
from sync.cycle import PATH_SNAPSHOT, Ask
from sync.listening import PATH_FRESH, Fresh, FreshAnswer, snapshot_of, stamp_of
from sync.messages import Message, SnapshotAnswer, SnapshotRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A customer as a receipt sees him.

    Attributes:
        card: keyed hash of the card; empty for nobody.
        points: last known balance that nobody holds, plus what is held for tills; shown,
            never spent.
        available_points: of them those that nobody held when the till was told.
        shown: what was presented.
    """

    card: bytes = b""
    account: AccountSnapshot = NOBODY
    masked_name: str = ""
    blocked: bool = False
    points: int = 0
    available_points: int = 0
    shown: Presented = NOTHING

    @property
    def identified(self) -> bool:
        """A card or a code was presented."""
        return bool(self.card) or self.account.identified

    def refreshed(self, till: Till) -> "Person":
        """Return the same customer with what the till knows by now."""
        if not self.card:
            return self
        told = till.cache.told(self.card)
        if told is None and self.account.account_id:
            return self  # could not be remembered; the next receipt asks again
        return _person(till, self.shown, self.card, told)


def identify(till: Till, shown: Presented) -> Generator[Ask, Message | None, Person]:
    """Find the account behind a card: fresh from the centre if it answers in time, else last known.

    A card nobody knows here still identifies:
    the receipt carries it and the centre finds the account.
    """
    card = shown.card
    if not card and not shown.account_id:
        return Person(shown=shown)
    if till.link_up:
        answer = yield from _asked(till, shown)
        if isinstance(answer, SnapshotAnswer) and answer.account is not None:
            card = card or answer.account.card
            try:
                till.cache.put_accounts((answer.account,), answer.applied)
            except JournalUnavailableError:
                # Remembering it would be better; a full disk is no reason not to sell.
                return _person(till, shown, card, Told(answer.account, answer.applied))
    return _person(till, shown, card, till.cache.told(card) if card else None)


def _asked(till: Till, shown: Presented) -> Generator[Ask, Message | None, Message | None]:
    """Ask the centre for an account; it need not tell one that is as it was told."""
    card = shown.card
    if not card or not till.takes_lines:
        request = SnapshotRequest(card=card, account_id=0 if card else shown.account_id)
        return (yield Ask(PATH_SNAPSHOT, request, SnapshotAnswer))
    known = till.cache.account(card)
    fresh = Fresh(card=card, known=stamp_of(known) if known else b"")
    answer = yield Ask(PATH_FRESH, fresh, FreshAnswer)
    if isinstance(answer, FreshAnswer) and answer.snapshot:
        return snapshot_of(answer)
    return None


def _person(till: Till, shown: Presented, card: bytes, told: Told | None) -> Person:
    """Return a customer as told, or as a code tells where that is newer."""
    if shown.account_id and (told is None or told.account.snapshot.account_id != shown.account_id):
        return _by_code(till, shown, card)
    person = _as_told(till, card, told)
    newer = shown.told
    if newer is not None and newer.version > person.account.version:
        account = replace(
            person.account,
            tier=newer.tier,
            segments=newer.segments,
            personal_offers=newer.offers,
            in_birthday_window=newer.in_birthday_window,
            purchases=max(person.account.purchases, newer.purchases),
            version=newer.version,
        )
        person = replace(person, account=account)
    return replace(person, shown=shown)


def _by_code(till: Till, shown: Presented, card: bytes) -> Person:
    """Return a customer this till knows nothing of but what the code says."""
    account, points = AccountSnapshot(identified=True, account_id=shown.account_id), 0
    if (told := shown.told) is not None:
        points = told.points
        account = replace(
            account,
            tier=told.tier,
            segments=told.segments,
            personal_offers=told.offers,
            in_birthday_window=told.in_birthday_window,
            purchases=told.purchases,
            points=points,
            version=told.version,
        )
    own = till.journal.own_counts.of_account(shown.account_id, [card] if card else [], ())
    return Person(
        card=card,
        account=_with(account, own),
        blocked=bool(card) and till.cache.blocked.holds(card),
        points=points,
        available_points=points,
        shown=shown,
    )


def _as_told(till: Till, card: bytes, told: Told | None) -> Person:
    on_the_list = till.cache.blocked.holds(card)
    if told is None:
        own = till.journal.own_counts.of_card(card)
        account = _with(AccountSnapshot(identified=True), own)
        return Person(card=card, account=account, blocked=on_the_list)
    row = told.account
    account_id = row.snapshot.account_id
    cards = {card, *till.cache.cards_of(account_id)}
    own = till.journal.own_counts.of_account(account_id, sorted(cards), told.applied)
    return Person(
        card=card,
        account=_with(row.snapshot, own),
        masked_name=row.masked_name,
        blocked=row.blocked or on_the_list,
        points=row.points + row.held_points,
        available_points=row.points,
    )


def _with(account: AccountSnapshot, own: OwnCounts) -> AccountSnapshot:
    """Add what this till has sold since the account was told (design: sync 4.5)."""
    if not own.counters and not own.purchases:
        return account
    sums = {
        name: account.counters.get(name, 0) + own.counters.get(name, 0)
        for name in sorted({*account.counters, *own.counters})
    }
    last_used = {
        name: max(account.last_used.get(name, ""), own.last_used.get(name, ""))
        for name in sorted({*account.last_used, *own.last_used})
    }
    return replace(
        account,
        purchases=max(0, account.purchases + own.purchases),
        counters={name: value for name, value in sums.items() if value > 0},
        last_used={name: used for name, used in last_used.items() if used and sums[name] > 0},
    )

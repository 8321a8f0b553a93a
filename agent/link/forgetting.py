"""Forgets customers who were erased, as the centre tells them, and says how far it has (centre 8).

The number up to which nobody is left stands in the same file as the accounts: whatever becomes of
that file, they come and go together. What the journal knows of accounts outlives it: a till that
lost the file is told everybody anew.
"""

import msgspec
import structlog

from agent.till_service.till import Till
from sync.forgetting import Forgotten, ForgottenAnswer

log = structlog.get_logger()


class Through(msgspec.Struct, frozen=True):
    """Up to which number customers are forgotten here."""

    number: int = 0


class Forgetting:
    """Runs on the till's thread."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._newest = 0
        self._confirmed = 0

    def _through(self) -> int:
        return (self._till.cache.value("forgotten", Through) or Through()).number

    def begin(self) -> int:
        """Return what HELLO says; the centre takes it for confirmed."""
        self._confirmed = self._through()
        return self._confirmed

    def hear_hello(self, newest: int) -> None:
        """Take the centre's newest number; where no account is known, nobody is to forget."""
        cache = self._till.cache
        if newest and cache.value("forgotten", Through) is None and not self._know_anybody():
            cache.put_value("forgotten", Through(newest))
        self._newest = newest

    def _know_anybody(self) -> bool:
        cache, journal = self._till.cache, self._till.journal
        return (
            cache.account_count() > 0
            or journal.own_counts.know_anybody()
            or journal.shown_codes.know_anybody()
        )

    def hear(self, newest: int) -> None:
        """Take the centre's newest number, where it tells one."""
        self._newest = max(self._newest, newest)

    def to_say(self) -> Forgotten | None:
        """Return what is to be confirmed, or asked; None while the centre knows it."""
        if not self._newest:
            return None
        through = self._through()
        if through >= self._newest and through == self._confirmed:
            return None
        return Forgotten(through=through)

    def take(self, answer: ForgottenAnswer) -> None:
        """Forget the customers told, then keep the number, so that a crash repeats and never skips.

        What they bought stays in the journal until it is pruned: facts of finance, under an
        account's number. So does what a card has counted that no account here is known by.
        """
        through = self._through()
        self._confirmed = through
        if not answer.accounts or answer.through <= through:
            # Nobody is left, whatever was heard before; numbers that do not rise lead nowhere.
            self._newest = through
            return
        cache, journal = self._till.cache, self._till.journal
        # The journal first: a crash in between finds the cards in the cache once more.
        cards = [card for account_id in answer.accounts for card in cache.cards_of(account_id)]
        with journal.transaction():
            journal.own_counts.forget(answer.accounts, cards)
            journal.shown_codes.forget(answer.accounts)
            journal.courier.forget(cards)
        cache.forget_accounts(answer.accounts)
        cache.put_value("forgotten", Through(answer.through))
        log.info("customers_forgotten", accounts=len(answer.accounts))

"""What a receipt may give of what is limited over all customers: asked for, set aside, spent.

A total is calculated with what the till has a right to and no open receipt has taken; what it draws
is set aside for the receipt, durably, before it is shown, so that the receipt completed is the
receipt shown. A new total puts back what it does not need; the sale spends the rest in the
transaction that records it (design: sync 1.2, 4.6, 4.8; rules R1, R2).
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from agent.errors import JournalUnavailableError
from agent.journal.counter_rights import Share
from agent.till_service.allowance_memory import (
    ASK_AGAIN_MS,
    NOTHING_SHOWN,
    STOCK_AGAIN_MS,
    AllowanceMemory,
    Shown,
)
from agent.till_service.case import Case
from agent.till_service.till import Till
from loyalty.account import NO_ALLOWANCE, Allowance
from loyalty.asking import counters_asked
from loyalty.basket import Moment
from loyalty.calculation import Calculation, Counted
from loyalty.counters import SharedCounter, account_of, code_uses, is_shared
from loyalty.limits import POINTS_MAX
from sync.cycle import PATH_COUNTERS, Ask
from sync.errors import SignatureError
from sync.limits import COUNTERS_ASKED_MAX
from sync.messages import CounterAnswer, CounterRequest, CounterWish, Message
from sync.records import CounterDrawn, CounterInRecord, CounterReturnRecord
from sync.signing import NO_SESSION, check_message

log = structlog.get_logger()

Compute = Callable[[Case, Allowance], Calculation]

_ACCOUNTS_AT_ONCE = 20
_ANY_ACCOUNT = 1
_HALF_DAY_MS = 43_200_000
_DAY_MS = 86_400_000


def shared_counts(counted: Iterable[Counted]) -> dict[str, int]:
    """Return what a receipt draws on shared counters."""
    found: dict[str, int] = {}
    for each in counted:
        if is_shared(each.counter):
            found[each.counter] = found.get(each.counter, 0) + each.plus
    return found


class Allowances:
    """The allowances of one till's receipts."""

    def __init__(self, till: Till, compute: Compute) -> None:
        """Use a till.

        Args:
            compute: calculates a receipt that redeems nothing under an allowance.
        """
        self._till = till
        self._compute = compute

    @property
    def _memory(self) -> AllowanceMemory:
        return self._till.allowances

    def prepare(self, case: Case) -> Generator[Ask, Message | None, None]:
        """Ask the centre for what a receipt could draw and the till has not; once for a request."""
        memory, request = self._memory, case.request
        memory.note_moment(request.moment, self._till.clock.now_ms())
        names = self._names(case)
        before = memory.shown.get(case.receipt_id)
        if before is not None and before.content == case.content and before.names == names:
            return
        if not names:
            memory.shown.pop(case.receipt_id, None)
            return
        used = dict(before.used_codes) if before else {}
        memory.show(case.receipt_id, Shown(case.content, names, None, used))
        if request.training or not self._till.link_up or not self._till.gets_rights:
            return
        if wishes := self._wishes(case, names):
            answer = yield from _ask(self._till, wishes)
            known = memory.shown.get(case.receipt_id)
            if answer is not None and known is not None:
                told = {used.code: used.last for used in answer.used_codes}
                presented = {code: told[code] for code in request.codes if code in told}
                used_codes = {**known.used_codes, **presented}
                memory.show(case.receipt_id, replace(known, used_codes=used_codes))

    def _names(self, case: Case) -> frozenset[str]:
        found = counters_asked(
            case.rules,
            place=self._till.identity.place,
            moment=Moment(local=case.request.moment, uncertainty_s=case.uncertainty_s),
            codes=case.request.codes,
            account_id=case.person.account.account_id,
        )
        return frozenset(counter.name for counter in found)

    def _wishes(self, case: Case, names: frozenset[str]) -> list[CounterWish]:
        """Return what the receipt would draw if there were enough of everything, and is not here.

        The rights here are enough for most receipts; then nothing is asked.
        """
        have = self.now(case).left
        plenty = Allowance(left=dict.fromkeys(names, POINTS_MAX))
        now_ms = self._till.system.monotonic_ms()
        return [
            CounterWish(counter=name, amount=amount - have.get(name, 0))
            for name, amount in sorted(shared_counts(self._compute(case, plenty).counted).items())
            if amount > have.get(name, 0)
            and not self._memory.was_in_vain(name, now_ms, within_ms=ASK_AGAIN_MS)
        ]

    def now(self, case: Case) -> Allowance:
        """Return what the receipt may draw now: what it has taken, and what nobody has."""
        names = self._names(case)
        if not names:
            return NO_ALLOWANCE
        journal = self._till.journal
        left = {name: amount for name, amount in self._reserved(case).items() if name in names}
        if not journal.rights.are_suspended:
            for name, share in journal.counter_rights.shares(names).items():
                left[name] = min(left.get(name, 0) + share.left, POINTS_MAX)
        known = self._memory.shown.get(case.receipt_id, NOTHING_SHOWN).used_codes
        used = {code: last for code, last in known.items() if code in case.request.codes}
        return Allowance(left=left, used_codes=used)

    def total(
        self, case: Case, compute: Callable[[Allowance], Calculation]
    ) -> tuple[Calculation, Allowance]:
        """Calculate a receipt and set aside what it draws; the same request has the same total.

        Where nothing can be set aside now, it draws no more than it has already.
        """
        content = case.content
        for allowance in (self._memory.allowance_of(case.receipt_id, content), self.now(case)):
            if allowance is None:
                continue
            calculation = compute(allowance)
            if case.request.training or self._set_aside(case, shared_counts(calculation.counted)):
                self._remember(case, allowance)
                return calculation, allowance
        names, taken = self._names(case), self._reserved(case)
        allowance = Allowance(left={name: taken[name] for name in names & taken.keys()})
        return compute(allowance), allowance

    def _reserved(self, case: Case) -> dict[str, int]:
        return self._till.journal.counter_rights.reserved(case.receipt_id)

    def _set_aside(self, case: Case, wanted: Mapping[str, int]) -> bool:
        journal = self._till.journal
        if self._reserved(case) == wanted:
            return True
        try:
            with journal.transaction():
                return journal.counter_rights.set_aside(
                    case.receipt_id, wanted, at_ms=self._till.clock.now_ms()
                )
        except JournalUnavailableError:
            return False

    def _remember(self, case: Case, allowance: Allowance) -> None:
        shown = self._memory.shown.get(case.receipt_id)
        if shown is not None:
            self._memory.show(case.receipt_id, replace(shown, allowance=allowance))

    def spend(self, receipt_id: str, calculation: Calculation) -> tuple[CounterDrawn, ...]:
        """Spend what a receipt has taken, in the transaction that records it."""
        rights, drawn = self._till.journal.counter_rights, shared_counts(calculation.counted)
        if not drawn and not rights.reserved(receipt_id):
            return ()
        is_here = rights.set_aside(receipt_id, drawn, at_ms=self._till.clock.now_ms())
        assert is_here, "a receipt draws no more than was set aside"
        return rights.spend(receipt_id)

    def forget(self, receipt_id: str) -> None:
        """Forget a receipt that is closed."""
        self._memory.shown.pop(receipt_id, None)


# Shares in advance, and what goes home


def stock(till: Till) -> Generator[Ask, Message | bytes | None, None]:
    """Ask for shares in advance; call it in a live session.

    What is thrown in (no answer) ends it; nothing is lost by ending anywhere.
    """
    if not till.gets_rights or till.session == NO_SESSION:
        return
    if wishes := _shares_wished(till):
        yield from _ask(till, wishes)


def send_home(till: Till, grant_id: str, why: str) -> None:
    """Send a right's residue home, inside a transaction: it is gone before the record says so."""
    counter = till.journal.counter_rights.counter_of(grant_id)
    amount = till.journal.counter_rights.give_up(grant_id)
    if amount:
        at_ms = till.clock.now_ms()
        if account_of(counter):
            # Somebody waits for it elsewhere; to ask for it ahead at once would take it from him.
            till.allowances.note_asked(counter, till.system.monotonic_ms(), in_vain=True)
        till.journal.stream.append(
            CounterReturnRecord(at_ms=at_ms, grant_id=grant_id, amount=amount, why=why)
        )


def send_all_home(till: Till, why: str) -> None:
    """Send home whatever no receipt has taken, inside a transaction."""
    for grant_id in till.journal.counter_rights.open_grants():
        send_home(till, grant_id, why)


def send_idle_home(till: Till) -> None:
    """Send home rights to periods that are over everywhere and to single codes nobody shows.

    What one account is given stays where points of the account are. Call it before the till tells
    the centre its records, so that what others may wait for goes with them.
    """
    if not till.gets_rights or till.session == NO_SESSION:
        return
    rights = till.journal.counter_rights
    yesterday = _day(till.clock.now_ms() - _DAY_MS)
    going = [(grant_id, "its period is over") for grant_id in rights.ended(yesterday)]
    going += [
        (grant_id, "not used here")
        for grant_id, counter in rights.single_codes()
        if not till.allowances.presented(counter)
    ]
    for grant_id, counter in rights.of_accounts():
        account_id = account_of(counter)
        is_at_home = till.journal.rights.accounts_held(account_id - 1, 1) == [account_id]
        if not is_at_home and not till.allowances.presented(counter):
            going.append((grant_id, "not used here"))
    if going:
        with till.journal.transaction():
            for grant_id, why in going:
                send_home(till, grant_id, why)


def _shares_wished(till: Till) -> list[CounterWish]:
    """Return the counters receipts may soon draw on, of which less than half a share is left."""
    counters = _counters_ahead(till)
    shares = till.journal.counter_rights.shares([counter.name for counter in counters])
    now_ms = till.system.monotonic_ms()
    wished = []
    for counter in counters:
        share = shares.get(counter.name, Share())
        is_low = 2 * share.left < share.amount or not share.amount
        again_ms = STOCK_AGAIN_MS
        if is_low and not till.allowances.was_in_vain(counter.name, now_ms, within_ms=again_ms):
            wished.append(CounterWish(counter=counter.name))
    return wished[:COUNTERS_ASKED_MAX]


def _counters_ahead(till: Till) -> list[SharedCounter]:
    """Return the shared counters of today and of the day in half a day's time.

    Codes are only known when somebody shows them; of those used more than once the till keeps a
    share from then on.
    """
    local_ms = till.clock.now_ms() + till.allowances.local_ms
    prefix = code_uses("")
    held = till.journal.counter_rights.counters(prefix)
    codes = [name.removeprefix(prefix) for name in held]
    found: dict[str, SharedCounter] = {}
    for at_ms in (local_ms, local_ms + _HALF_DAY_MS):
        moment = Moment(local=f"{_day(at_ms)}T12:00:00")
        for counter in counters_asked(
            till.books.active, place=till.identity.place, moment=moment, codes=codes
        ):
            if counter.most > 1 or not counter.name.startswith(prefix):
                found[counter.name] = counter
    of_accounts = _of_accounts_ahead(till, Moment(local=f"{_day(local_ms)}T12:00:00"))
    return [*of_accounts, *(found[name] for name in sorted(found))]


def _of_accounts_ahead(till: Till, moment: Moment) -> list[SharedCounter]:
    """Return what the next few accounts are given of which this till holds points."""

    def counters(account_id: int) -> list[SharedCounter]:
        place, rules = till.identity.place, till.books.active
        asked = counters_asked(rules, place=place, moment=moment, account_id=account_id)
        return [counter for counter in asked if counter.scope == "account"]

    if not counters(_ANY_ACCOUNT):
        return []
    memory = till.allowances
    accounts = till.journal.rights.accounts_held(memory.asked_account, _ACCOUNTS_AT_ONCE)
    memory.asked_account = accounts[-1] if len(accounts) == _ACCOUNTS_AT_ONCE else 0
    return [counter for account_id in accounts for counter in counters(account_id)]


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()


# The centre


def _ask(
    till: Till, wishes: Iterable[CounterWish]
) -> Generator[Ask, Message | bytes | None, CounterAnswer | None]:
    asked = tuple(wishes)[:COUNTERS_ASKED_MAX]
    incarnation = till.journal.stream.head().incarnation
    request = CounterRequest(
        incarnation=incarnation, wishes=asked, taken=till.allowances.taken_in(till.session)
    )
    answer = yield Ask(PATH_COUNTERS, request, CounterAnswer)
    if not isinstance(answer, CounterAnswer):
        return None
    given = {grant.counter for grant in answer.grants}
    now_ms = till.system.monotonic_ms()
    for wish in asked:
        till.allowances.note_asked(wish.counter, now_ms, in_vain=wish.counter not in given)
    with suppress(JournalUnavailableError):
        _receive(till, answer)
    return answer


def _receive(till: Till, answer: CounterAnswer) -> None:
    """Keep what is for this till, this incarnation and this session, each once (rule R2)."""
    journal, incarnation = till.journal, till.journal.stream.head().incarnation
    new = []
    for grant in answer.grants:
        try:
            check_message(grant, till.identity.centre_key)
        except SignatureError:
            log.warning("grant_refused", grant=grant.grant_id, why="bad signature")
            continue
        addressed = grant.till_id == till.identity.till_id and grant.incarnation == incarnation
        if not addressed or not grant.session == till.session != NO_SESSION:
            continue
        if not journal.stream.has_record("counter_in", grant.grant_id):
            new.append(grant)
    if not new:
        return
    at_ms = till.clock.now_ms()
    with journal.transaction():
        for grant in new:
            journal.counter_rights.receive(grant)
            journal.stream.append(CounterInRecord(at_ms=at_ms, grant_id=grant.grant_id))
    for grant in new:
        till.allowances.note_taken(grant.grant_id, grant.session)

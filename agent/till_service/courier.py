"""Points by courier: the till has no line, the customer's telephone has (design: sync 4.9).

The till shows an ask, the telephone brings the centre's grant for just this ask. It is an ordinary
grant from then on. Rule R2 holds without a session: the grant names this incarnation and a nonce
that is fresh, open and used once; taking it, closing the ask and recording it is one transaction.
"""

import structlog

from agent.errors import JournalUnavailableError
from agent.journal.courier_asks import OpenAsk
from agent.till_service.messages import (
    CashierMessage,
    CourierAnswer,
    CourierRequest,
    GrantRequest,
)
from agent.till_service.presenting import card_shown
from agent.till_service.till import Till
from loyalty.account import AccountSnapshot
from loyalty.outcomes import Outcome
from loyalty.wording import say_outcome
from sync import qr
from sync.errors import QrTextError, SignatureError
from sync.messages import AccountRow, Grant
from sync.qr import CourierAsk, CourierGrant
from sync.records import GrantInRecord
from sync.signing import SigningKey

log = structlog.get_logger()


class CourierService:
    """Asks by courier at one till."""

    def __init__(self, till: Till) -> None:
        self._till = till

    def ask(self, receipt_id: str, request: CourierRequest) -> CourierAnswer:
        """Make an ask for a receipt, durably; asked again for the same, the same ask."""
        till = self._till
        row = till.journal.receipt(receipt_id)
        if row is not None and row.state != "reserved":
            return self._said(Outcome.RECEIPT_CLOSED, receipt_id)
        card = card_shown(till, receipt_id, request.card)
        if not card:
            return self._said(Outcome.NOT_IDENTIFIED, receipt_id)
        incarnation = till.journal.stream.head().incarnation
        known = (
            ask
            for ask in till.journal.courier.of_receipt(receipt_id)
            if (ask.card, ask.points, ask.incarnation) == (card, request.points, incarnation)
        )
        ask = next(known, None)
        if ask is None:
            try:
                with till.journal.transaction():
                    ask = till.journal.courier.add(
                        nonce=till.system.random_bytes(qr.NONCE_BYTES),
                        incarnation=incarnation,
                        receipt_id=receipt_id,
                        card=card,
                        points=request.points,
                    )
            except JournalUnavailableError:
                return self._said(Outcome.JOURNAL_UNAVAILABLE, receipt_id)
        return self._said(
            Outcome.COURIER_ASKED, receipt_id, code=self._text(ask), points=ask.points
        )

    def take(self, request: GrantRequest) -> CourierAnswer:
        """Take what the customer's telephone brings, once, durably; a repeat changes nothing."""
        till = self._till
        try:
            grant = qr.read(CourierGrant, request.code)
            qr.check_seal(grant, till.identity.centre_key)
        except (QrTextError, SignatureError) as error:
            log.warning("courier_code_refused", why=str(error))
            return self._said(Outcome.CODE_WRONG)
        ask = till.journal.courier.find(grant.nonce)
        if ask is None and till.journal.stream.has_record("grant_in", grant.grant_id):
            return self._said(Outcome.GRANT_TAKEN, points=grant.points)
        if ask is None or not self._is_for(ask, grant):
            return self._said(Outcome.GRANT_NOT_AWAITED)
        # First what may be lost: were it last, a crash would leave points nobody is known by.
        self._remember(ask, grant)
        try:
            self._receive(ask, grant)
        except JournalUnavailableError:
            return self._said(Outcome.JOURNAL_UNAVAILABLE, ask.receipt_id)
        return self._said(Outcome.GRANT_TAKEN, ask.receipt_id, points=grant.points)

    def _is_for(self, ask: OpenAsk, grant: CourierGrant) -> bool:
        """Say whether a grant for an open ask may be taken here and now (rule R2)."""
        till = self._till
        return (
            grant.till_id == till.identity.till_id
            and grant.incarnation == ask.incarnation == till.journal.stream.head().incarnation
            and grant.not_after_ms > till.clock.now_ms()
            and till.gets_rights
        )

    def _receive(self, ask: OpenAsk, grant: CourierGrant) -> None:
        till = self._till
        right = Grant(
            grant_id=grant.grant_id,
            purpose="grant",
            account_id=grant.account_id,
            till_id=grant.till_id,
            incarnation=grant.incarnation,
            session=grant.nonce,
            points=grant.points,
            lots=grant.lots,
            not_after_ms=grant.not_after_ms,
        )
        with till.journal.transaction():
            till.journal.courier.close(ask)
            if not till.journal.stream.has_record("grant_in", grant.grant_id):
                till.journal.rights.receive(right)
                till.journal.stream.append(
                    GrantInRecord(at_ms=till.clock.now_ms(), grant_id=grant.grant_id)
                )

    def _remember(self, ask: OpenAsk, grant: CourierGrant) -> None:
        """Know the customer from now on, where this till never heard of the card."""
        till = self._till
        if till.cache.told(ask.card) is not None:
            return
        snapshot = AccountSnapshot(
            identified=True,
            account_id=grant.account_id,
            tier=grant.tier,
            points=grant.points,
        )
        row = AccountRow(card=ask.card, snapshot=snapshot, held_points=grant.points)
        try:
            till.cache.put_accounts((row,), ())
        except JournalUnavailableError as error:
            # The grant is good all the same; it comes home when it ends or is asked back.
            log.warning("courier_account_not_kept", why=str(error))

    def _text(self, ask: OpenAsk) -> str:
        till = self._till
        store = till.identity.place.store
        return qr.write(
            qr.seal(
                CourierAsk(
                    till_id=till.identity.till_id,
                    incarnation=ask.incarnation,
                    number=ask.number,
                    nonce=ask.nonce,
                    store=store if len(store.encode()) <= qr.STORE_BYTES_MAX else "",
                    card=ask.card[: qr.CARD_BYTES],
                    points=ask.points,
                ),
                SigningKey(till.identity.key_seed),
            )
        )

    def _said(
        self, outcome: Outcome, receipt_id: str = "", *, code: str = "", points: int = 0
    ) -> CourierAnswer:
        text = say_outcome(outcome, {"points": points}, self._till.settings.language)
        return CourierAnswer(
            outcome=outcome,
            receipt_id=receipt_id,
            code=code,
            points=points,
            messages=(CashierMessage(outcome, text),),
        )

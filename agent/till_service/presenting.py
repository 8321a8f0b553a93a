"""What a customer shows at the till: a card's number, or a one-time code of the app.

A code is good here once, for the receipt it is first shown with. Whether it is genuine the till
sees by itself: a QR code by the centre's signature, digits by the chain's key. A code that is not
good stops no sale: the receipt is nobody's, and the cashier is told why.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from agent.errors import JournalUnavailableError
from agent.till_service.till import Till
from loyalty.outcomes import Outcome
from sync import qr
from sync.customer_code import (
    STEP_MS,
    STEPS_GOOD,
    CustomerCode,
    account_in,
    are_code_digits,
    read_digits,
    step_of,
)
from sync.errors import QrTextError, SignatureError

log = structlog.get_logger()

SKEW_S: Final = 60
"""What a till's clock may be off beside what it knows of."""


@dataclass(frozen=True, slots=True)
class Presented:
    """What was shown.

    Attributes:
        card: keyed hash; empty where nothing was shown, or the till does not know the card.
        account_id: whose code it is; 0 where it was none.
        told: what a QR code tells of the account.
        step: when a code was shown, in `STEP_MS` since 1970; 0 where it was none.
        refused: why a code is not good here.
    """

    card: bytes = b""
    account_id: int = 0
    told: CustomerCode | None = None
    step: int = 0
    refused: Outcome | None = None


NOTHING: Final = Presented()


def present(
    till: Till, receipt_id: str, text: str, *, programme: str, is_training: bool = False
) -> Presented:
    """Return who is shown by a card's number or by a code.

    Args:
        programme: `programme_id` of the rules the receipt is calculated with.
        is_training: a code stays good for a real receipt.
    """
    is_qr = qr.is_customer_code(text)
    if not is_qr and not are_code_digits(text):
        return Presented(card=till.card_hash(text)) if text.strip() else NOTHING
    try:
        shown = _read_qr(till, text) if is_qr else None
        account_id, step = (
            (shown.account_id, shown.step)
            if shown
            else read_digits(till.identity.card_key, programme, text, _steps(till, receipt_id))
        )
    except (QrTextError, SignatureError) as error:
        log.warning("customer_code_refused", why=str(error))
        return Presented(refused=Outcome.CODE_WRONG)
    if refused := _use(till, receipt_id, account_id, step, is_training=is_training):
        return Presented(refused=refused)
    if shown is None:
        return Presented(card=_card_of(till, account_id), account_id=account_id, step=step)
    if shown.programme != programme:
        # Another programme's wallet: the same card may lead to one of this till's.
        return Presented(card=shown.card, step=step)
    return Presented(card=shown.card, account_id=account_id, told=shown, step=step)


def card_shown(till: Till, receipt_id: str, text: str) -> bytes:
    """Return the card behind what was shown for a receipt that is calculated already."""
    if qr.is_customer_code(text):
        try:
            return _read_qr(till, text).card
        except (QrTextError, SignatureError):
            return b""
    if are_code_digits(text):
        account_id = account_in(text)
        was_shown = till.journal.shown_codes.was_shown(receipt_id, account_id)
        return _card_of(till, account_id) if was_shown else b""
    return till.card_hash(text)


def _read_qr(till: Till, text: str) -> CustomerCode:
    shown = qr.read(CustomerCode, text)
    qr.check_seal(shown, till.identity.centre_key)
    return shown


def _card_of(till: Till, account_id: int) -> bytes:
    return min(till.cache.cards_of(account_id), default=b"")


def _use(
    till: Till, receipt_id: str, account_id: int, step: int, *, is_training: bool
) -> Outcome | None:
    """Take a code for a receipt, durably; returns why it cannot be taken."""
    codes = till.journal.shown_codes
    used_for = codes.receipt_of(account_id, step)
    if used_for == receipt_id:
        return None
    if used_for:
        return Outcome.CUSTOMER_CODE_USED
    if step not in _window(till):
        return Outcome.CUSTOMER_CODE_OVER
    if not is_training:
        try:
            with till.journal.transaction():
                codes.use(account_id, step, receipt_id)
        except JournalUnavailableError as error:
            # It says who somebody is and spends nothing: a full disk is no reason not to sell.
            log.warning("customer_code_not_kept", why=str(error))
    return None


def _window(till: Till) -> range:
    """Return the steps of codes that may be shown now, as far as this till knows the time."""
    now_ms = till.clock.now_ms()
    off_ms = (SKEW_S + till.clock.uncertainty_s()) * 1_000
    return range(step_of(now_ms - off_ms) - STEPS_GOOD, step_of(now_ms + off_ms) + 1)


def _steps(till: Till, receipt_id: str) -> list[int]:
    """Return the steps digits may be of: of now, or of those shown for this receipt before."""
    window = _window(till)
    day_before = window.start - 86_400_000 // STEP_MS
    return [*reversed(window), *till.journal.shown_codes.steps_of(receipt_id, day_before)]

"""One-time codes for the till, made of what the account is now; nothing is kept of them here."""

import msgspec

from central.access.sessions import Customer
from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import ConflictError, ForbiddenError
from central.keys import CentreKeys
from central.rules.shown_rules import ShownRules
from central.tills.account_rows import account_row
from sync import qr
from sync.customer_code import (
    NAME_BYTES_MAX,
    NAMES_BYTES_MAX,
    STEP_MS,
    STEPS_GOOD,
    TIER_BYTES_MAX,
    CustomerCode,
    digits_of,
    fitting,
    step_of,
)

_SQL = load_queries("central.tills", "queries.sql")


class ShownCode(msgspec.Struct, frozen=True, kw_only=True):
    """A code to be shown at a till.

    Attributes:
        code: for a QR code, in alphanumeric mode.
        digits: the same for a bar code (Code 128) or for typing; empty where the account's number
            is too long for it.
        good_until_ms: it has to have been shown by then.
        next_at_ms: from then on another one can be had.
    """

    code: str
    digits: str
    good_until_ms: int
    next_at_ms: int


async def show_code(
    connection: Connection, customer: Customer, shown: ShownRules, keys: CentreKeys, *, now_ms: int
) -> ShownCode:
    """Return the customer's code of this half minute.

    Raises:
        ForbiddenError: the account is blocked.
        ConflictError: the account has no card.
    """
    if customer.blocked:
        raise ForbiddenError("this account is blocked")
    rows = await connection.fetch(_SQL["account_rows"], [customer.account_id])
    row = next((each for each in rows if each["card"] == customer.card), None)
    if row is None:
        raise ConflictError("this account has no card")
    account = account_row(row).snapshot
    step = step_of(now_ms)
    # What the customer has switched on goes first: the till may hear of it in no other way.
    offers, room_bytes = fitting(account.personal_offers, NAMES_BYTES_MAX)
    segments, _ = fitting(account.segments, room_bytes)
    programme = shown.programme_id
    document = CustomerCode(
        account_id=account.account_id,
        step=step,
        programme=programme if len(programme.encode()) <= NAME_BYTES_MAX else "",
        card=customer.card,
        version=account.version,
        points=max(0, account.points),
        purchases=account.purchases,
        in_birthday_window=account.in_birthday_window,
        tier=account.tier if len(account.tier.encode()) <= TIER_BYTES_MAX else "",
        segments=segments,
        offers=offers,
    )
    return ShownCode(
        code=qr.sealed_text(document, keys.centre),
        digits=digits_of(keys.card_key, programme, account.account_id, step),
        good_until_ms=(step + 1 + STEPS_GOOD) * STEP_MS,
        next_at_ms=(step + 1) * STEP_MS,
    )

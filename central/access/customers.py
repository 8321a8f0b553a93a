"""What a customer sees of the own account: balance, lots, receipts, why offers acted or not."""

import re
from typing import Final, Literal

import msgspec

from central.access.sessions import Customer
from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import BadRequestError, NotFoundError
from central.rules.shown_rules import ShownRules, ShownRuleShelf
from loyalty.calculation import CalculatedLine, Calculation, Reason
from loyalty.wording import say_reason
from sync.limits import COUNT_MAX

_SQL = load_queries("central.access", "customers.sql")

PAGE_ROWS: Final = 50
PAGE_ROWS_MAX: Final = 200
_NEVER: Final = "9999-99-99"
_LOT_CURSOR: Final = re.compile(r"(\d{4}-\d{2}-\d{2})\.(\d{1,19})")
_RECEIPT_CURSOR: Final = re.compile(r"([0-9T:.-]{16,40})~(.{1,64})")
_LAST: Final = ("9999", "")


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """Points that end next.

    Attributes:
        expires_on: first day on which they no longer count.
    """

    points: int
    expires_on: str


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """An account's points.

    Attributes:
        points: count now and are set aside for nobody.
        held_points: set aside for tills: they are spent there, or come back.
        pending_points: count later.
        debt_points: repaid out of what is earned next.
    """

    account_id: int
    points: int
    held_points: int
    pending_points: int
    debt_points: int
    tier: str
    blocked: bool
    ends_next: Ending | None = None


class Lot(msgspec.Struct, frozen=True, kw_only=True):
    """Points with one end.

    Attributes:
        points: that can be spent or are set aside for tills.
        expires_on: first day on which they no longer count; empty = never.
        restriction: product group they may pay for; empty = everything.
    """

    lot_id: int
    name: str
    points: int
    held_points: int
    state: Literal["counts", "pending"]
    active_from: str
    expires_on: str
    restriction: str
    offer_id: str


class LotPage(msgspec.Struct, frozen=True, kw_only=True):
    """Lots, those that end first first; `next` is given as `after` for more, empty at the end."""

    lots: tuple[Lot, ...]
    next: str = ""


class ReceiptRow(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt as listed.

    Attributes:
        points_back, taken_back_points: what returns of it moved.
    """

    key: str
    moment: str
    store: str
    gross_minor: int
    discount_minor: int
    redeemed_minor: int
    redeemed_points: int
    paid_minor: int
    earned_points: int
    money_back_minor: int = 0
    points_back: int = 0
    taken_back_points: int = 0


class ReceiptPage(msgspec.Struct, frozen=True, kw_only=True):
    """Receipts, the newest first; `next` is given as `before` for more, empty at the end."""

    receipts: tuple[ReceiptRow, ...]
    next: str = ""


class LineEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What one offer did to a line."""

    offer_id: str
    title: str
    discount_minor: int
    points: int


class ReceiptLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a receipt.

    Attributes:
        quantity: thousandths of a piece or of a unit of weight.
        returned_quantity: of it, what came back.
    """

    line_id: str
    sku: str
    quantity: int
    by_weight: bool
    gross_minor: int
    discount_minor: int
    redeemed_minor: int
    redeemed_points: int
    paid_minor: int
    earned_points: int
    returned_quantity: int
    effects: tuple[LineEffect, ...]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Why an offer did or did not act; the code is stable, the text for people."""

    offer_id: str
    title: str
    code: str
    text: str


class ReceiptView(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt with its lines and why points were or were not given.

    Attributes:
        reasons: of every offer that was considered.
        hints: what was missing for more.
    """

    key: str
    moment: str
    store: str
    currency: str
    gross_minor: int
    discount_minor: int
    redeemed_minor: int
    redeemed_points: int
    paid_minor: int
    earned_points: int
    lines: tuple[ReceiptLine, ...]
    reasons: tuple[Said, ...]
    hints: tuple[Said, ...]


async def read_balance(connection: Connection, customer: Customer, *, today: str) -> Balance:
    """Return the points of an account as they count on a day."""
    row = await connection.fetchrow(_SQL["balance"], customer.account_id, today)
    assert row is not None, "a session is of an account"
    ends_next = None
    if row["ends_next"]:
        points = await connection.fetchval(
            _SQL["ends_on"], customer.account_id, row["ends_next"], today
        )
        ends_next = Ending(points=points, expires_on=row["ends_next"])
    return Balance(
        account_id=row["account_id"],
        points=row["points"],
        held_points=row["held"],
        pending_points=row["pending"],
        debt_points=row["debt"],
        tier=row["tier"],
        blocked=row["blocked"],
        ends_next=ends_next,
    )


async def read_lots(
    connection: Connection, customer: Customer, *, today: str, after: str, rows_max: int
) -> LotPage:
    """Return lots that have points, past those of the page before.

    Raises:
        BadRequestError: `after` is of no page.
    """
    day, lot_id = "", 0
    if after:
        found = _LOT_CURSOR.fullmatch(after)
        if found is None or int(found[2]) > COUNT_MAX:
            raise BadRequestError("after", "is what `next` of another page said")
        day, lot_id = found[1], int(found[2])
    rows = await connection.fetch(
        _SQL["lots"], customer.account_id, today, day, lot_id, rows_max + 1
    )
    lots = tuple(
        Lot(
            lot_id=row["lot_id"],
            name=row["name"],
            points=row["available"] + row["held"],
            held_points=row["held"],
            state="counts" if row["active_from"] <= today else "pending",
            active_from=row["active_from"],
            expires_on=row["expires_on"],
            restriction=row["restriction"],
            offer_id=row["offer_id"],
        )
        for row in rows[:rows_max]
    )
    more = len(rows) > rows_max
    last = f"{lots[-1].expires_on or _NEVER}.{lots[-1].lot_id}" if more else ""
    return LotPage(lots=lots, next=last)


async def read_receipts(
    connection: Connection, customer: Customer, *, before: str, rows_max: int
) -> ReceiptPage:
    """Return receipts, older than those of the page before.

    Raises:
        BadRequestError: `before` is of no page.
    """
    moment, key = _LAST
    if before:
        found = _RECEIPT_CURSOR.fullmatch(before)
        if found is None or "\0" in before:
            raise BadRequestError("before", "is what `next` of another page said")
        moment, key = found[1], found[2]
    rows = await connection.fetch(_SQL["receipts"], customer.account_id, moment, key, rows_max + 1)
    receipts = tuple(
        ReceiptRow(
            key=row["sale_key"],
            moment=row["moment"],
            store=row["store_id"],
            gross_minor=row["gross_minor"],
            discount_minor=row["discount_minor"],
            redeemed_minor=row["redeemed_minor"],
            redeemed_points=row["redeemed_points"],
            paid_minor=row["paid_minor"],
            earned_points=row["earned_points"],
            money_back_minor=row["money_back_minor"],
            points_back=row["points_back"],
            taken_back_points=row["taken_back"],
        )
        for row in rows[:rows_max]
    )
    more = len(rows) > rows_max
    return ReceiptPage(
        receipts=receipts, next=f"{receipts[-1].moment}~{receipts[-1].key}" if more else ""
    )


async def read_receipt(
    connection: Connection, customer: Customer, key: str, language: str, shelf: ShownRuleShelf
) -> ReceiptView:
    """Return a receipt of the customer in words.

    Args:
        language: `en` or `ru`.

    Raises:
        NotFoundError: the customer has no such receipt.
    """
    row = await connection.fetchrow(_SQL["receipt"], customer.account_id, key)
    if row is None:
        raise NotFoundError("there is no such receipt among this customer's")
    shown = await shelf.find(connection, row["bundle"])
    calculation = msgspec.json.decode(row["calculation"], type=Calculation)
    back = {
        each["line_id"]: each["quantity"]
        for each in await connection.fetch(_SQL["returned_lines"], key)
    }
    return _view(key, calculation, shown, back, language)


def _view(
    key: str, calculation: Calculation, shown: ShownRules, back: dict[str, int], language: str
) -> ReceiptView:
    titles = shown.titles_in(language)

    def said(reasons: tuple[Reason, ...]) -> tuple[Said, ...]:
        return tuple(
            Said(
                offer_id=each.offer_id,
                title=titles.get(each.offer_id, ""),
                code=each.code,
                text=say_reason(
                    each, titles.get(each.offer_id, ""), language, audience="customer",
                    titles=titles,
                ),
            )
            for each in reasons
        )  # fmt: skip

    totals = calculation.totals
    return ReceiptView(
        key=key,
        moment=calculation.moment,
        store=calculation.store,
        currency=shown.currency,
        gross_minor=totals.gross_minor,
        discount_minor=totals.discount_minor,
        redeemed_minor=totals.redeemed_minor,
        redeemed_points=totals.redeemed_points,
        paid_minor=totals.paid_minor,
        earned_points=totals.earned_points,
        lines=tuple(_line(each, titles, back) for each in calculation.lines),
        reasons=said(calculation.reasons),
        hints=said(calculation.hints),
    )


def _line(line: CalculatedLine, titles: dict[str, str], back: dict[str, int]) -> ReceiptLine:
    return ReceiptLine(
        line_id=line.line_id,
        sku=line.sku,
        quantity=line.quantity,
        by_weight=line.by_weight,
        gross_minor=line.gross_minor,
        discount_minor=line.discount_minor,
        redeemed_minor=line.redeemed_minor,
        redeemed_points=line.redeemed_points,
        paid_minor=line.paid_minor,
        earned_points=line.earned_points,
        returned_quantity=back.get(line.line_id, 0),
        effects=tuple(
            LineEffect(
                offer_id=effect.offer_id,
                title=titles.get(effect.offer_id, ""),
                discount_minor=effect.discount_minor,
                points=effect.points,
            )
            for effect in line.effects
        ),
    )

"""The busiest real store as a till sees it: its rules, its customers, its receipts.

Real baskets are repeated until there are as many as wanted; every repetition is a receipt of its
own, with the moment of the basket it repeats, so that the week's offers fit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle, islice
from uuid import UUID

from bench.grocery.customers import Account, build_accounts
from bench.grocery.data import (
    Selection,
    choose_stores,
    load_selection,
    shift_days_to_end_before,
)
from bench.grocery.offers import build_bundle, derive
from bench.grocery.sessions import Session, build_sessions, final_state
from loyalty.account import RedeemRequest
from loyalty.basket import BasketLine
from loyalty.bundle import Bundle
from pos_adapters.simulated_register.sessions import GoToPayment


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """A real basket as a register sends it, when everything is scanned.

    Attributes:
        redeem: what the customer wants to redeem; nothing for most.
    """

    lines: tuple[BasketLine, ...]
    codes: tuple[str, ...]
    card: str
    moment: str
    redeem: RedeemRequest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """One store of the chain."""

    store: str
    selection: Selection
    bundle: Bundle
    accounts: tuple[Account, ...]
    sales: tuple[Sale, ...]

    def receipts(self, count: int, *, series: int) -> Iterator[tuple[str, Sale]]:
        """Yield so many receipts: an id and a basket, in time order, again and again.

        Args:
            series: makes the ids others than those of another series.
        """
        for number, sale in enumerate(islice(cycle(self.sales), count)):
            yield receipt_id(number, series=series), sale


def load_shop(*, weeks: int, seed: int) -> Shop:
    """Read the busiest store.

    Args:
        weeks: of the data, from its first.

    Raises:
        GroceryDataError: the data is not installed.
    """
    shift = shift_days_to_end_before(datetime.now(UTC).date(), weeks)
    selection = load_selection(choose_stores(1), first_week=1, last_week=weeks, shift_days=shift)
    derived = derive(selection)
    accounts = build_accounts(selection, seed=seed)
    sessions = build_sessions(
        selection, accounts, derived.coupons, seed=seed, registers_per_store=1
    )
    return Shop(
        store=selection.stores[0],
        selection=selection,
        bundle=build_bundle(selection, version=1, derived=derived),
        accounts=accounts,
        sales=tuple(_sale(session) for session in sessions if not session.is_return),
    )


def receipt_id(number: int, *, series: int) -> str:
    """Return the UUID of version 7 of a receipt; another for every number and series."""
    variant = 0b10
    bits = (0x0190_0000_0000 + number) << 80 | 0x7 << 76 | variant << 62
    # A register's ids end in random bits: those of a counter would pack better than real ones.
    noise = (number * 0x9E37_79B9_7F4A_7C15 + series * 0xD1B5_4A32_D192_ED03) % (1 << 61)
    return str(UUID(int=bits | (noise >> 49) << 64 | noise))


def _sale(session: Session) -> Sale:
    state = final_state(session)
    return Sale(
        lines=tuple(
            BasketLine(
                line_id=line.line_id,
                sku=line.sku,
                quantity=line.quantity,
                gross_minor=line.gross_minor,
                by_weight=line.by_weight,
            )
            for line in state.lines
        ),
        codes=state.codes,
        card=state.card_number,
        moment=session.moment,
        redeem=_wish(session),
    )


def _wish(session: Session) -> RedeemRequest | None:
    wishes = [step.redeem for step in session.steps if isinstance(step, GoToPayment)]
    redeem = wishes[-1] if wishes else 0
    if redeem == "max":
        return RedeemRequest(as_many_as_possible=True)
    return RedeemRequest(points=redeem) if redeem else None

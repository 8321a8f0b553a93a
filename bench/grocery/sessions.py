"""A real basket as the steps of a sale at a register, the same for one seed and basket.

Lines are scanned with the data's quantities: a line split in two would round its price twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from bench.grocery.coupons import CouponsFound
from bench.grocery.customers import Account
from bench.grocery.data import RealBasket, RealLine, Selection
from bench.grocery.draws import Draws
from pos_adapters.simulated_register.sessions import (
    BackToSale,
    Complete,
    GoodsBack,
    GoToPayment,
    PresentCard,
    PresentCode,
    ReturnLines,
    Scan,
    ScannedLine,
    Step,
    VoidLine,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How often things happen, in 1000 sales.

    Attributes:
        anonymous: no card is shown.
        redeeming: the customer wants to redeem points.
        returned: some lines come back later.
        returned_elsewhere: in 1000 returns, those at another store.
        returned_in_part: in 1000 lines of several pieces that come back, those not whole.
        bag: the last line is scanned only after payment was begun.
        return_gap_baskets: a return comes so many baskets later, at least and at most.
    """

    anonymous: int = 30
    redeeming: int = 120
    returned: int = 30
    returned_elsewhere: int = 300
    returned_in_part: int = 500
    voided: int = 40
    bag: int = 50
    return_gap_baskets: tuple[int, int] = (5, 200)


USUAL = Habits()
_PIECE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A sale, or the return of some of its lines.

    Attributes:
        receipt_id: UUID of version 7 with the moment of the receipt.
        basket_id: the real basket, of a return the one its lines come from.
        household_id: who really bought, also when no card is shown.
        moment: local, shifted; a return has the moment of the basket before it.
        is_anonymous: no card is shown.
        real_gross_minor, real_paid_minor: of the basket; 0 for a return.
    """

    receipt_id: str
    basket_id: int
    register: str
    store: str
    household_id: int
    moment: str
    steps: tuple[Step, ...]
    is_return: bool = False
    is_anonymous: bool = False
    real_gross_minor: int = 0
    real_paid_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalState:
    """What is on the register when the customer has paid."""

    lines: tuple[ScannedLine, ...]
    codes: tuple[str, ...]
    card_number: str


def build_sessions(
    selection: Selection,
    accounts: Sequence[Account],
    coupons: CouponsFound,
    *,
    seed: int,
    registers_per_store: int = 2,
    habits: Habits = USUAL,
) -> tuple[Session, ...]:
    """Return the sales in time order, returns among them.

    Args:
        registers_per_store: named `<store>-1` and so on.
    """
    cards = {account.account_id: account.cards for account in accounts}
    sessions: list[Session] = []
    returns: dict[int, list[tuple[Session, Draws]]] = {}
    last = len(selection.baskets) - 1
    for place, basket in enumerate(selection.baskets):
        draws = Draws(seed, "session", basket.basket_id)
        codes = [str(issue.upc) for issue in coupons.by_basket.get(basket.basket_id, ())]
        sale = _sale(
            basket, cards, codes, draws=draws, registers=registers_per_store, habits=habits
        )
        sessions.append(sale)
        if draws.happens(habits.returned):
            due = min(place + draws.between(*habits.return_gap_baskets), last)
            returns.setdefault(due, []).append((sale, draws))
        for sold, draws_of_sale in returns.pop(place, ()):
            sessions.append(
                _return(sold, basket.moment, selection, draws_of_sale, registers_per_store, habits)
            )
    return tuple(sessions)


def final_state(session: Session) -> FinalState:
    """Return what the steps of a sale lead to."""
    lines: dict[str, ScannedLine] = {}
    codes: dict[str, None] = {}
    card = ""
    for step in session.steps:
        match step:
            case Scan(line):
                lines[line.line_id] = line
            case VoidLine(line_id):
                del lines[line_id]
            case PresentCode(code):
                codes[code] = None
            case PresentCard(number):
                card = number
            case _:
                pass
    return FinalState(lines=tuple(lines.values()), codes=tuple(codes), card_number=card)


def _sale(
    basket: RealBasket,
    cards: Mapping[int, tuple[str, ...]],
    codes: Sequence[str],
    *,
    draws: Draws,
    registers: int,
    habits: Habits,
) -> Session:
    is_anonymous = draws.happens(habits.anonymous)
    card = "" if is_anonymous else draws.one_of(cards[basket.household_id])
    return Session(
        receipt_id=_receipt_id(basket.moment, draws),
        basket_id=basket.basket_id,
        register=f"{basket.store_id}-{draws.between(1, registers)}",
        store=basket.store_id,
        household_id=basket.household_id,
        moment=basket.moment,
        steps=tuple(_sale_steps(basket.lines, card, codes, draws=draws, habits=habits)),
        is_anonymous=is_anonymous,
        real_gross_minor=sum(line.gross_minor for line in basket.lines),
        real_paid_minor=basket.paid_minor,
    )


def _sale_steps(
    lines: Sequence[RealLine], card: str, codes: Sequence[str], *, draws: Draws, habits: Habits
) -> list[Step]:
    has_bag = len(lines) > 1 and draws.happens(habits.bag)
    at_first = len(lines) - has_bag
    voided = draws.below(at_first) if draws.happens(habits.voided) else -1
    redeem = _redeem(draws, habits) if card else GoToPayment()
    # Shown before the line of this number; past the last line it is shown at the end or in payment.
    card_place = draws.one_of((0, at_first // 2, at_first, at_first + 1))
    code_place = draws.one_of((0, at_first))
    steps: list[Step] = []
    number = 0
    for place in range(at_first + 1):
        if place == code_place:
            steps += [PresentCode(code) for code in codes]
        if card and place == card_place:
            steps.append(PresentCard(card))
        if place < at_first:
            number += 1
            steps.append(Scan(_scanned(lines[place], number)))
        if place == voided:
            steps.append(VoidLine(_line_id(number)))
            number += 1
            steps.append(Scan(_scanned(lines[place], number)))
    if card and card_place > at_first:
        steps += [GoToPayment(), BackToSale(), PresentCard(card)]
    if has_bag:
        steps += [redeem, BackToSale(), Scan(_scanned(lines[-1], number + 1))]
    return [*steps, redeem, Complete()]


def _redeem(draws: Draws, habits: Habits) -> GoToPayment:
    if not draws.happens(habits.redeeming):
        return GoToPayment()
    return GoToPayment("max" if draws.happens(500) else 50 * draws.between(1, 20))


def _scanned(line: RealLine, number: int) -> ScannedLine:
    return ScannedLine(
        line_id=_line_id(number),
        sku=line.sku,
        quantity=line.quantity,
        gross_minor=line.gross_minor,
        by_weight=line.by_weight,
    )


def _line_id(number: int) -> str:
    return f"{number:03d}"


def _return(
    sold: Session,
    moment: str,
    selection: Selection,
    draws: Draws,
    registers: int,
    habits: Habits,
) -> Session:
    lines = final_state(sold).lines
    first = draws.below(len(lines))
    chosen = lines[first : first + draws.between(1, 3)]
    back = [_goods_back(line, draws, habits) for line in chosen]
    others = [store for store in selection.stores if store != sold.store]
    elsewhere = bool(others) and draws.happens(habits.returned_elsewhere)
    store = draws.one_of(others) if elsewhere else sold.store
    return Session(
        receipt_id=_receipt_id(moment, draws),
        basket_id=sold.basket_id,
        register=f"{store}-{draws.between(1, registers)}",
        store=store,
        household_id=sold.household_id,
        moment=moment,
        steps=(ReturnLines(sold.receipt_id, tuple(back)),),
        is_return=True,
        is_anonymous=sold.is_anonymous,
    )


def _goods_back(line: ScannedLine, draws: Draws, habits: Habits) -> GoodsBack:
    pieces = line.quantity // _PIECE
    if line.by_weight or pieces < 2 or not draws.happens(habits.returned_in_part):
        return GoodsBack(line.line_id)
    return GoodsBack(line.line_id, draws.between(1, pieces - 1) * _PIECE)


def _receipt_id(moment: str, draws: Draws) -> str:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    milliseconds = int(at.timestamp()) * 1000 + draws.below(1000)
    version, variant = 0x7, 0b10
    number = (
        (milliseconds << 80)
        | (version << 76)
        | (draws.bits(12) << 64)
        | (variant << 62)
        | draws.bits(62)
    )
    return str(UUID(int=number))

"""Real baskets of a grocery chain under its card prices and coupons, 10,000 offers of them.

The bundle holds the card prices of as many stores as make up the number, every week of the year,
all coupon campaigns, two points offers and the chain's whole catalogue. The baskets are those of
the first few stores, store by store in time order as their tills see them, with cards, coupons and
points to redeem. Every basket is calculated, and at once again, as a till does after every scan:

- `first_of_the_day`: the first basket of a store's day also pays for the day's index;
- `once`: the first calculation of every other basket; most of its products are the day's first of
  their kind, as these stores' baskets are few;
- `again`: the second calculation of each of those.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter

from bench.engine.timing import US_PER_S, Said, in_ms
from bench.grocery.customers import Account, build_accounts
from bench.grocery.data import WEEKS, Selection, choose_stores, load_selection
from bench.grocery.offers import build_bundle, derive
from bench.grocery.sessions import Session, build_sessions, final_state
from loyalty.account import (
    NO_REDEMPTION,
    NO_RIGHT,
    NOBODY,
    AccountSnapshot,
    LotPart,
    RedeemRequest,
    SpendRight,
)
from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.bundle import Bundle
from loyalty.calculate import calculate
from loyalty.compilation import Rules, compile_bundle
from loyalty.offers import CardPrice
from pos_adapters.simulated_register.sessions import GoToPayment


@dataclass(frozen=True, slots=True, kw_only=True)
class RealSize:
    """How much of the data is taken.

    Attributes:
        offers: exactly so many, when the stores have them; 0 = all of theirs.
        replayed_stores: whose baskets are calculated.
        all_products: the catalogue is the whole chain's, not only what was sold.
    """

    stores: int
    weeks: int
    offers: int
    replayed_stores: int
    all_products: bool = True


WHOLE = RealSize(stores=60, weeks=WEEKS, offers=10_000, replayed_stores=3)
SMALL = RealSize(stores=2, weeks=3, offers=0, replayed_stores=2, all_products=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the engine is given."""

    basket: Basket
    moment: Moment
    place: Place
    account: AccountSnapshot
    request: RedeemRequest
    right: SpendRight


@dataclass(frozen=True, slots=True, kw_only=True)
class RealCase:
    """A bundle and the receipts to calculate with it, store by store in time order."""

    bundle: Bundle
    receipts: tuple[Receipt, ...]


def load(size: RealSize, *, seed: int) -> RealCase:
    """Read the data and derive offers and receipts from it.

    Raises:
        GroceryDataError: the data is not installed.
    """
    said = Said(f"real: reading {size.stores} stores, {size.weeks} weeks")
    stores = choose_stores(size.stores)
    selection = load_selection(stores, first_week=1, last_week=size.weeks)
    said.step(1, 2)
    derived = derive(selection)
    bundle = build_bundle(selection, version=1, derived=derived, all_products=size.all_products)
    replayed = selection.stores[: size.replayed_stores]
    here = replace(selection, baskets=tuple(b for b in selection.baskets if b.store_id in replayed))
    accounts = build_accounts(here, seed=seed)
    sessions = build_sessions(here, accounts, derived.coupons, seed=seed)
    return RealCase(
        bundle=_cut(bundle, selection, size.offers),
        receipts=tuple(_receipts(sessions, accounts, replayed)),
    )


def _cut(bundle: Bundle, selection: Selection, count: int) -> Bundle:
    """Leave out the card prices of the last stores until so many offers are left."""
    if not count:
        return bundle
    place = {store: at for at, store in enumerate(selection.stores)}
    cards = sorted(
        (offer for offer in bundle.offers if isinstance(offer.gives, CardPrice)),
        key=lambda offer: place[offer.where.stores[0]],
    )
    others = [offer for offer in bundle.offers if not isinstance(offer.gives, CardPrice)]
    return replace(bundle, offers=(*cards[: count - len(others)], *others))


def _receipts(
    sessions: Sequence[Session], accounts: Sequence[Account], stores: Sequence[str]
) -> Iterator[Receipt]:
    known = {account.account_id: account for account in accounts}
    sales = (session for session in sessions if not session.is_return)
    for session in sorted(sales, key=lambda one: (stores.index(one.store), one.moment)):
        state = final_state(session)
        account = None if session.is_anonymous else known[session.household_id]
        yield Receipt(
            basket=Basket(
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
            ),
            moment=Moment(local=session.moment),
            place=Place(store=session.store),
            account=account.snapshot() if account else NOBODY,
            request=_request(session) if account else NO_REDEMPTION,
            right=_right(account, session.moment[:10]) if account else NO_RIGHT,
        )


def _request(session: Session) -> RedeemRequest:
    redeem = next(step.redeem for step in reversed(session.steps) if isinstance(step, GoToPayment))
    if redeem == "max":
        return RedeemRequest(as_many_as_possible=True)
    return RedeemRequest(points=redeem)


def _right(account: Account, day: str) -> SpendRight:
    lots = tuple(
        LotPart(
            lot_id=number, points=lot.points, expires_on=lot.expires_on, restriction=lot.restriction
        )
        for number, lot in enumerate(account.lots, start=1)
        if lot.active_from <= day < lot.expires_on
    )
    return SpendRight(points=sum(lot.points for lot in lots), lots=lots)


def measure(case: RealCase) -> dict[str, object]:
    """Calculate every receipt once; return the figures, times in milliseconds."""
    rules = compile_bundle(case.bundle, "00")
    said = Said(f"real: calculating {len(case.receipts)} baskets")
    times: dict[str, list[float]] = {"once": [], "again": [], "first_of_the_day": []}
    days: set[tuple[str, str]] = set()
    unproven = 0
    for done, receipt in enumerate(case.receipts):
        took_us, proven = _calculated(receipt, rules)
        unproven += not proven
        day = (receipt.place.store, receipt.moment.date)
        if day in days:
            times["once"].append(took_us)
            times["again"].append(_calculated(receipt, rules)[0])
        else:
            times["first_of_the_day"].append(took_us)
        days.add(day)
        said.step(done, len(case.receipts))
    lines = [len(receipt.basket.lines) for receipt in case.receipts]
    return {
        "offers": len(case.bundle.offers),
        "products": len(case.bundle.catalogue),
        "baskets": len(case.receipts),
        "lines_median": median(lines),
        "lines_max": max(lines),
        **{state: {"baskets": len(took), **in_ms(took)} for state, took in times.items()},
        "not_proven": unproven,
    }


def _calculated(receipt: Receipt, rules: Rules) -> tuple[float, bool]:
    begun = perf_counter()
    calculation = calculate(
        receipt.basket,
        rules,
        moment=receipt.moment,
        place=receipt.place,
        account=receipt.account,
        request=receipt.request,
        right=receipt.right,
    )
    return (perf_counter() - begun) * US_PER_S, calculation.proven

"""Does the replay reproduce what the chain's customers paid, to the cent, and if not, why?

    python -m bench.grocery.compare --stores 2 --weeks 1-20 --json

The card prices are read from the very baskets that are replayed, most of them from a single line
(the report says how many). So an equal total says that offers, windows, coupons and calculation are
right together; it does not say that the prices could have been foretold.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from statistics import median
from time import perf_counter

from bench.grocery.customers import Account, build_accounts
from bench.grocery.data import (
    RealBasket,
    RealLine,
    Selection,
    choose_stores,
    load_selection,
)
from bench.grocery.offers import Derived, build_bundle, derive
from bench.grocery.prices import prices_counted, window_of
from bench.grocery.sessions import Session, build_sessions, final_state
from loyalty.account import NOBODY
from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.bundle import Bundle
from loyalty.calculate import calculate
from loyalty.compilation import Rules, compile_bundle
from loyalty.documents import encode

_PROGRESS_S = 3.0
_STORES_COUNT_MAX = 20


class Cause(StrEnum):
    """Why a basket's total differs; a basket is counted under the first that holds."""

    UNEXPLAINED = "unexplained"
    ANONYMOUS = "anonymous"
    COUPON_VALUE = "coupon_value"
    FUEL_REWARD = "fuel_reward"
    NO_CARD_PRICE = "no_card_price"
    WEIGHT_ROUNDING = "weight_rounding"
    OTHER_CARD_PRICE = "other_card_price"
    PAPER_COUPON = "paper_coupon"


CAUSES_EXPLAINED: Mapping[Cause, str] = {
    Cause.UNEXPLAINED: "no cause below makes this difference: look for a mistake of ours",
    Cause.ANONYMOUS: "the session shows no card (by seed), the real customer did",
    Cause.COUPON_VALUE: "a campaign's coupon took off another amount than it mostly does",
    Cause.FUEL_REWARD: "a household's own reward per gallon; the data does not say who had one",
    Cause.NO_CARD_PRICE: "the regular price was paid where others of the week paid the card price",
    Cause.WEIGHT_ROUNDING: "a weighed line differs by a cent or two: the data holds no weights",
    Cause.OTHER_CARD_PRICE: "another card price than most lines of the product had that week",
    Cause.PAPER_COUPON: "by exactly a maker's coupon no campaign knows: it counts as money",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How many totals equal what was really paid.

    Attributes:
        compared: baskets looked at, anonymous sessions among them.
        causes: baskets that differ, by cause; with `equal` they sum up to `compared`.
        identified: baskets replayed with a card.
    """

    compared: int
    equal: int
    causes: Mapping[Cause, int]
    identified: int
    identified_equal: int

    @property
    def identified_equal_but_for_paper(self) -> int:
        """Equal, or different by nothing but coupons a register takes as money."""
        return self.identified_equal + self.causes.get(Cause.PAPER_COUPON, 0)


@dataclass(slots=True)
class Replay:
    """What came out of calculating the sessions.

    Attributes:
        paid_minor: by basket id.
        calculate_us: microseconds, one a basket.
    """

    paid_minor: dict[int, int] = field(default_factory=dict)
    anonymous: set[int] = field(default_factory=set)
    points: int = 0
    unproven: int = 0
    calculate_us: list[float] = field(default_factory=list)


def paid_comparison(
    calculated_paid_by_basket: Mapping[int, int],
    selection: Selection,
    *,
    derived: Derived | None = None,
    anonymous: Collection[int] = (),
) -> Comparison:
    """Compare calculated totals with what was really paid.

    Args:
        calculated_paid_by_basket: minor units by basket id, `paid_minor + redeemed_minor`: the real
            customers had no points to redeem, so what points paid counts as paid.
        derived: what the bundle was made from; read anew when not given.
        anonymous: baskets replayed without a card.
    """
    derived = derived or derive(selection)
    without_card = frozenset(anonymous)
    causes: Counter[Cause] = Counter()
    compared = anonymous_equal = 0
    for basket in selection.baskets:
        paid = calculated_paid_by_basket.get(basket.basket_id)
        if paid is None:
            continue
        compared += 1
        difference = paid - basket.paid_minor
        if basket.basket_id in without_card:
            causes[Cause.ANONYMOUS] += difference != 0
            anonymous_equal += difference == 0
        elif difference:
            causes[cause_of(basket, difference, selection, derived)] += 1
    equal = compared - causes.total()
    return Comparison(
        compared=compared,
        equal=equal,
        causes={cause: causes[cause] for cause in Cause if causes[cause]},
        identified=compared - causes[Cause.ANONYMOUS] - anonymous_equal,
        identified_equal=equal - anonymous_equal,
    )


def cause_of(basket: RealBasket, difference: int, selection: Selection, derived: Derived) -> Cause:
    """Return why the basket differs, worked out without the engine.

    Args:
        difference: minor units calculated above what was paid, not 0.
        derived: what the bundle was made from that the total was calculated with.
    """
    prices = {line.sku: price_minor(line, basket, selection, derived) for line in basket.lines}
    wrong = [line for line in basket.lines if prices[line.sku] != line.card_minor]
    given, covered = _coupons_given(basket, prices, selection, derived)
    taken = sum(line.coupon_value_minor for line in basket.lines)
    on_price = sum(prices[line.sku] - line.card_minor for line in wrong)
    if on_price + taken - given != difference:
        return Cause.UNEXPLAINED
    if given != sum(line.coupon_value_minor for line in basket.lines if line.sku in covered):
        return Cause.COUPON_VALUE
    return _price_cause(wrong, prices, selection) if wrong else Cause.PAPER_COUPON


def _price_cause(
    wrong: Sequence[RealLine], prices: Mapping[str, int], selection: Selection
) -> Cause:
    if any(selection.product(line.sku).is_fuel for line in wrong):
        return Cause.FUEL_REWARD
    if any(line.card_minor == line.gross_minor for line in wrong):
        return Cause.NO_CARD_PRICE
    if all(line.by_weight and abs(prices[line.sku] - line.card_minor) <= 2 for line in wrong):
        return Cause.WEIGHT_ROUNDING
    return Cause.OTHER_CARD_PRICE


def price_minor(line: RealLine, basket: RealBasket, selection: Selection, derived: Derived) -> int:
    """Return the card price of a line in minor units, the regular one where no other is known."""
    price = derived.prices.get(window_of(selection, basket, line), {}).get(line.sku)
    return price.price_minor(line) if price else line.gross_minor


def _coupons_given(
    basket: RealBasket, prices: Mapping[str, int], selection: Selection, derived: Derived
) -> tuple[int, set[str]]:
    """Return what the bundle's coupons take off the basket, and the SKUs they cover."""
    audience = selection.audiences.get(basket.household_id, ())
    given, covered = 0, set[str]()
    for upc in {issue.upc for issue in derived.coupons.by_basket.get(basket.basket_id, ())}:
        most = 0
        for issue in derived.issues:
            campaign = selection.campaigns[issue.campaign_id]
            if (
                issue.upc == upc
                and issue.campaign_id in audience
                and campaign.starts <= basket.day < campaign.until
            ):
                skus = selection.coupons[issue] & prices.keys()
                covered |= skus
                room = sum(prices[sku] for sku in skus)
                most = max(most, min(derived.coupons.value_minor[upc], room))
        given += most
    return given, covered


def replay(sessions: Sequence[Session], accounts: Sequence[Account], rules: Rules) -> Replay:
    """Calculate what each sale comes to, with no till between and no points to spend."""
    snapshots = {account.account_id: account.snapshot() for account in accounts}
    result = Replay()
    shown = perf_counter()
    for place, session in enumerate(sessions):
        if session.is_return:
            continue
        state = final_state(session)
        basket = Basket(
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
        )
        before = perf_counter()
        calculation = calculate(
            basket,
            rules,
            moment=Moment(local=session.moment),
            place=Place(store=session.store),
            account=NOBODY if session.is_anonymous else snapshots[session.household_id],
        )
        after = perf_counter()
        result.calculate_us.append((after - before) * 1e6)
        result.paid_minor[session.basket_id] = calculation.totals.paid_minor
        result.points += calculation.totals.earned_points
        result.unproven += not calculation.proven
        if session.is_anonymous:
            result.anonymous.add(session.basket_id)
        if after - shown > _PROGRESS_S:
            shown = after
            print(f"calculated {place + 1} of {len(sessions)} sessions", file=sys.stderr)
    return result


def report(selection: Selection, *, seed: int) -> dict[str, object]:
    """Build everything for a selection, replay it and return the figures."""
    derived = derive(selection)
    bundle = build_bundle(selection, version=1, derived=derived)
    document = json.dumps(encode(bundle), sort_keys=True, separators=(",", ":")).encode()
    accounts = build_accounts(selection, seed=seed)
    sessions = build_sessions(selection, accounts, derived.coupons, seed=seed)
    begun = perf_counter()
    rules = compile_bundle(bundle, sha256(document).hexdigest())
    compiled = perf_counter()
    result = replay(sessions, accounts, rules)
    comparison = paid_comparison(
        result.paid_minor, selection, derived=derived, anonymous=result.anonymous
    )
    calculate_us = sorted(result.calculate_us)
    return {
        "stores": list(selection.stores),
        "weeks": [selection.first_week, selection.last_week],
        "left_out": dict(selection.left_out),
        "baskets": len(selection.baskets),
        "lines": sum(len(basket.lines) for basket in selection.baskets),
        "households": len(accounts),
        "card_prices": prices_counted(derived.prices),
        "coupons": _coupon_figures(bundle, derived),
        "bundle": {
            "offers": len(bundle.offers),
            "products": len(bundle.catalogue),
            "bytes": len(document),
            "hash": rules.bundle_hash,
        },
        "sessions": {
            "sales": len(result.paid_minor),
            "returns": sum(session.is_return for session in sessions),
            "anonymous": len(result.anonymous),
            "points_earned": result.points,
            "not_proven_best": result.unproven,
        },
        "comparison": {
            "compared": comparison.compared,
            "equal": comparison.equal,
            "equal_percent": _percent(comparison.equal, comparison.compared),
            "identified": comparison.identified,
            "identified_equal": comparison.identified_equal,
            "identified_equal_percent": _percent(
                comparison.identified_equal, comparison.identified
            ),
            "identified_equal_but_for_paper_coupons_percent": _percent(
                comparison.identified_equal_but_for_paper, comparison.identified
            ),
            "causes": dict(comparison.causes),
        },
        "speed": {
            "compile_ms": round((compiled - begun) * 1e3, 2),
            "calculate_us_median": round(median(calculate_us)),
            "calculate_us_p99": round(calculate_us[len(calculate_us) * 99 // 100]),
            # The first basket of a store's day pays for the day's index.
            "calculate_us_max": round(calculate_us[-1]),
        },
    }


def _coupon_figures(bundle: Bundle, derived: Derived) -> dict[str, int]:
    return {
        "offers": len(derived.issues),
        "products_in_groups": sum(len(skus) for skus in bundle.groups.values()),
        "left_out_without_value": derived.coupons.without_value,
        "baskets_with_codes": len(derived.coupons.by_basket),
        "redemptions_elsewhere": derived.coupons.redemptions_elsewhere,
    }


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def stores_wanted(text: str) -> tuple[int, ...]:
    """Read `--stores`: how many stores to choose (up to 20), or the data's numbers with commas.

    Raises:
        argparse.ArgumentTypeError: it is neither.
    """
    parts = [part for part in text.split(",") if part]
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(
            "give a number of stores, or store numbers such as 343,292"
        )
    if "," not in text and 0 < int(text) <= _STORES_COUNT_MAX:
        return choose_stores(int(text))
    return tuple(map(int, parts))


def weeks_wanted(text: str) -> tuple[int, int]:
    """Read `--weeks`: one week or the first and the last.

    Raises:
        argparse.ArgumentTypeError: it is neither.
    """
    first, _, last = text.partition("-")
    if not first.isdigit() or (last and not last.isdigit()):
        raise argparse.ArgumentTypeError("give weeks such as 1-20")
    return int(first), int(last or first)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison as a command; the exit status is 1 when a difference is unexplained."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.grocery.compare",
        description="Replay real baskets through the rules and compare with what was paid.",
    )
    parser.add_argument("--stores", type=stores_wanted, default="2", help="how many, or numbers")
    parser.add_argument("--weeks", type=weeks_wanted, default="1-20", help="first to last, of 1-53")
    parser.add_argument("--seed", type=int, default=1, help="of cards shown and the like")
    parser.add_argument("--shift-days", type=int, default=0, help="whole weeks in days")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    first, last = options.weeks
    selection = load_selection(
        options.stores, first_week=first, last_week=last, shift_days=options.shift_days
    )
    figures = report(selection, seed=options.seed)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        _print(figures)
    comparison = figures["comparison"]
    assert isinstance(comparison, dict)
    return int(Cause.UNEXPLAINED in comparison["causes"])


def _print(figures: Mapping[str, object], indent: str = "") -> None:
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"{indent}{name.replace('_', ' ')}:")
            _print(value, indent + "  ")
        else:
            words = CAUSES_EXPLAINED[Cause(name)] if name in set(Cause) else ""
            print(f"{indent}{name.replace('_', ' ')}: {value}{words and f'  ({words})'}")


if __name__ == "__main__":
    sys.exit(main())

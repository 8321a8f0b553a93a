"""The discount a back-test foretells for the first day of new prices, beside what was then paid.

Each week of each store has card prices of its own, valid from Monday. A back-test of a week's
prices is asked two things:

- `same_day`: the baskets of that Monday, sold without any card price, calculated with the draft.
  Everybody buys what he did buy: what is left is the error of rules and calculation.
- `week_before`: the same draft on the baskets of the Monday before, as marketing would ask. What
  people buy because it is cheaper is not in those baskets.

The prices are read from what was paid in that week (`bench.grocery.prices`): a product that nobody
of the data's households bought has none, and `week_before` foretells too little by that, too.
Baskets with a coupon or with fuel are left out: what they cost the data does not explain.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

from bench.backtest.real_archive import RealArchive
from bench.grocery.data import RealBasket, Selection
from bench.grocery.offers import build_bundle, derive
from central.backtest.archive import Period
from central.backtest.change import RuleChange
from central.backtest.processes import Task, backtest_archive
from loyalty.bundle import Bundle
from loyalty.offers import CardPrice, Offer

_MONDAY = 0
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """Card discounts of first days, by store.

    Attributes:
        receipts: that the draft was calculated on.
    """

    receipts: int
    foretold_minor: Mapping[str, int]
    actual_minor: Mapping[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """Return it for the report, errors as shares of what was paid less."""
        foretold, actual = sum(self.foretold_minor.values()), sum(self.actual_minor.values())
        errors = sorted(
            abs(_error_percent(self.foretold_minor.get(store, 0), minor))
            for store, minor in self.actual_minor.items()
            if minor
        )
        return {
            "receipts": self.receipts,
            "foretold_minor": foretold,
            "actual_minor": actual,
            "error_percent": _error_percent(foretold, actual),
            "store_error_percent_median": errors[len(errors) // 2] if errors else 0.0,
            "store_error_percent_max": errors[-1] if errors else 0.0,
        }


def _error_percent(foretold: int, actual: int) -> float:
    return round(100 * (foretold - actual) / actual, 2) if actual else 0.0


def foretell(selection: Selection, folder: Path) -> dict[str, Foretold]:
    """Back-test every week's card prices on Mondays.

    Args:
        folder: where two archives are made.
    """
    bundle = build_bundle(selection, version=1, derived=derive(selection))
    prices = [offer for offer in bundle.offers if isinstance(offer.gives, CardPrice)]
    without = replace(bundle, offers=_without(bundle, prices))
    baskets = [basket for basket in selection.baskets if _is_plain(basket, selection)]
    first, _ = selection.window(selection.first_week)
    mondays = [basket for basket in baskets if _is_monday(basket.day)]
    # The first week's prices have no week before them.
    foretold = [basket for basket in mondays if basket.day > first[:10]]
    last = max((basket.day for basket in mondays), default="")
    before = [basket for basket in mondays if basket.day < last]
    actual = _paid_less(foretold)
    same = _backtested(folder / "same_day", without, prices, foretold)
    earlier = _backtested(
        folder / "week_before", without, list(map(_a_week_earlier, prices)), before
    )
    return {
        "same_day": replace(same, actual_minor=actual),
        "week_before": replace(earlier, actual_minor=actual),
    }


def _without(bundle: Bundle, offers: Sequence[Offer]) -> tuple[Offer, ...]:
    gone = {offer.offer_id for offer in offers}
    return tuple(offer for offer in bundle.offers if offer.offer_id not in gone)


def _is_plain(basket: RealBasket, selection: Selection) -> bool:
    return not any(
        line.coupon_value_minor or selection.product(line.sku).is_fuel for line in basket.lines
    )


def _is_monday(day: str) -> bool:
    return date.fromisoformat(day).weekday() == _MONDAY


def _paid_less(baskets: Sequence[RealBasket]) -> Mapping[str, int]:
    found: Counter[str] = Counter()
    for basket in baskets:
        found[basket.store_id] += sum(line.gross_minor - line.card_minor for line in basket.lines)
    return found


def _a_week_earlier(offer: Offer) -> Offer:
    when = offer.when
    return replace(
        offer, when=replace(when, starts=_earlier(when.starts), until=_earlier(when.until))
    )


def _earlier(moment: str) -> str:
    return f"{date.fromisoformat(moment[:10]) - _WEEK}{moment[10:]}"


def _backtested(
    folder: Path, bundle: Bundle, draft: Sequence[Offer], baskets: Sequence[RealBasket]
) -> Foretold:
    made = RealArchive(folder, bundle)
    made.write(made.sold_real(baskets))
    days = sorted({basket.day for basket in baskets})
    ran = backtest_archive(
        Task(
            folder=str(folder),
            period=Period(days[0], days[-1]),
            change=RuleChange(offers=tuple(draft)),
        ),
        jobs=1,
    )
    return Foretold(
        receipts=ran.figures.total().receipts,
        foretold_minor={
            store: figures.with_change.discount_minor - figures.without.discount_minor
            for store, figures in ran.figures.stores.items()
        },
    )

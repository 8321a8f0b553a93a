"""Which basket a coupon was handed in with, and what it is worth; the data says neither."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.grocery.data import CouponIssue, CouponLine, RealBasket, Selection


@dataclass(frozen=True, slots=True)
class ValueSeen:
    """What a coupon took off where exactly one line of a household's day can have been meant."""

    household_id: int
    day: str
    value_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponsFound:
    """What the redemptions say.

    Attributes:
        value_minor: by coupon, what it takes off; coupons without a value are not in it.
        by_basket: coupons handed in with each basket of the selection, in the data's order.
        without_value: coupons redeemed somewhere in the chain whose value the data does not show.
        redemptions_elsewhere: redemptions on days of a visit here that belong to no basket here.
        seen: by coupon, what its value was read from.
    """

    value_minor: Mapping[int, int]
    by_basket: Mapping[int, tuple[CouponIssue, ...]]
    without_value: int
    redemptions_elsewhere: int
    seen: Mapping[int, tuple[ValueSeen, ...]] = field(default_factory=dict)

    def value_without(self, upc: int, household_id: int, day: str) -> int | None:
        """Return what a coupon is worth by everybody else's redemptions, None when nobody tells."""
        others = [
            each.value_minor
            for each in self.seen.get(upc, ())
            if (each.household_id, each.day) != (household_id, day)
        ]
        return _most_often(others) if others else None


def find_coupons(selection: Selection) -> CouponsFound:
    """Read values and baskets of the coupons from the chain's redemptions.

    A coupon is worth what it most often took off where exactly one line of that day can have been
    meant; equal counts go to the smaller value. It must have taken something off on at least half
    of its redemptions: the chain's own coupons hardly ever do, and the lines they stand beside
    belong to other coupons.
    """
    reduced: dict[tuple[int, str], list[CouponLine]] = defaultdict(list)
    for line in selection.coupon_lines:
        reduced[line.household_id, line.day].append(line)
    visits: dict[tuple[int, str], list[RealBasket]] = defaultdict(list)
    for basket in selection.baskets:
        visits[basket.household_id, basket.day].append(basket)
    uses: Counter[int] = Counter()
    with_value: Counter[int] = Counter()
    seen: dict[int, list[ValueSeen]] = defaultdict(list)
    by_basket: dict[int, dict[CouponIssue, None]] = defaultdict(dict)
    elsewhere = 0
    for redemption in selection.redemptions:
        upc, skus = redemption.issue.upc, selection.coupons[redemption.issue]
        visit = (redemption.household_id, redemption.day)
        lines = [line for line in reduced.get(visit, ()) if line.sku in skus]
        uses[upc] += 1
        with_value[upc] += bool(lines)
        if len(lines) == 1:
            seen[upc].append(ValueSeen(*visit, lines[0].value_minor))
        if visit in visits:
            basket_id = _basket_of(visits[visit], skus, reduced_anywhere=bool(lines))
            if basket_id:
                by_basket[basket_id][redemption.issue] = None
            else:
                elsewhere += 1
    value_minor = {
        upc: _most_often([each.value_minor for each in of_coupon])
        for upc, of_coupon in sorted(seen.items())
        if 2 * with_value[upc] >= uses[upc]
    }
    return CouponsFound(
        value_minor=value_minor,
        by_basket={basket: tuple(issues) for basket, issues in by_basket.items()},
        without_value=len(uses) - len(value_minor),
        redemptions_elsewhere=elsewhere,
        seen={upc: tuple(of_coupon) for upc, of_coupon in seen.items()},
    )


def _most_often(values: Sequence[int]) -> int:
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))


def _basket_of(visits: list[RealBasket], skus: frozenset[str], *, reduced_anywhere: bool) -> int:
    """Return the basket the coupon was handed in with, 0 for none of these."""
    covering = [basket for basket in visits if any(line.sku in skus for line in basket.lines)]
    for basket in covering:
        if any(line.sku in skus and line.coupon_value_minor for line in basket.lines):
            return basket.basket_id
    # A reduced line that is not here was sold in another store, and the coupon with it.
    if not covering or reduced_anywhere:
        return 0
    return covering[0].basket_id

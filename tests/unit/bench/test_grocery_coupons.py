"""What coupons are worth and which baskets they belong to, on made-up redemptions."""

from bench.grocery.coupons import CouponsFound, find_coupons
from bench.grocery.data import (
    CouponIssue,
    CouponLine,
    CouponRedemption,
    RealBasket,
    RealLine,
    Selection,
)

ISSUE = CouponIssue(51, 26)
DAY = "2017-01-03"


def basket(number: int, *skus: str, value_minor: int = 0) -> RealBasket:
    return RealBasket(
        basket_id=number,
        household_id=1,
        store_id="7",
        week=2,
        moment=f"{DAY}T10:00:{number:02d}",
        lines=tuple(
            RealLine(
                sku=sku,
                quantity=1000,
                by_weight=False,
                gross_minor=300,
                card_minor=300,
                coupon_minor=value_minor,
            )
            for sku in skus
        ),
    )


def find(*baskets: RealBasket, lines: tuple[CouponLine, ...], redemptions: int = 1) -> CouponsFound:
    return find_coupons(
        Selection(
            stores=("7",),
            first_week=2,
            last_week=2,
            shift_days=0,
            baskets=baskets,
            left_out={},
            products={},
            campaigns={},
            audiences={},
            coupons={ISSUE: frozenset({"a", "b"})},
            redemptions=tuple(
                CouponRedemption(household, ISSUE, DAY) for household in range(1, redemptions + 1)
            ),
            coupon_lines=lines,
        )
    )


def taken(household: int, *values: int) -> tuple[CouponLine, ...]:
    return tuple(CouponLine(household, DAY, "a", value) for value in values)


def test_a_coupon_is_worth_what_it_mostly_took_off() -> None:
    lines = (*taken(1, 100), *taken(2, 75), *taken(3, 100))
    assert find(lines=lines, redemptions=3).value_minor == {51: 100}


def test_equal_counts_go_to_the_smaller_value() -> None:
    assert find(lines=(*taken(1, 100), *taken(2, 75)), redemptions=2).value_minor == {51: 75}


def test_what_a_coupon_is_worth_to_others_leaves_the_own_redemption_out() -> None:
    found = find(lines=(*taken(1, 100), *taken(2, 75), *taken(3, 100)), redemptions=3)
    assert found.value_without(51, 1, DAY) == 75
    assert found.value_without(51, 2, DAY) == 100
    assert found.value_without(51, 1, "2017-01-04") == 100


def test_a_coupon_nobody_else_redeemed_is_worth_nothing_known_to_others() -> None:
    found = find(lines=taken(1, 100))
    assert found.value_minor == {51: 100}
    assert found.value_without(51, 1, DAY) is None
    assert found.value_without(52, 1, DAY) is None


def test_lines_that_may_belong_to_other_coupons_give_no_value() -> None:
    found = find(lines=taken(1, 100, 50))
    assert (found.value_minor, found.without_value) == ({}, 1)


def test_a_coupon_that_seldom_took_anything_off_has_no_value() -> None:
    assert find(lines=taken(1, 100), redemptions=3).value_minor == {}


def test_the_basket_with_the_reduced_line_had_the_coupon() -> None:
    found = find(basket(1, "b"), basket(2, "a", value_minor=100), lines=taken(1, 100))
    assert found.by_basket == {2: (ISSUE,)}


def test_a_coupon_that_took_nothing_off_belongs_to_the_first_basket_it_covers() -> None:
    found = find(basket(1, "x"), basket(2, "a"), basket(3, "b"), lines=())
    assert found.by_basket == {2: (ISSUE,)}


def test_a_coupon_used_in_another_store_belongs_to_no_basket_here() -> None:
    found = find(basket(1, "b"), lines=taken(1, 100))
    assert (found.by_basket, found.redemptions_elsewhere) == ({}, 1)

"""The whole path: what a calculation says, and why."""

from collections.abc import Mapping

import pytest

from loyalty.account import RedeemRequest
from loyalty.basket import Basket
from loyalty.bundle import Product
from loyalty.calculate import calculate
from loyalty.calculation import Calculation, Reason, Totals
from loyalty.canonical import canonical_bytes
from loyalty.money import ROUNDING_RULE
from loyalty.offers import (
    AmountOff,
    NeedsCode,
    NeedsLines,
    Offer,
    PointsPerItem,
    PointsPerMoney,
    When,
    Who,
)
from tests.support.builders import (
    account,
    basket,
    combines,
    having,
    line,
    lot,
    moment,
    offer,
    percent,
    place,
    right,
    rules,
)

NO_PRODUCTS: Mapping[str, Product] = {}


def calculated(
    *offers: Offer, bought: Basket | None = None, catalogue: Mapping[str, Product] = NO_PRODUCTS
) -> Calculation:
    """Calculate one line of 10.00, or the basket given, for a known customer."""
    compiled = rules(*offers, catalogue=catalogue)
    return calculate(
        bought or basket(), compiled, moment=moment(), place=place(), account=account()
    )


def only_reason(*offers: Offer, bought: Basket | None = None) -> Reason:
    """Return the one reason of a calculation."""
    (reason,) = calculated(*offers, bought=bought).reasons
    return reason


def test_a_basket_without_lines_is_calculated() -> None:
    result = calculated(offer(), bought=Basket(lines=()))
    assert (result.lines, result.totals) == ((), Totals())


def test_no_offers_leave_the_price() -> None:
    assert calculated().totals == Totals(gross_minor=1_000, paid_minor=1_000)


def test_a_basket_without_an_account_is_calculated() -> None:
    result = calculate(basket(), rules(offer()), moment=moment(), place=place())
    assert (result.account_id, result.totals.discount_minor) == (0, 100)


def test_the_result_names_its_inputs_and_its_rounding() -> None:
    compiled = rules()
    result = calculate(
        basket(), compiled, moment=moment(), place=place("store-9"), account=account(12)
    )
    assert (result.bundle, result.rounding) == (compiled.bundle_hash, ROUNDING_RULE)
    assert (result.store, result.account_id, result.moment) == ("store-9", 12, moment().local)


def test_an_unknown_sku_takes_part_in_offers_for_everything() -> None:
    result = calculated(offer(), bought=basket(line(sku="never heard of")))
    assert (result.lines[0].sku, result.totals.discount_minor) == ("never heard of", 100)


def test_a_line_tells_each_effect() -> None:
    result = calculated(
        offer("off", percent(10)),
        offer("money", PointsPerMoney(points=1, per_minor=100)),
        offer("items", PointsPerItem(points=2)),
    )
    effects = [(e.offer_id, e.discount_minor, e.points) for e in result.lines[0].effects]
    assert effects == [("off", 100, 0), ("items", 0, 2), ("money", 0, 9)]


def test_the_parts_of_a_line_add_up_to_its_gross() -> None:
    result = calculate(
        basket(line(gross_minor=999)),
        rules(offer(gives=AmountOff(amount_minor=333))),
        moment=moment(),
        place=place(),
        account=account(),
        request=RedeemRequest(points=111),
        right=right(None, lot(1, 200)),
    )
    one = result.lines[0]
    assert (one.discount_minor, one.redeemed_minor, one.paid_minor) == (333, 111, 555)


def test_a_product_barred_from_discounts_keeps_its_price() -> None:
    bought = basket(line("1", "tobacco"), line("2", "bread"))
    barred = {"tobacco": Product(barred=("discount",))}
    result = calculated(offer(), bought=bought, catalogue=barred)
    assert [one.discount_minor for one in result.lines] == [0, 100]


def test_a_line_the_register_has_reduced_is_left_alone_where_the_offer_says_so() -> None:
    bought = basket(line("1", pos_reduced=True), line("2"))
    alone = calculated(offer(combines=combines(on_reduced=False)), bought=bought)
    beside = calculated(offer(), bought=bought)
    assert [one.discount_minor for one in alone.lines] == [0, 100]
    assert [one.discount_minor for one in beside.lines] == [100, 100]


def test_an_applied_discount_is_told_with_its_amount() -> None:
    assert only_reason(offer("o")) == Reason(
        offer_id="o", code="applied", figures={"discount_minor": 100}
    )


def test_applied_points_are_told_with_their_number() -> None:
    assert only_reason(offer("o", PointsPerItem(points=4))) == Reason(
        offer_id="o", code="applied", figures={"points": 4}
    )


def test_a_lost_offer_is_told_with_the_one_that_was_taken() -> None:
    group = combines("g")
    result = calculated(
        offer("a", percent(5), combines=group), offer("b", percent(6), combines=group)
    )
    assert result.reasons[0] == Reason(offer_id="a", code="lost_to", figures={"to": "b"})


def test_lines_that_may_not_take_part_are_told() -> None:
    reduced = basket(line(pos_reduced=True))
    found = only_reason(offer("o", combines=combines(on_reduced=False)), bought=reduced)
    figures = {"lines": 1, "reduced": 1}
    assert found == Reason(offer_id="o", code="lines_excluded", figures=figures)


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (offer(who=Who(tiers=("gold",))), "not_in_tier"),
        (offer(when=When(weekdays=(7,))), "not_today"),
        (offer(when=When(hours=(("18:00", "20:00"),))), "not_this_hour"),
    ],
)
def test_what_keeps_an_offer_is_told(one: Offer, code: str) -> None:
    assert only_reason(one).code == code


def test_a_coupon_that_was_not_presented_is_not_spoken_of() -> None:
    assert calculated(offer(needs=NeedsCode(one_of=("C",)))).reasons == ()


def test_a_coupon_for_other_lines_is_told() -> None:
    one = offer(needs=NeedsCode(one_of=("C",)), lines=having("sku", "soap"))
    assert only_reason(one, bought=basket(codes=["C"])).code == "lines_excluded"


def test_reasons_stand_in_the_order_of_their_offers() -> None:
    result = calculated(offer("c"), offer("a", PointsPerItem(points=1)), offer("b"))
    assert [reason.offer_id for reason in result.reasons] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("needs", "figures"),
    [
        (NeedsLines(quantity_min=2_000), {"have": 1_000, "need": 2_000, "missing": 1_000}),
        (NeedsLines(amount_minor_min=1_200), {"have": 1_000, "need": 1_200, "missing": 200}),
        (NeedsLines(distinct_min=4), {"have": 1, "need": 4, "missing": 3}),
    ],
)
def test_what_the_customer_can_still_do_is_a_hint(
    needs: NeedsLines, figures: dict[str, int]
) -> None:
    result = calculated(offer("o", needs=needs), offer("p", who=Who(tiers=("gold",))))
    assert [hint.offer_id for hint in result.hints] == ["o"]
    assert result.hints[0].figures == figures


def test_an_offer_that_acts_is_no_hint() -> None:
    assert calculated(offer(needs=NeedsLines(quantity_min=1_000))).hints == ()


def test_a_customer_whose_account_is_not_known_here_is_identified() -> None:
    result = calculate(
        basket(),
        rules(offer(who=Who(identified=True))),
        moment=moment(),
        place=place(),
        account=account(0),
    )
    assert (result.account_id, result.totals.discount_minor) == (0, 100)


def test_calculating_leaves_the_rules_as_they_were() -> None:
    compiled = rules(offer("a"), offer("b", PointsPerItem(points=1)))
    first, _, third = (
        canonical_bytes(calculate(bought, compiled, moment=moment(), place=place()))
        for bought in (basket(), basket(line("x", pieces=9), codes=["C"]), basket())
    )
    assert first == third

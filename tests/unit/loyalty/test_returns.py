"""A return gives back exactly what was recorded, whole or in parts, by the terms of that day."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from loyalty.account import RedeemRequest
from loyalty.basket import BasketLine
from loyalty.bundle import ReturnTerms
from loyalty.calculate import calculate
from loyalty.calculation import (
    CalculatedLine,
    Calculation,
    Counted,
    EarnedLot,
    Effect,
    FrozenTerms,
    RedeemedPart,
    Totals,
)
from loyalty.errors import AmountError
from loyalty.frozen import Condition, Threshold
from loyalty.offers import (
    AmountOff,
    Combines,
    Limits,
    NeedsLines,
    NForM,
    Offer,
    PercentOff,
    PointsMultiplier,
    PointsPerItem,
    PointsPerMoney,
    Stamps,
    UnitRates,
)
from loyalty.outcomes import Outcome
from loyalty.returns import (
    NOTHING_RETURNED,
    EarnedBack,
    ReturnCalculation,
    Returned,
    ReturnItem,
    ReturnMade,
    already_returned,
    calculate_return,
    end_after_return,
)
from loyalty.standing import what_stands
from tests.support.builders import (
    A_WEDNESDAY,
    account,
    basket,
    bundle,
    having,
    items,
    line,
    lot,
    moment,
    offer,
    percent,
    pieces,
    place,
    programme,
    right,
    rules,
)

TODAY = "2025-03-06"


@pytest.fixture
def sold() -> Calculation:
    """A receipt of three lines with a discount, redeemed points of two lots and two earned lots."""
    return calculate(
        basket(line("1", gross_minor=999), line("2", gross_minor=501), line("3", gross_minor=77)),
        rules(
            offer("off", AmountOff(amount_minor=100)),
            offer("money", PointsPerMoney(points=7, per_minor=100)),
            offer("items", PointsPerItem(points=3)),
        ),
        moment=moment(),
        place=place(),
        account=account(),
        request=RedeemRequest(points=333),
        right=right(400, lot(1, 100), lot(2, 200)),
    )


def receipt(
    *lines: CalculatedLine,
    returns: ReturnTerms | None = None,
    earned: tuple[EarnedLot, ...] = (),
    redeemed: tuple[RedeemedPart, ...] = (),
    conditions: tuple[Condition, ...] = (),
    counted: tuple[Counted, ...] = (),
    point_value: tuple[int, int] = (1, 1),
) -> Calculation:
    """Return a receipt written by hand; its totals play no part in a return."""
    return Calculation(
        bundle="b1",
        rounding="",
        account_id=7,
        moment=A_WEDNESDAY,
        store="store-1",
        lines=lines,
        totals=Totals(),
        earned=earned,
        redeemed=redeemed,
        conditions=conditions,
        counted=counted,
        terms=FrozenTerms(
            point_value_minor=point_value[0],
            point_value_points=point_value[1],
            returns=returns or ReturnTerms(),
        ),
    )


def goods(
    line_id: str = "1",
    *,
    count: int = 1,
    paid_minor: int = 1_000,
    off: tuple[tuple[str, int], ...] = (),
    points: tuple[tuple[str, int], ...] = (),
    redeemed_points: int = 0,
    weight: int = 0,
    sku: str = "milk",
) -> CalculatedLine:
    """Return a line of so many pieces or of a weight; a redeemed point paid one minor unit."""
    discount_minor = sum(minor for _, minor in off)
    return CalculatedLine(
        line_id=line_id,
        sku=sku,
        quantity=weight or count * 1_000,
        gross_minor=paid_minor + redeemed_points + discount_minor,
        discount_minor=discount_minor,
        redeemed_minor=redeemed_points,
        redeemed_points=redeemed_points,
        paid_minor=paid_minor,
        earned_points=sum(each for _, each in points),
        effects=(
            *(Effect(offer_id=offer_id, discount_minor=minor) for offer_id, minor in off),
            *(Effect(offer_id=offer_id, points=each) for offer_id, each in points),
        ),
        by_weight=bool(weight),
    )


def earned_lot(
    points: int, *, offer_id: str = "money", active_from: str = "2025-03-05"
) -> EarnedLot:
    return EarnedLot(
        offer_id=offer_id, points=points, name="regular", active_from=active_from, expires_on=""
    )


def back(
    original: Calculation,
    *lines: str | ReturnItem,
    already: Returned = NOTHING_RETURNED,
    date: str = TODAY,
    available_points: int | None = None,
) -> ReturnCalculation:
    """Return goods that can be returned."""
    found = calculate_return(
        original, items(*lines), already, date=date, available_points=available_points
    )
    assert isinstance(found, ReturnCalculation)
    return found


def in_turn(original: Calculation, *parts: tuple[str | ReturnItem, ...]) -> list[ReturnCalculation]:
    """Return parts one after the other, each knowing of those before."""
    made: list[ReturnMade] = []
    results = []
    for number, part in enumerate(parts):
        result = back(original, *part, already=already_returned(original, made))
        results.append(result)
        made.append(
            ReturnMade(
                key=str(number),
                items=result.items,
                charged_back_minor=result.charged_back_minor,
            )
        )
    return results


def refused(original: Calculation, *lines: str | ReturnItem, already: Returned) -> Outcome:
    found = calculate_return(original, items(*lines), already, date=TODAY)
    assert isinstance(found, Outcome)
    return found


# Everything comes back


def test_everything_returned_at_once_restores_everything(sold: Calculation) -> None:
    result = back(sold, "1", "2", "3")
    assert result.money_back_minor == sold.totals.paid_minor
    assert Counter(result.points_back) == Counter(sold.redeemed)
    assert {one.offer_id: one.points for one in result.taken_back} == {
        one.offer_id: one.points for one in sold.earned
    }
    assert result.completes


@pytest.mark.parametrize(
    "parts",
    [
        [("1",), ("2",), ("3",)],
        [("3",), ("2",), ("1",)],
        [("1", "3"), ("2",)],
        [("2",), ("3", "1")],
    ],
)
def test_everything_returned_in_parts_restores_everything(
    sold: Calculation, parts: list[tuple[str, ...]]
) -> None:
    results = in_turn(sold, *parts)
    assert sum(one.money_back_minor for one in results) == sold.totals.paid_minor
    assert sum(one.points_back_total for one in results) == sold.totals.redeemed_points
    assert sum(one.taken_back_total for one in results) == sold.totals.earned_points
    assert Counter(part for one in results for part in one.points_back) == Counter(sold.redeemed)
    assert [one.completes for one in results] == [False] * (len(parts) - 1) + [True]


def test_points_go_back_to_the_lots_they_came_from(sold: Calculation) -> None:
    result = back(sold, "2")
    assert Counter(result.points_back) == Counter(
        part for part in sold.redeemed if part.line_id == "2"
    )
    assert result.points_back_total == sold.lines[1].redeemed_points > 0


def test_earned_points_are_taken_back_by_offer(sold: Calculation) -> None:
    by_offer = {effect.offer_id: effect.points for effect in sold.lines[0].effects if effect.points}
    assert back(sold, "1").taken_back == (
        EarnedBack(offer_id="items", points=3),
        EarnedBack(offer_id="money", points=by_offer["money"]),
    )


def test_the_order_of_lines_and_repeats_change_nothing(sold: Calculation) -> None:
    assert back(sold, "3", "1", "3") == back(sold, "1", "3")


def test_a_return_names_the_bundle_and_the_account(sold: Calculation) -> None:
    result = back(sold, "1")
    assert (result.bundle, result.account_id, result.date) == (sold.bundle, 7, TODAY)


# A part of a line


def test_pieces_of_a_line_bring_back_what_no_price_divides() -> None:
    three = receipt(goods(count=3, paid_minor=2_900))
    results = in_turn(three, *[(pieces("1", 1),)] * 3)
    assert [one.money_back_minor for one in results] == [967, 967, 966]
    assert [one.completes for one in results] == [False, False, True]


def test_half_of_very_cheap_pieces_brings_back_half_of_the_money() -> None:
    nails = receipt(goods(count=100, paid_minor=50))
    assert back(nails, pieces("1", 50)).money_back_minor == 25


def test_a_part_of_a_weighed_line_brings_back_its_share() -> None:
    cheese = receipt(goods(weight=742, paid_minor=14_099, points=(("money", 141),)))
    first, rest = in_turn(cheese, (ReturnItem(line_id="1", quantity=371),), ("1",))
    assert (first.money_back_minor, rest.money_back_minor) == (7_050, 7_049)
    assert (first.taken_back_total, rest.taken_back_total) == (71, 70)
    assert first.items == rest.items == (ReturnItem(line_id="1", quantity=371),)


def test_a_line_without_a_quantity_comes_back_with_all_that_is_left() -> None:
    _, rest = in_turn(receipt(goods(count=5)), (pieces("1", 2),), ("1",))
    assert rest.items == (pieces("1", 3),)


def test_a_line_named_twice_comes_back_with_both_quantities() -> None:
    five = receipt(goods(count=5))
    assert back(five, pieces("1", 1), pieces("1", 2)).items == (pieces("1", 3),)


def test_gross_is_discount_and_points_and_money_in_every_part() -> None:
    original = receipt(
        goods(count=7, paid_minor=1_001, off=(("off", 100),), redeemed_points=40),
        redeemed=(RedeemedPart(line_id="1", lot_id=1, points=40),),
    )
    results = in_turn(original, *[(pieces("1", 1),)] * 7)
    for result in results:
        (one,) = result.lines
        assert one.gross_minor == one.discount_minor + one.redeemed_minor + one.paid_minor
        assert one.money_back_minor == one.paid_minor == result.money_back_minor
    assert sum(one.lines[0].gross_minor for one in results) == original.lines[0].gross_minor


def test_the_lot_spent_last_comes_back_first() -> None:
    original = receipt(
        goods(count=4, redeemed_points=40),
        redeemed=(
            RedeemedPart(line_id="1", lot_id=1, points=25),
            RedeemedPart(line_id="1", lot_id=2, points=15),
        ),
    )
    results = in_turn(original, *[(pieces("1", 1),)] * 4)
    assert [[(part.lot_id, part.points) for part in one.points_back] for one in results] == [
        [(2, 10)],
        [(2, 5), (1, 5)],
        [(1, 10)],
        [(1, 10)],
    ]


# What cannot be returned


@pytest.mark.parametrize("lines", [[], ["4"], ["1", "4"]])
def test_a_line_the_receipt_lacks_is_unknown(sold: Calculation, lines: list[str]) -> None:
    assert refused(sold, *lines, already=NOTHING_RETURNED) is Outcome.LINE_UNKNOWN


def test_a_line_is_returned_once(sold: Calculation) -> None:
    already = Returned(quantities={"2": 1_000})
    assert refused(sold, "1", "2", already=already) is Outcome.LINE_ALREADY_RETURNED


@pytest.mark.parametrize(("before", "now"), [(0, 4), (1, 3), (2, 2)])
def test_more_than_is_left_is_refused_by_name(before: int, now: int) -> None:
    three = receipt(goods(count=3))
    already = Returned(quantities={"1": before * 1_000})
    assert refused(three, pieces("1", now), already=already) is Outcome.QUANTITY_NOT_LEFT
    assert back(three, pieces("1", now - 1), already=already).items == (pieces("1", now - 1),)


def test_pieces_come_back_whole() -> None:
    three = receipt(goods(count=3))
    half = ReturnItem(line_id="1", quantity=1_500)
    assert refused(three, half, already=NOTHING_RETURNED) is Outcome.NOT_WHOLE_PIECES


def test_tills_that_did_not_know_of_each_other_may_have_taken_back_more_than_was_sold() -> None:
    three = receipt(goods(count=3))
    already = Returned(quantities={"1": 4_000})
    assert refused(three, "1", already=already) is Outcome.LINE_ALREADY_RETURNED


@pytest.mark.parametrize(("line_id", "quantity"), [("", 0), ("x" * 201, 0), ("1", -1)])
def test_an_item_out_of_bounds_is_refused(line_id: str, quantity: int) -> None:
    with pytest.raises(AmountError):
        ReturnItem(line_id=line_id, quantity=quantity)


def test_earlier_returns_add_up_and_a_whole_line_stands_for_its_quantity() -> None:
    original = receipt(goods("1", count=3), goods("2", count=2))
    made = [
        ReturnMade(key="a", items=(pieces("1", 1),), charged_back_minor=30),
        ReturnMade(key="b", items=(pieces("1", 1), *items("2")), charged_back_minor=-10),
    ]
    assert already_returned(original, made) == Returned(
        quantities={"1": 2_000, "2": 2_000}, charged_back_minor=20
    )


# Points earned and spent since


def earning(policy: str, **fields: object) -> Calculation:
    """Return a receipt of 10.00 that earned 100 points, each worth two minor units."""
    terms = ReturnTerms(earned=policy)  # type: ignore[arg-type]
    return replace(
        receipt(
            goods(count=2, points=(("money", 100),)),
            returns=terms,
            earned=(earned_lot(100),),
            point_value=(2, 1),
        ),
        **fields,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("available_points", [None, 0, 500])
def test_unlimited_takes_all_earned_points_whatever_the_account_has(
    available_points: int | None,
) -> None:
    result = back(earning("unlimited"), "1", available_points=available_points)
    assert (result.taken_back_total, result.money_back_minor) == (100, 1_000)
    assert result.available_points is None


@pytest.mark.parametrize(
    ("active_from", "taken"), [("2025-03-05", 0), (TODAY, 0), ("2025-03-07", 100)]
)
def test_only_pending_takes_points_that_are_not_active_yet(active_from: str, taken: int) -> None:
    original = earning("only_pending", earned=(earned_lot(100, active_from=active_from),))
    assert back(original, "1").taken_back_total == taken


@pytest.mark.parametrize(("available", "taken"), [(0, 0), (60, 60), (100, 100), (999, 100)])
def test_within_balance_takes_what_the_account_still_has(available: int, taken: int) -> None:
    result = back(earning("within_balance"), "1", available_points=available)
    assert (result.taken_back_total, result.money_back_minor) == (taken, 1_000)
    assert result.available_points == available


@pytest.mark.parametrize("policy", ["within_balance", "from_refund"])
def test_when_nobody_can_say_points_are_taken_as_if_they_were_there(policy: str) -> None:
    result = back(earning(policy), "1")
    assert (result.taken_back_total, result.deducted_minor) == (100, 0)
    assert result.available_points is None


def test_from_refund_deducts_the_value_of_points_that_are_gone() -> None:
    result = back(earning("from_refund"), "1", available_points=60)
    assert (result.taken_back_total, result.deducted_points) == (60, 40)
    assert (result.deducted_minor, result.money_back_minor) == (80, 920)
    assert result.lines[0].money_back_minor == 920


def test_from_refund_hands_out_nothing_rather_than_less_and_the_account_owes_the_rest() -> None:
    original = receipt(
        goods(paid_minor=50, points=(("money", 100),)),
        returns=ReturnTerms(earned="from_refund"),
        earned=(earned_lot(100),),
        point_value=(2, 1),
    )
    result = back(original, "1", available_points=10)
    assert (result.money_back_minor, result.deducted_minor) == (0, 50)
    assert (result.deducted_points, result.taken_back_total) == (25, 75)


def test_points_this_return_gives_back_pay_what_it_takes_back() -> None:
    original = receipt(
        goods(redeemed_points=70, points=(("money", 100),)),
        returns=ReturnTerms(earned="within_balance"),
        earned=(earned_lot(100),),
        redeemed=(
            RedeemedPart(line_id="1", lot_id=5, points=50),
            RedeemedPart(line_id="1", lot_id=0, points=20),
        ),
    )
    assert back(original, "1", available_points=0).taken_back_total == 50


# Lots that have ended


@pytest.mark.parametrize(
    ("expires_on", "grace_days", "end"),
    [
        ("", 14, ""),
        ("2025-03-07", 14, "2025-03-07"),
        (TODAY, 14, "2025-03-20"),
        ("2024-12-31", 14, "2025-03-20"),
        ("2024-12-31", 0, "2024-12-31"),
    ],
)
def test_a_lot_that_has_ended_gets_the_grace(expires_on: str, grace_days: int, end: str) -> None:
    original = receipt(
        goods(redeemed_points=50),
        returns=ReturnTerms(grace_days=grace_days),
        redeemed=(RedeemedPart(line_id="1", lot_id=5, points=50, expires_on=expires_on),),
    )
    (part,) = back(original, "1").points_back
    assert part.expires_on == end == end_after_return(expires_on, TODAY, grace_days)


# Offers whose condition the return breaks

CHARGE_BACK = ReturnTerms(broken_condition="charge_back")


def five_of(terms: ReturnTerms) -> Calculation:
    """Return five pieces at 10.00 with ten percent off, which four were needed for."""
    return receipt(
        goods(count=5, paid_minor=4_500, off=(("ten", 500),)),
        returns=terms,
        conditions=(Condition(offer_id="ten", counts="quantity", at_least=4_000, lines=("1",)),),
    )


def test_keeping_the_frozen_allocation_is_the_default() -> None:
    results = in_turn(five_of(ReturnTerms()), *[(pieces("1", 1),)] * 5)
    assert [one.money_back_minor for one in results] == [900] * 5


def test_a_broken_condition_is_charged_once_and_given_back_with_the_goods() -> None:
    results = in_turn(five_of(CHARGE_BACK), *[(pieces("1", 1),)] * 5)
    # The second return leaves three: 3.00 of discount on them have no condition any more.
    assert [one.charged_back_minor for one in results] == [0, 300, -100, -100, -100]
    assert [one.money_back_minor for one in results] == [900, 600, 1_000, 1_000, 1_000]


def test_goods_that_stay_cost_what_they_would_have_cost_without_the_offer() -> None:
    original = five_of(CHARGE_BACK)
    result = back(original, pieces("1", 3))
    assert 4_500 - result.money_back_minor == 2 * 1_000


def test_what_the_refund_cannot_pay_is_charged_with_the_next_one() -> None:
    original = receipt(
        goods("1", paid_minor=100),
        goods("2", count=2, paid_minor=1_800, off=(("ten", 200),), sku="bread"),
        returns=CHARGE_BACK,
        conditions=(Condition(offer_id="ten", counts="distinct", at_least=2, lines=("1", "2")),),
    )
    results = in_turn(original, ("1",), (pieces("2", 1),), (pieces("2", 1),))
    assert [one.money_back_minor for one in results] == [0, 900, 1_000]
    assert [one.charged_back_minor for one in results] == [100, 0, -100]


def test_of_sets_that_stay_whole_the_discount_stays() -> None:
    original = receipt(
        goods(count=6, paid_minor=4_000, off=(("three-for-two", 2_000),)),
        returns=CHARGE_BACK,
        conditions=(
            Condition(
                offer_id="three-for-two", counts="quantity", at_least=3_000, sets=2, lines=("1",)
            ),
        ),
    )
    results = in_turn(original, *[(pieces("1", 1),)] * 6)
    paid = 4_000
    left = []
    for result in results:
        paid -= result.money_back_minor
        left.append(paid)
    # Five cost four, four cost three, three cost two; a set broken is paid in full.
    assert left == [4_000, 3_000, 2_000, 2_000, 1_000, 0]


def test_an_amount_that_is_no_longer_reached_is_charged_back() -> None:
    original = receipt(
        goods("1", paid_minor=900, off=(("ten", 100),)),
        goods("2", paid_minor=450, off=(("ten", 50),)),
        returns=CHARGE_BACK,
        conditions=(Condition(offer_id="ten", counts="amount", at_least=1_200, lines=("1", "2")),),
    )
    assert back(original, "2").money_back_minor == 450 - 100
    assert back(original, "1").money_back_minor == 900 - 50


def test_the_money_of_each_line_adds_up_to_the_money_handed_out() -> None:
    original = receipt(
        goods("1", paid_minor=900, off=(("ten", 100),)),
        goods("2", paid_minor=450, off=(("ten", 50),)),
        goods("3", paid_minor=9_000, off=(("ten", 1_000),)),
        returns=CHARGE_BACK,
        conditions=(
            Condition(offer_id="ten", counts="amount", at_least=11_500, lines=("1", "2", "3")),
        ),
    )
    result = back(original, "1", "2")
    assert (result.charged_back_minor, result.money_back_minor) == (1_000, 350)
    assert [one.money_back_minor for one in result.lines] == [233, 117]


def charging(*offers: Offer, lines: Sequence[BasketLine], held: int = 0) -> Calculation:
    """Return a receipt of the engine whose broken conditions are charged back."""
    return calculate(
        basket(*lines),
        rules(*offers, of=replace(programme(), returns=CHARGE_BACK)),
        moment=moment(),
        place=place(),
        account=account(counters={"stamps:coffee": held}),
    )


def test_of_sets_of_unlike_worth_the_one_that_stays_whole_is_not_charged() -> None:
    original = charging(
        offer(gives=NForM(units=3, pay=2)),
        lines=(line("1", pieces=3, gross_minor=3_000), line("2", pieces=3, gross_minor=600)),
    )
    assert original.totals.paid_minor == 2_400
    result = back(original, pieces("2", 1))
    # Five that stay cost 10, 10, 2, 2 and nothing for the third dear one: 24, as was paid.
    assert (result.charged_back_minor, result.money_back_minor) == (134, 0)


def test_units_that_an_offer_did_not_have_come_back_first() -> None:
    original = charging(
        offer(gives=NForM(units=3, pay=2), limits=Limits(sets_max=1)),
        lines=(line("1", pieces=5, gross_minor=5_000),),
    )
    results = in_turn(original, *[(pieces("1", 1),)] * 5)
    assert [one.charged_back_minor for one in results] == [0, 0, 400, -200, -200]


def test_a_reward_is_charged_when_its_stamps_go() -> None:
    card = Stamps(counter="coffee", every=5, off=PercentOff(rate_ppm=1_000_000))
    two = (line("1", "cup", gross_minor=1_000), line("2", "mug", gross_minor=400))
    original = charging(offer(gives=card), lines=two, held=3)
    assert original.totals.discount_minor == 1_000
    paid, free = in_turn(original, ("2",), ("1",))
    assert (paid.charged_back_minor, paid.money_back_minor) == (400, 0)
    assert (free.charged_back_minor, free.money_back_minor) == (-400, 400)


def test_a_card_that_has_enough_stamps_without_the_goods_keeps_its_reward() -> None:
    card = Stamps(counter="coffee", every=5, off=PercentOff(rate_ppm=1_000_000))
    two = (line("1", "cup", gross_minor=1_000), line("2", "mug", gross_minor=400))
    assert back(charging(offer(gives=card), lines=two, held=4), "2").charged_back_minor == 0


def test_rates_on_a_weighed_line_follow_its_weight() -> None:
    original = charging(
        offer(gives=UnitRates(rates_ppm=(0, 500_000))),
        lines=(
            line("1", gross_minor=1_000),
            line("2", "cheese", quantity=800, by_weight=True, gross_minor=800),
        ),
    )
    assert original.totals.discount_minor == 400
    half, milk = in_turn(original, (ReturnItem(line_id="2", quantity=400),), ("1",))
    assert (half.charged_back_minor, half.money_back_minor) == (0, 200)
    # The cheese that stays is the only unit now: it has no rate.
    assert (milk.charged_back_minor, milk.money_back_minor) == (200, 800)


@pytest.mark.parametrize(
    ("basis", "gross_minor"), [("gross", 2_000), ("discounted", 4_000), ("paid", 4_000)]
)
def test_points_for_whole_steps_go_with_the_step(basis: str, gross_minor: int) -> None:
    gives = PointsPerMoney(
        points=50,
        per_minor=1_000,
        counting="whole_steps",
        basis=basis,  # type: ignore[arg-type]
    )
    original = charging(
        offer("half", percent(50)),
        offer("points", gives),
        lines=(line("1", pieces=4, gross_minor=gross_minor),),
    )
    assert original.totals.earned_points == 100
    results = in_turn(original, *[(pieces("1", 1),)] * 4)
    assert [one.taken_back_total for one in results] == [50, 0, 50, 0]


def test_whole_steps_that_are_best_for_each_line_are_lost_line_by_line() -> None:
    gives = PointsPerMoney(points=10, per_minor=100, counting="whole_steps")
    original = charging(
        offer("points", gives, combines=Combines(group="g", mode="best_per_line")),
        lines=(line("1", pieces=2, gross_minor=200), line("2", pieces=3, gross_minor=300)),
    )
    assert original.totals.earned_points == 50
    half = back(original, pieces("1", 1), pieces("2", 1))
    assert half.taken_back_total == 20
    assert back(charging_each_line(), pieces("1", 1), pieces("2", 1)).taken_back_total == 20


def charging_each_line() -> Calculation:
    """Return a receipt of two lines that each need both of their pieces for ten points."""
    both = [
        Condition(
            offer_id="money", counts="quantity", at_least=2_000, lines=(name,), each_line=True
        )
        for name in ("1", "2")
    ]
    lines = [goods(name, count=2, points=(("money", 10),)) for name in ("1", "2")]
    return receipt(*lines, returns=CHARGE_BACK, earned=(earned_lot(20),), conditions=tuple(both))


def test_what_multiplies_points_goes_with_them() -> None:
    original = charging(
        offer(
            "base",
            PointsPerMoney(points=1, per_minor=10),
            needs=NeedsLines(amount_minor_min=1_000),
        ),
        offer("other", PointsPerMoney(points=1, per_minor=10)),
        offer("double", PointsMultiplier(of=("base", "other"), factor_ppm=2_000_000)),
        lines=(line("1", pieces=10, gross_minor=1_000),),
    )
    assert {one.offer_id: one.points for one in original.earned} == {
        "base": 100,
        "other": 100,
        "double": 200,
    }
    first, rest = in_turn(original, (pieces("1", 1),), ("1",))
    assert {one.offer_id: one.points for one in first.taken_back} == {
        "base": 100,
        "other": 10,
        "double": 110,
    }
    assert {one.offer_id: one.points for one in rest.taken_back} == {"other": 90, "double": 90}


def test_rates_count_the_units_that_stay_dearest_first() -> None:
    prices = (("1", 100), ("2", 400), ("3", 300), ("4", 200))
    original = charging(
        offer(gives=UnitRates(rates_ppm=(0, 500_000, 1_000_000))),
        lines=[line(name, gross_minor=minor) for name, minor in prices],
    )
    assert original.totals.discount_minor == 150 + 200 + 100
    result = back(original, "3")
    # Of 400, 200 and 100 that stay half of the second and all of the third: 200, 300 was taken off.
    assert (result.charged_back_minor, result.money_back_minor) == (100, 50)


def test_a_need_that_another_does_instead_of_is_broken_when_both_are() -> None:
    original = receipt(
        goods(count=3, paid_minor=810, off=(("ten", 90),)),
        returns=CHARGE_BACK,
        conditions=(
            Condition(
                offer_id="ten",
                counts="quantity",
                at_least=3_000,
                lines=("1",),
                or_else=(Threshold(counts="amount", at_least=500, lines=("1",)),),
            ),
        ),
    )
    two, one = in_turn(original, (pieces("1", 1),), (pieces("1", 1),))
    # 6.00 stays, then 3.00.
    assert (two.charged_back_minor, one.charged_back_minor) == (0, 30)


def test_points_that_are_active_stay_where_only_pending_ones_are_taken() -> None:
    terms = ReturnTerms(earned="only_pending", broken_condition="charge_back")
    original = receipt(
        goods(count=2, points=(("money", 100),)),
        returns=terms,
        earned=(earned_lot(100),),
        conditions=(Condition(offer_id="money", counts="quantity", at_least=2_000),),
    )
    assert back(original, pieces("1", 1)).taken_back == ()


class Asked(dict[str, int]):
    """What came back, and how often it was asked for."""

    times = 0

    def __getitem__(self, line_id: str) -> int:
        self.times += 1
        return super().__getitem__(line_id)


def test_the_work_of_a_return_does_not_grow_with_conditions_times_lines() -> None:
    lines = [goods(str(at), paid_minor=99, off=((f"o{at % 50}", 1),)) for at in range(500)]
    conditions = [
        Condition(offer_id=f"o{at}", counts="amount", at_least=50_000) for at in range(50)
    ]
    many = receipt(*lines, returns=CHARGE_BACK, conditions=tuple(conditions))
    returned = Asked({line.line_id: 0 for line in lines} | {"7": 1_000})
    standing = what_stands(many, returned)
    assert sum(one.stays - one.stands for one in standing.values()) == 499
    assert returned.times <= 3 * len(lines)


# Counters


def test_a_use_comes_back_with_the_last_of_its_goods_and_stamps_one_by_one() -> None:
    original = receipt(
        goods("1", count=3),
        goods("2", count=2),
        counted=(
            Counted(counter="stamps:coffee", plus=3, lines=("1",)),
            Counted(counter="uses:welcome", plus=1),
        ),
    )
    results = in_turn(original, (pieces("1", 2),), ("2",), ("1",))
    assert [{one.counter: one.plus for one in each.counted_back} for each in results] == [
        {"stamps:coffee": 2},
        {},
        {"stamps:coffee": 1, "uses:welcome": 1},
    ]


def test_stamps_of_the_engine_come_back_with_their_goods_alone() -> None:
    original = calculate(
        basket(line("1", "coffee", pieces=3), line("2", "cake", pieces=2)),
        rules(
            offer(
                "sixth",
                Stamps(counter="coffee", every=6, off=PercentOff(rate_ppm=1_000_000)),
                lines=having("sku", "coffee"),
            )
        ),
        moment=moment(),
        place=place(),
        account=account(),
    )
    assert original.counted == (Counted(counter="stamps:coffee", plus=3, lines=("1",)),)
    results = in_turn(original, ("2",), (pieces("1", 1),), ("1",))
    assert [sum(one.plus for one in each.counted_back) for each in results] == [0, 1, 2]


# The complaints this answers (design: market 2)


def test_complaint_7_buying_earning_and_returning_leaves_no_points() -> None:
    original = calculate(
        basket(line("1", pieces=3, gross_minor=2_999)),
        rules(
            offer("bulk", percent(10), needs=NeedsLines(quantity_min=3_000)),
            offer("points", PointsPerMoney(points=3, per_minor=100)),
        ),
        moment=moment(),
        place=place(),
        account=account(),
    )
    assert original.totals.earned_points > 0
    results = in_turn(original, *[(pieces("1", 1),)] * 3)
    assert sum(one.taken_back_total for one in results) == original.totals.earned_points
    assert sum(one.money_back_minor for one in results) == original.totals.paid_minor


def test_complaint_13_what_stays_sold_never_gets_cheaper_by_a_return() -> None:
    terms = replace(programme(), returns=CHARGE_BACK)
    made = bundle(
        offer("three-for-two", NForM(units=3, pay=2)),
        offer("bulk", percent(5), needs=NeedsLines(amount_minor_min=3_000)),
        of=terms,
    )
    original = calculate(
        basket(line("1", pieces=4, gross_minor=4_000), line("2", "bread", gross_minor=500)),
        rules(*made.offers, of=terms),
        moment=moment(),
        place=place(),
    )
    assert {one.offer_id for one in original.conditions} == {"bulk"}
    assert {one.offer_id for one in original.unit_rules} == {"three-for-two"}
    returned: dict[str, int] = {}
    paid = original.totals.paid_minor
    for result in in_turn(original, (pieces("1", 1),), ("2",), (pieces("1", 2),), ("1",)):
        paid -= result.money_back_minor
        for one in result.lines:
            returned[one.line_id] = returned.get(one.line_id, 0) + one.quantity
        frozen = sum(
            one.paid_minor * (one.quantity - returned.get(one.line_id, 0)) // one.quantity
            for one in original.lines
        )
        assert paid >= frozen
    assert paid == 0

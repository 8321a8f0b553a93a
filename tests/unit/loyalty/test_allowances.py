"""What is limited over all customers: given from what was set aside, counted, never exceeded."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product
from random import Random

import pytest

from loyalty import counters
from loyalty.account import NOBODY, AccountSnapshot, Allowance
from loyalty.asking import counters_asked
from loyalty.basket import BasketLine
from loyalty.bundle import Programme, ReceiptTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.errors import AmountError, RuleSetError
from loyalty.limits import POINTS_MAX, TEXT_CHARACTERS_MAX
from loyalty.offers import (
    AmountOff,
    Combines,
    FixedPrice,
    Gift,
    Limits,
    NeedsAll,
    NeedsCode,
    NForM,
    Offer,
    PointsMultiplier,
    PointsPerMoney,
    PointsPerReceipt,
    SharedLimit,
    When,
    Where,
)
from loyalty.returns import ReturnCalculation, ReturnItem, calculate_return
from tests.support.builders import (
    account,
    basket,
    combines,
    having,
    line,
    moment,
    offer,
    percent,
    place,
    programme,
    rules,
)

NOTHING: Mapping[str, int] = {}
DAY = "2025-03-05"


def receipt(
    *offers: Offer,
    lines: Iterable[BasketLine] = (),
    left: Mapping[str, int] = NOTHING,
    who: AccountSnapshot = NOBODY,
    of: Programme | None = None,
    store: str = "store-1",
) -> Calculation:
    """Return a receipt of one line of 10.00, unless others are given."""
    return calculate(
        basket(*lines),
        rules(*offers, of=of),
        moment=moment(),
        place=place(store),
        account=who,
        allowance=Allowance(left=left),
    )


def off(amount_minor: int) -> AmountOff:
    return AmountOff(amount_minor=amount_minor)


def campaign(**most: int | str) -> Limits:
    return Limits(campaign=SharedLimit(**most))  # type: ignore[arg-type]


def given(found: Calculation) -> dict[str, int]:
    """Return money off and points by offer."""
    totals: dict[str, int] = {}
    for one in found.lines:
        for effect in one.effects:
            so_far = totals.get(effect.offer_id, 0)
            totals[effect.offer_id] = so_far + effect.discount_minor + effect.points
    return totals


def counted(found: Calculation) -> dict[str, int]:
    return {one.counter: one.plus for one in found.counted}


def why(found: Calculation, offer_id: str) -> tuple[str, dict[str, int | str]]:
    (reason,) = (each for each in found.reasons if each.offer_id == offer_id)
    return reason.code, dict(reason.figures)


# One offer


@pytest.mark.parametrize("left", [NOTHING, {"campaign.uses:spring": 0}, {"campaign.uses:x": 9}])
def test_without_an_allowance_an_offer_limited_in_all_does_not_act(left: Mapping[str, int]) -> None:
    found = receipt(offer("spring", off(100), limits=campaign(uses_max=50)), left=left)
    assert found.totals.discount_minor == 0
    assert found.counted == ()
    figures = {"limit": 50, "period": "ever", "scope": "campaign"}
    assert why(found, "spring") == ("no_allowance", figures)


def test_one_use_is_one_receipt_and_is_counted_for_nobody() -> None:
    spring = offer("spring", off(100), limits=campaign(uses_max=50))
    found = receipt(spring, lines=(line("1"), line("2")), left={"campaign.uses:spring": 1})
    assert found.totals.discount_minor == 100
    assert counted(found) == {"campaign.uses:spring": 1}


def test_money_is_cut_to_what_is_left() -> None:
    spring = offer("spring", percent(50), limits=campaign(discount_minor_max=1_000_00))
    left = {"campaign.minor:spring": 300}
    found = receipt(spring, lines=(line("1"), line("2", gross_minor=500)), left=left)
    assert [each.discount_minor for each in found.lines] == [200, 100]
    assert counted(found) == {"campaign.minor:spring": 300}
    whole = receipt(spring, left={"campaign.minor:spring": 501})
    assert counted(whole) == {"campaign.minor:spring": 500}


def test_an_own_maximum_holds_beside_what_is_left() -> None:
    limits = replace(campaign(discount_minor_max=9_999), discount_minor_max=200)
    found = receipt(offer("o", percent(50), limits=limits), left={"campaign.minor:o": 300})
    assert found.totals.discount_minor == 200


def test_points_are_cut_to_what_is_left() -> None:
    points = offer("p", PointsPerMoney(points=1, per_minor=10), limits=campaign(points_max=1_000))
    found = receipt(points, left={"campaign.points:p": 30}, who=account())
    assert given(found) == {"p": 30}
    assert counted(found) == {"campaign.points:p": 30}
    assert why(receipt(points, who=account()), "p")[1] == {
        "limit_points": 1_000,
        "period": "ever",
        "scope": "campaign",
    }


def test_multipliers_draw_on_what_is_left_too() -> None:
    base = offer("base", PointsPerMoney(points=1, per_minor=10))
    more = PointsMultiplier(of=("base",), factor_ppm=2_000_000)
    double = offer("double", more, limits=campaign(points_max=1_000))
    found = receipt(base, double, left={"campaign.points:double": 30}, who=account())
    assert given(found) == {"base": 100, "double": 30}


def test_the_first_customers_get_the_gift() -> None:
    mug = offer("mug", Gift(sku="mug"), limits=campaign(uses_max=100))
    found = receipt(mug, left={"campaign.uses:mug": 1})
    assert [each.what for each in found.hand_outs] == ["mug"]
    assert counted(found) == {"campaign.uses:mug": 1}
    assert why(receipt(mug), "mug")[0] == "no_allowance"


def test_every_limit_of_an_offer_must_have_something_left() -> None:
    spring = offer("spring", off(100), limits=campaign(uses_max=50, discount_minor_max=5_000))
    none_left = receipt(spring, left={"campaign.uses:spring": 1})
    assert why(none_left, "spring")[1]["limit_minor"] == 5_000
    left = {"campaign.uses:spring": 1, "campaign.minor:spring": 40}
    assert counted(receipt(spring, left=left)) == {
        "campaign.uses:spring": 1,
        "campaign.minor:spring": 40,
    }


def test_what_a_store_gives_is_counted_for_that_store() -> None:
    limits = Limits(store=SharedLimit(uses_max=3, period="day"))
    local = offer("local", off(100), limits=limits)
    left = {f"store.uses.s%3A1:local@{DAY}": 1}
    assert counted(receipt(local, left=left, store="s:1")) == left
    assert why(receipt(local, left=left, store="s:2"), "local")[1]["scope"] == "store"


def test_what_acts_on_nothing_draws_nothing() -> None:
    floor = ReceiptTerms(line_left_minor_min=1_000)
    green = replace(programme(), receipt=floor)
    spring = offer("spring", off(100), limits=campaign(uses_max=50))
    found = receipt(spring, left={"campaign.uses:spring": 1}, of=green)
    assert found.counted == ()
    assert why(found, "spring")[0] == "price_floor"


# Offers that share a limit


def shared(name: str, **most: int) -> Limits:
    return Limits(campaign=SharedLimit(name=name, **most))  # type: ignore[arg-type]


def test_offers_of_one_campaign_draw_on_it_in_acting_order() -> None:
    limits = shared("spring", discount_minor_max=1_000)
    early = offer("z", off(200), combines=combines(order=1), limits=limits)
    late = offer("a", off(200), combines=combines(order=2), limits=limits)
    found = receipt(early, late, left={"campaign.minor:spring": 300})
    assert given(found) == {"z": 200, "a": 100}
    assert counted(found) == {"campaign.minor:spring": 300}
    spent = receipt(early, late, left={"campaign.minor:spring": 200})
    assert given(spent) == {"z": 200}
    assert why(spent, "a")[0] == "no_allowance"


def test_offers_on_different_lines_share_a_campaign_too() -> None:
    limits = shared("spring", uses_max=10)
    milk = offer("milk", off(100), lines=having("sku", "milk"), limits=limits)
    tea = offer("tea", off(300), lines=having("sku", "tea"), limits=limits)
    bought = (line("1", "milk"), line("2", "tea"))
    found = receipt(milk, tea, lines=bought, left={"campaign.uses:spring": 1})
    assert given(found) == {"milk": 100}
    assert why(found, "tea")[0] == "no_allowance"


def test_money_points_and_gifts_of_one_campaign_draw_on_it_in_that_order() -> None:
    limits = shared("spring", uses_max=10)
    offers = (
        offer("a-gift", Gift(sku="mug"), limits=limits),
        offer("b-points", PointsPerReceipt(points=5), limits=limits),
        offer("c-money", off(100), limits=limits),
    )
    for left, acting in enumerate(["", "c-money", "b-points c-money", "a-gift b-points c-money"]):
        found = receipt(*offers, left={"campaign.uses:spring": left}, who=account())
        said = {reason.offer_id: reason.code for reason in found.reasons}
        assert sorted(o for o, code in said.items() if code == "applied") == acting.split()
        assert counted(found) == ({"campaign.uses:spring": left} if left else {})


def test_points_offers_of_one_campaign_draw_on_it_in_acting_order() -> None:
    limits = shared("spring", points_max=100)
    first = offer("first", PointsPerReceipt(points=40), combines=combines(order=1), limits=limits)
    last = offer("last", PointsPerReceipt(points=40), combines=combines(order=2), limits=limits)
    left = {"campaign.points:spring": 50}
    found = receipt(last, first, left=left, who=account())
    assert given(found) == {"first": 40, "last": 10}
    left = {"campaign.points:spring": 40}
    assert why(receipt(last, first, left=left, who=account()), "last")[0] == "no_allowance"


# The best choice knows what is left


def test_of_a_group_the_best_is_what_gives_most_of_what_is_left() -> None:
    dear = offer(
        "dear", off(500), combines=combines("g"), limits=campaign(discount_minor_max=9_999)
    )
    sure = offer("sure", off(300), combines=combines("g"))
    assert given(receipt(dear, sure, left={"campaign.minor:dear": 299})) == {"sure": 300}
    assert given(receipt(dear, sure, left={"campaign.minor:dear": 301})) == {"dear": 301}


def test_points_left_count_where_points_are_benefit() -> None:
    green = replace(programme(), points_in_benefit=True)
    sale = offer("sale", off(100), combines=combines("g"))
    small = offer("small", off(90), combines=combines("g"), lines=having("sku", "tea"))
    points = offer("p", PointsPerMoney(points=1, per_minor=1), limits=campaign(points_max=9_999))
    found = receipt(sale, small, points, left={"campaign.points:p": 5}, who=account(), of=green)
    assert given(found) == {"sale": 100, "p": 5}


def judged(
    offers: Iterable[Offer], lines: Mapping[str, int], left: Mapping[str, int], counter: str
) -> int:
    """Return the most that amounts off, each on one SKU, take off within one shared counter.

    One member of each group is tried with one of each other, and all act in the offers' order.
    """
    groups: dict[str, list[Offer]] = {}
    for one in offers:
        groups.setdefault(one.combines.group or one.offer_id, []).append(one)
    best = 0
    for chosen in product(*groups.values()):
        owed, allowance, total = dict(lines), left[counter], 0
        for one in sorted(chosen, key=lambda o: (o.combines.order, o.offer_id)):
            assert isinstance(one.gives, AmountOff)
            sku = one.lines.one_of[0]  # type: ignore[union-attr]
            taken = min(one.gives.amount_minor, owed[sku])
            if one.limits.campaign.is_set:
                taken = min(taken, allowance) if "minor" in counter else taken * (allowance > 0)
                allowance -= taken if "minor" in counter else taken > 0
            owed[sku] -= taken
            total += taken
        best = max(best, total)
    return best


@pytest.mark.parametrize("number", range(300))
def test_the_choice_is_the_best_within_what_is_left(number: int) -> None:
    draw = Random(number)
    uses = draw.random() < 0.5
    limits = shared("c", **({"uses_max": 5} if uses else {"discount_minor_max": 5_000}))
    counter = f"campaign.{'uses' if uses else 'minor'}:c"
    skus = ("milk", "tea", "rye")
    offers = [
        offer(
            f"o{at}",
            off(draw.randint(1, 60)),
            lines=having("sku", draw.choice(skus)),
            combines=combines(draw.choice(("", "g", "h")), order=draw.randint(1, 3)),
            limits=draw.choice((limits, limits, Limits())),
        )
        for at in range(draw.randint(1, 6))
    ]
    prices = {sku: draw.randint(1, 80) for sku in skus}
    left = {counter: draw.randint(1, 3) if uses else draw.randint(1, 90)}
    bought = [line(sku, sku, gross_minor=price) for sku, price in prices.items()]
    found = receipt(*offers, lines=bought, left=left)
    assert found.proven
    assert found.totals.discount_minor == judged(offers, prices, left, counter)
    assert counted(found).get(counter, 0) <= left[counter]


def test_units_go_where_something_is_left() -> None:
    """Two multi-buys want the same units: what is left of one decides who holds them."""
    tea = having("sku", "tea")
    limited = offer("a", NForM(units=2, pay=1), lines=tea, limits=campaign(discount_minor_max=999))
    free = offer("b", NForM(units=3, pay=2), lines=tea)
    bought = (line("1", "tea", pieces=3, gross_minor=900),)
    assert given(receipt(limited, free, lines=bought, left={"campaign.minor:a": 299})) == {"b": 300}
    left = {"campaign.minor:a": 999}
    assert receipt(limited, free, lines=bought, left=left).totals.discount_minor == 300


# Counters


@pytest.mark.parametrize(
    ("period", "ends"),
    [
        ("ever", ""),
        ("day", "2025-03-06"),
        ("week", "2025-03-10"),
        ("month", "2025-04-01"),
        ("year", "2026-01-01"),
    ],
)
def test_a_shared_counter_ends_with_its_period(period: str, ends: str) -> None:
    limit = SharedLimit(name="a@2025", uses_max=1, period=period)  # type: ignore[arg-type]
    one = offer("o", limits=Limits(campaign=limit, store=limit))
    for counter in counters.shared(one, "s@2024:1", DAY):
        assert counters.ends_on(counter.name) == ends
        assert counters.is_shared(counter.name)


def test_what_one_customer_is_given_is_a_counter_of_the_account() -> None:
    limit = SharedLimit(uses_max=1, period="day")
    one = offer("o", limits=Limits(account=limit))
    (counter,) = counters.shared(one, "s1", DAY, 1001)
    assert (counter.name, counter.scope) == ("account.uses.1001:o@2025-03-05", "account")
    assert counters.is_shared(counter.name)
    assert counters.ends_on(counter.name) == "2025-03-06"
    assert counters.account_of(counter.name) == 1001
    others = ("account.uses.:o", "account.uses.0:o", "campaign.uses:account.uses.7:o")
    assert [counters.account_of(name) for name in others] == [0] * len(others)


def test_an_offer_for_each_customer_needs_somebody_known_and_what_is_set_aside_for_him() -> None:
    once = offer("once", off(100), limits=Limits(account=SharedLimit(uses_max=1)))
    assert why(receipt(once), "once")[0] == "not_identified"
    left = {"account.uses.7:once": 1, "account.uses.0:once": 1}
    assert why(receipt(once, left=left, who=account(8)), "once") == (
        "no_allowance", {"limit": 1, "period": "ever", "scope": "account"},
    )  # fmt: skip
    found = receipt(once, left=left, who=account(7))
    assert given(found) == {"once": 100}
    assert counted(found) == {"account.uses.7:once": 1}


def test_nobody_is_asked_for_what_an_account_is_given() -> None:
    made = rules(offer("once", off(100), limits=Limits(account=SharedLimit(uses_max=1))))
    asked = [
        [each.name for each in counters_asked(made, place=place(), moment=moment(), account_id=n)]
        for n in (0, 7)
    ]
    assert asked == [[], ["account.uses.7:once"]]


def test_an_account_and_all_customers_have_no_counter_in_common() -> None:
    one = offer("o", limits=Limits(uses_per_account_max=1))
    for name in (
        counters.uses(one, DAY),
        counters.stamps("campaign.uses:o"),
        counters.redeemed(DAY),
        counters.code_uses_of_account("C"),
    ):
        assert not counters.is_shared(name)
    assert counters.is_shared(counters.code_uses("C"))


def test_no_two_stores_share_a_counter() -> None:
    limits = Limits(store=SharedLimit(uses_max=1))
    stores = ("a", "a:", "a%3A", "a%", "A")
    names = {next(counters.shared(offer("o", limits=limits), s, DAY)).name for s in stores}
    assert len(names) == len(stores)


def test_the_longest_shared_name_fits() -> None:
    limit = SharedLimit(name="@" * TEXT_CHARACTERS_MAX, points_max=1, period="day")
    one = offer("o", limits=Limits(store=limit, account=limit))
    for counter in counters.shared(one, ":" * TEXT_CHARACTERS_MAX, DAY, POINTS_MAX):
        assert len(counter.name) <= counters.SHARED_NAME_CHARACTERS_MAX


@pytest.mark.parametrize("left", [-1, POINTS_MAX + 1])
def test_an_allowance_is_no_debt_and_not_endless(left: int) -> None:
    with pytest.raises(AmountError):
        Allowance(left={"campaign.uses:o": left})


def test_returning_everything_takes_it_off_the_counters_again() -> None:
    spring = offer("spring", off(100), limits=campaign(uses_max=50, discount_minor_max=900))
    left = {"campaign.uses:spring": 1, "campaign.minor:spring": 100}
    sold = receipt(spring, lines=(line(pieces=2),), left=left)
    half = calculate_return(sold, (ReturnItem(line_id="1", quantity=1_000),), date=DAY)
    whole = calculate_return(sold, (ReturnItem(line_id="1"),), date=DAY)
    assert isinstance(half, ReturnCalculation)
    assert isinstance(whole, ReturnCalculation)
    assert half.counted_back == ()
    assert {one.counter: one.plus for one in whole.counted_back} == left


# Refused when published and when compiled


@pytest.mark.parametrize(
    ("gives", "limits", "group"),
    [
        (PointsPerReceipt(points=1), campaign(discount_minor_max=1), ""),
        (Gift(sku="mug"), campaign(points_max=1), ""),
        (FixedPrice(amount_minor=1), campaign(uses_max=1), "lines"),
    ],
)
def test_a_limit_that_could_not_hold_is_refused(
    gives: Gift | PointsPerReceipt | FixedPrice, limits: Limits, group: str
) -> None:
    beside = Combines(group=group, mode="best_per_line") if group else Combines()
    with pytest.raises(RuleSetError):
        rules(offer("o", gives, limits=limits, combines=beside))


def test_who_draws_on_one_limit_says_the_same_of_it() -> None:
    one, other = shared("c", uses_max=1), shared("c", uses_max=2)
    with pytest.raises(RuleSetError, match="different things"):
        rules(offer("a", off(1), limits=one), offer("b", off(1), limits=other))


def test_what_one_offer_of_a_campaign_gives_may_be_limited_for_all() -> None:
    limits = shared("c", discount_minor_max=50, points_max=5)
    both = (
        offer("a", off(80), limits=limits),
        offer("p", PointsPerReceipt(points=9), limits=limits),
    )
    left = {"campaign.minor:c": 50, "campaign.points:c": 5}
    found = receipt(*both, left=left, who=account())
    assert given(found) == {"a": 50, "p": 5}
    assert counted(found) == left


# What a till needs an allowance for


def test_a_till_is_told_what_it_needs_an_allowance_for() -> None:
    made = rules(
        offer("spring", off(1), limits=campaign(uses_max=9, discount_minor_max=5, period="day")),
        offer(
            "local",
            PointsPerReceipt(points=1),
            limits=Limits(store=SharedLimit(points_max=7, name="x")),
        ),
        offer("there", off(1), where=Where(stores=("s9",)), limits=campaign(uses_max=1)),
        offer("over", off(1), when=When(until="2025-03-05"), limits=campaign(uses_max=1)),
        offer("code", off(1), needs=NeedsCode(prefix="C-", uses_max=2)),
        offer("each", off(1), needs=NeedsCode(prefix="D-", uses_per_account_max=2)),
    )
    asked = counters_asked(
        made, place=place("s1"), moment=moment(), codes=("C-1", "D-1", "E-1", "C-2")
    )
    assert [(each.name, each.most) for each in asked] == [
        ("campaign.minor:spring@2025-03-05", 5),
        ("campaign.uses:spring@2025-03-05", 9),
        ("code.uses:C-1", 2),
        ("code.uses:C-2", 2),
        ("store.points.s1:x", 7),
    ]


@pytest.mark.parametrize("number", range(40))
def test_no_other_counter_changes_a_receipt(number: int) -> None:
    draw = Random(number)
    offers = [
        offer(
            f"o{at}",
            draw.choice((off(draw.randint(1, 90)), PointsPerReceipt(points=5), Gift(sku="mug"))),
            needs=draw.choice((NeedsAll(), NeedsCode(prefix="C", uses_max=1))),
            limits=draw.choice((shared("c", uses_max=9), campaign(uses_max=5), Limits())),
        )
        for at in range(5)
    ]
    made, codes = rules(*offers), draw.sample(("C1", "C2", "C3"), 2)
    asked = {
        each.name for each in counters_asked(made, place=place(), moment=moment(), codes=codes)
    }
    every = {*asked, "campaign.uses:x", "code.uses:C1", "code.uses:C3", "store.uses.s:o1"}
    left = {name: draw.randint(0, 3) for name in sorted(every)}

    def calculated(allowance: Allowance) -> Calculation:
        return calculate(
            basket(codes=codes),
            made,
            moment=moment(),
            place=place(),
            account=account(),
            allowance=allowance,
        )

    known = Allowance(left={name: most for name, most in left.items() if name in asked})
    found = calculated(known)
    assert found == calculated(Allowance(left=left))
    assert all(one.plus <= left[one.counter] for one in found.counted)

"""What must be there for an offer to act: who, when, how often, needs."""

from collections.abc import Mapping

import pytest

from loyalty.account import NOBODY, AccountSnapshot
from loyalty.basket import Basket, Moment
from loyalty.calculate import calculate
from loyalty.calculation import Reason
from loyalty.offers import (
    AllOf,
    Limits,
    Need,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NeedsNone,
    NeedsTender,
    NoneOf,
    Offer,
    PointsPerItem,
    When,
    Who,
)
from tests.support.builders import account, basket, having, line, moment, offer, place, rules

NO_FIGURES: Mapping[str, int | str] = {}
TWO_LINES = basket(
    line("1", "milk", pieces=2, gross_minor=300), line("2", "tea", pieces=1, gross_minor=500)
)
MILK = having("sku", "milk")


def told(
    one: Offer,
    *,
    who: AccountSnapshot = NOBODY,
    bought: Basket = TWO_LINES,
    at: Moment | None = None,
) -> tuple[str, dict[str, int | str]]:
    """Return the code and the figures of the only offer's reason."""
    result = calculate(bought, rules(one), moment=at or moment(), place=place(), account=who)
    reason: Reason = result.reasons[0]
    return str(reason.code), dict(reason.figures)


def needing(need: Need, bought: Basket = TWO_LINES) -> tuple[str, dict[str, int | str]]:
    """Return what is said of an offer that needs this."""
    return told(offer(needs=need), bought=bought)


def known(
    *,
    tier: str = "",
    segments: tuple[str, ...] = (),
    birthday: bool = False,
    personal: tuple[str, ...] = (),
    purchases: int = 0,
) -> AccountSnapshot:
    """Return a customer."""
    return AccountSnapshot(
        identified=True,
        account_id=7,
        tier=tier,
        segments=segments,
        in_birthday_window=birthday,
        personal_offers=personal,
        purchases=purchases,
    )


@pytest.mark.parametrize(
    ("who", "customer", "code"),
    [
        (Who(identified=True), NOBODY, "not_identified"),
        (Who(identified=True), known(), "applied"),
        (Who(tiers=("gold",)), NOBODY, "not_identified"),
        (Who(tiers=("gold", "black")), known(tier="silver"), "not_in_tier"),
        (Who(tiers=("gold", "black")), known(tier="black"), "applied"),
        (Who(segments=("young", "near")), known(segments=("far",)), "not_in_segment"),
        (Who(segments=("young", "near")), known(segments=("far", "near")), "applied"),
        (Who(birthday=True), known(), "not_birthday"),
        (Who(birthday=True), known(birthday=True), "applied"),
        (Who(personal=True), known(personal=("other",)), "not_personal"),
        (Who(personal=True), known(personal=("offer",)), "applied"),
        (Who(purchases=(1, 3)), known(purchases=0), "applied"),
        (Who(purchases=(1, 3)), known(purchases=1), "not_this_purchase"),
        (Who(purchases=(1, 3)), known(purchases=2), "applied"),
        (Who(every_purchases=5), known(purchases=4), "applied"),
        (Who(every_purchases=5), known(purchases=5), "not_this_purchase"),
        (Who(every_purchases=5), known(purchases=9), "applied"),
        (Who(tiers=("gold",), birthday=True), known(tier="gold"), "not_birthday"),
    ],
)
def test_an_offer_is_for_whom_it_says(who: Who, customer: AccountSnapshot, code: str) -> None:
    assert told(offer(who=who), who=customer)[0] == code


def test_points_and_limited_uses_need_somebody_they_belong_to() -> None:
    assert told(offer(gives=PointsPerItem(points=1)))[0] == "not_identified"
    assert told(offer(limits=Limits(uses_per_account_max=1)))[0] == "not_identified"
    assert told(offer(limits=Limits(uses_per_account_max=1)), who=known())[0] == "applied"


def test_figures_name_the_tier_and_the_purchase() -> None:
    assert told(offer(who=Who(tiers=("gold",))), who=known(tier="silver"))[1] == {"tier": "silver"}
    third = offer(who=Who(purchases=(3,)))
    assert told(third, who=known(purchases=1))[1] == {"number": 2}


@pytest.mark.parametrize(
    ("when", "at", "code"),
    [
        (When(starts="2025-03-05T12:00:00"), "2025-03-05T11:59:59", "not_this_hour"),
        (When(starts="2025-03-05T12:00:00"), "2025-03-05T12:00:00", "applied"),
        (When(until="2025-03-05T12:00:00"), "2025-03-05T11:59:59", "applied"),
        (When(until="2025-03-05T12:00:00"), "2025-03-05T12:00:00", "not_this_hour"),
        (When(weekdays=(3,)), "2025-03-05T12:00:00", "applied"),
        (When(weekdays=(1, 7)), "2025-03-09T12:00:00", "applied"),
        (When(weekdays=(1, 6)), "2025-03-09T12:00:00", "not_today"),
        (
            When(hours=(("09:00", "10:00"), ("17:00", "18:00"))),
            "2025-03-05T08:59:59",
            "not_this_hour",
        ),
        (When(hours=(("09:00", "10:00"), ("17:00", "18:00"))), "2025-03-05T09:00:00", "applied"),
        (
            When(hours=(("09:00", "10:00"), ("17:00", "18:00"))),
            "2025-03-05T10:00:00",
            "not_this_hour",
        ),
        (When(hours=(("09:00", "10:00"), ("17:00", "18:00"))), "2025-03-05T17:59:59", "applied"),
    ],
)
def test_an_offer_holds_when_it_says(when: When, at: str, code: str) -> None:
    assert told(offer(when=when), at=moment(at))[0] == code


def test_figures_name_the_hours_and_the_day() -> None:
    hours = When(hours=(("09:00", "10:00"), ("17:00", "18:00")))
    assert told(offer(when=hours))[1] == {"hours": "09:00-10:00, 17:00-18:00", "now": "12:00"}
    assert told(offer(when=When(weekdays=(1,))))[1] == {"weekday": 3}
    window = When(starts="2025-03-05T13:00:00", until="2025-03-06")
    assert told(offer(when=window))[1] == {"from": "2025-03-05T13:00:00", "until": "2025-03-06"}


@pytest.mark.parametrize(("used", "code"), [(None, "applied"), (1, "applied"), (2, "limit_used")])
def test_an_offer_acts_as_often_as_it_says(used: int | None, code: str) -> None:
    counters = {} if used is None else {"uses:offer": used}
    limited = offer(limits=Limits(uses_per_account_max=2))
    found, figures = told(limited, who=account(counters=counters))
    assert found == code
    if code == "limit_used":
        assert figures == {"used": 2, "limit": 2, "period": "ever"}


def test_a_limit_of_one_that_was_never_used_is_not_used() -> None:
    assert told(offer(limits=Limits(uses_per_account_max=1)), who=account())[0] == "applied"


def test_where_a_limit_was_used_last_is_told() -> None:
    customer = AccountSnapshot(
        identified=True, counters={"uses:offer": 1}, last_used={"uses:offer": "yesterday"}
    )
    limited = offer(limits=Limits(uses_per_account_max=1))
    assert told(limited, who=customer)[1]["last"] == "yesterday"


@pytest.mark.parametrize(
    ("need", "code", "missing"),
    [
        (NeedsLines(quantity_min=3_000), "applied", 0),
        (NeedsLines(quantity_min=3_001), "quantity_missing", 1),
        (NeedsLines(amount_minor_min=800), "applied", 0),
        (NeedsLines(amount_minor_min=801), "amount_missing", 1),
        (NeedsLines(distinct_min=2), "applied", 0),
        (NeedsLines(distinct_min=3), "distinct_missing", 1),
        (NeedsLines(match=MILK, quantity_min=2_000, amount_minor_min=300), "applied", 0),
        (NeedsLines(match=MILK, quantity_min=2_000, amount_minor_min=301), "amount_missing", 1),
        (
            NeedsLines(match=MILK, quantity_min=3_000, amount_minor_min=900),
            "quantity_missing",
            1_000,
        ),
        (NeedsLines(match=NoneOf(of=(having("sku", "x"),)), distinct_min=3), "distinct_missing", 1),
        (NeedsLines(quantity_min=3_000, amount_minor_min=900), "amount_missing", 100),
        (NeedsLines(match=AllOf(of=()), amount_minor_min=900), "amount_missing", 100),
        (NeedsLines(distinct_min=2, amount_minor_min=900), "amount_missing", 100),
    ],
)
def test_lines_must_reach_every_threshold(need: NeedsLines, code: str, missing: int) -> None:
    found, figures = needing(need)
    assert found == code
    if missing:
        assert figures["missing"] == missing
        assert figures["need"] == int(figures["have"]) + missing


def test_one_sku_on_two_lines_is_one() -> None:
    twice = basket(line("1", "milk"), line("2", "milk"))
    assert needing(NeedsLines(distinct_min=2), bought=twice)[0] == "distinct_missing"


PAID = basket(tender="card")


@pytest.mark.parametrize(
    ("need", "code"),
    [
        (NeedsTender(one_of=("cash", "card")), "applied"),
        (NeedsTender(one_of=("cash",)), "tender_missing"),
        (
            NeedsAll(of=(NeedsTender(one_of=("card", "x")), NeedsTender(one_of=("cash", "x")))),
            "tender_missing",
        ),
        (NeedsAny(of=(NeedsTender(one_of=("cash",)), NeedsTender(one_of=("card",)))), "applied"),
        (NeedsAny(of=(NeedsTender(one_of=("cash",)), NeedsCode(one_of=("A",)))), "tender_missing"),
        (NeedsNone(of=(NeedsTender(one_of=("cash",)),)), "applied"),
        (
            NeedsNone(of=(NeedsTender(one_of=("cash",)), NeedsTender(one_of=("card",)))),
            "condition_not_met",
        ),
        (NeedsAny(of=(NeedsCode(one_of=("A",)), NeedsTender(one_of=("cash",)))), "code_missing"),
    ],
)
def test_needs_are_a_tree_of_all_any_and_none(need: Need, code: str) -> None:
    assert needing(need, bought=PAID)[0] == code


def test_the_kind_of_payment_that_is_missing_is_told() -> None:
    assert needing(NeedsTender(one_of=("cash", "gift")), bought=PAID)[1] == {"tender": "cash"}


@pytest.mark.parametrize(
    ("need", "shown", "acts"),
    [
        (NeedsCode(one_of=("A", "B")), "B", True),
        (NeedsCode(one_of=("A", "B")), "AB", False),
        (NeedsCode(prefix="AB-"), "AB-1", True),
        (NeedsCode(prefix="AB-"), "xAB-1", False),
        (NeedsAll(of=(NeedsLines(quantity_min=1_000), NeedsCode(one_of=("A",)))), "A", True),
    ],
)
def test_a_code_opens_the_offers_that_ask_for_it(need: Need, shown: str, acts: bool) -> None:
    result = calculate(
        basket(codes=(shown,)), rules(offer(needs=need)), moment=moment(), place=place()
    )
    assert bool(result.totals.discount_minor) is acts

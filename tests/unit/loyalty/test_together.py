"""Offers beside each other: what stays independent, what stays due, what a return may break."""

from dataclasses import replace

from loyalty.account import AccountSnapshot
from loyalty.basket import BasketLine
from loyalty.bundle import Programme, ReceiptTerms, ReturnTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.offers import (
    AmountOff,
    Combines,
    Gift,
    Limits,
    NeedsCode,
    Offer,
    Percent,
    PercentOff,
    PointsPerItem,
    Stamps,
    Step,
    Steps,
)
from tests.support.builders import account, basket, having, line, moment, offer, place, rules

FISCAL = ReceiptTerms(line_left_minor_min=1)


def priced(
    *offers: Offer,
    lines: tuple[BasketLine, ...],
    receipt: ReceiptTerms | None = None,
    returns: ReturnTerms | None = None,
    who: AccountSnapshot | None = None,
    codes: tuple[str, ...] = (),
) -> Calculation:
    """Return the receipt."""
    programme = Programme(
        programme_id="green",
        currency="EUR",
        receipt=receipt or ReceiptTerms(),
        returns=returns or ReturnTerms(),
    )
    return calculate(
        basket(*lines, codes=codes),
        rules(*offers, of=programme),
        moment=moment(),
        place=place(),
        account=who or account(),
    )


def test_groups_line_by_line_before_an_offer_on_all_lines_are_proven_with_floors_too() -> None:
    lines = tuple(line(f"{n:02}", f"s{n}", gross_minor=100 + n) for n in range(60))
    groups = [
        offer(
            f"{n:02}{rate}",
            Percent(rate_ppm=rate),
            lines=having("sku", f"s{n}"),
            combines=Combines(group=f"g{n}", order=1),
        )
        for n in range(60)
        for rate in (100_000, 200_000)
    ]
    late = (
        offer("tenth", Percent(rate_ppm=100_000)),
        offer("voucher", AmountOff(amount_minor=500)),
        offer(
            "steps",
            Steps(by="amount", steps=(Step(at_least=1_000, off=PercentOff(rate_ppm=50_000)),)),
        ),
    )
    for each in late:
        result = priced(*groups, each, lines=lines, receipt=FISCAL)
        assert result.proven, each
        acting = {effect.offer_id for one in result.lines for effect in one.effects}
        assert acting == {f"{n:02}200000" for n in range(60)} | {each.offer_id}


def test_a_reward_that_is_due_and_cannot_be_given_stays_due() -> None:
    free = Stamps(counter="coffee", every=6, off=PercentOff(rate_ppm=1_000_000))
    sixth = offer("sixth", free, lines=having("sku", "coffee"))
    held = account(counters={"stamps:coffee": 5})
    cup = line("1", "coffee", gross_minor=300)
    assert [one.plus for one in priced(sixth, lines=(cup,), who=held).counted] == [1]
    # Nothing may be taken off, so the stamp is not used up either.
    blocked = offer("sixth", free, limits=Limits(unit_price_minor_min=300))
    result = priced(blocked, lines=(cup,), who=held)
    assert (result.totals.discount_minor, result.counted) == (0, ())


def test_a_code_of_a_series_opens_the_offers_of_every_series_it_begins_like() -> None:
    offers = [
        offer(prefix, AmountOff(amount_minor=1), needs=NeedsCode(prefix=prefix))
        for prefix in ("A", "A-", "A-1", "A-12", "B")
    ]
    result = priced(*offers, lines=(line(),), codes=("A-1",))
    assert [effect.offer_id for effect in result.lines[0].effects] == ["A", "A-", "A-1"]


def given(result: Calculation) -> dict[str, str]:
    """Return what became of each offer."""
    return {
        reason.offer_id: str(reason.figures.get("to", reason.code)) for reason in result.reasons
    }


def test_points_and_hand_outs_give_way_to_a_discount_they_may_not_stand_beside() -> None:
    sale = offer("sale", Percent(rate_ppm=100_000))
    points = offer("points", PointsPerItem(points=5), combines=Combines(not_with=("sale",)))
    gift = offer("gift", Gift(sku="mug"), combines=Combines(not_with=("sale",)))
    result = priced(sale, points, gift, lines=(line(),))
    assert given(result) == {"sale": "applied", "points": "sale", "gift": "sale"}
    assert (result.earned, result.hand_outs) == ((), ())
    named = offer("sale", Percent(rate_ppm=100_000), combines=Combines(not_with=("points",)))
    assert given(priced(named, offer("points", PointsPerItem(points=5)), lines=(line(),))) == {
        "sale": "applied",
        "points": "sale",
    }
    # A discount that takes nothing off excludes nobody.
    late = offer("sale", AmountOff(amount_minor=5), limits=Limits(unit_price_minor_min=1_000))
    assert given(priced(late, points, lines=(line(),)))["points"] == "applied"


def test_of_points_that_exclude_each_other_the_most_are_given() -> None:
    few = offer("few", PointsPerItem(points=1), priority=1, combines=Combines(not_with=("many",)))
    many = offer("many", PointsPerItem(points=9))
    assert given(priced(few, many, lines=(line(),))) == {"few": "many", "many": "applied"}


def test_of_equal_points_that_exclude_each_other_those_of_larger_priority_are_given() -> None:
    first = offer("x", PointsPerItem(points=9), priority=1, combines=Combines(not_with=("a",)))
    second = offer("a", PointsPerItem(points=9))
    assert given(priced(first, second, lines=(line(),))) == {"x": "applied", "a": "x"}
    level = replace(first, priority=0)
    assert given(priced(level, second, lines=(line(),))) == {"x": "a", "a": "applied"}

"""Offers beside each other: what stays independent, what stays due, what a return may break."""

from loyalty.account import AccountSnapshot
from loyalty.basket import BasketLine
from loyalty.bundle import Programme, ReceiptTerms, ReturnTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.offers import (
    AmountOff,
    Combines,
    Limits,
    NeedsCode,
    Offer,
    Percent,
    PercentOff,
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

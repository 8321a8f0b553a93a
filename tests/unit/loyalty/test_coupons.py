"""A code with a limit of uses: it counts while it may be used; only what gave something uses it."""

from collections.abc import Iterable, Mapping

import pytest

from loyalty.account import NOBODY, AccountSnapshot, Allowance
from loyalty.basket import Basket, BasketLine
from loyalty.bundle import ReceiptTerms
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.errors import AmountError, RuleSetError
from loyalty.limits import TEXT_CHARACTERS_MAX
from loyalty.offers import AmountEach as Each
from loyalty.offers import (
    AmountOff,
    Gift,
    Limits,
    Need,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsNone,
    NeedsTender,
    NForM,
    Offer,
    PointsPerReceipt,
    Stamps,
    Units,
)
from tests.support.builders import account, having, line, moment, offer, place, programme, rules

ONCE = NeedsCode(prefix="YOG-", uses_max=1)
ONCE_EACH = NeedsCode(one_of=("SPRING",), uses_per_account_max=1)
NONE: Mapping[str, str] = {}


def receipt(
    *offers: Offer,
    codes: Iterable[str],
    free: Iterable[str] = (),
    used: Mapping[str, str] = NONE,
    who: AccountSnapshot = NOBODY,
    lines: Iterable[BasketLine] = (),
    floor_minor: int = 0,
) -> Calculation:
    """Return a receipt; `free` are the codes the till has an allowance for."""
    green = programme()
    return calculate(
        Basket(lines=tuple(lines) or (line(),), codes=tuple(codes), tender="cash"),
        rules(
            *offers,
            of=type(green)(
                programme_id="green",
                currency="EUR",
                receipt=ReceiptTerms(line_left_minor_min=floor_minor),
            ),
        ),
        moment=moment(),
        place=place(),
        account=who,
        allowance=Allowance(left={f"code.uses:{code}": 1 for code in free}, used_codes=used),
    )


def coupon(needs: Need = ONCE, offer_id: str = "c", **limits: bool | int) -> Offer:
    gives = AmountOff(amount_minor=10, per="unit")
    return offer(offer_id, gives, needs=needs, limits=Limits(**limits))  # type: ignore[arg-type]


def counted(found: Calculation) -> dict[str, int]:
    return {one.counter: one.plus for one in found.counted}


def why(found: Calculation, offer_id: str = "c") -> tuple[str, dict[str, int | str]]:
    (reason,) = (each for each in found.reasons if each.offer_id == offer_id)
    return reason.code, dict(reason.figures)


def test_a_code_for_once_acts_and_is_counted() -> None:
    found = receipt(coupon(), codes=["YOG-1"], free=["YOG-1"])
    assert found.totals.discount_minor == 10
    assert counted(found) == {"code.uses:YOG-1": 1}


def test_a_code_that_is_used_up_says_when() -> None:
    used = {"YOG-1": "2025-03-01 14:02 store 3"}
    found = receipt(coupon(), codes=["YOG-1"], free=["YOG-1"], used=used)
    assert found.totals.discount_minor == 0
    assert why(found) == ("code_used", {"coupon": "YOG-1", "last": used["YOG-1"]})
    unknown = receipt(coupon(), codes=["YOG-1"], used={"YOG-1": ""})
    assert why(unknown) == ("code_used", {"coupon": "YOG-1"})


def test_a_code_the_till_has_no_right_for_is_not_taken() -> None:
    found = receipt(coupon(), codes=["YOG-1"], free=["YOG-2"])
    assert (found.totals.discount_minor, found.counted) == (0, ())
    assert why(found) == ("no_allowance", {"coupon": "YOG-1", "limit": 1})


def test_the_first_code_that_may_be_used_is_used() -> None:
    codes = ["YOG-4", "YOG-3", "YOG-1", "YOG-2"]
    found = receipt(coupon(), codes=codes, free=["YOG-3", "YOG-4"], used={"YOG-1": ""})
    assert counted(found) == {"code.uses:YOG-3": 1}
    none_free = receipt(coupon(), codes=codes, used={"YOG-1": ""})
    assert why(none_free)[1]["coupon"] == "YOG-1"


def test_a_code_of_nothing_is_not_used() -> None:
    lost = receipt(coupon(), codes=["YOG-1"], free=["YOG-1"], floor_minor=1_000)
    assert (why(lost)[0], lost.counted) == ("price_floor", ())


@pytest.mark.parametrize("pieces", [1, 2, 3, 4])
def test_of_codes_for_a_unit_each_as_many_are_used_as_units_were_cheaper(pieces: int) -> None:
    codes = ["YOG-1", "YOG-2", "YOG-3"]
    found = receipt(
        coupon(once_per_code=True), codes=codes, free=codes, lines=(line(pieces=pieces),)
    )
    served = min(pieces, 3)
    assert found.totals.discount_minor == 10 * served
    assert counted(found) == {f"code.uses:YOG-{at}": 1 for at in range(1, served + 1)}


def test_used_up_codes_serve_no_unit() -> None:
    codes = ["YOG-1", "YOG-2", "YOG-3"]
    each = coupon(once_per_code=True)
    found = receipt(each, codes=codes, free=["YOG-3"], used={"YOG-1": ""}, lines=(line(pieces=5),))
    assert found.totals.discount_minor == 10
    assert counted(found) == {"code.uses:YOG-3": 1}


@pytest.mark.parametrize(
    ("one", "used"),
    [
        (offer("c", NForM(units=2, pay=1), needs=ONCE, limits=Limits(once_per_code=True)), 2),
        (
            offer(
                "c",
                AmountOff(amount_minor=5, per="unit", units=Units(which="cheapest", count=1)),
                needs=ONCE,
                limits=Limits(once_per_code=True),
            ),
            1,
        ),
        (
            offer(
                "c",
                Stamps(counter="s", every=2, off=Each(amount_minor=5)),
                needs=ONCE,
                limits=Limits(once_per_code=True),
            ),
            2,
        ),
    ],
    ids=["sets", "chosen units", "stamps"],
)
def test_sets_and_chosen_units_use_a_code_each(one: Offer, used: int) -> None:
    codes = ["YOG-1", "YOG-2", "YOG-3"]
    found = receipt(one, codes=codes, free=codes, lines=(line(pieces=5),), who=account())
    assert [name for name in counted(found) if name.startswith("code.")] == [
        f"code.uses:YOG-{at}" for at in range(1, used + 1)
    ]


def test_a_code_that_opens_two_offers_is_used_once() -> None:
    points = offer("p", PointsPerReceipt(points=5), needs=ONCE)
    gift = offer("g", Gift(sku="mug"), needs=ONCE)
    found = receipt(coupon(), points, gift, codes=["YOG-1"], free=["YOG-1"], who=account())
    assert {reason.code for reason in found.reasons} == {"applied"}
    assert counted(found) == {"code.uses:YOG-1": 1}


def test_each_code_that_must_be_there_is_used() -> None:
    both = NeedsAll(of=(ONCE, NeedsAll(of=(NeedsCode(one_of=("B",), uses_max=1),))))
    found = receipt(coupon(both), codes=["B", "YOG-1"], free=["B", "YOG-1"])
    assert counted(found) == {"code.uses:B": 1, "code.uses:YOG-1": 1}


def test_a_code_for_once_each_customer_is_counted_on_the_account() -> None:
    found = receipt(coupon(ONCE_EACH), codes=["SPRING"], who=account())
    assert counted(found) == {"code:SPRING": 1}
    again = AccountSnapshot(
        identified=True,
        account_id=7,
        counters={"code:SPRING": 1},
        last_used={"code:SPRING": "2025-03-01"},
    )
    refused = receipt(coupon(ONCE_EACH), codes=["SPRING"], who=again)
    assert why(refused) == ("code_used", {"coupon": "SPRING", "last": "2025-03-01"})
    assert why(receipt(coupon(ONCE_EACH), codes=["SPRING"]))[0] == "not_identified"


def test_a_code_may_be_limited_both_ways() -> None:
    need = NeedsCode(prefix="X", uses_max=100, uses_per_account_max=2)
    who = account(counters={"code:X1": 1})
    found = receipt(coupon(need), codes=["X1"], free=["X1"], who=who)
    assert counted(found) == {"code.uses:X1": 1, "code:X1": 1}


def test_a_code_without_a_limit_counts_nothing() -> None:
    found = receipt(coupon(NeedsCode(one_of=("A",))), codes=["A"])
    assert (found.totals.discount_minor, found.counted) == (10, ())


@pytest.mark.parametrize(
    "needs",
    [NeedsAny(of=(ONCE, NeedsTender(one_of=("card",)))), NeedsNone(of=(ONCE,))],
    ids=["any", "not"],
)
def test_uses_of_a_code_beside_something_else_are_refused(needs: Need) -> None:
    with pytest.raises(RuleSetError, match="inside an any or a not"):
        rules(coupon(needs))


def test_offers_say_the_same_of_one_code() -> None:
    other = coupon(NeedsCode(prefix="YOG-", uses_max=2), "d")
    with pytest.raises(RuleSetError, match="used 1 and 2 times"):
        rules(other, coupon())


def test_a_code_is_no_book() -> None:
    with pytest.raises(AmountError):
        Basket(lines=(line(),), codes=("x" * (TEXT_CHARACTERS_MAX + 1),))


def test_the_order_of_codes_changes_nothing() -> None:
    codes = ["YOG-2", "YOG-1"]
    lines = (line(sku="yog"),)
    one = offer("c", AmountOff(amount_minor=10), needs=ONCE, lines=having("sku", "yog"))
    turned = receipt(one, codes=codes[::-1], free=codes, lines=lines)
    assert receipt(one, codes=codes, free=codes, lines=lines) == turned

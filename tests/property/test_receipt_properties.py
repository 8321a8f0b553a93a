"""What holds for every receipt, whatever its basket, rules, customer and right."""

import json
from collections import Counter
from dataclasses import replace
from typing import TypeVar

from hypothesis import event, given, settings
from hypothesis import strategies as st

from loyalty.account import AccountSnapshot, RedeemRequest, SpendRight
from loyalty.basket import Basket, Moment, Place
from loyalty.bundle import Bundle
from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes
from loyalty.compilation import compile_bundle
from loyalty.counters import QUALIFYING, uses
from loyalty.documents import decode, encode
from loyalty.limits import PPM
from loyalty.matching import compile_match
from loyalty.money import split
from loyalty.offers import (
    AllOf,
    Attribute,
    BuyGet,
    CardPrice,
    LineMatch,
    Need,
    NeedsAll,
    NeedsCode,
    Offer,
    PartsSet,
    SameLines,
    only_qualifies,
)
from loyalty.redemption import value_minor
from tests.support.effort import examples
from tests.support.receipt_strategies import Receipt, receipts

T = TypeVar("T")


@settings(max_examples=examples(100))
@given(receipts)
def test_sums_over_lines_are_the_totals_and_nothing_is_negative(receipt: Receipt) -> None:
    result = receipt.calculate()
    totals = result.totals
    event(f"offers that act: {len({e.offer_id for one in result.lines for e in one.effects})}")
    for name in (
        "gross_minor",
        "discount_minor",
        "redeemed_minor",
        "redeemed_points",
        "paid_minor",
        "earned_points",
    ):
        assert sum(getattr(one, name) for one in result.lines) == getattr(totals, name)
    assert totals.gross_minor == sum(line.gross_minor for line in receipt.basket.lines)
    for one in result.lines:
        assert one.gross_minor == one.discount_minor + one.redeemed_minor + one.paid_minor
        assert one.discount_minor == sum(effect.discount_minor for effect in one.effects)
        assert one.earned_points == sum(effect.points for effect in one.effects)
        assert min(one.discount_minor, one.redeemed_minor, one.redeemed_points) >= 0
        product = receipt.bundle.catalogue.get(one.sku)
        if product is not None:
            assert not ("discount" in product.barred and one.discount_minor)
            assert not ("redeem" in product.barred and one.redeemed_points)
            assert not ("earn" in product.barred and one.earned_points)


@settings(max_examples=examples(100))
@given(receipts)
def test_no_line_goes_below_what_must_be_left(receipt: Receipt) -> None:
    programme = receipt.bundle.programme
    by_points = programme.redemption.mode == "discount"
    for one in receipt.calculate().lines:
        left = one.gross_minor - one.discount_minor
        price = one.paid_minor if by_points else left
        product = receipt.bundle.catalogue.get(one.sku)
        floor = -(-product.floor_minor_per_unit * one.quantity // 1_000) if product else 0
        assert price >= min(floor, one.gross_minor)
        assert left >= min(programme.receipt.line_left_minor_min, one.gross_minor)
        if by_points and one.redeemed_minor:
            assert one.paid_minor >= programme.redemption.line_left_minor_min


@settings(max_examples=examples(100))
@given(receipts)
def test_maxima_of_offers_and_of_the_receipt_are_kept(receipt: Receipt) -> None:
    result = receipt.calculate()
    money: Counter[str] = Counter()
    points: Counter[str] = Counter()
    for one in result.lines:
        for effect in one.effects:
            money[effect.offer_id] += effect.discount_minor
            points[effect.offer_id] += effect.points
    assert points == Counter({lot.offer_id: lot.points for lot in result.earned}) + Counter()
    for offer in receipt.bundle.offers:
        assert money[offer.offer_id] <= (offer.limits.discount_minor_max or money[offer.offer_id])
        assert points[offer.offer_id] <= (offer.limits.points_max or points[offer.offer_id])
    terms, totals = receipt.bundle.programme.receipt, result.totals
    assert totals.discount_minor <= (terms.discount_minor_max or totals.discount_minor)
    share = terms.discount_share_max_ppm or PPM
    assert totals.discount_minor * PPM <= totals.gross_minor * share


@settings(max_examples=examples(100))
@given(receipts)
def test_redemption_stays_within_the_right_and_the_caps(receipt: Receipt) -> None:
    result = receipt.calculate()
    totals, terms = result.totals, receipt.bundle.programme.redemption
    event("redeemed" if totals.redeemed_points else "not redeemed")
    assert totals.redeemed_points <= receipt.right.points
    assert totals.redeemed_points <= result.redeemable_points_max
    if not receipt.request.as_many_as_possible:
        assert totals.redeemed_points <= receipt.request.points
    assert totals.redeemed_minor == value_minor(totals.redeemed_points, receipt.bundle.programme)
    if totals.redeemed_points:
        assert receipt.account.identified
        assert totals.redeemed_points >= terms.points_min
        left = totals.gross_minor - totals.discount_minor
        assert totals.redeemed_minor * PPM <= left * terms.receipt_share_max_ppm
        assert totals.paid_minor >= terms.left_to_pay_minor_min
        fewer = value_minor(totals.redeemed_points - 1, receipt.bundle.programme)
        assert fewer < totals.redeemed_minor
        if terms.points_per_day_max:
            today = receipt.account.counters.get(f"redeemed@{receipt.moment.date}", 0)
            assert totals.redeemed_points + today <= terms.points_per_day_max
    for one in result.lines:
        if one.redeemed_minor:
            before = one.redeemed_minor + one.paid_minor
            assert one.redeemed_minor * PPM <= before * terms.line_share_max_ppm


@settings(max_examples=examples(100))
@given(receipts)
def test_no_lot_gives_more_than_it_holds_or_for_what_it_may_not_pay(receipt: Receipt) -> None:
    result = receipt.calculate()
    held = {lot.lot_id: lot.points for lot in receipt.right.lots}
    restriction = {lot.lot_id: lot.restriction for lot in receipt.right.lots}
    sku_of = {line.line_id: line.sku for line in receipt.basket.lines}
    held[0] = receipt.right.points - sum(lot.points for lot in receipt.right.lots)
    spent: Counter[int] = Counter()
    by_line: Counter[str] = Counter()
    for part in result.redeemed:
        spent[part.lot_id] += part.points
        group = restriction.get(part.lot_id, "")
        assert not group or sku_of[part.line_id] in receipt.bundle.groups[group]
        by_line[part.line_id] += part.points
    assert all(points <= held[lot_id] for lot_id, points in spent.items())
    assert (
        by_line == Counter({one.line_id: one.redeemed_points for one in result.lines}) + Counter()
    )


def through_json(kind: type[T], value: T) -> T:
    """Return what becomes of the value on its way through a file."""
    return decode(kind, json.loads(json.dumps(encode(value))))


@settings(max_examples=examples(100))
@given(receipts)
def test_inputs_that_went_through_json_give_the_same_bytes(receipt: Receipt) -> None:
    again = Receipt(
        basket=through_json(Basket, receipt.basket),
        bundle=through_json(Bundle, receipt.bundle),
        account=through_json(AccountSnapshot, receipt.account),
        request=through_json(RedeemRequest, receipt.request),
        right=through_json(SpendRight, receipt.right),
        moment=through_json(Moment, receipt.moment),
        place=through_json(Place, receipt.place),
    )
    assert again == receipt
    first = canonical_bytes(receipt.calculate())
    assert canonical_bytes(again.calculate()) == first
    assert canonical_bytes(decode(Calculation, json.loads(first))) == first


@settings(max_examples=examples(100))
@given(receipts)
def test_every_considered_offer_has_one_reason(receipt: Receipt) -> None:
    result = receipt.calculate()
    ids = [reason.offer_id for reason in result.reasons]
    assert ids == sorted(set(ids))
    acting = acting_in(result)
    applied = {reason.offer_id for reason in result.reasons if reason.code == "applied"}
    # What only qualifies is counted for the receipt, and leaves no effect on a line.
    counted = {each.offer_id for each in receipt.bundle.offers if only_qualifies(each.gives)}
    assert acting <= applied <= acting | counted
    assert {reason.offer_id for reason in result.hints} <= set(ids)


def acting_in(result: Calculation) -> set[str]:
    """Return the offers that took something off or gave something."""
    on_lines = {effect.offer_id for one in result.lines for effect in one.effects}
    return on_lines | {given.offer_id for given in result.hand_outs}


@settings(max_examples=examples(100))
@given(receipts)
def test_offers_that_exclude_each_other_never_act_together(receipt: Receipt) -> None:
    result = receipt.calculate()
    acting = acting_in(result)
    offers = {offer.offer_id: offer.combines for offer in receipt.bundle.offers}
    groups = Counter(offers[name].group for name in acting if offers[name].mode != "best_per_line")
    assert all(count == 1 for group, count in groups.items() if group)
    for one in result.lines:
        on_line = Counter(offers[effect.offer_id].group for effect in one.effects)
        assert all(count == 1 for group, count in on_line.items() if group)
    assert not [name for name in acting for other in offers[name].not_with if other in acting]


@settings(max_examples=examples(100))
@given(receipts)
def test_only_customers_are_counted_and_each_counter_once(receipt: Receipt) -> None:
    result = receipt.calculate()
    # What qualifies is counted line by line, all else once.
    names = [counted.counter for counted in result.counted if counted.counter != QUALIFYING]
    assert len(names) == len(set(names))
    lines = [counted.lines for counted in result.counted if counted.counter == QUALIFYING]
    assert len(lines) == len(set(lines)) == sum(len(each) for each in lines)
    assert all(counted.plus > 0 for counted in result.counted)
    assert receipt.account.identified or not names
    limited = [offer for offer in receipt.bundle.offers if offer.limits.uses_per_account_max]
    acted = {
        uses(offer, receipt.moment.date) for offer in limited if offer.offer_id in acting_in(result)
    }
    # Points that only qualify stand on no line: which offer gave them the calculation does not say.
    may_have = {
        uses(offer, receipt.moment.date)
        for offer in limited
        if lines and getattr(offer.gives, "purpose", "") == "qualify"
    }
    assert acted <= {name for name in names if name.startswith("uses:")} <= acted | may_have


@settings(max_examples=examples(100))
@given(receipts)
def test_only_what_is_not_proven_has_a_gap(receipt: Receipt) -> None:
    result = receipt.calculate()
    event("proven" if result.proven else "not proven")
    assert result.gap_minor >= 0
    assert result.proven == (result.gap_minor == 0)


@settings(max_examples=examples(100))
@given(receipts)
def test_the_index_leaves_out_nothing_that_touches_the_basket(receipt: Receipt) -> None:
    considered = {reason.offer_id for reason in receipt.calculate().reasons}
    index = compile_bundle(receipt.bundle, "00").on(receipt.place, receipt.moment.date)
    views = [replace(index.view(line), source=line) for line in receipt.basket.lines]
    for offer in receipt.bundle.offers:
        touched = any(compile_match(match)(view) for match in matches_of(offer) for view in views)
        is_open = (
            receipt.place.store in (offer.where.stores or receipt.place.store)
            and offer.when.starts[:10] <= receipt.moment.date
            and (not offer.when.until or receipt.moment.date < offer.when.until)
            and not lacks_code(offer.needs, receipt.basket)
        )
        assert not (touched and is_open) or offer.offer_id in considered


def matches_of(offer: Offer) -> list[LineMatch]:
    """Return everything that says which lines an offer is about."""
    gives = offer.gives
    if isinstance(gives, PartsSet):
        return [AllOf(of=(offer.lines, part.lines)) for part in gives.parts]
    if isinstance(gives, BuyGet) and not isinstance(gives.get_lines, SameLines):
        return [offer.lines, gives.get_lines]
    if isinstance(gives, CardPrice):
        return [AllOf(of=(offer.lines, Attribute(name="sku", one_of=tuple(gives.prices))))]
    return [offer.lines]


def lacks_code(need: Need, basket: Basket) -> bool:
    """Say whether a code must be there that was not presented."""
    if isinstance(need, NeedsAll):
        return any(lacks_code(part, basket) for part in need.of)
    return isinstance(need, NeedsCode) and not any(
        code in need.one_of or (need.prefix and code.startswith(need.prefix))
        for code in basket.codes
    )


weights = st.lists(st.integers(0, 50), min_size=1, max_size=8)


@settings(max_examples=examples(300))
@given(weights, st.data())
def test_shares_are_fair_and_add_up(weights: list[int], data: st.DataObject) -> None:
    ceilings = data.draw(st.lists(st.integers(0, 60), min_size=len(weights), max_size=len(weights)))
    room = sum(c for c, w in zip(ceilings, weights, strict=True) if w)
    total = data.draw(st.integers(0, room))
    shares = split(total, weights, ceilings)
    assert sum(shares) == total
    assert all(0 <= share <= c for share, c in zip(shares, ceilings, strict=True))
    assert all(share == 0 for share, w in zip(shares, weights, strict=True) if not w)
    # Among places that are not full, more weight never means a smaller share.
    open_places = [
        (w, share) for w, share, c in zip(weights, shares, ceilings, strict=True) if share < c and w
    ]
    for weight, share in open_places:
        assert all(share >= other for lighter, other in open_places if lighter < weight)

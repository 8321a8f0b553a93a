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
from loyalty.documents import decode, encode
from loyalty.limits import PPM
from loyalty.matching import canonical_lines, matches
from loyalty.money import split
from loyalty.redemption import value_minor
from tests.support.receipt_strategies import Receipt, receipts

T = TypeVar("T")


@settings(max_examples=40)
@given(receipts, st.data())
def test_the_order_of_scanning_changes_no_byte(receipt: Receipt, data: st.DataObject) -> None:
    scanned = Basket(
        lines=tuple(data.draw(st.permutations(receipt.basket.lines))),
        codes=tuple(data.draw(st.permutations(receipt.basket.codes))),
        tender=receipt.basket.tender,
    )
    again = replace(receipt, basket=scanned)
    assert canonical_bytes(again.calculate()) == canonical_bytes(receipt.calculate())


@settings(max_examples=40)
@given(receipts, st.data())
def test_the_order_of_offers_and_lots_changes_no_byte(
    receipt: Receipt, data: st.DataObject
) -> None:
    offers = tuple(data.draw(st.permutations(receipt.bundle.offers)))
    lots = tuple(data.draw(st.permutations(receipt.right.lots)))
    again = replace(
        receipt,
        bundle=replace(receipt.bundle, offers=offers),
        right=replace(receipt.right, lots=lots),
    )
    assert canonical_bytes(again.calculate()) == canonical_bytes(receipt.calculate())


@settings(max_examples=40)
@given(receipts)
def test_a_code_presented_twice_counts_once(receipt: Receipt) -> None:
    twice = replace(receipt.basket, codes=receipt.basket.codes * 2)
    again = replace(receipt, basket=twice)
    assert canonical_bytes(again.calculate()) == canonical_bytes(receipt.calculate())


@settings(max_examples=40)
@given(receipts)
def test_sums_over_lines_are_the_totals_and_no_line_goes_below_its_floor(receipt: Receipt) -> None:
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
            floor = -(-product.floor_minor_per_unit * one.quantity // 1_000)
            assert one.paid_minor >= min(floor, one.gross_minor)
            assert not ("discount" in product.barred and one.discount_minor)
            assert not ("redeem" in product.barred and one.redeemed_points)
            assert not ("earn" in product.barred and one.earned_points)


@settings(max_examples=40)
@given(receipts)
def test_maxima_of_offers_are_kept(receipt: Receipt) -> None:
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


@settings(max_examples=40)
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
    for one in result.lines:
        if one.redeemed_minor:
            assert one.paid_minor >= terms.line_left_minor_min
            before = one.redeemed_minor + one.paid_minor
            assert one.redeemed_minor * PPM <= before * terms.line_share_max_ppm


@settings(max_examples=40)
@given(receipts)
def test_no_lot_gives_more_than_it_holds(receipt: Receipt) -> None:
    result = receipt.calculate()
    held = {lot.lot_id: lot.points for lot in receipt.right.lots if not lot.restriction}
    held[0] = receipt.right.points - sum(lot.points for lot in receipt.right.lots)
    spent: Counter[int] = Counter()
    by_line: Counter[str] = Counter()
    for part in result.redeemed:
        spent[part.lot_id] += part.points
        by_line[part.line_id] += part.points
    assert all(points <= held[lot_id] for lot_id, points in spent.items())
    assert (
        by_line == Counter({one.line_id: one.redeemed_points for one in result.lines}) + Counter()
    )


def through_json(kind: type[T], value: T) -> T:
    """Return what becomes of the value on its way through a file."""
    return decode(kind, json.loads(json.dumps(encode(value))))


@settings(max_examples=40)
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


@settings(max_examples=40)
@given(receipts)
def test_every_considered_offer_has_one_reason(receipt: Receipt) -> None:
    result = receipt.calculate()
    ids = [reason.offer_id for reason in result.reasons]
    assert ids == sorted(set(ids))
    acting = {effect.offer_id for one in result.lines for effect in one.effects}
    applied = {reason.offer_id for reason in result.reasons if reason.code == "applied"}
    assert acting == applied


@settings(max_examples=40)
@given(receipts)
def test_of_a_group_one_price_offer_acts(receipt: Receipt) -> None:
    result = receipt.calculate()
    acting = {e.offer_id for one in result.lines for e in one.effects if e.discount_minor}
    groups = Counter(
        offer.combines.group
        for offer in receipt.bundle.offers
        if offer.offer_id in acting and offer.combines.group
    )
    assert all(count == 1 for count in groups.values())


@settings(max_examples=40)
@given(receipts)
def test_the_index_finds_every_offer_a_full_scan_finds(receipt: Receipt) -> None:
    result = receipt.calculate()
    considered = {reason.offer_id for reason in result.reasons}
    rules = compile_bundle(receipt.bundle, "00")
    lines = canonical_lines(receipt.basket, rules)
    for offer in receipt.bundle.offers:
        if offer.offer_id in considered:
            continue
        # What the index leaves out has no line here, no place, no day or no code.
        prices = getattr(offer.gives, "prices", None)
        touched = [
            line
            for line in lines
            if matches(offer.lines, line) and (prices is None or line.source.sku in prices)
        ]
        alone = replace(receipt, bundle=replace(receipt.bundle, offers=(offer,)))
        assert not touched or alone.calculate().reasons == ()


weights = st.lists(st.integers(0, 50), min_size=1, max_size=8)


@settings(max_examples=300)
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

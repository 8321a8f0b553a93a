"""Receipts to return: of the real engine, and made up so that all figures meet."""

from dataclasses import replace

from hypothesis import strategies as st

from loyalty.bundle import ReturnTerms
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
from loyalty.frozen import Condition, Counts, LowerStep, Threshold, UnitRule, UnitsSeen
from tests.support.receipt_strategies import Receipt, receipts

return_terms = st.builds(
    ReturnTerms,
    earned=st.sampled_from(["only_pending", "within_balance", "unlimited", "from_refund"]),
    grace_days=st.integers(0, 30),
    broken_condition=st.sampled_from(["charge_back", "keep"]),
)
minor = st.one_of(st.integers(0, 7), st.integers(0, 5_000))


@st.composite
def calculated_receipts(draw: st.DrawFn) -> Calculation:
    """Draw a receipt of the real engine, under any terms of return, with something on it."""
    receipt: Receipt = draw(receipts.filter(lambda one: bool(one.basket.lines)))
    programme = replace(receipt.bundle.programme, returns=draw(return_terms))
    bundle = replace(receipt.bundle, programme=programme)
    return replace(receipt, bundle=bundle).calculate()


@st.composite
def calculated_lines(draw: st.DrawFn, line_id: str) -> CalculatedLine:
    """Draw a line with two price offers, two points offers and redeemed points."""
    by_weight = draw(st.integers(0, 4)) == 0
    quantity = draw(st.integers(1, 1_500)) if by_weight else draw(st.integers(1, 6)) * 1_000
    off = [draw(minor) for _ in range(2)]
    points = [draw(st.integers(0, 40)) for _ in range(2)]
    paid, redeemed, redeemed_points = draw(minor), draw(minor), draw(st.integers(0, 40))
    return CalculatedLine(
        line_id=line_id,
        sku=draw(st.sampled_from(["milk", "bread"])),
        quantity=quantity,
        gross_minor=paid + redeemed + sum(off),
        discount_minor=sum(off),
        redeemed_minor=redeemed,
        redeemed_points=redeemed_points,
        paid_minor=paid,
        earned_points=sum(points),
        effects=(
            Effect(offer_id="off-1", discount_minor=off[0]),
            Effect(offer_id="off-2", discount_minor=off[1]),
            Effect(offer_id="points-1", points=points[0]),
            Effect(offer_id="points-2", points=points[1]),
        ),
        by_weight=by_weight,
    )


def _there(lines: list[CalculatedLine], counts: str) -> int:
    """Return what a threshold counts on lines that are all there."""
    if counts == "distinct":
        return len({line.sku for line in lines})
    if counts == "units":
        return sum(1 if line.by_weight else line.quantity // 1_000 for line in lines)
    return sum(line.quantity if counts == "quantity" else line.gross_minor for line in lines)


COUNTS: tuple[Counts, ...] = ("quantity", "units", "distinct", "amount")


@st.composite
def threshold(draw: st.DrawFn, lines: tuple[CalculatedLine, ...]) -> Threshold:
    """Draw a threshold that the receipt reaches, of some lines or of all."""
    counted = draw(st.lists(st.sampled_from(lines), min_size=1, unique_by=lambda one: one.line_id))
    counts = draw(st.sampled_from(COUNTS))
    most = _there(counted, counts) or 1
    named = () if len(counted) == len(lines) else tuple(line.line_id for line in counted)
    return Threshold(counts=counts, at_least=draw(st.integers(1, most)), lines=named)


@st.composite
def condition(draw: st.DrawFn, offer_id: str, lines: tuple[CalculatedLine, ...]) -> Condition:
    """Draw what an offer needed, and the steps below it."""
    own = draw(threshold(lines))
    # Points have no steps.
    steps = draw(st.integers(0, 2)) if own.at_least > 2 and offer_id[0] == "o" else 0
    named = own.lines or tuple(line.line_id for line in lines)
    return Condition(
        offer_id=offer_id,
        counts=own.counts,
        at_least=own.at_least,
        lines=own.lines,
        sets=draw(st.integers(1, 3)),
        or_else=tuple(draw(st.lists(threshold(lines), max_size=1))),
        had=draw(st.integers(0, 2)),
        each_line=draw(st.booleans()) if not steps else False,
        lower=tuple(
            LowerStep(at_least=at + 1, off_minor=tuple(draw(minor) for _ in named))
            for at in range(steps)
        ),
    )


@st.composite
def unit_rule(draw: st.DrawFn, offer_id: str, lines: tuple[CalculatedLine, ...]) -> UnitRule:
    """Draw sets or rates on some of the pieces."""
    seen = tuple(
        UnitsSeen(
            line_id=line.line_id,
            units=draw(st.integers(1, line.quantity // 1_000)),
            price_minor=draw(minor),
        )
        for line in lines
        if not line.by_weight
    )
    by_rates = draw(st.booleans())
    return UnitRule(
        offer_id=offer_id,
        kind="rates" if by_rates else draw(st.sampled_from(["same_goods", "other_goods", "parts"])),
        numbers=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        off=draw(st.sampled_from(["percent", "price"])),
        amount=draw(st.integers(1, 1_000_000)),
        each_line=by_rates and draw(st.booleans()),
        goods=(seen,) if by_rates or draw(st.booleans()) else (seen, seen),
    )


@st.composite
def made_up_receipts(draw: st.DrawFn) -> Calculation:
    """Draw a receipt whose figures hang together by sums alone, so that all of them meet."""
    lines = tuple(draw(calculated_lines(str(number))) for number in range(draw(st.integers(1, 3))))
    redeemed = []
    for line in lines:
        first = draw(st.integers(0, line.redeemed_points))
        for lot_id, points in ((1, first), (2, line.redeemed_points - first)):
            if points:
                redeemed.append(RedeemedPart(line_id=line.line_id, lot_id=lot_id, points=points))
    ids = st.sampled_from(["off-1", "off-2", "points-1"])
    offers = draw(st.lists(ids, max_size=3))
    on_units = draw(st.lists(st.sampled_from(["off-1", "off-2"]), max_size=1))
    return Calculation(
        bundle="b1",
        rounding="",
        account_id=7,
        moment="2025-03-05T12:00:00",
        store="s1",
        lines=lines,
        totals=Totals(
            gross_minor=sum(line.gross_minor for line in lines),
            redeemed_minor=sum(line.redeemed_minor for line in lines),
            paid_minor=sum(line.paid_minor for line in lines),
        ),
        earned=tuple(
            EarnedLot(offer_id=offer_id, points=points, name="", active_from=day, expires_on="")
            for number, (offer_id, day) in enumerate(
                (("points-1", "2025-03-05"), ("points-2", "2025-04-05")), start=2
            )
            if (points := sum(line.effects[number].points for line in lines))
        ),
        redeemed=tuple(redeemed),
        conditions=(
            *(draw(condition(offer_id, lines)) for offer_id in offers),
            Condition(offer_id="points-2", counts="points", at_least=1, offers=("points-1",)),
        ),
        unit_rules=tuple(draw(unit_rule(offer_id, lines)) for offer_id in on_units),
        counted=(
            Counted(counter="stamps:s", plus=draw(st.integers(1, 9)), lines=(lines[0].line_id,)),
            Counted(counter="uses:u", plus=1),
        ),
        terms=FrozenTerms(
            point_value_minor=draw(st.integers(1, 3)),
            point_value_points=draw(st.integers(1, 3)),
            mode=draw(st.sampled_from(["discount", "tender"])),
            returns=draw(return_terms),
        ),
    )

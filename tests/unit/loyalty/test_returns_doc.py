"""`docs/returns.md` is true: its figures are calculated."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from loyalty.basket import BasketLine
from loyalty.bundle import ReturnTerms
from loyalty.calculate import calculate
from loyalty.calculation import (
    CalculatedLine,
    Calculation,
    EarnedLot,
    Effect,
    FrozenTerms,
    RedeemedPart,
    Totals,
)
from loyalty.fiscal import fiscal_lines
from loyalty.frozen import Condition
from loyalty.offers import (
    NeedsLines,
    NForM,
    Offer,
    PercentOff,
    PointsPerReceipt,
    Step,
    Steps,
    UnitRates,
)
from loyalty.returns import (
    ReturnCalculation,
    ReturnItem,
    ReturnMade,
    already_returned,
    calculate_return,
    end_after_return,
)
from tests.support import builders

TEXT = (Path(__file__).parents[3] / "docs" / "returns.md").read_text(encoding="utf-8")
TABLES = [
    [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
    for table in re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE)
]
TODAY = "2025-03-06"


CHARGED = ("return", "charged", "money back", "the rest has cost")


def tables(*titles: str) -> list[list[list[str]]]:
    """Return the rows of each table with these columns."""
    return [rows[2:] for rows in TABLES if rows[0] == list(titles)]


def table(*titles: str) -> list[list[str]]:
    """Return the rows of the one table with these columns."""
    (found,) = tables(*titles)
    return found


def minor(text: str) -> int:
    return int(text.replace(".", ""))


def receipt(
    *,
    pieces: int,
    paid_minor: int,
    off: tuple[str, int] = ("", 0),
    earned: int = 0,
    redeemed: tuple[int, ...] = (),
    condition: Condition | None = None,
    terms: FrozenTerms | None = None,
) -> Calculation:
    """Return a receipt of one line; redeemed points are worth a cent, of lots 1, 2 and so on."""
    line = CalculatedLine(
        line_id="1",
        sku="milk",
        quantity=pieces * 1_000,
        gross_minor=paid_minor + off[1] + sum(redeemed),
        discount_minor=off[1],
        redeemed_minor=sum(redeemed),
        redeemed_points=sum(redeemed),
        paid_minor=paid_minor,
        earned_points=earned,
        effects=(
            Effect(offer_id=off[0], discount_minor=off[1]),
            Effect(offer_id="points", points=earned),
        ),
    )
    lot = EarnedLot(
        offer_id="points", points=earned, name="", active_from="2025-03-05", expires_on=""
    )
    return Calculation(
        bundle="b1",
        rounding="",
        account_id=7,
        moment="2025-03-05T12:00:00",
        store="store-1",
        lines=(line,),
        totals=Totals(),
        earned=(lot,) if earned else (),
        redeemed=tuple(
            RedeemedPart(line_id="1", lot_id=lot_id, points=points)
            for lot_id, points in enumerate(redeemed, start=1)
        ),
        conditions=(condition,) if condition else (),
        terms=terms or FrozenTerms(),
    )


def returned(
    original: Calculation, rows: list[list[str]], *, available_points: int | None = None
) -> Iterator[tuple[ReturnCalculation, list[str]]]:
    """Yield each row's return, after those above it, and the row's other cells."""
    made: list[ReturnMade] = []
    for said, *figures in rows:
        item = ReturnItem(line_id="1", quantity=int(said.split()[0]) * 1_000)
        found = calculate_return(
            original,
            (item,),
            already_returned(original, made),
            date=TODAY,
            available_points=available_points,
        )
        assert isinstance(found, ReturnCalculation)
        made.append(
            ReturnMade(
                key=str(len(made)), items=(item,), charged_back_minor=found.charged_back_minor
            )
        )
        yield found, figures


def test_pieces_bring_back_the_prices_they_were_printed_with() -> None:
    original = receipt(pieces=3, paid_minor=2_900, earned=290)
    rows = table("return", "money back", "points taken")
    prices = []
    for found, (money, taken) in returned(original, rows):
        assert (found.money_back_minor, found.taken_back_total) == (minor(money), int(taken))
        prices.append(found.money_back_minor)
    printed = [
        line.unit_price_minor
        for line in fiscal_lines(original, "discount")
        for _ in range(line.quantity // 1_000)
    ]
    assert prices == printed


def test_points_go_back_to_the_lot_spent_last_first() -> None:
    original = receipt(pieces=4, paid_minor=3_850, redeemed=(100, 50))
    rows = table("return", "money back", "points back to lot 1", "points back to lot 2")
    for found, (money, *lots) in returned(original, rows):
        back = {part.lot_id: part.points for part in found.points_back}
        assert found.money_back_minor == minor(money)
        assert [back.get(1, 0), back.get(2, 0)] == [int(points) for points in lots]


def test_a_lot_that_has_ended_gets_the_grace() -> None:
    for ended, today, grace, end in table("lot ended on", "return on", "grace", "points end on"):
        days = [day.replace("never", "") for day in (ended, end)]
        assert end_after_return(days[0], today, int(grace.split()[0])) == days[1]


def charging(condition: Condition, paid_minor: int, off_minor: int, pieces: int) -> Calculation:
    terms = FrozenTerms(returns=ReturnTerms(broken_condition="charge_back"))
    return receipt(
        pieces=pieces,
        paid_minor=paid_minor,
        off=(condition.offer_id, off_minor),
        condition=condition,
        terms=terms,
    )


def test_a_broken_condition_is_kept_or_charged() -> None:
    rows = table("return", "keep: money back", "charge_back: charged", "charge_back: money back")
    needs = Condition(offer_id="ten", counts="quantity", at_least=4_000, lines=("1",))
    charged = charging(needs, 4_500, 500, 5)
    kept = replace(charged, terms=FrozenTerms())
    for (found, figures), (other, _) in zip(
        returned(charged, rows), returned(kept, rows), strict=True
    ):
        assert [minor(figure) for figure in figures] == [
            other.money_back_minor,
            found.charged_back_minor,
            found.money_back_minor,
        ]


def sold(made: Offer, *lines: BasketLine, policy: str = "charge_back") -> Calculation:
    """Return a receipt of the engine with one offer."""
    returns = ReturnTerms(broken_condition="charge_back" if policy == "charge_back" else "keep")
    terms = replace(builders.programme(), returns=returns)
    return calculate(
        builders.basket(*lines),
        builders.rules(made, of=terms),
        moment=builders.moment(),
        place=builders.place(),
        account=builders.account(),
    )


def charged_in_turn(
    original: Calculation, rows: list[list[str]], line_of: Mapping[str, str]
) -> None:
    """Assert what is charged, what is handed out and what the rest has cost, row by row."""
    paid = original.totals.paid_minor
    made: list[ReturnMade] = []
    for said, *figures in rows:
        number, _, name = said.rpartition(" ")
        item = ReturnItem(line_id=line_of[name.rstrip("s")], quantity=int(number or 1) * 1_000)
        found = calculate_return(original, (item,), already_returned(original, made), date=TODAY)
        assert isinstance(found, ReturnCalculation)
        made.append(
            ReturnMade(key=said, items=(item,), charged_back_minor=found.charged_back_minor)
        )
        paid -= found.money_back_minor
        assert [minor(figure) for figure in figures] == [
            found.charged_back_minor,
            found.money_back_minor,
            paid,
        ]
    assert paid == 0


def test_the_discount_of_the_step_that_is_still_reached_stands() -> None:
    gives = Steps(
        by="quantity",
        steps=tuple(
            Step(at_least=at_least, off=PercentOff(rate_ppm=rate))
            for at_least, rate in ((5_000, 100_000), (10_000, 200_000))
        ),
    )
    ten = builders.line("1", pieces=10, gross_minor=10_000)
    charged_in_turn(sold(builders.offer(gives=gives), ten), tables(*CHARGED)[0], {"piece": "1"})


def test_of_sets_that_stay_whole_the_discount_stays() -> None:
    six = builders.line("1", pieces=6, gross_minor=6_000)
    original = sold(builders.offer(gives=NForM(units=3, pay=2)), six)
    charged_in_turn(original, tables(*CHARGED)[1], {"piece": "1"})


def test_rates_are_those_of_the_units_that_stay() -> None:
    original = sold(
        builders.offer(gives=UnitRates(rates_ppm=(0, 500_000))),
        builders.line("1", "coffee", pieces=2, gross_minor=2_000),
        builders.line("2", "tea", gross_minor=400),
    )
    charged_in_turn(original, tables(*CHARGED)[2], {"coffee": "1", "tea": "2"})


def test_points_that_have_lost_their_threshold_are_taken() -> None:
    rows = table("return", "keep: points taken", "charge_back: points taken")
    gives = PointsPerReceipt(points=500)
    made = builders.offer(gives=gives, needs=NeedsLines(amount_minor_min=10_000))
    ten = builders.line("1", pieces=10, gross_minor=10_000)
    for column, policy in enumerate(("keep", "charge_back")):
        original = sold(made, ten, policy=policy)
        for found, figures in returned(original, rows):
            assert found.taken_back_total == int(figures[column])


def test_with_the_default_spread_nothing_is_kept_for_nothing() -> None:
    lines = [builders.line(str(at), gross_minor=1_000) for at in range(3)]
    by_default, by_choice = (
        NForM(units=3, pay=2),
        NForM(units=3, pay=2, spread="rewarded"),
    )
    for gives, money_back in ((by_default, 1_333), (by_choice, 2_000)):
        original = sold(builders.offer(gives=gives), *lines, policy="keep")
        items = tuple(ReturnItem(line_id=name) for name in ("0", "1"))
        found = calculate_return(original, items, date=TODAY)
        assert isinstance(found, ReturnCalculation)
        assert found.money_back_minor == money_back


def test_earned_points_that_are_spent_are_settled_by_the_terms() -> None:
    rows = table("earned", "points taken", "deducted from the money", "money back", "then")
    for policy, *figures, _ in rows:
        terms = FrozenTerms(
            point_value_minor=2,
            returns=ReturnTerms(earned=policy.strip("`")),  # type: ignore[arg-type]
        )
        original = receipt(pieces=1, paid_minor=1_000, earned=100, terms=terms)
        ((found, _),) = returned(original, [["1 piece"]], available_points=40)
        assert [minor(figure) for figure in figures] == [
            found.taken_back_total,
            found.deducted_minor,
            found.money_back_minor,
        ]
    assert {row[0].strip("`") for row in rows} == {
        "only_pending",
        "within_balance",
        "unlimited",
        "from_refund",
    }

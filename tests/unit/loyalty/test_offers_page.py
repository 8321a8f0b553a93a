"""`docs/offers.md` is true: each basket on it is calculated, each figure and word compared."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from loyalty.basket import Basket
from loyalty.bundle import Bundle, Programme, ReceiptTerms, RedemptionTerms, ReturnTerms
from loyalty.calculate import calculate
from loyalty.calculation import CalculatedLine, Calculation, Reason, Totals
from loyalty.canonical import canonical_bytes
from loyalty.cases import Case, read_case
from loyalty.compilation import Rules, compile_bundle
from loyalty.documents import decode
from loyalty.limits import UNIT_THOUSANDTHS
from loyalty.offers import (
    Combines,
    Limits,
    LineMatch,
    LotTerms,
    Need,
    NeedsCode,
    Off,
    Offer,
    Reward,
    SharedLimit,
    When,
    Where,
    Who,
)
from loyalty.wording import money, points, say_reason

PAGE = Path(__file__).parents[3] / "docs" / "offers.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCK = re.compile(
    r"^(?P<heading>#+ [^\n]*)$"
    r"|^```(?P<label>[\w -]*)\n(?P<body>.*?)^```$"
    r"|(?P<table>(?:^\|[^\n]*\n)+)",
    re.MULTILINE | re.DOTALL,
)
GOODS = re.compile(
    r"(?P<sku>[\w-]+)(?P<reduced> \(reduced\))?(?: \[(?P<name>\w+)=(?P<value>.+)\])?"
)
A_WEDNESDAY = "2026-11-18T12:00:00"
STORE = {"store": "s12", "region": "north", "banner": "green", "till": "3"}
PROGRAMME = {
    "programme_id": "green",
    "currency": "EUR",
    "point_value_minor": 100,
    "point_value_points": 10,
}
BUNDLE_HASH = "b0" * 32


@dataclass(frozen=True)
class Example:
    """One basket of the page.

    Attributes:
        columns: of the table; `rows` its cells, the last row the sum.
        said: what stands below the table, line by line.
    """

    heading: str
    offers: Sequence[Any]
    programme: Mapping[str, Any]
    case: Mapping[str, Any]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    said: Sequence[str]


@dataclass
class Reader:
    """Reads the page from top to bottom; a heading forgets the offers before it."""

    heading: str = ""
    goods: Mapping[str, Any] = field(default_factory=dict)
    offers: list[Any] = field(default_factory=list)
    programme: Mapping[str, Any] = field(default_factory=dict)
    case: Mapping[str, Any] = field(default_factory=dict)
    table: Sequence[Sequence[str]] = ()

    def read(self, text: str) -> Iterator[Example]:
        for block in BLOCK.finditer(text):
            if block["heading"]:
                self.heading, self.offers = block["heading"].lstrip("# "), []
                self.programme, self.case, self.table = PROGRAMME, {}, ()
            elif block["table"]:
                self.table = [cells(line) for line in block["table"].splitlines()]
            elif block["label"] == "text":
                header, _, *rows = self.table
                yield Example(
                    self.heading,
                    self.offers,
                    self.programme,
                    self.case,
                    header,
                    rows,
                    block["body"].splitlines(),
                )
                self.case, self.table = {}, ()
            else:
                self.take(block["label"], json.loads(block["body"]))

    def take(self, label: str, document: Any) -> None:  # noqa: ANN401 - what JSON holds
        if label == "json goods":
            self.goods = document
        elif label == "json programme":
            self.programme = document
        elif label == "json case":
            self.case = document
        elif label in {"json offer", "json offer-instead"}:
            assert label.endswith("-instead") == bool(self.offers), self.heading
            self.offers = document if isinstance(document, list) else [document]
        else:
            raise AssertionError(f"{self.heading}: a block labelled {label!r}")


def cells(line: str) -> list[str]:
    return [cell.strip().strip("*") for cell in line.strip().strip("|").split("|")]


READER = Reader()
EXAMPLES = list(READER.read(TEXT))


def rules_of(example: Example) -> Rules:
    document = {
        "version": 1,
        "programme": example.programme,
        "offers": example.offers,
        **READER.goods,
    }
    return compile_bundle(decode(Bundle, document), BUNDLE_HASH)


def lines_of(example: Example) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(example.rows[:-1], start=1):
        cell = dict(zip(example.columns, row, strict=True))
        goods = GOODS.fullmatch(cell["goods"])
        assert goods, cell["goods"]
        amount, _, by_weight = cell["quantity"].partition(" ")
        yield {
            "line_id": str(number),
            "sku": goods["sku"],
            "quantity": int(amount.replace(".", "")) * (1 if by_weight else UNIT_THOUSANDTHS),
            "gross_minor": int(cell["price"].replace(".", "")),
            "by_weight": bool(by_weight),
            "pos_reduced": bool(goods["reduced"]),
            "attributes": {goods["name"]: goods["value"]} if goods["name"] else {},
        }


def case_of(example: Example) -> Case:
    basket = {**example.case.get("basket", {}), "lines": list(lines_of(example))}
    return read_case({"moment": A_WEDNESDAY, "place": STORE, **example.case, "basket": basket})


def calculation_of(example: Example, basket: Basket) -> Calculation:
    case = case_of(example)
    return calculate(
        basket,
        rules_of(example),
        moment=case.moment,
        place=case.place,
        account=case.account,
        request=case.request,
        right=case.right,
        allowance=case.allowance,
    )


def table_of(example: Example, calculation: Calculation) -> list[list[str]]:
    rows = [
        [row[0], row[1], *amounts(example.columns[2:], line)]
        for row, line in zip(example.rows, calculation.lines, strict=False)
    ]
    return [*rows, ["sum", "", *amounts(example.columns[2:], calculation.totals)]]


def amounts(columns: Iterable[str], of: CalculatedLine | Totals) -> Iterator[str]:
    for column in columns:
        if column == "price":
            yield money(of.gross_minor, "en")
        elif column == "to pay":
            yield money(of.paid_minor, "en")
        elif column == "off":
            yield money(of.discount_minor, "en") if of.discount_minor else ""
        elif column == "redeemed":
            yield money(of.redeemed_minor, "en") if of.redeemed_minor else ""
        elif column == "points":
            yield str(of.earned_points) if of.earned_points else ""
        else:
            raise AssertionError(f"a column {column!r}")


def said_of(example: Example, calculation: Calculation) -> Iterator[str]:
    titles = {offer["offer_id"]: offer["title"]["en"] for offer in example.offers}

    def say(reason: Reason, audience: Literal["cashier", "customer"]) -> str:
        title = titles[reason.offer_id]
        return say_reason(reason, title, "en", audience=audience, titles=titles)

    sku_of = {line.line_id: line.sku for line in calculation.lines}
    yield from (say(reason, "cashier") for reason in calculation.reasons)
    yield from (f"hint: {say(hint, 'customer')}" for hint in calculation.hints)
    for part in calculation.redeemed:
        yield f"spent: {points(part.points, 'en')} of lot {part.lot_id} on {sku_of[part.line_id]}"
    for lot in calculation.earned:
        only = f", for {lot.restriction}" if lot.restriction else ""
        yield f"lot {lot.name}: {lot.points} points, {lot.active_from} to {lot.expires_on}{only}"
    for out in calculation.hand_outs:
        yield f"hand out: {f'{out.kind} {out.what}'.strip()}, {out.quantity}"
    for counted in calculation.counted:
        yield f"counted: {counted.counter} +{counted.plus}"


def name_of(example: Example) -> str:
    return example.heading.lower().replace(" ", "-")


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_each_receipt_is_what_the_engine_calculates(example: Example) -> None:
    calculation = calculation_of(example, case_of(example).basket)
    assert table_of(example, calculation) == [list(row) for row in example.rows]
    assert list(said_of(example, calculation)) == list(example.said)
    assert calculation.proven


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_no_receipt_depends_on_the_order_of_scans_and_codes(example: Example) -> None:
    basket = case_of(example).basket
    turned = replace(basket, lines=basket.lines[::-1], codes=basket.codes[::-1])
    assert canonical_bytes(calculation_of(example, turned)) == canonical_bytes(
        calculation_of(example, basket)
    )


def things_in(value: object) -> Iterator[object]:
    """Yield every dataclass value within a value."""
    if is_dataclass(value):
        yield value
        for each in fields(value):
            yield from things_in(getattr(value, each.name))
    elif isinstance(value, tuple):
        for inner in value:
            yield from things_in(inner)


DOCUMENTED = {
    type(thing)
    for example in EXAMPLES
    for offer in decode(tuple[Offer, ...], list(example.offers))
    for thing in things_in(offer)
}


@pytest.mark.parametrize(
    "union", [Reward, LineMatch, Need, Off], ids=["gives", "lines", "needs", "off"]
)
def test_every_kind_has_an_example(union: UnionType) -> None:
    assert not [kind.__name__ for kind in get_args(union) if kind not in DOCUMENTED]


PARTS = (
    Offer,
    When,
    Where,
    Who,
    Combines,
    Limits,
    SharedLimit,
    NeedsCode,
    LotTerms,
    RedemptionTerms,
    ReceiptTerms,
    ReturnTerms,
    Programme,
)


@pytest.mark.parametrize("part", [*PARTS, *get_args(Reward)], ids=lambda part: part.__name__)
def test_every_field_and_every_choice_is_explained(part: type[Any]) -> None:
    words = set(
        re.findall(r"\w+", "".join(re.findall(r"```json.*?```|`[^`\n]+`", TEXT, re.DOTALL)))
    )
    asked = {each.name for each in fields(part)}
    for hint in get_type_hints(part).values():
        if get_origin(hint) is Literal:
            asked |= set(get_args(hint))
    assert not asked - words


def test_the_contents_lead_to_every_kind_of_reward() -> None:
    contents, rewards = TEXT.split("\n## Money off goods\n")
    linked = set(re.findall(r"\]\(#([\w-]+)\)", contents))
    headings = re.findall(r"^### (.+)$", rewards.split("\n## Which goods\n")[0], re.MULTILINE)
    assert len(headings) > 10
    assert not {heading.lower().replace(" ", "-").replace(",", "") for heading in headings} - linked

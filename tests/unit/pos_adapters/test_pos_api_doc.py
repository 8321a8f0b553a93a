"""`docs/pos-api.md` is true: its examples are read as the agent does, calculated and run."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.health import HealthReport
from agent.pos_api import http_server, routes
from agent.pos_api.http_server import DEFAULT_LIMITS
from agent.till_service import courier, returns, service
from agent.till_service.messages import (
    CompleteRequest,
    CourierAnswer,
    CourierRequest,
    GrantRequest,
    ReceiptAnswer,
    ReceiptRequest,
    ReserveRequest,
    ReturnAnswer,
    ReturnRequest,
)
from agent.till_service.receipt_codes import RecordedCode
from loyalty import limits
from loyalty.account import NO_REDEMPTION, NO_RIGHT
from loyalty.basket import Basket
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.compilation import compile_bundle
from loyalty.fiscal import fiscal_lines, fiscal_return_lines
from loyalty.offers import PointsPerMoney, Who
from loyalty.outcomes import Outcome
from loyalty.returns import ReturnCalculation, calculate_return
from tests.support.builders import (
    account,
    bundle,
    having,
    lot,
    moment,
    offer,
    percent,
    place,
    programme,
    right,
)
from tests.unit.pos_adapters.fake_till import FakeTill
from tests.unit.pos_adapters.till_server import serving, till_handler

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "pos-api.md").read_text(encoding="utf-8")


class Problem(msgspec.Struct, forbid_unknown_fields=True):
    error: str
    message: str


# The page shows some of the figures; the types are those of the report.
HealthFigures = msgspec.defstruct(
    "HealthFigures",
    [(field.name, field.type, None) for field in msgspec.structs.fields(HealthReport)],
    forbid_unknown_fields=True,
)
TYPES: dict[str, type[msgspec.Struct]] = {
    kind.__name__: kind
    for kind in (
        CompleteRequest,
        CourierAnswer,
        CourierRequest,
        GrantRequest,
        HealthFigures,
        Problem,
        RecordedCode,
        ReceiptAnswer,
        ReceiptRequest,
        ReserveRequest,
        ReturnAnswer,
        ReturnRequest,
    )
}
EXAMPLES = re.findall(r"^```json ?(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
POINTS_WANTED = 50
REFUSED_RETURNS = (
    Outcome.LINE_UNKNOWN,
    Outcome.LINE_ALREADY_RETURNED,
    Outcome.NOT_WHOLE_PIECES,
    Outcome.QUANTITY_NOT_LEFT,
)
# The offers, the customer and the rights behind the examples.
RULES = compile_bundle(
    bundle(
        offer("dairy-10", percent(10), who=Who(identified=True), lines=having("category", "dairy")),
        offer("points", PointsPerMoney(points=1, per_minor=1_000), who=Who(identified=True)),
        of=programme(point_value_minor=100),
    ),
    "b1" * 32,
)


CALCULATIONS: dict[type[msgspec.Struct], type[Any]] = {
    ReceiptAnswer: Calculation,
    ReturnAnswer: ReturnCalculation,
}


@dataclass(frozen=True)
class Example:
    """A block of the page; `calculation` is None where the answer has none."""

    shown: Any
    message: Any
    calculation: Any


def read_example(kind: type[msgspec.Struct], body: str) -> Example:
    # A calculation travels as raw bytes within the answer, so it is read by a type of its own.
    shown = msgspec.json.decode(body)
    without = {name: value for name, value in shown.items() if name != "calculation"}
    calculation = None
    if kind in CALCULATIONS and "calculation" in shown:
        calculation = msgspec.convert(shown["calculation"], CALCULATIONS[kind])
    return Example(shown, msgspec.convert(without, kind), calculation)


def examples(kind: type[msgspec.Struct]) -> list[Example]:
    found = [read_example(kind, body) for name, body in EXAMPLES if TYPES[name] is kind]
    assert found, kind.__name__
    return found


def is_part_of(shown: object, known: object) -> bool:
    """Whether everything shown is there; what is known may have more fields, at their defaults."""
    if isinstance(shown, dict):
        return isinstance(known, dict) and all(
            name in known and is_part_of(value, known[name]) for name, value in shown.items()
        )
    if isinstance(shown, list):
        return (
            isinstance(known, list)
            and len(shown) == len(known)
            and all(map(is_part_of, shown, known))
        )
    return shown == known


def table_rows(title: str) -> list[list[str]]:
    section = re.split(r"^## ", TEXT, flags=re.MULTILINE)
    (text,) = (part for part in section if part.startswith(title))
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def expected(points: int) -> Calculation:
    request = examples(ReceiptRequest)[0].message
    reserved = right(None, lot(88, points)) if points else NO_RIGHT
    wanted = examples(ReserveRequest)[0].message.redeem if points else NO_REDEMPTION
    return calculate(
        Basket(lines=request.lines, codes=request.codes, tender=request.tender),
        RULES,
        moment=moment(request.moment),
        place=place("s12", till="3"),
        account=account(4_711, points=350),
        request=wanted,
        right=reserved,
    )


@pytest.mark.parametrize(("name", "body"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_example_is_what_the_agent_reads_and_writes(name: str, body: str) -> None:
    example = read_example(TYPES[name], body)
    known = msgspec.json.decode(msgspec.json.encode(example.message))
    if example.calculation is not None:
        known["calculation"] = msgspec.json.decode(msgspec.json.encode(example.calculation))
    assert is_part_of(example.shown, known)


def test_every_kind_of_message_has_an_example() -> None:
    assert {name for name, _ in EXAMPLES} == set(TYPES)


def test_calculations_shown_are_those_of_the_engine() -> None:
    calculated, recorded, _ = examples(ReceiptAnswer)
    assert calculated.calculation == expected(0)
    assert recorded.calculation == expected(POINTS_WANTED)
    assert recorded.message.reserved_points == POINTS_WANTED
    (reserve,) = examples(ReserveRequest)
    assert reserve.message.redeem.points == POINTS_WANTED


def test_the_three_calls_of_the_example_are_about_one_receipt() -> None:
    (update,), (reserve,) = examples(ReceiptRequest), examples(ReserveRequest)
    (complete,) = examples(CompleteRequest)
    for name in update.shown:
        assert update.shown[name] == reserve.shown[name] == complete.shown[name]
    assert complete.message.paid_minor == expected(POINTS_WANTED).totals.paid_minor


def test_return_shown_is_that_of_the_engine() -> None:
    (request,) = examples(ReturnRequest)
    recorded, shown = examples(ReceiptAnswer)[1], examples(ReturnAnswer)[0]
    assert request.message.original_receipt_id == recorded.message.receipt_id
    done = calculate_return(
        recorded.calculation, request.message.lines, date=request.message.moment[:10]
    )
    assert isinstance(done, ReturnCalculation)
    assert shown.calculation == done
    assert shown.message.fiscal_lines == fiscal_return_lines(done, "discount")


def test_fiscal_lines_shown_are_those_of_the_engine() -> None:
    for example in examples(ReceiptAnswer)[:2]:
        assert example.message.fiscal_lines == fiscal_lines(example.calculation, "discount")


def test_outcome_table_has_what_the_till_can_answer_with_its_status() -> None:
    modules = (service, returns, courier)
    sources = [Path(str(module.__file__)).read_text("utf-8") for module in modules]
    answered = {Outcome[name] for name in re.findall(r"Outcome\.([A-Z_]+)\b", "".join(sources))}
    answered |= set(REFUSED_RETURNS)  # the engine's, passed on
    rows = {row[0].strip("`"): int(row[1]) for row in table_rows("Outcomes")}
    assert rows == {
        outcome.value: routes.STATUS_OF_OUTCOME.get(outcome, 200) for outcome in answered
    }


def test_error_table_has_what_the_agent_can_refuse_with_its_status() -> None:
    source = "".join(
        Path(str(module.__file__)).read_text("utf-8") for module in (http_server, routes)
    )
    refused = {
        (int(status), code)
        for status, code in re.findall(r'(?:problem|BadRequestError)\(\s*(\d+),\s*"(\w+)"', source)
    }
    refused |= {
        (int(status), code)
        for code, status in re.findall(r'^    "(\w+)": \((\d{3}), ', source, re.MULTILINE)
    }
    refused.add((503, Outcome.JOURNAL_UNAVAILABLE.value))
    documented = {
        (int(status), code)
        for row in table_rows("Errors")
        for status in row[0].split(", ")
        for code in re.findall(r"`(\w+)`", row[1])
    }
    assert refused <= documented
    assert {code for _, code in documented} == {code for _, code in refused}


def test_limits_are_those_the_agent_keeps() -> None:
    said = {row[0]: row[1] for row in table_rows("Limits")}

    def most(name: str) -> int:
        return int(said[name].split(" ")[0].replace(",", ""))

    assert most("lines in a receipt") == limits.BASKET_LINES_MAX
    assert most("codes in a receipt") == limits.BASKET_CODES_MAX
    assert most("attributes of a line") == limits.LINE_ATTRIBUTES_MAX
    assert most("characters of `line_id` and `sku`") == limits.TEXT_CHARACTERS_MAX
    assert most("quantity of a line") == limits.QUANTITY_THOUSANDTHS_MAX
    assert most("money, points") == limits.AMOUNT_MINOR_MAX == limits.POINTS_MAX
    assert most("body of a call") * 1024 * 1024 == DEFAULT_LIMITS.body_bytes_max
    assert most("time to send a call") * 1000 == DEFAULT_LIMITS.request_read_ms_max
    assert most("connections") == DEFAULT_LIMITS.connections_max


@pytest.mark.parametrize(
    ("field", "row"),
    [
        ("card", "characters of `card`"),
        ("tender", "characters of `tender`"),
        ("version", "`version`"),
    ],
)
def test_field_is_taken_up_to_its_limit_and_no_further(field: str, row: str) -> None:
    said = {cells[0]: cells[1] for cells in table_rows("Limits")}
    most = int(said[row].replace(",", ""))
    body = dict(examples(ReceiptRequest)[0].shown)
    for beyond in (0, 1):
        body[field] = most + beyond if field == "version" else "x" * (most + beyond)
        if beyond:
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert(body, ReceiptRequest)
        else:
            assert msgspec.convert(body, ReceiptRequest).version


def test_python_example_runs() -> None:
    ((program),) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    till = FakeTill()
    receipt_id = examples(ReceiptAnswer)[0].message.receipt_id
    with serving(till_handler(till)) as running:
        names: dict[str, Any] = {"token": "t", "receipt_id": receipt_id}
        exec(program.replace("http://127.0.0.1:7710", running.url), names)
    assert names["answer"].outcome == "recorded"
    assert list(till.recorded) == [receipt_id]

"""Named receipts give the same bytes on every machine and every supported Python.

A case is a pair in `receipts/`: NAME.json holds the inputs as documents, NAME.calculation.json the
canonical bytes of the calculation and a line end. `by_hand` in NAME.json is what the receipt comes
to, worked out with pencil and paper; what it leaves out is empty. Of a search that ends before its
time it is the best there is. Also runs as a script, with nothing but the standard library and
`loyalty`: `python tests/golden/test_golden_receipts.py`; `on_every_python.py` runs it on all that
are installed.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from loyalty.account import AccountSnapshot, Allowance, RedeemRequest, SpendRight
from loyalty.basket import Basket, Moment, Place
from loyalty.bundle import Bundle
from loyalty.calculate import calculate
from loyalty.canonical import canonical_bytes
from loyalty.compilation import compile_bundle
from loyalty.documents import decode
from loyalty.offers import Limits, LineMatch, Need, Off, Reward
from loyalty.reasons import HINTS, ReasonCode

if TYPE_CHECKING:
    import pytest

RECEIPTS = Path(__file__).parent / "receipts"
RESULT = ".calculation.json"


def names() -> list[str]:
    """Return the names of all cases."""
    return sorted(
        path.name.removesuffix(".json")
        for path in RECEIPTS.glob("*.json")
        if not path.name.endswith(RESULT)
    )


def inputs(name: str) -> dict[str, Any]:
    """Return the case as it is written."""
    case: dict[str, Any] = json.loads((RECEIPTS / f"{name}.json").read_text(encoding="utf-8"))
    return case


def calculated(name: str) -> bytes:
    """Return the bytes the case's inputs are calculated to."""
    case = inputs(name)
    bundle = decode(Bundle, case["bundle"], "bundle")
    result = calculate(
        decode(Basket, case["basket"], "basket"),
        compile_bundle(bundle, hashlib.sha256(canonical_bytes(bundle)).hexdigest()),
        moment=decode(Moment, case["moment"], "moment"),
        place=decode(Place, case["place"], "place"),
        account=decode(AccountSnapshot, case.get("account", {}), "account"),
        request=decode(RedeemRequest, case.get("request", {}), "request"),
        right=decode(SpendRight, case.get("right", {}), "right"),
        allowance=decode(Allowance, case.get("allowance", {}), "allowance"),
    )
    return canonical_bytes(result) + b"\n"


def expected(name: str) -> bytes:
    """Return the bytes kept for the case; empty when there are none."""
    path = RECEIPTS / f"{name}{RESULT}"
    return path.read_bytes() if path.exists() else b""


# What people work out


_PLAIN: Final[dict[str, Any]] = {
    "effects": {},
    "not_applied": {},
    "hints": {},
    "redeemed": [],
    "hand_outs": [],
    "counted": {},
    "conditions": [],
    "unit_rules": [],
}
"""The sides of a calculation that `by_hand` may name, with what holds where it does not."""


def worked_out(calculation: dict[str, Any]) -> dict[str, Any]:
    """Return what a calculation comes to, as `by_hand` says it.

    `effects` are minor units off or points earned, `redeemed` [line, lot, points],
    `hints` [code, what is missing] by offer, `conditions` [offer, counts, at least, sets, lines],
    `unit_rules` [offer, kind, numbers, by kind of goods [line, units, price]].
    """
    effects: dict[str, dict[str, int]] = {}
    for line in calculation["lines"]:
        for effect in line["effects"]:
            amount = effect["discount_minor"] + effect["points"]
            effects.setdefault(effect["offer_id"], {})[line["line_id"]] = amount
    reasons = calculation["reasons"]
    return {
        "effects": effects,
        "not_applied": {r["offer_id"]: r["code"] for r in reasons if r["code"] != "applied"},
        "hints": {
            h["offer_id"]: [h["code"], h["figures"]["missing"]] for h in calculation["hints"]
        },
        "redeemed": [[p["line_id"], p["lot_id"], p["points"]] for p in calculation["redeemed"]],
        "hand_outs": [[h["kind"], h["what"], h["quantity"]] for h in calculation["hand_outs"]],
        "counted": {c["counter"]: c["plus"] for c in calculation["counted"]},
        "conditions": [
            [c["offer_id"], c["counts"], c["at_least"], c["sets"], c["lines"]]
            for c in calculation["conditions"]
        ],
        "unit_rules": [
            [
                rule["offer_id"],
                rule["kind"],
                rule["numbers"],
                [
                    [[s["line_id"], s["units"], s["price_minor"]] for s in kind]
                    for kind in rule["goods"]
                ],
            ]
            for rule in calculation["unit_rules"]
        ],
    }


# What the receipts show


def _kinds(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(kind := value.get("kind"), str):
            yield kind
        for inner in value.values():
            yield from _kinds(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _kinds(inner)


def _offers() -> list[dict[str, Any]]:
    return [offer for name in names() for offer in inputs(name)["bundle"].get("offers", [])]


# The promises


def pytest_generate_tests(metafunc: "pytest.Metafunc") -> None:
    """Make a test of each case; here, because this file must be read without pytest too."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", names())


def test_receipt_is_calculated_to_the_same_bytes(
    name: str, *, request: "pytest.FixtureRequest"
) -> None:
    if request.config.getoption("--update-golden", default=False):
        (RECEIPTS / f"{name}{RESULT}").write_bytes(calculated(name))
    assert calculated(name) == expected(name), f"{name}: the difference must be on purpose"


def test_receipt_comes_to_what_was_worked_out_by_hand(name: str) -> None:
    by_hand, kept = inputs(name)["by_hand"], json.loads(expected(name))
    if "best_discount_minor" in by_hand:
        found = kept["totals"]["discount_minor"]
        assert not kept["proven"]
        assert found <= by_hand["best_discount_minor"] <= found + kept["gap_minor"]
    else:
        assert kept["proven"]
        assert by_hand.keys() <= _PLAIN.keys()
        assert worked_out(kept) == _PLAIN | by_hand


def test_every_result_has_its_inputs() -> None:
    kept = {path.name.removesuffix(RESULT) for path in RECEIPTS.glob(f"*{RESULT}")}
    assert kept == set(names())


def test_the_receipts_show_every_reason() -> None:
    results = [json.loads(expected(name)) for name in names()]
    shown = {reason["code"] for result in results for reason in result["reasons"]}
    assert shown == set(ReasonCode)


def test_the_receipts_show_every_hint() -> None:
    results = [json.loads(expected(name)) for name in names()]
    assert {hint["code"] for result in results for hint in result["hints"]} == HINTS


def test_the_receipts_show_every_kind_of_reward_line_and_need() -> None:
    shown = set(_kinds(_offers()))
    for union in (Reward, LineMatch, Need, Off):
        assert {member.kind for member in get_args(union)} <= shown


def test_the_receipts_show_every_limit_and_way_to_combine() -> None:
    limits = {name for offer in _offers() for name in offer.get("limits", {})}
    assert limits == {each.name for each in fields(Limits)}
    combines = [offer["combines"] for offer in _offers() if "combines" in offer]
    assert {each.get("mode", "best") for each in combines} == {"best", "first", "best_per_line"}
    assert {name for each in combines for name in each} >= {"not_with", "shares_units", "base"}


def main() -> int:
    """Compare all cases and say which differ; return 1 when one does."""
    different = [name for name in names() if calculated(name) != expected(name)]
    for name in names():
        sys.stdout.write(f"{'DIFFERENT' if name in different else 'same':<10} {name}\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())

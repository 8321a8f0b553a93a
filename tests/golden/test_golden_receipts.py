"""Named receipts give the same bytes on every machine and every supported Python.

A case is a pair in `receipts/`: NAME.json holds the inputs as documents, NAME.calculation.json the
canonical bytes of the calculation and a line end. Also runs as a script, with nothing but the
standard library and `loyalty`: `python tests/golden/test_golden_receipts.py`.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from loyalty.account import AccountSnapshot, RedeemRequest, SpendRight
from loyalty.basket import Basket, Moment, Place
from loyalty.bundle import Bundle
from loyalty.calculate import calculate
from loyalty.canonical import canonical_bytes
from loyalty.compilation import compile_bundle
from loyalty.documents import decode
from loyalty.reasons import ReasonCode

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


def calculated(name: str) -> bytes:
    """Return the bytes the case's inputs are calculated to."""
    case = json.loads((RECEIPTS / f"{name}.json").read_text(encoding="utf-8"))
    bundle = decode(Bundle, case["bundle"], "bundle")
    result = calculate(
        decode(Basket, case["basket"], "basket"),
        compile_bundle(bundle, hashlib.sha256(canonical_bytes(bundle)).hexdigest()),
        moment=decode(Moment, case["moment"], "moment"),
        place=decode(Place, case["place"], "place"),
        account=decode(AccountSnapshot, case.get("account", {}), "account"),
        request=decode(RedeemRequest, case.get("request", {}), "request"),
        right=decode(SpendRight, case.get("right", {}), "right"),
    )
    return canonical_bytes(result) + b"\n"


def expected(name: str) -> bytes:
    """Return the bytes kept for the case; empty when there are none."""
    path = RECEIPTS / f"{name}{RESULT}"
    return path.read_bytes() if path.exists() else b""


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


def test_every_result_has_its_inputs() -> None:
    kept = {path.name.removesuffix(RESULT) for path in RECEIPTS.glob(f"*{RESULT}")}
    assert kept == set(names())


def test_the_receipts_show_every_reason() -> None:
    results = [json.loads(expected(name)) for name in names()]
    shown = {reason["code"] for result in results for reason in result["reasons"]}
    assert shown == set(ReasonCode)


def main() -> int:
    """Compare all cases and say which differ; return 1 when one does."""
    different = [name for name in names() if calculated(name) != expected(name)]
    for name in names():
        sys.stdout.write(f"{'DIFFERENT' if name in different else 'same':<10} {name}\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())

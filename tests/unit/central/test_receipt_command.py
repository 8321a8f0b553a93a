"""`receipt verify` at the centre: which till signed a code, and what became of the receipt."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from sync import qr
from tests.golden.codes import examples
from tests.support.command_line import central, central_process
from tests.support.till import STRANGER_KEY

CODE = examples.CODES["receipt"]
TILL = examples.TILL_ID
STORE = "insert into store (store_id) values ('store-1')"
ENROLLED = (
    "insert into till (till_id, store_id, slot, public_key, hardware, enrolled_at_ms)"
    " overriding system value values (17, 'store-1', '1', $1, 'probe', 0)"
)
POSTED = (
    "with kept as (insert into inbox (till_id, incarnation, seq, hash, body, received_at_ms)"
    " values (17, 'i', 1, 'h', 'b', 0) returning arrival)"
    " insert into receipt (sale_key, arrival, till_id, store_id, moment, bundle, gross_minor,"
    " discount_minor, redeemed_minor, redeemed_points, paid_minor, earned_points, link_up, equal,"
    " calculation, posted_at_ms) select $1, arrival, 17, 'store-1', '', '', 0, 0, 0, 150, $2, 31,"
    " false, true, '', 0 from kept"
)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


async def execute(dsn: str, sql: str, *values: object) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(sql, *values)
    await connection.close()


@pytest.fixture
def given(database: str, tmp_path: Path) -> list[str]:
    """Options of a centre that knows till 17."""
    options = ["--data", str(tmp_path / "centre"), "--database", database]
    assert central("migrate", *options).code == 0
    run(execute(database, STORE))
    run(execute(database, ENROLLED, examples.TILL_KEY.public))
    return options


def verdict(code: str, given: list[str]) -> tuple[int, str, str]:
    ended = central("receipt", "verify", code, "--json", *given)
    found = json.loads(ended.said)
    return ended.code, found["verdict"], found.get("receipt", "")


def test_a_genuine_code_is_named_and_its_receipt_looked_for(
    given: list[str], database: str
) -> None:
    assert verdict(CODE, given) == (0, "genuine", "unknown")
    hint = "insert into receipt_hint values ($1, 17, 'i', 1, 31, 150, 123456, '2025', 'code', 0)"
    run(execute(database, hint, examples.SALE_KEY))
    assert verdict(CODE, given) == (0, "genuine", "heard")
    run(execute(database, POSTED, examples.SALE_KEY, 123_456))
    assert verdict(CODE, given) == (0, "genuine", "posted")


def test_a_receipt_that_is_posted_with_other_figures_is_said_loudly(
    given: list[str], database: str
) -> None:
    run(execute(database, POSTED, examples.SALE_KEY, 99))
    ended = central("receipt", "verify", CODE, *given)
    assert ended.code == 0
    assert "POSTED WITH OTHER FIGURES" in ended.said


def test_what_no_till_signed_is_not_genuine(given: list[str]) -> None:
    forged = qr.write(qr.seal(examples.receipt, STRANGER_KEY))
    stranger = qr.write(
        qr.seal(msgspec.structs.replace(examples.receipt, till_id=TILL + 1), examples.TILL_KEY)
    )
    for code in (forged, stranger, "4006381333931"):
        assert verdict(code, given) == (1, "wrong", "")


def test_a_file_and_the_input_are_read_alike(given: list[str], tmp_path: Path) -> None:
    file = tmp_path / "code.txt"
    file.write_text(CODE + "\n", encoding="ascii")
    assert verdict(str(file), given) == (0, "genuine", "unknown")
    piped = central_process("receipt", "verify", "-", *given, given=CODE.encode())
    assert piped.code == 0
    assert piped.said.startswith("genuine: signed by till 17; its record has not come yet")

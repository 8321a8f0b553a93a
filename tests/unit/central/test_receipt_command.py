"""`receipt verify` at the centre: which till signed a code, and what became of the receipt."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from central.keys import load_keys
from central.system import System
from sync import qr
from sync.customer_code import step_of
from sync.messages import Grant
from sync.qr_picture import terminal_picture
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
ACCOUNT = "insert into account (account_id) values ($1)"
GRANTED = (
    "insert into right_grant (account_id, grant_id, purpose, till_id, incarnation, session, points,"
    " outstanding, not_after_ms, body, issued_at_ms, ask_number)"
    " values ($1, $2, 'grant', 17, $3, $4, $5, $5, $6, $7, 0, 312)"
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
    assert piped.said.startswith(
        "genuine: signed by till 17 (store store-1, register 1); its record has not come yet"
    )


def state(code: str, given: list[str]) -> tuple[int, str, str, bool]:
    ended = central("receipt", "verify", code, "--json", *given)
    found = json.loads(ended.said)
    return ended.code, found["kind"], found["state"], found["counts"]


def by_centre(document: qr.Document, given: list[str]) -> str:
    key = load_keys(Path(given[1]), System()).centre
    return qr.write(qr.seal(document, key))


def test_an_ask_is_judged_by_what_became_of_it(given: list[str], database: str) -> None:
    ask = examples.CODES["ask"]
    assert state(ask, given) == (0, "ask", "open", True)
    run(execute(database, "update till set session_incarnation = $1, session_asks_made = 312",
                examples.INCARNATION))  # fmt: skip
    assert state(ask, given) == (0, "ask", "over", False)
    run(execute(database, "update till set revoked = true"))
    assert state(ask, given) == (0, "ask", "refused", False)
    assert "register 1), revoked since" in central("receipt", "verify", ask, *given).said
    forged = qr.write(qr.seal(examples.ask, STRANGER_KEY))
    assert verdict(forged, given) == (1, "wrong", "")


def test_a_grant_and_its_ask_are_followed_to_their_end(given: list[str], database: str) -> None:
    grant = msgspec.structs.replace(examples.grant, not_after_ms=32_503_680_000_000, tier="")
    code = by_centre(grant, given)
    assert state(code, given) == (0, "grant", "unknown", False)
    run(execute(database, ACCOUNT, grant.account_id))
    right = Grant(
        grant_id=grant.grant_id, purpose="grant", account_id=grant.account_id, till_id=TILL,
        incarnation=grant.incarnation, session=grant.nonce, points=grant.points, lots=grant.lots,
        not_after_ms=grant.not_after_ms,
    )  # fmt: skip
    run(execute(
        database, GRANTED, grant.account_id, grant.grant_id, grant.incarnation, grant.nonce,
        grant.points, grant.not_after_ms, msgspec.msgpack.encode(right),
    ))  # fmt: skip
    assert state(code, given) == (0, "grant", "open", True)
    assert state(examples.CODES["ask"], given) == (0, "ask", "granted", True)
    over = by_centre(msgspec.structs.replace(grant, not_after_ms=60_000), given)
    assert state(over, given) == (0, "grant", "over", False)
    printed = central("receipt", "print", grant.grant_id, *given)
    assert printed.said.startswith(f"{code}\n  grant ")
    assert terminal_picture(code, in_colours=False) in printed.said
    run(execute(database, "update right_grant set received = true"))
    assert state(code, given) == (0, "grant", "taken", False)
    run(execute(database, "update right_grant set received = false, state = 'closed',"
                " outstanding = 0"))  # fmt: skip
    assert state(code, given) == (0, "grant", "home", False)
    assert verdict(examples.CODES["grant"], given) == (1, "wrong", "")  # another centre's


def test_a_customers_code_is_good_for_a_short_time(given: list[str]) -> None:
    assert state(by_centre(examples.customer, given), given) == (0, "customer", "over", False)
    now = msgspec.structs.replace(examples.customer, step=step_of(System().now_ms()))
    assert state(by_centre(now, given), given) == (0, "customer", "open", True)


def test_what_the_centre_has_heard_of_is_printed_and_drawn(
    given: list[str], database: str, tmp_path: Path
) -> None:
    missing = central("receipt", "print", examples.SALE_KEY, *given)
    assert missing.code == 1
    assert f"tillside-agent receipt print {examples.SALE_KEY}" in missing.complained
    hint = "insert into receipt_hint values ($1, 17, 'i', 1, 31, 150, 123456, '2025', $2, 0)"
    run(execute(database, hint, examples.SALE_KEY, CODE))
    file = tmp_path / "receipt.svg"
    ended = central("receipt", "print", examples.SALE_KEY, "--picture", file, "--json", *given)
    assert json.loads(ended.said)["code"] == CODE
    assert file.stat().st_size > 0
    wrong = central("receipt", "print", CODE, "--picture", "code.gif", *given)
    assert (wrong.code, ".svg or .png" in wrong.complained) == (1, True)

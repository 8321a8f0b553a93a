"""Courier and receipt codes over the register's API; every answer is the documented one."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sync import qr
from sync.qr import CourierAsk, ReceiptProof
from tests.architecture.source_tree import ROOT
from tests.support.builders import A_WEDNESDAY
from tests.support.till import CARD, OTHER_RECEIPT, RECEIPT, RETURN
from tests.unit.agent.register import PAID, UPDATE, Register, register_of
from tests.unit.agent.test_courier import granted
from tests.unit.agent.test_receipt_codes import code

ASK = {"card": CARD, "points": 80}
BACK = {"original_receipt_id": OTHER_RECEIPT, "lines": [{"line_id": "1"}], "moment": A_WEDNESDAY}


@pytest.fixture
async def register(tmp_path: Path) -> AsyncIterator[Register]:
    """A register beside an agent whose centre's address refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with register_of(tmp_path / "till", url) as register:
            yield register


async def test_points_come_by_courier(register: Register) -> None:
    status, asked = await register.call("POST", f"{UPDATE}/courier", ASK)
    assert (status, asked["outcome"], asked["points"]) == (200, "courier_asked", 80)
    again = await register.call("POST", f"{UPDATE}/courier", ASK)
    assert again == (status, asked)
    # The agent's clock is the machine's here, so the grant has to last.
    ask = qr.read(CourierAsk, asked["code"])
    brought = granted(ask, other={"not_after_ms": 60_000 * 10**8})
    status, taken = await register.call("POST", "/v1/courier", {"code": brought})
    assert (status, taken["outcome"], taken["receipt_id"]) == (200, "grant_taken", RECEIPT)
    _, health = await register.call("GET", "/v1/health")
    assert (health["rights_points"], health["courier_asks_open"]) == (80, 0)


async def test_codes_that_are_not_awaited_or_not_genuine_are_named(register: Register) -> None:
    _, asked = await register.call("POST", f"{UPDATE}/courier", ASK)
    ask = qr.read(CourierAsk, asked["code"])
    stale = await register.call("POST", "/v1/courier", {"code": granted(ask)})  # of 2025
    wrong = await register.call("POST", "/v1/courier", {"code": "4006381333931"})
    assert [(status, answer["outcome"]) for status, answer in (stale, wrong)] == [
        (409, "grant_not_awaited"),
        (422, "code_wrong"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"card": CARD},
        {**ASK, "points": 0},
        {**ASK, "card": ""},
        {**ASK, "more": 1},
        {**ASK, "points": 10**13},
    ],
)
async def test_an_ask_that_is_none_is_refused(register: Register, body: object) -> None:
    status, answer = await register.call("POST", f"{UPDATE}/courier", body)
    assert (status, answer["error"]) == (422, "request_invalid")


async def test_a_code_that_is_too_long_is_refused_unread(register: Register) -> None:
    for path, body in (
        ("/v1/courier", {"code": "T" * (qr.TEXT_CHARACTERS_MAX + 1)}),
        (f"/v1/returns/{RETURN}", {**BACK, "receipt_code": "T" * 1_201}),
    ):
        status, answer = await register.call("POST", path, body)
        assert (status, answer["error"]) == (422, "request_invalid")


async def test_the_paper_carries_a_code_and_a_return_stands_on_it(register: Register) -> None:
    _, recorded = await register.call("POST", f"{UPDATE}/complete", PAID)
    assert qr.read(ReceiptProof, recorded["receipt_code"]).key == RECEIPT
    path, of_other = f"/v1/returns/{RETURN}", code(receipt_id=OTHER_RECEIPT)
    status, shown = await register.call("POST", path, {**BACK, "receipt_code": of_other})
    assert (status, shown["outcome"], shown["pending"]) == (200, "previewed", True)
    assert (shown["claim"]["is_proven"], shown["claim"]["paid_minor"]) == (True, 950)
    status, wrong = await register.call("POST", path, {**BACK, "receipt_code": of_other[:-3]})
    assert (status, wrong["outcome"]) == (422, "code_wrong")


async def test_the_code_of_a_recorded_receipt_can_be_had_once_more(
    register: Register, tmp_path: Path
) -> None:
    path = f"/v1/receipts/{RECEIPT}/code"
    assert (await register.call("GET", path))[0] == 404
    _, recorded = await register.call("POST", f"{UPDATE}/complete", PAID)
    status, again = await register.call("GET", path)
    assert (status, again["receipt_code"]) == (200, recorded["receipt_code"])
    folder = str(tmp_path / "till")
    said = await asyncio.to_thread(printed, "receipt", "print", RECEIPT, "--data", folder)
    assert said.startswith(f"{recorded['receipt_code']}\n  receipt   {RECEIPT}\n")
    refused = await asyncio.to_thread(printed, "receipt", "print", OTHER_RECEIPT, "--data", folder)
    assert "no such receipt is kept here" in refused


def printed(*arguments: str) -> str:
    """Return what a command of the agent prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", *arguments], cwd=ROOT, capture_output=True, check=False
    )
    return (done.stdout + done.stderr).decode()

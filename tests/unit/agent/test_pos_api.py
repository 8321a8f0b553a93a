"""The register's API over real HTTP, no centre to be had: every answer is documented."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import openapi_spec_validator
import pytest
from structlog.testing import capture_logs

from agent.bootstrap import ADDRESS_FILE, RunningAgent, running_agent
from agent.config import AgentConfig
from agent.errors import EnrolmentError
from loyalty.outcomes import Outcome
from tests.support.builders import A_WEDNESDAY
from tests.support.till import (
    CARD,
    OTHER_RECEIPT,
    RECEIPT,
    RETURN,
    TOKEN,
)
from tests.unit.agent.register import (
    DOCUMENT,
    PAID,
    SALE,
    UPDATE,
    Body,
    Register,
    register_of,
    schema_validator,
)


@pytest.fixture
async def register(tmp_path: Path) -> AsyncIterator[Register]:
    """A register beside an agent whose centre's address refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with register_of(tmp_path / "till", url) as register:
            yield register


# The way of a receipt


async def test_a_receipt_goes_its_way_without_any_centre(register: Register) -> None:
    customer = {"card": CARD}
    steps = [
        await register.update(SALE),
        await register.update({**SALE, **customer, "version": 2}),
        await register.call(
            "POST",
            f"{UPDATE}/reserve",
            {**SALE, **customer, "version": 2, "redeem": {"points": 10}},
        ),
        await register.call("POST", f"{UPDATE}/complete", {**PAID, **customer, "version": 2}),
    ]
    assert [(status, answer["outcome"]) for status, answer in steps] == [
        (200, "calculated"),
        (200, "calculated"),
        (200, "reserved"),
        (200, "recorded"),
    ]
    status, health = await register.call("GET", "/v1/health")
    assert (status, health["link"], health["receipts"]) == (200, "down", {"recorded": 1})
    assert (health["last_seq"], health["records_waiting"]) == (2, 2)


async def test_completing_twice_gives_the_very_same_bytes(register: Register) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answers = [
        (await register.http.post(f"{UPDATE}/complete", json=PAID, headers=headers)).content
        for _ in range(3)
    ]
    assert len(set(answers)) == 1
    assert json.loads(answers[0])["outcome"] == "recorded"


@pytest.mark.parametrize(
    ("body", "status", "outcome", "field"),
    [
        ({**SALE, "lines": []}, 409, "stale_version", "lines"),
        ({**SALE, "version": 2, "lines": []}, 200, "calculated", None),
    ],
)
async def test_versions_are_told_apart(
    register: Register, body: Body, status: int, outcome: str, field: str | None
) -> None:
    await register.update(SALE)
    got, answer = await register.update(body)
    assert (got, answer["outcome"], answer.get("field")) == (status, outcome, field)


async def test_conflicts_are_409_and_say_what_is_known(register: Register) -> None:
    complete = f"{UPDATE}/complete"
    wrong = await register.call("POST", complete, {**PAID, "paid_minor": 999})
    await register.call("POST", complete, PAID)
    other = await register.call("POST", complete, {**PAID, "paid_minor": 999})
    late = await register.update({**SALE, "version": 2})
    cancel = await register.call("POST", f"{UPDATE}/cancel")
    assert [(status, answer["outcome"]) for status, answer in (wrong, other, late, cancel)] == [
        (409, Outcome.STALE_CALCULATION),
        (409, Outcome.ALREADY_RECORDED_DIFFERENTLY),
        (409, Outcome.RECEIPT_CLOSED),
        (409, Outcome.RECEIPT_CLOSED),
    ]
    assert other[1]["field"] == "paid_minor"


async def test_cancelling_is_final_and_may_be_repeated(register: Register) -> None:
    await register.update(SALE)
    answers = [await register.call("POST", f"{UPDATE}/cancel") for _ in range(2)]
    assert [(status, answer["outcome"]) for status, answer in answers] == [(200, "cancelled")] * 2
    status, answer = await register.call("POST", f"{UPDATE}/complete", PAID)
    assert (status, answer["outcome"]) == (409, "receipt_closed")


async def test_returns_answer_with_their_names(register: Register) -> None:
    await register.call("POST", f"{UPDATE}/complete", PAID)
    back = {"original_receipt_id": RECEIPT, "lines": [{"line_id": "1"}], "moment": A_WEDNESDAY}
    path, other = f"/v1/returns/{RETURN}", f"/v1/returns/{RETURN[:-1]}0"
    confirm = {**back, "confirm": True}
    bodies: list[tuple[str, Body]] = [
        (path, {**back, "original_receipt_id": OTHER_RECEIPT}),
        (path, {**back, "lines": [{"line_id": "9"}]}),
        (path, {**back, "lines": [{"line_id": "1", "quantity": 500}]}),
        (path, {**back, "lines": [{"line_id": "1", "quantity": 9_000}]}),
        (path, {**back, "lines": [{"line_id": "1"}] * 2}),
        (path, {**back, "lines": [{"line_id": "1", "quantity": -1}]}),
        (path, {**back, "lines": []}),
        (path, back),
        (path, {**confirm, "money_back_minor": 1}),
        (path, confirm),
        (path, {**confirm, "lines": [{"line_id": "2"}]}),
        (other, confirm),
    ]
    answers = [await register.call("POST", where, body) for where, body in bodies]
    assert [(status, answer.get("outcome")) for status, answer in answers] == [
        (404, "receipt_unknown"),
        (422, "line_unknown"),
        (422, "not_whole_pieces"),
        (409, "quantity_not_left"),
        (422, None),
        (422, None),
        (422, None),
        (200, "previewed"),
        (409, "stale_calculation"),
        (200, "recorded"),
        (409, "already_recorded_differently"),
        (409, "line_already_returned"),
    ]


# The document


def test_the_document_is_valid_openapi() -> None:
    openapi_spec_validator.validate(DOCUMENT)


async def test_the_document_is_served_without_a_token(register: Register) -> None:
    response = await register.http.get("/v1/openapi.json")
    assert response.json() == DOCUMENT


def test_every_request_of_these_tests_that_is_right_is_right_by_the_document() -> None:
    for name, body in (
        ("ReceiptRequest", SALE),
        ("CompleteRequest", PAID),
        ("ReserveRequest", {**SALE, "redeem": {"points": 5}}),
    ):
        schema_validator({"$ref": f"#/components/schemas/{name}"}).validate(body)


def test_the_document_names_every_outcome_status() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            statuses = set(operation["responses"])
            assert {"401", "503", "default"} <= statuses
            assert ("409" in statuses) == ("{" in path or path == "/v1/courier")


# A centre that is not there


async def test_a_silent_centre_is_asked_nothing_on_behalf_of_a_sale(tmp_path: Path) -> None:
    connections = 0
    came = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        came.set()
        try:
            await reader.read(-1)  # hears, and never answers
        finally:
            writer.close()

    silent = await asyncio.start_server(accept, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    async with silent, register_of(tmp_path / "till", url) as register:
        async with asyncio.timeout(20):
            await came.wait()  # the link, by itself
        assert connections == 1
        for version in range(1, 6):
            status, answer = await register.update({**SALE, "card": CARD, "version": version})
            assert (status, answer.get("link", "down")) == (200, "down")
        reserve = {**SALE, "card": CARD, "version": 5, "redeem": {"points": 5}}
        await register.call("POST", f"{UPDATE}/reserve", reserve)
        back = {
            "original_receipt_id": OTHER_RECEIPT,
            "lines": [{"line_id": "1"}],
            "moment": A_WEDNESDAY,
        }
        await register.call("POST", f"/v1/returns/{RETURN}", back)
        status, answer = await register.call(
            "POST", f"{UPDATE}/complete", {**PAID, "card": CARD, "version": 5}
        )
        assert (status, answer["outcome"]) == (200, "recorded")
        assert connections == 1


# The service around it


async def test_the_agents_address_file_and_its_end(tmp_path: Path) -> None:
    async with register_of(tmp_path / "till", "http://127.0.0.1:9") as register:
        left = json.loads((tmp_path / "till" / ADDRESS_FILE).read_text())
        assert left["url"] == f"http://127.0.0.1:{register.agent.server.port}"
        await register.call("POST", f"{UPDATE}/complete", PAID)
    async with register_of(tmp_path / "till", "http://127.0.0.1:9") as register:
        status, answer = await register.call("POST", f"{UPDATE}/complete", PAID)
        assert (status, answer["outcome"]) == (200, "recorded")


async def test_a_till_that_is_not_enrolled_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(EnrolmentError, match="tillside-agent enrol"):
        async with running_agent(tmp_path, AgentConfig(pos_port=0)):
            pass


async def lose_the_journal(agent: RunningAgent) -> None:
    """Close the journal between two of its calls; the link has some of its own."""
    while True:
        try:
            return agent.till.journal.close()
        except apsw.ThreadingViolationError:
            await asyncio.sleep(0)


@pytest.mark.parametrize("call", ["cancel", "complete", "reserve"])
async def test_a_journal_that_failed_for_good_is_503_and_ends_the_service(
    register: Register, call: str
) -> None:
    await lose_the_journal(register.agent)
    body = {**PAID, "redeem": {"points": 1}} if call == "reserve" else PAID
    if call == "reserve":
        body.pop("paid_minor")
    status, answer = await register.call("POST", f"{UPDATE}/{call}", body)
    assert (status, answer["error"]) == (503, "journal_unavailable")
    assert register.agent.health.journal_damaged.is_set()


async def test_no_card_is_logged(register: Register) -> None:
    with capture_logs() as logs:
        await register.update({**SALE, "card": CARD})
        await register.update({**SALE, "card": CARD * 20})
        await register.update({**SALE, "card": {"number": CARD}})
        await register.call("PUT", f"/v1/receipts/{CARD.replace(' ', '')}", SALE)
    assert CARD.replace(" ", "") not in repr(logs)
    assert CARD not in repr(logs)

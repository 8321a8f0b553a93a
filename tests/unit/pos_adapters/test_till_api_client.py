"""The client over real sockets, against the agent's own server and message types."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Self

import msgspec
import pytest

from agent.health import HealthReport
from agent.pos_api.http_server import HttpRequest, HttpResponse, problem
from agent.till_service.messages import (
    CashierMessage,
    CompleteRequest,
    CustomerView,
    ReceiptAnswer,
    ReceiptRequest,
    ReserveRequest,
    ReturnAnswer,
    ReturnRequest,
)
from loyalty.account import RedeemRequest
from loyalty.basket import BasketLine
from loyalty.fiscal import FiscalLine
from loyalty.returns import ReturnItem
from pos_adapters import ports
from pos_adapters.errors import TillRefusedError, TillUnreachableError
from pos_adapters.ports import GoodsBack, LinesReturned, PosClient, Receipt, ScannedLine, TillAnswer
from pos_adapters.simulated_register.client import TillApiClient
from pos_adapters.simulated_register.printers import MemoryPrinter
from pos_adapters.simulated_register.register import SimulatedRegister
from pos_adapters.simulated_register.reports import Ending
from pos_adapters.simulated_register.sessions import (
    Complete,
    GoToPayment,
    PresentCard,
    ReturnLines,
    Scan,
)
from tests.unit.pos_adapters.fake_till import FakeTill
from tests.unit.pos_adapters.till_server import WAIT_S, read, receipt_of, serving, till_handler

ID = "01950000-0000-7000-8000-000000000001"
RETURN = "01950000-0000-7000-8000-00000000000a"
TOKEN = "a-token-that-nobody-may-read"
MILK = ScannedLine(
    line_id="1",
    sku="4607",
    quantity=742,
    gross_minor=9_900,
    by_weight=True,
    pos_reduced=True,
    gtin="4601234567893",
    department="food",
    category="dairy",
    brand="Бурёнка",
    attributes={"fat": "2.5"},
)
BREAD = ScannedLine(line_id="2", sku="11", quantity=1_000, gross_minor=3_000)
RECEIPT = Receipt(
    version=4,
    moment="2025-03-05T17:42:10",
    lines=(MILK, BREAD),
    codes=("C10", "C20"),
    card="2900000000001",
    tender="cash",
    training=True,
)
LINES = LinesReturned(
    original_receipt_id=ID,
    lines=(GoodsBack("1", 2_000), GoodsBack("2")),
    moment="2025-03-06T11:05:00",
)
PLAIN = ReceiptAnswer(outcome="calculated", receipt_id=ID, version=4)


class Scripted:
    """Answers every call alike and keeps what it was asked."""

    def __init__(self, answer: msgspec.Struct | HttpResponse = PLAIN) -> None:
        self.answer = answer
        self.requests: list[HttpRequest] = []

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        if isinstance(self.answer, HttpResponse):
            return self.answer
        return HttpResponse(200, msgspec.json.encode(self.answer))


@contextmanager
def calling(script: Scripted) -> Iterator[TillApiClient]:
    with (
        serving(script) as running,
        TillApiClient(running.url, TOKEN, timeout_s=WAIT_S) as client,
    ):
        yield client


# -- what is sent --------------------------------------------------------------------------------


def test_types_of_the_register_have_the_fields_of_the_agents() -> None:
    pairs = [
        (ScannedLine, {field.name for field in fields(BasketLine)}),
        (Receipt, set(ReceiptRequest.__struct_fields__)),
        (LinesReturned, {*ReturnRequest.__struct_fields__} - {"confirm", "money_back_minor"}),
        (GoodsBack, {field.name for field in fields(ReturnItem)}),
        (ports.FiscalLine, {field.name for field in fields(FiscalLine)}),
        (ports.CustomerSeen, set(CustomerView.__struct_fields__)),
        (ports.CashierMessage, set(CashierMessage.__struct_fields__)),
    ]
    for kind, theirs in pairs:
        assert {field.name for field in fields(kind)} == theirs, kind.__name__
    heard = {*ReceiptAnswer.__struct_fields__, *ReturnAnswer.__struct_fields__}
    ours = {field.name for field in fields(TillAnswer)}
    assert heard - {"receipt_id", "return_id"} == ours - {"status", "subject_id", "raw"}


def test_update_sends_the_receipt_as_the_agent_reads_it() -> None:
    script = Scripted()
    with calling(script) as client:
        client.update(ID, RECEIPT)
    (request,) = script.requests
    assert (request.method, request.path) == ("PUT", f"/v1/receipts/{ID}")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert receipt_of(read(request, ReceiptRequest)) == RECEIPT


@pytest.mark.parametrize(
    ("redeem", "wanted"),
    [
        (0, RedeemRequest()),
        (50, RedeemRequest(points=50)),
        ("max", RedeemRequest(as_many_as_possible=True)),
    ],
)
def test_reserve_sends_what_the_customer_wants(redeem: ports.Redeem, wanted: RedeemRequest) -> None:
    script = Scripted()
    with calling(script) as client:
        client.reserve(ID, RECEIPT, redeem=redeem)
    (request,) = script.requests
    assert (request.method, request.path) == ("POST", f"/v1/receipts/{ID}/reserve")
    body = read(request, ReserveRequest)
    assert (receipt_of(body), body.redeem) == (RECEIPT, wanted)


def test_complete_sends_the_total() -> None:
    script = Scripted()
    with calling(script) as client:
        client.complete(ID, RECEIPT, paid_minor=12_345)
    (request,) = script.requests
    assert (request.method, request.path) == ("POST", f"/v1/receipts/{ID}/complete")
    body = read(request, CompleteRequest)
    assert (receipt_of(body), body.paid_minor) == (RECEIPT, 12_345)


def test_cancel_sends_no_body() -> None:
    script = Scripted()
    with calling(script) as client:
        client.cancel(ID)
    (request,) = script.requests
    assert (request.method, request.path, request.body) == (
        "POST",
        f"/v1/receipts/{ID}/cancel",
        b"",
    )


@pytest.mark.parametrize(
    ("confirm", "money_back_minor"), [(False, None), (True, None), (True, 0), (True, 501)]
)
def test_return_sends_the_lines(confirm: bool, money_back_minor: int | None) -> None:
    script = Scripted(ReturnAnswer(outcome="previewed", return_id=RETURN))
    with calling(script) as client:
        client.return_lines(RETURN, LINES, confirm=confirm, money_back_minor=money_back_minor)
    (request,) = script.requests
    assert (request.method, request.path) == ("POST", f"/v1/returns/{RETURN}")
    assert read(request, ReturnRequest) == ReturnRequest(
        original_receipt_id=LINES.original_receipt_id,
        lines=(ReturnItem(line_id="1", quantity=2_000), ReturnItem(line_id="2")),
        moment=LINES.moment,
        confirm=confirm,
        money_back_minor=money_back_minor,
    )


# -- what is heard -------------------------------------------------------------------------------


def test_answer_about_a_receipt_is_read_whole() -> None:
    said = ReceiptAnswer(
        outcome="reserved",
        receipt_id=ID,
        version=4,
        link="up",
        calculation=msgspec.Raw(b'{"totals":{"paid_minor":7}}'),
        reserved_points=50,
        customer=CustomerView(known=True, masked_name="Я***", tier="gold", points=9, blocked=True),
        field="paid_minor",
        messages=(CashierMessage("rights_exhausted", "Не хватает"),),
    )
    with calling(Scripted(said)) as client:
        answer = client.update(ID, RECEIPT)
    assert answer == TillAnswer(
        status=200,
        outcome="reserved",
        subject_id=ID,
        version=4,
        link="up",
        calculation={"totals": {"paid_minor": 7}},
        reserved_points=50,
        customer=ports.CustomerSeen(
            known=True, masked_name="Я***", tier="gold", points=9, blocked=True
        ),
        field="paid_minor",
        messages=(ports.CashierMessage("rights_exhausted", "Не хватает"),),
        raw=msgspec.json.encode(said),
    )


def test_fields_left_out_of_an_answer_have_their_default() -> None:
    with calling(Scripted(PLAIN)) as client:
        answer = client.cancel(ID)
    assert answer == TillAnswer(
        status=200, outcome="calculated", subject_id=ID, version=4, link="down", raw=answer.raw
    )


def test_answer_about_a_return_is_read_whole() -> None:
    said = ReturnAnswer(
        outcome="recorded",
        return_id=RETURN,
        calculation=msgspec.Raw(b'{"money_back_minor":5}'),
        pending=True,
    )
    with calling(Scripted(said)) as client:
        answer = client.return_lines(RETURN, LINES, confirm=True)
    assert answer == TillAnswer(
        status=200,
        outcome="recorded",
        subject_id=RETURN,
        calculation={"money_back_minor": 5},
        pending=True,
        raw=answer.raw,
    )


def test_outcome_with_a_status_of_its_own_is_an_answer() -> None:
    said = HttpResponse(409, msgspec.json.encode(PLAIN))
    with calling(Scripted(said)) as client:
        answer = client.update(ID, RECEIPT)
    assert (answer.status, answer.outcome) == (409, "calculated")


def test_health_is_read() -> None:
    numbers: dict[str, object] = {
        field.name: 3 for field in msgspec.structs.fields(HealthReport) if field.type is int
    }
    texts = dict.fromkeys(("last_link_error", "incarnation", "bundle", "clock"), "")
    said = msgspec.convert(
        numbers
        | texts
        | {"store": "s12", "link": "up", "revoked": False}
        | {"last_contact_ms": None, "receipts": {"recorded": 8}},
        HealthReport,
    )
    script = Scripted(said)
    with calling(script) as client:
        health = client.health()
    assert (script.requests[0].method, script.requests[0].path) == ("GET", "/v1/health")
    assert (health.till_id, health.store, health.link, health.records_waiting) == (
        3,
        "s12",
        "up",
        3,
    )
    assert health.figures == json.loads(msgspec.json.encode(said))


@pytest.mark.parametrize(
    ("status", "code", "is_transient"),
    [
        (401, "token_wrong", False),
        (422, "request_invalid", False),
        (503, "journal_unavailable", False),
        (500, "internal_error", True),
        (503, "too_many_connections", True),
    ],
)
def test_problem_is_a_refusal_with_its_code(status: int, code: str, is_transient: bool) -> None:
    with (
        calling(Scripted(problem(status, code, message="do this"))) as client,
        pytest.raises(TillRefusedError, match=f"{code}: do this") as caught,
    ):
        client.update(ID, RECEIPT)
    error = caught.value
    assert (error.status, error.code, error.message) == (status, code, "do this")
    assert error.is_transient == is_transient


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'"recorded"', b"\xff", b""])
@pytest.mark.parametrize(
    "call", [lambda till: till.cancel(ID), lambda till: till.health()], ids=["cancel", "health"]
)
def test_other_program_on_the_port_is_not_taken_for_the_till(
    body: bytes, call: Callable[[TillApiClient], object]
) -> None:
    with (
        calling(Scripted(HttpResponse(200, body))) as client,
        pytest.raises(TillRefusedError, match="which program listens at http://127") as caught,
    ):
        call(client)
    assert caught.value.code == "answer_unreadable"


# -- the connection ------------------------------------------------------------------------------


def test_all_calls_go_over_one_connection() -> None:
    with (
        serving(Scripted()) as running,
        TillApiClient(running.url, TOKEN, timeout_s=WAIT_S) as client,
    ):
        for _ in range(30):
            client.update(ID, RECEIPT)
        assert running.server.accepted_count == 1


def test_call_over_a_connection_that_the_agent_ended_is_repeated_on_a_new_one() -> None:
    with serving(Scripted()) as running:
        client = TillApiClient(running.url, TOKEN, timeout_s=WAIT_S)
        client.update(ID, RECEIPT)
        port = running.port
    script = Scripted()
    with serving(script, port=port), client:
        assert client.update(ID, RECEIPT).outcome == "calculated"
    assert len(script.requests) == 1


def test_agent_that_is_gone_is_unreachable_until_it_is_back() -> None:
    with serving(Scripted()) as running:
        client = TillApiClient(running.url, TOKEN, timeout_s=WAIT_S)
        client.update(ID, RECEIPT)
        port = running.port
    for _ in range(2):
        with pytest.raises(TillUnreachableError, match="is the agent running") as caught:
            client.update(ID, RECEIPT)
        assert TOKEN not in str(caught.value) + repr(client)
    with serving(Scripted(), port=port), client:
        assert client.update(ID, RECEIPT).outcome == "calculated"


class RawPeer:
    """A listener that answers each connection with the next of the given bytes, then ends it."""

    def __init__(self, *answers: bytes) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(WAIT_S)
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.seen: list[bytes] = []
        self._answers = answers
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for answer in self._answers:
            connection, _ = self.listening.accept()
            with connection:
                connection.settimeout(WAIT_S)
                self.seen.append(connection.recv(65_536))
                connection.sendall(answer)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(WAIT_S)
        self.listening.close()


BODY = msgspec.json.encode(PLAIN)
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


@pytest.mark.parametrize(
    "cut",
    [WHOLE[:length] for length in (0, 3, 12, 17, 21, 33, 36, -len(BODY) - 2, -len(BODY), -1)]
    + [b"SSH-2.0\r\n\r\n"],
)
def test_answer_that_is_cut_or_garbled_is_no_answer_and_not_asked_for_twice(cut: bytes) -> None:
    with RawPeer(cut, WHOLE) as peer:
        client = TillApiClient(peer.url, TOKEN, timeout_s=WAIT_S)
        with pytest.raises(TillUnreachableError):
            client.cancel(ID)
        assert len(peer.seen) == 1
        assert client.cancel(ID).outcome == "calculated"
        client.close()


def test_silent_agent_is_unreachable_after_the_timeout_and_its_late_answer_is_not_mixed_up() -> (
    None
):
    silent = socket.create_server(("127.0.0.1", 0))
    silent.settimeout(WAIT_S)
    client = TillApiClient(f"http://127.0.0.1:{silent.getsockname()[1]}", TOKEN, timeout_s=0.05)
    with pytest.raises(TillUnreachableError, match="TimeoutError"):
        client.cancel(ID)
    late, _ = silent.accept()
    with late:
        late.sendall(WHOLE.replace(b"calculated", b"reservedxx"))
        with pytest.raises(TillUnreachableError):
            client.cancel(ID)
    silent.close()


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:1", "127.0.0.1:7710", "http://", "http://127.0.0.1:1/v1", ""]
)
def test_address_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http://HOST:PORT"):
        TillApiClient(url, TOKEN)


def test_card_and_raw_answer_stand_in_no_log() -> None:
    answer = TillAnswer(status=200, outcome="recorded", subject_id=ID, raw=b"masked name")
    assert RECEIPT.card not in repr(RECEIPT)
    assert "masked" not in repr(answer)


# -- all together --------------------------------------------------------------------------------


def test_register_sells_and_takes_back_over_the_wire() -> None:
    till, printer = FakeTill(), MemoryPrinter()
    with serving(till_handler(till)) as running, TillApiClient(running.url, TOKEN) as client:
        port: PosClient = client
        register = SimulatedRegister("1-1", port, printer)
        sale = register.play(
            ID,
            (PresentCard("29"), Scan(MILK), Scan(BREAD), GoToPayment("max"), Complete()),
            moment=RECEIPT.moment,
        )
        back = register.play(RETURN, (ReturnLines(ID, (GoodsBack("2"),)),), moment=LINES.moment)
        assert running.server.accepted_count == 1
    assert (sale.ending, back.ending) == (Ending.RECORDED, Ending.RETURNED)
    assert sale.faults == back.faults == ()
    assert till.recorded[ID].receipt.lines == (MILK, BREAD)
    assert sale.printed is not None
    assert printer.documents == [sale.printed, back.printed]

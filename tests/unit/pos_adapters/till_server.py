"""The agent's own HTTP server on real sockets, with a handler of the test's behind it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TypeVar

import msgspec

from agent.pos_api.http_server import Handler, HttpRequest, HttpResponse, HttpServer, serve
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
from loyalty.basket import BasketLine
from loyalty.fiscal import FiscalLine
from pos_adapters.ports import GoodsBack, LinesReturned, Receipt, ScannedLine, TillAnswer
from tests.unit.pos_adapters.fake_till import FakeTill

Body = TypeVar("Body", bound=msgspec.Struct)
WAIT_S = 20


@dataclass(frozen=True)
class RunningServer:
    server: HttpServer

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"


@contextmanager
def serving(handler: Handler, *, port: int = 0) -> Iterator[RunningServer]:
    """Serve on an event loop in a thread of its own, so that a blocking client can call it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        starting = asyncio.run_coroutine_threadsafe(serve(handler, port=port), loop)
        server = starting.result(WAIT_S)
        try:
            yield RunningServer(server)
        finally:
            asyncio.run_coroutine_threadsafe(server.close(), loop).result(WAIT_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.close()


def till_handler(till: FakeTill) -> Handler:
    """Answer calls as the agent's routes do, with a fake till behind them."""

    async def handle(request: HttpRequest) -> HttpResponse:
        _, _, kind, subject_id, *action = request.path.split("/")
        if kind == "returns":
            returned = read(request, ReturnRequest)
            lines = LinesReturned(
                original_receipt_id=returned.original_receipt_id,
                lines=tuple(GoodsBack(item.line_id, item.quantity) for item in returned.lines),
                moment=returned.moment,
            )
            back = till.return_lines(
                subject_id,
                lines,
                confirm=returned.confirm,
                money_back_minor=returned.money_back_minor,
            )
            return _answered(back)
        match action:
            case ["reserve"]:
                reserve = read(request, ReserveRequest)
                redeem = reserve.redeem
                answer = till.reserve(
                    subject_id,
                    receipt_of(reserve),
                    redeem="max" if redeem.as_many_as_possible else redeem.points,
                )
            case ["complete"]:
                complete = read(request, CompleteRequest)
                answer = till.complete(
                    subject_id, receipt_of(complete), paid_minor=complete.paid_minor
                )
            case ["cancel"]:
                answer = till.cancel(subject_id)
            case _:
                answer = till.update(subject_id, receipt_of(read(request, ReceiptRequest)))
        return _answered(answer)

    return handle


def read(request: HttpRequest, kind: type[Body]) -> Body:
    """Decode a body as the agent does."""
    return msgspec.json.decode(request.body, type=kind)


def receipt_of(request: ReceiptRequest) -> Receipt:
    """Return the receipt a client must have been given to send this request."""
    fields = {name: getattr(request, name) for name in ReceiptRequest.__struct_fields__}
    return Receipt(**fields | {"lines": tuple(map(_scanned, request.lines))})


def _scanned(line: BasketLine) -> ScannedLine:
    return ScannedLine(**asdict(line))


def _answered(answer: TillAnswer) -> HttpResponse:
    calculation: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    if answer.calculation is not None:
        calculation = msgspec.Raw(msgspec.json.encode(answer.calculation))
    messages = tuple(CashierMessage(said.code, said.text) for said in answer.messages)
    fiscal = tuple(FiscalLine(**asdict(line)) for line in answer.fiscal_lines)
    body: ReceiptAnswer | ReturnAnswer
    if answer.link:
        body = ReceiptAnswer(
            outcome=answer.outcome,
            receipt_id=answer.subject_id,
            version=answer.version,
            link="up" if answer.link == "up" else "down",
            calculation=calculation,
            fiscal_lines=fiscal,
            paid_by_points_minor=answer.paid_by_points_minor,
            reserved_points=answer.reserved_points,
            customer=CustomerView(**asdict(answer.customer)) if answer.customer else None,
            field=answer.field,
            messages=messages,
        )
    else:
        body = ReturnAnswer(
            outcome=answer.outcome,
            return_id=answer.subject_id,
            calculation=calculation,
            fiscal_lines=fiscal,
            paid_by_points_minor=answer.paid_by_points_minor,
            pending=answer.pending,
            field=answer.field,
            messages=messages,
        )
    return HttpResponse(answer.status, msgspec.json.encode(body))

"""A typed client of the till's loopback API (`docs/pos-api.md`), over one kept connection."""

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, IncompleteRead
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from pos_adapters.errors import TillRefusedError, TillUnreachableError
from pos_adapters.ports import (
    CashierMessage,
    CourierAnswer,
    CustomerSeen,
    FiscalLine,
    GoodsBack,
    LinesReturned,
    Receipt,
    Redeem,
    ScannedLine,
    TillAnswer,
    TillHealth,
)

_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_LINE_FIELDS = ("by_weight", "pos_reduced", "gtin", "department", "category", "brand")
_FISCAL_FIELDS = ("line_id", "source_line_id", "quantity", "unit_price_minor", "amount_minor")
_CUSTOMER_FIELDS = ("known", "masked_name", "tier", "points", "blocked")


class TillApiClient:
    """Implements `PosClient` over HTTP; not for two threads at once.

    The connection is kept between calls. When the agent has ended a kept connection, the call is
    repeated once on a new one; every other failure is the caller's to repeat.
    """

    def __init__(self, url: str, token: str, *, timeout_s: float = 5.0) -> None:
        """Connects with the first call.

        Args:
            url: `http://127.0.0.1:PORT`, as the agent writes it to `pos-api.json`.
            token: of the register's program.
            timeout_s: for each wait on the socket, so also the longest silence of the agent.

        Raises:
            ValueError: `url` is not of this form.
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(f"the till's address is http://HOST:PORT, not {url!r}")
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connection = HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; a later call opens another."""
        self._connection.close()

    def update(self, receipt_id: str, receipt: Receipt) -> TillAnswer:
        """Calculate the receipt as it stands; nothing is durable."""
        return self._receipt_call("PUT", receipt_id, "", _receipt_document(receipt))

    def reserve(self, receipt_id: str, receipt: Receipt, *, redeem: Redeem) -> TillAnswer:
        """Set points aside for the receipt, durably; 0 gives back what was set aside."""
        wanted = {"as_many_as_possible": True} if redeem == "max" else {"points": redeem}
        document = _receipt_document(receipt) | {"redeem": wanted}
        return self._receipt_call("POST", receipt_id, "/reserve", document)

    def complete(self, receipt_id: str, receipt: Receipt, *, paid_minor: int) -> TillAnswer:
        """Record the receipt, durably; print on `recorded`."""
        document = _receipt_document(receipt) | {"paid_minor": paid_minor}
        return self._receipt_call("POST", receipt_id, "/complete", document)

    def cancel(self, receipt_id: str) -> TillAnswer:
        """Give the receipt up, durably; what was set aside for it is free."""
        return self._receipt_call("POST", receipt_id, "/cancel", None)

    def return_lines(
        self,
        return_id: str,
        lines: LinesReturned,
        *,
        confirm: bool,
        money_back_minor: int | None = None,
    ) -> TillAnswer:
        """Show what returning the goods would post; with `confirm` post exactly that, durably.

        Args:
            money_back_minor: about to be handed out; if the till calculates otherwise it records
                nothing.
        """
        document: dict[str, Any] = {
            "original_receipt_id": lines.original_receipt_id,
            "lines": [_goods_document(goods) for goods in lines.lines],
            "moment": lines.moment,
            "confirm": confirm,
        }
        if money_back_minor is not None:
            document["money_back_minor"] = money_back_minor
        if lines.receipt_code:
            document["receipt_code"] = lines.receipt_code
        status, body = self._exchange("POST", f"/v1/returns/{return_id}", document)
        return self._answer(status, body, "return_id")

    def ask_courier(self, receipt_id: str, *, card: str, points: int) -> CourierAnswer:
        """Have the till ask for points by the customer's telephone, durably."""
        document = {"card": card, "points": points}
        return self._courier_call(f"/v1/receipts/{receipt_id}/courier", document)

    def take_grant(self, code: str) -> CourierAnswer:
        """Hand in what the customer's telephone shows; once, durably."""
        return self._courier_call("/v1/courier", {"code": code})

    def _courier_call(self, path: str, document: Mapping[str, Any]) -> CourierAnswer:
        status, body = self._exchange("POST", path, document)
        found = self._document(status, body)
        try:
            return CourierAnswer(
                status=status,
                outcome=found["outcome"],
                receipt_id=found.get("receipt_id", ""),
                code=found.get("code", ""),
                points=found.get("points", 0),
                messages=_messages(found),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise self._unreadable(status) from error

    def health(self) -> TillHealth:
        """Return the state of the till."""
        status, body = self._exchange("GET", "/v1/health", None)
        figures = self._document(status, body)
        try:
            return TillHealth(
                till_id=figures["till_id"],
                store=figures["store"],
                link=figures["link"],
                records_waiting=figures["records_waiting"],
                figures=figures,
            )
        except KeyError as error:
            raise self._unreadable(status) from error

    def _receipt_call(
        self, method: str, receipt_id: str, action: str, document: Mapping[str, Any] | None
    ) -> TillAnswer:
        status, body = self._exchange(method, f"/v1/receipts/{receipt_id}{action}", document)
        return self._answer(status, body, "receipt_id")

    def _exchange(
        self, method: str, path: str, document: Mapping[str, Any] | None
    ) -> tuple[int, bytes]:
        body = None if document is None else _ENCODE(document).encode()
        connection = self._connection
        while True:
            is_kept = connection.sock is not None
            try:
                connection.request(method, path, body=body, headers=self._headers)
                response = connection.getresponse()
                if response.length is None:
                    # The agent always tells the length: it was killed while it sent the headers.
                    raise IncompleteRead(b"")
                return response.status, response.read()
            except (HTTPException, OSError) as error:
                connection.close()
                # An agent that restarted, or was idle for long, has ended the kept connection.
                if not (is_kept and isinstance(error, ConnectionError)):
                    raise TillUnreachableError(
                        f"no answer from {self._url}: {type(error).__name__}; is the agent running?"
                    ) from error

    def _answer(self, status: int, body: bytes, subject: str) -> TillAnswer:
        document = self._document(status, body)
        try:
            customer = document.get("customer")
            return TillAnswer(
                status=status,
                outcome=document["outcome"],
                subject_id=document[subject],
                version=document.get("version", 0),
                # Fields that have their default value are not sent.
                link=document.get("link", "down" if subject == "receipt_id" else ""),
                field=document.get("field", ""),
                calculation=document.get("calculation"),
                fiscal_lines=tuple(
                    FiscalLine(**{name: line[name] for name in _FISCAL_FIELDS})
                    for line in document.get("fiscal_lines", ())
                ),
                paid_by_points_minor=document.get("paid_by_points_minor", 0),
                reserved_points=document.get("reserved_points", 0),
                customer=customer and _customer(customer),
                messages=_messages(document),
                pending=document.get("pending", False),
                receipt_code=document.get("receipt_code", ""),
                claim=document.get("claim"),
                raw=body,
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise self._unreadable(status) from error

    def _document(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            document = json.loads(body)
        except ValueError as error:
            raise self._unreadable(status) from error
        if not isinstance(document, dict):
            raise self._unreadable(status)
        if isinstance(code := document.get("error"), str):
            raise TillRefusedError(status, code, str(document.get("message", "")))
        return document

    def _unreadable(self, status: int) -> TillRefusedError:
        message = f"not an answer of the till's agent; which program listens at {self._url}?"
        return TillRefusedError(status, "answer_unreadable", message)


def _receipt_document(receipt: Receipt) -> dict[str, Any]:
    document: dict[str, Any] = {
        "version": receipt.version,
        "moment": receipt.moment,
        "lines": [_line_document(line) for line in receipt.lines],
    }
    for name in ("codes", "card", "tender", "training"):
        if value := getattr(receipt, name):
            document[name] = value
    return document


def _line_document(line: ScannedLine) -> dict[str, Any]:
    document: dict[str, Any] = {
        "line_id": line.line_id,
        "sku": line.sku,
        "quantity": line.quantity,
        "gross_minor": line.gross_minor,
    }
    for name in _LINE_FIELDS:
        if value := getattr(line, name):
            document[name] = value
    if line.attributes:
        document["attributes"] = dict(line.attributes)
    return document


def _goods_document(goods: GoodsBack) -> dict[str, Any]:
    document: dict[str, Any] = {"line_id": goods.line_id}
    if goods.quantity:
        document["quantity"] = goods.quantity
    return document


def _messages(document: Mapping[str, Any]) -> tuple[CashierMessage, ...]:
    return tuple(
        CashierMessage(message["code"], message["text"]) for message in document.get("messages", ())
    )


def _customer(document: Mapping[str, Any]) -> CustomerSeen:
    return CustomerSeen(**{name: document[name] for name in _CUSTOMER_FIELDS if name in document})

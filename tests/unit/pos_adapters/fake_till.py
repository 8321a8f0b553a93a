"""A till as a class: answers as `docs/pos-api.md` says, forgets as the real one, fails as told.

    till = FakeTill()
    till.trouble("complete", LOSE_REPLY)  # the next completion is done, and its answer is lost
    SimulatedRegister("1-1", till, MemoryPrinter()).play(...)
    assert till.recorded["..."].paid_minor == 900

A card takes ten percent off every line and earns a point for each whole 1.00 paid; a point pays
one minor unit.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pos_adapters.errors import TillRefusedError, TillUnreachableError
from pos_adapters.ports import (
    CustomerSeen,
    FiscalLine,
    LinesReturned,
    Receipt,
    Redeem,
    ScannedLine,
    TillAnswer,
    TillHealth,
)

LOSE_CALL: Final = "lose_call"
LOSE_REPLY: Final = "lose_reply"
FORGET: Final = "forget"  # killed and started anew before the call: what was not durable is gone
RAISE_PRICES: Final = "raise_prices"  # the discount ends before the call
DISK_FULL: Final = "disk_full"


@dataclass(frozen=True)
class Recorded:
    receipt: Receipt
    paid_minor: int
    answer: TillAnswer


@dataclass
class FakeTill:
    """Attributes say what is durable, by receipt or return id."""

    balance: int = 1_000
    discount_percent: int = 10
    receipts_seen: list[Receipt] = field(default_factory=list)
    recorded: dict[str, Recorded] = field(default_factory=dict)
    returned: dict[str, TillAnswer] = field(default_factory=dict)
    returned_quantities: Counter[tuple[str, str]] = field(default_factory=Counter)
    reserved: dict[str, int] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    _open: dict[str, Receipt] = field(default_factory=dict)
    _troubles: dict[str, list[str | Exception]] = field(default_factory=dict)
    _disk_is_full: bool = False

    def trouble(self, call: str, *kinds: str | Exception) -> None:
        """Let the next calls of that name go wrong, one kind a try; an exception is raised."""
        self._troubles.setdefault(call, []).extend(kinds)

    # The port

    def update(self, receipt_id: str, receipt: Receipt) -> TillAnswer:
        def answer() -> TillAnswer:
            return self._refusal(receipt_id, receipt) or self._answer(
                receipt_id, receipt, "calculated"
            )

        return self._call("update", answer)

    def reserve(self, receipt_id: str, receipt: Receipt, *, redeem: Redeem) -> TillAnswer:
        def answer() -> TillAnswer:
            if refusal := self._refusal(receipt_id, receipt):
                return refusal
            if not receipt.card:
                return self._answer(receipt_id, receipt, "not_identified")
            self.reserved.pop(receipt_id, None)
            most = min(self.balance, self._paid_minor(receipt_id, receipt))
            self.reserved[receipt_id] = most if redeem == "max" else min(redeem, most)
            return self._answer(receipt_id, receipt, "reserved")

        return self._call("reserve", answer)

    def complete(self, receipt_id: str, receipt: Receipt, *, paid_minor: int) -> TillAnswer:
        def answer() -> TillAnswer:
            if before := self.recorded.get(receipt_id):
                if (before.receipt, before.paid_minor) == (receipt, paid_minor):
                    return before.answer
                return self._plain(receipt_id, "already_recorded_differently", status=409)
            if refusal := self._refusal(receipt_id, receipt):
                return refusal
            if self._paid_minor(receipt_id, receipt) != paid_minor:
                stale = self._answer(receipt_id, receipt, "stale_calculation")
                return replace(stale, status=409, field="paid_minor")
            if receipt.training:
                return self._answer(receipt_id, receipt, "calculated")
            if self._disk_is_full:
                return self._plain(receipt_id, "journal_unavailable", status=503)
            done = self._answer(receipt_id, receipt, "recorded")
            self.recorded[receipt_id] = Recorded(receipt, paid_minor, done)
            self.reserved.pop(receipt_id, None)
            return done

        return self._call("complete", answer)

    def cancel(self, receipt_id: str) -> TillAnswer:
        def answer() -> TillAnswer:
            if self._disk_is_full:
                return self._plain(receipt_id, "journal_unavailable", status=503)
            if receipt_id in self.recorded:
                return self._plain(receipt_id, "receipt_closed", status=409)
            self._open.pop(receipt_id, None)
            self.reserved.pop(receipt_id, None)
            self.cancelled.add(receipt_id)
            return self._plain(receipt_id, "cancelled")

        return self._call("cancel", answer)

    def return_lines(
        self,
        return_id: str,
        lines: LinesReturned,
        *,
        confirm: bool,
        money_back_minor: int | None = None,
    ) -> TillAnswer:
        key = lines.original_receipt_id

        def answer() -> TillAnswer:
            if before := self.returned.get(return_id):
                return before
            original = self.recorded.get(key)
            quantities: dict[str, int] = {}
            if original is None:
                if not confirm:
                    return TillAnswer(status=404, outcome="receipt_unknown", subject_id=return_id)
                done = TillAnswer(
                    status=200, outcome="recorded", subject_id=return_id, pending=True
                )
            else:
                refusal = self._fill(quantities, original, lines)
                if refusal:
                    return TillAnswer(status=409, outcome=refusal, subject_id=return_id)
                figures = _taken_back(original, quantities)
                outcome = "recorded" if confirm else "previewed"
                done = TillAnswer(
                    status=200, outcome=outcome, subject_id=return_id, calculation=figures
                )
                if money_back_minor not in (None, figures["money_back_minor"]):
                    return replace(done, status=409, outcome="stale_calculation")
            if confirm and self._disk_is_full:
                return TillAnswer(status=503, outcome="journal_unavailable", subject_id=return_id)
            if confirm:
                self.returned[return_id] = done
                for line_id, quantity in quantities.items():
                    self.returned_quantities[key, line_id] += quantity
            return done

        return self._call("return_confirm" if confirm else "return_preview", answer)

    def health(self) -> TillHealth:
        figures = {"till_id": 7, "store": "s1", "link": "up", "records_waiting": len(self.recorded)}
        return TillHealth(
            till_id=7, store="s1", link="up", records_waiting=len(self.recorded), figures=figures
        )

    # Behind it

    def _call(self, name: str, answer: Callable[[], TillAnswer]) -> TillAnswer:
        kinds = self._troubles.get(name, [])
        kind = kinds.pop(0) if kinds else ""
        if isinstance(kind, Exception):
            raise kind
        if kind == LOSE_CALL:
            raise TillUnreachableError("the call was lost")
        if kind == FORGET:
            self._open.clear()
        if kind == RAISE_PRICES:
            self.discount_percent = 0
        self._disk_is_full = kind == DISK_FULL
        done = answer()
        if kind == LOSE_REPLY:
            raise TillUnreachableError("the answer was lost")
        return done

    def _fill(self, quantities: dict[str, int], original: Recorded, lines: LinesReturned) -> str:
        """Fill in how much of each line comes back; returns why it cannot."""
        sold = {line.line_id: line.quantity for line in original.receipt.lines}
        for goods in lines.lines:
            before = self.returned_quantities[lines.original_receipt_id, goods.line_id]
            left = sold[goods.line_id] - before
            quantities[goods.line_id] = goods.quantity or left
            if not left:
                return "line_already_returned"
            if quantities[goods.line_id] > left:
                return "quantity_not_left"
        return ""

    def _refusal(self, receipt_id: str, receipt: Receipt) -> TillAnswer | None:
        self.receipts_seen.append(receipt)
        if receipt_id in self.recorded or receipt_id in self.cancelled:
            return self._plain(receipt_id, "receipt_closed", status=409)
        known = self._open.get(receipt_id)
        if known and (
            receipt.version < known.version
            or (receipt.version == known.version and receipt != known)
        ):
            stale = self._plain(receipt_id, "stale_version", status=409)
            return replace(stale, version=known.version, field="version")
        self._open[receipt_id] = receipt
        return None

    def _paid_minor(self, receipt_id: str, receipt: Receipt) -> int:
        return int(self._calculation(receipt_id, receipt)["totals"]["paid_minor"])

    def _calculation(self, receipt_id: str, receipt: Receipt) -> dict[str, Any]:
        percent = self.discount_percent if receipt.card else 0
        left = self.reserved.get(receipt_id, 0)
        lines = []
        for line in receipt.lines:
            discount = line.gross_minor * percent // 100
            redeemed = min(left, line.gross_minor - discount)
            left -= redeemed
            paid = line.gross_minor - discount - redeemed
            lines.append(
                {
                    "line_id": line.line_id,
                    "gross_minor": line.gross_minor,
                    "discount_minor": discount,
                    "redeemed_minor": redeemed,
                    "redeemed_points": redeemed,
                    "paid_minor": paid,
                    "earned_points": paid // 100 if receipt.card else 0,
                }
            )
        names = [name for name in lines[0] if name != "line_id"] if lines else ["paid_minor"]
        sums = {name: sum(int(str(line[name])) for line in lines) for name in names}
        return {"lines": lines, "totals": sums}

    def _answer(self, receipt_id: str, receipt: Receipt, outcome: str) -> TillAnswer:
        calculation = self._calculation(receipt_id, receipt)
        return TillAnswer(
            status=200,
            outcome=outcome,
            subject_id=receipt_id,
            version=receipt.version,
            link="up",
            calculation=calculation,
            fiscal_lines=tuple(
                fiscal
                for line, calculated in zip(receipt.lines, calculation["lines"], strict=True)
                for fiscal in _fiscal(line, calculated["paid_minor"])
            ),
            reserved_points=self.reserved.get(receipt_id, 0),
            customer=CustomerSeen(known=True, points=self.balance) if receipt.card else None,
        )

    def _plain(self, receipt_id: str, outcome: str, *, status: int = 200) -> TillAnswer:
        known = self._open.get(receipt_id)
        return TillAnswer(
            status=status,
            outcome=outcome,
            subject_id=receipt_id,
            version=known.version if known else 0,
            link="up",
        )


def _fiscal(line: ScannedLine, paid_minor: int) -> Iterator[FiscalLine]:
    """Yield the line in parts that have one price; a weighed line whole."""
    pieces = 1 if line.by_weight else line.quantity // 1_000
    price, dearer = divmod(paid_minor, pieces)
    for name, count, unit_price in (("+", dearer, price + 1), ("", pieces - dearer, price)):
        if count:
            yield FiscalLine(
                line_id=line.line_id + name,
                source_line_id=line.line_id,
                quantity=line.quantity if line.by_weight else count * 1_000,
                unit_price_minor=unit_price,
                amount_minor=unit_price * count,
            )


def _taken_back(original: Recorded, quantities: Mapping[str, int]) -> Mapping[str, Any]:
    assert original.answer.calculation is not None
    sold = {line.line_id: line.quantity for line in original.receipt.lines}
    back = [
        {
            name: value
            if name == "line_id"
            else value * quantities[line["line_id"]] // sold[line["line_id"]]
            for name, value in line.items()
        }
        for line in original.answer.calculation["lines"]
        if line["line_id"] in quantities
    ]
    return {
        "lines": [
            {"line_id": line["line_id"], "quantity": quantities[line["line_id"]]} for line in back
        ],
        "money_back_minor": sum(line["paid_minor"] for line in back),
        "points_back": [
            {"line_id": line["line_id"], "lot_id": 1, "points": line["redeemed_points"]}
            for line in back
            if line["redeemed_points"]
        ],
        "taken_back": [
            {"offer_id": "base", "points": line["earned_points"]}
            for line in back
            if line["earned_points"]
        ],
    }


REFUSED_BY_TOKEN: Final = TillRefusedError(401, "token_wrong", "send the register's token")
JOURNAL_DAMAGED: Final = TillRefusedError(503, "journal_unavailable", "the journal is damaged")
AGENT_FAILED: Final = TillRefusedError(500, "internal_error", "repeat the request once")

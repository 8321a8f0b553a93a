"""One receipt at a register: scanned, paid, gone back to for a bag, completed or cancelled."""

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import msgspec

from agent.till_service.messages import (
    CompleteRequest,
    CourierAnswer,
    CourierRequest,
    GrantRequest,
    ReceiptAnswer,
    ReceiptRequest,
    ReserveRequest,
    ReturnAnswer,
)
from loyalty.account import RedeemRequest
from loyalty.basket import BasketLine
from tests.simulation.chronicle import require
from tests.simulation.kernel import sleep
from tests.simulation.offers import SKUS
from tests.simulation.paper import PaperLine, PaperSale

if TYPE_CHECKING:
    from tests.simulation.registers import Register


class Closing(Exception):
    """The register gave the receipt up; there is nothing more to do for it."""


def is_said(answer: ReceiptAnswer | ReturnAnswer | CourierAnswer | None) -> bool:
    """Say whether a till answered, and not that its disk refuses."""
    return answer is not None and answer.outcome != "journal_unavailable"


class Sale:
    """One receipt at a register."""

    def __init__(self, register: "Register") -> None:
        self._register = register
        self._till = register._till  # noqa: SLF001 - one thing in two classes
        self._draws = register._draws  # noqa: SLF001
        self._paper = register._paper  # noqa: SLF001
        self._chronicle = register._chronicle  # noqa: SLF001
        self.key = register.new_key()
        self._answer: ReceiptAnswer | None = None
        self._customer = register.choose()
        self._request = ReceiptRequest(
            version=1, moment=register.moment(), lines=(), card=self._card()
        )

    def _card(self) -> str:
        return self._draws.choice(self._customer.cards) if self._customer else ""

    async def run(self) -> None:
        """Scan, pay, change one's mind, complete or give up."""
        draws = self._draws
        self._paper.touched[self.key] = self._till.name
        for _ in range(draws.randint(1, 4)):
            self._add_line()
        await self._update()
        await self._think()
        wants_points = 0.85 if self._register.is_busy else 0.45
        if self._customer and draws.random() < wants_points:
            await self._reserve()
            await self._think()
            await self._change_mind()
        if draws.random() < 0.08:
            await self._cancel()
        elif await self._complete():
            await self._call_again()

    async def _change_mind(self) -> None:
        draws = self._draws
        if draws.random() < 0.25:  # back for a bag
            self._add_line()
            await (self._reserve() if draws.random() < 0.5 else self._update())
            await self._think()
        if draws.random() < 0.06:  # another card, or none
            self._customer = self._register.choose()
            self._change(card=self._card())
            await (self._reserve() if self._customer and draws.random() < 0.5 else self._update())
            self._chronicle.sometimes["card changed after points were reserved"] += 1

    async def _think(self) -> None:
        await sleep(self._draws.choice((500, 3_000, 20_000, 90_000, 400_000)))

    def _add_line(self) -> None:
        draws = self._draws
        line = BasketLine(
            line_id=str(len(self._request.lines) + 1),
            sku=draws.choice(SKUS),
            quantity=draws.randint(1, 3) * 1000,
            gross_minor=draws.randint(150, 3_000),
        )
        self._change(lines=(*self._request.lines, line))

    def _change(self, **fields: Any) -> None:  # noqa: ANN401 - fields of the request
        version = self._request.version + (self._answer is not None)
        self._answer = None
        self._request = msgspec.structs.replace(self._request, version=version, **fields)

    # Calls

    async def _tell(
        self, start: Callable[[], Generator[Any, Any, ReceiptAnswer]]
    ) -> ReceiptAnswer | None:
        """Make a call; go on from the version the till knows if it knows a later one."""
        answer: ReceiptAnswer | None = await self._register.persist(start)
        if answer is not None and answer.outcome == "stale_version":
            self._request = msgspec.structs.replace(self._request, version=answer.version + 1)
            answer = await self._register.persist(start)
        if answer is not None and answer.calculation:
            self._answer = answer
        return answer

    async def _update(self) -> None:
        await self._tell(lambda: self._till.receipts.update(self.key, self._request))

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self._request, name) for name in ReceiptRequest.__struct_fields__}

    async def _reserve(self) -> None:
        as_many = self._draws.random() < 0.5
        redeem = RedeemRequest(
            points=0 if as_many else self._draws.randint(1, 150), as_many_as_possible=as_many
        )
        answer = await self._tell(
            lambda: self._till.receipts.reserve(
                self.key, ReserveRequest(**self._fields(), redeem=redeem)
            )
        )
        if answer is not None:
            self._chronicle.sometimes[f"reserve: {answer.outcome}"] += 1
            if answer.outcome == "rights_exhausted" and self._draws.random() < 0.4:
                await self._by_courier(redeem)

    async def _by_courier(self, redeem: RedeemRequest) -> None:
        """Ask the centre over the customer's telephone, and reserve once more."""
        card = self._request.card
        if (old := self._register.phones.old_grant(card)) and self._draws.random() < 0.3:
            await self._show(old, "courier's old code: ")
        wish = CourierRequest(card=card, points=redeem.points or self._draws.randint(10, 120))
        asked = await self._register.persist(lambda: self._till.courier.ask(self.key, wish))
        if asked is None or asked.outcome != "courier_asked":
            return
        code = await self._register.phones.carry(card, asked.code)
        if not code:
            return
        for _ in range(self._draws.choice((1, 1, 2))):
            await self._show(code, "courier: ")
        request = ReserveRequest(**self._fields(), redeem=redeem)
        await self._tell(lambda: self._till.receipts.reserve(self.key, request))

    async def _show(self, code: str, name: str) -> None:
        request = GrantRequest(code=code)
        taken = await self._register.persist(lambda: self._till.courier.take(request))
        if taken is not None:
            self._chronicle.sometimes[f"{name}{taken.outcome}"] += 1

    async def _cancel(self) -> None:
        answer: ReceiptAnswer | None = await self._register.persist(
            lambda: self._till.receipts.cancel(self.key)
        )
        if answer is None:
            self._leave_open()
            return
        require(answer.outcome == "cancelled", f"cancel of {self.key}: {answer.outcome}")
        self._paper.given_up.add(self.key)
        self._chronicle.figures["cancelled"] += 1

    def _leave_open(self) -> None:
        ids = tuple(line.line_id for line in self._request.lines)
        self._register._unsettled.append((self.key, ids))  # noqa: SLF001
        self._chronicle.sometimes["sold without loyalty"] += 1
        raise Closing

    async def _complete(self) -> bool:
        if self._answer is None:
            await self._update()
        self._paper.tried[self.key] = self._till.name
        for _ in range(4):
            if self._answer is None:
                break
            answer = await self._tell(
                lambda: self._till.receipts.complete(self.key, self._complete_request())
            )
            if answer is not None and answer.outcome == "recorded":
                self._print(answer)
                return True
            if answer is None or answer.outcome not in ("stale_calculation", "stale_version"):
                break
        self._leave_open()
        return False

    def _complete_request(self) -> CompleteRequest:
        assert self._answer is not None
        assert self._answer.calculation
        paid = msgspec.json.decode(self._answer.calculation)["totals"]["paid_minor"]
        return CompleteRequest(**self._fields(), paid_minor=paid)

    def _print(self, answer: ReceiptAnswer) -> None:
        self._register.phones.keep(self._request.card, self.key, answer.receipt_code)
        assert answer.calculation
        found = msgspec.json.decode(answer.calculation)
        totals = found["totals"]
        self._paper.sales[self.key] = PaperSale(
            key=self.key,
            till=self._till.name,
            account=self._customer.account_id if self._customer else 0,
            gross_minor=totals["gross_minor"],
            paid_minor=totals["paid_minor"],
            redeemed=totals["redeemed_points"],
            earned=totals["earned_points"],
            counted={each["counter"]: each["plus"] for each in found["counted"]},
            lines={
                line["line_id"]: PaperLine(
                    quantity=line["quantity"],
                    redeemed=line["redeemed_points"],
                    earned={effect["offer_id"]: effect["points"] for effect in line["effects"]},
                )
                for line in found["lines"]
            },
        )
        self._chronicle.figures["sales"] += 1
        self._chronicle.figures["points redeemed"] += totals["redeemed_points"]
        self._chronicle.note(f"{self._till.name} printed {self.key[-4:]} {totals} {answer.link}")
        till = self._till.till
        if till is not None and till.books.active.bundle_hash != found["bundle"]:
            self._chronicle.sometimes["bundle switched in the middle of a receipt"] += 1
        self._register.on_print(self._till, self.key)

    async def _call_again(self) -> None:
        """Repeat the completion: the same answer for the same content, a refusal for another."""
        if self._draws.random() > 0.15:
            return
        first, request = self._answer, self._complete_request()
        paper = self._paper
        again = await self._till.call(lambda: self._till.receipts.complete(self.key, request))
        if not is_said(again) or self.key in paper.destroyed:
            return
        require(again == first, f"{self.key} completed again was answered otherwise: {again}")
        other = msgspec.structs.replace(request, paid_minor=request.paid_minor + 1)
        answer = await self._till.call(lambda: self._till.receipts.complete(self.key, other))
        if is_said(answer) and self.key not in paper.destroyed:
            require(
                answer.outcome == "already_recorded_differently",
                f"{self.key} completed with another sum: {answer.outcome}",
            )
            self._chronicle.sometimes["completed again with other content, refused"] += 1

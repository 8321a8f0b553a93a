"""The registers of a world: customer after customer, returns, and what is settled later."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from agent.till_service.messages import ReturnAnswer, ReturnRequest
from loyalty.returns import ReturnItem
from tests.simulation.chronicle import Chronicle, require
from tests.simulation.customers import Customer
from tests.simulation.kernel import DAY_MS, Kernel, sleep
from tests.simulation.paper import Paper, PaperLine, PaperReturn
from tests.simulation.phones import Phones
from tests.simulation.sales import Closing, Sale, is_said
from tests.simulation.tills import SimulatedTill

_MINUTE_MS = 60_000
_OPEN_HOURS = (8, 22)
_TRIES_MAX = 4
_LOOK_UP_MS = 20 * _MINUTE_MS
_RUSH_MINUTES = 6.0


class Register:
    """One lane: customer after customer at one till."""

    def __init__(
        self,
        till: SimulatedTill,
        customers: list[Customer],
        *,
        kernel: Kernel,
        paper: Paper,
        chronicle: Chronicle,
        draws: random.Random,
        minutes_between: float,
        phones: Phones,
    ) -> None:
        self.phones = phones
        self._till = till
        self._customers = customers
        self._kernel = kernel
        self._paper = paper
        self._chronicle = chronicle
        self._draws = draws
        self._minutes_between = minutes_between
        self._unsettled: list[tuple[str, tuple[str, ...]]] = []
        self.on_print: Callable[[SimulatedTill, str], None] = lambda _till, _key: None
        self._rush_ends_ms = 0
        self._regulars: list[Customer] = []
        self.is_closing = False
        self.is_retired = False
        self.is_done = False

    async def run(self) -> None:
        """Serve customers in opening hours until told to close; then settle what is open."""
        while not self.is_closing:
            minutes = _RUSH_MINUTES if self.is_busy else self._minutes_between
            rest_ms = int(self._draws.expovariate(1 / (minutes * _MINUTE_MS)))
            while rest_ms > 0 and not self.is_closing:
                await sleep(min(rest_ms, _LOOK_UP_MS))
                rest_ms -= _LOOK_UP_MS
                if self.is_busy:
                    break
            hour = self._kernel.now_ms % DAY_MS // 3_600_000
            is_open = self.is_busy or _OPEN_HOURS[0] <= hour < _OPEN_HOURS[1]
            if self.is_closing or not is_open:
                continue
            try:
                if self._draws.random() < 0.12 and self._paper.sales:
                    await self._return()
                else:
                    await Sale(self).run()
            except Closing:
                pass
            await self.settle()
        while await self.settle():
            await sleep(_MINUTE_MS)
        self.is_done = True

    def rush(self, until_ms: int, regulars: list[Customer]) -> None:
        """Have the same few customers come, one after the other, to spend points."""
        self._rush_ends_ms, self._regulars = until_ms, regulars

    @property
    def is_busy(self) -> bool:
        """Customers queue."""
        return self._kernel.now_ms < self._rush_ends_ms

    def choose(self) -> Customer | None:
        """Return who comes next; nobody known now and then."""
        draws = self._draws
        if self.is_busy and draws.random() < 0.9:
            return draws.choice(self._regulars)
        if draws.random() < 0.1:
            return None
        at_home = [each for each in self._customers if each.home_store == self._till.store]
        return draws.choice(at_home if at_home and draws.random() < 0.7 else self._customers)

    def retire(self) -> None:
        """Close for good: its till's machine is gone."""
        self.is_closing = self.is_retired = True

    @property
    def till(self) -> SimulatedTill:
        """The till it calls."""
        return self._till

    async def settle(self) -> int:
        """Cancel what was sold without loyalty; take back what the till had recorded after all."""
        if self.is_retired:
            return 0
        for key, lines in list(self._unsettled):
            answer = await self._till.call(lambda: self._till.receipts.cancel(key))  # noqa: B023
            if not is_said(answer):
                break
            if answer.outcome == "receipt_closed":
                await self._reverse(key, lines)
                self._chronicle.sometimes["recorded after all, taken back"] += 1
            else:
                require(answer.outcome == "cancelled", f"cancel of {key}: {answer.outcome}")
                self._paper.given_up.add(key)
                self._unsettled.remove((key, lines))
        return len(self._unsettled)

    async def _reverse(self, key: str, lines: tuple[str, ...]) -> None:
        return_id = str(UUID(int=UUID(key).int ^ 1))
        items = tuple(ReturnItem(line_id=line_id) for line_id in lines)
        if await self.take_back(return_id, key, items) is not None:
            self._unsettled.remove((key, lines))

    # Returns

    async def _return(self) -> None:
        sales = self._paper.sales
        keys = list(sales)[-40:]
        sale = sales[self._draws.choice(keys)]
        chosen = [line_id for line_id in sale.lines if self._draws.random() < 0.7]
        items = tuple(self._some_of(line_id, sale.lines[line_id]) for line_id in chosen)
        if items:
            await self.take_back(self.new_key(), sale.key, items)

    def _some_of(self, line_id: str, line: PaperLine) -> ReturnItem:
        pieces = line.quantity // 1000
        if self._draws.random() < 0.5:
            return ReturnItem(line_id=line_id)
        return ReturnItem(line_id=line_id, quantity=self._draws.randint(1, pieces) * 1000)

    async def take_back(
        self, return_id: str, original: str, items: tuple[ReturnItem, ...]
    ) -> str | None:
        """Preview and confirm a return; returns the outcome, None when the till was not heard."""
        request = ReturnRequest(
            original_receipt_id=original,
            lines=items,
            moment=self.moment(),
            receipt_code=self.phones.code_of(original) if self._draws.random() < 0.5 else "",
        )
        shown = await self._return_call(return_id, request)
        if shown is None:
            return None
        if shown.outcome not in ("previewed", "receipt_unknown", "recorded"):
            return str(shown.outcome)
        done = await self._confirm(return_id, request, shown)
        while done is not None and done.outcome == "stale_calculation":
            self._chronicle.sometimes["return shown again with other figures"] += 1
            shown = done
            done = await self._confirm(return_id, request, shown)
        if done is None:
            return None
        if done.outcome == "recorded":
            self._print_return(return_id, request, shown, done)
        return str(done.outcome)

    async def _confirm(
        self, return_id: str, request: ReturnRequest, shown: ReturnAnswer
    ) -> ReturnAnswer | None:
        await sleep(self._draws.randint(500, 60_000))
        figures = _figures(shown)
        confirm = msgspec.structs.replace(
            request, confirm=True, money_back_minor=figures[0] if figures else None
        )
        return await self._return_call(return_id, confirm)

    def _print_return(
        self, return_id: str, request: ReturnRequest, shown: ReturnAnswer, done: ReturnAnswer
    ) -> None:
        require(
            not shown.calculation or shown.calculation == done.calculation,
            f"return {return_id} was recorded with other figures than were shown",
        )
        lines = {item.line_id: item.quantity for item in request.lines}
        if done.calculation:
            found = msgspec.json.decode(done.calculation)
            lines = {line["line_id"]: line["quantity"] for line in found["lines"]}
        self._paper.returns[return_id] = PaperReturn(
            key=return_id,
            original=request.original_receipt_id,
            till=self._till.name,
            lines=lines,
            figures=_figures(done),
        )
        self._chronicle.figures["returns"] += 1
        self._chronicle.note(f"{self._till.name} printed return {return_id[-4:]} {lines}")
        self.on_print(self._till, return_id)
        if done.pending:
            self._chronicle.sometimes["return of a receipt unknown at the till"] += 1
        sale = self._paper.sales.get(request.original_receipt_id)
        if sale and any(quantity % sale.lines[line].quantity for line, quantity in lines.items()):
            self._chronicle.sometimes["return of a part of a line"] += 1

    async def _return_call(self, return_id: str, request: ReturnRequest) -> ReturnAnswer | None:
        answer: ReturnAnswer | None = await self.persist(
            lambda: self._till.returns.handle(return_id, request)
        )
        return answer

    # For a sale

    async def persist(self, start: Callable[[], Any]) -> Any:  # noqa: ANN401 - an answer
        """Repeat a call until it is answered or tried often enough."""
        for attempt in range(_TRIES_MAX):
            if attempt:
                await sleep(self._draws.randint(1_000, 120_000))
            answer = await self._till.call(start)
            if is_said(answer):
                return answer
        return None

    def new_key(self) -> str:
        """Return a new receipt's id."""
        return str(UUID(int=self._draws.getrandbits(128)))

    def moment(self) -> str:
        """Return the machine's local time; it may be wrong by years."""
        at = datetime.fromtimestamp(self._till.clock.now_ms() / 1000, UTC)
        return at.strftime("%Y-%m-%dT%H:%M:%S")


def _figures(answer: ReturnAnswer) -> tuple[int, int, int] | None:
    """Return money, points back and points taken that an answer shows."""
    if not answer.calculation:
        return None
    found = msgspec.json.decode(answer.calculation)
    back, taken = (
        sum(part["points"] for part in found[name]) for name in ("points_back", "taken_back")
    )
    return found["money_back_minor"], back, taken

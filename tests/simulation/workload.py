"""Customers, offers and registers: who buys, redeems, goes back for a bag, cancels, returns."""

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

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
    ReturnRequest,
)
from loyalty.account import RedeemRequest
from loyalty.basket import BasketLine
from loyalty.bundle import Bundle, Product, Programme, RedemptionTerms, ReturnTerms
from loyalty.offers import (
    AmountOff,
    Attribute,
    Combines,
    Limits,
    LotTerms,
    NeedsLines,
    Offer,
    Percent,
    PercentOff,
    PointsPerItem,
    PointsPerMoney,
    SharedLimit,
    Stamps,
    Who,
)
from loyalty.returns import ReturnItem
from tests.simulation.centre import BEGINNING_MS
from tests.simulation.chronicle import Chronicle, require
from tests.simulation.kernel import Kernel, sleep
from tests.simulation.paper import Paper, PaperLine, PaperReturn, PaperSale
from tests.simulation.phones import Phones
from tests.simulation.tills import SimulatedTill

SKUS = tuple(f"sku-{number}" for number in range(12))
DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_OPEN_HOURS = (8, 22)
_TRIES_MAX = 4
_LOOK_UP_MS = 20 * _MINUTE_MS
_RUSH_MINUTES = 6.0


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody with cards; `is_late` when the centre hears of him only during the run.

    Attributes:
        half_expires_on: last day before which one half of the opening points counts.
    """

    account_id: int
    cards: tuple[str, ...]
    home_store: str
    opening_points: int
    half_expires_on: str
    is_late: bool


def make_customers(draws: random.Random, count: int, stores: list[str]) -> list[Customer]:
    """Return customers of the stores."""
    return [
        Customer(
            account_id=number,
            cards=tuple(f"card-{number}-{n}" for n in range(1 + (draws.random() < 0.25))),
            home_store=draws.choice(stores),
            opening_points=draws.randint(20, 400),
            half_expires_on=_day(draws.randint(0, 30)) if draws.random() < 0.6 else "2025-12-31",
            is_late=number % 10 == 0,
        )
        for number in range(1, count + 1)
    ]


def _day(number: int) -> str:
    at = datetime.fromtimestamp((BEGINNING_MS + number * DAY_MS) / 1000, UTC)
    return at.date().isoformat()


def account_line(customer: Customer) -> dict[str, Any]:
    """Return a customer as the centre's loader takes him, his points in two lots."""
    half = customer.opening_points // 2
    lots = [
        {"points": half, "active_from": "2025-01-01", "expires_on": ""},
        {
            "points": customer.opening_points - half,
            "active_from": "2025-01-01",
            "expires_on": customer.half_expires_on,
        },
    ]
    return {
        "kind": "account",
        "account_id": customer.account_id,
        "home_store": customer.home_store,
        "cards": customer.cards,
        "lots": [lot for lot in lots if lot["points"]],
    }


def _limited_offers() -> tuple[Offer, ...]:
    """Return offers that are given so many times: to an account, to all, on a day."""
    return (
        Offer(
            offer_id="welcome",
            gives=Percent(rate_ppm=20_000),
            limits=Limits(uses_per_account_max=2),
        ),
        Offer(
            offer_id="first-sixty",
            gives=AmountOff(amount_minor=50),
            limits=Limits(campaign=SharedLimit(uses_max=CAMPAIGN_USES_MAX)),
        ),
        Offer(
            offer_id="three-each",
            gives=AmountOff(amount_minor=30),
            who=Who(identified=True),
            limits=Limits(account=SharedLimit(uses_max=3)),
        ),
        Offer(
            offer_id="of-the-day",
            gives=AmountOff(amount_minor=10),
            limits=Limits(campaign=SharedLimit(uses_max=DAILY_USES_MAX, period="day")),
        ),
    )


def make_bundle(draws: random.Random, version: int) -> Bundle:
    """Return some offers of everyday kinds."""
    offers = (
        Offer(
            offer_id="points",
            gives=PointsPerMoney(points=draws.randint(2, 6), per_minor=100),
            who=Who(identified=True),
        ),
        Offer(offer_id="ten-percent", gives=Percent(rate_ppm=draws.randint(1, 15) * 10_000)),
        Offer(
            offer_id="with-card",
            gives=Percent(rate_ppm=50_000),
            who=Who(identified=True),
            needs=NeedsLines(amount_minor_min=draws.randint(500, 4_000)),
            combines=Combines(order=200),
        ),
        Offer(
            offer_id="each",
            gives=PointsPerItem(points=draws.randint(1, 4), lot=SHORT_LIVED),
            who=Who(identified=True),
        ),
        *_limited_offers(),
        Offer(
            offer_id="third",
            gives=Stamps(counter="third", every=3, off=PercentOff(rate_ppm=100_000)),
            who=Who(identified=True),
            lines=Attribute(name="sku", one_of=SKUS[:3]),
        ),
    )
    return Bundle(
        version=version,
        programme=Programme(
            programme_id="green",
            currency="EUR",
            point_value_minor=10,
            redemption=RedemptionTerms(receipt_share_max_ppm=700_000),
            returns=ReturnTerms(
                broken_condition=draws.choice(("keep", "charge_back")),
            ),
        ),
        offers=offers,
        catalogue={sku: Product(department=f"department-{i % 3}") for i, sku in enumerate(SKUS)},
    )


SHORT_LIVED = LotTerms(name="short", lifetime_days=3)
"""Points that are over before the world is."""

DAILY_USES_MAX = 12
"""Of the offer `of-the-day` by all customers together, on each day."""

CAMPAIGN_USES_MAX = 60
"""Of the offer `first-sixty` by all customers together, in all versions of the rules."""


class Closing(Exception):
    """The register gave the receipt up; there is nothing more to do for it."""


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
                    await _Sale(self).run()
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
            if not _is_said(answer):
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
            if _is_said(answer):
                return answer
        return None

    def new_key(self) -> str:
        """Return a new receipt's id."""
        return str(UUID(int=self._draws.getrandbits(128)))

    def moment(self) -> str:
        """Return the machine's local time; it may be wrong by years."""
        at = datetime.fromtimestamp(self._till.clock.now_ms() / 1000, UTC)
        return at.strftime("%Y-%m-%dT%H:%M:%S")


def _is_said(answer: ReceiptAnswer | ReturnAnswer | CourierAnswer | None) -> bool:
    """Say whether a till answered, and not that its disk refuses."""
    return answer is not None and answer.outcome != "journal_unavailable"


def _figures(answer: ReturnAnswer) -> tuple[int, int, int] | None:
    """Return money, points back and points taken that an answer shows."""
    if not answer.calculation:
        return None
    found = msgspec.json.decode(answer.calculation)
    back, taken = (
        sum(part["points"] for part in found[name]) for name in ("points_back", "taken_back")
    )
    return found["money_back_minor"], back, taken


class _Sale:
    """One receipt at a register."""

    def __init__(self, register: Register) -> None:
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
        if not _is_said(again) or self.key in paper.destroyed:
            return
        require(again == first, f"{self.key} completed again was answered otherwise: {again}")
        other = msgspec.structs.replace(request, paid_minor=request.paid_minor + 1)
        answer = await self._till.call(lambda: self._till.receipts.complete(self.key, other))
        if _is_said(answer) and self.key not in paper.destroyed:
            require(
                answer.outcome == "already_recorded_differently",
                f"{self.key} completed with another sum: {answer.outcome}",
            )
            self._chronicle.sometimes["completed again with other content, refused"] += 1

"""Customers and baskets made up from a seed, and a register that never gives up."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from bench.demo.rig import CentreProcess
from loyalty.bundle import Bundle, Programme, RedemptionTerms
from loyalty.documents import encode
from loyalty.offers import PointsPerMoney, Who
from loyalty.offers.offer import Offer
from pos_adapters.ports import GoodsBack, ScannedLine
from pos_adapters.simulated_register.client import TillApiClient
from pos_adapters.simulated_register.printers import FilePrinter
from pos_adapters.simulated_register.register import SimulatedRegister
from pos_adapters.simulated_register.reports import Ending, SessionReport
from pos_adapters.simulated_register.sessions import (
    Complete,
    GoToPayment,
    PresentCard,
    ReturnLines,
    Scan,
    Step,
)

POOL_POINTS = 20_000
CUSTOMERS_PER_STORE = 40
POINTS_EACH = 3_000
_TRIES_MAX = 2_000
_PAUSE_S_MAX = 0.3
RULES = Bundle(
    version=1,
    programme=Programme(
        programme_id="drill",
        currency="EUR",
        point_value_minor=1,
        point_value_points=1,
        redemption=RedemptionTerms(),
    ),
    offers=(
        Offer(
            offer_id="points",
            gives=PointsPerMoney(points=1, per_minor=100),
            who=Who(identified=True),
        ),
    ),
)


def card_of(store: int, customer: int) -> str:
    """Return the number of a customer's card."""
    return f"2990 {store:04d} 0000 {customer:04d}"


def open_shop(centre: CentreProcess, stores: Sequence[str], folder: Path) -> None:
    """Give a running centre stores, customers, rules and a risk pool."""
    lines: list[dict[str, object]] = [
        {"kind": "store", "store": store, "region": "north", "banner": "green"} for store in stores
    ]
    for at, store in enumerate(stores):
        lines += [
            {
                "kind": "account",
                "account_id": at * 1_000 + customer + 1,
                "home_store": store,
                "cards": [card_of(at, customer)],
                "lots": [{"points": POINTS_EACH, "active_from": "2025-01-01", "expires_on": ""}],
            }
            for customer in range(CUSTOMERS_PER_STORE)
        ]
    people = folder / "customers.jsonl"
    people.write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
    rules = folder / "rules.json"
    rules.write_text(json.dumps(encode(RULES)), encoding="utf-8")
    centre.run("load", people)
    centre.run("rules", "publish", rules)
    centre.run("fund-pool", POOL_POINTS)


@dataclass(frozen=True, slots=True)
class Customer:
    """What one customer does at the register."""

    subject_id: str
    steps: tuple[Step, ...]


class Queue:
    """Customers of one register, one after the other, the same for the same seed."""

    def __init__(self, store: int, register: int, *, stores: int, seed: int) -> None:
        """Nobody has come yet.

        Args:
            stores: now and then a customer of another store comes.
        """
        self._draws = random.Random(f"{seed} {store} {register}")
        self._store = store
        self._stores = stores
        self._number = (seed << 16) + store * 256 + register
        self._sold: list[str] = []

    def __iter__(self) -> Iterator[Customer]:
        """Yield customers for ever."""
        count = 0
        while True:
            count += 1
            yield self._next(count)

    def _next(self, count: int) -> Customer:
        draws = self._draws
        subject_id = str(UUID(int=(7 << 76) | (2 << 62) | (self._number << 32) | count))
        if self._sold and draws.random() < 0.05:
            original = self._sold.pop(draws.randrange(len(self._sold)))
            return Customer(subject_id, (ReturnLines(original, (GoodsBack("1"),)),))
        steps: list[Step] = [
            Scan(
                ScannedLine(
                    line_id=str(line + 1),
                    sku=f"sku-{draws.randrange(50)}",
                    quantity=1_000,
                    gross_minor=draws.randrange(100, 2_000),
                )
            )
            for line in range(draws.randint(1, 4))
        ]
        redeem = 0
        if draws.random() < 0.7:
            is_guest = self._stores > 1 and draws.random() < 0.15
            store = (self._store + is_guest) % self._stores
            steps.insert(0, PresentCard(card_of(store, draws.randrange(CUSTOMERS_PER_STORE))))
            redeem = draws.choice((0, 0, 20, 50, 80))
        self._sold.append(subject_id)
        return Customer(subject_id, (*steps, GoToPayment(redeem), Complete()))


@dataclass(slots=True)
class Trade:
    """A register that sells until it is told to stop; runs in a thread.

    Attributes:
        faults: what a sound till never does.
    """

    name: str
    client: TillApiClient
    queue: Queue
    printed: Path
    pause_s: float = 0.0
    at_start: Callable[[], None] = lambda: None
    stop: threading.Event = field(default_factory=threading.Event)
    sessions: int = 0
    faults: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Serve customers."""
        self.at_start()
        with self.client, FilePrinter(self.printed) as printer:
            register = SimulatedRegister(
                self.name,
                self.client,
                printer,
                tries_max=_TRIES_MAX,
                wait=lambda tries: time.sleep(min(_PAUSE_S_MAX, 0.02 * tries)),
            )
            for customer in self.queue:
                if self.stop.is_set():
                    break
                moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
                self._note(register.play(customer.subject_id, customer.steps, moment=moment))
                self.stop.wait(self.pause_s)
            while register.settle() and not self.stop.wait(_PAUSE_S_MAX):
                continue

    def _note(self, report: SessionReport) -> None:
        self.sessions += 1
        self.faults += [f"{report.subject_id}: {fault}" for fault in report.faults]
        if report.ending in (Ending.FAILED, Ending.LEFT_OPEN):
            self.faults.append(f"{report.subject_id}: {report.ending}")


def trading(trades: Sequence[Trade]) -> list[threading.Thread]:
    """Open the registers."""
    threads = [threading.Thread(target=each.run, name=each.name, daemon=True) for each in trades]
    for thread in threads:
        thread.start()
    return threads


def end_of_trade(trades: Sequence[Trade], threads: Sequence[threading.Thread]) -> None:
    """Close the registers, each after its customer."""
    for each in trades:
        each.stop.set()
    for thread in threads:
        thread.join(180)
        assert not thread.is_alive(), "a register hangs"

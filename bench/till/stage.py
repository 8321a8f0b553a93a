"""A centre, a line that can be cut, and tills on it: the product's own processes."""

import asyncio
import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.bootstrap import IDENTITY_FILE, SOFTWARE, open_till
from agent.identity import load_identity
from agent.link.central_client import CentralClient
from agent.link.worker import LinkSettings, LinkWorker
from agent.system import System
from agent.till_service.messages import (
    CompleteRequest,
    ReceiptAnswer,
    ReceiptRequest,
    ReserveRequest,
)
from agent.till_service.service import TillService
from agent.till_service.till import TillSettings
from agent.till_thread import TillThread
from bench.demo.cut_proxy import CutProxy
from bench.demo.rig import CentreProcess, Rig, RigError, TillProcess, free_port
from bench.grocery.customers import write_load_file
from bench.till.shop import Sale, Shop
from loyalty.documents import encode
from sync.messages import Message

POOL_POINTS = 1_000_000
_WAIT_S = 0.02

R = TypeVar("R")


@dataclass(slots=True)
class Stage:
    """A centre with one store's customers and rules, and a proxy before it."""

    folder: Path
    rig: Rig
    shop: Shop

    @property
    def proxy(self) -> CutProxy:
        """The store's line."""
        return self.rig.proxies[self.shop.store]

    def enrol(self, name: str) -> TillProcess:
        """Enrol another till of the store, through its line; its agent is not started."""
        slot = len(self.rig.tills) + 1
        told = self.rig.centre.run("enrol", "--store", self.shop.store, "--slot", slot, "--json")
        till = TillProcess(
            name,
            self.shop.store,
            self.folder / name,
            self.folder / f"{name}.log",
            free_port(),
        )
        till.enrol(f"http://127.0.0.1:{self.proxy.port}", json.loads(told)["code"])
        self.rig.tills[name] = till
        return till


@contextmanager
def open_stage(folder: Path, shop: Shop) -> Iterator[Stage]:
    """Start a centre that knows the shop; everything ends with the block.

    Raises:
        RigError: a process did not start; its log says why.
    """
    centre = CentreProcess(folder / "centre", folder / "centre.log")
    rig = Rig(folder, [shop.store], 1, centre)
    rules, people = folder / "rules.json", folder / "customers.jsonl"
    rules.write_text(json.dumps(encode(shop.bundle)), encoding="utf-8")
    write_load_file(people, shop.selection, shop.accounts)
    try:
        rig.start_centre()
        centre.run("load", people)
        centre.run("rules", "publish", rules)
        centre.run("fund-pool", POOL_POINTS)
        yield Stage(folder, rig, shop)
    finally:
        rig.stop()


class _Totals(msgspec.Struct):
    paid_minor: int


class _Calculated(msgspec.Struct):
    totals: _Totals


class MovedSystem(System):
    """The machine's clock, moved on by whole days of trade at will."""

    def __init__(self) -> None:
        self.moved_ms = 0.0

    def now_ms(self) -> int:
        """Return the wall clock as moved."""
        return super().now_ms() + int(self.moved_ms)

    def monotonic_ms(self) -> int:
        """Return the monotonic clock as moved."""
        return super().monotonic_ms() + int(self.moved_ms)


class TillCore:
    """The agent's core in this process: its journal, its rules, its receipts; no HTTP before it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.system = MovedSystem()
        identity = load_identity(self.folder / IDENTITY_FILE)
        self.till = open_till(self.folder, identity, self.system, TillSettings())
        self.service = TillService(self.till)

    # The register

    def update(self, receipt_id: str, sale: Sale) -> ReceiptAnswer:
        """Calculate a receipt; the centre does not answer."""
        request = ReceiptRequest(version=1, **_fields(sale))
        return unanswered(self.service.update(receipt_id, request))

    def reserve(self, receipt_id: str, sale: Sale) -> ReceiptAnswer:
        """Set the points aside that the customer wants to redeem."""
        assert sale.redeem is not None
        request = ReserveRequest(version=1, redeem=sale.redeem, **_fields(sale))
        return unanswered(self.service.reserve(receipt_id, request))

    def complete(self, receipt_id: str, sale: Sale, *, paid_minor: int) -> ReceiptAnswer:
        """Record a receipt."""
        request = CompleteRequest(version=1, paid_minor=paid_minor, **_fields(sale))
        return unanswered(self.service.complete(receipt_id, request))

    def file_bytes(self) -> int:
        """Return what the journal takes of the disk, log and all."""
        return sum(path.stat().st_size for path in self.folder.glob("journal.db*"))

    # The line

    def talk(self, *, until_acked: bool = True, timeout_s: float = 300.0) -> float:
        """Let the link run until the centre has acknowledged everything; returns the seconds.

        Raises:
            RigError: it did not in time.
        """
        return asyncio.run(self._talk(timeout_s, until_acked=until_acked))

    async def _talk(self, timeout_s: float, *, until_acked: bool) -> float:
        thread = TillThread()
        client = CentralClient(self.till.identity, self.system)
        settings = LinkSettings(pull_interval_s=0.2, hold_s_max=0, retry_delay_s_max=0.2)
        link = LinkWorker(self.till, thread, client, settings=settings, software=SOFTWARE)
        loop = asyncio.get_running_loop()
        began_s, said = loop.time(), link.conversations
        worker = asyncio.create_task(link.run())
        try:
            while True:
                head = self.till.journal.stream.head()
                is_acked = head.acked_seq == head.seq
                if is_acked and (until_acked or link.conversations > said + 1):
                    return loop.time() - began_s
                if loop.time() - began_s > timeout_s or worker.done():
                    raise RigError(f"the till did not catch up: {link.last_error or worker}")
                await asyncio.sleep(_WAIT_S)
        finally:
            # What the till's thread is at comes to its end; asking anew is harmless.
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
            await client.close()
            thread.close()
            self.till.link_up = False

    def close(self) -> None:
        """Close the files."""
        self.till.journal.close()
        self.till.cache.close()


def unanswered(steps: Generator[Any, Message | None, R]) -> R:
    """Run a call of the till to its end; nobody answers what it asks."""
    try:
        next(steps)
        while True:
            steps.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def to_pay(answer: ReceiptAnswer) -> int:
    """Return the amount a calculated receipt comes to, in minor units."""
    assert isinstance(answer.calculation, msgspec.Raw)
    totals = msgspec.json.decode(answer.calculation, type=_Calculated).totals
    return totals.paid_minor


def _fields(sale: Sale) -> dict[str, Any]:
    return {"moment": sale.moment, "lines": sale.lines, "codes": sale.codes, "card": sale.card}

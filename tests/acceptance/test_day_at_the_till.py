"""A day in one store, all of it real: processes, sockets, PostgreSQL, a cut line and a kill -9."""

import json
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest

from bench.demo.rig import CentreProcess, Rig, TillProcess, wait_until
from loyalty.documents import encode
from pos_adapters.ports import PrintedReceipt, Redeem, ScannedLine
from pos_adapters.simulated_register.printers import MemoryPrinter
from pos_adapters.simulated_register.register import SimulatedRegister
from pos_adapters.simulated_register.reports import Ending, SessionReport
from pos_adapters.simulated_register.sessions import (
    Complete,
    GoodsBack,
    GoToPayment,
    PresentCard,
    ReturnLines,
    Scan,
    Step,
)
from tests.support.centre import BUNDLE
from tests.support.postgres import folder_for_postgres

STORE = "green"
FUNDED = 5_000
OPENING = {10: 700, 11: 400, 12: 0}
"""Points by account: the first till holds 500 (the cap) of 10's, the second those of 11."""


def card(account_id: int) -> str:
    return f"4000 {account_id}"


def nothing() -> None:
    return


class Register:
    """A simulated register before a real agent; `at_call` happens once, before that call."""

    def __init__(self, till: TillProcess) -> None:
        self.till = till
        self.at_call: dict[str, Callable[[], None]] = {}
        self.at_silence: Callable[[], None] = nothing
        self.client = till.new_client()
        self.sold = 0
        self._printer = MemoryPrinter()
        self._register = SimulatedRegister(
            till.name,
            self.client,
            self._printer,
            wait=lambda _: self.at_silence(),
            before_call=lambda name: self.at_call.pop(name, nothing)(),
        )

    def play(self, *steps: Step) -> SessionReport:
        self.sold += 1
        subject = str(uuid5(UUID(int=self.till.till_id), str(self.sold)))
        return self._register.play(subject, steps, moment="2025-03-05T12:00:00")

    def sell(self, *amounts_minor: int, account: int = 0, redeem: Redeem = 0) -> PrintedReceipt:
        """Sell and return what was printed."""
        lines = [
            Scan(ScannedLine(line_id=str(n), sku="milk", quantity=1_000, gross_minor=amount))
            for n, amount in enumerate(amounts_minor, start=1)
        ]
        customer = [PresentCard(card(account))] if account else []
        report = self.play(*lines, *customer, GoToPayment(redeem), Complete())
        assert (report.ending, report.faults) == (Ending.RECORDED, ()), report
        assert isinstance(report.printed, PrintedReceipt)
        return report.printed

    @property
    def receipts(self) -> list[PrintedReceipt]:
        return [paper for paper in self._printer.documents if isinstance(paper, PrintedReceipt)]


@dataclass(slots=True)
class Shop:
    """The whole store with its centre."""

    rig: Rig
    first: Register
    second: Register

    def tills(self) -> list[TillProcess]:
        return [self.first.till, self.second.till]

    def office(self, path: str) -> dict[str, Any]:
        token = (self.rig.centre.folder / "keys" / "office.token").read_text(encoding="ascii")
        bearer = {"Authorization": f"Bearer {bytes.fromhex(token.strip()).hex()}"}
        request = urllib.request.Request(self.rig.url + path, headers=bearer)
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def wait_for_tills(self, what: str, holds: Callable[[Mapping[str, Any]], bool]) -> None:
        for till in self.tills():
            wait_until(partial(_holds, till, holds), f"{till.name}: {what}", till.process)

    def talk(self) -> None:
        for till in self.tills():
            till.talk()

    def cut_the_line(self) -> None:
        self.rig.proxies[STORE].set("drop")
        self.talk()
        self.wait_for_tills("the link is not down", lambda figures: figures["link"] == "down")

    def heal_the_line(self) -> None:
        self.rig.proxies[STORE].set("pass")
        self.talk()
        self.wait_for_tills("records wait", lambda figures: figures["records_waiting"] == 0)
        wait_until(lambda: self.office("/v1/health")["waiting"] == 0, "the centre does not apply")


def _holds(till: TillProcess, holds: Callable[[Mapping[str, Any]], bool]) -> bool:
    return holds(till.figures())


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with folder_for_postgres() as folder:
        centre = CentreProcess(folder / "centre", tmp_path / "centre.log")
        centre.folder.mkdir()
        centre.folder.chmod(0o711)
        rig = Rig(tmp_path, [STORE], 2, centre)
        try:
            rig.start_centre()
            _load(centre, {"kind": "store", "store": STORE})
            (centre.folder / "rules.json").write_text(json.dumps(encode(BUNDLE)), encoding="utf-8")
            centre.run("rules", "publish", centre.folder / "rules.json")
            centre.run("fund-pool", FUNDED)
            rig.start_tills()
            _load(centre, *(_customer(*opening) for opening in OPENING.items()))
            first, second = (Register(till) for till in rig.tills.values())
            with first.client, second.client:
                yield Shop(rig, first, second)
        finally:
            rig.stop()


def _load(centre: CentreProcess, *lines: dict[str, object]) -> None:
    file = centre.folder / "load.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    centre.run("load", file)


def _customer(account_id: int, points: int) -> dict[str, object]:
    lots = [{"points": points, "active_from": "2025-01-01"}] if points else []
    return {
        "kind": "account",
        "account_id": account_id,
        "home_store": STORE,
        "cards": [card(account_id)],
        "lots": lots,
    }


def test_a_day_with_a_cut_line_and_a_killed_agent(shop: Shop) -> None:
    first, second = shop.first, shop.second

    # The morning, in touch with the centre: rules, a risk budget and customers' points arrive.
    shop.talk()
    shop.wait_for_tills(
        "no rules, risk budget or points",
        lambda figures: (
            figures["bundle_version"] == 1
            and figures["risk_points_left"] == 500
            and figures["rights_points"] > 0
        ),
    )
    assert first.sell(1_999, 500, account=12).earned_points == 249
    assert second.sell(700).earned_points == 0

    # The line is cut; both tills sell and redeem on, each with what it holds.
    shop.cut_the_line()
    assert first.sell(1_000, account=10, redeem=120).redeemed_points == 120
    assert second.sell(1_000, account=11, redeem="max").redeemed_points == 400
    assert second.sell(1_000, account=10, redeem=100).redeemed_points == 30  # of the risk budget
    assert first.sell(800, account=99).earned_points == 80  # a card nobody here knows

    # The agent dies after the points were set aside, before the receipt is recorded.
    first.at_call["complete"] = first.till.kill
    first.at_silence = first.till.start
    assert first.sell(1_000, account=10, redeem=100).redeemed_points == 100
    assert first.till.restarts == 1
    first.at_call["return_confirm"] = first.till.kill  # and once more, in a return
    back = first.play(ReturnLines(first.receipts[1].receipt_id, (GoodsBack("1"),)))
    assert (back.ending, first.till.restarts) == (Ending.RETURNED, 2)
    offline = [*first.receipts[1:], *second.receipts[1:]]
    assert [paper.link for paper in offline] == ["down"] * 5

    # The line is back: everything is posted, once, as it was printed.
    shop.heal_the_line()
    _assert_posted_as_printed(shop, waiting=first.receipts[2])


def _assert_posted_as_printed(shop: Shop, *, waiting: PrintedReceipt) -> None:
    printed = [*shop.first.receipts, *shop.second.receipts]
    posted = [paper for paper in printed if paper is not waiting]
    for paper in posted:
        totals = shop.office(f"/v1/receipts/{paper.receipt_id}")["totals"]
        for name, value in totals.items():
            assert value == getattr(paper, name), (paper, totals)
    # Tills that are in touch go on telling which points came to them: records wait for moments.
    at_rest = {"status": "ok", "database": "up", "waiting": 0, "parked": 1}
    wait_until(lambda: shop.office("/v1/health") == at_rest, "not only the parked record waits")
    proof = shop.office("/v1/ledger/proof")
    assert proof["balanced"], proof
    figures = proof["figures"]
    assert figures["receipts"] == len(posted)
    returned = shop.first.receipts[1]
    moved = [paper.earned_points - paper.redeemed_points for paper in posted]
    undone = returned.earned_points - returned.redeemed_points
    assert figures["posted"] == sum(OPENING.values()) + sum(moved) - undone + figures["losses"]
    report = json.loads(shop.rig.centre.run("verify-ledger", "--json"))
    # What is set aside for tills may have grown meanwhile: they are in touch.
    assert report["figures"] | {"held": 0} == figures | {"held": 0}

"""A centre and its stores as real processes, for drills that break a till's disk or the centre's.

Each drill has a store of its own with one customer of 400 points; all of them stand in the same
ledger, which is proven after every drill.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bench.crash.trade import RULES
from bench.demo.books import Books
from bench.demo.cut_proxy import CutProxy
from bench.demo.rig import CentreProcess, TillProcess, free_port, wait_until
from loyalty.documents import encode
from pos_adapters.ports import Receipt, ScannedLine, TillAnswer
from tests.support.command_line import central

POINTS = 400
POOL_POINTS = 10_000
MOMENT = "2026-03-04T12:00:00"
_PATIENCE_S = 180.0
"""A till whose streams end again and again rests for 15 s and then for 30, each up to twice."""
_TALKS_EVERY_S = 0.1
"""While something is waited for: each talk keeps a till, the centre and its database busy."""
_TO_POST = "select count(*) from inbox where not applied and parked_for is null"
_ONCE = """
select count(*) from (select subject from ledger_entry where kind in ('earn', 'redeem')
    group by subject, kind having count(*) > 1) twice
"""


@dataclass(slots=True)
class DrilledTill(TillProcess):
    """An agent in front of whose line stands a proxy of its own.

    Attributes:
        printed: points redeemed by receipt, as the register printed it.
    """

    proxy: CutProxy | None = None
    card: str = ""
    printed: dict[str, int] = field(default_factory=dict)
    series: int = 0
    _last: tuple[str, Receipt, int, bytes] | None = None

    def go(self) -> None:
        """Start the agent; it talks every second."""
        self.start(pull_interval_s=1)

    def cut(self) -> None:
        """Break the line; the till has noticed when this returns."""
        assert self.proxy is not None
        self.proxy.set("reset")
        self.talk()
        self.await_figure("link", lambda link: link == "down")

    def heal(self) -> None:
        """Mend the line; nothing else happens yet."""
        assert self.proxy is not None
        self.proxy.set("pass")

    def await_figure(self, name: str, holds: Callable[[Any], bool]) -> None:
        """Wait until a figure of the health report is so."""

        def is_so() -> bool:
            self.talk()
            return holds(self.figures()[name])

        wait_until(
            is_so, lambda: f"{self.name}: {name} is {self.figures()[name]}", self.process,
            every_s=_TALKS_EVERY_S, within_s=_PATIENCE_S,
        )  # fmt: skip

    def sell(self, number: int, redeem: int = 0) -> int:
        """Sell; returns how many points could be redeemed."""
        key = f"01957e3c-9a40-7c11-{self.series:04x}-{number:012d}"
        line = ScannedLine(line_id="1", sku="wine", quantity=1_000, gross_minor=2_000)
        receipt = Receipt(version=1, moment=MOMENT, lines=(line,), card=self.card)
        if redeem:
            shown = self.client.reserve(key, receipt, redeem=redeem)
        else:
            shown = self.client.update(key, receipt)
        paid_minor = _paid_minor(shown)
        answer = self.client.complete(key, receipt, paid_minor=paid_minor)
        assert answer.outcome == "recorded", answer
        self._last = key, receipt, paid_minor, answer.raw
        assert answer.calculation is not None
        points = int(answer.calculation["totals"]["redeemed_points"])
        self.printed[key] = points
        return points

    def repeats_itself(self) -> bool:
        """Say whether the last completion, sent once more, has the same answer to the byte."""
        assert self._last is not None
        key, receipt, paid_minor, answer = self._last
        return self.client.complete(key, receipt, paid_minor=paid_minor).raw == answer

    def image(self, to: Path) -> Path:
        """Copy the disk while the agent is stopped."""
        assert self.process is None
        shutil.copytree(self.folder, to)
        return to

    def restore(self, image: Path, *, but: str = "") -> None:
        """Put an image in place of the disk; one file may stay as it is."""
        assert self.process is None
        kept = (self.folder / but).read_bytes() if but else b""
        shutil.rmtree(self.folder)
        shutil.copytree(image, self.folder)
        if but:
            (self.folder / but).write_bytes(kept)

    def stop_dead(self) -> None:
        """End the agent as a power cut does to a process."""
        self.kill()
        self.stop()


def _paid_minor(answer: TillAnswer) -> int:
    assert answer.calculation is not None, answer
    return int(answer.calculation["totals"]["paid_minor"])


def _copy(folder: Path, to: Path) -> None:
    """Copy a database with the owners of its files."""
    done = subprocess.run(["cp", "-a", folder, to], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@dataclass(slots=True)
class Town:
    """The centre and every till that was enrolled."""

    folder: Path
    centre: CentreProcess
    url: str = ""
    tills: list[DrilledTill] = field(default_factory=list)
    _stores: "count[int]" = field(default_factory=lambda: count(1))

    def open(self) -> None:
        """Serve, with rules and a pool."""
        self.url = self.centre.start()
        rules = self.folder / "rules.json"
        rules.write_text(json.dumps(encode(RULES)), encoding="utf-8")
        self.command("rules", "publish", rules)
        self.command("fund-pool", POOL_POINTS)

    def command(self, *arguments: object) -> str:
        """Run a command of the centre in this process: one of its own takes a second to start.

        Returns:
            What it said.
        """
        ended = central(*map(str, arguments), "--data", self.centre.folder)
        assert ended.code == 0, ended.complained
        return ended.said

    @property
    def port(self) -> int:
        """Where the centre serves."""
        return int(self.url.rsplit(":", 1)[1])

    def store(self) -> tuple[str, str]:
        """Add a store with a customer of 400 points; returns its name and the card."""
        number = next(self._stores)
        store, card = f"S{number}", f"2990 0000 0000 {number:04d}"
        lot = {"points": POINTS, "active_from": "2025-01-01", "expires_on": ""}
        lines = [
            {"kind": "store", "store": store, "region": "north", "banner": "green"},
            {"kind": "account", "account_id": number, "home_store": store, "cards": [card],
             "lots": [lot]},
        ]  # fmt: skip
        people = self.folder / f"{store}.jsonl"
        people.write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
        self.command("load", people)
        return store, card

    def till(self, store: str, card: str, *, slot: int = 1, has_bus: bool = False) -> DrilledTill:
        """Enrol a till and start it; the first of a store holds its customer's points."""
        number = len(self.tills) + 1
        name = f"{store}-{slot}-{number}"
        till = DrilledTill(
            name, store, self.folder / f"till-{name}", self.folder / f"{name}.log", free_port(),
            proxy=CutProxy(self.port), card=card, series=0x8000 + number,
        )  # fmt: skip
        self.tills.append(till)
        no_vault = ["--no-vault"] if slot > 1 else []
        made = self.command("enrol", "--store", store, "--slot", slot, *no_vault, "--json")
        assert till.proxy is not None
        till.enrol(f"http://127.0.0.1:{till.proxy.port}", json.loads(made)["code"])
        if has_bus:
            listen = f'[bus]\nlisten = "127.0.0.1:{free_port(together=2)}"\n'
            (till.folder / "agent.toml").write_text(listen, encoding="utf-8")
        till.go()
        till.await_figure("bundle_version", lambda version: version == 1)
        return till

    def vault(self, *, has_bus: bool = False) -> DrilledTill:
        """Return the only till of a new store, holding the 400 points."""
        till = self.till(*self.store(), has_bus=has_bus)
        till.await_figure("rights_points", lambda points: points == POINTS)
        return till

    def neighbours(self) -> tuple[DrilledTill, DrilledTill]:
        """Return the two tills of a new store; the first holds the 400 points."""
        store, card = self.store()
        till = self.till(store, card, has_bus=True)
        sibling = self.till(store, card, slot=2, has_bus=True)
        till.await_figure("rights_points", lambda points: points == POINTS)
        self.hear_each_other(till, sibling)
        return till, sibling

    def hear_each_other(self, *tills: DrilledTill) -> None:
        """Wait until the tills of a store hear each other over their bus."""
        for till in tills:
            others = sorted(each.till_id for each in tills if each is not till)
            till.await_figure("siblings", lambda told, ids=others: told["alive"] == ids)  # type: ignore[misc]

    def clone(self, till: DrilledTill) -> DrilledTill:
        """Return a second machine over a copy of a till's disk, on the same line."""
        twin = DrilledTill(
            f"{till.name}-twin", till.store, self.folder / f"{till.name}-twin",
            self.folder / f"{till.name}-twin.log", free_port(),
            proxy=till.proxy, card=till.card, series=till.series + 0x100,
        )  # fmt: skip
        till.image(twin.folder)
        self.tills.append(twin)
        return twin

    def settle(self, *tills: DrilledTill) -> None:
        """Wait until everything is handed in and applied."""
        ids = [till.till_id for till in tills]
        with Books(self.centre.folder) as books:

            def is_quiet() -> bool:
                for till in tills:
                    till.talk()
                return not self.waiting(*tills) and not books.unfinished(ids)

            def how_it_stands() -> str:
                return f"{self.waiting(*tills)} records wait, {books.unfinished(ids)} to be done"

            for _ in range(3):
                wait_until(is_quiet, how_it_stands, every_s=_TALKS_EVERY_S, within_s=_PATIENCE_S)

    def settle_twins(self, *machines: DrilledTill) -> None:
        """Wait until machines that run as one till are found out and all of theirs is posted.

        Points may stay out for who gets none: what was on its way to one when the other began its
        stream anew comes home when the quarantine is lifted.
        """
        for each in machines:
            each.await_figure("quarantined", bool)
        self.await_posted(*machines)

    def await_posted(self, *tills: DrilledTill) -> None:
        """Wait until each has talked once more, and everything is handed in and posted."""
        talks = [till.figures()["conversations"] for till in tills]

        def is_so() -> bool:
            for till in tills:
                till.talk()
            have_talked = all(
                till.figures()["conversations"] > before
                for till, before in zip(tills, talks, strict=True)
            )
            return have_talked and not self.waiting(*tills) and not self.figure(_TO_POST)

        wait_until(is_so, "records wait", every_s=_TALKS_EVERY_S, within_s=_PATIENCE_S)

    def waiting(self, *tills: DrilledTill) -> int:
        """Count what these tills have not handed in."""
        return sum(till.figures()["records_waiting"] for till in tills)

    def losses(self) -> int:
        """Return what the risk pool has paid."""
        return self.figure("select losses from risk_pool")

    def figure(self, sql: str, *values: object) -> int:
        """Return one number of the centre's database."""
        with Books(self.centre.folder) as books:
            return int(books.value(sql, *values))

    def prove(self, *tills: DrilledTill) -> None:
        """Fail unless what these registers printed is posted, once, and the ledger balances."""
        printed = {key: points for till in tills for key, points in till.printed.items()}
        with Books(self.centre.folder) as books:

            def posted() -> dict[str, int]:
                rows = books.rows(
                    "select sale_key, redeemed_points from receipt where sale_key = any($1)",
                    list(printed),
                )
                return {row["sale_key"]: row["redeemed_points"] for row in rows}

            def is_posted() -> bool:
                for till in self.tills:
                    if till.process is not None:
                        till.talk()
                return posted() == printed

            # A till does not know at once that the centre has forgotten what it acknowledged.
            wait_until(
                is_posted, "posted is not what was printed",
                every_s=_TALKS_EVERY_S, within_s=_PATIENCE_S,
            )  # fmt: skip
            assert books.value(_ONCE) == 0
            assert books.value("select uncovered from risk_pool") == 0
            proof = books.ledger_proof()
        assert proof.balanced, [check for check in proof.checks if check.broken]

    def keep_copy(self) -> Path:
        """Copy the centre's database while it does not run."""
        self._end_centre()
        copy = self.folder / "copy"
        _copy(self.centre.folder / "postgres", copy)
        self.centre.start(self.port)
        return copy

    def throw_back(self, copy: Path) -> None:
        """Go on with the copy; what happened since never did."""
        self._end_centre()
        shutil.rmtree(self.centre.folder / "postgres")
        _copy(copy, self.centre.folder / "postgres")
        self.centre.start(self.port)

    def _end_centre(self) -> None:
        """Stop the centre, and wait for its PostgreSQL: another user of it may have ended last."""
        self.centre.stop()
        running = self.centre.folder / "postgres" / "postgres" / "postmaster.pid"
        wait_until(lambda: not running.exists(), "PostgreSQL does not stop", within_s=_PATIENCE_S)

    def close(self) -> None:
        """Stop everything."""
        for till in self.tills:
            till.stop()
            if till.proxy is not None:
                till.proxy.stop()
        self.centre.stop()


@contextmanager
def running_town(folder: Path) -> Iterator[Town]:
    """Give a town for the length of the block.

    Its customers have few points, and each is set aside at once.
    """
    town = Town(folder, CentreProcess(folder / "centre", folder / "centre.log"))
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("TILLSIDE_CENTRAL_GRANT_POINTS_MIN", "1")
            town.open()
            yield town
    finally:
        town.close()

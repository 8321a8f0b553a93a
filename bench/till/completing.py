"""Completing a sale beside a bare commit: one of each in turn, on the same disk, in the same run.

Whatever the machine and its disk do meanwhile, they do to both; each is first as often as the
other, because the first sync after a while also waits for what others have written since. The bare
commit inserts one row of a hundred bytes into a SQLite file with the journal's own settings (WAL,
`synchronous=FULL`), which is one sync of the disk and nothing else.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import apsw
import msgspec

from bench.demo.rig import RigError, TillProcess
from bench.engine.timing import in_ms, percentile
from bench.till.progress import Bar
from bench.till.shop import Sale
from bench.till.stage import TillCore, to_pay

_PRAGMAS = (
    "pragma locking_mode=exclusive",
    "pragma journal_mode=wal",
    "pragma synchronous=full",
)
_ROW_BYTES = 100
_PAUSE_S = 0.02
"""After a sale: what the agent does after its answer is not to slow the bare commit."""


class BareCommits:
    """One row, one commit, one sync."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path))
        for pragma in _PRAGMAS:
            self._connection.execute(pragma).fetchall()
        self._connection.execute("create table bare (id integer primary key, body blob not null)")

    def commit(self) -> float:
        """Commit a row; returns the microseconds."""
        began = time.perf_counter()
        self._connection.execute("insert into bare (body) values (randomblob(?))", (_ROW_BYTES,))
        return (time.perf_counter() - began) * 1e6

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


@dataclass(slots=True)
class Times:
    """Microseconds, one a call; `bare` and `complete` were taken in turn.

    Attributes:
        after: what the till did of a sale when the register had its answer.
    """

    update: list[float] = field(default_factory=list)
    complete: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)

    def ratio(self, share: int) -> float:
        """Return by how much a completion is slower than a bare commit, at a percentile."""
        return round(percentile(self.complete, share) / percentile(self.bare, share), 3)

    def report(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "sales": len(self.complete),
            "p99_ratio": self.ratio(99),
            "median_ratio": self.ratio(50),
            "complete": in_ms(self.complete),
            "bare_commit": in_ms(self.bare),
            "update": in_ms(self.update),
        } | ({"after_the_answer": in_ms(self.after)} if self.after else {})


def in_process(
    core: TillCore, receipts: Iterable[tuple[str, Sale]], bare: BareCommits, bar: Bar
) -> tuple[Times, Times]:
    """Complete sales in this process.

    Returns:
        The times of sales that spend nothing, and of those that spend rights the till holds: these
        move the anchor, a second small file with syncs of its own, before they are answered.
    """
    plain, spending = Times(), Times()
    clock = time.perf_counter
    for number, (receipt_id, sale) in enumerate(receipts):
        began = clock()
        answer = core.update(receipt_id, sale)
        took = clock() - began
        if sale.redeem is not None:
            answer = core.reserve(receipt_id, sale)
        paid_minor = to_pay(answer)
        times = spending if answer.reserved_points else plain
        times.update.append(took * 1e6)
        if number % 2:
            times.bare.append(bare.commit())
        began = clock()
        done = core.complete(receipt_id, sale, paid_minor=paid_minor)
        times.complete.append((clock() - began) * 1e6)
        if done.outcome != "recorded":
            raise RigError(f"{receipt_id} was not recorded: {done.outcome}")
        if not number % 2:
            times.bare.append(bare.commit())
        began = clock()
        core.till.journal.catch_up()
        times.after.append((clock() - began) * 1e6)
        core.till.journal.tidy()
        bar.step()
    return plain, spending


class Register:
    """A register's connection to its agent; requests are made ready before they are timed."""

    def __init__(self, till: TillProcess) -> None:
        self._connection = HTTPConnection("127.0.0.1", till.port, timeout=30)
        self._headers = {
            "Authorization": f"Bearer {till.identity['pos_token']}",
            "Content-Type": "application/json",
        }

    def update(self, receipt_id: str, sale: Sale) -> tuple[int, float]:
        """Have a receipt calculated; returns what is to pay, and the microseconds."""
        answer, took = self._call("PUT", f"/v1/receipts/{receipt_id}", _document(sale))
        return answer["calculation"]["totals"]["paid_minor"], took

    def complete(self, receipt_id: str, sale: Sale, *, paid_minor: int) -> float:
        """Complete a receipt; returns the microseconds.

        Raises:
            RigError: it was not recorded.
        """
        path = f"/v1/receipts/{receipt_id}/complete"
        answer, took = self._call("POST", path, {**_document(sale), "paid_minor": paid_minor})
        if answer["outcome"] != "recorded":
            raise RigError(f"{receipt_id} was not recorded: {answer}")
        return took

    def _call(self, method: str, path: str, document: dict[str, Any]) -> tuple[Any, float]:
        body = msgspec.json.encode(document)
        began = time.perf_counter()
        self._connection.request(method, path, body, self._headers)
        content = self._connection.getresponse().read()
        took = (time.perf_counter() - began) * 1e6
        return json.loads(content), took

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def over_http(
    register: Register, receipts: Iterable[tuple[str, Sale]], bare: BareCommits, bar: Bar
) -> Times:
    """Complete sales over the agent's loopback API, one register, one call after the other."""
    times = Times()
    for number, (receipt_id, sale) in enumerate(receipts):
        paid_minor, took = register.update(receipt_id, sale)
        times.update.append(took)
        if number % 2:
            times.bare.append(bare.commit())
        times.complete.append(register.complete(receipt_id, sale, paid_minor=paid_minor))
        time.sleep(_PAUSE_S)
        if not number % 2:
            times.bare.append(bare.commit())
        bar.step()
    return times


def _document(sale: Sale) -> dict[str, Any]:
    return {
        "version": 1,
        "moment": sale.moment,
        "lines": [msgspec.to_builtins(line) for line in sale.lines],
        "codes": list(sale.codes),
        "card": sale.card,
    }

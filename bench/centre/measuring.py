"""The measurements: purchases, intake, kills; each over processes that are running."""

import asyncio
import math
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.centre.stage import Stage, Till
from bench.centre.trade import REDEEMED_POINTS, Trade
from bench.centre.wire import RefusedError
from bench.engine.timing import percentile
from central.database.embedded_cluster import binaries
from central.database.pool import Pool
from sync import cycle
from sync.limits import BATCH_BYTES_MAX
from sync.messages import AuthoriseAnswer, AuthoriseRequest, SnapshotAnswer, SnapshotRequest

REDEEM_EVERY = 9
_MS = 1000.0


@dataclass(slots=True)
class Times:
    """Milliseconds of each kind of call.

    Attributes:
        fell_behind: the centre was asked for more than it could, and asking was ended.
    """

    snapshot: list[float] = field(default_factory=list)
    authorise: list[float] = field(default_factory=list)
    push: list[float] = field(default_factory=list)
    refused: int = 0
    fell_behind: bool = False

    def figures(self) -> dict[str, Any]:
        """Return median and p99 of each kind, and of snapshots and holds together."""
        kinds = {"snapshot": self.snapshot, "authorise": self.authorise, "push": self.push}
        asked = [*self.snapshot, *self.authorise]
        return {
            "refused": self.refused,
            "p99_ms": round(percentile(asked, 99), 1) if asked else None,
            **{
                name: {
                    "calls": len(times),
                    "median_ms": round(percentile(times, 50), 1),
                    "p99_ms": round(percentile(times, 99), 1),
                }
                for name, times in kinds.items()
                if times
            },
        }


@dataclass(frozen=True, slots=True)
class Planned:
    """A purchase that is to be made; without a record it redeems points and is calculated then."""

    key: str
    account_id: int
    body: bytes | None


def plan(trade: Trade, stage: Stage, count: int) -> list[Planned]:
    """Return so many purchases, calculated as far as they can be before.

    That may take minutes in which nobody says anything: the tills hang up before the centre does.
    """
    planned = []
    for number in range(count):
        key, account_id = trade.new_key(), trade.customer()
        redeems = account_id and number % REDEEM_EVERY == 0
        place = stage.tills[number % len(stage.tills)].place
        body = None if redeems else trade.sale(key, place, account_id)
        planned.append(Planned(key, account_id, body))
    for till in stage.tills:
        till.line.close()
    return planned


async def purchases(
    stage: Stage,
    trade: Trade,
    planned: Sequence[Planned],
    *,
    per_s: float = 0.0,
    late_s_max: float = math.inf,
) -> tuple[Times, float]:
    """Make purchases, each till one after the other; returns times and the seconds it took.

    Args:
        per_s: so many begin each second, whether or not those before are done, and what they wait
            for a till counts; 0 = as many as the tills can.
        late_s_max: where one begins later than that after it was due, no more are asked for.
    """
    times, clock = Times(), time.perf_counter
    began_s = clock()
    queue: Iterator[tuple[int, Planned]] = iter(enumerate(planned))

    async def trading(till: Till) -> None:
        for number, purchase in queue:
            due_s = clock()
            if per_s:
                due_s = began_s + number / per_s
                await asyncio.sleep(max(0.0, due_s - clock()))
                times.fell_behind = times.fell_behind or clock() - due_s > late_s_max
            if times.fell_behind:
                return
            try:
                await _purchase(stage, trade, till, purchase, times, due_s)
            except RefusedError:
                times.refused += 1

    await asyncio.gather(*(trading(till) for till in stage.tills))
    return times, clock() - began_s


async def _purchase(
    stage: Stage, trade: Trade, till: Till, purchase: Planned, times: Times, due_s: float
) -> None:
    clock, account_id = time.perf_counter, purchase.account_id
    began_s = due_s
    if account_id:
        await till.line.ask(
            cycle.PATH_SNAPSHOT, SnapshotRequest(card=stage.card(account_id)), SnapshotAnswer
        )
        times.snapshot.append((clock() - began_s) * _MS)
        began_s = clock()
    body = purchase.body
    if body is None:
        request = AuthoriseRequest(
            key=purchase.key, account_id=account_id, points=REDEEMED_POINTS,
            incarnation=till.incarnation,
        )  # fmt: skip
        answer = await till.line.ask(cycle.PATH_AUTHORISE, request, AuthoriseAnswer)
        times.authorise.append((clock() - began_s) * _MS)
        right = answer.authorisations[0] if answer.authorisations else None
        body = trade.sale(purchase.key, till.place, account_id, right)
        began_s = clock()
    await till.push([body])
    times.push.append((clock() - began_s) * _MS)


def _batches(waiting: Sequence[bytes], together: int) -> Iterator[list[bytes]]:
    """Yield records as tills push them: so many at most, and no more bytes than a push may have."""
    batch: list[bytes] = []
    room = BATCH_BYTES_MAX
    for body in waiting:
        if batch and (len(batch) == together or len(body) > room):
            yield batch
            batch, room = [], BATCH_BYTES_MAX
        batch.append(body)
        room -= len(body)
    if batch:
        yield batch


async def hand_in(stage: Stage, bodies: Sequence[bytes], *, together: int) -> float:
    """Hand records in as tills do after an outage, large pushes from all; returns the seconds."""
    clock = time.perf_counter
    share = -(-len(bodies) // len(stage.tills))

    async def empty(till: Till, waiting: Sequence[bytes]) -> None:
        for batch in _batches(waiting, together):
            await till.push(batch)

    began_s = clock()
    await asyncio.gather(
        *(
            empty(till, bodies[number * share : (number + 1) * share])
            for number, till in enumerate(stage.tills)
        )
    )
    return clock() - began_s


def pgbench_tps(dsn: str, seconds: int) -> float:
    """Return transactions a second of pgbench's simple update, on tables of its own."""
    tool = binaries() / "pgbench"
    subprocess.run(
        [tool, "--initialize", "--quiet", "--scale=10", dsn], check=True, capture_output=True
    )
    done = subprocess.run(
        [tool, "--builtin=simple-update", "--client=8", "--jobs=1", f"--time={seconds}", dsn],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found[1])


async def lost_and_twice(tills: Sequence[Till], pool: Pool) -> tuple[int, int]:
    """Return how many records the tills were acknowledged and are not kept, and posted twice."""
    lost = 0
    for till in tills:
        kept = await pool.fetchval(
            "select count(*) from inbox where till_id = $1 and not branch and seq <= $2",
            till.line.till_id, till.acked,
        )  # fmt: skip
        lost += till.acked - int(kept)
    unposted = await pool.fetchval(
        "select count(*) from inbox i left join receipt r using (arrival)"
        ' where r.arrival is null and i.body like \'{"kind":"sale"%\'::bytea'
    )
    twice = await pool.fetchval(
        "select count(*) from (select 1 from ledger_entry where kind in ('earn', 'redeem')"
        " group by subject, kind, account_id having count(*) > 1) t"
    )
    return lost + int(unposted), int(twice)

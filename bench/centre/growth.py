"""Many more accounts in the same ledger: what they change for purchases and for its proof."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.centre import measuring
from bench.centre.stage import Stage
from bench.centre.trade import Trade
from central.ledger.verify import verify_ledger

BYTES_PER_ACCOUNT: Final = 1_500
"""On the disk with all indexes and what vacuuming takes beside them, rounded up."""
_MB: Final = 1_000_000


def read_grown(text: str) -> tuple[int, ...]:
    """Read `1000000,10000000`: how many accounts there are after each growing; 0 = none.

    Raises:
        ValueError: these are no numbers that grow.
    """
    numbers = tuple(int(each) for each in text.split(",") if int(each))
    if list(numbers) != sorted(set(numbers)) or any(number < 0 for number in numbers):
        raise ValueError("numbers of accounts, each larger than the one before")
    return numbers


def lacks_room(grown: Sequence[int], folder: Path) -> str:
    """Return why the disk is too small for so many accounts; empty where it is not."""
    needed = max(grown, default=0) * BYTES_PER_ACCOUNT
    free = shutil.disk_usage(folder).free
    if needed < free:
        return ""
    return (
        f"{max(grown):,} accounts take up to {needed // _MB:,} MB and {folder} has"
        f" {free // _MB:,}: choose another --folder, or fewer with --grown"
    )


async def verified(stage: Stage) -> dict[str, Any]:
    """Prove the whole ledger as `tillside-central ledger verify` does, beside what is running."""
    async with stage.unbounded() as connection:
        began_s = time.perf_counter()
        proof = await verify_ledger(connection, is_patient=True)
        took_s = time.perf_counter() - began_s
    return {
        "rows": proof.rows,
        "ms": round(took_s * 1000),
        "rows_per_s": round(proof.rows / took_s),
        "broken": [check.name for check in proof.checks if check.broken],
    }


async def grow(
    stage: Stage, *, known: int, accounts: int, warm: int, purchases: int, seed: int
) -> dict[str, Any]:
    """Load accounts by statements over whole sets, buy flat out, prove the ledger.

    Args:
        known: how many accounts there are.
        accounts: how many there are then; the purchases' customers are drawn from all of them.
        seed: of the receipts' numbers; another one in each call.
    """
    began_s = time.perf_counter()
    async with stage.unbounded() as connection:
        await stage.add_accounts(connection, known + 1, accounts)
        await connection.execute("vacuum analyze")
        loading_s = time.perf_counter() - began_s
        size = await connection.fetchval("select pg_database_size(current_database())")
    trade = Trade(stage.shop, stage.rules, accounts=accounts, seed=seed)
    await measuring.purchases(stage, trade, measuring.plan(trade, stage, warm))
    planned = measuring.plan(trade, stage, purchases)
    pool = await stage.open()
    await stage.applied(pool)
    began_s = time.perf_counter()
    times, _ = await measuring.purchases(stage, trade, planned)
    await stage.applied(pool)
    per_s = len(planned) / (time.perf_counter() - began_s)
    await pool.close()
    return {
        "accounts": accounts,
        "loading_s": round(loading_s, 1),
        "database_mb": round(size / _MB),
        "posted_per_s": round(per_s),
        **times.figures(),
        "verify": await verified(stage),
    }

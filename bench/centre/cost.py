"""Where the time of one receipt goes, in the process that posts it: CPU and statements."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from bench.centre.stage import Stage
from bench.centre.trade import Trade
from central.database.pool import Pool
from central.rules.library import RuleLibrary
from central.streams.recalculating import recalculate
from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes
from sync.records import SaleRecord, decode_record

T = TypeVar("T")
RECEIPTS = 1_000


async def cost_of_posting(pool: Pool, trade: Trade, stage: Stage) -> dict[str, Any]:
    """Return microseconds of CPU of each part of posting one receipt, without the database."""
    bodies = list(trade.sales(RECEIPTS, stage.tills[0].place))
    library = RuleLibrary()
    found: dict[str, Any] = {"bytes_of_a_record": sum(map(len, bodies)) // RECEIPTS}
    began_s = time.process_time()
    records = [decode_record(body) for body in bodies]
    found["decode_us"] = _each_us(began_s)
    sales = [record for record in records if isinstance(record, SaleRecord)]
    began_s = time.process_time()
    printed = [msgspec.json.decode(sale.calculation, type=Calculation) for sale in sales]
    found["decode_printed_us"] = _each_us(began_s)
    async with pool.acquire() as connection:
        await recalculate(connection, sales[0].inputs, library)
        repeat = _repeating(connection, library)
        began_s = time.process_time()
        equal = [await repeat(sale) == bytes(sale.calculation) for sale in sales]
        found["recalculate_us"] = _each_us(began_s)
    began_s = time.process_time()
    for calculation in printed:
        canonical_bytes(calculation)
    found["canonical_bytes_us"] = _each_us(began_s)
    assert all(equal)
    return found


def _repeating(connection: Any, library: RuleLibrary) -> Callable[[SaleRecord], Awaitable[bytes]]:  # noqa: ANN401
    async def repeat(sale: SaleRecord) -> bytes:
        printed = bytes(sale.calculation)
        return (await recalculate(connection, sale.inputs, library, printed=printed)).content

    return repeat


def _each_us(began_s: float) -> float:
    return round((time.process_time() - began_s) * 1e6 / RECEIPTS, 1)

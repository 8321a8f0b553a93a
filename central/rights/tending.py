"""What is done about rights by time alone: freeze, thaw, write off what counts as lost, plan.

None of it decides about safety: what time brings home the pool has paid for before.
"""

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.rights import counters
from central.rights.giving_up import settle_found
from central.rights.issuing import RightsSettings, business_date
from central.rights.planner import Planned, plan_step
from central.rights.suspicion import clear_old
from central.rights.write_offs import WrittenOff, freeze, thaw, write_off_due

_SQL = load_queries("central.rights", "queries.sql")


class Tended(msgspec.Struct, frozen=True, kw_only=True):
    """What one round did.

    Attributes:
        found: points given up that the pool has again.
        counters_swept: settled grants of counters, and counters long over.
    """

    frozen: int
    thawed: int
    cleared: int
    written_off: WrittenOff
    planned: Planned
    found: int = 0
    counters_swept: int = 0


async def tend(pool: Pool, *, now_ms: int, settings: RightsSettings) -> Tended:
    """Do what is due, in bounded steps of small transactions; several processes may do so."""
    await pool.execute(_SQL["turn_day"], business_date(now_ms))
    return Tended(
        thawed=await thaw(pool),
        frozen=await freeze(pool, now_ms=now_ms),
        cleared=await clear_old(pool, now_ms=now_ms, settings=settings),
        written_off=await write_off_due(pool, now_ms=now_ms, settings=settings),
        planned=await plan_step(pool, now_ms=now_ms, settings=settings),
        found=await settle_found(pool, now_ms=now_ms),
        counters_swept=await counters.sweep(pool, now_ms=now_ms),
    )

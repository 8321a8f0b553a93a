"""What is done about rights by time alone: freeze, thaw, write off what counts as lost, plan.

None of it decides about safety: what time brings home the pool has paid for before.
"""

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.rights import budgets, counters
from central.rights.budgets import BudgetsWrittenOff
from central.rights.giving_up import settle_found
from central.rights.issuing import DAY_MS, RightsSettings, business_date
from central.rights.planner import Planned, plan_turn
from central.rights.suspicion import clear_old
from central.rights.write_offs import WrittenOff, freeze, thaw, write_off_due

_SQL = load_queries("central.rights", "queries.sql")


class Tended(msgspec.Struct, frozen=True, kw_only=True):
    """What one round did.

    Attributes:
        budgets: risk budgets of streams that are over.
        found: points given up that the pool has again.
        counters_swept: settled grants of counters, and counters long over.
    """

    frozen: int
    thawed: int
    cleared: int
    written_off: WrittenOff
    planned: Planned
    budgets: BudgetsWrittenOff = BudgetsWrittenOff()
    found: int = 0
    counters_swept: int = 0


async def tend(pool: Pool, *, now_ms: int, settings: RightsSettings) -> Tended:
    """Do what is due, in bounded steps of small transactions; several processes may do so."""
    today = business_date(now_ms)
    silent_ms = now_ms - settings.loss_days * DAY_MS
    if await pool.fetchval(_SQL["day_is_over"], today):
        await pool.execute(_SQL["turn_day"], today)
    return Tended(
        thawed=await thaw(pool, silent_ms=silent_ms),
        frozen=await freeze(pool, now_ms=now_ms, silent_ms=silent_ms),
        cleared=await clear_old(pool, now_ms=now_ms, settings=settings),
        written_off=await write_off_due(pool, now_ms=now_ms, settings=settings),
        budgets=await budgets.write_off_due(
            pool, now_ms=now_ms, days=settings.grant_days + settings.loss_days
        ),
        planned=await plan_turn(pool, now_ms=now_ms, settings=settings),
        found=await settle_found(pool, now_ms=now_ms),
        counters_swept=await counters.sweep(pool, now_ms=now_ms),
    )

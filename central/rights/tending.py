"""What is done about rights by time alone: freeze, thaw, write off what counts as lost, plan.

None of it decides about safety: what time brings home the pool has paid for before.
"""

import msgspec

from central.database.pool import Pool
from central.rights.issuing import RightsSettings
from central.rights.planner import Planned, plan_step
from central.rights.suspicion import clear_old
from central.rights.write_offs import WrittenOff, freeze, thaw, write_off_due


class Tended(msgspec.Struct, frozen=True, kw_only=True):
    """What one round did."""

    frozen: int
    thawed: int
    cleared: int
    written_off: WrittenOff
    planned: Planned


async def tend(pool: Pool, *, now_ms: int, settings: RightsSettings) -> Tended:
    """Do what is due, in bounded steps of small transactions; several processes may do so."""
    return Tended(
        thawed=await thaw(pool),
        frozen=await freeze(pool, now_ms=now_ms),
        cleared=await clear_old(pool, now_ms=now_ms, settings=settings),
        written_off=await write_off_due(pool, now_ms=now_ms, settings=settings),
        planned=await plan_step(pool, now_ms=now_ms, settings=settings),
    )

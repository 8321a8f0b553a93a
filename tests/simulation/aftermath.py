"""What comes after rest: days in which nobody buys and rights run out (design: sync 5, L2 and L3).

Tills talk, the centre tends; everything that was given has to come home or be written off.
"""

from typing import Any

from central.rights.suspicion import clear_till
from tests.simulation.centre import RIGHTS
from tests.simulation.chronicle import require
from tests.simulation.kernel import DAY_MS
from tests.simulation.stage import HOUR_MS, Stage

_ROUND_HOURS = 6
_TALK_MS = 12 * HOUR_MS
_HOME_MS = 2 * _ROUND_HOURS * HOUR_MS
"""After its end a right is home within two talks: with the first it is sent, or else the next."""
_TENDED_MS = 3 * HOUR_MS
"""After so long at most the centre has looked at what is due: it does so every hour."""
DAYS = RIGHTS.grant_days + RIGHTS.loss_days + 1
"""As long as it takes until the last right that was given before is home or counts as lost."""

_RIGHTS_OUT = """
    select g.grant_id, g.till_id, g.purpose, g.state, g.outstanding, g.not_after_ms,
        t.session_incarnation = g.incarnation as is_live,
        coalesce(g.ask_number > t.session_asks_made, false) as is_ask_forgotten, coalesce((
            select sum(greatest(x.points - x.spent - x.came_home, 0)) from right_transfer x
            where (x.account_id, x.grant_id) = (g.account_id, g.grant_id)), 0)::bigint as elsewhere
    from right_grant g join till t using (till_id)
    where g.outstanding > 0 and g.not_after_ms < $1 order by g.not_after_ms, g.grant_id"""
_TRANSFERS_OUT = """
    select x.transfer_id, x.to_till, x.in_known, x.points - x.spent - x.came_home as points
    from right_transfer x join right_grant g using (account_id, grant_id)
    join till t on t.till_id = x.to_till
    where x.out_known and x.points > x.spent + x.came_home and g.outstanding > 0
        and t.session_incarnation = x.to_incarnation and g.not_after_ms < $1
    order by x.transfer_id"""
_SHARES_OUT = """
    select g.counter, g.till_id, g.outstanding from counter_grant g
    join shared_counter c on c.name = g.counter join till t using (till_id)
    where g.outstanding > 0 and c.ends_on <> '' and c.ends_on < $1
        and t.session_incarnation = g.incarnation order by g.grant_id"""
_QUARANTINED = "select till_id from till where quarantined_at_ms is not null order by till_id"
_DAY_BEFORE_YESTERDAY = "select (day::date - 2)::text from business_day where id = 1"
_FREE = "select free from risk_pool where id = 1"


class Aftermath:
    """Lives through the days after rest, and audits what must have come home by then."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def live_through(self) -> None:
        """Let time pass with nobody at the registers.

        Raises:
            ViolationError: something stays away for ever.
        """
        stage = self._stage
        for till in stage.tills.values():
            till.talk_ms = _TALK_MS
        await self._let_pass(DAYS * 24)
        if await self._look_at_copies():
            await self._let_pass(_HOME_MS // HOUR_MS)
        await stage.auditor.audit()
        await self._rights_are_home()
        await self._transfers_are_home()
        await self._shares_are_home()
        await self._nothing_is_kept_for_lost_rights()
        stage.chronicle.sometimes["lived on until every right was over"] += 1

    async def _let_pass(self, hours: int) -> None:
        kernel = self._stage.kernel
        for _ in range(0, hours, _ROUND_HOURS):
            for till in self._stage.tills.values():
                till.wake()
            await kernel.run(kernel.now_ms + _ROUND_HOURS * HOUR_MS)

    async def _look_at_copies(self) -> bool:
        """Lift quarantines of tills that live in one machine; says whether there were any.

        Nobody had noticed, and the other machine died. Until somebody looks no session of the till
        is verified, so nothing proves what never arrived: a share of a limit stays away.
        """
        rows = await self._rows(_QUARANTINED)
        alone = [row["till_id"] for row in rows if self._talks(row["till_id"])]
        for till_id in alone:
            await clear_till(self._stage.centre.pool, till_id, now_ms=self._now_ms)
        return bool(alone)

    @property
    def _now_ms(self) -> int:
        return self._stage.centre.system.now_ms()

    def _talks(self, till_id: int) -> bool:
        """Say whether a till lives, in one machine, and what it says counts."""
        stage = self._stage
        machines = [each for each in stage.tills.values() if each.number == till_id]
        living = [each for each in machines if each.machine_number not in stage.audited.dead]
        return len(living) == 1 and till_id not in stage.audited.revoked

    async def _rows(self, sql: str, *values: object) -> list[Any]:
        rows: list[Any] = await self._stage.centre.pool.fetch(sql, *values)
        return rows

    async def _rights_out(self, before_ms: int) -> list[Any]:
        """Return rights with points outstanding whose time was over before a moment.

        But for grants by courier for an ask that went with an image, unseen: the till counts its
        asks, and nothing else tells the centre that this one is over (docs/reliability.md).
        """
        rows, restored = await self._rows(_RIGHTS_OUT, before_ms), self._stage.audited.restored
        forgotten = [r for r in rows if r["is_ask_forgotten"] and r["till_id"] in restored]
        self._stage.chronicle.sometimes["grant by courier of a forgotten ask"] += len(forgotten)
        return [row for row in rows if row not in forgotten]

    async def _rights_are_home(self) -> None:
        """The residue of an expired grant is home one talk later (L2)."""
        for row in await self._rights_out(self._now_ms - _HOME_MS):
            if row["purpose"] != "grant" or not row["is_live"] or not self._talks(row["till_id"]):
                continue
            hours = (self._now_ms - row["not_after_ms"]) // HOUR_MS
            require(
                row["outstanding"] <= row["elsewhere"],
                f"till {row['till_id']} talks, and {row['outstanding']} points of right"
                f" {row['grant_id']}, over since {hours} h, are not home ({row['state']})",
            )

    async def _transfers_are_home(self) -> None:
        """What a sibling gave, whether or not it arrived, comes home from a till that talks."""
        for row in await self._rows(_TRANSFERS_OUT, self._now_ms - _HOME_MS):
            require(
                not self._talks(row["to_till"]),
                f"till {row['to_till']} talks, and {row['points']} points of transfer"
                f" {row['transfer_id']} stay {'with it' if row['in_known'] else 'stranded'}",
            )

    async def _shares_are_home(self) -> None:
        """A share of a limit whose period is over everywhere comes home from a till that talks."""
        day = await self._stage.centre.pool.fetchval(_DAY_BEFORE_YESTERDAY)
        for row in await self._rows(_SHARES_OUT, day):
            require(
                not self._talks(row["till_id"]),
                f"till {row['till_id']} talks, and {row['outstanding']} of {row['counter']},"
                " which is over, are not home",
            )

    async def _nothing_is_kept_for_lost_rights(self) -> None:
        """What is not home when it counts as lost is written off, if the pool can pay (L3)."""
        free = await self._stage.centre.pool.fetchval(_FREE)
        lost_ms = self._now_ms - RIGHTS.loss_days * DAY_MS - _TENDED_MS
        for row in await self._rights_out(lost_ms):
            require(
                row["outstanding"] > free,
                f"right {row['grant_id']} of till {row['till_id']} is {row['state']} with"
                f" {row['outstanding']} points, {row['elsewhere']} elsewhere, after its loss time;"
                f" the pool has {free}",
            )

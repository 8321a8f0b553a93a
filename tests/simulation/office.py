"""What people at the centre do to accounts meanwhile: block them, and lift the block again."""

import random

from central.rights.blocking import set_blocked
from tests.simulation.kernel import really, sleep
from tests.simulation.stage import HOUR_MS, Stage


class Office:
    """Blocks accounts for some hours, in the middle of whatever their customers do."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._draws: random.Random = stage.seed_stream("office")

    def schedule(self) -> None:
        """Put on the agenda what the world's faults say."""

        def soon() -> None:
            self._stage.kernel.start(self._block(), "block")

        self._stage.schedule(self._stage.faults.blocks_per_day, soon)

    async def _block(self) -> None:
        stage, draws = self._stage, self._draws
        known = [
            each.account_id
            for each in stage.customers
            if not each.is_late or each.account_id in stage.introduced
        ]
        account_id = draws.choice(known)
        await self._set(account_id, blocked=True)
        await sleep(draws.randint(1, 48) * HOUR_MS)
        if draws.random() < 0.8:
            await self._set(account_id, blocked=False)

    async def _set(self, account_id: int, *, blocked: bool) -> None:
        stage = self._stage
        if stage.is_over:
            return

        async def work() -> None:
            async with stage.centre.pool.acquire() as connection, connection.transaction():
                if await connection.fetchval(_IS_KNOWN, account_id):
                    await set_blocked(connection, account_id, blocked=blocked)

        await really(work())
        stage.chronicle.note(f"account {account_id} {'blocked' if blocked else 'unblocked'}")
        stage.chronicle.sometimes["account blocked"] += blocked


_IS_KNOWN = "select exists (select from account where account_id = $1)"
"""A late customer may be forgotten by a centre that was thrown back."""

"""What tills ask all the time, answered for many at once: who is it, what has a card, keep this.

Whatever a purchase needs of the centre goes through here, so that its share of statements and
commits does not depend on how many tills ask in the same moment (design: stack 4.3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from central.database.doors import others_door, purchases_door
from central.database.gathering import Gathering
from central.database.named_sql import load_queries
from central.database.pool import Pool, connections_max_of
from central.ledger.account_books import columns
from central.streams.durable import Durable
from central.streams.ingest import Pushed, StreamBusyError, ingest_together
from central.system import System
from central.tills.snapshots import Shown, read_spread, read_together
from sync.messages import Push, PushAnswer, SnapshotAnswer

_SQL = load_queries("central.tills", "queries.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Handed:
    """A push.

    Attributes:
        session: which it verifies when it reaches the centre's last record; empty = none.
    """

    pushed: Pushed
    session: bytes


class TillFront:
    """The three questions of a purchase, and the doors of what is not answered together.

    Attributes:
        durable: what makes a record so.
        purchases: the door of what one purchase asks for itself alone.
        others: the door of tills' calls that no purchase waits for.
    """

    def __init__(self, pool: Pool, system: System, durable: Durable = "commit") -> None:
        self.durable: Durable = durable
        connections_max = connections_max_of(pool)
        self.purchases = purchases_door(connections_max)
        self.others = others_door(connections_max)
        self._pool = pool
        self._system = system
        self._tills: Gathering[int, asyncpg.Record | None] = Gathering(self._find)
        self._pushes: Gathering[_Handed, PushAnswer] = Gathering(
            self._keep, size_of=lambda each: sum(map(len, each.pushed.push.records))
        )
        self._is_spread: bool | None = None
        self._cards: Gathering[Shown, SnapshotAnswer] = Gathering(self._tell)

    async def find_till(self, till_id: int) -> asyncpg.Record | None:
        """Return a till's row with its key and session, as it is now.

        Raises:
            OverloadedError: too many ask.
        """
        return await self._tills.ask(till_id)

    async def push(self, till_id: int, push: Push, *, session: bytes) -> PushAnswer:
        """Keep records; on return what is acknowledged is committed.

        Args:
            session: verified by a push that reaches the centre's last record; empty = none is.

        Raises:
            StreamUnknownError: no HELLO announced the stream.
            MalformedMessageError: the batch breaks the limits.
            OverloadedError: too many push.
        """
        handed = _Handed(pushed=Pushed(till_id, push), session=session)
        try:
            return await self._pushes.ask(handed)
        except StreamBusyError:
            # Somebody holds the stream: its till waits, and nobody with it.
            async with self.purchases:
                (answer,) = await self._keep([handed])
            if isinstance(answer, Exception):
                raise answer from None
            return answer

    async def snapshot(
        self, card: bytes, *, till_id: int, incarnation: bytes, programme: str = ""
    ) -> SnapshotAnswer:
        """Return the account behind a card for a till.

        Args:
            programme: of the till's store; a card has an account in each.

        Raises:
            OverloadedError: too many ask.
        """
        return await self._cards.ask(Shown(card, till_id, incarnation, programme))

    async def _find(self, till_ids: Sequence[int]) -> list[asyncpg.Record | None]:
        rows = await self._pool.fetch(_SQL["tills"], till_ids)
        found = {row["till_id"]: row for row in rows}
        return [found.get(till_id) for till_id in till_ids]

    async def _keep(self, handed: Sequence[_Handed]) -> list[PushAnswer | Exception]:
        pushes = [each.pushed for each in handed]
        answers = await ingest_together(self._pool, pushes, self._system, self.durable)
        verified = [
            (each.pushed.till_id, each.session)
            for each, answer in zip(handed, answers, strict=True)
            if each.session and _proves_chain(each.pushed, answer)
        ]
        if verified:
            now_ms = self._system.now_ms()
            rows = sorted(set(verified))
            await self._pool.execute(_SQL["verify_sessions"], *columns(rows), now_ms)
        return answers

    async def _tell(self, shown: Sequence[Shown]) -> list[SnapshotAnswer]:
        if self._is_spread is None:
            self._is_spread = await self._pool.fetchval(_SQL["is_spread"])
        read = read_spread if self._is_spread else read_together
        return await read(self._pool, shown)


def _proves_chain(pushed: Pushed, answer: PushAnswer | Exception) -> bool:
    return (
        not isinstance(answer, Exception)
        and answer.verdict == "ack"
        and pushed.last == answer.last_seq
    )

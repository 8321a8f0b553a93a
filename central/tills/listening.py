"""Hears from the database for whom there is news, whichever process or command made it.

What is urgent (points asked back, a blocked account, a revoked till, new rules) notifies the
channel when it is committed; a payload is `till:NUMBER`, `store:NAME` or `rules`. It is rare, so
that the lock that notifying takes is in nobody's way; all else a pull brings when its time is over.
"""

import asyncio
from contextlib import suppress

import asyncpg
import structlog

from central.database.pool import Connection, Pool
from central.rules.directory import RuleDirectory
from central.tills.waiting import RULES, WaitingRoom

log = structlog.get_logger()

CHANNEL = "tillside_wake"
_ALIVE_S = 30.0
_TOLD_S = 2.0
"""While tills are being told of rules, that is written down so often, many at a time."""
_AGAIN_S = 2.0
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_CONNECTIONS_MIN = 3
"""Of a smaller pool none is taken for listening: tills then pull at their own pace."""


def hear(room: WaitingRoom, payload: str) -> None:
    """Wake whom a notification is about; one of a later release wakes nobody."""
    kind, _, name = payload.partition(":")
    if kind == "till" and name.isdecimal():
        room.wake(int(name))
    elif kind == "store":
        room.wake_store(name)


async def listen_for_ever(pool: Pool, room: WaitingRoom, directory: RuleDirectory) -> None:
    """Keep one connection that listens; while there is none, no pull waits. Until cancelled."""
    if pool.get_max_size() < _CONNECTIONS_MIN:
        return
    while True:
        try:
            async with pool.acquire() as connection:
                await _listen(connection, room, directory)
        except _LOST as error:
            log.warning("listening_waits", why=repr(error))
        except Exception:
            # Without a listener no pull is held any more: whatever it was, try again.
            log.exception("listening_failed")
        finally:
            room.close()
        await asyncio.sleep(_AGAIN_S)


async def _listen(connection: Connection, room: WaitingRoom, directory: RuleDirectory) -> None:
    rules = asyncio.Event()

    def heard(_: object, __: int, ___: str, payload: object) -> None:
        if payload == RULES:
            rules.set()
        hear(room, str(payload))

    pause_s = _ALIVE_S
    try:
        await connection.add_listener(CHANNEL, heard)
        await directory.refresh(connection, anew=True)
        room.open()
        woken_for = directory.number
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await rules.wait()
            rules.clear()
            # Also proves that the connection is alive; tills are told from memory.
            await directory.refresh(connection)
            heard_of = await directory.hear_others(connection)
            for till_id in heard_of:
                room.wake(till_id, RULES)
            # Whoever has read the change first: a pull or a HELLO wakes nobody else.
            has_changed = directory.number != woken_for
            if has_changed:
                woken_for = directory.number
                room.wake_all(RULES)
            were_told = await directory.note_told(connection)
            pause_s = _TOLD_S if has_changed or heard_of or were_told else _ALIVE_S
    finally:
        # No statement: on a silent connection its error would stand in for the cancellation that
        # ends this.
        with suppress(asyncpg.InterfaceError):  # where it is lost already
            connection.terminate()  # and with it ends what it listens to

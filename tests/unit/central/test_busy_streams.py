"""A stream that somebody holds keeps its own till waiting and nobody else's."""

import asyncio

from central.streams.ingest import Pushed, StreamBusyError, StreamUnknownError, ingest_together
from sync.messages import Push
from tests.support.centre import JoinedCentre

WAIT_S = 20


async def test_pushes_together_do_not_wait_for_a_stream_that_is_held(centre: JoinedCentre) -> None:
    held, free, strange = [await centre.till() for _ in range(3)]
    pushes = [Pushed(till.till_id, till.push_message()) for till in (held, free)]
    unknown = Push(
        incarnation=b"nobody's", from_seq=1, previous_hash=b"\0" * 32, records=(b"{}",)
    )  # fmt: skip
    pushes.append(Pushed(strange.till_id, unknown))
    async with centre.pool.acquire() as other, other.transaction():
        await other.execute("select 1 from till_stream where till_id = $1 for update", held.till_id)
        answers = await asyncio.wait_for(
            ingest_together(centre.pool, pushes, centre.system), WAIT_S
        )
        assert isinstance(answers[0], StreamBusyError)
        assert not isinstance(answers[1], Exception)
        assert answers[1].last_seq == 1
        assert isinstance(answers[2], StreamUnknownError)
        # Over the wire it waits by itself, and is kept when the stream is free.
        pushing = asyncio.create_task(held.push())
        await centre.pool.execute("select pg_sleep(0.05)")
        assert not pushing.done()
    assert (await asyncio.wait_for(pushing, WAIT_S)).verdict == "ack"

"""Events to NATS JetStream: a stream keeps them, and drops what comes twice within its window."""

import asyncio
from collections.abc import Sequence
from typing import Final

from nats.aio.client import Client
from nats.errors import MaxPayloadError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from central.outreach.events import CONTENT_TYPE, StoredEvent
from central.outreach.port import TAKEN, Answer, SinkUnavailableError, each_answer, leave

_ANSWER_S: Final = 5.0
_TOO_LARGE: Final = 10_054
"""JetStream's number for a message above the stream's limit."""
_OTHER_STREAM: Final = 10_060
"""JetStream's number for a message that another stream than the one it was meant for caught."""


class NatsSink:
    """A JetStream stream; subjects are `<subject>.<type>`."""

    def __init__(self, servers: Sequence[str], *, stream: str, subject: str) -> None:
        self._servers = list(servers)
        self._stream = stream
        self._subject = subject
        self._client: Client | None = None
        self._jetstream: JetStreamContext | None = None

    async def publish(self, events: Sequence[StoredEvent]) -> list[Answer]:
        """Publish, all in flight at once, each under its id; see the port."""
        try:
            jetstream = await self._opened()
            answers = await each_answer(self._publish_one(jetstream, each) for each in events)
        except Exception as error:
            await self.close()
            raise SinkUnavailableError(repr(error)) from error
        if any(answer.waits for answer in answers):
            await self.close()
        return answers

    async def _publish_one(self, jetstream: JetStreamContext, event: StoredEvent) -> Answer:
        try:
            await jetstream.publish(
                f"{self._subject}.{event.type}",
                event.encode(),
                timeout=_ANSWER_S,
                stream=self._stream,
                headers={"Nats-Msg-Id": event.id, "Content-Type": CONTENT_TYPE},
            )
        except MaxPayloadError:
            return Answer(refused="larger than the server takes")
        except NoStreamResponseError:
            # Raises where the stream itself is gone: then this waits, and it is made anew.
            await jetstream.stream_info(self._stream)
            return Answer(refused="the stream does not keep this subject")
        except APIError as error:
            if error.err_code == _TOO_LARGE:
                return Answer(refused=f"larger than the stream takes: {error.description}")
            if error.err_code == _OTHER_STREAM:
                return Answer(refused=f"another stream keeps this subject: {error.description}")
            raise
        return TAKEN

    async def _opened(self) -> JetStreamContext:
        if self._jetstream is not None:
            return self._jetstream
        client = self._client = Client()
        # One try: the relay waits and tries again, and no error of a client's own loop is lost.
        # The client would look for a server that is there for two minutes.
        async with asyncio.timeout(_ANSWER_S):
            await client.connect(
                servers=self._servers, connect_timeout=5, allow_reconnect=False, error_cb=_quiet
            )
        jetstream = client.jetstream(timeout=_ANSWER_S)
        try:
            await jetstream.stream_info(self._stream)
        except NotFoundError:
            await jetstream.add_stream(
                StreamConfig(name=self._stream, subjects=[f"{self._subject}.>"])
            )
        self._jetstream = jetstream
        return jetstream

    async def close(self) -> None:
        """Leave the server; the next call comes back."""
        client, self._client, self._jetstream = self._client, None, None
        if client is not None and not client.is_closed:
            await leave(client.close())


async def _quiet(_: Exception) -> None:
    """Leave an error of the connection to whoever waits for an answer over it."""

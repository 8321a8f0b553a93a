"""Events to Kafka: one topic, the event's key decides the partition, so a key stays in order."""

from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from central.outreach.events import CONTENT_TYPE, StoredEvent
from central.outreach.port import TAKEN, Answer, SinkUnavailableError, each_answer, leave

_ANSWER_MS = 10_000


class KafkaSink:
    """A topic; an event is there when all replicas in sync have it."""

    def __init__(self, servers: str, *, topic: str, is_idempotent: bool = True) -> None:
        self._servers = servers
        self._topic = topic
        self._is_idempotent = is_idempotent
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, events: Sequence[StoredEvent]) -> list[Answer]:
        """Send, all in flight at once; see the port."""
        try:
            producer = await self._opened()
            answers = await each_answer(self._publish_one(producer, each) for each in events)
        except Exception as error:
            await self.close()
            raise SinkUnavailableError(repr(error)) from error
        if any(answer.waits for answer in answers):
            await self.close()
        return answers

    async def _publish_one(self, producer: AIOKafkaProducer, event: StoredEvent) -> Answer:
        try:
            await producer.send_and_wait(
                self._topic,
                event.encode(),
                key=event.key.encode(),
                headers=[
                    ("content-type", CONTENT_TYPE.encode()),
                    ("ce_id", event.id.encode()),
                    ("ce_type", event.full_type.encode()),
                ],
            )
        except MessageSizeTooLargeError as error:
            return Answer(refused=f"larger than the broker takes: {error}")
        return TAKEN

    async def _opened(self) -> AIOKafkaProducer:
        if self._producer is not None:
            return self._producer
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            acks="all",
            enable_idempotence=self._is_idempotent,
            request_timeout_ms=_ANSWER_MS,
        )
        try:
            await producer.start()
        except BaseException:
            await leave(producer.stop())
            raise
        self._producer = producer
        return producer

    async def close(self) -> None:
        """Leave the cluster; the next call comes back."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await leave(producer.stop())

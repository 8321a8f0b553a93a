"""Events to RabbitMQ: a durable topic exchange; the event's type is the routing key."""

from collections.abc import Sequence

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractExchange
from aio_pika.exceptions import DeliveryError, PublishError

from central.outreach.events import CONTENT_TYPE, StoredEvent
from central.outreach.port import TAKEN, Answer, SinkUnavailableError, each_answer, leave

_ANSWER_S = 10.0


class RabbitSink:
    """An exchange whose broker confirms each message.

    A message that no queue takes comes back: that event is refused, and others go on.
    """

    def __init__(self, url: str, *, exchange: str) -> None:
        self._url = url
        self._name = exchange
        self._connection: AbstractConnection | None = None
        self._exchange: AbstractExchange | None = None

    async def publish(self, events: Sequence[StoredEvent]) -> list[Answer]:
        """Publish, all in flight at once; see the port."""
        try:
            exchange = await self._opened()
            answers = await each_answer(self._publish_one(exchange, each) for each in events)
        except Exception as error:
            # The library raises more than it says: a channel that ends while it is opened.
            await self.close()
            raise SinkUnavailableError(repr(error)) from error
        if any(answer.waits for answer in answers):
            await self.close()
        return answers

    async def _publish_one(self, exchange: AbstractExchange, event: StoredEvent) -> Answer:
        message = aio_pika.Message(
            event.encode(),
            content_type=CONTENT_TYPE,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=event.id,
            type=event.full_type,
            headers={"key": event.key},
        )
        try:
            await exchange.publish(message, event.type, mandatory=True, timeout=_ANSWER_S)
        except PublishError:
            return Answer(refused="no queue is bound to the exchange for this type")
        except DeliveryError:
            return Answer(waits="the broker has no room")
        return TAKEN

    async def _opened(self) -> AbstractExchange:
        if self._exchange is not None:
            return self._exchange
        connection = await aio_pika.connect(self._url, timeout=_ANSWER_S)
        self._connection = connection
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        self._exchange = await channel.declare_exchange(
            self._name, aio_pika.ExchangeType.TOPIC, durable=True
        )
        return self._exchange

    async def close(self) -> None:
        """Leave the broker; the next call comes back."""
        connection, self._connection, self._exchange = self._connection, None, None
        if connection is not None:
            await leave(connection.close())

"""Events to RabbitMQ: a durable topic exchange; the event's type is the routing key."""

import asyncio
from collections.abc import Sequence

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractExchange
from aio_pika.exceptions import AMQPError, DeliveryError, PublishError

from central.outreach.events import CONTENT_TYPE, StoredEvent
from central.outreach.port import SinkUnavailableError

_ANSWER_S = 10.0


class RabbitSink:
    """An exchange whose broker confirms each message.

    A message that no queue takes comes back, and is published again until somebody has bound one:
    nobody loses events by binding late.
    """

    def __init__(self, url: str, *, exchange: str) -> None:
        self._url = url
        self._name = exchange
        self._connection: AbstractConnection | None = None
        self._exchange: AbstractExchange | None = None

    async def publish(self, events: Sequence[StoredEvent]) -> list[str]:
        """Publish, all in flight at once; see the port."""
        try:
            exchange = await self._opened()
            answers = await asyncio.gather(
                *(self._publish_one(exchange, each) for each in events), return_exceptions=True
            )
        except (AMQPError, OSError, TimeoutError) as error:
            await self.close()
            raise SinkUnavailableError(repr(error)) from error
        for answer in answers:
            if isinstance(answer, BaseException):
                await self.close()
                raise SinkUnavailableError(_why(answer)) from answer
        return ["" for _ in events]

    async def _publish_one(self, exchange: AbstractExchange, event: StoredEvent) -> None:
        message = aio_pika.Message(
            event.encode(),
            content_type=CONTENT_TYPE,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=event.id,
            type=event.full_type,
            headers={"key": event.key},
        )
        await exchange.publish(message, event.type, mandatory=True, timeout=_ANSWER_S)

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
            await connection.close()


def _why(error: BaseException) -> str:
    if isinstance(error, PublishError):
        return "no queue is bound to the exchange for this type"
    if isinstance(error, DeliveryError):
        return "the broker has no room"
    return repr(error)

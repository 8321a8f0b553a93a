"""Every broker's adapter keeps the same promises, shown on the real server where there is one."""

import json
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import nats
import pytest
import pytest_asyncio
from nats.js.api import StreamConfig

from bench.demo.rig import free_port
from central.errors import ConfigurationError
from central.outreach.events import StoredEvent
from central.outreach.opening import open_sink
from central.outreach.port import TAKEN, EventSink, SinkUnavailableError
from tests.support.brokers import Broker, KafkaBroker, NatsBroker, RabbitBroker

BROKERS: dict[str, type[NatsBroker | KafkaBroker | RabbitBroker]] = {
    "nats": NatsBroker,
    "kafka": KafkaBroker,
    "rabbitmq": RabbitBroker,
}


@pytest.fixture(scope="module", params=BROKERS)
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    """Give a running broker of each kind."""
    kind = BROKERS[request.param]
    if why_not := kind.why_not():
        pytest.skip(why_not)
    folder = tmp_path_factory.mktemp(request.param)
    found = kind(folder, free_port())
    found.start()
    yield found
    found.stop()
    shutil.rmtree(folder)


@pytest.fixture
def place() -> str:
    """Give the name of a place that no other test uses."""
    return f"t{uuid4().hex[:12]}"


@pytest_asyncio.fixture
async def sink(broker: Broker, place: str) -> AsyncIterator[EventSink]:
    """Give the adapter for the broker, at a place somebody listens at."""
    await broker.prepare(place)
    found = open_sink(broker.address(place))
    yield found
    await found.close()


def event(number: int, *, key: str = "", data: str = "") -> StoredEvent:
    """Return an event, each of another key if none is given."""
    return StoredEvent(
        event_id=number,
        id=str(uuid.UUID(int=number)),
        key=key or f"account/{number}",
        type="points.redeemed.v1",
        data=data or json.dumps({"account": 7, "receipt": "s1", "points": number}),
        at_ms=1_741_176_000_123,
    )


async def is_held_up(sink: EventSink, one: StoredEvent) -> bool:
    """Publish; say whether the broker is said to be away, of everything or of this one."""
    try:
        (answer,) = await sink.publish([one])
    except SinkUnavailableError:
        return True
    return bool(answer.waits)


async def test_what_is_published_arrives_whole_under_its_id(
    broker: Broker, sink: EventSink, place: str
) -> None:
    assert await sink.publish([event(number) for number in range(1, 51)]) == [TAKEN] * 50
    received = await broker.read(place, 50)
    assert {each.id for each in received} == {str(uuid.UUID(int=n)) for n in range(1, 51)}
    (one,) = [each for each in received if each.event["sequence"] == "7"]
    assert one.event == {
        "specversion": "1.0",
        "id": one.id,
        "source": "/tillside/centre",
        "type": "tillside.points.redeemed.v1",
        "subject": "account/7",
        "time": "2025-03-05T12:00:00.123Z",
        "datacontenttype": "application/json",
        "partitionkey": "account/7",
        "sequence": "7",
        "data": {"account": 7, "receipt": "s1", "points": 7},
    }


async def test_what_was_confirmed_before_comes_before(
    broker: Broker, sink: EventSink, place: str
) -> None:
    for number in range(1, 31, 3):
        batch = [event(number + n, key=f"account/{n}") for n in range(3)]
        assert await sink.publish(batch) == [TAKEN] * 3
    received = await broker.read(place, 30)
    for n in range(3):
        told = [
            int(each.event["sequence"])
            for each in received
            if each.event["subject"] == f"account/{n}"
        ]
        assert told == list(range(1 + n, 31, 3))


async def test_published_again_it_has_the_same_id(
    broker: Broker, sink: EventSink, place: str
) -> None:
    for _ in range(2):
        assert await sink.publish([event(1)]) == [TAKEN]
    await sink.publish([event(2)])
    received = await broker.read(place, 2 if broker.drops_repeats else 3)
    told = [each.id for each in received]
    assert [*dict.fromkeys(told)] == [event(1).id, event(2).id]
    assert len(told) == (2 if broker.drops_repeats else 3)


async def test_a_broker_that_is_away_says_so_and_goes_on_when_it_is_back(
    broker: Broker, sink: EventSink, place: str
) -> None:
    assert await sink.publish([event(1)]) == [TAKEN]
    broker.stop()
    try:
        for _ in range(2):
            assert await is_held_up(sink, event(2))
    finally:
        broker.start()
    if not broker.has_disk:
        await broker.prepare(place)
    assert await sink.publish([event(2), event(3)]) == [TAKEN, TAKEN]
    kept = [1, 2, 3] if broker.has_disk else [2, 3]
    received = await broker.read(place, len(kept))
    assert sorted(int(each.event["sequence"]) for each in received) == kept


@pytest.mark.parametrize("address", ["", "redis://localhost", "nats://h?streem=x"])
def test_an_address_that_means_no_broker_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="events: "):
        open_sink(address)


async def test_an_event_larger_than_the_broker_takes_is_refused_alone(tmp_path: Path) -> None:
    """Only NATS and Kafka have a bound an event could break."""
    if why_not := NatsBroker.why_not():
        pytest.skip(why_not)
    broker = NatsBroker(tmp_path, free_port())
    broker.start()
    sink = open_sink(broker.address("large"))
    try:
        large = event(2, data=json.dumps({"text": "x" * 2_000_000}))
        one, two, three = await sink.publish([event(1), large, event(3)])
        assert (one, three) == (TAKEN, TAKEN)
        assert "larger" in two.refused
        received = await broker.read("large", 2)
        assert sorted(int(each.event["sequence"]) for each in received) == [1, 3]
    finally:
        await sink.close()
        broker.stop()


async def test_a_type_that_no_queue_takes_is_refused_alone(tmp_path: Path) -> None:
    if why_not := RabbitBroker.why_not():
        pytest.skip(why_not)
    broker = RabbitBroker(tmp_path, free_port())
    broker.start()
    sink = open_sink(broker.address("some"))
    try:
        (nobody,) = await sink.publish([event(1)])
        assert "no queue is bound" in nobody.refused
        await broker.prepare("some", "points.#")
        one, two, three = await sink.publish(
            [event(1), replace(event(2), type="receipt.posted.v1"), event(3)]
        )
        assert (one, three) == (TAKEN, TAKEN)
        assert "no queue is bound" in two.refused
        received = await broker.read("some", 2)
        assert sorted(int(each.event["sequence"]) for each in received) == [1, 3]
    finally:
        await sink.close()
        broker.stop()


async def test_a_type_that_the_stream_does_not_keep_is_refused_alone(tmp_path: Path) -> None:
    if why_not := NatsBroker.why_not():
        pytest.skip(why_not)
    broker = NatsBroker(tmp_path, free_port())
    broker.start()
    client = await nats.connect(f"nats://127.0.0.1:{broker.port}")
    stream = StreamConfig(name="some", subjects=["some.points.>"])
    await client.jetstream().add_stream(stream)
    sink = open_sink(broker.address("some"))
    try:
        one, two = await sink.publish([event(1), replace(event(2), type="receipt.posted.v1")])
        assert one == TAKEN
        assert "does not keep" in two.refused
        # Without the stream nothing is refused: it is made anew.
        await client.jetstream().delete_stream("some")
        (gone,) = await sink.publish([event(3)])
        assert gone.waits
        assert await sink.publish([event(3)]) == [TAKEN]
    finally:
        await client.close()
        await sink.close()
        broker.stop()

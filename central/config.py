"""The centre's settings: command-line options first, then the environment, then defaults.

A setting's variable is `TILLSIDE_CENTRAL_<NAME>`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import msgspec

from central.alerts.mail import MailSettings, read_password
from central.errors import ConfigurationError
from central.people.birthdays import DAYS_DEFAULT
from central.rights.issuing import RightsSettings
from central.streams.durable import Durable

PREFIX = "TILLSIDE_CENTRAL_"
_PORT_MAX = 65535
_BIRTHDAY_DAYS_MAX = 180
_HOLD_S_MAX = 3600
_NATS = ("nats", "tls")
"""Schemes of addresses whose user without a password is a token."""


class CentralConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting with its default.

    Attributes:
        data: folder of keys and, without a database address, of the embedded PostgreSQL.
        database: PostgreSQL address; empty starts an embedded one in the data folder.
        host, port: where the API is served; port 0 takes a free one.
        grant_points_max: the most set aside of one account for its home store.
        grant_points_min: fewer stay at the centre until they are as many.
        risk_points_per_till: unsettled overdraft budget of one till; 0 = none ever.
        till_points_max: the most one till may hold in grants.
        offline_points_max: the most a till may spend between two conversations' beginnings.
        loss_days: so long after its end a right of a silent till is written off.
        exposure_days: so long without a word of a till an operator may not close its exposures.
        birthday_days: a birthday window reaches so far before and after the birthday.
        recall_wait_ms: how long an authorisation waits for points that another till is asked for.
        counter_parts: of what is left of a limit over all customers each till gets one part in
            advance: left / (tills x parts).
        counter_amount_min: the least such part of money or points.
        hold_s: the longest a till's pull waits for news, seconds; 0 = none waits. Whatever stands
            between tills and centre has to let a request be silent for so long.
        connections_max: to the database, for the tills' traffic; beside it those for apps, for the
            back office, and for posting what arrived.
        metrics_host, metrics_port: where metrics, readiness and the status page are, never where
            tills and apps come; port 0 = metrics and page are nowhere.
        mail_server, mail_from, mail_to: what mails about incidents go through, and to whom,
            separated by commas; without a server there are none.
        mail_user, mail_password_file: the account at the server, and the file with its password.
        mail_authorities_file: certificates the server's is checked by; empty = the system's.
        mail_language: of the mails.
        alert_repeat_min: an incident that goes on is told again after so long; 0 = never.
        personal_key_file: with the keys people's data are sealed with; empty = in the data folder.
        events: address of the broker that events go to (`central.outreach.opening`); empty = none.
        people: whether a front serves people's data; a front that tills and apps reach need not
            have the key to them.
        database_file: with the address in it, which may hold a password; in place of `database`.
        till_requests_per_s: of one till; five seconds' worth may come at once. 0 = no bound.
        tls_certificate, tls_key: files, PEM; none = plain HTTP, for a proxy that ends TLS.
        tls_client_authorities: who has to have signed the certificates of clients; none = clients
            need none.
        role: which part of the centre the process is (`central.roles`).
        durable: what makes a record so, that tills may forget it two weeks later: its commit, or a
            tried backup that holds it (`central.streams.durable`); the same at every process.
    """

    data: str
    database: str = ""
    host: str = "127.0.0.1"
    port: int = 7700
    connections_max: int = 8
    grant_points_max: int = 500
    grant_points_min: int = 25
    risk_points_per_till: int = 500
    grant_days: int = 14
    till_points_max: int = 5_000_000
    offline_points_max: int = 20_000
    loss_days: int = 14
    exposure_days: int = 400
    birthday_days: int = DAYS_DEFAULT
    recall_wait_ms: int = 500
    counter_parts: int = 4
    counter_amount_min: int = 1_000
    hold_s: int = 540
    app_connections_max: int = 4
    office_connections_max: int = 3
    processing_connections_max: int = 4
    personal_connections_max: int = 2
    outreach_connections_max: int = 3
    personal_key_file: str = ""
    people: Literal["on", "off"] = "on"
    database_file: str = ""
    till_requests_per_s: int = 100
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_authorities: str = ""
    tls_min: Literal["1.2", "1.3"] = "1.2"
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    mail_server: str = ""
    mail_from: str = ""
    mail_to: str = ""
    mail_user: str = ""
    mail_password_file: str = ""
    mail_authorities_file: str = ""
    mail_language: Literal["en", "ru"] = "en"
    alert_repeat_min: int = 240
    events: str = ""
    role: Literal["all", "front", "processing", "outreach"] = "all"
    durable: Durable = "commit"

    def __post_init__(self) -> None:
        if not (0 <= self.port <= _PORT_MAX and 0 <= self.metrics_port <= _PORT_MAX):
            raise ValueError(f"port and metrics_port must be 0 to {_PORT_MAX}")
        if (
            min(
                self.grant_points_max, self.grant_points_min - 1, self.risk_points_per_till,
                self.till_points_max, self.offline_points_max, self.loss_days, self.exposure_days,
                self.recall_wait_ms, self.alert_repeat_min,
            ) < 0
            or min(
                self.grant_days, self.connections_max, self.app_connections_max,
                self.office_connections_max, self.processing_connections_max,
                self.personal_connections_max, self.outreach_connections_max,
            ) < 1
        ):  # fmt: skip
            raise ValueError("bounds must not be negative; grant_days and connections at least 1")
        if min(self.counter_parts, self.counter_amount_min) < 1:
            raise ValueError("counter_parts and counter_amount_min must be at least 1")
        if self.till_requests_per_s < 0:
            raise ValueError("till_requests_per_s must not be negative")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key go together")
        if self.tls_client_authorities and not self.tls_certificate:
            raise ValueError("tls_client_authorities needs tls_certificate and tls_key")
        if not 0 <= self.hold_s <= _HOLD_S_MAX:
            raise ValueError(f"hold_s must be 0 to {_HOLD_S_MAX}")
        if not 0 <= self.birthday_days <= _BIRTHDAY_DAYS_MAX:
            raise ValueError(f"birthday_days must be 0 to {_BIRTHDAY_DAYS_MAX}")

    def rights(self) -> RightsSettings:
        """Return the part the rights desk needs."""
        return RightsSettings(
            grant_points_max=self.grant_points_max,
            grant_points_min=self.grant_points_min,
            risk_points_per_till=self.risk_points_per_till,
            grant_days=self.grant_days,
            till_points_max=self.till_points_max,
            offline_points_max=self.offline_points_max,
            loss_days=self.loss_days,
            exposure_days=self.exposure_days,
            recall_wait_ms=self.recall_wait_ms,
            counter_parts=self.counter_parts,
            counter_amount_min=self.counter_amount_min,
        )

    def mail(self) -> MailSettings | None:
        """Return how mails leave; None where no server is set.

        Raises:
            ConfigurationError: the server, an address or the password's file cannot be used.
        """
        if not self.mail_server:
            return None
        return MailSettings(
            server=self.mail_server,
            sender=self.mail_from,
            recipients=tuple(each.strip() for each in self.mail_to.split(",") if each.strip()),
            user=self.mail_user,
            password=read_password(self.mail_password_file),
            authorities_file=self.mail_authorities_file,
        )

    @property
    def folder(self) -> Path:
        """The data folder."""
        return Path(self.data)


def make_config(options: Mapping[str, object], environment: Mapping[str, str]) -> CentralConfig:
    """Join options and environment.

    Raises:
        ConfigurationError: a value is wrong; the message names it.
    """
    values: dict[str, object] = {}
    for name in CentralConfig.__struct_fields__:
        if (text := environment.get(PREFIX + name.upper())) is not None:
            values[name] = text
        if options.get(name) is not None:
            values[name] = _without_secret(name, str(options[name]))
    if (file := values.get("database_file")) and not values.get("database"):
        values["database"] = _read_address(Path(str(file)))
    try:
        return msgspec.convert(values, CentralConfig, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigurationError(f"setting wrong: {error}") from error


def _without_secret(name: str, given: str) -> str:
    """Return what an argument says, which is no address with a secret in it."""
    scheme, _, address = given.partition("://")
    user = address.rpartition("@")[0]
    is_token = bool(user) and scheme in _NATS
    if ":" in user or is_token or "password=" in unquote(address.partition("?")[2]):
        variable = PREFIX + name.upper()
        or_file = f" or in a file named by {variable}_FILE" if name == "database" else ""
        raise ConfigurationError(
            "arguments are seen by everybody on the machine: give an address with a password in"
            f" {variable}{or_file}"
        )
    return given


def _read_address(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the database's address cannot be read: {error}") from error

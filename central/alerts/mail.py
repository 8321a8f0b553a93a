"""Mails over SMTP: where to, in what form, and what the server says to it."""

import asyncio
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from central.errors import CentralError, ConfigurationError

_PORTS: Final = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_ANSWER_S_MAX: Final = 20.0
_DOMAIN_DEFAULT: Final = "tillside.invalid"


class MailError(CentralError):
    """The mail server did not take a mail: look at its address, the account and its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """How mails leave.

    Attributes:
        server: `smtp://host:25`, `smtp+starttls://host:587` or `smtps://host:465`.
        sender, recipients: addresses.
        user, password: of the server's account; empty = none.
        authorities_file: with the certificates the server's is checked by; empty = the system's.
    """

    server: str
    sender: str
    recipients: tuple[str, ...]
    user: str = ""
    password: str = ""
    authorities_file: str = ""

    def __post_init__(self) -> None:
        if self._parts[0] not in _PORTS or not self._parts[1]:
            raise ConfigurationError(
                "mail_server has to look like smtp://host:25, smtp+starttls://host:587 or"
                " smtps://host:465",
            )
        for address in (self.sender, *self.recipients):
            if not _is_address(address):
                raise ConfigurationError(f"mail_from or mail_to: {address!r} is no address")
        if not self.recipients:
            raise ConfigurationError("mail_to names nobody")

    @property
    def _parts(self) -> tuple[str, str, int]:
        try:
            parts = urlsplit(self.server)
            return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            return "", "", 0

    @property
    def domain(self) -> str:
        """The sender's domain, for the names of mails."""
        return self.sender.rpartition("@")[2] or _DOMAIN_DEFAULT

    def connect(self) -> smtplib.SMTP:
        """Connect and sign in; blocks.

        Raises:
            OSError: nobody answers, or TLS fails.
            smtplib.SMTPException: the server refuses.
        """
        scheme, host, port = self._parts
        server: smtplib.SMTP
        if scheme == "smtps":
            server = smtplib.SMTP_SSL(host, port, timeout=_ANSWER_S_MAX, context=self._tls())
        else:
            server = smtplib.SMTP(host, port, timeout=_ANSWER_S_MAX)
            try:
                if scheme == "smtp+starttls":
                    server.starttls(context=self._tls())
            except BaseException:
                server.close()
                raise
        try:
            if self.user:
                server.login(self.user, self.password)
        except BaseException:
            server.close()
            raise
        return server

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authorities_file or None)


def _is_address(text: str) -> bool:
    name, _, domain = text.partition("@")
    return bool(name and domain) and text.isprintable() and not set(name + domain) & set(' <>,;"@')


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail to be sent.

    Attributes:
        name: unique, the same at each attempt: whoever reads it twice sees it once.
        thread: name of the first mail of the same matter; empty for that one.
        at_ms: its date.
    """

    name: str
    subject: str
    body: str
    at_ms: int
    thread: str = ""


def message_of(settings: MailSettings, letter: Letter) -> EmailMessage:
    """Return a mail as it travels."""
    message = EmailMessage()
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.recipients)
    message["Subject"] = letter.subject
    message["Date"] = formatdate(letter.at_ms / 1000)
    message["Message-ID"] = f"<{letter.name}@{settings.domain}>"
    if letter.thread:
        message["In-Reply-To"] = message["References"] = f"<{letter.thread}@{settings.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # nobody's absence notice answers it
    message.set_content(letter.body)
    return message


async def send(settings: MailSettings, letter: Letter) -> None:
    """Hand a mail to the server.

    Raises:
        MailError: it was not taken for all recipients, with what the server said.
    """
    await asyncio.to_thread(_send, settings, letter)


def _send(settings: MailSettings, letter: Letter) -> None:
    try:
        with settings.connect() as server:
            refused = server.send_message(message_of(settings, letter))
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise MailError(_said(error)) from error
    if refused:
        raise MailError(f"refused for {', '.join(sorted(refused))}")


def _said(error: Exception) -> str:
    """Return what went wrong; never the password, which no answer of a server holds."""
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        return f"the mail server answers {error.smtp_code}: {text}"[:200]
    return f"the mail server: {str(error) or type(error).__name__}"[:200]


def read_password(file: str) -> str:
    """Return a password out of a file, without the end of its line.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    if not file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"mail_password_file: {file} cannot be read") from error

"""A real mail server on loopback that keeps what it takes, and refuses when told to."""

import datetime as dt
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.demo.rig import free_port

USER, PASSWORD = "tillside", "correct horse"
NAME = "localhost"


@dataclass  # without slots: Python 3.11.2 cannot inspect one that has them, as aiosmtpd does
class Letters:
    """What a server took.

    Attributes:
        refusal: what it says instead of taking a mail.
    """

    port: int = 0
    taken: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    refusal: str = ""

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.refusal:
            return self.refusal
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.taken.append(message)
        self.recipients.append([str(each) for each in envelope.rcpt_tos])
        return "250 taken"

    @property
    def subjects(self) -> list[str]:
        return [str(each["Subject"]) for each in self.taken]


@contextmanager
def mail_server(
    *, certificate: Path | None = None, starttls: bool = False, needs_login: bool = False
) -> Iterator[Letters]:
    """Serve mail until the block ends.

    Args:
        certificate: a file with key and certificate: it speaks TLS, from the first byte unless
            `starttls`.
    """
    letters = Letters(port=free_port())
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    controller = Controller(
        letters,
        hostname="127.0.0.1",
        port=letters.port,
        server_hostname=NAME,
        ready_timeout=60.0,
        ssl_context=None if starttls else context,
        tls_context=context if starttls else None,
        require_starttls=starttls,
        auth_required=needs_login,
        auth_require_tls=certificate is not None and starttls,
        authenticator=_authenticate,
    )
    controller.start()
    try:
        yield letters
    finally:
        controller.stop()


def _authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
) -> AuthResult:
    given = isinstance(data, LoginPassword) and (data.login, data.password)
    return AuthResult(success=given == (USER.encode(), PASSWORD.encode()))


def certificate_file(folder: Path) -> Path:
    """Write a key with a certificate for `localhost` that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "mail.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file

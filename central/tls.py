"""TLS of a front that ends it by itself; a proxy before it may do so as well.

A renewed certificate is taken while the centre serves; other authorities of clients from the next
start on, because one that was taken off the list would stay in force. Clients may be asked for one
of their own: beside the signature of each request, not in its place.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn

from central.config import CentralConfig
from central.errors import ConfigurationError

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOK_S: Final = 60.0
_STRICT: Final = (b"strict-transport-security", b"max-age=31536000")
_TILLS: Final = "/v1/till/"
_LEAST: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class StrictTransport:
    """Tells browsers to come by TLS alone from now on; tills are spared the bytes."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["path"].startswith(_TILLS):
            await self._app(scope, receive, send)
            return

        async def strict(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), _STRICT]
            await send(message)

        await self._app(scope, receive, strict)


def with_tls(settings: uvicorn.Config, config: CentralConfig) -> uvicorn.Config:
    """Return a server's settings with TLS, where it is configured.

    Raises:
        ConfigurationError: a file is missing, cannot be read or does not fit.
    """
    if not config.tls_certificate:
        return settings
    settings.ssl_certfile = config.tls_certificate
    settings.ssl_keyfile = config.tls_key
    if config.tls_client_authorities:
        settings.ssl_ca_certs = config.tls_client_authorities
        settings.ssl_cert_reqs = ssl.CERT_REQUIRED
    try:
        settings.load()
    except OSError as error:  # TLS's own errors are of this kind
        files = ", ".join(map(str, _files(config)))
        raise ConfigurationError(f"TLS cannot be set up with {files}: {error}") from error
    assert settings.ssl is not None
    settings.ssl.minimum_version = _LEAST[config.tls_min]
    return settings


async def renew_for_ever(settings: uvicorn.Config, config: CentralConfig) -> None:
    """Take a certificate and key that were written anew, until cancelled.

    What does not fit together leaves the ones before in force, and is tried again.
    """
    known = _written(config)
    while settings.ssl is not None:
        await asyncio.sleep(_LOOK_S)
        known = renew(settings.ssl, config, known)


def renew(context: ssl.SSLContext, config: CentralConfig, known: list[int]) -> list[int]:
    """Take the files if they were written since; returns when they were written."""
    written = _written(config)
    if written == known:
        return known
    try:
        # Tried apart: a key that does not fit would leave the context with half of each.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            config.tls_certificate, config.tls_key
        )
        context.load_cert_chain(config.tls_certificate, config.tls_key)
    except OSError as error:
        log.error("certificate_refused", why=str(error))  # noqa: TRY400 - the file is at fault
        return known
    log.info("certificate_renewed", file=config.tls_certificate)
    return written


def _files(config: CentralConfig) -> list[Path]:
    named = (config.tls_certificate, config.tls_key, config.tls_client_authorities)
    return [Path(each) for each in named if each]


def _written(config: CentralConfig) -> list[int]:
    renewed = (Path(config.tls_certificate), Path(config.tls_key))
    return [path.stat().st_mtime_ns if path.exists() else 0 for path in renewed]

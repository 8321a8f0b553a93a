"""TLS that the centre ends by itself: how old it may be, whom it lets in, what pages say of it."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from central.config import CentralConfig
from central.errors import ConfigurationError
from central.tls import StrictTransport, renew, with_tls

NOW = datetime.now(UTC)

WAIT_S = 20


class Issued(NamedTuple):
    """Files of a certificate and its key."""

    certificate: Path
    key: Path


def issue(folder: Path, name: str, *, days: int = 1) -> Issued:
    """Make a certificate that signs itself, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(named)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    issued = Issued(folder / f"{name}.pem", folder / f"{name}.key")
    issued.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    issued.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return issued


@asynccontextmanager
async def served(config: CentralConfig) -> AsyncIterator[tuple[str, uvicorn.Config]]:
    """Serve a page and a till's path; gives the address and the server's settings."""
    page = PlainTextResponse("a page")
    app = Starlette(routes=[Route("/", page), Route("/v1/till/pull", page)])
    settings = with_tls(
        uvicorn.Config(StrictTransport(app), port=0, log_level="critical", lifespan="off"), config
    )
    server = uvicorn.Server(settings)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"https://127.0.0.1:{port}", settings
    server.should_exit = True
    await serving


def trusting(issued: Issued, own: Issued | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(issued.certificate))
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return context


def config_of(folder: Path, issued: Issued, **more: str) -> CentralConfig:
    return CentralConfig(
        data=str(folder), tls_certificate=str(issued.certificate), tls_key=str(issued.key),
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


async def test_pages_say_that_they_are_for_tls_alone_and_tills_are_spared_it(
    tmp_path: Path,
) -> None:
    centre = issue(tmp_path, "centre")
    async with (
        served(config_of(tmp_path, centre)) as (address, _),
        httpx.AsyncClient(verify=trusting(centre), base_url=address, timeout=WAIT_S) as client,
    ):
        page = await client.get("/")
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        call = await client.get("/v1/till/pull")
        assert "strict-transport-security" not in call.headers


@pytest.mark.parametrize(("least", "is_let_in"), [("1.2", True), ("1.3", False)])
async def test_what_is_older_than_configured_is_not_spoken(
    tmp_path: Path, least: str, *, is_let_in: bool
) -> None:
    centre = issue(tmp_path, "centre")
    old = trusting(centre)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with (
        served(config_of(tmp_path, centre, tls_min=least)) as (address, settings),
        httpx.AsyncClient(verify=old, base_url=address, timeout=WAIT_S) as client,
    ):
        assert settings.ssl is not None
        if is_let_in:
            assert (await client.get("/")).text == "a page"
        else:
            with pytest.raises(httpx.ConnectError):
                await client.get("/")


async def test_clients_without_a_certificate_of_the_chain_stay_outside(tmp_path: Path) -> None:
    centre, chain, stranger = (issue(tmp_path, name) for name in ("centre", "chain", "stranger"))
    config = config_of(tmp_path, centre, tls_client_authorities=str(chain.certificate))
    async with served(config) as (address, _):
        async with httpx.AsyncClient(verify=trusting(centre, chain), timeout=WAIT_S) as client:
            assert (await client.get(address)).text == "a page"
        for own in (None, stranger):
            async with httpx.AsyncClient(verify=trusting(centre, own), timeout=WAIT_S) as client:
                with pytest.raises(httpx.TransportError):
                    await client.get(address)


async def test_a_renewed_certificate_is_taken_while_serving(tmp_path: Path) -> None:
    old = issue(tmp_path, "centre")
    before = old.certificate.read_bytes()
    config = config_of(tmp_path, old)
    async with served(config) as (address, settings):
        assert settings.ssl is not None
        known = renew(settings.ssl, config, [0])
        assert known == renew(settings.ssl, config, known)
        new = issue(tmp_path, "centre", days=9)
        os.utime(new.certificate, ns=(1, 1))
        assert renew(settings.ssl, config, known) != known
        async with httpx.AsyncClient(verify=trusting(new), timeout=WAIT_S) as client:
            assert (await client.get(address)).text == "a page"
        other = tmp_path / "before.pem"
        other.write_bytes(before)
        async with httpx.AsyncClient(
            verify=trusting(Issued(other, other)), timeout=WAIT_S
        ) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(address)


async def test_files_that_do_not_fit_leave_the_ones_before_in_force(tmp_path: Path) -> None:
    centre = issue(tmp_path, "centre")
    config = config_of(tmp_path, centre)
    async with served(config) as (address, settings):
        assert settings.ssl is not None
        trusted = trusting(centre)
        centre.key.write_bytes(issue(tmp_path, "another").key.read_bytes())
        assert renew(settings.ssl, config, [0]) == [0]
        async with httpx.AsyncClient(verify=trusted, timeout=WAIT_S) as client:
            assert (await client.get(address)).text == "a page"


def test_what_cannot_be_set_up_is_named(tmp_path: Path) -> None:
    missing = Issued(tmp_path / "nothing.pem", tmp_path / "nothing.key")
    settings = uvicorn.Config(Starlette(), port=0)
    with pytest.raises(ConfigurationError, match=r"nothing\.pem"):
        with_tls(settings, config_of(tmp_path, missing))
    with pytest.raises(ValueError, match="go together"):
        CentralConfig(data="", tls_certificate="a.pem")
    with pytest.raises(ValueError, match="needs tls_certificate"):
        CentralConfig(data="", tls_client_authorities="a.pem")

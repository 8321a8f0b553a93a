"""The way to the centre: only the centre's own word counts, and every failure has a name."""

import asyncio
import datetime as dt
import hashlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.link.central_client import CentralClient, enrol, machine_authorities, open_http
from loyalty.canonical import canonical_bytes
from sync.blobs import unpack
from sync.codec import PACKED, decode, decompress
from sync.cycle import PATH_BUNDLE, PATH_HELLO, PATH_SNAPSHOT, Ask, Fetch
from sync.enrolling import EnrolRequest
from sync.errors import (
    BusyError,
    CrowdedError,
    LinkError,
    MalformedMessageError,
    RefusedError,
    SignatureError,
)
from sync.messages import Hello, HelloAnswer, SnapshotAnswer, SnapshotRequest
from sync.session_key import check_mac, seal
from sync.short_header import HEADER_SHORT, read_short
from sync.signing import (
    HEADER_NONCE,
    HEADER_SESSION,
    HEADER_SIGNATURE,
    HEADER_TILL,
    NO_SESSION,
    SigningKey,
    check,
    request_content,
)
from tests.support import builders
from tests.support.till import (
    IDENTITY,
    STRANGER_KEY,
    TILL_ID,
    TILL_SEED,
    SetSystem,
    customer,
    signed_bundle,
)
from tests.unit.agent.scripted_centre import (
    Heard,
    Reply,
    ScriptedCentre,
    always,
    raw,
    refusing,
    scripted_centre,
    signed,
    signed_shortly,
)

QUESTION = Ask(PATH_SNAPSHOT, SnapshotRequest(card=b"a card's hash"), SnapshotAnswer)
ANSWER = SnapshotAnswer(account=customer(points=120))
SESSION = bytes(15) + b"\x05"
PORTAL = b"<html><body>Welcome to the mall's Wi-Fi. Please log in.</body></html>"


@asynccontextmanager
async def client_of(url: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[CentralClient]:
    identity = msgspec.structs.replace(IDENTITY, centre_url=url)
    client = CentralClient(identity, SetSystem(), tls=tls)
    try:
        yield client
    finally:
        await client.close()


async def asked(*replies: Reply, timeout_s: float = 20) -> object:
    """Ask one question of a centre that replies like this."""
    async with scripted_centre(*replies) as centre, client_of(centre.url) as client:
        return await client.ask(QUESTION, session=SESSION, timeout_s=timeout_s)


# What is sent


async def test_a_request_is_signed_over_everything_that_matters() -> None:
    async with scripted_centre(signed(ANSWER)) as centre, client_of(centre.url) as client:
        assert await client.ask(QUESTION, session=SESSION, timeout_s=20) == ANSWER
    (heard,) = centre.heard
    assert (heard.method, heard.path) == ("POST", PATH_SNAPSHOT)
    assert heard.headers[HEADER_TILL] == str(TILL_ID)
    assert heard.headers[HEADER_SESSION] == SESSION.hex()
    content = request_content(
        "POST",
        PATH_SNAPSHOT,
        till_id=TILL_ID,
        session=SESSION,
        nonce=bytes.fromhex(heard.headers[HEADER_NONCE]),
        body=heard.body,
    )
    check(SigningKey(TILL_SEED).public, bytes.fromhex(heard.headers[HEADER_SIGNATURE]), content)
    packed = decompress(heard.body, heard.headers["content-encoding"])
    assert decode(SnapshotRequest, packed) == QUESTION.message


async def test_every_request_has_a_nonce_of_its_own() -> None:
    async with scripted_centre(signed(ANSWER)) as centre, client_of(centre.url) as client:
        for _ in range(3):
            await client.ask(QUESTION, session=SESSION, timeout_s=20)
    assert len({heard.headers[HEADER_NONCE] for heard in centre.heard}) == 3


def greeted(*, short: bool) -> HelloAnswer:
    return HelloAnswer(
        verdict="ok", verified=True, session=SESSION, last_seq=0, last_hash=bytes(32),
        durable_seq=0, server_time_ms=1, incarnation_number_min=1, short=short,
    )  # fmt: skip


GREETING = Ask(PATH_HELLO, QUESTION.message, HelloAnswer)
OFFER, NO_OFFER = signed(greeted(short=True)), signed(greeted(short=False))


async def heard_after(*steps: tuple[Ask, Reply]) -> list[Heard]:
    """Ask one after the other of a centre that replies like this; returns what it heard."""
    async with (
        scripted_centre(*(reply for _, reply in steps)) as centre,
        client_of(centre.url) as client,
    ):
        for ask, _ in steps:
            session = NO_SESSION if ask is GREETING else SESSION
            with suppress(LinkError):
                await client.ask(ask, session=session, timeout_s=20)
        return centre.heard


async def test_a_centre_that_reads_short_headers_is_told_no_more_than_it_needs() -> None:
    first, shortly = await heard_after((GREETING, OFFER), (QUESTION, signed_shortly(ANSWER)))
    assert HEADER_SHORT not in first.headers
    assert set(shortly.headers) == {"host", "content-length", "content-encoding", HEADER_SHORT}
    said = read_short(shortly.headers[HEADER_SHORT])
    assert (said.till_id, said.tag) == (TILL_ID, SESSION[:4])
    content = request_content(
        "POST", PATH_SNAPSHOT, till_id=TILL_ID, session=SESSION, nonce=said.nonce, body=shortly.body
    )
    check(SigningKey(TILL_SEED).public, said.signature, content)


async def test_a_centre_that_does_not_say_so_is_told_everything() -> None:
    heard = await heard_after(
        (GREETING, OFFER), (GREETING, signed_shortly(greeted(short=False))),
        (QUESTION, signed(ANSWER)),
    )  # fmt: skip
    assert [HEADER_SHORT in each.headers for each in heard] == [False, True, False]


async def test_what_is_not_the_centres_answer_ends_the_short_form_until_it_is_offered_anew() -> (
    None
):
    portal = always(raw(403, PORTAL))
    heard = await heard_after(
        (GREETING, OFFER), (QUESTION, portal), (QUESTION, signed(ANSWER)), (GREETING, OFFER),
        (QUESTION, signed_shortly(ANSWER)),
    )  # fmt: skip
    assert [HEADER_SHORT in each.headers for each in heard] == [False, True, False, False, True]


async def test_a_way_that_refuses_the_short_form_again_and_again_is_not_asked_for_it() -> None:
    refused = [(GREETING, OFFER), (QUESTION, always(raw(403, PORTAL)))]
    heard = await heard_after(*refused * 3, (GREETING, OFFER), (QUESTION, signed(ANSWER)))
    assert [HEADER_SHORT in each.headers for each in heard] == [False, True] * 3 + [False, False]


async def test_a_short_answer_signed_by_nobody_is_refused() -> None:
    wrong = always(raw(200, b"", f"{HEADER_SHORT}: {'A' * 86}"))
    with pytest.raises(SignatureError):
        await asked(wrong)
    with pytest.raises(SignatureError):
        await asked(always(raw(200, b"", f"{HEADER_SHORT}: none")))


# The session's key

KEY = b"k" * 32
HELLO = Hello(
    incarnation=bytes(8), incarnation_number=1, seq=0, head=bytes(32), acked_seq=0,
    acked_hash=bytes(32), clock_ms=1, bundle="", software="agent/1",
)  # fmt: skip
GREETING_IN_EARNEST = Ask(PATH_HELLO, HELLO, HelloAnswer)


def sealing(session: bytes = SESSION, *, opens: bool = True) -> Reply:
    """Answer HELLO with the session's key, sealed for what it offers."""

    def reply(heard: Heard) -> bytes | None:
        body = decompress(heard.body, heard.headers["content-encoding"])
        sealed = seal(KEY, decode(Hello, body).offer, session=session, seed=b"r" * 32)
        sealed = sealed if opens else sealed[:-1] + b"!"
        answer = msgspec.structs.replace(greeted(short=True), session=session, sealed=sealed)
        return signed(answer)(heard)

    return reply


async def asked_with_key(greeting: Reply, *replies: Reply, session: bytes = SESSION) -> list[Heard]:
    """Say HELLO, then ask in a session; returns what the centre heard after HELLO."""
    async with (
        scripted_centre(greeting, *replies) as centre,
        client_of(centre.url) as client,
    ):
        await client.ask(GREETING_IN_EARNEST, session=NO_SESSION, timeout_s=20)
        for _ in replies:
            await client.ask(QUESTION, session=session, timeout_s=20)
        return centre.heard[1:]


def question_of(heard: Heard, session: bytes) -> tuple[bytes, bytes]:
    """Return what stands for a signature, and over what."""
    said = read_short(heard.headers[HEADER_SHORT])
    content = request_content(
        "POST", PATH_SNAPSHOT, till_id=TILL_ID, session=session, nonce=said.nonce, body=heard.body
    )
    return said.signature, content


async def test_in_a_session_with_a_key_a_mac_stands_for_the_signature_both_ways() -> None:
    (heard,) = await asked_with_key(sealing(), signed_shortly(ANSWER, key=KEY))
    check_mac(KEY, *question_of(heard, SESSION))
    assert len(heard.headers[HEADER_SHORT]) < 50


async def test_what_the_centre_signs_is_believed_in_a_session_with_a_key_too() -> None:
    (heard,) = await asked_with_key(sealing(), signed_shortly(ANSWER))
    check_mac(KEY, *question_of(heard, SESSION))


async def test_a_mac_by_another_key_is_refused() -> None:
    with pytest.raises(SignatureError):
        await asked_with_key(sealing(), signed_shortly(ANSWER, key=b"e" * 32))


async def test_a_mac_is_no_answer_to_what_was_signed() -> None:
    with pytest.raises(SignatureError):
        await asked_with_key(signed(greeted(short=True)), signed_shortly(ANSWER, key=KEY))
    with pytest.raises(SignatureError):
        await asked_with_key(signed(greeted(short=True)), signed_shortly(ANSWER, key=b"\x00"))


@pytest.mark.parametrize("session", [SESSION, b"another session!"])
async def test_a_key_that_is_none_or_of_another_session_is_not_used(session: bytes) -> None:
    greeting = sealing(opens=session != SESSION)
    (heard,) = await asked_with_key(greeting, signed_shortly(ANSWER), session=session)
    check(SigningKey(TILL_SEED).public, *question_of(heard, session))


async def test_what_is_not_the_centres_answer_ends_the_use_of_the_key_until_the_next_hello() -> (
    None
):
    portal = always(raw(403, PORTAL))
    async with (
        scripted_centre(sealing(), portal, signed(ANSWER)) as centre,
        client_of(centre.url) as client,
    ):
        await client.ask(GREETING_IN_EARNEST, session=NO_SESSION, timeout_s=20)
        with pytest.raises(LinkError):
            await client.ask(QUESTION, session=SESSION, timeout_s=20)
        await client.ask(QUESTION, session=SESSION, timeout_s=20)
    assert HEADER_SIGNATURE in centre.heard[2].headers


async def test_a_large_request_travels_packed_and_is_signed_as_it_travels() -> None:
    long = Ask(PATH_SNAPSHOT, SnapshotRequest(card=bytes(100_000)), SnapshotAnswer)
    async with scripted_centre(signed(ANSWER)) as centre, client_of(centre.url) as client:
        await client.ask(long, session=SESSION, timeout_s=20)
    (heard,) = centre.heard
    assert heard.headers["content-encoding"] == PACKED
    assert len(heard.body) < 1_000
    assert decode(SnapshotRequest, decompress(heard.body, PACKED)) == long.message


# What is believed


@pytest.mark.parametrize("status", [200, 302, 401, 404, 503, 511])
async def test_an_unsigned_answer_is_a_line_that_is_down(status: int) -> None:
    portal = raw(status, PORTAL, "Content-Type: text/html", "Location: http://login.example/")
    with pytest.raises(LinkError, match=f"status {status}") as caught:
        await asked(always(portal))
    assert not isinstance(caught.value, BusyError)


async def test_an_answer_signed_by_somebody_else_is_refused() -> None:
    with pytest.raises(SignatureError):
        await asked(signed(ANSWER, by=STRANGER_KEY))


@pytest.mark.parametrize("signature", ["", "not hexadecimal", "00", "00" * 64, "é"])
async def test_a_signature_that_is_none_is_refused(signature: str) -> None:
    with pytest.raises((SignatureError, LinkError)):
        await asked(always(raw(200, b"\x80", f"{HEADER_SIGNATURE}: {signature}")))


async def test_an_answer_to_another_request_is_refused() -> None:
    first: list[bytes] = []

    def remember(heard: Heard) -> bytes:
        first.append(signed(ANSWER)(heard) or b"")
        return first[0]

    async with (
        scripted_centre(remember, lambda _: first[0]) as centre,
        client_of(centre.url) as client,
    ):
        await client.ask(QUESTION, session=SESSION, timeout_s=20)
        with pytest.raises(SignatureError):
            await client.ask(QUESTION, session=SESSION, timeout_s=20)


async def test_an_answer_changed_on_the_way_is_refused() -> None:
    def changed(heard: Heard) -> bytes:
        answer = signed(ANSWER)(heard) or b""
        return answer[:-1] + bytes([answer[-1] ^ 1])

    with pytest.raises(SignatureError):
        await asked(changed)


async def test_a_status_changed_on_the_way_is_refused() -> None:
    def changed(heard: Heard) -> bytes:
        return (signed(ANSWER)(heard) or b"").replace(b" 200 ", b" 503 ", 1)

    with pytest.raises(SignatureError):
        await asked(changed)


async def test_a_signed_answer_of_another_kind_is_malformed() -> None:
    greeting = Ask(PATH_HELLO, QUESTION.message, HelloAnswer)
    async with scripted_centre(signed(ANSWER)) as centre, client_of(centre.url) as client:
        with pytest.raises(MalformedMessageError, match="HelloAnswer"):
            await client.ask(greeting, session=SESSION, timeout_s=20)


# What the centre says instead


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("Retry-After: 7", 7), ("Retry-After: 2.5", 2.5), ("Retry-After: soon", 1), ("X: y", 1)],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_centre_says_when_to_come_back(
    header: str, seconds: float, status: int
) -> None:
    with pytest.raises(BusyError) as caught:
        await asked(signed(ANSWER, header, status=status))
    assert caught.value.retry_after_s == seconds


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("overloaded", 503, CrowdedError),
        ("too_many_requests", 429, CrowdedError),
        ("database_unavailable", 503, BusyError),
        ("takes_too_long", 503, BusyError),
    ],
)
async def test_only_who_found_no_place_knows_that_nothing_was_done(
    code: str, status: int, kind: type[BusyError]
) -> None:
    with pytest.raises(BusyError) as caught:
        await asked(refusing(code, status))
    assert type(caught.value) is kind


async def test_no_centre_makes_a_till_wait_for_days() -> None:
    with pytest.raises(BusyError) as caught:
        await asked(signed(ANSWER, "Retry-After: 9999999", status=503))
    assert caught.value.retry_after_s == 600


async def test_a_refusal_carries_its_name() -> None:
    with pytest.raises(RefusedError, match="do something else") as caught:
        await asked(refusing("session_unknown", 401))
    assert caught.value.code == "session_unknown"


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_gateway_that_failed_is_a_line_that_is_down(status: int) -> None:
    with pytest.raises(LinkError, match=str(status)):
        await asked(signed(ANSWER, status=status))


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        raw(200, b"half", length=100),
        raw(200, b"not gzip", "Content-Encoding: gzip"),
    ],
)
async def test_what_is_no_answer_is_a_line_that_is_down(reply: bytes) -> None:
    with pytest.raises(LinkError):
        await asked(always(reply))


async def test_a_centre_that_says_nothing_is_given_up_after_the_time_allowed() -> None:
    with pytest.raises(LinkError):
        await asked(always(None), timeout_s=0.05)


async def test_nobody_there_is_a_line_that_is_down() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        async with client_of(f"http://127.0.0.1:{taken.getsockname()[1]}") as client:
            with pytest.raises(LinkError, match="ConnectError"):
                await client.ask(QUESTION, session=NO_SESSION, timeout_s=20)


# Bundles


BUNDLE = builders.bundle(
    *(builders.offer(f"offer {hashlib.sha256(bytes([n])).hexdigest()}") for n in range(100))
)
MANIFEST, CONTENT = signed_bundle(BUNDLE)
COMPRESSED = zstandard.compress(CONTENT)


def ranged(heard: Heard) -> bytes:
    """Answer like a server that knows ranges."""
    asked_range = heard.headers.get("range")
    if asked_range is None:
        return raw(200, COMPRESSED)
    first = int(asked_range.removeprefix("bytes=").removesuffix("-"))
    return raw(206, COMPRESSED[first:], f"Content-Range: bytes {first}-/{len(COMPRESSED)}")


def broken_at(count: int) -> Reply:
    """Answer the first bytes of what was asked for, then break off."""

    def reply(heard: Heard) -> bytes:
        first = int(heard.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        rest = COMPRESSED[first:]
        return raw(206 if first else 200, rest[:count], length=len(rest))

    return reply


async def fetched(*replies: Reply) -> tuple[bytes, ScriptedCentre]:
    async with scripted_centre(*replies) as centre, client_of(centre.url) as client:
        return unpack([await client.fetch_piece(Fetch(MANIFEST), timeout_s=20)]), centre


async def test_a_bundle_is_fetched_by_its_hash() -> None:
    content, centre = await fetched(ranged)
    assert content == CONTENT == canonical_bytes(BUNDLE)
    assert [heard.path for heard in centre.heard] == [PATH_BUNDLE + MANIFEST.bundle]


async def test_a_broken_download_goes_on_where_it_stopped() -> None:
    content, centre = await fetched(broken_at(700), broken_at(500), ranged)
    assert content == CONTENT
    assert [heard.headers.get("range") for heard in centre.heard] == [
        None,
        "bytes=700-",
        "bytes=1200-",
    ]


async def test_a_server_that_knows_no_ranges_sends_everything_again() -> None:
    content, centre = await fetched(broken_at(700), always(raw(200, COMPRESSED)))
    assert content == CONTENT
    assert len(centre.heard) == 2


async def test_a_bundle_that_cannot_be_had_is_given_up_for_this_time() -> None:
    async with scripted_centre(always(raw(404))) as centre, client_of(centre.url) as client:
        with pytest.raises(LinkError, match="404"):
            await client.fetch_piece(Fetch(MANIFEST), timeout_s=20)
    assert len(centre.heard) == 5


@pytest.mark.parametrize("body", [PORTAL, b"", COMPRESSED[:-1], COMPRESSED + b"more"])
async def test_a_bundle_that_does_not_unpack_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        await fetched(always(raw(200, body)))


# Enrolment


ENROLMENT = EnrolRequest(
    code="ABCDE-FGHJK",
    public_key=SigningKey(TILL_SEED).public,
    hardware="a till",
    nonce=bytes(16),
    signature=b"",
)


async def test_a_wrong_code_is_refused_by_name() -> None:
    async with scripted_centre(refusing("enrolment_refused", 403)) as centre:
        with pytest.raises(RefusedError) as caught:
            await enrol(centre.url, ENROLMENT, timeout_s=20)
    assert caught.value.code == "enrolment_refused"


@pytest.mark.parametrize("url", ["", "centre", "http://127.0.0.1:port", "ftp://127.0.0.1/"])
async def test_an_address_that_is_none_is_a_line_that_is_down(url: str) -> None:
    with pytest.raises(LinkError):
        await enrol(url, ENROLMENT, timeout_s=20)


# The environment and TLS


class Authority:
    """A certificate authority of the test, and a server certificate for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        key, name = ec.generate_private_key(ec.SECP256R1()), "an authority of nobody"
        self.file = folder / "authority.pem"
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        today = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - dt.timedelta(days=1))
            .not_valid_after(today + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        self.file.write_bytes(certificate.public_bytes(pem))
        key_file = folder / "key.pem"
        key_file.write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(self.file, key_file)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_the_environment_adds_no_authority(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    answering = scripted_centre(signed(ANSWER), tls=authority.server)
    async with answering as centre, client_of(centre.url) as client:
        with pytest.raises(LinkError):
            await client.ask(QUESTION, session=SESSION, timeout_s=20)
    assert centre.heard == []


async def test_a_certificate_file_that_is_missing_stops_no_till(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/there/is/no/such/file")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert await asked(signed(ANSWER)) == ANSWER


def test_the_machines_own_authorities_are_trusted_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_environment = machine_authorities()
    monkeypatch.setenv("SSL_CERT_FILE", "/there/is/no/such/file")
    monkeypatch.setenv("SSL_CERT_DIR", "/there/is/no/such/folder")
    stray = machine_authorities()
    assert stray.cert_store_stats() == with_environment.cert_store_stats()
    assert stray.verify_mode == ssl.CERT_REQUIRED
    assert stray.check_hostname


async def test_an_own_authority_can_be_given(authority: Authority) -> None:
    own = ssl.create_default_context(cafile=str(authority.file))
    answering = scripted_centre(signed(ANSWER), tls=authority.server)
    async with answering as centre, client_of(centre.url, tls=own) as client:
        assert await client.ask(QUESTION, session=SESSION, timeout_s=20) == ANSWER


@asynccontextmanager
async def damaging(url: str, *, after_bytes: int) -> AsyncIterator[str]:
    """Stand between; the first connection's answer is damaged after so many bytes."""
    damaged = False

    async def pass_on(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int
    ) -> None:
        nonlocal damaged
        with suppress(OSError):
            while some := await reader.read(16_384):
                left -= len(some)
                damages = left < 0 and not damaged
                damaged = damaged or damages
                writer.write(bytes(each ^ 1 for each in some) if damages else some)
                await writer.drain()
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inward, outward = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        try:
            await asyncio.gather(
                pass_on(reader, outward, 1 << 30), pass_on(inward, writer, after_bytes)
            )
        finally:
            outward.close()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_a_download_whose_tls_is_damaged_goes_on_where_it_stopped(
    authority: Authority,
) -> None:
    content = hashlib.shake_128(b"a bundle").digest(400_000)

    def ranged_content(heard: Heard) -> bytes:
        first = int(heard.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        return raw(206 if first else 200, content[first:])

    own = ssl.create_default_context(cafile=str(authority.file))
    answering = scripted_centre(ranged_content, tls=authority.server)
    async with (
        answering as centre,
        damaging(centre.url, after_bytes=100_000) as url,
        client_of(url, tls=own) as client,
    ):
        assert await client.fetch_piece(Fetch(MANIFEST), timeout_s=20) == content
    went_on = [heard.headers.get("range") for heard in centre.heard]
    assert went_on[0] is None
    assert len(went_on) == 2
    assert went_on[1] is not None


async def test_connections_are_few_and_closed() -> None:
    async with scripted_centre(always(None)) as centre, open_http(centre.url) as http:
        calls = [asyncio.create_task(http.get("/")) for _ in range(8)]
        await centre.until(lambda: len(centre.heard) == 4)
        assert centre.connections == 4
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

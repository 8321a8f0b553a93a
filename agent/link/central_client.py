"""HTTP to the centre: every request and answer is signed end to end.

The only module of the agent that imports httpx.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from agent.identity import Identity
from agent.link.manner import Manner
from agent.system import System
from sync.blobs import CHUNK_BYTES, check_piece, piece_range
from sync.codec import CONTENT_TYPE, PACKED, compress, decode, decompress, encode
from sync.cycle import PATH_BUNDLE, PATH_ENROL, Ask, Fetch
from sync.enrolling import EnrolAnswer, EnrolRequest
from sync.errors import (
    BusyError,
    CrowdedError,
    LinkError,
    MalformedMessageError,
    RefusedError,
    SignatureError,
    SyncError,
)
from sync.lines import PATH_LINES
from sync.listening import PATH_FRESH, PATH_LISTEN
from sync.messages import Hello, HelloAnswer, Message, Problem
from sync.points import PATH_POINTS
from sync.session_key import MAC_BYTES, KeyOffer, check_mac, mac_of
from sync.short_header import (
    HEADER_SHORT,
    NONCE_BYTES,
    TAG_BYTES,
    ShortHeader,
    read_signature,
    write_short,
)
from sync.signing import (
    HEADER_NONCE,
    HEADER_SESSION,
    HEADER_SIGNATURE,
    HEADER_TILL,
    NO_SESSION,
    SigningKey,
    answer_content,
    check,
    request_content,
)

_PLAIN = frozenset({PATH_LINES, PATH_LISTEN, PATH_FRESH, PATH_POINTS})
"""Their messages are packed, or too short to be, already."""
_OK = 200
_PARTIAL = 206
_BUSY = frozenset({429, 503})
_CROWDED = frozenset({"overloaded", "too_many_requests"})
_GATEWAY = frozenset({500, 502, 504})
# A packaged Python looks where the machine it was built on has them.
_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class CentralClient:
    """One till's way to its centre."""

    def __init__(
        self,
        identity: Identity,
        system: System,
        *,
        tls: ssl.SSLContext | None = None,
        bundles_url: str = "",
    ) -> None:
        """Make ready to connect.

        Args:
            bundles_url: where bundles are looked for before the centre is asked: a web server with
                the centre's exported files. Empty = the centre alone.
        """
        self._identity = identity
        self._system = system
        self._key = SigningKey(identity.key_seed)
        self._http = open_http(identity.centre_url, tls=tls)
        self._files = open_http(bundles_url, tls=tls) if bundles_url else None
        self._manner = Manner()
        self._session_key = (NO_SESSION, b"")
        """The session that has a key, and the key."""

    async def ask(self, ask: Ask, *, session: bytes, timeout_s: float) -> Message:
        """Send a message and return its answer.

        Raises:
            LinkError: no answer in time, or none that a centre would give (a captive portal,
                a gateway).
            BusyError: the centre asks to wait.
            CrowdedError: so it does, and did nothing for the request.
            RefusedError: the centre refused by name.
            SignatureError: the answer is not signed by the centre.
        """
        packed = "" if ask.path in _PLAIN else PACKED
        message = ask.message
        offer: KeyOffer | None = None
        if isinstance(message, Hello):
            offer = KeyOffer(self._system.random_bytes(32))
            message = msgspec.structs.replace(message, offer=offer.public)
        body, encoding = compress(encode(message), packed)
        is_short = self._manner.is_short
        key = self._key_of(session) if is_short else b""
        nonce = self._system.random_bytes(NONCE_BYTES if is_short else 16)
        content = request_content(
            "POST", ask.path, till_id=self._identity.till_id, session=session, nonce=nonce,
            body=body,
        )  # fmt: skip
        signature = mac_of(key, content) if key else self._key.sign(content)
        headers = self._headers(session, nonce, signature, is_short=is_short)
        if encoding:
            headers["content-encoding"] = encoding
        response = await self._send(
            "POST", ask.path, headers=headers, content=body, timeout_s=timeout_s
        )
        try:
            self._check(response, nonce, key)
        except (LinkError, SignatureError):
            self._manner.failed(shortly=is_short)
            raise
        self._manner.answered(shortly=is_short)
        answer = decode(ask.answer, _body_or_refusal(response))
        if isinstance(answer, HelloAnswer):
            self._manner.greeted(short=answer.short)
            if offer is not None and answer.sealed:
                with suppress(SignatureError):  # without a key everything is signed
                    self._session_key = (answer.session, offer.open(answer.sealed, answer.session))
        return answer

    def _key_of(self, session: bytes) -> bytes:
        known, key = self._session_key
        return key if session == known != NO_SESSION else b""

    async def fetch_piece(self, fetch: Fetch, *, timeout_s: float) -> bytes:
        """Fetch a piece of a bundle, packed; a broken download goes on where it stopped.

        The web server of bundles is asked once: what it has not, or has damaged, is the centre's.

        Raises:
            LinkError: it could not be fetched in some tries; the next conversation tries again.
        """
        got = bytearray()
        retrying = AsyncRetrying(
            stop=stop_after_attempt(5),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            retry=retry_if_exception_type(LinkError),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                if self._files is None or attempt.retry_state.attempt_number > 1:
                    await self._fetch_rest(self._http, fetch, got, timeout_s)
                    continue
                await self._fetch_rest(self._files, fetch, got, timeout_s)
                try:
                    check_piece(fetch.manifest, fetch.piece, bytes(got))
                except MalformedMessageError as error:
                    got.clear()
                    raise LinkError(str(error)) from error
        return bytes(got)

    async def _fetch_rest(
        self, http: httpx.AsyncClient, fetch: Fetch, got: bytearray, timeout_s: float
    ) -> None:
        path = PATH_BUNDLE + fetch.manifest.bundle
        asked = piece_range(fetch.manifest, fetch.piece, got_bytes=len(got))
        headers = {"accept-encoding": "identity"} | ({"range": asked} if asked else {})
        whole = bytearray()
        into = got
        with _talking("bundle"):
            async with http.stream("GET", path, headers=headers, timeout=timeout_s) as response:
                if response.status_code not in (_OK, _PARTIAL):
                    raise LinkError(f"bundle answered with status {response.status_code}")
                if response.status_code == _OK:
                    got.clear()
                    if fetch.manifest.chunks:
                        into = whole  # No ranges here: the piece is cut out of the whole bundle.
                async for chunk in response.aiter_raw():
                    into += chunk
        got += whole[fetch.piece * CHUNK_BYTES :][:CHUNK_BYTES]

    def _headers(
        self, session: bytes, nonce: bytes, signature: bytes, *, is_short: bool
    ) -> dict[str, str]:
        till_id = self._identity.till_id
        if is_short:
            tag = session[:TAG_BYTES]
            said = ShortHeader(till_id=till_id, nonce=nonce, tag=tag, signature=signature)
            return {HEADER_SHORT: write_short(said)}
        return {
            "content-type": CONTENT_TYPE,
            HEADER_TILL: str(till_id),
            HEADER_SESSION: session.hex(),
            HEADER_NONCE: nonce.hex(),
            HEADER_SIGNATURE: signature.hex(),
        }

    async def _send(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float,
        **request: Any,  # noqa: ANN401 - whatever httpx takes
    ) -> httpx.Response:
        return await _send(self._http, method, path, timeout_s=timeout_s, **request)

    def _check(self, response: httpx.Response, nonce: bytes, key: bytes) -> None:
        """Check who answers; with the session's key only what was asked with it."""
        content = answer_content(nonce, response.status_code, response.content)
        signature = _signature_of(response)
        if key and len(signature) == MAC_BYTES:
            check_mac(key, signature, content)
        else:
            check(self._identity.centre_key, signature, content)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        if self._files is not None:
            await self._files.aclose()


async def enrol(centre_url: str, request: EnrolRequest, *, timeout_s: float) -> EnrolAnswer:
    """Hand in a one-time code; repeating it with the same key gives the same answer.

    Raises:
        LinkError: the centre cannot be reached.
        RefusedError: the code is wrong, used by another till, or too old.
    """
    async with open_http(centre_url) as http:
        headers = {"content-type": CONTENT_TYPE}
        response = await _send(
            http, "POST", PATH_ENROL, timeout_s=timeout_s, headers=headers, content=encode(request)
        )
        return decode(EnrolAnswer, _body_or_refusal(response))


def open_http(centre_url: str, *, tls: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """Return a client that takes nothing from the environment.

    A stray SSL_CERT_FILE has stopped tills before.

    Raises:
        LinkError: the address is none.
    """
    try:
        http = httpx.AsyncClient(
            base_url=centre_url,
            trust_env=False,
            verify=tls or machine_authorities(),
            limits=httpx.Limits(max_connections=4, keepalive_expiry=30),
        )
    except httpx.InvalidURL as error:
        raise LinkError(f"{centre_url!r} is not the address of a centre: {error}") from error
    return terse(http)


def terse(http: httpx.AsyncClient) -> httpx.AsyncClient:
    """Have a client say no more than it is told: a thin line carries it each time."""
    for name in ("accept", "accept-encoding", "connection", "user-agent"):
        del http.headers[name]
    return http


def machine_authorities() -> ssl.SSLContext:
    """Return TLS that trusts the machine's authorities; no variable adds or hides any.

    Asked for its defaults, OpenSSL reads SSL_CERT_FILE and SSL_CERT_DIR by itself.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    built_in = ssl.get_default_verify_paths()
    files = (file for file in (built_in.openssl_cafile, *_AUTHORITIES) if Path(file).is_file())
    file = next(files, None)
    folder = built_in.openssl_capath if Path(built_in.openssl_capath).is_dir() else None
    if file or folder:
        context.load_verify_locations(file, folder)
    else:  # Windows keeps them elsewhere
        context.load_default_certs()
    return context


async def _send(
    http: httpx.AsyncClient,
    method: str,
    path: str,
    *,
    timeout_s: float,
    **request: Any,  # noqa: ANN401 - whatever httpx takes
) -> httpx.Response:
    with _talking(path):
        return await http.request(method, path, timeout=timeout_s, **request)


@contextmanager
def _talking(about: str) -> Iterator[None]:
    """Have whatever a line does to be a LinkError.

    httpx gives its own names to most of it, but not to TLS that is damaged after the handshake.
    """
    try:
        yield
    except (httpx.HTTPError, OSError) as error:  # ssl.SSLError is an OSError
        raise LinkError(f"{about}: {type(error).__name__} {error}".rstrip()) from error


def _signature_of(response: httpx.Response) -> bytes:
    try:
        if short := response.headers.get(HEADER_SHORT):
            return read_signature(short)
        if signature := response.headers.get(HEADER_SIGNATURE):
            return bytes.fromhex(signature)
    except (ValueError, MalformedMessageError) as error:
        raise SignatureError("the signature of the answer is none") from error
    raise LinkError(f"an answer (status {response.status_code}) that is not from the centre")


def _body_or_refusal(response: httpx.Response) -> bytes:
    if response.status_code in _GATEWAY:
        raise LinkError(f"the centre answered with status {response.status_code}")
    body = decompress(response.content, response.headers.get("tillside-encoding", ""))
    if response.status_code in _BUSY:
        why = _refusal(body, response.status_code)
        is_crowded = isinstance(why, RefusedError) and why.code in _CROWDED
        raise (CrowdedError if is_crowded else BusyError)(_retry_after_s(response))
    if response.status_code != _OK:
        raise _refusal(body, response.status_code)
    return body


def _refusal(body: bytes, status: int) -> SyncError:
    try:
        problem = decode(Problem, body)
    except MalformedMessageError:
        return LinkError(f"status {status} without a reason")
    return RefusedError(problem.error, problem.message)


def _retry_after_s(response: httpx.Response) -> float:
    try:
        return min(600.0, max(0.0, float(response.headers.get("retry-after", "1"))))
    except ValueError:
        return 1.0

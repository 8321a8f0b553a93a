"""A till as its centre knows it: a session's pull that waits, a manifest, a delta, a report."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from itertools import count
from random import Random

from starlette.applications import Starlette

from bench.rules.front import HOLD_S, SESSION, Answer, Enrolled, ask
from sync.blobs import delta_file
from sync.codec import PACKED, compress, decode, decompress, encode
from sync.cycle import PATH_BUNDLE, PATH_SNAPSHOT
from sync.limits import MESSAGE_BYTES_MAX
from sync.listening import NAME_BYTES, PATH_LISTEN, Listen, ListenAnswer
from sync.messages import Cursor, PullAnswer, SnapshotRequest
from sync.packing import unpack_sent
from sync.patches import apply_patch
from sync.reporting import PATH_REPORT, Report
from sync.rule_messages import Delta, RulesReport
from sync.session_key import check_mac, mac_of
from sync.short_header import (
    HEADER_SHORT,
    NONCE_BYTES,
    TAG_BYTES,
    ShortHeader,
    read_signature,
    write_short,
)
from sync.signing import answer_content, check_message, request_content

_nonces = count(1)
_jitter = Random(1)


@dataclass(slots=True)
class TillSession:
    """One till.

    Attributes:
        has: hash of the bundle it calculates with, hexadecimal.
        had_at_s: when the last byte of the delta was here; 0 before.
        reported_at_s: when the centre had heard that the till has the rules; 0 before.
        told, got: the two answers.
        came_again: how often the front had too much to do.
        bytes_all: of both exchanges that the release caused, heads and bodies: the answer to the
            request that waited, and the delta's request and answer.
    """

    app: Starlette
    till: Enrolled
    has: str
    had_at_s: float = 0.0
    reported_at_s: float = 0.0
    told: Answer | None = None
    got: Answer | None = None
    delta: Delta | None = None
    came_again: int = 0
    bytes_all: int = 0
    _version: int = 1
    _nonce: bytes = b""
    _told_nonce: bytes = b""

    async def live(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Wait for rules, fetch them, say so, and wait for the next."""
        self.told = await self._in_time(self._listen)
        self._told_nonce = self._nonce
        answer = self._answer()
        if answer.manifest is None or answer.delta is None:
            return
        path = PATH_BUNDLE + delta_file(answer.manifest, answer.delta).bundle
        headers = [("host", "centre"), ("accept-encoding", "identity")]
        self.got = await ask(self.app, "GET", path, headers)
        self.had_at_s = clock()
        self.delta = answer.delta
        head = len(f"GET {path} HTTP/1.1\r\n\r\n") + sum(len(n) + len(v) + 4 for n, v in headers)
        self.bytes_all = self.told.head_bytes + len(self.told.body) + head
        self.bytes_all += self.got.head_bytes + len(self.got.body)
        self.has, self._version = answer.manifest.bundle, answer.manifest.version
        await self._report()
        self.reported_at_s = clock()
        await self._in_time(self._listen)

    async def _report(self) -> None:
        """Say how the rules stand now."""
        said = Report(number=1, bundle=self.has, rules=RulesReport(version=self._version))
        answer = await self._in_time(lambda: self._send(PATH_REPORT, encode(said)))
        assert answer.status == HTTPStatus.OK, answer

    async def _in_time(self, ask_once: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask, and ask again when the front says, as a till does."""
        answer = await ask_once()
        while answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.came_again += 1
            again_s = float(answer.headers["retry-after"])
            await asyncio.sleep(again_s * (1 + _jitter.random()))
            answer = await ask_once()
        return answer

    async def _listen(self) -> Answer:
        asked = Listen(
            epoch=1, transaction=0, row=0, seq=0, wait_s=HOLD_S,
            bundle=bytes.fromhex(self.has)[:NAME_BYTES],
            roster=self.till.roster, rules=(0, self._version),
        )  # fmt: skip
        return await self._send(PATH_LISTEN, encode(asked))

    async def ask_account(self, card: bytes) -> float:
        """Ask for the account of a card as a till does in a sale; returns how long it took.

        Returns:
            Seconds.
        """
        begun_s = time.perf_counter()
        answer = await self._send(PATH_SNAPSHOT, encode(SnapshotRequest(card=card)))
        assert answer.status == HTTPStatus.OK, answer
        return time.perf_counter() - begun_s

    async def _send(self, path: str, message: bytes) -> Answer:
        body, encoding = compress(message, PACKED)
        till_id, key = self.till.till_id, self.till.session_key
        self._nonce = next(_nonces).to_bytes(NONCE_BYTES, "big")
        content = request_content(
            "POST", path, till_id=till_id, session=SESSION, nonce=self._nonce, body=body
        )
        said = ShortHeader(
            till_id=till_id,
            nonce=self._nonce,
            tag=SESSION[:TAG_BYTES],
            signature=mac_of(key, content),
        )
        headers = [
            ("host", "centre"), ("content-encoding", encoding), (HEADER_SHORT, write_short(said)),
        ]  # fmt: skip
        return await ask(self.app, "POST", path, headers, body)

    def _answer(self) -> PullAnswer:
        assert self.told is not None
        plain = decompress(self.told.body, self.told.headers.get("tillside-encoding", ""))
        short = decode(ListenAnswer, plain)
        if not short.rest:
            return PullAnswer(cursor=Cursor(), applied_through=0, more=False)
        return decode(PullAnswer, unpack_sent(short.rest, bytes_max=MESSAGE_BYTES_MAX))

    def verify(self, *, rules: bytes, base: bytes | None) -> None:
        """Check everything a till checks before it takes the rules.

        Args:
            rules: the public key they are signed with.
            base: bytes of the bundle it had, to make the new one of; None leaves that to others,
                which had the same bytes: the delta's hash is compared.
        """
        assert self.told is not None
        assert self.got is not None
        content = answer_content(self._told_nonce, self.told.status, self.told.body)
        check_mac(self.till.session_key, read_signature(self.told.headers[HEADER_SHORT]), content)
        answer = self._answer()
        assert answer.manifest is not None
        assert answer.delta is not None
        check_message(answer.manifest, rules)
        assert sha256(self.got.body).digest() == answer.delta.hash
        if base is not None:
            apply_patch(base, self.got.body, bundle=answer.manifest.bundle)

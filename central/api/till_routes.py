"""The tills' calls: checked signature in, one message to the desk, signed answer out."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from central.api.problems import NAMED, problem_of, problem_response
from central.api.till_claims import Claim, long_claim, nonce_of, short_claim
from central.api.till_rates import BY_NUMBER_PER_S, TillRates
from central.api.traffic import Receive, Scope, Send, retry_after_s
from central.database.doors import LOOK_UP_WAIT_S_MAX, PURCHASES_WAIT_S_MAX
from central.database.pool import Pool
from central.errors import AuthenticationError
from central.keys import CentreKeys
from central.tills.caller import TillCaller, caller_of
from central.tills.desk import TillDesk
from central.tills.points import give_points
from sync import cycle
from sync.codec import CONTENT_TYPE, compress, decode, decompress, encode
from sync.errors import MalformedMessageError
from sync.forgetting import PATH_FORGOTTEN, Forgotten
from sync.limits import MESSAGE_BYTES_MAX
from sync.lines import PATH_LINES, Lines
from sync.listening import PATH_FRESH, PATH_LISTEN, Fresh, Listen
from sync.messages import (
    AuthoriseRequest,
    Compare,
    CounterRequest,
    Hello,
    HelloAnswer,
    Message,
    Pull,
    Push,
    ReceiptRequest,
    SnapshotRequest,
)
from sync.neighbours import PATH_DELIVER, Delivery
from sync.points import PATH_POINTS, PointsRequest
from sync.reporting import PATH_REPORT, Report
from sync.session_key import SessionKeys, check_mac, mac_of, seal
from sync.short_header import HEADER_SHORT, write_signature
from sync.signing import HEADER_SIGNATURE, answer_content, check, request_content

_COME_AGAIN = frozenset({429, 503})
_BRING_RECORDS = frozenset({cycle.PATH_PUSH, PATH_LINES, PATH_DELIVER})
_IN_TURN = frozenset(
    {cycle.PATH_HELLO, cycle.PATH_COMPARE, PATH_DELIVER, PATH_FORGOTTEN, PATH_REPORT}
)
"""No purchase waits for these: they go through the door of the others."""

Say = Callable[[TillCaller, Any], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class TillRoutes:
    """Routes of `/v1/till/`.

    Attributes:
        rates: how often one till may call; None = as often as it likes.
        by_number: how often it may ask for an account without a card, where `rates` are given.
    """

    pool: Pool
    desk: TillDesk
    keys: CentreKeys
    rates: TillRates | None = None
    by_number: TillRates = field(default_factory=lambda: TillRates(BY_NUMBER_PER_S))

    def routes(self) -> list[Route]:
        """Return every route."""
        calls: tuple[tuple[str, type[Message], Say], ...] = (
            (cycle.PATH_SNAPSHOT, SnapshotRequest, self.desk.snapshot),
            (PATH_FRESH, Fresh, self.desk.fresh),
            (cycle.PATH_AUTHORISE, AuthoriseRequest, self.desk.authorise),
            (PATH_POINTS, PointsRequest, partial(give_points, self.desk)),
            (cycle.PATH_PUSH, Push, self.desk.push),
            (PATH_LINES, Lines, self.desk.take_lines),
            # They may wait for news and take a place for each look alone.
            (cycle.PATH_PULL, Pull, self.desk.pull),
            (PATH_LISTEN, Listen, self.desk.listen),
            (cycle.PATH_HELLO, Hello, self.desk.hello),
            (cycle.PATH_COMPARE, Compare, self.desk.compare),
            (PATH_DELIVER, Delivery, self.desk.deliver),
            (
                cycle.PATH_COUNTERS,
                CounterRequest,
                self._within(PURCHASES_WAIT_S_MAX, self.desk.hand_out),
            ),
            (
                cycle.PATH_RECEIPT,
                ReceiptRequest,
                self._within(LOOK_UP_WAIT_S_MAX, self.desk.receipt),
            ),
            (PATH_FORGOTTEN, Forgotten, self.desk.forget),
            (PATH_REPORT, Report, self.desk.report),
        )
        sessions = SessionKeys(self.keys.centre.seed())
        return [
            Route(path, TillCall(self, sessions, path, kind, say), methods=["POST"])
            for path, kind, say in calls
        ]

    def _within(self, wait_s_max: float, say: Say) -> Say:
        """Return a call that a customer waits for: it goes through the door of the purchases."""

        async def saying(caller: TillCaller, message: Message) -> Message:
            async with self.desk.front.purchases.within(wait_s_max):
                return await say(caller, message)

        return saying


class TillCall:
    """One call of tills: an ASGI application without anything between it and the server."""

    def __init__(
        self, part: TillRoutes, sessions: SessionKeys, path: str, kind: type[Message], say: Say
    ) -> None:
        self._part = part
        self._sessions = sessions
        self._path = path
        self._kind = kind
        self._say = say
        self._brings = path in _BRING_RECORDS
        self._in_turn = path in _IN_TURN
        self._reports = path == PATH_REPORT

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; nobody is answered who has gone."""
        reply = _Reply(self._part.keys, _headers_of(scope))
        try:
            answer = await self._answer(reply, receive)
        except _GoneError:
            return
        except Exception as error:
            await problem_response(error)(scope, receive, send)
            raise
        await send(answer.start())
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, reply: "_Reply", receive: Receive) -> "_Answer":
        part = self._part
        try:
            claim = reply.claim()
            body = await _body_of(receive)
            door = part.desk.front.others if self._in_turn else None
            if door is not None:
                # While tills are told of rules, those who have them would take the others' time.
                door.turn_away(behind_s=part.desk.room.come_behind() if self._reports else None)
            caller = await self._authenticate(claim, body, reply)
            if part.rates is not None:
                now_ms = part.desk.system.monotonic_ms()
                part.rates.take(caller.till_id, now_ms=now_ms, brings_records=self._brings)
            message = decode(self._kind, decompress(body, reply.encoding))
            if part.rates and isinstance(message, SnapshotRequest) and message.account_id:
                now_ms = part.desk.system.monotonic_ms()
                part.by_number.take(caller.till_id, now_ms=now_ms)
            async with door or nullcontext():
                said = await self._say(caller, message)
            if isinstance(message, Hello) and message.offer and isinstance(said, HelloAnswer):
                said = self._sealed(caller, message.offer, said)
            return reply.answer(200, said)
        except NAMED as error:
            return reply.refusal(error)

    async def _authenticate(self, claim: Claim, body: bytes, reply: "_Reply") -> TillCaller:
        claim.require_possible()
        row = await self._part.desk.front.find_till(claim.till_id)
        if row is None:
            raise AuthenticationError("there is no such till; enrol it")
        session = claim.session_of(row["session"])
        content = request_content(
            "POST",
            self._path,
            till_id=claim.till_id,
            session=session,
            nonce=claim.nonce,
            body=body,
        )
        if claim.is_mac:
            key = self._sessions.key_of(claim.till_id, session)
            check_mac(key, claim.signature, content)
            reply.key = key
        else:
            check(row["public_key"], claim.signature, content)
        return caller_of(row, session)

    def _sealed(self, caller: TillCaller, offer: bytes, answer: HelloAnswer) -> HelloAnswer:
        """Return the answer to a HELLO with the new session's key."""
        session, random_bytes = answer.session, self._part.desk.system.random_bytes
        key = self._sessions.key_of(caller.till_id, session)
        sealed = seal(key, offer, session=session, seed=random_bytes(32))
        return msgspec.structs.replace(answer, sealed=sealed)


class _GoneError(Exception):
    """Who asked has hung up before all was said."""


@dataclass(slots=True)
class _Answer:
    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]]

    def start(self) -> Scope:
        return {"type": "http.response.start", "status": self.status, "headers": self.headers}


class _Reply:
    """The answer to one request: signed with its nonce, in the form it came in.

    Attributes:
        key: of the session, when the request has proven to know it.
    """

    def __init__(self, keys: CentreKeys, headers: Mapping[str, str]) -> None:
        self.nonce = b""
        self.key = b""
        self.encoding = headers.get("content-encoding", "")
        self._keys = keys
        self._headers = headers
        self._is_short = HEADER_SHORT in headers

    def claim(self) -> Claim:
        """Return who the request says it is from.

        Raises:
            AuthenticationError: a header is missing or wrong.
            MalformedMessageError: the short one is.
        """
        if short := self._headers.get(HEADER_SHORT):
            claim = short_claim(short)
            self.nonce = claim.nonce
            return claim
        self.nonce = nonce_of(self._headers)
        return long_claim(self._headers, self.nonce)

    def answer(self, status: int, message: Message) -> _Answer:
        """Return a message, signed."""
        body, encoding = compress(encode(message), self.encoding)
        content = answer_content(self.nonce, status, body)
        signature = mac_of(self.key, content) if self.key else self._keys.centre.sign(content)
        headers = [(b"content-length", b"%d" % len(body))]
        if self._is_short:
            headers.append((HEADER_SHORT.encode(), write_signature(signature).encode()))
        else:
            headers.append((HEADER_SIGNATURE.encode(), signature.hex().encode()))
            headers.append((b"content-type", CONTENT_TYPE.encode()))
        if encoding:
            # Not Content-Encoding: a proxy that unpacks it would break the signature over the
            # bytes.
            headers.append((b"tillside-encoding", encoding.encode()))
        return _Answer(status, body, headers)

    def refusal(self, error: Exception) -> _Answer:
        """Return a named error, signed; says when to come again where that helps."""
        answer = self.answer(*problem_of(error))
        if answer.status in _COME_AGAIN:
            answer.headers.append((b"retry-after", b"%d" % retry_after_s(error)))
        return answer


def _headers_of(scope: Scope) -> dict[str, str]:
    # Of a header that comes twice the first one counts.
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in reversed(scope["headers"])
    }


async def _body_of(receive: Receive) -> bytes:
    """Return a request's body.

    Raises:
        MalformedMessageError: it is longer than a message may be.
        _GoneError: it ends before its end.
    """
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise _GoneError
        body += event.get("body", b"")
        if len(body) > MESSAGE_BYTES_MAX:
            raise MalformedMessageError(f"a body has at most {MESSAGE_BYTES_MAX} bytes")
        if not event.get("more_body"):
            return bytes(body)


async def read_body(request: Request, *, bytes_max: int = MESSAGE_BYTES_MAX) -> bytes:
    """Read a body up to the limit.

    Raises:
        MalformedMessageError: it is longer.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise MalformedMessageError(f"a body has at most {bytes_max} bytes")
    return bytes(body)

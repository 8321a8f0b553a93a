"""A till as the centre sees it: signs, keeps its chain, makes real receipts, lies when told to."""

from collections.abc import Sequence
from itertools import count
from typing import NamedTuple, TypeVar

import httpx
import msgspec

from loyalty.account import (
    NO_ALLOWANCE,
    NOBODY,
    AccountSnapshot,
    Allowance,
    LotPart,
    RedeemRequest,
    SpendRight,
)
from loyalty.basket import Basket, BasketLine
from loyalty.calculate import calculate
from loyalty.canonical import canonical_bytes
from loyalty.compilation import Rules
from loyalty.redemption import spending_order
from loyalty.returns import ReturnCalculation, ReturnItem
from sync import cycle
from sync.blocked import BlockedCards, cards_in
from sync.chain import first_link, next_link
from sync.codec import CONTENT_TYPE, compress, decode, decompress, encode
from sync.enrolling import EnrolAnswer
from sync.errors import RefusedError
from sync.messages import (
    AuthoriseAnswer,
    AuthoriseRequest,
    CounterAnswer,
    CounterGrant,
    CounterRequest,
    CounterWish,
    Cursor,
    Grant,
    Hello,
    HelloAnswer,
    Message,
    Problem,
    Pull,
    PullAnswer,
    Push,
    PushAnswer,
    ReceiptAnswer,
    ReceiptRequest,
)
from sync.records import (
    CalculationInputs,
    CounterDrawn,
    CounterInRecord,
    CounterReturnRecord,
    GrantInRecord,
    GrantReturnRecord,
    LotTaken,
    OpenRecord,
    Record,
    RefundRecord,
    SaleRecord,
    Source,
    VoidRecord,
    encode_record,
)
from sync.signing import (
    HEADER_NONCE,
    HEADER_SESSION,
    HEADER_SIGNATURE,
    HEADER_TILL,
    NO_SESSION,
    SigningKey,
    answer_content,
    card_hash,
    check,
    check_message,
    request_content,
)
from tests.support import builders

M = TypeVar("M", bound=Message)

_OK = 200
_AT_MS = 1_741_176_000_000


class Outcome(NamedTuple):
    """What became of a record."""

    outcome: str
    reason: str = ""
    points: int = 0


def read_answer(response: httpx.Response, kind: type[M]) -> M:
    """Return an answer's message.

    Raises:
        RefusedError: the answer is a refusal by name.
    """
    body = decompress(response.content, response.headers.get("tillside-encoding", ""))
    if response.status_code != _OK:
        problem = decode(Problem, body)
        raise RefusedError(problem.error, problem.message)
    return decode(kind, body)


def take(grant: Grant, points: int | None = None) -> Source:
    """Return a source that takes points out of a right, in the order a till spends its lots."""
    rest = grant.points if points is None else points
    lots = []
    for lot in spending_order(grant.lots):
        if part := min(lot.points, rest):
            lots.append(LotTaken(lot.lot_id, part))
            rest -= part
    assert not rest, "the right has fewer points"
    total = sum(lot.points for lot in lots)
    return Source(kind=grant.purpose, grant_id=grant.grant_id, points=total, lots=tuple(lots))


def risk(points: int) -> Source:
    """Return points out of the till's risk budget."""
    return Source(kind="risk", points=points)


class TillProbe:
    """One till.

    Attributes:
        bodies, hashes: the stream so far, as bytes and links; its first record says that it opens.
        acked: how many of them the centre has acknowledged.
        grants: rights received, by id.
        blocked: how far it knows the list of blocked cards; None = it keeps none.
        blocked_cards: beginnings of those on it.
    """

    def __init__(
        self, http: httpx.AsyncClient, key: SigningKey, identity: EnrolAnswer, rules: Rules
    ) -> None:
        self.http = http
        self.key = key
        self.identity = identity
        self.till_id = identity.till_id
        self.rules = rules
        self.session = NO_SESSION
        self.cursor = Cursor(epoch=1)
        self.blocked: tuple[int, int] | None = None
        self.blocked_cards: set[bytes] = set()
        self.grants: dict[str, Grant] = {}
        self.counter_grants: dict[str, CounterGrant] = {}
        self._nonces = count(1)
        self.open_stream(1)

    # The stream

    def open_stream(
        self, number: int, *, reason: str = "first start", incarnation: bytes = b""
    ) -> None:
        """Begin an incarnation; rights are void."""
        self.number = number
        self.incarnation = incarnation or (self.till_id << 32 | number).to_bytes(8, "big")
        self.bodies: list[bytes] = []
        self.hashes: list[bytes] = []
        self.acked = 0
        self.grants = {}
        self.counter_grants = {}
        self.append(OpenRecord(at_ms=_AT_MS, incarnation_number=number, reason=reason))

    def append(self, record: Record | bytes) -> int:
        """Add a record to the stream; returns its number."""
        body = record if isinstance(record, bytes) else encode_record(record)
        self.hashes.append(next_link(self.link(len(self.bodies)), body))
        self.bodies.append(body)
        return len(self.bodies)

    def link(self, seq: int) -> bytes:
        """Return the link of a record; of 0 that of the empty stream."""
        return self.hashes[seq - 1] if seq else first_link(self.till_id, self.incarnation)

    def forget_after(self, seq: int) -> None:
        """Lose the records after `seq`, as a disk that came back from the past."""
        del self.bodies[seq:], self.hashes[seq:]
        self.acked = min(self.acked, seq)

    # Talking

    def request(
        self,
        path: str,
        message: Message,
        *,
        session: bytes | None = None,
        nonce: bytes | None = None,
    ) -> httpx.Request:
        """Return a signed request, to be sent, sent again or tampered with."""
        body, encoding = compress(encode(message))
        session = self.session if session is None else session
        nonce = nonce or next(self._nonces).to_bytes(16, "big")
        content = request_content(
            "POST", path, till_id=self.till_id, session=session, nonce=nonce, body=body
        )
        headers = {
            "content-type": CONTENT_TYPE,
            HEADER_TILL: str(self.till_id),
            HEADER_SESSION: session.hex(),
            HEADER_NONCE: nonce.hex(),
            HEADER_SIGNATURE: self.key.sign(content).hex(),
        }
        if encoding:
            headers["content-encoding"] = encoding
        return self.http.build_request("POST", path, content=body, headers=headers)

    async def send(self, request: httpx.Request, kind: type[M]) -> M:
        """Send a request and read the answer; the centre must have signed it, refusals too.

        Raises:
            RefusedError: the centre refuses by name.
        """
        response = await self.http.send(request)
        nonce = bytes.fromhex(request.headers.get(HEADER_NONCE, ""))
        signed = answer_content(nonce, response.status_code, response.content)
        check(self.identity.centre_key, bytes.fromhex(response.headers[HEADER_SIGNATURE]), signed)
        return read_answer(response, kind)

    async def ask(self, path: str, message: Message, kind: type[M]) -> M:
        """Ask in the current session."""
        return await self.send(self.request(path, message), kind)

    def hello_message(self) -> Hello:
        """Return where the stream stands."""
        return Hello(
            incarnation=self.incarnation,
            incarnation_number=self.number,
            seq=len(self.bodies),
            head=self.link(len(self.bodies)),
            acked_seq=self.acked,
            acked_hash=self.link(self.acked),
            clock_ms=_AT_MS,
            bundle=self.rules.bundle_hash,
            software="probe/1",
            feed_epoch=self.cursor.epoch,
        )

    async def hello(self) -> HelloAnswer:
        """Say HELLO and take the session."""
        self.session = NO_SESSION
        answer = await self.ask(cycle.PATH_HELLO, self.hello_message(), HelloAnswer)
        self.session = answer.session
        if answer.verdict in ("ok", "rewind"):
            self.acked = answer.last_seq
        return answer

    def push_message(self, first: int | None = None, last: int | None = None) -> Push:
        """Return a push of records `first` to `last`; of everything unacknowledged by default."""
        first = self.acked + 1 if first is None else first
        return Push(
            incarnation=self.incarnation,
            from_seq=first,
            previous_hash=self.link(first - 1),
            records=tuple(self.bodies[first - 1 : last]),
        )

    async def push(self, first: int | None = None, last: int | None = None) -> PushAnswer:
        """Hand records in."""
        answer = await self.ask(cycle.PATH_PUSH, self.push_message(first, last), PushAnswer)
        if answer.verdict == "ack":
            self.acked = answer.last_seq
        return answer

    def pull_message(self, *, bytes_max: int = 262_144) -> Pull:
        """Return a pull from the stored cursor."""
        return Pull(
            incarnation=self.incarnation,
            cursor=self.cursor,
            bundle=self.rules.bundle_hash,
            bytes_max=bytes_max,
            blocked=self.blocked,
        )

    async def pull(self, *, bytes_max: int = 262_144, receive: bool = True) -> PullAnswer:
        """Pull once; received grants are recorded in the stream, as rule R1 asks.

        Args:
            receive: false lets the answer be lost on its way: neither cursor nor grants are kept.
        """
        answer = await self.ask(cycle.PATH_PULL, self.pull_message(bytes_max=bytes_max), PullAnswer)
        if receive:
            self.cursor = answer.cursor
            for grant in answer.grants:
                self.receive(grant)
            if answer.blocked is not None:
                self._take_blocked(answer.blocked)
        return answer

    def _take_blocked(self, told: BlockedCards) -> None:
        if told.is_whole:
            self.blocked_cards = set()
        self.blocked_cards |= set(cards_in(told.blocked))
        self.blocked_cards -= set(cards_in(told.lifted))
        self.blocked = (told.epoch, told.version)

    def receive(self, grant: Grant) -> None:
        """Keep a grant and record that it came."""
        check_message(grant, self.identity.centre_key)
        if grant.grant_id not in self.grants:
            self.grants[grant.grant_id] = grant
            self.append(GrantInRecord(at_ms=_AT_MS, grant_id=grant.grant_id))

    async def authorise(self, key: str, account_id: int, points: int) -> AuthoriseAnswer:
        """Ask for points for one receipt."""
        wish = AuthoriseRequest(
            key=key, account_id=account_id, points=points, incarnation=self.incarnation
        )
        answer = await self.ask(cycle.PATH_AUTHORISE, wish, AuthoriseAnswer)
        for grant in answer.authorisations:
            check_message(grant, self.identity.centre_key)
        return answer

    async def ask_counters(
        self, *names: str, amount: int = 0, receive: bool = True
    ) -> CounterAnswer:
        """Ask for shared counters; what comes is recorded in the stream, as rule R1 asks.

        Args:
            amount: a customer waits for so much; 0 = a share in advance.
            receive: false lets the answer be lost on its way.
        """
        wishes = tuple(CounterWish(counter=name, amount=amount) for name in names)
        wish = CounterRequest(
            incarnation=self.incarnation, wishes=wishes, taken=tuple(self.counter_grants)
        )
        answer = await self.ask(cycle.PATH_COUNTERS, wish, CounterAnswer)
        for grant in answer.grants if receive else ():
            check_message(grant, self.identity.centre_key)
            if grant.grant_id not in self.counter_grants:
                self.counter_grants[grant.grant_id] = grant
                self.append(CounterInRecord(at_ms=_AT_MS, grant_id=grant.grant_id))
        return answer

    # Records

    def counter_home(self, grant: CounterGrant, amount: int | None = None) -> CounterReturnRecord:
        """Return the residue of a grant of a shared counter; all of it by default."""
        return CounterReturnRecord(
            at_ms=_AT_MS, grant_id=grant.grant_id, amount=amount or grant.amount, why="recalled"
        )

    def sale(
        self,
        key: str,
        *lines: BasketLine,
        account: int | AccountSnapshot = 0,
        card: str = "",
        sources: Sequence[Source] = (),
        link_up: bool = False,
        drawn: Sequence[CounterDrawn] = (),
        allowance: Allowance = NO_ALLOWANCE,
        codes: Sequence[str] = (),
    ) -> SaleRecord:
        """Return a receipt as this till would print it, by the real engine; one line by default.

        Args:
            account: 0 for nobody, or for a card not known here.
            sources: rights to redeem, all of them.
            drawn: rights to shared counters it names.
            allowance: what it was calculated with, whether or not the till had it.
        """
        snapshot = NOBODY if not account and not card else account
        if isinstance(snapshot, int):
            snapshot = builders.account(snapshot)
        points = sum(source.points for source in sources)
        inputs = CalculationInputs(
            bundle=self.rules.bundle_hash,
            basket=builders.basket(*lines, codes=tuple(codes)),
            moment=builders.moment(),
            place=self.identity.place,
            account=snapshot,
            request=RedeemRequest(points=points),
            right=SpendRight(points=points, lots=_lots_of(sources)),
            allowance=allowance,
        )
        return SaleRecord(
            at_ms=_AT_MS,
            key=key,
            version=1,
            inputs=inputs,
            calculation=msgspec.Raw(self.calculate(inputs)),
            card=self.card(card).hex() if card else "",
            sources=tuple(sources),
            link_up=link_up,
            drawn=tuple(drawn),
        )

    def calculate(self, inputs: CalculationInputs) -> bytes:
        """Return the canonical bytes of a calculation."""
        calculation = calculate(
            inputs.basket,
            self.rules,
            moment=inputs.moment,
            place=inputs.place,
            account=inputs.account,
            request=inputs.request,
            right=inputs.right,
            allowance=inputs.allowance,
        )
        return canonical_bytes(calculation)

    def card(self, number: str) -> bytes:
        """Return the keyed hash of a card."""
        return card_hash(self.identity.card_key, number)

    def refund(
        self,
        key: str,
        original_key: str,
        *lines: str | ReturnItem,
        shown: ReturnCalculation | None = None,
        date: str = "",
    ) -> RefundRecord:
        """Return a return; of all of line 1 by default.

        Args:
            shown: what the till showed and recorded; none where it did not know the receipt.
            date: local day, that of all sales by default.
        """
        return RefundRecord(
            at_ms=_AT_MS,
            key=key,
            original_key=original_key,
            lines=shown.items if shown else builders.items(*lines or ("1",)),
            moment=builders.moment(f"{date}T12:00:00") if date else builders.moment(),
            place=self.identity.place,
            calculation=msgspec.Raw(canonical_bytes(shown) if shown else b"{}"),
        )

    async def receipt(self, key: str, date: str = "2025-03-05") -> ReceiptAnswer:
        """Ask for a receipt, for a return on a day."""
        return await self.ask(cycle.PATH_RECEIPT, ReceiptRequest(key=key, date=date), ReceiptAnswer)

    def void(self, key: str) -> VoidRecord:
        """Return that a receipt was given up."""
        return VoidRecord(at_ms=_AT_MS, key=key, why="cancelled at the till")

    def give_back(self, grant: Grant, points: int | None = None) -> GrantReturnRecord:
        """Return the residue of a grant."""
        lots = take(grant, points).lots
        total = sum(lot.points for lot in lots)
        return GrantReturnRecord(
            at_ms=_AT_MS, grant_id=grant.grant_id, points=total, why="recalled", lots=lots
        )


def _lots_of(sources: Sequence[Source]) -> tuple[LotPart, ...]:
    points: dict[int, int] = {}
    for source in sources:
        for lot in source.lots:
            points[lot.lot_id] = points.get(lot.lot_id, 0) + lot.points
    return tuple(LotPart(lot_id=lot_id, points=n) for lot_id, n in points.items())


__all__ = ["Basket", "Outcome", "TillProbe", "read_answer", "risk", "take"]

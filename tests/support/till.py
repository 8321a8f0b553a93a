"""A whole till over real SQLite files, and a centre in memory that speaks just enough."""

import hashlib
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import zstandard
from msgspec import convert

from agent.bootstrap import ANCHOR_FILE, IDENTITY_FILE, open_till
from agent.identity import Identity, save_identity
from agent.journal.anchor import Anchor, AnchorFile, Mark
from agent.journal.database import Database
from agent.journal.journal import Journal
from agent.link.till_side import JournalTillSide
from agent.reference_data.cache import Cache, open_cache_database
from agent.system import System
from agent.till_service.allowances import send_idle_home, stock
from agent.till_service.messages import (
    CompleteRequest,
    ReceiptAnswer,
    ReceiptRequest,
    ReserveRequest,
    ReturnAnswer,
    ReturnRequest,
)
from agent.till_service.returns import ReturnService
from agent.till_service.service import TillService
from agent.till_service.till import Till, TillSettings, join_till
from loyalty.account import AccountSnapshot, LotPart, RedeemRequest
from loyalty.basket import BasketLine, Place
from loyalty.bundle import Bundle
from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes
from loyalty.counters import ends_on
from loyalty.returns import ReturnItem
from sync.cycle import Ask, Fetch, converse
from sync.errors import LinkError
from sync.fingerprints import bucket_of, differing, fingerprint
from sync.messages import (
    AccountRow,
    AuthoriseAnswer,
    AuthoriseRequest,
    Compare,
    CompareAnswer,
    CounterAnswer,
    CounterGrant,
    CounterRequest,
    Cursor,
    Grant,
    Hello,
    HelloAnswer,
    Manifest,
    Message,
    Pull,
    PullAnswer,
    Push,
    SnapshotAnswer,
    SnapshotRequest,
    UsedCode,
    Verdict,
)
from sync.messages import ReceiptAnswer as KnownReceipt
from sync.messages import ReceiptRequest as ReceiptQuestion
from sync.neighbours import AskSibling
from sync.records import Record, decode_record
from sync.reporting import Report, ReportAnswer
from sync.signing import NO_SESSION, SigningKey, card_hash, sign_message
from tests.support import builders
from tests.unit.sync.modelled_centre import ModelledCentre

TILL_ID = 17
NOON_MS = 1_741_176_000_000
DAY_MS = 86_400_000
CARD = "2990 0000 0000 0017"
OTHER_CARD = "2990 0000 0000 0024"
CARD_KEY = bytes(range(32))
TOKEN = "6f1c 2b token of one register"
RECEIPT = "01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d"
OTHER_RECEIPT = "01957e3c-9a41-7c11-8d22-3e4f5a6b7c8d"
RETURN = "01957e40-11f0-7a02-9b13-0c1d2e3f4a5b"
OTHER_RETURN = "01957e40-11f1-7a02-9b13-0c1d2e3f4a5b"

TILL_SEED = b"the till's key, of 32 bytes here"
CENTRE_KEY = SigningKey(b"the centre's key, of 32 bytes ..")
RULE_KEY = SigningKey(b"the rules' key, of 32 bytes too.")
STRANGER_KEY = SigningKey(b"somebody else's key, of 32 bytes")

IDENTITY = Identity(
    till_id=TILL_ID,
    place=Place(store="store-1", region="north", banner="green", till="1"),
    centre_url="http://127.0.0.1:9",
    key_seed=TILL_SEED,
    card_key=CARD_KEY,
    centre_key=CENTRE_KEY.public,
    rule_keys=(RULE_KEY.public,),
    pos_token=TOKEN,
)

M = TypeVar("M", bound=Message)
R = TypeVar("R")
Question = Ask | Fetch | AskSibling
Answers = Callable[[Question], Message | bytes | None]


class SetSystem(System):
    """A clock the test turns, and randomness that is counted off."""

    def __init__(self, now_ms: int = NOON_MS) -> None:
        self.wall_ms = now_ms
        self.passed_ms = 0
        self.boot = 1
        self._drawn = 0

    def now_ms(self) -> int:
        """Return the time the test has set."""
        return self.wall_ms

    def monotonic_ms(self) -> int:
        """Return how much time the test has let pass."""
        return self.passed_ms

    def awake_ms(self) -> int:
        """Return the same: this machine never sleeps."""
        return self.passed_ms

    def boot_id(self) -> str:
        """Return a name of the boot the test is in."""
        return f"boot {self.boot}"

    def reboot(self) -> None:
        """Start the monotonic clock anew."""
        self.passed_ms = 0
        self.boot += 1

    def random_bytes(self, count: int) -> bytes:
        """Return the next bytes of a fixed sequence."""
        self._drawn += 1
        return hashlib.shake_128(self._drawn.to_bytes(8, "big")).digest(count)

    def jitter(self) -> float:
        """Return the middle."""
        return 0.5

    def let_pass(self, ms: int) -> None:
        """Let time go by."""
        self.wall_ms += ms
        self.passed_ms += ms


# What a register says


def receipt(
    *lines: BasketLine,
    version: int = 1,
    card: str = "",
    codes: Iterable[str] = (),
    training: bool = False,
) -> ReceiptRequest:
    """Return a receipt as the register sends it; of one line of 10.00 when no line is given."""
    return ReceiptRequest(
        version=version,
        moment=builders.A_WEDNESDAY,
        lines=lines or (builders.line(),),
        codes=tuple(codes),
        card=card,
        training=training,
    )


def reserving(request: ReceiptRequest, points: int | None = None) -> ReserveRequest:
    """Return the wish to redeem on a receipt: so many points, or as many as possible."""
    wish = RedeemRequest(points=points or 0, as_many_as_possible=points is None)
    return convert({**_fields(request), "redeem": wish}, ReserveRequest)


def completing(request: ReceiptRequest, paid_minor: int) -> CompleteRequest:
    """Return the receipt as it is about to be printed."""
    return convert({**_fields(request), "paid_minor": paid_minor}, CompleteRequest)


def returning(
    *lines: str | ReturnItem,
    original: str = RECEIPT,
    confirm: bool = True,
    moment: str = "2025-03-06T12:00:00",
    money_back_minor: int | None = None,
) -> ReturnRequest:
    """Return a wish to take lines back, whole where only named; line 1 when none is given."""
    return ReturnRequest(
        original_receipt_id=original,
        lines=builders.items(*lines or ("1",)),
        moment=moment,
        confirm=confirm,
        money_back_minor=money_back_minor,
    )


def _fields(request: ReceiptRequest) -> dict[str, object]:
    return {name: getattr(request, name) for name in ReceiptRequest.__struct_fields__}


def calculation_of(answer: ReceiptAnswer) -> Calculation:
    """Return the calculation an answer carries."""
    assert answer.calculation
    return msgspec.json.decode(answer.calculation, type=Calculation)


# What a centre knows


def customer(
    card: str = CARD,
    account_id: int = 7,
    *,
    points: int = 0,
    held_points: int = 0,
    blocked: bool = False,
    version: int = 1,
    tier: str = "",
) -> AccountRow:
    """Return an account as the centre tells it."""
    snapshot = AccountSnapshot(
        identified=True, account_id=account_id, tier=tier, points=points, version=version
    )
    return AccountRow(
        card=card_hash(CARD_KEY, card),
        snapshot=snapshot,
        blocked=blocked,
        masked_name="A*** K.",
        points=points,
        held_points=held_points,
    )


def signed_bundle(bundle: Bundle, *, key: SigningKey = RULE_KEY) -> tuple[Manifest, bytes]:
    """Return a bundle's manifest, signed, and its bytes."""
    content = canonical_bytes(bundle)
    return signed_manifest(content, version=bundle.version, key=key), content


def signed_manifest(content: bytes, *, version: int, key: SigningKey = RULE_KEY) -> Manifest:
    """Return the signed manifest of any bytes."""
    manifest = Manifest(
        bundle=hashlib.sha256(content).hexdigest(), version=version, size_bytes=len(content)
    )
    return sign_message(manifest, key)


@dataclass(slots=True)
class FakeCentre:
    """One till's centre: judges the stream, tells accounts, hands out signed rights, has no ledger.

    Attributes:
        stream: what it has of the till's records.
        accounts: by card hash; told by snapshot at once, by pull where listed in `changed`.
        to_grant: points by lot that the next verified session is given.
        granted: rights handed out; told again with every pull of their session.
        free_points: what may still be authorised, by account.
        counters_left: what may still be handed out of shared counters.
        counter_share: how much of one it hands out in advance.
        counter_grants: what it handed out; told again in its session until it is taken.
        used_codes: codes it says are used up.
        hold_s: how long it says a pull may wait.
        takes_reports: it says that it hears of rules between two HELLOs.
        epoch: of its feed; a higher one says that it goes on with an older copy of itself.
        silent: paths that get no answer.
        questions: everything it was asked, answered or not.
    """

    till_id: int = TILL_ID
    system: System = field(default_factory=SetSystem)
    stream: ModelledCentre = field(init=False)
    accounts: dict[bytes, AccountRow] = field(default_factory=dict)
    changed: list[AccountRow] = field(default_factory=list)
    to_grant: list[tuple[int, tuple[LotPart, ...]]] = field(default_factory=list)
    granted: list[Grant] = field(default_factory=list)
    recalls: list[str] = field(default_factory=list)
    free_points: dict[int, int] = field(default_factory=dict)
    held_elsewhere_points: int = 0
    counters_left: dict[str, int] = field(default_factory=dict)
    counter_share: int = 2
    counter_grants: list[CounterGrant] = field(default_factory=list)
    used_codes: tuple[UsedCode, ...] = ()
    risk_points_total: int = 0
    offline_points_max: int | None = None
    hold_s: int = 0
    takes_reports: bool = False
    is_revoked: bool = False
    epoch: int = 1
    receipts: dict[str, KnownReceipt] = field(default_factory=dict)
    newest: tuple[Manifest, bytes] | None = None
    silent: set[str] = field(default_factory=set)
    questions: list[Question] = field(default_factory=list)
    session: bytes = NO_SESSION
    incarnation: bytes = b""

    def __post_init__(self) -> None:
        self.stream = ModelledCentre(self.till_id)

    def knows(self, *rows: AccountRow) -> None:
        """Know these accounts, and tell them with the next pull."""
        for row in rows:
            self.accounts[row.card] = row
            self.changed.append(row)

    def grants(self, points: int, account_id: int = 7, *, lot_id: int = 501) -> None:
        """Set points of one lot aside for the till."""
        self.to_grant.append((account_id, (builders.lot(lot_id, points),)))

    def publishes(self, bundle: Bundle) -> None:
        """Announce a bundle from now on."""
        self.newest = signed_bundle(bundle)

    def records(self) -> list[Record]:
        """Return what it has of the newest stream."""
        newest = max(self.stream.streams.values(), key=lambda kept: kept.number)
        return [decode_record(body) for body in newest.bodies]

    def asked(self, kind: type[M]) -> list[M]:
        """Return the messages of one kind it was sent."""
        messages = [question.message for question in self.questions if isinstance(question, Ask)]
        return [message for message in messages if isinstance(message, kind)]

    def answer(self, question: Question) -> Message | bytes:
        """Answer a question.

        Raises:
            LinkError: for the paths that are silent.
        """
        self.questions.append(question)
        assert not isinstance(question, AskSibling), "a till without siblings asks none"
        if isinstance(question, Fetch):
            assert self.newest is not None
            return zstandard.compress(self.newest[1])
        if question.path in self.silent:
            raise LinkError("no answer")
        return self._heard(question.message)

    def _heard(self, message: Message) -> Message:
        if isinstance(message, Hello):
            return self.answer_hello(message)
        if isinstance(message, Push):
            return self.stream.push(message)
        if isinstance(message, Pull):
            return self._pull(message)
        if isinstance(message, Compare):
            return self._compare(message)
        if isinstance(message, Report):
            return ReportAnswer()
        if isinstance(message, SnapshotRequest):
            return SnapshotAnswer(account=self.accounts.get(message.card))
        if isinstance(message, AuthoriseRequest):
            return self._authorise(message)
        return self._answer_at_the_counter(message)

    def _answer_at_the_counter(self, message: Message) -> Message:
        if isinstance(message, CounterRequest):
            return self._hand_out(message)
        assert isinstance(message, ReceiptQuestion)
        return self.receipts.get(message.key, KnownReceipt())

    def answer_hello(self, hello: Hello) -> HelloAnswer:
        """Judge the stream and open a session."""
        answer = self.stream.hello(hello)
        self.session, self.incarnation = answer.session, hello.incarnation
        return msgspec.structs.replace(
            answer,
            server_time_ms=self.system.now_ms(),
            risk_points_total=self.risk_points_total,
            offline_points_max=self.offline_points_max,
            hold_s=self.hold_s,
            reports=self.takes_reports,
            verdict=self._verdict(hello, answer),
        )

    def _verdict(self, hello: Hello, answer: HelloAnswer) -> Verdict:
        if self.is_revoked:
            return "revoked"
        is_old = hello.feed_epoch not in (0, self.epoch)
        return "epoch" if is_old and answer.verdict == "ok" else answer.verdict

    def _pull(self, pull: Pull) -> PullAnswer:
        for account_id, lots in self.to_grant:
            self.granted.append(self.grant(account_id, lots))
        self.to_grant.clear()
        rows, self.changed = tuple(self.changed), []
        manifest = self.newest[0] if self.newest else None
        return PullAnswer(
            cursor=Cursor(epoch=pull.cursor.epoch or self.epoch, row=pull.cursor.row + len(rows)),
            applied_through=0,
            more=False,
            accounts=rows,
            grants=tuple(grant for grant in self.granted if grant.session == self.session),
            recalls=tuple(self.recalls),
            manifest=manifest if manifest and manifest.bundle != pull.bundle else None,
        )

    def _compare(self, asked: Compare) -> CompareAnswer:
        known = [
            (card, row.snapshot.account_id, row.snapshot.version)
            for card, row in self.accounts.items()
        ]
        told = differing(fingerprint(known), asked.sums)
        rows = tuple(row for card, row in self.accounts.items() if bucket_of(card) in told)
        return CompareAnswer(cursor=Cursor(epoch=self.epoch), buckets=bytes(told), accounts=rows)

    def grant(
        self, account_id: int, lots: tuple[LotPart, ...], *, sale_key: str = "", number: int = 0
    ) -> Grant:
        """Return a signed right for the live session; an authorisation if a sale is named."""
        grant = Grant(
            grant_id=f"01957e00-0000-7abc-8def-{number or len(self.granted) + 1:012d}",
            purpose="authorisation" if sale_key else "grant",
            account_id=account_id,
            till_id=self.till_id,
            incarnation=self.incarnation,
            session=self.session,
            points=sum(lot.points for lot in lots),
            lots=lots,
            not_after_ms=self.system.now_ms() + 14 * DAY_MS,
            sale_key=sale_key,
        )
        return sign_message(grant, CENTRE_KEY)

    def _hand_out(self, asked: CounterRequest) -> CounterAnswer:
        for wish in asked.wishes:
            amount = min(
                max(wish.amount, self.counter_share), self.counters_left.get(wish.counter, 0)
            )
            if amount:
                self.counters_left[wish.counter] -= amount
                self.counter_grants.append(self.counter_grant(wish.counter, amount))
        return CounterAnswer(
            grants=tuple(
                grant
                for grant in self.counter_grants
                if grant.session == self.session and grant.grant_id not in asked.taken
            ),
            used_codes=self.used_codes,
        )

    def counter_grant(self, counter: str, amount: int) -> CounterGrant:
        """Return a signed right to a shared counter for the live session."""
        grant = CounterGrant(
            grant_id=f"01957e00-0000-7abc-8dec-{len(self.counter_grants) + 1:012d}",
            counter=counter,
            till_id=self.till_id,
            incarnation=self.incarnation,
            session=self.session,
            amount=amount,
            ends_on=ends_on(counter),
        )
        return sign_message(grant, CENTRE_KEY)

    def _authorise(self, asked: AuthoriseRequest) -> AuthoriseAnswer:
        of_sale = [grant for grant in self.granted if grant.sale_key == asked.key]
        missing = asked.points - sum(grant.points for grant in of_sale)
        points = min(missing, self.free_points.get(asked.account_id, 0))
        if points > 0:
            self.free_points[asked.account_id] -= points
            lots = (builders.lot(900 + len(self.granted), points),)
            made = self.grant(asked.account_id, lots, sale_key=asked.key)
            self.granted.append(made)
            of_sale.append(made)
        return AuthoriseAnswer(
            authorisations=tuple(of_sale), held_elsewhere_points=self.held_elsewhere_points
        )


# A till


def no_answer(_: Question) -> None:
    """Answer like a line that is down."""


def driven(steps: Generator[Question, Any, R], answers: Answers) -> R:
    """Run a generator of the till to its end, as the till's thread does."""
    try:
        question = next(steps)
        while True:
            try:
                reply = answers(question)
            except LinkError as error:
                question = steps.throw(error)
            else:
                question = steps.send(reply)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


class JoinedTill:
    """A till with its services over the files in a folder.

    Attributes:
        centre: whom it talks to; None for a till that never reaches any.
    """

    def __init__(
        self,
        folder: Path,
        *,
        centre: FakeCentre | None = None,
        system: SetSystem | None = None,
        identity: Identity = IDENTITY,
        settings: TillSettings | None = None,
        till: Till | None = None,
    ) -> None:
        """Open the files.

        Args:
            till: over files that are open already.
        """
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.centre = centre
        self.system = system or SetSystem()
        self.till = till or open_till(folder, identity, self.system, settings or TillSettings())
        self.receipts = TillService(self.till)
        self.returns = ReturnService(self.till)
        self.side = JournalTillSide(self.till, software="tillside-agent/test")

    def _answers(self, question: Question) -> Message | bytes | None:
        """Answer what a sale asks: None where the link would give none in time."""
        if self.centre is None:
            return None
        try:
            return self.centre.answer(question)
        except LinkError:
            return None

    def update(self, request: ReceiptRequest, receipt_id: str = RECEIPT) -> ReceiptAnswer:
        """Calculate a receipt."""
        return driven(self.receipts.update(receipt_id, request), self._answers)

    def reserve(
        self, request: ReceiptRequest, points: int | None = None, receipt_id: str = RECEIPT
    ) -> ReceiptAnswer:
        """Set points aside."""
        steps = self.receipts.reserve(receipt_id, reserving(request, points))
        return driven(steps, self._answers)

    def complete(
        self, request: ReceiptRequest, paid_minor: int, receipt_id: str = RECEIPT
    ) -> ReceiptAnswer:
        """Record a receipt."""
        steps = self.receipts.complete(receipt_id, completing(request, paid_minor))
        return driven(steps, self._answers)

    def cancel(self, receipt_id: str = RECEIPT) -> ReceiptAnswer:
        """Give a receipt up."""
        return self.receipts.cancel(receipt_id)

    def take_back(self, request: ReturnRequest, return_id: str = RETURN) -> ReturnAnswer:
        """Preview or confirm a return."""
        return driven(self.returns.handle(return_id, request), self._answers)

    def talk(self, *, greet: bool = True) -> None:
        """Hold one conversation with the centre; the link is up after it.

        Raises:
            LinkError: the centre was silent.
        """
        assert self.centre is not None
        send_idle_home(self.till)
        driven(converse(self.side, greet=greet), self.centre.answer)
        driven(stock(self.till), self.centre.answer)
        self.till.link_up = True

    def cut_off(self) -> None:
        """Lose the line, and notice."""
        self.till.link_up = False

    def take_rules(self, bundle: Bundle) -> None:
        """Have a bundle active, as if it had been fetched."""
        self.till.books.take(*signed_bundle(bundle), self.till.identity.place)

    def own_records(self) -> list[Record]:
        """Return all records of the current stream, acknowledged or not."""
        stream = self.till.journal.stream
        with self.till.journal.transaction():
            acked_seq = stream.head().acked_seq
            stream.move_acked(0, durable_seq=0)
            push = stream.next_push()
            stream.move_acked(acked_seq, durable_seq=0)
        return [decode_record(body) for body in push.records] if push else []

    def close(self) -> None:
        """Close the files."""
        self.till.journal.close()
        self.till.cache.close()

    def reopened(self) -> "JoinedTill":
        """Close the files and return a new till over them; what was in memory is gone."""
        self.close()
        return JoinedTill(
            self.folder, centre=self.centre, system=self.system, identity=self.till.identity
        )


class KeptMark:
    """An anchor in memory."""

    def __init__(self) -> None:
        self.mark: Mark | None = None

    def read(self) -> Mark | None:
        """Return the mark."""
        return self.mark

    def write(self, mark: Mark) -> None:
        """Keep the mark."""
        self.mark = mark


def joined_over(
    journal: Database,
    folder: Path,
    *,
    cache: Database | None = None,
    system: SetSystem | None = None,
    centre: FakeCentre | None = None,
    anchor: Anchor | None = None,
) -> JoinedTill:
    """Return a till over databases a test has opened by itself."""
    system = system or SetSystem()
    till = join_till(
        identity=IDENTITY,
        journal=Journal(journal, TILL_ID, anchor or AnchorFile(folder / ANCHOR_FILE)),
        cache=Cache(cache or open_cache_database(str(folder / "cache.db"))),
        system=system,
        settings=TillSettings(),
    )
    return JoinedTill(folder, centre=centre, system=system, till=till)


def enrolled_folder(folder: Path, identity: Identity = IDENTITY) -> Path:
    """Return a data folder with an identity, as enrolment leaves it."""
    folder.mkdir(exist_ok=True)
    save_identity(folder / IDENTITY_FILE, identity)
    return folder

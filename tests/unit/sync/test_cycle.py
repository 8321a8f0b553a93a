"""A conversation may end anywhere: nothing is lost, and the next one brings both sides together."""

from dataclasses import dataclass, field
from typing import Literal

import msgspec
import pytest

from sync.chain import first_link, links
from sync.cycle import (
    PATH_HELLO,
    PATH_PULL,
    PATH_PUSH,
    Ask,
    Fetch,
    converse,
)
from sync.errors import BusyError, LinkError, RefusedError, SyncError
from sync.forgetting import Forgotten, ForgottenAnswer
from sync.lines import Lines, LinesAnswer
from sync.messages import (
    Compare,
    CompareAnswer,
    Cursor,
    Hello,
    HelloAnswer,
    Manifest,
    Message,
    Pull,
    PullAnswer,
    Push,
    PushAnswer,
    Verdict,
)
from sync.reporting import Report
from tests.unit.sync.modelled_centre import ModelledCentre

TILL_ID = 17
BATCH = 2
BUNDLE = Manifest(bundle="5f" * 32, version=2, size_bytes=6)
PAGES = 2


@dataclass(slots=True)
class LetterTill:
    """A till whose records are letters; of the first page it pulls it makes a record.

    Attributes:
        told: what it was told to do, in order.
        page: how far it has pulled.
        failed: why the bundle could not be fetched.
    """

    letters: str
    number: int = 1
    acked: int = 0
    session: bool = False
    page: int = 0
    bundle: bytes = b""
    announced: bool = False
    told: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def incarnation(self) -> bytes:
        return self.number.to_bytes(8, "big")

    def chain(self) -> list[bytes]:
        start = first_link(TILL_ID, self.incarnation)
        return [start, *links(start, self.bodies())]

    def bodies(self) -> list[bytes]:
        return [letter.encode() for letter in self.letters]

    def hello(self) -> Hello:
        self.session = False
        chain = self.chain()
        return Hello(
            incarnation=self.incarnation,
            incarnation_number=self.number,
            seq=len(self.letters),
            head=chain[-1],
            acked_seq=self.acked,
            acked_hash=chain[self.acked],
            clock_ms=0,
            bundle="",
            software="",
        )

    def hello_answered(self, answer: HelloAnswer) -> None:
        self.told.append(answer.verdict)
        chain = self.chain()
        agrees = answer.last_seq < len(chain) and chain[answer.last_seq] == answer.last_hash
        if answer.verdict == "amnesia" or (answer.verdict != "revoked" and not agrees):
            self.restart(answer.incarnation_number_min)
            return
        self.session = True
        if answer.verdict != "revoked":
            self.acked = answer.last_seq

    def restart(self, number: int) -> None:
        """Begin a new stream with an opening and what was not acknowledged."""
        self.session = False
        self.letters, self.number, self.acked = "o" + self.letters[self.acked :], number, 0

    def has_session(self) -> bool:
        return self.session

    def next_push(self) -> Push | None:
        if self.acked == len(self.letters):
            return None
        return Push(
            incarnation=self.incarnation,
            from_seq=self.acked + 1,
            previous_hash=self.chain()[self.acked],
            records=tuple(self.bodies()[self.acked : self.acked + BATCH]),
        )

    def as_lines(self, push: Push) -> Lines | None:
        return None

    def lines_answered(self, push: Push, answer: LinesAnswer) -> PushAnswer | None:
        raise NotImplementedError

    def push_answered(self, push: Push, answer: PushAnswer) -> None:
        self.told.append(answer.verdict)
        if answer.verdict == "fork":
            self.restart(answer.incarnation_number_min)
        else:
            self.acked = answer.last_seq

    def pull(self) -> Pull:
        return Pull(
            incarnation=self.incarnation, cursor=Cursor(row=self.page), bundle="", bytes_max=1_024
        )

    def pull_answered(self, answer: PullAnswer) -> None:
        if answer.recalls and "r" not in self.letters:
            self.letters += "r"
        self.announced = self.announced or answer.manifest is not None
        self.page = answer.cursor.row

    def compare(self) -> Compare | None:
        return None

    def compared(self, answer: CompareAnswer) -> None:
        raise AssertionError("nothing was compared")

    def forgotten(self) -> Forgotten | None:
        return None

    def forgotten_answered(self, answer: ForgottenAnswer) -> None:
        raise AssertionError("nobody was forgotten")

    def report(self) -> Report | None:
        return None

    def report_kept(self, said: Report) -> None:
        raise AssertionError("nothing was reported")

    def wanted_piece(self) -> tuple[Manifest, int] | None:
        return (BUNDLE, 0) if self.announced and not self.bundle else None

    def piece_arrived(self, manifest: Manifest, piece: int, content: bytes) -> None:
        assert (manifest, piece) == (BUNDLE, 0)
        self.bundle = content

    def fetch_failed(self, error: LinkError) -> None:
        self.failed.append(str(error))


@dataclass(slots=True)
class Centre(ModelledCentre):
    """A centre with two pages to pull and one bundle.

    Attributes:
        gaps: before how many pushes it loses every record but the first.
        says: the verdict on every HELLO, whatever it says; there is no session after an amnesia.
    """

    gaps: int = 0
    says: Verdict | None = None

    def answer(self, wish: Ask | Fetch) -> Message | bytes:
        if isinstance(wish, Fetch):
            return b"bundle"
        match wish.message:
            case Hello() as hello:
                return self.verdict(hello)
            case Push() as push:
                return self.gap(push) if self.gaps else self.push(push)
            case Pull() as pull:
                row = min(pull.cursor.row + 1, PAGES)
                return PullAnswer(
                    cursor=Cursor(row=row),
                    applied_through=0,
                    more=row < PAGES,
                    recalls=("grant",) if row == 1 else (),
                    manifest=BUNDLE,
                )
        raise AssertionError(wish)

    def verdict(self, hello: Hello) -> HelloAnswer:
        answer = self.hello(hello)
        if self.says is None:
            return answer
        self.session_open = self.says != "amnesia"
        return msgspec.structs.replace(answer, verdict=self.says)

    def gap(self, push: Push) -> PushAnswer:
        self.gaps -= 1
        self.lose_after(push.incarnation, 1)
        return self.push(push)

    def letters(self, number: int = 1) -> str:
        kept = self.streams.get(number.to_bytes(8, "big"))
        return b"".join(kept.bodies).decode() if kept else ""


NAMES = {PATH_HELLO: "hello", PATH_PUSH: "push", PATH_PULL: "pull"}


def name_of(wish: Ask | Fetch) -> str:
    """Return what is wished for, with the letters of a push."""
    if isinstance(wish, Fetch):
        return "bundle"
    if isinstance(wish.message, Push):
        return f"push {b''.join(wish.message.records).decode()}"
    return NAMES[wish.path]


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the line is cut: at which wish, and whether the centre has heard it."""

    at: int
    lost: Literal["request", "answer"]
    error: SyncError = field(default_factory=lambda: LinkError("the line is cut"))


def talk(
    till: LetterTill, centre: Centre, *, greet: bool = True, cut: Cut | None = None
) -> list[str]:
    """Drive a conversation as the service does; return what was wished for."""
    wishes = []
    conversation = converse(till, greet=greet)
    try:
        wish = next(conversation)
        while True:
            wishes.append(name_of(wish))
            try:
                if cut and len(wishes) == cut.at and cut.lost == "request":
                    raise cut.error
                answer = centre.answer(wish)
                if cut and len(wishes) == cut.at:
                    raise cut.error
            except SyncError as error:
                conversation.throw(error)
                raise AssertionError("the error did not end the conversation") from error
            wish = conversation.send(answer)
    except StopIteration:
        return wishes


WHOLE = ["hello", "push ab", "push c", "pull", "pull", "push r", "bundle"]


def test_conversation_greets_pushes_pulls_pushes_and_fetches() -> None:
    till, centre = LetterTill("abc"), Centre(TILL_ID)
    assert talk(till, centre) == WHOLE
    assert centre.letters() == till.letters == "abcr"
    assert (till.page, till.bundle) == (PAGES, b"bundle")


def test_conversation_with_nothing_to_say_only_pulls() -> None:
    till, centre = LetterTill("abc"), Centre(TILL_ID)
    talk(till, centre)
    assert talk(till, centre, greet=False) == ["pull"]


def test_wishes_name_the_answers_they_have() -> None:
    conversation = converse(LetterTill("abc"), greet=True)
    wish = next(conversation)
    assert isinstance(wish, Ask)
    assert (wish.path, wish.answer) == ("/v1/till/hello", HelloAnswer)


@pytest.mark.parametrize("lost", ["request", "answer"])
@pytest.mark.parametrize("at", range(1, len(WHOLE)))
def test_cut_at_any_step_loses_nothing(at: int, lost: Literal["request", "answer"]) -> None:
    till, centre = LetterTill("abc"), Centre(TILL_ID)
    with pytest.raises(LinkError, match="the line is cut"):
        talk(till, centre, cut=Cut(at, lost))
    assert till.letters.startswith(centre.letters())
    talk(till, centre)
    assert centre.letters() == till.letters == "abcr"
    assert (till.acked, till.page, till.bundle) == (4, PAGES, b"bundle")
    assert centre.branches == []


def test_a_bundle_that_cannot_be_fetched_ends_the_fetching_and_no_more() -> None:
    till, centre = LetterTill("abc"), Centre(TILL_ID)
    assert talk(till, centre, cut=Cut(len(WHOLE), "answer")) == WHOLE
    assert (till.failed, till.bundle) == (["the line is cut"], b"")
    assert talk(till, centre, greet=False) == ["pull", "bundle"]


@pytest.mark.parametrize("lost", ["request", "answer"])
@pytest.mark.parametrize("first", range(1, len(WHOLE) + 1))
@pytest.mark.parametrize("second", range(1, 4))
def test_cut_again_loses_nothing(
    first: int, second: int, lost: Literal["request", "answer"]
) -> None:
    till, centre = LetterTill("abc"), Centre(TILL_ID)
    for at in (first, second):
        # A short rest of a conversation may be over before its cut.
        try:
            talk(till, centre, cut=Cut(at, lost))
        except LinkError:
            till.letters += "s"
    talk(till, centre)
    assert centre.letters() == till.letters
    assert sorted(till.letters.replace("s", "")) == list("abcr")


@pytest.mark.parametrize(
    "error",
    [BusyError(5.0), RefusedError("session_unknown", "say HELLO")],
    ids=lambda error: type(error).__name__,
)
def test_refusal_ends_the_conversation_and_the_next_goes_on(error: SyncError) -> None:
    till, centre = LetterTill("abc"), Centre(TILL_ID)
    with pytest.raises(type(error)):
        talk(till, centre, cut=Cut(3, "request", error))
    assert talk(till, centre) == ["hello", *WHOLE[2:]]


def test_lost_acknowledgement_is_made_up_for_by_hello() -> None:
    till, centre = LetterTill("abc"), Centre(TILL_ID)
    with pytest.raises(LinkError):
        talk(till, centre, cut=Cut(2, "answer"))
    assert (till.acked, centre.letters()) == (0, "ab")
    assert talk(till, centre)[:2] == ["hello", "push c"]


def test_without_hello_a_lost_acknowledgement_is_answered_with_what_is_known() -> None:
    till, centre = LetterTill("abc"), Centre(TILL_ID)
    with pytest.raises(LinkError):
        talk(till, centre, cut=Cut(2, "answer"))
    assert talk(till, centre, greet=False)[:2] == ["push ab", "push c"]
    assert centre.letters() == till.letters


def test_till_that_went_back_in_time_begins_anew_and_repeats_what_is_not_known() -> None:
    till, centre = LetterTill("abc"), Centre(TILL_ID)
    talk(till, centre)
    restored = LetterTill("abX", acked=2)
    assert talk(restored, centre)[:4] == ["hello", "hello", "push oX", "pull"]
    assert restored.told[:2] == ["amnesia", "ok"]
    assert restored.number == 2
    assert (centre.letters(1), centre.letters(2)) == ("abcr", "oXr")


def test_till_finds_by_itself_that_the_centre_has_other_records() -> None:
    till, centre = LetterTill("abc"), Centre(TILL_ID)
    talk(till, centre)
    # Longer than what the centre has and different where neither end is: only the answer shows it.
    restored = LetterTill("abXYZ", acked=2)
    assert talk(restored, centre)[:2] == ["hello", "hello"]
    assert restored.told[:2] == ["ok", "ok"]
    assert centre.letters(2) == "oXYZr"


def test_fork_greets_again_and_goes_on_in_the_new_stream() -> None:
    till, centre = LetterTill("abc"), Centre(TILL_ID)
    talk(till, centre)
    restored = LetterTill("abXY", acked=2, session=True, page=PAGES)
    assert talk(restored, centre, greet=False) == [
        "push XY",
        "hello",
        "push oX",
        "push Y",
        "pull",
        "bundle",
    ]
    assert restored.told == ["fork", "ok", "ack", "ack"]
    assert centre.letters(2) == "oXY"
    assert centre.branches == [b"X", b"Y"]


def test_gap_sends_again_from_what_the_centre_has() -> None:
    till, centre = LetterTill("abcde"), Centre(TILL_ID)
    talk(till, centre)
    till.letters += "xyz"
    centre.gaps = 1
    wishes = talk(till, centre, greet=False)
    assert wishes[:4] == ["push xy", "push bc", "push de", "push rx"]
    assert centre.letters() == till.letters == "abcderxyz"


def test_centre_that_lost_records_gets_them_again() -> None:
    till, centre = LetterTill("abc"), Centre(TILL_ID)
    talk(till, centre)
    centre.lose_after(till.incarnation, 1)
    assert talk(till, centre)[:3] == ["hello", "push bc", "push r"]
    assert till.told[-3:] == ["rewind", "ack", "ack"]
    assert centre.letters() == till.letters


def test_revoked_till_goes_on_delivering() -> None:
    till, centre = LetterTill("abc"), Centre(TILL_ID, says="revoked")
    assert talk(till, centre)[:3] == ["hello", "push ab", "push c"]
    assert centre.letters() == till.letters


def test_centre_that_always_says_amnesia_is_greeted_three_times_and_no_more() -> None:
    till, centre = LetterTill("abc"), Centre(TILL_ID, says="amnesia")
    with pytest.raises(RefusedError, match="session_unknown"):
        talk(till, centre)
    assert till.told == ["amnesia"] * 3
    assert till.letters.endswith("abc")

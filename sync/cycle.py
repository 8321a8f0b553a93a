"""The till's side of a conversation with the centre, without I/O: HELLO, push, pull, bundles.

`converse` is a generator: it yields what to ask, is sent the answer, and lets a `LinkError` thrown
into it end the conversation; nothing is lost by ending anywhere. One thrown at a `Fetch` ends the
fetching alone: that a bundle cannot be had says nothing of the line. The service drives it over
HTTP, the simulator through its own network (design: sync 4.2 to 4.7).
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from sync.errors import LinkError
from sync.fingerprints import BUCKETS
from sync.forgetting import PATH_FORGOTTEN, Forgotten, ForgottenAnswer
from sync.lines import PATH_LINES, Lines, LinesAnswer
from sync.messages import (
    Compare,
    CompareAnswer,
    Hello,
    HelloAnswer,
    Manifest,
    Message,
    Pull,
    PullAnswer,
    Push,
    PushAnswer,
)
from sync.reporting import PATH_REPORT, Report, ReportAnswer

PATH_HELLO = "/v1/till/hello"
PATH_PUSH = "/v1/till/push"
PATH_PULL = "/v1/till/pull"
PATH_COMPARE = "/v1/till/compare"
PATH_SNAPSHOT = "/v1/till/snapshot"
PATH_AUTHORISE = "/v1/till/authorise"
PATH_COUNTERS = "/v1/till/counters"
PATH_RECEIPT = "/v1/till/receipt"
PATH_ENROL = "/v1/enrol"
PATH_BUNDLE = "/v1/bundles/"

_RESTARTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Ask:
    """A message for the centre and the kind of answer it has."""

    path: str
    message: Message
    answer: type[Message]


@dataclass(frozen=True, slots=True)
class Fetch:
    """A piece of a bundle, by its number; the answer is its bytes, packed and not checked."""

    manifest: Manifest
    piece: int = 0


class TillSide(Protocol):
    """What the conversation needs of a till; what a method changes is durable on return."""

    def hello(self) -> Hello:
        """Say where the stream stands; ends the current session."""
        ...

    def hello_answered(self, answer: HelloAnswer) -> None:
        """Take the verdict; on amnesia the stream starts anew and rights are void."""
        ...

    def has_session(self) -> bool:
        """Say whether a session is live; not so after a verdict that made the stream start anew."""
        ...

    def next_push(self) -> Push | None:
        """Return the next batch the centre does not have, or None."""
        ...

    def as_lines(self, push: Push) -> Lines | None:
        """Return a batch in fewer bytes, where the centre takes it so; None: push it as it is."""
        ...

    def lines_answered(self, push: Push, answer: LinesAnswer) -> PushAnswer | None:
        """Return what a push that was taken would have been answered; None: say it plainer."""
        ...

    def push_answered(self, push: Push, answer: PushAnswer) -> None:
        """Move the acknowledged pointer; on a fork the stream starts anew and rights are void."""
        ...

    def pull(self) -> Pull:
        """Ask for changes since the stored cursor."""
        ...

    def pull_answered(self, answer: PullAnswer) -> None:
        """Store what has changed, then the cursor."""
        ...

    def compare(self) -> Compare | None:
        """Say what is known of accounts, if that is to be compared with the centre."""
        ...

    def compared(self, answer: CompareAnswer) -> None:
        """Take the buckets told, and the cursor when nothing is left to tell."""
        ...

    def forgotten(self) -> Forgotten | None:
        """Say how far erased customers are forgotten here, if the centre is to hear of it."""
        ...

    def forgotten_answered(self, answer: ForgottenAnswer) -> None:
        """Forget the customers told, then keep the number."""
        ...

    def report(self) -> Report | None:
        """Say how the rules stand here, if the centre is to hear of it before the next HELLO."""
        ...

    def report_kept(self, said: Report) -> None:
        """Remember what the centre has heard."""
        ...

    def wanted_piece(self) -> tuple[Manifest, int] | None:
        """Return the next piece of an announced bundle that is not here yet."""
        ...

    def piece_arrived(self, manifest: Manifest, piece: int, content: bytes) -> None:
        """Keep a piece; with the last one the bundle is tried, and a bad one is refused.

        A piece that is not the one announced ends the bundle for this conversation.
        """
        ...

    def fetch_failed(self, error: LinkError) -> None:
        """Leave the bundle for a later conversation."""
        ...


Conversation = Generator[Ask | Fetch, Message | bytes, None]


def converse(till: TillSide, *, greet: bool) -> Conversation:
    """Bring till and centre to the same state.

    Args:
        greet: begin with HELLO; without it the current session must still be good.
    """
    if greet:
        yield from _greet(till)
    yield from _push_all(till)
    yield from _pull_all(till)
    yield from _end(till)


def compare_streams(till: TillSide) -> Conversation:
    """Say HELLO and push; what the centre has to say comes with the pull that waits next."""
    yield from _greet(till)
    yield from _push_all(till)


def tell(till: TillSide) -> Conversation:
    """Bring the centre what it does not have; what it has to say comes with the pull it holds."""
    yield from _push_all(till)


def report(till: TillSide) -> Conversation:
    """Say how the rules stand, in the session there is."""
    if said := till.report():
        answer = yield Ask(PATH_REPORT, said, ReportAnswer)
        assert isinstance(answer, ReportAnswer)
        till.report_kept(said)


def hear(till: TillSide, answer: PullAnswer) -> Conversation:
    """Go on after the answer to a pull that the centre has held, in the session it was asked in."""
    yield from _pull_all(till, answer)
    yield from _end(till)


def _end(till: TillSide) -> Conversation:
    # What was pulled may have made new records (grants received, residues returned).
    yield from _push_all(till)
    while said := till.forgotten():
        next_ones = yield Ask(PATH_FORGOTTEN, said, ForgottenAnswer)
        assert isinstance(next_ones, ForgottenAnswer)
        till.forgotten_answered(next_ones)
    while wanted := till.wanted_piece():
        try:
            content = yield Fetch(*wanted)
        except LinkError as error:
            till.fetch_failed(error)
            return
        assert isinstance(content, bytes)
        till.piece_arrived(*wanted, content)


def _greet(till: TillSide) -> Conversation:
    for _ in range(_RESTARTS_MAX):
        answer = yield Ask(PATH_HELLO, till.hello(), HelloAnswer)
        assert isinstance(answer, HelloAnswer)
        till.hello_answered(answer)
        if till.has_session():
            return


def _push_all(till: TillSide) -> Conversation:
    while push := till.next_push():
        answer: Message | bytes | None = None
        while answer is None and (lines := till.as_lines(push)):
            said = yield Ask(PATH_LINES, lines, LinesAnswer)
            assert isinstance(said, LinesAnswer)
            answer = till.lines_answered(push, said)
        if answer is None:
            answer = yield Ask(PATH_PUSH, push, PushAnswer)
        assert isinstance(answer, PushAnswer)
        till.push_answered(push, answer)
        if answer.verdict == "fork":
            yield from _greet(till)


def _pull_all(till: TillSide, held: PullAnswer | None = None) -> Conversation:
    if held is not None:
        till.pull_answered(held)
    more = held is None or held.more
    while more:
        answer = yield Ask(PATH_PULL, till.pull(), PullAnswer)
        assert isinstance(answer, PullAnswer)
        till.pull_answered(answer)
        more = answer.more
    for _ in range(BUCKETS):
        if (compare := till.compare()) is None:
            break
        told = yield Ask(PATH_COMPARE, compare, CompareAnswer)
        assert isinstance(told, CompareAnswer)
        till.compared(told)

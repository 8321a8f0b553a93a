"""A centre in memory: judges with `sync.receiving`, keeps prefixes and branches."""

from dataclasses import dataclass, field

from sync.chain import first_link
from sync.errors import RefusedError
from sync.messages import Hello, HelloAnswer, Push, PushAnswer
from sync.receiving import StreamState, judge_hello, judge_push


@dataclass(slots=True)
class KeptStream:
    """The contiguous prefix of one incarnation."""

    number: int
    bodies: list[bytes] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class ModelledCentre:
    """One till's centre.

    Attributes:
        branches: what diverged, kept beside the streams.
        hellos: how many were judged; the session's number.
        session_open: pushes without one are refused.
    """

    till_id: int
    streams: dict[bytes, KeptStream] = field(default_factory=dict)
    branches: list[bytes] = field(default_factory=list)
    hellos: int = 0
    session_open: bool = False

    def hello(self, hello: Hello) -> HelloAnswer:
        """Judge a HELLO and open a session, and the stream if it is a new one."""
        newest = max((kept.number for kept in self.streams.values()), default=0)
        state = self.state(hello.incarnation)
        judgement = judge_hello(hello, state, newest_incarnation_number=newest)
        if state is None and judgement.verdict != "amnesia":
            self.streams[hello.incarnation] = KeptStream(hello.incarnation_number)
            newest = hello.incarnation_number
        self.hellos += 1
        self.session_open = True
        known = self.state(hello.incarnation)
        return HelloAnswer(
            verdict=judgement.verdict,
            verified=judgement.verified,
            session=self.hellos.to_bytes(16, "big"),
            last_seq=known.last_seq if known else 0,
            last_hash=known.last_hash if known else first_link(self.till_id, hello.incarnation),
            durable_seq=known.last_seq if known else 0,
            server_time_ms=0,
            incarnation_number_min=newest + 1,
        )

    def push(self, push: Push) -> PushAnswer:
        """Judge a push; keep what continues the prefix, and what diverges as a branch.

        Raises:
            RefusedError: no session, or no HELLO announced the stream.
        """
        state = self.state(push.incarnation)
        if not self.session_open:
            raise RefusedError("session_unknown", "say HELLO")
        if state is None:
            raise RefusedError("stream_unknown", "say HELLO")
        kept = self.streams[push.incarnation]
        known = dict(enumerate(kept.hashes, start=1))
        judgement = judge_push(push, state, known, till_id=self.till_id)
        if judgement.verdict == "ack":
            kept.bodies += push.records[judgement.skip :]
            kept.hashes += judgement.hashes[judgement.skip :]
        if judgement.verdict == "fork":
            self.branches += push.records
        after = self.state(push.incarnation)
        assert after is not None
        return PushAnswer(
            verdict=judgement.verdict,
            last_seq=after.last_seq,
            last_hash=after.last_hash,
            durable_seq=after.last_seq,
            incarnation_number_min=max(one.number for one in self.streams.values()) + 1,
        )

    def lose_after(self, incarnation: bytes, seq: int) -> None:
        """Go back to an older copy of one stream, as a restored database does."""
        kept = self.streams[incarnation]
        del kept.bodies[seq:], kept.hashes[seq:]

    def state(self, incarnation: bytes) -> StreamState | None:
        """Return what is kept of an incarnation."""
        kept = self.streams.get(incarnation)
        if kept is None:
            return None
        link = kept.hashes[-1] if kept.hashes else first_link(self.till_id, incarnation)
        return StreamState(incarnation, kept.number, len(kept.bodies), link)

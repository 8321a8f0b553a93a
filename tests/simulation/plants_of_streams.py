"""Planted bugs of streams: witnesses that count, branches thrown away, forks taken for more."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from unittest.mock import patch

from agent.neighbours import desk
from agent.neighbours.protecting import keep_copy
from agent.till_service.till import Till
from central.rights import suspicion
from central.streams import deliveries, ingest
from sync.messages import Hello, Push
from sync.neighbours import DeliveryAnswer, WitnessAnswer, WitnessRequest
from sync.receiving import HelloJudgement, PushJudgement, StreamState, judge_hello, judge_push
from tests.simulation.as_built import AsBuilt
from tests.simulation.faults import SOUND_DISKS, Size

_ONE_STORE = Size(stores=1, tills_per_store=4, customers=12, days=1, minutes_between_customers=80.0)
"""Three tills that are witnesses to each other."""
_RESTORES = replace(
    SOUND_DISKS, lan_cuts_per_store_day=0.0, clones_per_day=3.0, lone_restores_per_day=6.0
)
_CLONES = replace(SOUND_DISKS, clones_per_day=4.0, lone_restores_per_day=4.0)
_COPIES_ALONE = replace(
    SOUND_DISKS,
    kills_per_till_day=0.0,
    power_cuts_per_till_day=0.0,
    lan_cuts_per_store_day=0.0,
    lone_restores_per_day=8.0,
    lone_restores_off_line=1.0,
    lone_restores_off_lan=0.0,
    lone_restores_with_anchor=1.0,
)
"""What a till sold before its disk came back, siblings alone have."""


def _counting_witness(till: Till, request: WitnessRequest, sender: int) -> WitnessAnswer:
    head = request.head
    here = till.journal.witness._database.row(  # noqa: SLF001 - a bug knows no manners
        "select max(to_seq) from witness_copy where till_id = ? and incarnation = ?",
        head.till_id, head.incarnation,
    )  # fmt: skip
    if here is not None and isinstance(here[0], int) and here[0] >= head.seq:
        return WitnessAnswer(verdict="kept")
    return keep_copy(till, request, sender)


class NumbersWitnessed(AsBuilt):
    """A witness compares numbers: a shorter, different history is there already (design: S3)."""

    name = "a witness compares numbers only"
    faults = _RESTORES
    size = _ONE_STORE
    first_seed = 2

    def planted(self) -> AbstractContextManager[object]:
        """Return a witness that looks at no hash."""
        return patch.object(desk, "keep_copy", _counting_witness)


def _fork_forgotten(
    push: Push, stream: StreamState, known_hashes: dict[int, bytes], *, till_id: int
) -> PushJudgement:
    judged = judge_push(push, stream, known_hashes, till_id=till_id)
    return replace(judged, skip=len(push.records)) if judged.verdict == "fork" else judged


async def _not_kept(*_: object) -> DeliveryAnswer:
    return DeliveryAnswer(verdict="branch")


class BranchDropped(AsBuilt):
    """What diverges is refused and forgotten; its facts are lost with their till (design: S4)."""

    name = "records that diverge are dropped"
    faults = _COPIES_ALONE
    size = replace(_ONE_STORE, stores=2, tills_per_store=3)

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have the centre keep no branch, neither of a push nor of a delivery."""
        with (
            patch.object(ingest, "judge_push", _fork_forgotten),
            patch.object(deliveries, "_keep_beside", _not_kept),
        ):
            yield


def _trusting_push(
    push: Push, stream: StreamState, known_hashes: dict[int, bytes], *, till_id: int
) -> PushJudgement:
    judged = judge_push(push, stream, known_hashes, till_id=till_id)
    if judged.verdict != "fork":
        return judged
    skip = min(len(push.records), stream.last_seq - push.from_seq + 1)
    return PushJudgement("ack", skip, judged.hashes)


def _trusting_hello(
    hello: Hello, stream: StreamState | None, *, newest_incarnation_number: int, has_copies: bool
) -> HelloJudgement:
    judged = judge_hello(
        hello, stream, newest_incarnation_number=newest_incarnation_number, has_copies=has_copies
    )
    if stream is not None and judged.verdict == "amnesia" and hello.seq >= stream.last_seq:
        return HelloJudgement("ok", verified=True)
    return judged


class ForkAccepted(AsBuilt):
    """The centre compares numbers: two machines of one till write into one stream."""

    name = "a fork is accepted"
    faults = _CLONES
    size = _ONE_STORE
    first_seed = 9

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have the centre look at no hash."""
        with (
            patch.object(ingest, "judge_push", _trusting_push),
            patch.object(ingest, "judge_hello", _trusting_hello),
        ):
            yield


class CopiesGoOn(AsBuilt):
    """Two machines of one till end each other's streams as long as they live (design: 4.11)."""

    name = "a till with two machines is not quarantined"
    faults = replace(SOUND_DISKS, clones_per_day=4.0)
    size = Size(stores=1, customers=5, days=3)

    def planted(self) -> AbstractContextManager[object]:
        """Return a centre that is never sure."""
        return patch.object(suspicion, "STREAMS_BESIDE_MAX", 1_000_000)


PLANTS_OF_STREAMS: tuple[type[AsBuilt], ...] = (
    NumbersWitnessed,
    BranchDropped,
    ForkAccepted,
    CopiesGoOn,
)

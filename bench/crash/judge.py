"""Starts a till on what a power cut left, and compares it with what had been answered before.

On a disk that keeps its word the journal is one of those it was after a transaction: not older
than the last answer, not newer than the call under way; it goes on in its stream; repeated calls
get the same bytes; the centre hears every printed receipt once. On a disk that lies a tail may be
gone: then no right may come back, whatever else happened.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import msgspec

from agent.errors import JournalError
from agent.till_service.messages import ReceiptAnswer
from agent.till_service.till import Till
from bench.crash.acts import RISK_POINTS
from bench.crash.day import (
    TILL,
    Answered,
    AsBuilt,
    Day,
    LaterSystem,
    State,
    joined,
    open_till,
    state_of,
)
from bench.crash.disks import DiskInTime, Machine, Model
from loyalty.outcomes import Outcome
from sync.records import (
    GrantReturnRecord,
    Record,
    RefundRecord,
    SaleRecord,
    XferInRecord,
    XferOutRecord,
    decode_record,
)
from tests.simulation.disk import Disk
from tests.support.store_lan import StoreLan, StoreTill
from tests.support.till import DAY_MS, NOON_MS, FakeCentre

_MAY_FOLLOW = {
    Outcome.RECORDED,
    Outcome.RESERVED,
    Outcome.CANCELLED,
    # The cache may be lost with its rules: the register then shows new totals.
    Outcome.STALE_CALCULATION,
    Outcome.NOT_IDENTIFIED,
    Outcome.POINTS_INSUFFICIENT,
    Outcome.RIGHTS_EXHAUSTED,
    Outcome.RECEIPT_UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Cut:
    """A power cut.

    Attributes:
        number: of the operation in which the power goes.
        pattern: which unsynced writes survive; of a lying disk also which syncs are lies.
    """

    model: Model
    number: int
    pattern: int
    seed: int
    plant: str = ""

    @property
    def again(self) -> str:
        """The line that does it again."""
        plant = f" --plant {self.plant}" if self.plant else ""
        return (
            f"python -m bench.crash --seed {self.seed} --model {self.model}"
            f" --cut {self.number} --pattern {self.pattern}{plant}"
        )

    def disk(self, before: DiskInTime) -> Disk:
        """Return what is left of a disk that stands before the operation."""
        return before.cut(self.pattern, self.draws("survivors"))

    def draws(self, of_what: str) -> random.Random:
        """Return draws for one purpose."""
        return random.Random(f"{self.seed} {self.model} {self.number} {self.pattern} {of_what}")


def lies_of(cut: Cut) -> random.Random | None:
    """Return what draws the lies of a lying disk; they are the same for all cuts of a pattern."""
    return random.Random(f"{cut.seed} lies {cut.pattern}") if cut.model == "lying" else None


@dataclass(slots=True)
class Verdict:
    """What a cut came to.

    Attributes:
        found: what must not be; empty is good.
    """

    cut: Cut
    found: str = ""
    seen: Counter[str] = field(default_factory=Counter)


class _FoundError(Exception):
    """Something that must not be."""


def _require(holds: object, otherwise: str) -> None:
    if not holds:
        raise _FoundError(otherwise)


class Judge:
    """Judges cuts of one day."""

    def __init__(self, machine: Machine, day: Day, built: AsBuilt, folder: Path) -> None:
        self._machine = machine
        self._day = day
        self._built = built
        self._folder = folder

    def judge(self, cut: Cut, disk: Disk) -> Verdict:
        """Start a till on the disk and compare."""
        verdict = Verdict(cut)
        self._machine.put(TILL, disk)
        till: StoreTill | None = None
        try:
            opened, aside = self._opened(cut, disk, verdict)
            verdict.seen[f"{aside} set aside"] += bool(aside)
            till = joined(opened, self._folder, StoreLan(), self._centre_at(cut.number))
            if cut.model == "honest":
                self._honest(cut, till, aside)
            else:
                self._lying(cut, till, aside, verdict)
        except _FoundError as found:
            verdict.found = str(found)
        except (JournalError, AssertionError, apsw.Error) as error:
            verdict.found = f"{type(error).__name__}: {error}"
        finally:
            if till is not None:
                leave(till)
        return verdict

    def _opened(self, cut: Cut, disk: Disk, verdict: Verdict) -> tuple[Till, str]:
        """Start; in every fourth pattern the power goes once more meanwhile."""
        system = LaterSystem(NOON_MS + 3 * DAY_MS if cut.pattern % 8 == 5 else NOON_MS + DAY_MS)
        if cut.pattern % 4 == 3:
            disk.cut_power_after(cut.draws("second").randint(1, 40))
            try:
                till, aside = open_till(disk, system, self._built)
            except (JournalError, apsw.Error):
                _require(disk.is_off, "the till does not start")
                verdict.seen["cut again while starting"] += 1
                disk.come_back(lost_power=True)
            else:
                disk.cut_power_after(1 << 40)
                return till, aside
        return open_till(disk, system, self._built)

    def _centre_at(self, number: int) -> FakeCentre:
        """Return the centre as it was when the power went."""
        known = [centre for at, centre in self._day.centres if at < number]
        if not known:
            return FakeCentre(till_id=self._day.centres[0][1].till_id)
        return deepcopy(known[-1])

    def _answered(self, number: int) -> list[Answered]:
        return [answer for answer in self._day.answers if answer.done < number]

    # A disk that keeps its word

    def _honest(self, cut: Cut, till: StoreTill, aside: str) -> None:
        _require("journal" not in aside, "the journal came back damaged")
        answered = self._answered(cut.number)
        if cut.number > self._day.joined_at:
            self._holds_what_it_held(cut, till, answered)
        under_way = [a for a in self._day.answers if a.begun < cut.number <= a.done]
        self._repeats(till, answered, under_way)
        if cut.pattern % 4 == 1:
            self._hands_everything_in(till, answered)

    def _holds_what_it_held(self, cut: Cut, till: StoreTill, answered: list[Answered]) -> None:
        day = self._day
        head = till.till.journal.stream.head()
        _require(head.incarnation == day.incarnation, f"its stream ended: {_reason(till)}")
        first = answered[-1].states - 1 if answered else 0
        later = [a for a in day.answers if a.begun < cut.number <= a.done]
        last = later[0].states - 1 if later else first
        now = state_of(till.till)
        places = [at for at in range(first, last + 1) if day.states[at].digest == now.digest]
        if not places:
            known = [at for at, state in enumerate(day.states) if state.digest == now.digest]
            told = f"state {known[0]}" if known else "a state it never had"
            _require(holds=False, otherwise=f"{told} instead of {first} to {last}")
        _require(
            till.till.journal.stream.bodies_after(0, now.seq + 1) == day.bodies[: now.seq],
            "records differ",
        )

    def _repeats(
        self, till: StoreTill, answered: Iterable[Answered], under_way: Iterable[Answered]
    ) -> None:
        for each in answered:
            if each.again is None or each.name == "reserve":
                continue
            again = each.again(till)
            assert each.answer is not None
            same = msgspec.json.encode(again) == msgspec.json.encode(each.answer)
            _require(
                same or (each.name == "cancel" and again.outcome == Outcome.CANCELLED),
                f"{each.name} {each.key} repeated: {again.outcome}",
            )
        for each in under_way:
            if each.again is not None:
                once, twice = each.again(till), each.again(till)
                _require(once.outcome in _MAY_FOLLOW, f"{each.name} under way: {once.outcome}")
                _require(once.outcome == twice.outcome, f"{each.name} under way: not the same")
                if isinstance(once, ReceiptAnswer) and isinstance(twice, ReceiptAnswer):
                    _require(once.reserved_points == twice.reserved_points, "reserved again")

    def _hands_everything_in(self, till: StoreTill, answered: Iterable[Answered]) -> None:
        centre = till.centre
        assert centre is not None
        before = till.till.journal.stream.head()
        till.talk()
        head = till.till.journal.stream.head()
        _require(head.incarnation == before.incarnation, "the centre took it for another")
        own = till.till.journal.stream.bodies_after(0, head.seq)
        kept = centre.stream.streams[head.incarnation].bodies
        _require(kept == own, "the centre has other records")
        told = Counter(r.key for r in map(decode_record, own) if isinstance(r, SaleRecord))
        told += Counter(r.key for r in map(decode_record, own) if isinstance(r, RefundRecord))
        printed = {a.key for a in answered if a.name in ("complete", "return")}
        _require(all(told[key] == 1 for key in printed), "printed and not recorded once")
        _require(max(told.values(), default=0) <= 1, "recorded twice")
        excess = overspent(centre, map(decode_record, own), state_of(till.till))
        _require(not excess, f"{excess} points more than were given")

    # A disk that lies

    def _lying(self, cut: Cut, till: StoreTill, aside: str, verdict: Verdict) -> None:
        day, seen = self._day, verdict.seen
        answered = self._answered(cut.number)
        printed_seq = day.states[answered[-1].states - 1].seq if answered else 0
        head, state = till.till.journal.stream.head(), state_of(till.till)
        goes_on = head.incarnation == day.incarnation
        is_known = cut.number > day.joined_at
        # What was spent and said, whether this journal knows it or not.
        spent = day.records(max(printed_seq, state.seq) if goes_on else printed_seq)
        centre = till.centre
        assert centre is not None
        excess = overspent(centre, spent, state)
        seen["points that came back"] += excess
        _require(not excess, f"{excess} points came back and nobody noticed")
        missing = max(0, printed_seq - state.seq) if goes_on else printed_seq - _kept(till, day)
        till.talk()
        after = till.till.journal.stream.head()
        if is_known:
            seen[_how(aside, goes_on=goes_on, still=after.incarnation == day.incarnation)] += 1
            if missing:
                seen["cuts that lost an answered record"] += 1
                seen["answered records lost"] += missing
                seen["lost and nobody could tell"] += after.incarnation == day.incarnation
        _require(not till.till.journal.stream.waiting_count(), "records wait for ever")


def leave(till: StoreTill) -> None:
    """Close a till's files without writing a byte."""
    for kept in (till.till.journal, till.till.cache):
        kept._database.leave()  # noqa: SLF001 - its own `close` would tidy up


def _how(aside: str, *, goes_on: bool, still: bool) -> str:
    if "journal" in aside:
        return "told by damage"
    if not goes_on:
        return "told by the anchor"
    return "went on" if still else "told by the centre"


def _kept(till: StoreTill, day: Day) -> int:
    """Return up to where a journal that begins a new stream has the records of the old one."""
    rows = till.till.journal._database.rows(  # noqa: SLF001 - streams that are over
        "select coalesce(max(seq), 0) from record where incarnation = ?", day.incarnation
    )
    return int(rows[0][0])  # type: ignore[arg-type]


def _reason(till: StoreTill) -> str:
    record = decode_record(till.till.journal.stream.bodies_after(0, 1)[0])
    return str(getattr(record, "reason", "?"))


def overspent(centre: FakeCentre, records: Iterable[Record], state: State) -> int:
    """Return by how much what is held and what was used exceed what was given, right by right."""
    given: dict[str, int] = {
        grant.grant_id: grant.points for grant in centre.granted if grant.purpose == "grant"
    }
    used: Counter[str] = Counter()
    for record in records:
        if isinstance(record, XferInRecord):
            given[record.transfer_id] = record.points
        for right, points in _uses(record):
            used[right] += points
    excess = sum(
        max(0, state.held.get(right, 0) + used[right] - points) for right, points in given.items()
    )
    unknown = state.held.keys() - given.keys()
    excess += sum(state.held[right] for right in unknown)
    return excess + max(0, state.risk_left + used["risk"] - RISK_POINTS)


def _uses(record: Record) -> Iterable[tuple[str, int]]:
    if isinstance(record, SaleRecord):
        for source in record.sources:
            if source.kind == "risk":
                yield "risk", source.points
            elif source.kind == "grant":
                yield source.transfer_id or source.grant_id, source.points
    elif isinstance(record, GrantReturnRecord):
        yield record.transfer_id or record.grant_id, record.points
    elif isinstance(record, XferOutRecord):
        yield record.grant_id, record.points


def sound_rights(day: Day, given: Mapping[str, int]) -> list[str]:
    """Say where on the day itself a right was not exactly what it should be."""
    faults = []
    for at, state in enumerate(day.states):
        records = day.records(state.seq)
        used: Counter[str] = Counter()
        for record in records:
            for right, points in _uses(record):
                used[right] += points
        for right, points in state.held.items():
            if points + used[right] != given.get(right, -1):
                faults.append(f"state {at}: {right} {points} + {used[right]}")
    return faults

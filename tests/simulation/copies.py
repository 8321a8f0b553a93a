"""Which printed receipts have a copy on a sibling: they outlive the journal they were made in.

A receipt whose record a witness keeps must come to the centre, whatever becomes of the till that
printed it (design: sync 5, I6).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sync.neighbours import WitnessAnswer, WitnessRequest
from sync.records import RefundRecord, SaleRecord, decode_record
from sync.witnessing import copy_links
from tests.simulation.chronicle import require
from tests.simulation.paper import Paper

_FACTS = (SaleRecord, RefundRecord)
Stream = tuple[int, bytes]
"""A till's number and an incarnation of it."""


class Keeper(Protocol):
    """The machine of a till that keeps copies."""

    name: str
    machine_number: int

    def journal_rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return rows of its journal."""
        ...


@dataclass(slots=True, kw_only=True)
class Copy:
    """Consecutive records of a stream as one request to keep them had them.

    Attributes:
        number: of the incarnation.
        from_seq: number of its first record.
        links: of the record before the first, and of each of them.
        keys: receipts and returns they are of.
        keepers: machines that said they keep it, and did not lose it.
    """

    stream: Stream
    number: int
    from_seq: int
    links: tuple[bytes, ...]
    keys: frozenset[str]
    keepers: set[int] = field(default_factory=set)

    @property
    def to_seq(self) -> int:
        """The number of its last record."""
        return self.from_seq + len(self.links) - 2

    def chain(self) -> dict[int, bytes]:
        """Return its links by number, that of the record before it among them."""
        return {self.from_seq - 1 + place: link for place, link in enumerate(self.links)}


@dataclass(slots=True, kw_only=True)
class Known:
    """What the centre has of a stream.

    Attributes:
        number: of the incarnation.
        last_seq: its contiguous prefix.
        links: by number, of the prefix.
    """

    number: int
    last_seq: int
    links: dict[int, bytes]


class Copies:
    """Facts of which a living sibling has said that it keeps them."""

    def __init__(self, paper: Paper) -> None:
        self._paper = paper
        self._copies: dict[tuple[Stream, int, bytes, int], Copy] = {}
        self._of_key: dict[str, list[Copy]] = {}
        self._orphans: set[str] = set()

    def heard(self, keeper: Keeper, request: WitnessRequest, answer: WitnessAnswer) -> None:
        """Take a witness at its word, once the word was found true.

        Raises:
            ViolationError: it does not keep what it says it keeps.
        """
        if answer.verdict not in ("kept", "fork"):
            return
        head = request.head
        rows = keeper.journal_rows(
            f"select from_seq from witness_copy where till_id = {head.till_id}"
            f" and incarnation = x'{head.incarnation.hex()}' and to_seq = {head.seq}"
            f" and head = x'{head.head.hex()}'"
        )
        is_here = bool(rows) and rows[0][0] <= request.from_seq
        require(is_here, f"{keeper.name} says it keeps till {head.till_id} at {head.seq}")
        stream = (head.till_id, head.incarnation)
        name = (stream, request.from_seq, head.head, head.seq)
        copy = self._copies.get(name)
        if copy is None:
            records = [decode_record(body) for body in request.records]
            copy = self._copies[name] = Copy(
                stream=stream,
                number=head.incarnation_number,
                from_seq=request.from_seq,
                links=(request.previous_hash, *copy_links(request)),
                keys=frozenset(each.key for each in records if isinstance(each, _FACTS)),
            )
            for key in copy.keys:
                self._of_key.setdefault(key, []).append(copy)
        copy.keepers.add(keeper.machine_number)

    def _lives(self, key: str) -> bool:
        return any(copy.keepers for copy in self._of_key.get(key, ()))

    def survive(self, keys: set[str]) -> set[str]:
        """Return those of some keys of which a copy lives, though their own journal is gone."""
        alive = {key for key in keys if self._lives(key)}
        self._orphans |= alive
        return alive

    def forget(self, machine_number: int) -> None:
        """A keeper's own journal is gone, or back in the past: what it alone had is destroyed."""
        for copy in self._copies.values():
            copy.keepers.discard(machine_number)
        self._give_up({key for key in self._orphans if not self._lives(key)})

    def _give_up(self, keys: set[str]) -> None:
        self._paper.destroyed |= keys
        self._orphans -= keys

    def come_home(self, dead: set[str], revoked: set[int], known: Mapping[Stream, Known]) -> int:
        """Say what has to arrive when nothing goes wrong any more.

        What was printed at a machine that is dead for good has to where it can: a till that begins
        no other stream has no record beyond a gap taken (docs/reliability.md, not covered).

        Args:
            dead: names of machines.
            revoked: tills of which everything is kept, beyond gaps, too.
            known: what the centre has.

        Returns:
            How many keys wait beyond a gap.
        """
        of_dead = {key for key in self._orphans if self._paper.machine_of(key) in dead}
        tills = {copy.stream[0] for key in of_dead for copy in self._of_key[key]}
        arriving: set[str] = set()
        for till_id in sorted(tills):
            living = [
                copy for copy in self._copies.values() if copy.keepers and copy.stream[0] == till_id
            ]
            if till_id not in revoked:
                living = _arriving(living, known)
            arriving.update(key for copy in living for key in copy.keys)
        beyond = of_dead - arriving
        self._give_up(beyond)
        self._paper.survivors |= self._orphans
        return len(beyond)


def _arriving(copies: Iterable[Copy], known: Mapping[Stream, Known]) -> list[Copy]:
    """Return which copies of one till the centre takes, whatever their order.

    A stream that a later one follows it takes in pieces; the newest only without a gap.
    """
    copies = list(copies)
    till_id = copies[0].stream[0]
    numbers = [each.number for stream, each in known.items() if stream[0] == till_id]
    newest = max([*numbers, *(copy.number for copy in copies)])
    found = [copy for copy in copies if copy.number < newest]
    last = [copy for copy in copies if copy.number == newest]
    for stream in {copy.stream: None for copy in last}:
        found += _joining([copy for copy in last if copy.stream == stream], known.get(stream))
    return found


def _joining(copies: list[Copy], known: Known | None) -> list[Copy]:
    """Return the copies of one stream that join what the centre has of it, or contradict it.

    Where copies contradict each other nobody knows which of them goes on: they go no further.
    """
    last_seq = known.last_seq if known else 0
    links = dict(known.links) if known else {}
    forked = {
        seq
        for copy in copies
        for seq, link in copy.chain().items()
        if any(other.chain().get(seq, link) != link for other in copies)
        or (seq <= last_seq and links.get(seq, link) != link)
    }
    waiting, found = sorted(copies, key=lambda copy: (copy.from_seq, copy.to_seq)), []
    while ready := [copy for copy in waiting if copy.from_seq <= last_seq + 1]:
        waiting = [copy for copy in waiting if copy not in ready]
        found += ready
        for copy in ready:
            if not forked & copy.chain().keys():
                last_seq = max(last_seq, copy.to_seq)
    return found

"""Which printed receipts have a copy on a sibling: they outlive the journal they were made in.

A receipt whose record a witness keeps must come to the centre, whatever becomes of the till that
printed it (design: sync 5, I6).
"""

from typing import Any, Protocol

from sync.neighbours import WitnessAnswer, WitnessRequest
from sync.records import RefundRecord, SaleRecord, decode_record
from tests.simulation.chronicle import require
from tests.simulation.paper import Paper


class Keeper(Protocol):
    """The machine of a till that keeps copies."""

    name: str
    machine_number: int

    def journal_rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return rows of its journal."""
        ...


class Copies:
    """Facts of which a living sibling has said that it keeps them."""

    def __init__(self, paper: Paper) -> None:
        self._paper = paper
        self._keepers: dict[str, set[int]] = {}
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
        for body in request.records:
            record = decode_record(body)
            if isinstance(record, SaleRecord | RefundRecord):
                self._keepers.setdefault(record.key, set()).add(keeper.machine_number)

    def survive(self, keys: set[str]) -> set[str]:
        """Return those of some keys of which a copy lives, though their own journal is gone."""
        alive = {key for key in keys if self._keepers.get(key)}
        self._orphans |= alive
        return alive

    def forget(self, machine_number: int) -> None:
        """A keeper's own journal is gone, or back in the past: what it alone had is destroyed."""
        for keepers in self._keepers.values():
            keepers.discard(machine_number)
        gone = {key for key in self._orphans if not self._keepers[key]}
        self._paper.destroyed |= gone
        self._orphans -= gone

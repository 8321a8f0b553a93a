"""How the till tells the centre its newest records: in as few bytes as the centre reads.

A batch that does not come out there as it was written is told plainer: first with its customers in
full, then as it is, and so are all others until the next HELLO.
"""

from enum import Enum, auto

from agent.till_service.till import Till
from sync.chain import links
from sync.line_form import form_of
from sync.lines import (
    BEFORE_MAX,
    LINES_RECORDS_MAX,
    PROOF_BYTES,
    PROOF_LEAST_BYTES,
    PROOF_SHORT_BYTES,
    Forms,
    Lines,
    LinesAnswer,
    fitting,
    pack_forms,
)
from sync.messages import AccountRow, HelloAnswer, Push, PushAnswer
from sync.moulds import form_of_parts, pack_parts
from sync.record_parts import Parts, parts_of, who_of


class _Manner(Enum):
    """How records are told."""

    MOULDS = auto()
    FORMS = auto()
    PLAIN = auto()


class Telling:
    """What a till remembers of what it has told; on the till's thread."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._forms = Forms(1)
        self._manner = _Manner.PLAIN
        self._names = 0
        """Customers that the batch told last names by number."""
        self._in_full = False
        self._proof_bytes = PROOF_BYTES
        self._mark_waits = False

    def greeted(self, answer: HelloAnswer) -> None:
        """Take what the centre says it reads."""
        self._manner = _Manner.PLAIN
        if answer.lines:
            self._manner = _Manner.MOULDS if answer.moulds else _Manner.FORMS
        self._forms = Forms(1)
        self._in_full = False
        self._mark_waits = answer.mark_waits
        self._proof_bytes = PROOF_SHORT_BYTES if answer.short else PROOF_BYTES
        if self._manner is _Manner.MOULDS:
            self._proof_bytes = PROOF_LEAST_BYTES

    def as_lines(self, push: Push) -> Lines | None:
        """Return a live batch packed against what the centre has."""
        if self._manner is _Manner.PLAIN or len(push.records) > LINES_RECORDS_MAX:
            return None
        before = fitting(self._before(push))
        return Lines(
            from_seq=push.from_seq,
            before=len(before),
            proof=links(push.previous_hash, push.records)[-1][: self._proof_bytes],
            packed=self._packed(push, before),
            moulds=self._manner is _Manner.MOULDS,
        )

    def answered(self, push: Push, answer: LinesAnswer) -> PushAnswer | None:
        """Return what the centre has; None where it got something else and is told plainer now."""
        if not answer.taken:
            if self._names:
                self._in_full = True
            else:
                self._manner = _Manner.PLAIN
            return None
        self._in_full = False
        last_seq = push.from_seq + len(push.records) - 1
        last_hash = links(push.previous_hash, push.records)[-1]
        wanted = min(BEFORE_MAX, push.from_seq - 1)
        if before := self._forms.find(push.incarnation, push.from_seq - 1, wanted):
            forms = [*before[1], *map(self._form_of, push.records)]
            self._forms.keep(push.incarnation, last_seq, last_hash, forms)
        head = self._till.journal.stream.head()
        return PushAnswer(
            verdict="ack",
            last_seq=last_seq,
            last_hash=last_hash,
            durable_seq=head.durable_seq if self._mark_waits else last_seq,
            incarnation_number_min=head.incarnation_number + 1,
        )

    def _before(self, push: Push) -> list[bytes]:
        acked = push.from_seq - 1
        wanted = min(BEFORE_MAX, acked)
        known = self._forms.find(push.incarnation, acked, wanted)
        if known is None:
            bodies = self._till.journal.stream.bodies_after(acked - wanted, wanted)
            known = push.previous_hash, list(map(self._form_of, bodies))
            self._forms.keep(push.incarnation, acked, push.previous_hash, known[1])
        return known[1]

    def _form_of(self, body: bytes) -> bytes:
        if self._manner is _Manner.MOULDS:
            return form_of_parts(parts_of(body))
        return form_of(body)

    def _packed(self, push: Push, before: list[bytes]) -> bytes:
        self._names = 0
        if self._manner is not _Manner.MOULDS:
            return pack_forms([form_of(body) for body in push.records], before)
        records = list(map(parts_of, push.records))
        named = [None if self._in_full else self._known(each) for each in records]
        self._names = sum(row is not None for row in named)
        return pack_parts(records, before, named)

    def _known(self, parts: Parts) -> AccountRow | None:
        """Return a customer as the centre has told him, if the receipt was made with just that."""
        row = self._till.cache.account(parts.card) if parts.card else None
        return row if row is not None and who_of(row.snapshot) == parts.who else None

"""What a till remembers about shared counters while its process lives; losing it costs a question.

Safety never depends on it: what may be given is in the journal (`CounterRights`).
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from loyalty.account import NO_ALLOWANCE, Allowance

ASK_AGAIN_MS: Final = 60_000
"""So long after the centre had nothing of a counter a sale does not ask for it again."""
STOCK_AGAIN_MS: Final = 1_800_000
"""The same for shares in advance: a till without any costs the line little."""
_SHOWN_MAX: Final = 200
_TAKEN_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """What the last total of an open receipt was calculated with.

    Attributes:
        content: canonical bytes of the request; asked again with the same, the same is shown.
        names: shared counters its offers and codes may draw on.
        allowance: none before the first total.
        used_codes: codes the centre said are used up.
    """

    content: bytes
    names: frozenset[str]
    allowance: Allowance | None = None
    used_codes: Mapping[str, str] = field(default_factory=dict)


class AllowanceMemory:
    """Open receipts, questions in vain, grants taken in this session, the register's time.

    Attributes:
        shown: by receipt id.
        local_ms: how far registers' local time is from the trusted time; 0 = not known yet.
        asked_account: of the accounts with points here, the last one asked for ahead.
    """

    def __init__(self) -> None:
        self.shown: OrderedDict[str, Shown] = OrderedDict()
        self.local_ms = 0
        self.asked_account = 0
        self._in_vain: dict[str, int] = {}
        self._taken: list[str] = []
        self._session = b""

    def show(self, receipt_id: str, shown: Shown) -> None:
        """Remember an open receipt."""
        self.shown[receipt_id] = shown
        self.shown.move_to_end(receipt_id)
        while len(self.shown) > _SHOWN_MAX:
            self.shown.popitem(last=False)

    def allowance_of(self, receipt_id: str, content: bytes) -> Allowance | None:
        """Return what the last total of the same request was calculated with."""
        shown = self.shown.get(receipt_id)
        return shown.allowance if shown is not None and shown.content == content else None

    def presented(self, name: str) -> bool:
        """Say whether an open receipt may draw on a counter."""
        return any(name in shown.names for shown in self.shown.values())

    def was_in_vain(self, name: str, now_ms: int, *, within_ms: int) -> bool:
        """Say whether the centre had nothing of a counter a short while ago.

        Args:
            now_ms: of the monotonic clock.
        """
        asked_ms = self._in_vain.get(name)
        return asked_ms is not None and now_ms - asked_ms < within_ms

    def note_asked(self, name: str, now_ms: int, *, in_vain: bool) -> None:
        """Note what came of asking for a counter."""
        if in_vain:
            self._in_vain[name] = now_ms
        else:
            self._in_vain.pop(name, None)

    def note_taken(self, grant_id: str, session: bytes) -> None:
        """Note that a grant of a session is here, before its record is at the centre."""
        if session != self._session:
            self._session, self._taken = session, []
        self._taken = [*self._taken, grant_id][-_TAKEN_MAX:]

    def taken_in(self, session: bytes) -> tuple[str, ...]:
        """Return the grants of a session that are here."""
        return tuple(self._taken) if session == self._session else ()

    def note_moment(self, local: str, now_ms: int) -> None:
        """Note a register's local moment, to know which local day it is when nobody sells.

        Args:
            local: `YYYY-MM-DDTHH:MM:SS`.
            now_ms: the till's trusted time.
        """
        try:
            at = datetime.fromisoformat(local).replace(tzinfo=UTC)
        except ValueError:
            return
        self.local_ms = int(at.timestamp() * 1000) - now_ms


NOTHING_SHOWN: Final = Shown(b"", frozenset(), NO_ALLOWANCE)

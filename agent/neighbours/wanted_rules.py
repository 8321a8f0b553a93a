"""A whole rule bundle that the centre has announced, as far as siblings have given it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sync.messages import Manifest

WAIT_MS: Final = 60_000
"""So long a till waits for siblings while nothing moves; then it asks the centre."""
WAIT_MS_MAX: Final = 600_000
"""And so long in all, whatever they say."""
BARE_WAIT_MS: Final = 10_000
BARE_WAIT_MS_MAX: Final = 60_000
"""The same where a till has no rules at all: its customers get nothing meanwhile."""
WAIT_UNHEARD_MS: Final = 10_000
"""For the first heartbeat of its life, where it has siblings: they may have what it wants."""
_SILENT_MAX: Final = 3


@dataclass(slots=True, kw_only=True)
class WantedRules:
    """One bundle, of which nothing is trusted before the whole has the hash announced.

    Attributes:
        manifest: names it, signed.
        take: is given the whole.
        is_bare: this till has no rules at all.
        since_ms: monotonic, of the announcement.
        moved_ms: monotonic; since then neither a part came nor a sibling's own fetching went on.
        is_fetched: this till has begun to fetch it from the centre, and waits no more.
        giver: the sibling whose parts are being put together.
        size_bytes: of the bundle as the giver keeps it.
        content: its first bytes.
        useless: siblings that gave something else, or do not know such a question.
        fetched: how much siblings said they had of what they fetch, by till.
        asked: how often siblings were looked for, so that each has its turn.
    """

    manifest: Manifest
    take: Callable[[bytes], None]
    since_ms: int
    moved_ms: int
    is_bare: bool = False
    is_fetched: bool = False
    giver: int | None = None
    size_bytes: int = 0
    content: bytearray = field(default_factory=bytearray)
    useless: set[int] = field(default_factory=set)
    fetched: dict[int, int] = field(default_factory=dict)
    asked: int = 0
    _silent: Counter[int] = field(default_factory=Counter)

    @property
    def is_whole(self) -> bool:
        """All parts of a giver are here."""
        return self.giver is not None and len(self.content) == self.size_bytes

    @property
    def size_bytes_max(self) -> int:
        """The most bytes that the bundle can have, packed."""
        return self.manifest.size_bytes + self.manifest.size_bytes // 128 + 1_024

    def is_over(self, now_ms: int) -> bool:
        """Say whether this till has waited long enough, or begun to fetch the bundle itself."""
        still_ms, most_ms = WAIT_MS, WAIT_MS_MAX
        if self.is_bare:
            still_ms, most_ms = BARE_WAIT_MS, BARE_WAIT_MS_MAX
        waited_ms = now_ms - self.since_ms
        return self.is_fetched or now_ms - self.moved_ms >= still_ms or waited_ms >= most_ms

    def begin_anew(self) -> None:
        """Forget what came."""
        self.giver, self.size_bytes = None, 0
        self.content.clear()

    def note_silent(self, till_id: int) -> None:
        """Note that a sibling gave no answer: a release before this one never gives any."""
        self._silent[till_id] += 1
        if self._silent[till_id] >= _SILENT_MAX:
            self.note_useless(till_id)

    def note_useless(self, till_id: int) -> None:
        """Do not ask this sibling for this bundle any more."""
        self.useless.add(till_id)
        self.begin_anew()

    def note_without(self, till_id: int, fetched: int, *, now_ms: int) -> None:
        """Note that a sibling has not got the bundle, and how far it is that fetches it itself."""
        self._silent[till_id] = 0
        self.begin_anew()
        if fetched > self.fetched.get(till_id, 0):
            self.fetched[till_id] = fetched
            self.moved_ms = now_ms

    def note_part(self, till_id: int, content: bytes, size_bytes: int, *, now_ms: int) -> None:
        """Put the next part of a giver to what it gave before."""
        self._silent[till_id] = 0
        self.giver, self.size_bytes, self.moved_ms = till_id, size_bytes, now_ms
        self.content += content

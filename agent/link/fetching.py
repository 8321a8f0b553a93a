"""Fetches the rules the centre announced: what is here already, a delta, or the whole in pieces.

The whole may come from a sibling, too (`agent.neighbours.sharing`): for that this till waits a
while, so that a store fetches it once. Deltas are small and come straight from the centre.

What cannot be fetched, or comes damaged, rests before it is asked for again, longer each time; all
else that till and centre have to say goes on meanwhile.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from agent.neighbours.sharing import is_worth_waiting
from agent.neighbours.wanted_rules import WantedRules
from agent.reference_data.rule_books import BundleRefusedError
from agent.till_service.till import Till
from sync.blobs import check_piece, delta_file, pieces_of, unpack
from sync.errors import LinkError, MalformedMessageError, SignatureError
from sync.messages import Manifest
from sync.patches import apply_patch
from sync.retry_schedule import retry_delay_s
from sync.rule_messages import Delta

log = structlog.get_logger()

_REST_S_MAX: Final = 600
_DELTA_TRIES: Final = 2
"""A delta that fails so often in a row is left for the pieces."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """A bundle that could not be had.

    Attributes:
        times: in a row.
        until_ms: monotonic; so long it rests.
    """

    bundle: str = ""
    why: str = ""
    times: int = 0
    until_ms: int = 0


class RuleFetching:
    """Runs on the till's thread.

    Attributes:
        announced: the bundle that is being fetched, or waited for.
        waits: it is left to siblings for now, or rests; `wait_is_over` says when no more.
    """

    def __init__(self, till: Till) -> None:
        self.announced: Manifest | None = None
        self.waits = False
        self._delta: Delta | None = None
        self._trouble = _Trouble()
        self._wanted: WantedRules | None = None
        self._till = till

    def announce(self, manifest: Manifest, delta: Delta | None) -> bool:
        """Take what is here already; else fetch it, by its delta where there is one.

        Returns:
            Whether that is news: the rules announced are, or now will be, this till's.
        """
        books, place = self._till.books, self._till.identity.place
        if manifest.bundle != self._trouble.bundle:
            self._trouble = _Trouble()
        try:
            if not books.wants(manifest):
                return False
            if books.take_held(manifest, place):
                self._end()
                log.info("bundle_taken", bundle=manifest.bundle[:8], version=manifest.version)
                return True
        except (BundleRefusedError, SignatureError) as error:
            log.error("bundle_refused", why=str(error))  # noqa: TRY400 - the bundle is at fault
            return False
        is_news = self.announced is None or self.announced.bundle != manifest.bundle
        self._end()
        self.announced = manifest
        is_for_here = delta is not None and delta.base == books.newest_bundle()
        self._delta = delta if is_for_here and self._trouble.times < _DELTA_TRIES else None
        if self._delta is None:
            self._want(manifest)
        return is_news

    def wanted_piece(self) -> tuple[Manifest, int] | None:
        """Return the delta to the announced bundle, or the next piece that is not here yet.

        Returns:
            None where nothing is to be fetched, and while it rests or siblings are waited for.
        """
        if self.announced is None:
            return None
        if self._rests():
            self.waits = True
            return None
        if self._delta is not None:
            return delta_file(self.announced, self._delta), 0
        wanted = self._want(self.announced)
        waited, self.waits = self.waits, self._is_worth_waiting(wanted)
        if self.waits:
            if not waited:
                log.info("bundle_left_to_siblings", bundle=self.announced.bundle[:8])
            return None
        wanted.is_fetched = True
        return self.announced, self._till.cache.pieces_here(self.announced.bundle)

    def wait_is_over(self) -> bool:
        """Say, once, that nothing is waited for any more: it came, or is to be fetched now."""
        if not self.waits:
            return False
        is_left = self._wanted is not None and self._is_worth_waiting(self._wanted)
        self.waits = self._rests() or is_left
        return not self.waits

    @property
    def trouble(self) -> str:
        """The bundle that could not be fetched last, and why; empty when there is none."""
        return f"{self._trouble.bundle} {self._trouble.why}".strip()

    def failed(self, error: LinkError) -> None:
        """Let the bundle rest; siblings may give it meanwhile."""
        if self.announced is None:
            return  # a sibling gave the bundle meanwhile
        if str(error) != self._trouble.why:
            log.warning("bundle_not_fetched", bundle=self.announced.bundle[:8], why=str(error))
        self._rest(self.announced, str(error))
        self.waits = True
        if self._trouble.times >= _DELTA_TRIES:
            self._delta = None

    def _rest(self, manifest: Manifest, why: str) -> None:
        system, times = self._till.system, self._trouble.times + 1
        rest_s = retry_delay_s(times, delay_s_max=_REST_S_MAX, jitter=system.jitter())
        until_ms = system.monotonic_ms() + int(rest_s * 1000)
        self._trouble = _Trouble(manifest.bundle, why, times, until_ms)

    def _rests(self) -> bool:
        return self._till.system.monotonic_ms() < self._trouble.until_ms

    def _want(self, manifest: Manifest) -> WantedRules:
        """Have siblings asked for a bundle; announced again it is waited for no longer."""
        wanted = self._wanted
        if wanted is None or wanted.manifest.bundle != manifest.bundle:
            now_ms = self._till.system.monotonic_ms()
            wanted = WantedRules(
                manifest=manifest,
                take=self._given,
                is_bare=not self._till.books.newest_bundle(),
                since_ms=now_ms,
                moved_ms=now_ms,
            )
        self._wanted = self._till.neighbours.wanted = wanted
        return wanted

    def _is_worth_waiting(self, wanted: WantedRules) -> bool:
        neighbours = self._till.neighbours
        now_ms = self._till.system.monotonic_ms()
        return neighbours.wanted is wanted and is_worth_waiting(neighbours, wanted, now_ms=now_ms)

    def _given(self, content: bytes) -> None:
        """Take the whole bundle from a sibling as if it had come from the centre."""
        if self.announced is not None:
            self._till.cache.take_pieces(self.announced.bundle)
            self._bundle_arrived(self.announced, content)

    def _end(self) -> None:
        """Nothing is announced any more, and no sibling asked."""
        self.announced = self._delta = self._till.neighbours.wanted = None
        if self._wanted is not None:
            self._wanted.begin_anew()

    def piece_arrived(self, manifest: Manifest, piece: int, content: bytes) -> None:
        """Keep a piece; with the last one the bundle is tried."""
        if self.announced is None:
            return  # a sibling gave the bundle meanwhile
        if self._delta is not None:
            self._delta_arrived(self._delta, content)
            return
        cache = self._till.cache
        try:
            check_piece(manifest, piece, content)
            if piece + 1 < pieces_of(manifest):
                cache.put_piece(manifest.bundle, piece, content)
                return
            whole = unpack([*cache.take_pieces(manifest.bundle), content])
        except MalformedMessageError as error:
            # Damaged on its way: the centre is to say anew what its pieces are.
            self._end()
            self._rest(manifest, str(error))
            log.warning("bundle_damaged", why=str(error))
            return
        self._bundle_arrived(manifest, whole)

    def _delta_arrived(self, delta: Delta, content: bytes) -> None:
        """Make the bundle of it; where that fails for any reason, its pieces are fetched."""
        self._delta, manifest = None, self.announced
        assert manifest is not None
        try:
            base = self._till.books.content(delta.base)
            whole = apply_patch(base, content, bundle=manifest.bundle)
        except (LookupError, MalformedMessageError) as error:
            log.warning("delta_useless", why=str(error))
            return
        self._bundle_arrived(manifest, whole)

    def _bundle_arrived(self, manifest: Manifest, content: bytes) -> None:
        """Try the bundle; a bad one is kept out and the last good one stays."""
        self._end()
        self._trouble = _Trouble()
        try:
            self._till.books.take(manifest, content, self._till.identity.place)
        except (BundleRefusedError, SignatureError) as error:
            log.error("bundle_refused", why=str(error))  # noqa: TRY400 - the bundle is at fault
        else:
            self._wanted = None
            log.info("bundle_taken", bundle=manifest.bundle[:8], version=manifest.version)

"""Fetches the rules the centre announced: what is here already, a delta, or the whole in pieces."""

import structlog

from agent.reference_data.rule_books import BundleRefusedError
from agent.till_service.till import Till
from sync.blobs import check_piece, delta_file, pieces_of, unpack
from sync.errors import MalformedMessageError, SignatureError
from sync.messages import Manifest
from sync.patches import apply_patch
from sync.rule_messages import Delta

log = structlog.get_logger()


class RuleFetching:
    """Runs on the till's thread.

    Attributes:
        announced: the bundle that is being fetched.
    """

    def __init__(self, till: Till) -> None:
        self.announced: Manifest | None = None
        self._delta: Delta | None = None
        self._till = till

    def announce(self, manifest: Manifest, delta: Delta | None) -> bool:
        """Take what is here already; else fetch it, by its delta where there is one.

        Returns:
            Whether the rules announced are, or will be, this till's.
        """
        books, place = self._till.books, self._till.identity.place
        try:
            if not books.wants(manifest):
                return False
            if books.take_held(manifest, place):
                log.info("bundle_taken", bundle=manifest.bundle[:8], version=manifest.version)
                return True
        except (BundleRefusedError, SignatureError) as error:
            log.error("bundle_refused", why=str(error))  # noqa: TRY400 - the bundle is at fault
            return False
        self.announced = manifest
        self._delta = delta if delta and delta.base == books.newest_bundle() else None
        return True

    def wanted_piece(self) -> tuple[Manifest, int] | None:
        """Return the delta to the announced bundle, or the next piece that is not here yet."""
        if self.announced is None:
            return None
        if self._delta is not None:
            return delta_file(self.announced, self._delta), 0
        return self.announced, self._till.cache.pieces_here(self.announced.bundle)

    def piece_arrived(self, manifest: Manifest, piece: int, content: bytes) -> None:
        """Keep a piece; with the last one the bundle is tried."""
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
            # Damaged on its way: the next conversation asks again.
            self.announced = None
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
        self.announced = None
        try:
            self._till.books.take(manifest, content, self._till.identity.place)
        except (BundleRefusedError, SignatureError) as error:
            log.error("bundle_refused", why=str(error))  # noqa: TRY400 - the bundle is at fault
        else:
            log.info("bundle_taken", bundle=manifest.bundle[:8], version=manifest.version)

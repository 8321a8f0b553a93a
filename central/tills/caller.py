"""Who speaks: an authenticated till, as its row says, and the session it speaks in."""

from dataclasses import dataclass
from typing import Final

import asyncpg

from central.errors import AuthenticationError, TillRevokedError
from central.rights.grants import Holder
from sync.signing import NO_SESSION

_SEEN_EVERY_MS: Final = 30_000
"""Of a till that is heard of more often this is noted so often."""


class SessionUnknownError(AuthenticationError):
    """The session is not live; the till has to say HELLO."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TillCaller:
    """An authenticated till and the session it speaks in.

    Attributes:
        quarantined: two machines run as it; what they say counts, and no rights are theirs.
    """

    till_id: int
    store_id: str
    revoked: bool
    session: bytes
    live_session: bytes
    verified: bool
    incarnation: bytes
    region: str = ""
    refused_bundle: str = ""
    bundle: str = ""
    forgotten: int | None = None
    programme: str = ""
    erasures: int = 0
    seen_ms: int = 0
    receipts_waiting: int = 0
    quarantined: bool = False

    def push_is_news(self, now_ms: int) -> bool:
        """Say whether that a push came whole is to be noted: mostly all it says is known."""
        return (
            not self.verified or self.receipts_waiting > 0 or now_ms - self.seen_ms > _SEEN_EVERY_MS
        )

    def to_forget(self) -> int:
        """Return the newest number of a customer to forget; 0 where it has, or cannot say so."""
        return self.erasures if self.forgotten is not None and self.forgotten < self.erasures else 0

    def holder(self, incarnation: bytes) -> Holder:
        """Return whom rights may be given to: the verified live session, nobody else (rule R2).

        Raises:
            SessionUnknownError: the session is not live and verified, or is another incarnation's.
        """
        self.require_session()
        may_hold = self.verified and not self.revoked and not self.quarantined
        if not may_hold or incarnation != self.incarnation:
            raise SessionUnknownError
        return Holder(till_id=self.till_id, incarnation=incarnation, session=self.session)

    def require_trust(self) -> None:
        """Refuse what a copied request or a revoked till must not learn.

        Raises:
            SessionUnknownError: the session is not the live one.
            TillRevokedError: the till was revoked.
        """
        self.require_session()
        if self.revoked:
            raise TillRevokedError

    def require_session(self) -> None:
        """Refuse a session that is not the live one.

        Raises:
            SessionUnknownError: it is not.
        """
        if self.session == NO_SESSION or self.session != self.live_session:
            raise SessionUnknownError


def caller_of(row: asyncpg.Record, session: bytes) -> TillCaller:
    """Return a till that speaks in a session, as its row says."""
    return TillCaller(
        till_id=row["till_id"],
        store_id=row["store_id"],
        revoked=row["revoked"],
        session=session,
        live_session=row["session"],
        verified=row["session_verified"],
        incarnation=row["session_incarnation"],
        region=row["region"],
        refused_bundle=row["refused_bundle"],
        bundle=row["bundle"],
        programme=row["programme"],
        forgotten=row["forgotten"],
        erasures=row["erasures"],
        seen_ms=row["last_seen_ms"],
        receipts_waiting=row["receipts_waiting"],
        quarantined=row["quarantined"],
    )

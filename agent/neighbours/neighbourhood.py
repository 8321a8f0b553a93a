"""What a till knows of its siblings while it runs; all of it may be lost at any moment.

Nothing here decides over money. Whom to ask is a guess; what an answer is worth, signatures and
nonces decide (design: sync 4.10: no election, no quorum).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.neighbours.wanted_rules import WantedRules
from agent.system import System
from sync.messages import Roster, RosterTill
from sync.neighbours import SILENT_AFTER_MS, SignedHead
from sync.transferring import OpenRequests

_REQUESTS_AT_ONCE = 20
_REQUESTS_PER_S = 10
_SULKS_MS = 60_000


@dataclass(slots=True)
class Sibling:
    """Another till of the store, as last heard.

    Attributes:
        heard_at_ms: monotonic; None before the first heartbeat and after it did not answer.
        head: the last it said, signed.
        is_new: nothing was ever heard of it, and it was asked nothing yet.
        refuses_until_ms: monotonic; until then it is not asked to be a witness.
        allowance: requests it may still make at once; refills with time.
    """

    till: RosterTill
    heard_at_ms: int | None = None
    link_up: bool = False
    bundle: str = ""
    rights: str = ""
    head: SignedHead | None = None
    is_new: bool = True
    refuses_until_ms: int = 0
    allowance: float = _REQUESTS_AT_ONCE
    allowed_at_ms: int = 0


@dataclass(slots=True)
class Neighbourhood:
    """The siblings of one till in one life of its process.

    Attributes:
        connected: somebody carries messages between tills; without it no sibling is ever asked.
        asked_for_head: siblings were asked whether this till's past is all here.
        told_heads: those that answered.
        said: the head signed last.
        requests: nonces for which points from siblings are accepted.
        witnessed_seq: how far siblings have copies of stream `witnessed_of`.
        unwitnessed: offline redemptions printed without a copy elsewhere.
        strange_copies: heads of copies that the till they are of does not vouch for.
        wanted: a rule bundle that was announced, while siblings may give it.
    """

    till_id: int
    system: System
    roster: Roster | None = None
    connected: bool = False
    asked_for_head: bool = False
    told_heads: set[int] = field(default_factory=set)
    said: SignedHead | None = None
    requests: OpenRequests = field(default_factory=OpenRequests)
    siblings: dict[int, Sibling] = field(default_factory=dict)
    witnessed_of: bytes = b""
    witnessed_seq: int = 0
    unwitnessed: int = 0
    strange_copies: set[bytes] = field(default_factory=set)
    wanted: WantedRules | None = None

    def use_roster(self, roster: Roster | None) -> None:
        """Take the roster; siblings that stay are still known."""
        self.roster = roster
        tills = roster.tills if roster else ()
        self.siblings = {
            each.till_id: self._sibling(each) for each in tills if each.till_id != self.till_id
        }

    def _sibling(self, till: RosterTill) -> Sibling:
        known = self.siblings.get(till.till_id)
        if known is None or known.till.public_key != till.public_key:
            return Sibling(till, allowed_at_ms=self.system.monotonic_ms())
        known.till = till
        return known

    def key_of(self, till_id: int) -> bytes | None:
        """Return the public key of a till of the store, this one included; None for a stranger."""
        tills = self.roster.tills if self.roster else ()
        return next((each.public_key for each in tills if each.till_id == till_id), None)

    # Who is there

    def heard(self, till_id: int) -> None:
        """Note that a sibling spoke now."""
        self.siblings[till_id].heard_at_ms = self.system.monotonic_ms()
        self.siblings[till_id].is_new = False

    def missed(self, till_id: int) -> None:
        """Note that a sibling did not answer: it is asked nothing until it is heard again."""
        if till_id in self.siblings:
            self.siblings[till_id].heard_at_ms = None
            self.siblings[till_id].is_new = False

    def is_alive(self, till_id: int) -> bool:
        """Say whether a sibling was heard lately and can be asked."""
        sibling = self.siblings.get(till_id)
        if not self.connected or sibling is None or sibling.heard_at_ms is None:
            return False
        return self.system.monotonic_ms() - sibling.heard_at_ms < SILENT_AFTER_MS

    def alive(self) -> list[int]:
        """Return the siblings that can be asked."""
        return [till_id for till_id in self.siblings if self.is_alive(till_id)]

    def with_line(self) -> frozenset[int]:
        """Return the siblings that are alive and say that the centre answers them."""
        return frozenset(i for i in self.alive() if self.siblings[i].link_up)

    def handing_in(self) -> dict[int, bytes]:
        """Return the streams, by till, that siblings with a line hand in themselves.

        Not those they had before: what a till forgot with its journal its witnesses alone have.
        """
        heads = {i: self.siblings[i].head for i in self.with_line()}
        return {i: head.incarnation for i, head in heads.items() if head is not None}

    # Whom to ask

    def holders_of(self, account_id: int) -> list[int]:
        """Return the living vaults of the store, the one that should hold this account first.

        With several the account's number chooses one, as the centre does (design: sync 3.6). In the
        first seconds of this process nobody was heard yet; then the first of them may be asked all
        the same, once: it is not known to be silent.
        """
        tills: Iterable[RosterTill] = self.roster.tills if self.roster else ()
        vaults = [each.till_id for each in tills if each.vault]
        if not vaults:
            return []
        first = account_id % len(vaults)
        in_turn = (*vaults[first:], *vaults[:first])
        unheard = [i for i in in_turn if self.connected and self.is_new(i)]
        return [i for i in in_turn if self.is_alive(i)] or unheard[:1]

    def is_new(self, till_id: int) -> bool:
        """Say whether a sibling was neither heard nor asked anything since this till began."""
        sibling = self.siblings.get(till_id)
        return sibling is not None and sibling.is_new

    def witnesses(self) -> list[int]:
        """Return living siblings to keep a copy; each till of a store begins with the next one."""
        now_ms = self.system.monotonic_ms()
        willing = sorted(i for i in self.alive() if self.siblings[i].refuses_until_ms <= now_ms)
        return [i for i in willing if i > self.till_id] + [i for i in willing if i < self.till_id]

    def refused(self, till_id: int) -> None:
        """Note that a sibling would not keep a copy; it is left in peace for a minute."""
        if till_id in self.siblings:
            until_ms = self.system.monotonic_ms() + _SULKS_MS
            self.siblings[till_id].refuses_until_ms = until_ms

    def may_ask(self, till_id: int) -> bool:
        """Take one request off a sibling's allowance; False when it asks too much.

        A mad sibling so keeps neither the till's thread nor its disk busy.
        """
        sibling = self.siblings.get(till_id)
        if sibling is None:
            return False
        now_ms = self.system.monotonic_ms()
        refilled = (now_ms - sibling.allowed_at_ms) * _REQUESTS_PER_S / 1000
        sibling.allowance = min(_REQUESTS_AT_ONCE, sibling.allowance + refilled)
        sibling.allowed_at_ms = now_ms
        if sibling.allowance < 1:
            return False
        sibling.allowance -= 1
        return True

    # Copies of own records

    def witnessed(self, incarnation: bytes) -> int:
        """Return how far siblings have copies of this stream."""
        return self.witnessed_seq if self.witnessed_of == incarnation else 0

    def note_witnessed(self, incarnation: bytes, seq: int) -> None:
        """Note that everything up to `seq` has a copy, or can have none."""
        self.witnessed_seq = max(seq, self.witnessed(incarnation))
        self.witnessed_of = incarnation

"""Everything siblings say to this till ends here, and what it tells them begins here.

Runs on the till's thread and does no I/O but the journal's: the bus, or the simulator, carries the
bytes. Whatever a sibling sends, the worst that happens is that it gets no answer.
"""

import hashlib
from collections.abc import Generator

import structlog

from agent.errors import JournalUnavailableError
from agent.neighbours.giving import give
from agent.neighbours.heads import ask_for_head, signed_head, take_known
from agent.neighbours.protecting import (
    ask_about_copies,
    keep_copy,
    newest_known,
    protect_rest,
    vouch,
)
from agent.neighbours.sharing import give_rules, take_rules
from agent.till_service.till import Till
from sync.errors import MalformedMessageError
from sync.messages import Message
from sync.neighbours import (
    Answer,
    AskSibling,
    CopiesRequest,
    HeadAnswer,
    HeadRequest,
    Heartbeat,
    RightsRequest,
    RulesRequest,
    WitnessRequest,
    is_signed_by,
    pack,
    unpack,
)

log = structlog.get_logger()

_KEEP_HEADS_MS = 60_000
_DIGEST_MS = 30_000


class NeighbourDesk:
    """The till's side of the store bus."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._heads_kept_at_ms = till.system.monotonic_ms()
        self._digest = ("", -_DIGEST_MS)

    # What is said

    def heartbeat(self) -> bytes:
        """Return what to gossip now; every two seconds."""
        till = self._till
        beat = Heartbeat(
            head=signed_head(till),
            link_up=till.link_up,
            bundle=till.books.active.bundle_hash,
            rights=self._rights_digest(),
        )
        body = pack(beat)
        assert body is not None, "a heartbeat fits an envelope"
        return body

    def _rights_digest(self) -> str:
        digest, at_ms = self._digest
        now_ms = self._till.system.monotonic_ms()
        if now_ms - at_ms >= _DIGEST_MS:
            rights = self._till.journal.rights
            told = f"{rights.points_held()} {rights.held_grants()}"
            digest = hashlib.sha256(told.encode()).hexdigest()[:16]
            self._digest = digest, now_ms
        return digest

    def background(self) -> Generator[AskSibling, Message | None, None]:
        """Do what is due beside the sales: copies of records, rules a sibling may have.

        Raises:
            JournalUnavailableError: the disk refuses.
        """
        yield from ask_for_head(self._till)
        self._keep_heads()
        yield from ask_about_copies(self._till)
        if not self._till.link_up:
            yield from protect_rest(self._till)
        yield from take_rules(self._till)

    def _keep_heads(self) -> None:
        """Keep what siblings said of their streams, once a minute: it outlives this process."""
        till, now_ms = self._till, self._till.system.monotonic_ms()
        if now_ms - self._heads_kept_at_ms < _KEEP_HEADS_MS:
            return
        self._heads_kept_at_ms = now_ms
        heads = [s.head for s in till.neighbours.siblings.values() if s.head is not None]
        store = till.journal.witness
        new = [h for h in heads if store.head_of(h.till_id, h.incarnation) != h]
        if not new:
            return  # nothing was sold anywhere: the disk is left alone
        with till.journal.transaction():
            for head in new:
                store.keep_head(head)
            store.tidy(now_ms=till.clock.now_ms())
            till.journal.transfers.tidy(till.journal.stream.head().incarnation)

    # What is heard

    def heard(self, sender: int, body: bytes) -> None:
        """Take gossip of a till that the envelope proved to be of the store."""
        try:
            beat = unpack(body)
            if isinstance(beat, Heartbeat):
                self._heartbeat(sender, beat)
        except MalformedMessageError:
            return
        except JournalUnavailableError as error:
            log.warning("gossip_lost", why=str(error))

    def _heartbeat(self, sender: int, beat: Heartbeat) -> None:
        till, head = self._till, beat.head
        if sender == head.till_id == till.identity.till_id:
            take_known(till, head)  # another machine speaks with this till's key
            return
        sibling = till.neighbours.siblings.get(sender)
        if sibling is None or head.till_id != sender:
            return
        if sibling.head != head and not is_signed_by(head, sibling.till.public_key):
            return
        till.neighbours.heard(sender)
        sibling.link_up, sibling.bundle, sibling.rights = beat.link_up, beat.bundle, beat.rights
        known = sibling.head
        if known is None or (known.incarnation_number, known.seq) <= (
            head.incarnation_number,
            head.seq,
        ):
            sibling.head = head

    def asked(self, sender: int, body: bytes) -> bytes | None:
        """Answer a sibling's request; whatever it changed is durable on return. None: no answer."""
        till = self._till
        if not till.neighbours.may_ask(sender):
            return None
        try:
            answer = self._answer(sender, unpack(body))
        except MalformedMessageError:
            return None
        except JournalUnavailableError as error:
            log.warning("sibling_not_answered", till=sender, why=str(error))
            return None
        return pack(answer) if answer is not None else None

    def _answer(self, sender: int, said: Message) -> Answer | None:
        till = self._till
        match said:
            case RightsRequest() if said.till_id == sender:
                return give(till, said)
            case WitnessRequest():
                return keep_copy(till, said, sender)
            case CopiesRequest():
                return vouch(till, said)
            case HeadRequest() if said.till_id == sender:
                return HeadAnswer(nonce=said.nonce, known=newest_known(till, sender))
            case RulesRequest():
                return give_rules(till, said)
        return None

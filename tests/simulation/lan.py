"""The wires of a store: what tills say to each other, slow, lost, late, twice, or cut off.

A till that lives is heard every two seconds; here it is heard whenever somebody would look.
"""

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sync.messages import Message
from sync.neighbours import (
    AskSibling,
    RightsAnswer,
    RulesAnswer,
    WitnessAnswer,
    WitnessRequest,
    answer_of,
    pack,
)
from tests.simulation.chronicle import Chronicle
from tests.simulation.copies import Copies
from tests.simulation.faults import Faults
from tests.simulation.kernel import Kernel, sleep

if TYPE_CHECKING:
    from tests.simulation.tills import SimulatedTill


_SOON_SHARE = 0.7
_SOON_MS_MAX = 20_000
_LATE_MS_MAX = 6 * 3_600_000


class Lan:
    """The LANs of all stores.

    Attributes:
        faults: rates of lost and slow messages; those of the line count here, too.
        cut_stores: stores in which no till hears another.
        copies: what siblings say they keep.
    """

    def __init__(
        self,
        kernel: Kernel,
        tills: "Mapping[int, SimulatedTill]",
        *,
        faults: Faults,
        chronicle: Chronicle,
        draws: random.Random,
        copies: Copies,
    ) -> None:
        self.copies = copies
        self.faults = faults
        self.cut_stores: set[str] = set()
        self._kernel = kernel
        self._tills = tills
        self._chronicle = chronicle
        self._draws = draws
        self._answered: dict[tuple[int, int, str], bytes | None] = {}
        self._gossip: dict[int, tuple[bytes, bytes]] = {}

    def _reachable(self, till: "SimulatedTill") -> "list[SimulatedTill]":
        if till.store in self.cut_stores:
            return []
        return [
            each
            for each in self._tills.values()
            if each is not till and each.store == till.store and each.is_up
        ]

    def hear(self, till: "SimulatedTill") -> None:
        """Let a till hear its siblings' heartbeats, and them its own."""
        others = self._reachable(till)
        own = till.beat() if others else None
        for other in others:
            if (body := other.beat()) is not None:
                till.hear(other, body)
                self._hear_old(till, other, body)
            if own is not None:
                other.hear(till, own)

    def _hear_old(self, till: "SimulatedTill", other: "SimulatedTill", body: bytes) -> None:
        """Let gossip that was overtaken arrive after what overtook it, now and then."""
        old, newest = self._gossip.get(other.machine_number, (body, body))
        if newest is not body:
            old = newest
            self._gossip[other.machine_number] = old, body
        elif old is newest:
            self._gossip[other.machine_number] = old, newest
            return
        if self._happens(self.faults.lan_stale):
            self._chronicle.fault("gossip overtaken", f"{till.store} {other.name}")
            till.hear(other, old)

    async def ask(self, asker: "SimulatedTill", ask: AskSibling) -> Message | None:
        """Carry a question and its answer; None where nothing comes in time."""
        body = pack(ask.message)
        kind = type(ask.message).__name__
        life = asker.life
        if body is None:
            return None
        if self._happens(self.faults.lost_requests):
            self._chronicle.fault("sibling not reached", f"{asker.store} {kind}")
            await sleep(ask.budget_ms)
            return None
        if self._happens(self.faults.lan_repeats):
            self._kernel.start(self._again(asker, ask, body, "repeated"), "lan again")
        if self._happens(self.faults.lan_late):
            self._kernel.start(self._again(asker, ask, body, "late"), "lan late")
            await sleep(ask.budget_ms)
            return None
        await sleep(self._draws.randint(1, 10))
        found = [each for each in self._reachable(asker) if each.number == ask.till_id]
        if not found or asker.life != life:
            await sleep(ask.budget_ms)
            return None
        keeper = self._draws.choice(found)
        reply = self._answer_of(keeper, asker, ask, body)
        pair = (asker.machine_number, keeper.machine_number, kind)
        before, self._answered[pair] = self._answered.get(pair), reply
        if self._happens(self.faults.lost_replies):
            self._chronicle.fault("sibling's answer lost", f"{asker.store} {kind}")
            await sleep(ask.budget_ms)
            return None
        # What a witness says carries no nonce: there the bus's numbers alone tell old from new.
        may_be_old = before is not None and not isinstance(ask.message, WitnessRequest)
        if may_be_old and self._happens(self.faults.lan_stale):
            self._chronicle.fault("sibling's earlier answer", f"{asker.store} {kind}")
            reply = before
        await sleep(self._draws.randint(1, 10))
        answer = answer_of(reply, ask.answer)
        self._count(answer)
        return answer

    def _answer_of(
        self, keeper: "SimulatedTill", asker: "SimulatedTill", ask: AskSibling, body: bytes
    ) -> bytes | None:
        reply = keeper.asked_by(asker, body)
        answer = answer_of(reply, ask.answer)
        if isinstance(ask.message, WitnessRequest) and isinstance(answer, WitnessAnswer):
            self.copies.heard(keeper, ask.message, answer)
        return reply

    async def _again(self, asker: "SimulatedTill", ask: AskSibling, body: bytes, how: str) -> None:
        """Have a question arrive of which nobody hears the answer."""
        soon = self._draws.random() < _SOON_SHARE
        await sleep(self._draws.randint(1, _SOON_MS_MAX if soon else _LATE_MS_MAX))
        found = [each for each in self._reachable(asker) if each.number == ask.till_id]
        if found:
            kind = type(ask.message).__name__
            self._chronicle.fault(f"sibling's question {how}", f"{asker.store} {kind}")
            self._answer_of(self._draws.choice(found), asker, ask, body)

    def _count(self, answer: Message | None) -> None:
        sometimes = self._chronicle.sometimes
        if isinstance(answer, RightsAnswer) and answer.transfers:
            sometimes["points given by a sibling"] += 1
        if isinstance(answer, WitnessAnswer):
            sometimes["record witnessed"] += 1
        if isinstance(answer, RulesAnswer) and answer.content:
            is_last = answer.start + len(answer.content) == answer.size_bytes
            sometimes["rules from a sibling"] += is_last

    def _happens(self, per_thousand: int) -> bool:
        return self._draws.randrange(1000) < per_thousand

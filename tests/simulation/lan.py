"""The wires of a store: what tills say to each other, slow, lost, and now and then cut.

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
            if own is not None:
                other.hear(till, own)

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
        await sleep(self._draws.randint(1, 10))
        found = [each for each in self._reachable(asker) if each.number == ask.till_id]
        if not found or asker.life != life:
            await sleep(ask.budget_ms)
            return None
        keeper = self._draws.choice(found)
        reply = keeper.asked_by(asker, body)
        answer = answer_of(reply, ask.answer)
        if isinstance(ask.message, WitnessRequest) and isinstance(answer, WitnessAnswer):
            self.copies.heard(keeper, ask.message, answer)
        if self._happens(self.faults.lost_replies):
            self._chronicle.fault("sibling's answer lost", f"{asker.store} {kind}")
            await sleep(ask.budget_ms)
            return None
        await sleep(self._draws.randint(1, 10))
        if isinstance(answer, RightsAnswer) and answer.transfers:
            self._chronicle.sometimes["points given by a sibling"] += 1
        if isinstance(answer, WitnessAnswer):
            self._chronicle.sometimes["record witnessed"] += 1
        if isinstance(answer, RulesAnswer) and answer.content:
            is_last = answer.start + len(answer.content) == answer.size_bytes
            self._chronicle.sometimes["rules from a sibling"] += is_last
        return answer

    def _happens(self, per_thousand: int) -> bool:
        return self._draws.randrange(1000) < per_thousand

"""How long one call of the register waits for siblings: so long in all, whatever it asks for.

A call may ask siblings for this till's head, vaults for points, or a witness to keep a copy. Each
question gets a share of what is left, so that a sibling that is silent leaves time for the next.
"""

from collections.abc import Generator
from dataclasses import dataclass

from agent.system import System
from sync.messages import Message
from sync.neighbours import ASK_BUDGET_MS, AskSibling

Answering = Generator[AskSibling, Message | None, Message | None]


@dataclass(slots=True)
class Patience:
    """What is left of one call's time for siblings; the waiting for the centre is not in it.

    Attributes:
        left_ms: 0 or less when it is over; then nobody is asked any more.
    """

    system: System
    left_ms: int = ASK_BUDGET_MS

    def ask(self, ask: AskSibling, *, at_most_ms: int) -> Answering:
        """Ask, and take what the answer took off what is left; None without time to ask in."""
        budget_ms = min(at_most_ms, self.left_ms, ask.budget_ms)
        if budget_ms <= 0:
            return None
        began_ms = self.system.monotonic_ms()
        answer = yield AskSibling(ask.till_id, ask.message, ask.answer, budget_ms=budget_ms)
        self.left_ms -= max(0, self.system.monotonic_ms() - began_ms)
        return answer

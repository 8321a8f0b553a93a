"""The wires between the tills of a store: nothing is lost, and what they carry is counted."""

from collections.abc import Generator, Sequence

from agent.neighbours.desk import NeighbourDesk
from agent.till_service.till import Till
from sync.messages import Message
from sync.neighbours import AskSibling, answer_of, pack


class Lan:
    """Lets tills hear and answer each other, as the store bus does.

    Attributes:
        asks, answer_bytes: of everything siblings ask each other, without envelopes.
    """

    def __init__(self, tills: Sequence[Till]) -> None:
        self.asks = self.answer_bytes = 0
        self._desks: dict[int, NeighbourDesk] = {}
        for till in tills:
            till.neighbours.connected = True
            self._desks[till.identity.till_id] = NeighbourDesk(till)

    def beat(self) -> None:
        """Let every till hear of all others."""
        for till_id, desk in self._desks.items():
            body = desk.heartbeat()
            for other_id, other in self._desks.items():
                if other_id != till_id:
                    other.heard(till_id, body)

    def background(self, till: Till) -> None:
        """Have a till do what it does beside its sales."""
        steps: Generator[AskSibling, Message | None, None]
        steps = self._desks[till.identity.till_id].background()
        try:
            ask = next(steps)
            while True:
                ask = steps.send(self.ask(till, ask))
        except StopIteration:
            return

    def ask(self, till: Till, ask: AskSibling) -> Message | None:
        """Carry a till's question to a sibling, and the answer back."""
        body = pack(ask.message)
        reply = self._desks[ask.till_id].asked(till.identity.till_id, body) if body else None
        self.asks += 1
        self.answer_bytes += len(reply or b"")
        return answer_of(reply, ask.answer)

"""The tills of one store in one process, and the wires between them: cut, lossy, repeating."""

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.neighbours.desk import NeighbourDesk
from agent.till_service.till import Till
from sync.errors import LinkError
from sync.messages import Message, Roster, RosterTill
from sync.neighbours import AskSibling, answer_of, pack
from sync.signing import SigningKey
from tests.support.till import (
    IDENTITY,
    FakeCentre,
    JoinedTill,
    Question,
    SetSystem,
    driven,
)

R = TypeVar("R")

VAULT, SECOND, THIRD = 17, 18, 19


class StoreLan:
    """Carries what tills say to each other.

    Attributes:
        cut_off: tills nobody reaches and who reach nobody.
        lost_answers: kinds of which the answer is lost on its way.
        answers: every answer that was on the wire, by the till that asked.
        asked: every question, answered or not.
        clock: runs on while a question is waited for in vain; none stands still.
    """

    def __init__(self) -> None:
        self.clock: SetSystem | None = None
        self.desks: dict[int, NeighbourDesk] = {}
        self.cut_off: set[int] = set()
        self.lost_answers: set[type[Message]] = set()
        self.answers: list[tuple[int, bytes]] = []
        self.asked: list[tuple[int, AskSibling]] = []

    def join(self, till: Till) -> None:
        """Connect a till, or the same one after its start."""
        till.neighbours.connected = True
        self.desks[till.identity.till_id] = NeighbourDesk(till)

    def beat(self) -> None:
        """Have every till tell all others that it lives."""
        for till_id, desk in self.desks.items():
            if till_id in self.cut_off:
                continue
            body = desk.heartbeat()
            for other_id, other in self.desks.items():
                if other_id != till_id and other_id not in self.cut_off:
                    other.heard(till_id, body)

    def ask(self, asker: int, ask: AskSibling) -> Message | None:
        """Carry a question and its answer."""
        self.asked.append((asker, ask))
        answer = self._carry(asker, ask)
        if answer is None and self.clock is not None:
            self.clock.passed_ms += ask.budget_ms
        return answer

    def _carry(self, asker: int, ask: AskSibling) -> Message | None:
        body = pack(ask.message)
        if body is None or {asker, ask.till_id} & self.cut_off or ask.till_id not in self.desks:
            return None
        reply = self.desks[ask.till_id].asked(asker, body)
        if reply is not None:
            self.answers.append((asker, reply))
        if type(ask.message) in self.lost_answers:
            return None
        return answer_of(reply, ask.answer)

    def drive(self, till_id: int, steps: Generator[AskSibling, Message | None, R]) -> R:
        """Run what a till does with its siblings alone."""
        return driven(steps, lambda ask: self.ask(till_id, ask))  # type: ignore[arg-type]


class StoreTill(JoinedTill):
    """A till of a store: what it asks siblings goes over the LAN, everything else to its centre."""

    def __init__(self, folder: Path, *, lan: StoreLan, **given: Any) -> None:  # noqa: ANN401
        """Open the files and join the LAN."""
        super().__init__(folder, **given)
        self.lan = lan
        lan.join(self.till)

    @property
    def till_id(self) -> int:
        """The till's number."""
        return self.till.identity.till_id

    def _answers(self, question: Question) -> Message | bytes | None:
        if isinstance(question, AskSibling):
            return self.lan.ask(self.till_id, question)
        if not self.till.link_up:
            return None
        try:
            return super()._answers(question)
        except LinkError:
            return None

    def background(self) -> None:
        """Do what is due beside the sales."""
        self.lan.drive(self.till_id, self.lan.desks[self.till_id].background())

    def left(self, account_id: int = 7) -> int:
        """Return what a new receipt of the account could take here."""
        now_ms = self.till.clock.now_ms()
        return self.till.journal.rights.points_left(account_id, "another", now_ms)

    def reopened(self) -> "StoreTill":
        """Close the files and return a new till over them; what was in memory is gone."""
        self.close()
        return StoreTill(
            self.folder,
            lan=self.lan,
            centre=self.centre,
            system=self.system,
            identity=self.till.identity,
        )

    def image(self, to: Path) -> None:
        """Copy journal, cache and anchor as they are now, as a disk image does."""
        shutil.copytree(self.folder, to)

    def restored(self, image: Path) -> "StoreTill":
        """Bring an image back in place of the disk and start over it; nobody notices by itself."""
        self.close()
        shutil.rmtree(self.folder)
        shutil.copytree(image, self.folder)
        return StoreTill(
            self.folder,
            lan=self.lan,
            centre=self.centre,
            system=self.system,
            identity=self.till.identity,
        )


def seed_of(till_id: int) -> bytes:
    """Return the seed of a till's key."""
    return f"the key of till {till_id}, of 32 bytes.".encode()[:32]


def roster_of(*till_ids: int, vaults: tuple[int, ...] = (VAULT,)) -> Roster:
    """Return a roster as the centre gives it."""
    return Roster(
        version=str(till_ids),
        store="store-1",
        tills=tuple(
            RosterTill(
                till_id=till_id,
                public_key=SigningKey(seed_of(till_id)).public,
                vault=till_id in vaults,
            )
            for till_id in till_ids
        ),
    )


def store_till(
    folder: Path, till_id: int, lan: StoreLan, system: SetSystem, roster: Roster
) -> StoreTill:
    """Return a till of the store that has talked to its centre once."""
    identity = msgspec.structs.replace(IDENTITY, till_id=till_id, key_seed=seed_of(till_id))
    centre = FakeCentre(till_id=till_id, system=system)
    till = StoreTill(folder, lan=lan, centre=centre, system=system, identity=identity)
    with till.till.journal.transaction():
        till.till.journal.roster.write(roster)
    till.till.neighbours.use_roster(roster)
    return till

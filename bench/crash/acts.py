"""What happens on the canonical day, in order."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from agent.journal.anchor import Anchor
from agent.journal.database import Database
from agent.journal.journal import Journal
from agent.reference_data.cache import Cache, open_cache_database
from agent.till_service.messages import ReceiptAnswer, ReceiptRequest, ReturnAnswer
from agent.till_service.till import TillSettings, join_till
from bench.crash.day import (
    TILL,
    Answer,
    Answered,
    AsBuilt,
    Day,
    joined,
    open_till,
    state_of,
)
from bench.crash.disks import LoggedDisk, Machine
from loyalty.offers import PointsPerMoney
from loyalty.outcomes import Outcome
from sync.cycle import converse
from sync.messages import Message
from sync.neighbours import RightsAnswer, RightsRequest, answer_of, pack
from tests.simulation.disk import VFS_NAME, Disk, DiskAnchor
from tests.support import builders
from tests.support.builders import line, offer
from tests.support.store_lan import SECOND, VAULT, StoreLan, StoreTill, roster_of, seed_of
from tests.support.till import (
    DAY_MS,
    IDENTITY,
    FakeCentre,
    Question,
    SetSystem,
    calculation_of,
    customer,
    driven,
    receipt,
    returning,
)

SIBLING = "sibling"
RISK_POINTS: Final = 200
_ROSTER = roster_of(VAULT, SECOND, vaults=(VAULT, SECOND))
_RULES = builders.bundle(offer("points", PointsPerMoney(points=1, per_minor=100)))
_NEW_RULES = builders.bundle(
    offer("points", PointsPerMoney(points=1, per_minor=50)), offer("tenth"), version=2
)
_CARDS = {account: f"2990 0000 0000 {account:04d}" for account in (7, 8, 9, 10, 11)}


class Story:
    """The till, its sibling and its modelled centre, and what is noted of them."""

    def __init__(self, machine: Machine, folder: Path, built: AsBuilt) -> None:
        """Start the till on an empty disk."""
        self.day = Day()
        self.disk = LoggedDisk()
        machine.put(TILL, self.disk)
        self.system = SetSystem()
        self._lan = StoreLan()
        self._centre = FakeCentre(till_id=VAULT, system=self.system)
        self._sibling = self._open_sibling(machine, folder)
        till, aside = open_till(self.disk, self.system, self._watched(built))
        assert not aside
        self.till = joined(till, folder, self._lan, self._centre)
        self._use_roster(self.till)
        self.day.incarnation = till.journal.stream.head().incarnation
        self.day.joined_at = self.disk.operations
        self.day.states.append(state_of(till))

    def _watched(self, built: AsBuilt) -> AsBuilt:
        """Return the same way to keep a journal, looking on after each transaction."""
        story = self

        class Watched(built.journal):  # type: ignore[name-defined,misc]
            @contextmanager
            def transaction(self) -> Iterator[None]:
                with super().transaction():
                    yield
                if story.day.joined_at:
                    story.day.states.append(state_of(story.till.till))

        return replace(built, journal=Watched)

    def _open_sibling(self, machine: Machine, folder: Path) -> StoreTill:
        disk = machine.put(SIBLING, Disk(random.Random(0)))
        anchor: Anchor = DiskAnchor(disk, f"/{SIBLING}/anchor")
        database = Database(f"/{SIBLING}/journal.db", vfs=VFS_NAME)
        identity = msgspec.structs.replace(IDENTITY, till_id=SECOND, key_seed=seed_of(SECOND))
        till = join_till(
            identity=identity,
            journal=Journal(database, SECOND, anchor),
            cache=Cache(open_cache_database(f"/{SIBLING}/cache.db", vfs=VFS_NAME)),
            system=self.system,
            settings=TillSettings(),
        )
        centre = FakeCentre(till_id=SECOND, system=self.system)
        centre.grants(90, account_id=10, lot_id=700)
        sibling = joined(till, folder, self._lan, centre)
        self._use_roster(sibling)
        sibling.talk()
        return sibling

    def _use_roster(self, till: StoreTill) -> None:
        with till.till.journal.transaction():
            till.till.journal.roster.write(_ROSTER)
        till.till.neighbours.use_roster(_ROSTER)

    def close(self) -> None:
        """Close all files."""
        self.till.close()
        self._sibling.close()

    # Noting

    def _note(
        self,
        name: str,
        act: Callable[[], Answer | None],
        *,
        key: str = "",
        again: Callable[[StoreTill], Answer] | None = None,
    ) -> Answer | None:
        self.system.let_pass(60_000)
        begun = self.disk.operations
        self._lan.beat()
        answer = act()
        done = self.disk.operations
        # What was noted for the answer is entered after it, and then the journal stands as it will.
        self.till.till.journal.catch_up()
        self.day.answers.append(
            Answered(name, begun, done, len(self.day.states), key, answer, again)
        )
        return answer

    def _call(self, name: str, key: str, call: Callable[[StoreTill], Answer]) -> Answer:
        answer = self._note(name, lambda: call(self.till), key=key, again=call)
        assert answer is not None
        return answer

    # The line

    def talk(self) -> None:
        """Hold a conversation with the centre, greeting first."""
        self._note("talk", self._talk)

    def _talk(self) -> None:
        driven(converse(self.till.side, greet=True), self._answer)
        self.till.till.link_up = True

    def _answer(self, question: Question) -> Message | bytes:
        answer = self._centre.answer(question)
        self._centre.questions.clear()
        self.day.centres.append((self.disk.operations, deepcopy(self._centre)))
        return answer

    def cut_line(self) -> None:
        """Lose the line; the sibling is there."""
        self.till.cut_off()
        self._sibling.cut_off()
        self._note("background", self._beside)

    def _beside(self) -> None:
        self.till.background()
        self._sibling.background()

    # The register

    def sell(self, number: int, *, account: int = 0, points: int = 0, pieces: int = 1) -> None:
        """Sell, with a reservation where points are wanted."""
        key, request = _key(number), _basket(account, pieces)
        if points:
            self.reserve(number, account=account, points=points, pieces=pieces)
        shown = self.till.update(request, key)
        paid_minor = calculation_of(shown).totals.paid_minor
        answer = self._call("complete", key, lambda till: till.complete(request, paid_minor, key))
        assert answer.outcome == Outcome.RECORDED, answer

    def reserve(self, number: int, *, account: int, points: int, pieces: int = 1) -> int:
        """Set points aside; returns how many could be had."""
        key, request = _key(number), _basket(account, pieces)
        answer = self._call("reserve", key, lambda till: till.reserve(request, points, key))
        assert isinstance(answer, ReceiptAnswer)
        assert answer.reserved_points > 0, answer
        return answer.reserved_points

    def cancel(self, number: int) -> None:
        """Give a receipt up."""
        key = _key(number)
        answer = self._call("cancel", key, lambda till: till.cancel(key))
        assert answer.outcome == Outcome.CANCELLED

    def take_back(self, number: int, *, original: int) -> None:
        """Return the first line of a receipt."""
        key, request = _key(number), returning(original=_key(original))
        answer = self._call("return", key, lambda till: till.take_back(request, key))
        assert isinstance(answer, ReturnAnswer)
        assert answer.outcome == Outcome.RECORDED, answer

    def give(self, number: int, *, account: int, points: int) -> None:
        """Give points to the sibling, which asks for them."""
        request = RightsRequest(
            account_id=account,
            points=points,
            nonce=number.to_bytes(16, "big"),
            till_id=SECOND,
            incarnation=self._sibling.till.journal.stream.head().incarnation,
        )
        body = pack(request)
        assert body is not None

        def ask() -> None:
            reply = self._lan.desks[VAULT].asked(SECOND, body)
            answer = answer_of(reply, RightsAnswer)
            assert answer is not None
            assert sum(transfer.points for transfer in answer.transfers) == points, answer

        self._note("give", ask)

    # The whole day

    def tell(self) -> Day:
        """Let the day pass; returns what was noted."""
        self._morning()
        self._without_the_line()
        self._afternoon()
        self._evening()
        till = self.till.till
        self.day.bodies = till.journal.stream.bodies_after(0, 10_000)
        self.day.operations = self.disk.operations
        self.day.log = self.disk.log
        return self.day

    def _morning(self) -> None:
        centre = self._centre
        centre.knows(*(customer(card, at, points=400) for at, card in _CARDS.items()))
        centre.grants(300)
        centre.grants(120, account_id=8, lot_id=502)
        centre.risk_points_total = RISK_POINTS
        centre.free_points[11] = 500
        centre.publishes(_RULES)
        self.talk()
        self.talk()
        for number in range(3):
            self.sell(number)
        self.sell(3, account=7)
        self.sell(4, account=7, points=40, pieces=2)
        self.sell(5, account=11, points=70)
        self.talk()
        self.take_back(6, original=3)

    def _without_the_line(self) -> None:
        self.cut_line()
        self.sell(10, account=7, points=100)
        self.sell(11, account=9, points=25)
        self.reserve(12, account=8, points=50)
        self.reserve(12, account=8, points=20)
        self.cancel(12)
        self.give(13, account=8, points=60)
        self.sell(14, account=10, points=80)
        for number in range(15, 18):
            self.sell(number, account=8, pieces=number - 13)
        self.reserve(18, account=7, points=30)
        self.sell(19, account=8, points=60)
        self.take_back(20, original=10)

    def _afternoon(self) -> None:
        self.talk()
        self._note("tidy", self._tidy)
        self._centre.publishes(_NEW_RULES)
        self._centre.grants(150, account_id=9, lot_id=503)
        self.talk()
        self.sell(30, account=9, points=100)
        for number in range(31, 34):
            self.sell(number, account=7, pieces=3)
        self._centre.recalls.append(self._centre.granted[0].grant_id)
        self.talk()
        self._centre.recalls.clear()
        self.talk()

    def _tidy(self) -> None:
        database = self.till.till.journal._database  # noqa: SLF001 - as its own `tidy`, any size
        database._connection.wal_checkpoint()  # noqa: SLF001

    def _evening(self) -> None:
        self.cut_line()
        self.sell(40, account=9, points=50)
        self.sell(41, account=9, points=20)
        self.system.let_pass(DAY_MS)
        self.talk()
        for number in range(42, 45):
            self.sell(number, account=8)
        self.talk()


def _key(number: int) -> str:
    return f"01957e3c-9a40-7c11-8d22-{number:012d}"


def _basket(account: int, pieces: int) -> ReceiptRequest:
    lines = [line(str(at + 1), gross_minor=1_000 + at) for at in range(pieces)]
    return receipt(*lines, card=_CARDS.get(account, ""))


def tell_day(machine: Machine, folder: Path, built: AsBuilt) -> Day:
    """Let the day pass on an empty disk."""
    story = Story(machine, folder, built)
    try:
        return story.tell()
    finally:
        story.close()

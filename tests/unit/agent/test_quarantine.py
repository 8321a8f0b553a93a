"""A till that another machine runs as: points go home, sales go on, restarts are paced."""

from pathlib import Path

import msgspec
import pytest

from agent.link.restart_pace import RestartPace
from loyalty.offers import PointsPerMoney
from loyalty.outcomes import Outcome
from sync.errors import RestartsError
from sync.messages import HelloAnswer
from sync.records import GrantReturnRecord, SaleRecord
from tests.support import builders
from tests.support.builders import offer
from tests.support.till import CARD, FakeCentre, JoinedTill, SetSystem, customer, receipt

HALF = builders.bundle(offer("points", PointsPerMoney(points=1, per_minor=100)))
TEN = receipt(card=CARD)


@pytest.fixture
def joined(tmp_path: Path) -> JoinedTill:
    """A till with 100 points of its customer and a risk budget."""
    system = SetSystem()
    centre = FakeCentre(system=system)
    till = JoinedTill(tmp_path / "till", centre=centre, system=system)
    centre.knows(customer(points=300))
    centre.grants(100)
    centre.risk_points_total = 50
    centre.publishes(HALF)
    till.talk()
    return till


def greeted(joined: JoinedTill, *, quarantined: bool) -> None:
    assert joined.centre is not None
    answer = joined.centre.answer_hello(joined.side.hello())
    if quarantined:
        answer = msgspec.structs.replace(answer, quarantined=True, risk_points_total=0)
    joined.side.hello_answered(answer)


def amnesia(joined: JoinedTill) -> HelloAnswer:
    assert joined.centre is not None
    answer = joined.centre.answer_hello(joined.side.hello())
    number = joined.till.journal.stream.head().incarnation_number + 2
    return msgspec.structs.replace(answer, verdict="amnesia", incarnation_number_min=number)


def test_its_points_go_home_and_it_sells_on(joined: JoinedTill) -> None:
    rights = joined.till.journal.rights
    assert (rights.points_held(), rights.risk_points_left()) == (100, 50)
    greeted(joined, quarantined=True)
    assert joined.till.quarantined
    assert (rights.points_held(), rights.risk_points_left()) == (0, 0)
    home = [each for each in joined.own_records() if isinstance(each, GrantReturnRecord)]
    assert [(each.points, each.why) for each in home] == [
        (100, "another machine runs as this till")
    ]
    assert joined.reserve(TEN, 50).outcome == Outcome.RIGHTS_EXHAUSTED
    assert joined.complete(TEN, 1_000).outcome == Outcome.RECORDED
    assert any(isinstance(each, SaleRecord) for each in joined.own_records())


def test_when_it_is_lifted_the_budget_is_there_again(joined: JoinedTill) -> None:
    greeted(joined, quarantined=True)
    greeted(joined, quarantined=False)
    assert not joined.till.quarantined
    assert joined.till.journal.rights.risk_points_left() == 50


def test_a_new_stream_says_what_it_goes_on_from_until_it_is_heard(joined: JoinedTill) -> None:
    assert joined.centre is not None
    before = joined.till.journal.stream.head().incarnation
    assert joined.side.hello().previous == ()
    joined.side.hello_answered(amnesia(joined))
    assert joined.side.hello().previous == (before,)
    joined.talk()
    assert joined.side.hello().previous == ()


def test_one_restart_is_told_at_once_and_the_next_ones_ever_later(joined: JoinedTill) -> None:
    joined.side.hello_answered(amnesia(joined))
    rests = []
    for _ in range(8):
        joined.side.hello_answered(amnesia(joined))
        with pytest.raises(RestartsError) as raised:
            joined.side.hello()
        rests.append(raised.value.retry_after_s)
        joined.system.passed_ms += int(raised.value.retry_after_s * 1_000)
    assert rests == [15, 30, 60, 120, 240, 480, 600, 600]


def test_who_waits_has_no_rights_of_a_stream_that_is_over(joined: JoinedTill) -> None:
    for _ in range(2):
        joined.side.hello_answered(amnesia(joined))
    assert joined.till.journal.rights.points_held() == 0
    assert not joined.side.has_session()


def test_a_restart_after_a_quiet_hour_is_the_first_again() -> None:
    pace = RestartPace()
    for at_ms in (1, 2, 3_600_003):
        pace.restarted(at_ms)
    assert pace.rest_s(3_600_003) == 0
    pace.restarted(3_600_004)
    assert pace.rest_s(3_600_004) == 15

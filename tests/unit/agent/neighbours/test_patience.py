"""A call of the register waits for siblings so long in all, however many of them are silent."""

from collections.abc import Callable

import pytest

from agent.neighbours.patience import Patience
from loyalty.outcomes import Outcome
from sync.neighbours import (
    ASK_BUDGET_MS,
    AskSibling,
    HeadAnswer,
    HeadRequest,
    RightsRequest,
    WitnessRequest,
)
from tests.support.store_lan import SECOND, THIRD, VAULT, StoreTill, roster_of
from tests.support.till import CARD, SetSystem, receipt
from tests.unit.agent.neighbours.conftest import Store

TEN = receipt(card=CARD)
FOURTH = 99


def restarted(store: Store) -> StoreTill:
    """Start the second till anew: it has asked nobody for its head yet; the clock runs from now."""
    store.second = store.second.reopened()
    store.second.cut_off()
    store.lan.beat()
    store.lan.clock = store.system
    return store.second


def waited_ms(store: Store, call: Callable[[], object]) -> int:
    before_ms = store.system.passed_ms
    call()
    return store.system.passed_ms - before_ms


def asked(store: Store, kind: type[object], since: int = 0) -> list[int]:
    """Return who was asked a kind of question."""
    found = store.lan.asked[since:]
    return [ask.till_id for who, ask in found if who == SECOND and isinstance(ask.message, kind)]


def test_a_first_redemption_waits_no_longer_than_one_budget_for_all_siblings(store: Store) -> None:
    till, since = restarted(store), len(store.lan.asked)
    store.lan.cut_off |= {VAULT, THIRD}
    waited = waited_ms(store, lambda: till.reserve(TEN, 60))
    assert 0 < waited <= ASK_BUDGET_MS
    assert asked(store, HeadRequest, since) == [VAULT, THIRD]
    assert asked(store, RightsRequest, since) == [VAULT, VAULT]


def test_two_silent_vaults_share_one_budget(store: Store) -> None:
    store.second.till.neighbours.use_roster(roster_of(VAULT, SECOND, THIRD, vaults=(VAULT, THIRD)))
    store.lan.clock = store.system
    store.lan.cut_off |= {VAULT, THIRD}
    waited = waited_ms(store, lambda: store.second.reserve(TEN, 60))
    assert 0 < waited <= ASK_BUDGET_MS
    assert asked(store, RightsRequest) == [THIRD, THIRD, VAULT, VAULT]


def test_a_silent_vault_leaves_time_for_the_other(store: Store) -> None:
    store.second.till.neighbours.use_roster(roster_of(VAULT, SECOND, THIRD, vaults=(VAULT, THIRD)))
    store.lan.clock = store.system
    store.lan.cut_off.add(THIRD)  # it is asked first
    assert store.second.reserve(TEN, 60).reserved_points == 60
    assert store.system.passed_ms <= ASK_BUDGET_MS // 2


def test_silence_about_the_own_head_leaves_time_for_the_vault(store: Store) -> None:
    till = restarted(store)
    till.till.neighbours.use_roster(roster_of(VAULT, SECOND, THIRD, FOURTH))
    store.lan.cut_off |= {THIRD, FOURTH}
    before_ms = store.system.passed_ms
    assert till.reserve(TEN, 60).reserved_points == 60
    assert store.system.passed_ms - before_ms <= ASK_BUDGET_MS // 2


def test_a_completion_waits_no_longer_than_one_budget_for_head_and_copy(store: Store) -> None:
    assert store.second.reserve(TEN, 60).reserved_points == 60
    till, since = restarted(store), len(store.lan.asked)
    store.lan.cut_off |= {VAULT, THIRD}
    before_ms = store.system.passed_ms
    assert till.complete(TEN, 940).outcome == Outcome.RECORDED
    assert 0 < store.system.passed_ms - before_ms <= ASK_BUDGET_MS
    assert asked(store, HeadRequest, since) == [VAULT, THIRD]
    assert len(asked(store, WitnessRequest, since)) == 1
    assert till.till.neighbours.unwitnessed == 1


def test_a_sibling_that_is_slow_about_a_head_is_still_asked_for_points(store: Store) -> None:
    till = restarted(store)
    till.till.neighbours.asked_for_head = True  # then only those that are heard are asked
    store.lan.lost_answers.add(HeadRequest)
    assert till.reserve(TEN, 60).reserved_points == 60


@pytest.mark.parametrize("left_ms", [0, -5])
def test_without_patience_left_nobody_is_asked(left_ms: int) -> None:
    patience = Patience(SetSystem(), left_ms)
    ask = AskSibling(VAULT, HeadRequest(till_id=SECOND, nonce=b"n" * 16), HeadAnswer)
    with pytest.raises(StopIteration) as end:
        next(patience.ask(ask, at_most_ms=100))
    assert end.value.value is None


def test_what_an_answer_took_is_off_what_is_left() -> None:
    system = SetSystem()
    patience = Patience(system)
    question = HeadRequest(till_id=SECOND, nonce=b"n" * 16)
    steps = patience.ask(AskSibling(VAULT, question, HeadAnswer), at_most_ms=70)
    assert next(steps).budget_ms == 70
    system.passed_ms += 40
    with pytest.raises(StopIteration):
        steps.send(HeadAnswer(nonce=b"n" * 16))
    assert patience.left_ms == ASK_BUDGET_MS - 40

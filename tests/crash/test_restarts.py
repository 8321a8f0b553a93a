"""What becomes of a till whose past comes back, and of a centre's: the table of sync 4.11, live.

Real processes over real files, real sockets and an embedded PostgreSQL. Each drill ends with the
ledger proven and everything the registers printed posted once.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.bootstrap import ANCHOR_FILE
from agent.store_bus.opening import COUNTER_FILE
from tests.crash.town import POINTS, DrilledTill, Town, running_town
from tests.support.postgres import folder_for_postgres

SUSPECTED = "select count(*) from stream_suspicion where till_id = $1 and cleared_at_ms is null"
HELD = "select coalesce(sum(outstanding), 0) from right_grant where till_id = $1"
STREAMS = "select count(*) from till_stream where till_id = $1"
STREAMS_OF_TWO = 5
BUDGETS = "select risk_points from till_rights where till_id = $1"
BUDGET = 500
EARNED = 20
"""Points for a receipt of 20.00."""


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with folder_for_postgres() as folder, running_town(folder) as town:
        yield town


def number_of(till: DrilledTill) -> int:
    """Return which of its streams a till is in."""
    return int(till.figures()["incarnation_number"])


def test_a_restart_goes_on_where_it_was(town: Town) -> None:
    till = town.vault()
    till.cut()
    assert till.sell(1, redeem=100) == 100
    before = till.figures()
    till.stop_dead()
    till.go()
    after = till.figures()
    for figure in ("incarnation", "last_seq", "rights_points"):
        assert after[figure] == before[figure]
    assert till.repeats_itself()
    assert till.sell(2, redeem=300) == 300
    till.heal()
    town.settle(till)
    town.prove(till)
    assert town.losses() == 0


def test_a_journal_that_lost_its_tail_spends_nothing_of_it_again(
    town: Town, tmp_path: Path
) -> None:
    till = town.vault()
    till.stop()
    image = till.image(tmp_path / "image")
    till.go()
    till.cut()
    assert till.sell(1, redeem=300) == 300
    till.heal()
    town.settle(till)
    till.cut()
    till.stop_dead()
    till.restore(image, but=ANCHOR_FILE)
    till.go()
    assert (number_of(till), till.figures()["rights_points"]) == (2, 0)
    assert till.sell(2, redeem=300) == 0
    till.heal()
    town.settle(till)
    town.prove(till)
    assert town.losses() == 0


def test_an_image_that_came_back_whole_is_told_by_a_sibling(town: Town, tmp_path: Path) -> None:
    till, sibling = town.neighbours()
    till.stop()
    image = till.image(tmp_path / "image")
    said = till.folder / COUNTER_FILE  # what the lost run says in three hours of heartbeats
    said.write_text(str(int(said.read_text()) + 5_000), encoding="ascii")
    till.go()
    town.hear_each_other(till, sibling)
    till.cut()
    sibling.cut()
    assert till.sell(1, redeem=300) == 300
    # On a busy machine a copy may take longer than a sale waits: then the next tick leaves it.
    till.await_figure("siblings", lambda told: told["records_without_copy"] == 0)
    till.stop_dead()
    till.restore(image)
    till.go()
    town.hear_each_other(till, sibling)
    till.await_figure("rights_points", lambda points: points == 0)
    assert till.sell(2, redeem=300) == 0
    assert number_of(till) == 2
    till.heal()
    sibling.heal()
    town.settle(till, sibling)
    town.prove(till)
    assert town.losses() == 0


def test_with_nobody_to_vouch_a_till_collects_and_does_not_redeem(town: Town) -> None:
    till = town.vault()
    till.cut()
    till.stop_dead()
    (till.folder / ANCHOR_FILE).unlink()
    till.go()
    assert number_of(till) == 2
    assert till.sell(1, redeem=300) == 0
    till.heal()
    # What it has earned since is given to its new stream; the rest stays held for the old one.
    till.await_figure("rights_points", lambda points: points == EARNED)
    assert till.sell(2, redeem=300) == EARNED
    again = 19  # of the 19.80 that were left to pay
    till.await_figure("rights_points", lambda points: points == again)
    town.settle(till)
    assert town.figure(HELD, till.till_id) == POINTS + again
    town.prove(till)
    assert town.losses() == 0


def test_a_dead_disk_is_survived_by_its_records_and_replaced(town: Town) -> None:
    till, sibling = town.neighbours()
    till.cut()
    sibling.cut()
    assert till.sell(1, redeem=300) == 300
    till.await_figure("siblings", lambda told: told["records_without_copy"] == 0)
    dead = till.till_id
    till.stop_dead()
    shutil.rmtree(till.folder)
    sibling.heal()
    sibling.await_figure("siblings", lambda told: told["copies_bytes"] == 0)
    town.settle(sibling)
    town.prove(till)
    replacement = town.till(till.store, till.card)
    town.command("revoke", dead)
    town.command("rights", "write-off", "--till", dead, "--yes")
    left = POINTS - 300 + 17  # and what 17.00 of money has earned
    replacement.await_figure("rights_points", lambda points: points == left)
    assert replacement.till_id != dead
    assert replacement.sell(1, redeem=POINTS) == left
    town.settle(sibling, replacement)
    town.prove(till, replacement)
    assert town.figure("select exposures from risk_pool") == 100
    assert town.losses() == 0


def test_an_image_nobody_can_tell_costs_no_more_than_it_held(town: Town, tmp_path: Path) -> None:
    till = town.vault()
    till.stop()
    image = till.image(tmp_path / "image")
    till.go()
    till.cut()
    before = town.losses()
    assert till.sell(1, redeem=POINTS) == POINTS
    till.heal()
    town.settle(till)
    till.cut()
    till.stop_dead()
    till.restore(image)
    till.go()
    assert till.sell(2, redeem=POINTS) == POINTS
    assert till.sell(3, redeem=POINTS) == 0
    till.heal()
    town.settle(till)
    assert number_of(till) > 1
    assert town.figure(SUSPECTED, till.till_id) == 1
    town.prove(till)
    assert 0 < town.losses() - before <= POINTS


def test_two_machines_of_one_till_are_told_apart_and_both_count(town: Town) -> None:
    till = town.vault()
    before = town.losses()
    till.stop()
    twin = town.clone(till)
    till.go()
    till.cut()
    assert till.sell(1, redeem=POINTS) == POINTS
    twin.go()
    assert twin.sell(1, redeem=POINTS) == POINTS
    till.heal()
    town.settle_twins(till, twin)
    assert town.figure(SUSPECTED, till.till_id) > 0
    town.prove(till, twin)
    assert 0 < town.losses() - before <= POINTS


def test_two_machines_that_have_their_line_come_to_rest_and_both_sell(town: Town) -> None:
    till = town.vault()
    till.stop()
    twin = town.clone(till)
    machines = (till, twin)
    for each in machines:
        each.go()
    for number in (1, 2):
        for each in machines:
            each.sell(number)
    town.settle_twins(*machines)
    begun = town.figure(STREAMS, till.till_id)
    assert begun <= STREAMS_OF_TWO
    for each in machines:
        each.sell(3)
        each.await_figure("rights_points", lambda points: points == 0)
    town.await_posted(*machines)
    assert town.figure(STREAMS, till.till_id) == begun
    assert town.figure(BUDGETS, till.till_id) <= BUDGET
    town.prove(*machines)
    twin.stop()
    town.centre.run("rights", "clear", "--till", till.till_id)
    till.await_figure("quarantined", lambda quarantined: not quarantined)
    # What the six sales earned; what streams that are over hold stays held, until written off.
    till.await_figure("rights_points", lambda points: 0 < points <= 6 * EARNED)
    town.settle(till)
    assert town.figure(STREAMS, till.till_id) <= begun + 1
    town.prove(*machines)


def test_a_centre_thrown_back_hears_everything_again(town: Town) -> None:
    till = town.vault()
    assert till.sell(1) == 0
    town.settle(till)
    copy = town.keep_copy()
    till.await_figure("link", lambda link: link == "up")
    assert till.sell(2, redeem=100) == 100
    assert till.sell(3, redeem=100) == 100
    town.settle(till)
    town.throw_back(copy)
    till.await_figure("link", lambda link: link == "up")
    town.settle(till)
    town.prove(till)
    assert till.sell(4) == 0
    town.settle(till)
    town.prove(till)

"""Time at the till: the centre's word carried on, a ratchet after a reboot, doubt where due."""

import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.journal.told_time import ToldTime
from agent.system import System
from agent.trusted_clock import AHEAD_MS_MAX, OFF_MS_MAX, TrustedClock
from sync.records import SaleRecord
from tests.architecture.source_tree import ROOT
from tests.support.till import (
    DAY_MS,
    NOON_MS,
    OTHER_RECEIPT,
    FakeCentre,
    JoinedTill,
    SetSystem,
    receipt,
)

MINUTE_MS = 60_000
YEAR_MS = 365 * DAY_MS


def told_clock(system: SetSystem, *, round_trip_ms: int = 0) -> TrustedClock:
    """Return a clock that was told noon by the centre."""
    clock = TrustedClock(system)
    clock.asking()
    system.let_pass(round_trip_ms)
    clock.adjust(NOON_MS)
    return clock


def after_reboot(system: SetSystem, *, wall_ms: int) -> TrustedClock:
    """Return the clock of a till that was told noon, and whose machine was started since."""
    told = told_clock(system).adjust(NOON_MS)
    system.reboot()
    system.wall_ms = wall_ms
    clock = TrustedClock(system)
    clock.recall(told, 0)
    return clock


# The clock alone


def test_before_any_word_of_the_centre_the_machine_is_believed(system: SetSystem) -> None:
    clock = TrustedClock(system)
    clock.recall(None, 0)
    assert (clock.now_ms(), clock.quality(), clock.uncertainty_s()) == (NOON_MS, "good", 0)


@pytest.mark.parametrize("jump_ms", [-10 * YEAR_MS, -DAY_MS, DAY_MS, 10 * YEAR_MS])
def test_within_a_boot_no_jump_of_the_machines_clock_counts(
    system: SetSystem, jump_ms: int
) -> None:
    clock = told_clock(system)
    system.let_pass(5 * MINUTE_MS)
    system.wall_ms += jump_ms
    assert clock.now_ms() == NOON_MS + 5 * MINUTE_MS
    assert (clock.quality(), clock.uncertainty_s()) == ("suspect", 300)


def test_half_of_the_round_trip_is_added_and_not_certain(system: SetSystem) -> None:
    clock = told_clock(system, round_trip_ms=8_000)
    system.wall_ms = NOON_MS + 4_000
    assert clock.now_ms() == NOON_MS + 4_000
    assert clock.uncertainty_s() == 5


def test_uncertainty_grows_in_few_steps_and_never_beyond_the_last(system: SetSystem) -> None:
    clock = told_clock(system)
    seen = []
    for days in (0, 1, 1, 8, 400):
        system.let_pass(days * DAY_MS)
        seen.append(clock.uncertainty_s())
    assert seen == [0, 30, 30, 300, 300]


@pytest.mark.parametrize(
    ("apart_s", "uncertainty_s"), [(0, 0), (-2, 5), (4, 5), (-20, 30), (200, 300), (299, 300)]
)
def test_a_register_is_off_by_as_much_as_its_machine(
    system: SetSystem, apart_s: int, uncertainty_s: int
) -> None:
    clock = told_clock(system)
    system.wall_ms += apart_s * 1_000
    assert (clock.now_ms(), clock.uncertainty_s()) == (NOON_MS, uncertainty_s)
    assert clock.quality() == "good"


@pytest.mark.parametrize(
    ("later_ms", "now_ms", "quality"),
    [
        (DAY_MS, DAY_MS, "good"),
        (AHEAD_MS_MAX, AHEAD_MS_MAX, "good"),
        (AHEAD_MS_MAX + 1, 0, "suspect"),
        (-OFF_MS_MAX, 0, "good"),
        (-OFF_MS_MAX - 1, 0, "suspect"),
        (-10 * YEAR_MS, 0, "suspect"),
    ],
)
def test_after_a_reboot_time_is_the_machines_but_neither_before_nor_far_after_the_ratchet(
    system: SetSystem, later_ms: int, now_ms: int, quality: str
) -> None:
    clock = after_reboot(system, wall_ms=NOON_MS + later_ms)
    assert (clock.now_ms(), clock.quality()) == (NOON_MS + now_ms, quality)
    assert clock.uncertainty_s() == 300


def test_a_suspect_clock_still_runs(system: SetSystem) -> None:
    clock = after_reboot(system, wall_ms=0)
    system.let_pass(MINUTE_MS)
    assert clock.now_ms() == NOON_MS + MINUTE_MS


def test_a_clock_that_is_set_right_is_believed_again(system: SetSystem) -> None:
    clock = after_reboot(system, wall_ms=0)
    system.wall_ms = NOON_MS + 2 * DAY_MS
    assert (clock.now_ms(), clock.quality()) == (NOON_MS + 2 * DAY_MS, "good")


def test_a_new_process_in_the_same_boot_goes_on_counting(system: SetSystem) -> None:
    told = told_clock(system).adjust(NOON_MS)
    system.let_pass(MINUTE_MS)
    system.wall_ms -= YEAR_MS
    clock = TrustedClock(system)
    clock.recall(told, 0)
    assert (clock.now_ms(), clock.quality()) == (NOON_MS + MINUTE_MS, "suspect")


@pytest.mark.parametrize("boot_id", ["", "another boot"])
def test_a_monotonic_clock_of_another_boot_counts_for_nothing(
    system: SetSystem, boot_id: str
) -> None:
    system.let_pass(YEAR_MS)
    clock = TrustedClock(system)
    clock.recall(ToldTime(NOON_MS, 0, boot_id, 0), 0)
    system.wall_ms = NOON_MS
    assert clock.now_ms() == NOON_MS


def test_a_record_written_since_turns_the_ratchet(system: SetSystem) -> None:
    system.wall_ms = 0
    clock = TrustedClock(system)
    clock.recall(None, NOON_MS)
    assert (clock.now_ms(), clock.quality()) == (NOON_MS, "suspect")


# The till's


def test_the_ratchet_survives_a_reboot_without_a_line(
    joined: JoinedTill, system: SetSystem
) -> None:
    joined.talk()
    joined.cut_off()
    system.let_pass(DAY_MS)
    joined.complete(receipt(), 1_000)
    system.reboot()
    system.wall_ms = 0
    again = joined.reopened()
    assert again.till.clock.now_ms() == NOON_MS + DAY_MS
    assert again.till.clock.quality() == "suspect"
    again.close()


def test_the_centres_word_takes_a_ratchet_back_that_was_turned_too_far(
    tmp_path: Path, centre: FakeCentre
) -> None:
    machine = SetSystem(NOON_MS + 300 * DAY_MS)
    till = JoinedTill(tmp_path / "till", centre=centre, system=machine)
    till.complete(receipt(), 1_000)  # by a clock that is wrong by 300 days
    till.talk()
    machine.reboot()
    machine.wall_ms = NOON_MS
    again = till.reopened()
    assert (again.till.clock.now_ms(), again.till.clock.quality()) == (NOON_MS, "good")
    again.close()


def test_a_sale_records_a_suspect_clock_and_how_far_it_may_be_off(
    joined: JoinedTill, system: SetSystem
) -> None:
    joined.talk()
    joined.complete(receipt(), 1_000)
    system.wall_ms += YEAR_MS
    joined.complete(receipt(), 1_000, OTHER_RECEIPT)
    sales = [record for record in joined.own_records() if isinstance(record, SaleRecord)]
    assert [(s.clock_q, s.inputs.moment.uncertainty_s) for s in sales] == [
        ("good", 0),
        ("suspect", 300),
    ]
    assert sales[0].at_ms == sales[1].at_ms == NOON_MS


def test_a_grant_ends_by_trusted_time_and_not_by_the_machines(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    centre.grants(100)
    joined.talk()
    system.wall_ms += 10 * YEAR_MS
    now_ms = joined.till.clock.now_ms()
    assert joined.till.journal.rights.expired(now_ms) == []
    assert joined.till.journal.rights.points_left(7, OTHER_RECEIPT, now_ms) == 100


# The machine's own clocks


def test_a_night_asleep_counts_as_time_and_not_as_work(monkeypatch: pytest.MonkeyPatch) -> None:
    hour_ns = 3_600_000_000_000
    slept_ns = 0

    def clock_gettime_ns(clock: int) -> int:
        assert clock == time.CLOCK_BOOTTIME
        return hour_ns + slept_ns

    monkeypatch.setattr("agent.system.time.clock_gettime_ns", clock_gettime_ns)
    monkeypatch.setattr("agent.system.time.monotonic_ns", lambda: hour_ns)
    machine = System()
    clock = TrustedClock(machine)
    clock.adjust(NOON_MS)
    working_ms = machine.awake_ms()
    slept_ns = 9 * hour_ns
    assert clock.now_ms() == NOON_MS + 9 * 60 * MINUTE_MS
    assert machine.awake_ms() == working_ms


def test_a_machine_that_does_not_name_its_boots_is_told_of_once(system: SetSystem) -> None:
    class Nameless(SetSystem):
        def boot_id(self) -> str:
            return ""

    with capture_logs() as logs:
        for machine in (system, Nameless()):
            clock = TrustedClock(machine)
            for _ in range(3):
                clock.adjust(NOON_MS)
    assert [entry["event"] for entry in logs] == ["boot_unnamed"]


def test_the_unit_lets_the_agent_read_the_name_of_the_boot() -> None:
    unit = (ROOT / "packaging/till/agent.service").read_text(encoding="utf-8")
    settings = [line for line in unit.splitlines() if not line.startswith("#")]
    assert "ProcSubset=pid" not in settings  # it hides /proc/sys
    assert "ProtectProc=invisible" in settings

"""A power cut at any input or output of a till's day takes nothing that was answered."""

from collections.abc import Iterator

import pytest
import structlog

from bench.crash.__main__ import find_plant
from bench.crash.cuts import Workshop, be_quiet, plan
from bench.crash.judge import Cut, sound_rights
from bench.crash.plants import PLANTS
from sync.records import (
    GrantInRecord,
    GrantReturnRecord,
    OpenRecord,
    RefundRecord,
    SaleRecord,
    XferInRecord,
    XferOutRecord,
)

PARTS = 7
"""Every operation of the day is cut in one of so many tests, which share the cores.

No divisor of the twenty patterns of survivors, so that each test has some of each.
"""
LYING_CUTS = 40
"""A seed; `make crash` does 3,000, and the honest ones a dozen times over."""
KINDS = {
    OpenRecord,
    SaleRecord,
    RefundRecord,
    GrantInRecord,
    GrantReturnRecord,
    XferOutRecord,
    XferInRecord,
}


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    """Let the day pass once; quietly, for thousands of times the till would say the same."""
    before = structlog.get_config()
    be_quiet()
    workshop = Workshop()
    yield workshop
    workshop.close()
    structlog.configure(**before)


def every_cut(workshop: Workshop, seed: int) -> list[Cut]:
    """Return a cut in each operation of the day, on a disk that keeps its word."""
    operations = workshop.day.operations
    return plan(operations, operations, seed=seed, lying_share=0.0)


def require_clean(workshop: Workshop, cuts: list[Cut]) -> None:
    """Do cuts; fail with what they found and the lines that do those again."""
    sums = workshop.run(cuts)
    assert [f"{verdict.found}\n  {verdict.cut.again}" for verdict in sums.found] == []
    assert sum(sums.cuts.values()) == len(cuts)


def test_the_day_has_every_kind_of_record_and_its_rights_are_sound(workshop: Workshop) -> None:
    day = workshop.day
    records = day.records(len(day.bodies))
    assert {type(record) for record in records} >= KINDS
    given = {
        grant.grant_id: grant.points for grant in day.centres[-1][1].granted if not grant.sale_key
    }
    taken = {each.transfer_id: each.points for each in records if isinstance(each, XferInRecord)}
    assert sound_rights(day, given | taken) == []


def test_every_operation_is_in_one_part(workshop: Workshop, seed: int) -> None:
    cuts = every_cut(workshop, seed)
    parts = [cut.number for part in range(PARTS) for cut in cuts[part::PARTS]]
    assert sorted(parts) == list(range(1, workshop.day.operations + 1))
    assert len(parts) > 1_500
    assert len({cut.pattern for cut in cuts}) == 20


@pytest.mark.seeds(1)
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_answered_is_lost_whichever_operation_the_power_goes_in(
    workshop: Workshop, part: int, seed: int
) -> None:
    require_clean(workshop, every_cut(workshop, seed)[part::PARTS])


def test_no_right_comes_back_on_a_disk_that_lies(workshop: Workshop, seed: int) -> None:
    cuts = plan(workshop.day.operations, LYING_CUTS, seed=seed, lying_share=1.0)
    assert len(cuts) == LYING_CUTS
    require_clean(workshop, cuts)


@pytest.mark.seeds(1)
@pytest.mark.parametrize("plant", PLANTS)
def test_a_journal_kept_wrongly_is_found_out(plant: str, seed: int) -> None:
    assert find_plant(plant, seed) is not None

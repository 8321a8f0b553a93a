"""A power cut at any input or output of a till's day takes nothing that was answered."""

import os
import random

import pytest

from bench.crash.__main__ import find_plant
from bench.crash.cuts import Workshop, plan, run_all
from bench.crash.judge import sound_rights
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

CUTS = 240
"""About one in six operations; `make crash` does all of them, many times over."""
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
def operations() -> int:
    """Return how many operations the day has, after looking at the day itself."""
    workshop = Workshop()
    day = workshop.day
    workshop.close()
    records = day.records(len(day.bodies))
    assert {type(record) for record in records} >= KINDS
    given = {
        grant.grant_id: grant.points for grant in day.centres[-1][1].granted if not grant.sale_key
    }
    taken = {each.transfer_id: each.points for each in records if isinstance(each, XferInRecord)}
    assert sound_rights(day, given | taken) == []
    return day.operations


def test_nothing_answered_is_lost_and_no_right_comes_back(operations: int, seed: int) -> None:
    cuts = plan(operations, CUTS, seed=seed)
    found, seen = [], 0
    for sums in run_all(cuts, jobs=min(2, os.cpu_count() or 1)):
        found += [f"{verdict.found}\n  {verdict.cut.again}" for verdict in sums.found]
        seen += sum(sums.cuts.values())
    assert found == []
    assert seen == len(cuts)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_journal_kept_wrongly_is_found_out(plant: str) -> None:
    assert find_plant(plant, random.SystemRandom().getrandbits(16)) is not None

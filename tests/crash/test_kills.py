"""Agents and the centre killed with -9 while registers sell: printed and posted are the same."""

import pytest

from bench.crash.kill import run
from bench.demo.proof import faults_of
from tests.support.postgres import folder_for_postgres

KILLS = 4
"""`python -m bench.crash.kill` does two hundred."""


@pytest.mark.seeds(1)
def test_what_was_printed_is_posted_once_whatever_was_killed(seed: int) -> None:
    with folder_for_postgres() as folder:
        report = run(folder / "kill", KILLS, seed=seed)
    assert faults_of(report) == [], f"python -m bench.crash.kill --seed {report['seed']}"
    assert report["receipts_printed"] > 0

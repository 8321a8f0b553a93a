"""Agents and the centre killed with -9 while registers sell: printed and posted are the same."""

import random

from bench.crash.kill import run
from bench.demo.proof import faults_of
from tests.support.postgres import folder_for_postgres

KILLS = 4
"""`python -m bench.crash.kill` does two hundred."""


def test_what_was_printed_is_posted_once_whatever_was_killed() -> None:
    with folder_for_postgres() as folder:
        report = run(folder / "kill", KILLS, seed=random.SystemRandom().getrandbits(16))
    assert faults_of(report) == [], f"python -m bench.crash.kill --seed {report['seed']}"
    assert report["receipts_printed"] > 0

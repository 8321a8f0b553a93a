"""Stores on lines that lose, delay, reorder and repeat packets: everything printed is posted once.

Hosts are network namespaces; where a machine allows none the test is skipped and says why.
"""

import random
from pathlib import Path

import pytest

from bench.demo.proof import faults_of
from bench.netem.__main__ import run
from bench.netem.hosts import why_not
from bench.netem.line import BAD, Counts, Line, Quality, Way
from tests.support.postgres import folder_for_postgres


@pytest.mark.seeds(1)
def test_what_was_printed_over_bad_lines_is_posted_once(seed: int) -> None:
    if lacking := why_not():
        pytest.skip(lacking)
    with folder_for_postgres() as folder:
        report = run(folder / "netem", scale=0.1, tills_per_store=1, seed=seed)
    assert faults_of(report) == []
    assert report["receipts_printed"] > 0
    assert all(line["lost"] and line["reordered"] for line in report["lines"])


def counts_after(quality: Quality, packets: int, seed: int) -> Counts:
    """Send packets of 100 bytes, one every 20 ms, and wait until each has arrived or is lost."""
    with Path("/dev/null").open("wb", buffering=0) as sink:
        line = Line({3: Way(sink.fileno())}, random.Random(seed), quality)
        for number in range(packets):
            line.take(3, bytes(100), number * 0.02)
        line.deliver(1e9)
    return line.counts


def test_a_bad_line_is_as_bad_as_it_says(seed: int) -> None:
    counts = counts_after(BAD, 4_000, seed)
    assert counts.lost + counts.passed - counts.duplicated == 4_000
    assert 120 < counts.lost < 280
    assert 40 < counts.duplicated < 130
    assert 780 < counts.reordered < 1_200


def test_nothing_passes_a_cut_line(seed: int) -> None:
    counts = counts_after(Quality(cut=True), 50, seed)
    assert (counts.cut, counts.passed, counts.lost) == (50, 0, 0)

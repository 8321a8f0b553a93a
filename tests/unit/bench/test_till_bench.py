"""The measurement of a till: distinct receipts, one bare commit, a whole report."""

from pathlib import Path
from uuid import UUID

from bench.till.completing import BareCommits, Times
from bench.till.shop import receipt_id
from bench.till.tables import text

TIMES = {"median_ms": 1.0, "p99_ms": 2.0, "max_ms": 3.0}


def test_receipts_have_ids_of_their_own_in_every_series() -> None:
    ids = [receipt_id(number, series=series) for series in range(3) for number in range(2_000)]
    assert len(set(ids)) == len(ids)
    assert {UUID(each).version for each in ids} == {7}


def test_a_bare_commit_is_a_row_on_the_disk(tmp_path: Path) -> None:
    bare = BareCommits(tmp_path / "bare.db")
    assert bare.commit() > 0
    assert bare._connection.execute("pragma synchronous").fetchall() == [(2,)]  # noqa: SLF001
    assert bare._connection.execute("select count(*) from bare").fetchall() == [(1,)]  # noqa: SLF001
    bare.close()


def test_the_ratio_is_of_the_same_percentile_of_both() -> None:
    times = Times(complete=[200.0] * 98 + [900.0] * 2, bare=[100.0] * 98 + [300.0] * 2)
    assert (times.ratio(50), times.ratio(99)) == (2, 3)


def test_the_report_says_every_figure_with_its_goal() -> None:
    figures = {
        "complete_p99_ratio": 1.5, "complete_p99_ratio_in_process": 1.4,
        "first_call_after_cut_ms": 152.0, "later_calls_extra_ms": 0.0, "offline30_lost": 0,
        "offline30_mb": 140.0, "offline30_catch_up_s": 40.0,
    }  # fmt: skip
    complete = {
        "over_http": {"sales": 9, "p99_ratio": 1.5, "complete": TIMES, "bare_commit": TIMES}
    }
    offline = {
        "days": 30, "receipts_a_day": 2_000, "redeemed_offline": 5, "records": 60_005,
        "file_bytes_per_receipt": 2_300, "bytes_up": 20_000_000, "applied_s": None,
        "not_applied_yet": 7, "applied_per_s": 300,
    }  # fmt: skip
    said = text({**figures, "complete": complete, "offline": offline})
    assert all(name in said for name in figures)
    assert "7 records not yet, at 300 a second" in said

"""The measurement of the centre: a storm that is one, figures by their names, runs told apart."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench import centre_file
from bench.backtest.__main__ import headline as backtest_headline
from bench.centre import growth, storm
from bench.centre.__main__ import failures, headline, read_options
from bench.centre.measuring import Planned, lost_and_twice, purchases
from bench.centre.stage import Stage, Till
from bench.centre.tables import text
from bench.centre.trade import Trade
from bench.centre.wire import M, TillLine
from bench.demo.rig import RigError
from central.api.traffic import APP
from central.database.pool import Pool
from loyalty.basket import Place
from sync.chain import first_link, next_link
from sync.cycle import PATH_PUSH
from sync.messages import Hello, HelloAnswer, Message, Push, PushAnswer, Verdict
from sync.signing import SigningKey
from tests.support.centre import joined_centre

NAMED_BY_THE_ISSUE = {
    "purchases_per_s", "purchases_p99_ms", "intake_per_s", "pgbench_tps",
    "till_p99_shift_under_app_storm", "backtest_per_s_core", "publish_99_s", "delta_bytes",
    "recovery_s", "lost", "twice",
}  # fmt: skip
RUN = {"at": "2026-11-22T10:00:00+00:00", "commit": "abc", "quick": False, "machine": {}}
CALL = {"calls": 9, "median_ms": 1.5, "p99_ms": 2.5}
TIMES = {"refused": 0, "p99_ms": 2.5, "snapshot": CALL, "push": CALL}
HELD = {
    "share": 0.6, "is_held": True, "asked_per_s": 720, "posted_per_s": 720, "seconds": 300.1,
    "not_held": [0.8],
}  # fmt: skip
PROOF = {"rows": 90_000, "ms": 300, "rows_per_s": 300_000, "broken": []}
CPU = {"front": 70, "postgres": 30}
COST = {
    "bytes_of_a_record": 5_841, "decode_us": 35, "decode_printed_us": 25, "recalculate_us": 145,
    "canonical_bytes_us": 115,
}  # fmt: skip


def found() -> dict[str, Any]:
    """Return what a run finds."""
    return {
        "accounts": 10_000,
        "pgbench": {"tps": 1_700, "machine_load_before": 0.5},
        "purchases": {
            "flat_out": {**TIMES, "posted_per_s": 900, "cpu_us": CPU},
            "sustained": {**TIMES, **HELD},
        },
        "storm": {
            "quiet": TIMES,
            "storm": TIMES,
            "shift": 0.04,
            "shifts": [0.04, -0.2, 0.3],
            "app": storm.figures({200: 5_000, 503: 800}),
        },
        "intake": {"per_s": 2_500, "kept_per_s": 9_000, "cpu_us": CPU, "cost": COST},
        "kill": {"back_s": 4.0, "lost": 0, "twice": 0},
        "verify": PROOF,
        "growth": {"rows": [grown(1_000_000, 850), grown(10_000_000, 800)]},
    }


def grown(accounts: int, per_s: int) -> dict[str, Any]:
    size = {"accounts": accounts, "loading_s": 60.0, "database_mb": 1_400}
    return {**TIMES, **size, "posted_per_s": per_s, "verify": PROOF}


def changed(found: dict[str, Any], value: object, *path: str | int) -> dict[str, Any]:
    """Return what a run found with one value in it changed."""
    found = json.loads(json.dumps(found))  # a copy in which nothing is shared
    place: Any = found
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return found


# The file


def test_the_three_together_write_every_figure_the_issue_names(tmp_path: Path) -> None:
    path = tmp_path / "var" / "centre.json"
    centre_file.write("centre", headline(found()), run=RUN, details=found(), path=path)
    # What bench.rules writes is refused unless it is just this: see test_rules_bench.
    rules = dict.fromkeys(centre_file.FIGURES["rules"], 1)
    centre_file.write("rules", rules, run=RUN, path=path)
    back = {"many": {"per_s_core": 4_733}}
    centre_file.write("backtest", backtest_headline(back), run=RUN, details=back, path=path)
    written = json.loads(path.read_text("utf-8"))
    assert set(written) >= NAMED_BY_THE_ISSUE
    assert (written["backtest_per_s_core"], written["purchases_per_s"]) == (4_733, 720)
    assert list(written["runs"]) == ["centre", "rules", "backtest"]
    assert written["centre"]["purchases"]["sustained"]["posted_per_s"] == 720


def test_each_part_says_when_on_what_and_on_which_code_it_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "centre.json"
    run = centre_file.begin_run(quick=True)
    written = centre_file.write("backtest", {"backtest_per_s_core": 3}, run=run, path=path)
    said = written["runs"]["backtest"]
    assert datetime.fromisoformat(said["at"]).tzinfo is not None
    assert (said["quick"], set(said["machine"]) >= {"cores", "python"}) == (True, True)
    # A run of another part leaves it alone; one of the same takes its place.
    rules = dict.fromkeys(centre_file.FIGURES["rules"], 1)
    centre_file.write("rules", rules, run=RUN, path=path)
    written = centre_file.write("backtest", {"backtest_per_s_core": 4}, run=RUN, path=path)
    assert written["runs"] == {"rules": RUN, "backtest": RUN}
    assert written["backtest_per_s_core"] == 4


def test_what_the_file_said_of_all_parts_at_once_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "centre.json"
    path.write_text('{"lost": 0, "quick": true, "machine": {}}')
    written = centre_file.write("backtest", {"backtest_per_s_core": 3}, run=RUN, path=path)
    assert set(written) == {"lost", "backtest_per_s_core", "runs"}


@pytest.mark.parametrize(
    "figures", [{}, {"backtest_per_s": 1}, {"backtest_per_s_core": 1, "more": 2}]
)
def test_a_figure_that_is_missing_or_has_another_name_is_refused(
    figures: dict[str, int], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="figures differ"):
        centre_file.write("backtest", figures, run=RUN, path=tmp_path / "centre.json")


# The tables


def test_the_tables_say_every_figure_the_floors_where_time_goes_and_growth() -> None:
    report = {**headline(found()), "centre": found(), "runs": {"centre": RUN}}
    said = text(report)
    assert all(name in said for name in centre_file.FIGURES["centre"])
    floors = [line for line in said.splitlines() if "the floor of" in line]
    assert [line.split()[:2] for line in floors] == [
        ["ingest_per_s", "9000"], ["pgbench_tps", "1700"],
    ]  # fmt: skip
    assert "where the time goes: one purchase" in said
    assert "where the time goes: one receipt taken in" in said
    assert "5000 answered (200), 800 told to come again (503)" in said
    rows = [line.split() for line in said.splitlines() if line.strip().endswith(("1400", "-"))]
    assert [row[:2] for row in rows] == [
        ["10000", "900"], ["1000000", "850"], ["10000000", "800"],
    ]  # fmt: skip
    assert rows[1][2:] == ["2.5", "90000", "300", "300000", "60.0", "1400"]


# What is held


def test_the_share_that_was_held_is_said_beside_those_that_were_not() -> None:
    report = {**headline(found()), "centre": found(), "runs": {"centre": RUN}}
    held = "sustained: 60% of what was possible flat out: 720 a second for 300.1 s; not held: 80%"
    assert held in text(report).splitlines()


def test_a_load_that_was_not_held_is_no_figure() -> None:
    fell = changed(found(), False, "purchases", "sustained", "is_held")  # noqa: FBT003 - its value
    assert headline(fell)["purchases_per_s"] is None
    assert headline(fell)["purchases_p99_ms"] is None
    assert ", NOT HELD: 720" in text({**headline(fell), "centre": fell, "runs": {"centre": RUN}})


@pytest.mark.parametrize("late_s_max", [math.inf, 0.03])
async def test_once_the_centre_falls_behind_no_more_are_asked_for(late_s_max: float) -> None:
    till = till_at(4, acked=4)
    till.line = SlowCentre(7, has=4, link=b"")
    planned = [Planned(f"s{number}", 0, b"sale") for number in range(40)]
    trade = cast("Trade", None)  # nobody redeems
    stage = cast("Stage", SimpleNamespace(tills=[till]))
    times, _ = await purchases(stage, trade, planned, per_s=1_000.0, late_s_max=late_s_max)
    assert times.fell_behind == (late_s_max < math.inf)
    assert times.fell_behind == (len(times.push) < len(planned))


# The storm


def test_there_are_more_telephones_than_may_be_at_work_and_wait() -> None:
    assert APP.running_max + APP.waiting_max < storm.LINES


@asynccontextmanager
async def front(answers: dict[bytes, bytes]) -> AsyncIterator[int]:
    """Answer calls by what they have in them, on a port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.readline():
            while (line := await reader.readline()).strip():
                asked += line
            status = next(said for part, said in answers.items() if part in asked)
            writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_each_telephone_asks_both_calls_with_its_own_token() -> None:
    answers = {
        b"/v1/app/account HTTP/1.1\r\nhost: centre\r\nauthorization: Bearer one\r": b"200 OK",
        b"/v1/app/receipts HTTP/1.1\r\nhost: centre\r\nauthorization: Bearer one\r": b"404 No",
        b"Bearer two\r": b"503 Later",
    }
    async with front(answers) as port:
        statuses = await storm.hammer(port, 1.0, ["one", "two"])
    assert set(statuses) == {200, 404, 503}
    assert abs(statuses[200] - statuses[404]) <= 1


def test_a_storm_shows_something_only_if_some_calls_are_answered_and_some_refused() -> None:
    assert storm.flaws(storm.figures({200: 5, 503: 3})) == []
    (said,) = storm.flaws(storm.figures({200: 5}))
    assert "its class was not overloaded" in said
    (said,) = storm.flaws(storm.figures({503: 5}))
    assert "no call of the app was answered" in said
    (said,) = storm.flaws(storm.figures({200: 5, 503: 3, 401: 2}))
    assert "{'401': 2}" in said


def test_a_storm_that_was_none_fails_the_run_and_has_no_figure() -> None:
    quiet = changed(found(), storm.figures({401: 1_644}), "storm", "app")
    assert len(failures(quiet)) == 3
    assert headline(quiet)["till_p99_shift_under_app_storm"] is None
    assert headline(found())["till_p99_shift_under_app_storm"] == 0.04


# What fails a run


def test_a_run_without_loss_in_balance_fails_nowhere() -> None:
    assert failures(found()) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("kill", "lost"), 3, "3 records lost by the kill"),
        (("kill", "twice"), 1, "1 records posted twice"),
        (("verify", "broken"), ["lots"], "the ledger breaks these checks: lots"),
        (
            ("growth", "rows", 1, "verify", "broken"),
            ["once", "seals"],
            "the ledger with 10,000,000 accounts breaks these checks: once, seals",
        ),
    ],
)
def test_what_is_lost_twice_or_unbalanced_fails_the_run(
    path: tuple[str | int, ...], value: object, said: str
) -> None:
    assert failures(changed(found(), value, *path)) == [said]


# What a kill took


class ForgetfulCentre(TillLine):
    """A till's line to a centre that has so many records of its stream, and says so."""

    def __init__(self, till_id: int, *, has: int, link: bytes, verdict: Verdict = "ok") -> None:
        super().__init__(till_id, SigningKey(b"t" * 32), "127.0.0.1", 0)
        self._has, self._link, self._verdict = has, link, verdict

    async def greet(self, hello: Hello) -> HelloAnswer:
        assert hello.seq >= 0
        return HelloAnswer(
            verdict=self._verdict, verified=True, session=b"s" * 16, last_seq=self._has,
            last_hash=self._link, durable_seq=self._has, server_time_ms=1, incarnation_number_min=1,
        )  # fmt: skip

    async def ask(self, path: str, message: Message, kind: type[M]) -> M:
        assert path == PATH_PUSH
        assert isinstance(message, Push)
        is_next = message.from_seq == self._has + 1
        self._has += len(message.records) if is_next else 0
        answer = PushAnswer(
            verdict="ack" if is_next else "gap", last_seq=self._has, last_hash=self._link,
            durable_seq=self._has, incarnation_number_min=1,
        )  # fmt: skip
        assert isinstance(answer, kind)
        return answer


class SlowCentre(ForgetfulCentre):
    """It needs 10 ms for each, and has whatever it is handed."""

    async def ask(self, path: str, message: Message, kind: type[M]) -> M:
        await asyncio.sleep(0.01)
        return await super().ask(path, message, kind)


BODIES = [b"one", b"two", b"three", b"four"]


def till_at(has: int, *, till_id: int = 7, acked: int = 0, verdict: Verdict = "ok") -> Till:
    """Return a till that has sold four times, whose centre has the first of them."""
    chain = [first_link(till_id, b"i" * 8)]
    for body in BODIES:
        chain.append(next_link(chain[-1], body))
    line = ForgetfulCentre(till_id, has=has, link=chain[has], verdict=verdict)
    return Till(
        line, Place(store="s", till="7"), b"i" * 8, chain[-1],
        seq=len(BODIES), acked=acked, bodies=list(BODIES),
    )  # fmt: skip


async def test_what_a_centre_says_later_does_not_lower_what_it_had_acknowledged() -> None:
    till = till_at(1, acked=3)
    await till.greet()
    await till.push_again()
    assert till.acked == 3


async def test_what_was_not_acknowledged_is_handed_in_again() -> None:
    till = till_at(2, acked=2)
    await till.greet()
    await till.push_again()
    assert till.acked == 4


async def test_acknowledged_records_that_the_centre_has_no_more_are_lost(pool: Pool) -> None:
    async with joined_centre(pool) as centre:
        probe = await centre.till()
        await centre.post(probe, probe.sale("s1"), probe.sale("s2"))  # and its stream's open: 3
        till = till_at(3, till_id=probe.till_id, acked=4)
        await till.push_again()
        assert await lost_and_twice([till], pool) == (1, 0)


@pytest.mark.parametrize("verdict", ["epoch", "rewind", "amnesia", "revoked"])
async def test_a_till_that_is_taken_for_another_fails_the_run_in_words(verdict: Verdict) -> None:
    with pytest.raises(RigError, match=f"till 7 said HELLO at record 4 and .* '{verdict}'"):
        await till_at(4, acked=4, verdict=verdict).greet()


async def test_a_centre_with_other_records_fails_the_run_in_words() -> None:
    till = till_at(4, acked=4)
    till.bodies[1] = b"else"
    with pytest.raises(RigError, match="has 4 records, and not the ones it was handed"):
        await till.greet()


async def test_records_that_are_not_taken_fail_the_run_in_words() -> None:
    with pytest.raises(RigError, match="up to 5 and was answered 'gap': the centre has 2"):
        await till_at(2, acked=4).push([b"five"])


# Growth


def test_a_whole_run_grows_to_one_and_ten_millions() -> None:
    _, effort = read_options([])
    assert effort.grown == (1_000_000, 10_000_000)
    _, effort = read_options(["--grown", "50000,200000"])
    assert effort.grown == (50_000, 200_000)
    _, effort = read_options(["--quick", "--grown", "0"])
    assert effort.grown == ()


@pytest.mark.parametrize("grown", ["many", "200000,100000", "-5", "100000,100000", "9999"])
def test_accounts_that_do_not_grow_are_refused(
    grown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_options(["--grown", grown])
    assert "--grown" in capsys.readouterr().err


def test_a_run_without_growth_has_no_figure_of_it() -> None:
    assert headline(found())["grown_purchases_per_s"] == 800
    assert headline(changed(found(), [], "growth", "rows"))["grown_purchases_per_s"] is None


def test_a_disk_that_is_too_small_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    assert growth.lacks_room((), tmp_path) == ""
    assert growth.lacks_room((1_000,), tmp_path) == ""
    assert "--grown" in growth.lacks_room((1_000, 10**12), tmp_path)

"""The commands as store IT types them: exit codes, and one clear sentence for each trouble."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent import __version__
from agent.bootstrap import ADDRESS_FILE, RunningAgent, running_agent
from agent.cli import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_OK, main
from agent.config import AgentConfig
from loyalty.outcomes import Outcome
from tests.architecture.source_tree import ROOT
from tests.support.till import CARD, RECEIPT, TILL_ID, JoinedTill, enrolled_folder, receipt
from tests.unit.agent.scripted_centre import always, raw, scripted_centre

# sqlite-utils loads pandas where there is one; on a till there is none.
AS_ON_A_TILL = (
    "import sys; sys.modules['pandas'] = None; from agent.cli import main; sys.exit(main())"
)
Output = pytest.CaptureFixture[str]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, which is what a command is."""
    return subprocess.run(
        [sys.executable, "-c", AS_ON_A_TILL, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


@pytest.fixture
def sold(tmp_path: Path) -> Path:
    """The data folder of a stopped till that has sold once."""
    till = JoinedTill(enrolled_folder(tmp_path / "data"))
    assert till.complete(receipt(card=CARD), 1_000).outcome == Outcome.RECORDED
    till.close()
    return tmp_path / "data"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[tuple[Path, RunningAgent]]:
    data = enrolled_folder(tmp_path / "data")
    async with running_agent(data, AgentConfig(pos_port=0)) as agent:
        yield data, agent


# Without a subprocess: nothing here opens a database


def test_the_version_is_told(capsys: Output) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"tillside-agent {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["sell"], ["enrol"], ["enrol", "--centre", "x"], ["export"], ["run", "--fast"]],
)
def test_a_command_that_is_none_shows_how_it_is_meant(arguments: list[str], capsys: Output) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: tillside-agent" in capsys.readouterr().err


def test_the_status_of_a_till_that_is_not_enrolled_says_how(tmp_path: Path, capsys: Output) -> None:
    assert main(["status", "--data", str(tmp_path)]) == EXIT_CONFIGURATION
    assert "tillside-agent enrol --centre URL --code CODE" in capsys.readouterr().err


def test_the_status_of_a_stopped_service_says_so(sold: Path, capsys: Output) -> None:
    assert main(["status", "--data", str(sold)]) == EXIT_FAILED
    said = capsys.readouterr().out
    assert said.startswith(f"till {TILL_ID} of store store-1 is enrolled; the service does not")


@pytest.mark.parametrize("left", ["", "{}", '{"url": "http://127.0.0.1:9"}', '{"url": 5}'])
def test_the_status_survives_whatever_stands_in_the_address_file(
    sold: Path, capsys: Output, left: str
) -> None:
    (sold / ADDRESS_FILE).write_text(left)
    assert main(["status", "--data", str(sold)]) == EXIT_FAILED
    assert "the service does not answer" in capsys.readouterr().out


async def test_the_status_of_a_running_service(
    running: tuple[Path, RunningAgent], capsys: Output
) -> None:
    data, _ = running
    assert await asyncio.to_thread(main, ["status", "--data", str(data)]) == EXIT_OK
    said = capsys.readouterr().out
    assert f"till {TILL_ID} of store store-1: link down\n" in said
    assert "records waiting   1 of 1" in said
    assert "none yet" in said
    assert await asyncio.to_thread(main, ["status", "--json", "--data", str(data)]) == EXIT_OK
    assert json.loads(capsys.readouterr().out)["records_waiting"] == 1


async def test_the_registers_token_never_goes_to_a_proxy(
    running: tuple[Path, RunningAgent], capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, _ = running
    async with scripted_centre(always(raw(200, b"{}"))) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert await asyncio.to_thread(main, ["status", "--data", str(data)]) == EXIT_OK
    assert proxy.heard == []


async def test_something_else_on_the_port_is_no_service(sold: Path, capsys: Output) -> None:
    for answer in (b"SSH-2.0-OpenSSH\r\n", raw(200, b"<html>"), raw(500, b"")):
        async with scripted_centre(always(answer)) as other:
            (sold / ADDRESS_FILE).write_text(json.dumps({"url": other.url}))
            done = await asyncio.to_thread(main, ["status", "--data", str(sold)])
        assert done == EXIT_FAILED
        assert "the service does not answer" in capsys.readouterr().out


def test_a_second_enrolment_is_refused(sold: Path, capsys: Output) -> None:
    enrol = ["enrol", "--centre", "http://127.0.0.1:9", "--code", "X", "--data", str(sold)]
    assert main(enrol) == EXIT_CONFIGURATION
    assert "enrolled already" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nowhere", "http://127.0.0.1:port"])
def test_an_enrolment_that_reaches_nobody_says_so(tmp_path: Path, capsys: Output, url: str) -> None:
    enrol = ["enrol", "--centre", url, "--code", "X", "--data", str(tmp_path)]
    assert main(enrol) == EXIT_CONFIGURATION
    assert f"the centre at {url} did not enrol this till" in capsys.readouterr().err


# In processes of their own


def test_a_till_that_is_not_enrolled_does_not_run(tmp_path: Path) -> None:
    done = run("run", "--data", str(tmp_path))
    assert done.returncode == EXIT_CONFIGURATION
    assert "tillside-agent enrol --centre URL --code CODE" in done.stderr


def test_a_wrong_setting_stops_the_service_before_it_starts(tmp_path: Path) -> None:
    done = run("run", "--data", str(enrolled_folder(tmp_path / "data")), TILLSIDE_POS_PORT="x")
    assert done.returncode == EXIT_CONFIGURATION
    assert "pos_port" in done.stderr
    assert "Traceback" not in done.stderr


def test_inspect_counts_the_rows_of_a_stopped_till(sold: Path) -> None:
    text, as_json = (
        run("inspect", "--data", str(sold)),
        run("inspect", "--json", "--data", str(sold)),
    )
    assert (text.returncode, as_json.returncode) == (EXIT_OK, EXIT_OK)
    found = json.loads(as_json.stdout)
    assert found["journal.db"]["record"] == 2
    assert found["journal.db"]["receipt"] == 1
    assert found["cache.db"]["account"] == 0
    assert "record                   2" in text.stdout


def test_inspect_reads_what_a_killed_till_left(tmp_path: Path) -> None:
    till = JoinedTill(tmp_path / "till")
    till.complete(receipt(), 1_000)
    killed = tmp_path / "killed"
    killed.mkdir()
    for left in (tmp_path / "till").iterdir():
        (killed / left.name).write_bytes(left.read_bytes())
    till.close()
    done = run("inspect", "--json", "--data", str(killed))
    assert json.loads(done.stdout)["journal.db"]["record"] == 2
    again = JoinedTill(killed)
    assert again.complete(receipt(), 1_000).outcome == Outcome.RECORDED
    again.close()


def test_export_prints_a_table_as_json_lines_without_any_card(sold: Path) -> None:
    done = run("export", "record", "--data", str(sold))
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["kind"] for row in rows] == ["open", "sale"]
    assert rows[1]["subject"] == RECEIPT
    assert json.loads(rows[1]["body"])["key"] == RECEIPT
    assert len(rows[1]["hash"]) == 64
    assert CARD not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["export", "customers"], "no table 'customers'; there are: "),
        (["export", "record", "--data", "/nowhere"], "does not exist"),
        (["inspect", "--data", "/nowhere"], "does not exist"),
        (["migrate", "--data", "/nowhere"], "check the folder"),
    ],
)
def test_what_cannot_be_read_is_one_clear_sentence(
    sold: Path, arguments: list[str], says: str
) -> None:
    where = [] if "--data" in arguments else ["--data", str(sold)]
    done = run(*arguments, *where)
    assert done.returncode == EXIT_FAILED
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_damaged_file_is_one_clear_sentence_and_stays_as_it_is(sold: Path) -> None:
    (sold / "journal.db").write_bytes(b"garbage" * 1_000)
    for command in (["migrate"], ["inspect"]):
        done = run(*command, "--data", str(sold))
        assert done.returncode == EXIT_FAILED
        assert "sets a damaged file aside" in done.stderr
    assert (sold / "journal.db").read_bytes() == b"garbage" * 1_000


async def test_the_files_of_a_running_service_are_let_alone(
    running: tuple[Path, RunningAgent],
) -> None:
    data, agent = running
    commands = (["inspect"], ["export", "record"], ["migrate"])
    for done in await asyncio.gather(
        *(asyncio.to_thread(run, *command, "--data", str(data)) for command in commands)
    ):
        assert done.returncode == EXIT_FAILED
        assert "stop the service first" in done.stderr
    assert agent.till.journal.stream.is_sound()


def test_migrating_twice_changes_nothing(sold: Path) -> None:
    before = (sold / "journal.db").read_bytes()
    done = run("migrate", "--data", str(sold))
    assert (done.returncode, done.stdout) == (EXIT_OK, "")
    assert (sold / "journal.db").read_bytes() == before


# Two SQLite libraries never meet


def test_a_process_with_the_services_sqlite_refuses_maintenance(sold: Path) -> None:
    script = AS_ON_A_TILL.replace("from agent", "import apsw; from agent")
    done = subprocess.run(
        [sys.executable, "-c", script, "inspect", "--data", str(sold)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == EXIT_FAILED
    assert "maintenance must run in a process of its own" in done.stderr


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("agent.maintenance", ("apsw", "httpx", "asyncio")),
        ("agent.bootstrap", ("sqlite3", "pysqlite3", "sqlite_utils", "starlette", "asyncpg")),
        ("agent.cli", ("apsw", "sqlite3", "pysqlite3", "sqlite_utils", "httpx")),
    ],
)
def test_no_process_loads_both_libraries(imported: str, absent: tuple[str, ...]) -> None:
    script = (
        f"import sys; sys.modules['pandas'] = None; import {imported};"
        f" print([name for name in {absent!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"

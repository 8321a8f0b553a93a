"""The commands as store IT types them: exit codes, and one clear sentence for each trouble."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent import __version__
from agent.bootstrap import ADDRESS_FILE, RunningAgent, running_agent
from agent.cli import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_OK, main
from agent.config import AgentConfig
from agent.journal.database import Database
from agent.journal.schema import migration_files
from loyalty.outcomes import Outcome
from tests.architecture.source_tree import ROOT
from tests.support.till import CARD, RECEIPT, TILL_ID, JoinedTill, enrolled_folder, receipt
from tests.unit.agent.scripted_centre import always, raw, scripted_centre

# sqlite-utils loads pandas where there is one; on a till there is none.
AS_ON_A_TILL = "import sys; sys.modules['pandas'] = None"
MAIN = "from agent.cli import main; sys.exit(main())"
ONE_BY_ONE = f"""
{AS_ON_A_TILL}
import contextlib, io, json
from agent.cli import main

for line in sys.stdin:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        with contextlib.redirect_stderr(io.StringIO()) as err:
            code = main(json.loads(line))
    print(json.dumps(dict(code=code, out=out.getvalue(), err=err.getvalue())), flush=True)
"""
SCHEMA = "select name, sql from sqlite_schema where sql is not null order by name"
Output = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


class Shell:
    """A process of its own for maintenance commands, one after the other."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", ONE_BY_ONE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def run(self, *arguments: str) -> Done:
        """Run a command as `main` does."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        return Done(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    shell = Shell()
    yield shell
    shell.close()


def started(script: str, *arguments: str, **environment: str) -> Done:
    """Run a script in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    return Done(done.returncode, done.stdout, done.stderr)


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


async def test_the_status_says_that_another_machine_runs_as_this_till(
    running: tuple[Path, RunningAgent], capsys: Output
) -> None:
    data, agent = running
    agent.till.quarantined = True
    assert await asyncio.to_thread(main, ["status", "--data", str(data)]) == EXIT_OK
    said = capsys.readouterr().out
    assert "QUARANTINED       another machine runs as this till: enrol one of them anew" in said


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
    done = started(f"{AS_ON_A_TILL}; {MAIN}", "run", "--data", str(tmp_path))
    assert done.code == EXIT_CONFIGURATION
    assert "tillside-agent enrol --centre URL --code CODE" in done.err


def test_a_wrong_setting_stops_the_service_before_it_starts(tmp_path: Path) -> None:
    data = str(enrolled_folder(tmp_path / "data"))
    done = started(f"{AS_ON_A_TILL}; {MAIN}", "run", "--data", data, TILLSIDE_POS_PORT="x")
    assert done.code == EXIT_CONFIGURATION
    assert "pos_port" in done.err
    assert "Traceback" not in done.err


def test_inspect_counts_the_rows_of_a_stopped_till(shell: Shell, sold: Path) -> None:
    text = shell.run("inspect", "--data", str(sold))
    as_json = shell.run("inspect", "--json", "--data", str(sold))
    assert (text.code, as_json.code) == (EXIT_OK, EXIT_OK)
    found = json.loads(as_json.out)
    assert found["journal.db"]["record"] == 2
    assert found["journal.db"]["receipt"] == 1
    assert found["cache.db"]["account"] == 0
    assert "  record                   2\n" in text.out


def test_inspect_does_without_the_cache(shell: Shell, sold: Path) -> None:
    (sold / "cache.db").unlink()
    done = shell.run("inspect", "--json", "--data", str(sold))
    assert list(json.loads(done.out)) == ["journal.db"]


def test_inspect_reads_what_a_killed_till_left_and_takes_nothing(
    shell: Shell, tmp_path: Path
) -> None:
    till = JoinedTill(tmp_path / "till")
    till.complete(receipt(), 1_000)
    killed = tmp_path / "killed"
    shutil.copytree(tmp_path / "till", killed)
    till.close()
    done = shell.run("inspect", "--json", "--data", str(killed))
    counts = json.loads(done.out)["journal.db"]
    assert (counts["record"], counts["noted_sale"]) == (1, 1)  # the sale is entered at the start
    again = JoinedTill(killed)
    assert again.complete(receipt(), 1_000).outcome == Outcome.RECORDED
    assert len(again.own_records()) == 2
    again.close()


def test_export_prints_a_table_as_json_lines_without_any_card(shell: Shell, sold: Path) -> None:
    done = shell.run("export", "record", "--data", str(sold))
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["kind"] for row in rows] == ["open", "sale"]
    assert rows[1]["subject"] == RECEIPT
    assert json.loads(rows[1]["body"])["key"] == RECEIPT
    assert len(rows[1]["hash"]) == 64
    assert CARD not in done.out


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
    shell: Shell, sold: Path, arguments: list[str], says: str
) -> None:
    where = [] if "--data" in arguments else ["--data", str(sold)]
    done = shell.run(*arguments, *where)
    assert (done.code, done.out) == (EXIT_FAILED, "")
    assert says in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("command", [["migrate"], ["inspect"], ["export", "record"]])
def test_a_damaged_file_is_one_clear_sentence_and_stays_as_it_is(
    shell: Shell, sold: Path, command: list[str]
) -> None:
    (sold / "journal.db").write_bytes(b"garbage" * 1_000)
    done = shell.run(*command, "--data", str(sold))
    assert done.code == EXIT_FAILED
    assert "sets a damaged file aside" in done.err
    assert (sold / "journal.db").read_bytes() == b"garbage" * 1_000


@pytest.mark.parametrize("command", ["inspect", "migrate"])
def test_the_files_of_a_running_service_are_let_alone(
    shell: Shell, tmp_path: Path, command: str
) -> None:
    till = JoinedTill(tmp_path / "till")
    done = shell.run(command, "--data", str(tmp_path / "till"))
    assert done.code == EXIT_FAILED
    assert "stop the service first" in done.err
    assert till.complete(receipt(), 1_000).outcome == Outcome.RECORDED
    till.close()


def test_migrating_makes_the_schema_once(shell: Shell, tmp_path: Path) -> None:
    first, second = (shell.run("migrate", "--data", str(tmp_path)) for _ in range(2))
    assert (first.code, second.code) == (EXIT_OK, EXIT_OK)
    assert first.out.splitlines() == [f"applied {name}" for name, _ in migration_files()]
    assert second.out == ""
    service = Database(str(tmp_path / "service.db"))
    service.migrate(migration_files())
    made = Database(str(tmp_path / "journal.db"))
    assert made.rows(SCHEMA) == service.rows(SCHEMA)
    assert made.migrate(migration_files()) == []
    made.close()
    service.close()


def test_migrating_leaves_a_journal_as_it_is(shell: Shell, sold: Path) -> None:
    before = (sold / "journal.db").read_bytes()
    done = shell.run("migrate", "--data", str(sold))
    assert (done.code, done.out) == (EXIT_OK, "")
    assert (sold / "journal.db").read_bytes() == before


# Two SQLite libraries never meet


def test_a_process_with_the_services_sqlite_refuses_maintenance(sold: Path) -> None:
    script = f"{AS_ON_A_TILL}; import apsw; {MAIN}"
    done = started(script, "inspect", "--data", str(sold))
    assert done.code == EXIT_FAILED
    assert "maintenance must run in a process of its own" in done.err


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
        f"{AS_ON_A_TILL}; import {imported}; print([n for n in {absent!r} if n in sys.modules])"
    )
    assert started(script) == Done(0, "[]\n", "")

"""The embedded PostgreSQL: one a folder, gone with its last user, back after any kind of death."""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from central.database.embedded import start_embedded
from central.errors import DatabaseUnavailableError
from tests.support.postgres import folder_for_postgres

WAIT_S_MAX = 60

USER = """
import sys
from pathlib import Path
from central.database.embedded import start_embedded
server = start_embedded(Path(sys.argv[1]), durable="durable" in sys.argv)
print(server.dsn, flush=True)
sys.stdin.readline()
server.stop()
"""


KEEP = [
    "drop table if exists note",
    "create table note (text text)",
    "insert into note values ('kept')",
]


@pytest.fixture
def new_folder() -> Iterator[Path]:
    with folder_for_postgres() as folder:
        yield folder / "data"
        await_end(folder / "data")


@pytest.fixture(scope="module")
def shared_folder() -> Iterator[Path]:
    with folder_for_postgres() as folder:
        start_embedded(folder / "data", durable=False).stop()
        yield folder / "data"


@pytest.fixture
def data_folder(shared_folder: Path) -> Iterator[Path]:
    """Give a folder in which servers ran before; each test leaves it in order."""
    yield shared_folder
    await_end(shared_folder)


@pytest.fixture
def spoilt_folder(shared_folder: Path, new_folder: Path) -> Path:
    """Give a folder of this test's own, to be damaged."""
    return copy(shared_folder, new_folder)


def copy(folder: Path, target: Path) -> Path:
    target.parent.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", folder, target], check=True)
    return target


def await_end(data_folder: Path) -> None:
    """Wait until keeper and server are gone: their lock becomes free."""
    lock = data_folder / "postgres.server.lock"
    if not lock.exists():
        return
    with lock.open() as file:
        waiter = threading.Thread(target=fcntl.flock, args=(file, fcntl.LOCK_EX), daemon=True)
        waiter.start()
        waiter.join(WAIT_S_MAX)
        assert not waiter.is_alive(), "the server outlived its users"


class OtherProcess:
    """A process that uses a server: returned with its DSN once it has it."""

    def __init__(self, data_folder: Path, *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", USER, str(data_folder), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            encoding="utf-8",
        )
        assert self._process.stdout
        self.dsn = self._process.stdout.readline().strip()

    def signal_group(self, number: int) -> None:
        os.killpg(self._process.pid, number)

    def close(self) -> None:
        self._process.communicate("\n", timeout=WAIT_S_MAX)


def run(dsn: str, *statements: str) -> object:
    """Run statements; return the first value of the last."""

    async def go() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(go())


def postmaster(data_folder: Path) -> int:
    return int((data_folder / "postgres/postmaster.pid").read_text().split()[0])


def keeper(data_folder: Path) -> int:
    ps = ["ps", "-o", "ppid=", "-p", str(postmaster(data_folder))]
    return int(subprocess.check_output(ps))


def test_a_new_folder_gets_a_server_and_keeps_its_data(new_folder: Path) -> None:
    with start_embedded(new_folder) as server:
        run(server.dsn, *KEEP)
    await_end(new_folder)
    with start_embedded(new_folder) as server:
        assert run(server.dsn, "select text from note") == "kept"
        assert run(server.dsn, "select lower('ЁЖ')") == "ёж"
        for setting, value in {
            "fsync": "on",
            "full_page_writes": "on",
            "max_prepared_transactions": "0",
            "idle_in_transaction_session_timeout": "10s",
            "listen_addresses": "",
            "timezone": "UTC",
        }.items():
            assert run(server.dsn, f"show {setting}") == value, setting
    server.stop()  # twice does no harm


def test_only_this_account_gets_to_the_socket(data_folder: Path) -> None:
    with start_embedded(data_folder, durable=False):
        folder = data_folder / "postgres"
        assert folder.stat().st_mode & 0o077 == 0
        assert (folder / ".s.PGSQL.5432").stat().st_mode & 0o077 == 0
        rules = (data_folder / "postgres_hba.conf").read_text()
        assert "trust" not in rules
        assert "peer" in rules


def test_a_second_user_joins_and_the_last_one_stops_it(data_folder: Path) -> None:
    first = start_embedded(data_folder, durable=False)
    with closing(OtherProcess(data_folder)) as other:
        assert other.dsn == first.dsn
        second = start_embedded(data_folder)
        pid = postmaster(data_folder)
        first.stop()
        second.stop()
        assert run(other.dsn, "select pg_postmaster_start_time() is not null") is True
        assert postmaster(data_folder) == pid
    await_end(data_folder)
    assert not (data_folder / "postgres/postmaster.pid").exists()


def test_of_many_that_start_at_once_all_get_the_same_server(new_folder: Path) -> None:
    command = [sys.executable, "-c", USER, str(new_folder)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)
    ]
    dsns = {process.stdout.readline() for process in processes if process.stdout}
    assert len(dsns) == 1
    assert b"postgresql://" in dsns.pop()
    for process in processes:
        process.communicate(b"\n", timeout=WAIT_S_MAX)
        assert process.returncode == 0


def test_a_folder_that_another_makes_meanwhile_is_used(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path != data_folder and exists(path))
    with start_embedded(data_folder, durable=False) as server:
        assert run(server.dsn, "select 1") == 1


def test_ctrl_c_in_the_starter_does_not_take_it_from_others(data_folder: Path) -> None:
    with closing(OtherProcess(data_folder)) as other:
        server = start_embedded(data_folder)
        other.signal_group(signal.SIGINT)
    with server:
        assert run(server.dsn, "select 1") == 1


def test_it_ends_by_itself_when_its_user_is_killed(data_folder: Path) -> None:
    with closing(OtherProcess(data_folder)) as other:
        run(other.dsn, *KEEP)
        other.signal_group(signal.SIGKILL)
        await_end(data_folder)
    assert not (data_folder / "postgres/postmaster.pid").exists()
    with start_embedded(data_folder, durable=False) as server:
        assert run(server.dsn, "select text from note") == "kept"


def test_after_a_kill_of_everything_what_was_committed_is_there(data_folder: Path) -> None:
    with closing(OtherProcess(data_folder, "durable")) as other:
        run(other.dsn, *KEEP)
        for pid in (postmaster(data_folder), keeper(data_folder)):
            os.kill(pid, signal.SIGKILL)
        other.signal_group(signal.SIGKILL)
    await_end(data_folder)
    assert (data_folder / "postgres/postmaster.pid").exists()
    with start_embedded(data_folder) as server:
        assert run(server.dsn, "select text from note") == "kept"
    assert "was interrupted" in (data_folder / "postgres.log").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_the_server_does_not_outlive_its_keeper(data_folder: Path) -> None:
    with start_embedded(data_folder, durable=False):
        os.kill(keeper(data_folder), signal.SIGKILL)
        await_end(data_folder)
    with start_embedded(data_folder, durable=False) as server:
        assert run(server.dsn, "select 1") == 1


def test_a_leftover_that_names_a_living_process_does_not_block(data_folder: Path) -> None:
    owner = (data_folder / "postgres").stat().st_uid
    with subprocess.Popen(["sleep", "600"], user=owner if os.geteuid() == 0 else None) as living:
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            lines = [living.pid, data_folder / "postgres", 1, 5432, data_folder / "postgres", "", 1]
            (data_folder / "postgres" / name).write_text("\n".join(map(str, lines)))
        with start_embedded(data_folder, durable=False) as server:
            assert run(server.dsn, "select 1") == 1
        assert living.poll() is None
        living.kill()


def test_a_half_made_cluster_is_made_anew(new_folder: Path) -> None:
    (new_folder / "postgres.new/base").mkdir(parents=True)
    new_folder.chmod(0o711)
    with start_embedded(new_folder, durable=False) as server:
        assert run(server.dsn, "select 1") == 1
    assert not (new_folder / "postgres.new").exists()


@pytest.mark.parametrize("name", ["with a space, a comma and 'quotes\"", "магазин №1 & 100%?#"])
def test_a_folder_may_have_any_name(shared_folder: Path, new_folder: Path, name: str) -> None:
    data_folder = copy(shared_folder, new_folder / name)
    with start_embedded(data_folder, durable=False) as server:
        assert run(server.dsn, "select current_user") == "tillside"
    await_end(data_folder)


def test_a_path_too_long_for_a_socket_gets_a_short_one_for_it(
    shared_folder: Path, new_folder: Path
) -> None:
    data_folder = copy(shared_folder, new_folder / ("long" * 30))
    with start_embedded(data_folder, durable=False) as server:
        socket_folder = str(run(server.dsn, "show unix_socket_directories")).strip('"')
        assert not socket_folder.startswith(str(data_folder))
    await_end(data_folder)
    assert not Path(socket_folder).exists()


def spoil_version(data_folder: Path) -> None:
    (data_folder / "postgres/PG_VERSION").write_text("14\n")


def spoil_control_file(data_folder: Path) -> None:
    (data_folder / "postgres/global/pg_control").write_bytes(b"nothing")


def close_to_others(data_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("the server runs as the account that starts it")
    data_folder.chmod(0o700)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (spoil_version, r"made by PostgreSQL 14, installed is \d+: dump it"),
        (spoil_control_file, r"(?s)ended while starting:.*pg_control"),
        (close_to_others, r"data is closed to the account .*chmod o\+x .*data"),
    ],
)
def test_what_prevents_a_start_is_named(
    spoilt_folder: Path, spoil: Callable[[Path], None], complaint: str
) -> None:
    spoil(spoilt_folder)
    with pytest.raises(DatabaseUnavailableError, match=complaint):
        start_embedded(spoilt_folder, durable=False)
    spoilt_folder.chmod(0o711)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(DatabaseUnavailableError, match=r"cannot use .*/data .*give a DSN"):
        start_embedded(tmp_path / "data")


def test_a_server_started_by_hand_is_left_alone(data_folder: Path) -> None:
    server = start_embedded(data_folder, durable=False)
    command = (data_folder / "postgres/postmaster.opts").read_text()
    server.stop()
    binary = command.split()[0]
    owner = (data_folder / "postgres").stat().st_uid
    by_hand = subprocess.Popen(
        [binary, "-D", data_folder / "postgres", "-h", "", "-k", data_folder / "postgres"],
        user=owner if os.geteuid() == 0 else None,
        cwd=data_folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert by_hand.stdout
    assert any("ready to accept" in line for line in by_hand.stdout)
    with pytest.raises(DatabaseUnavailableError, match=r"started by other means.*stop"):
        start_embedded(data_folder, durable=False)
    assert by_hand.poll() is None
    # Even without its file it is noticed, by the memory it shares with nobody.
    (data_folder / "postgres/postmaster.pid").unlink()
    with pytest.raises(DatabaseUnavailableError, match="still in use"):
        start_embedded(data_folder, durable=False)
    by_hand.send_signal(signal.SIGQUIT)
    by_hand.communicate(timeout=WAIT_S_MAX)

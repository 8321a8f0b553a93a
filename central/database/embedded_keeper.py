"""Stays beside an embedded PostgreSQL and stops it when its last user is gone, however it went.

A program of its own, run by path with the standard library alone: see `embedded.py`, which starts
it. It holds the server lock together with the server it starts, and waits for the users' lock,
which becomes free only when every process that uses the server has let go of it or has died.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

FAST_STOP_S_MAX = 60
"""How long a fast shutdown may take before it becomes an immediate one (recovery at next start)."""


class Job(TypedDict):
    """What to run, and how."""

    command: list[str]
    cwd: str
    account: tuple[int, int] | None
    """User and group to run the server as; None for those of this process."""
    server_lock_fd: int
    """Inherited, already locked: passed on, so that it stays locked as long as a server lives."""
    users_lock: str
    remove_folder: str | None
    """A folder for sockets that goes with the server."""


def main(job: Job) -> None:
    """Leave the starter's session, run the server, end with it."""
    if os.fork():
        os._exit(0)
    os.setsid()
    # Signals meant for a whole group (Ctrl-C, a service's stop) must not take the server from
    # under processes that still use it: they are answered by letting go of the users' lock.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    user, group = job["account"] or (None, None)
    server = subprocess.Popen(  # noqa: S603 the command is put together by embedded.py
        job["command"],
        cwd=job["cwd"],
        user=user,
        group=group,
        extra_groups=None if user is None else [],
        pass_fds=[job["server_lock_fd"]],
        preexec_fn=_die_with_parent(),  # noqa: PLW1509 no thread was started yet
    )
    waiter = threading.Thread(target=_stop_after_last_user, args=(server, Path(job["users_lock"])))
    waiter.daemon = True
    waiter.start()
    server.wait()
    if folder := job["remove_folder"]:
        for path in Path(folder).iterdir():
            path.unlink()
        Path(folder).rmdir()


def _die_with_parent() -> Callable[[], None] | None:
    """Return what makes the server stop should this keeper be killed; known to Linux alone."""
    if sys.platform != "linux":
        return None
    import ctypes  # noqa: PLC0415 not needed elsewhere

    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(set_parent_death_signal, int(signal.SIGINT))


def _stop_after_last_user(server: subprocess.Popen[bytes], users_lock: Path) -> None:
    users_fd = os.open(users_lock, os.O_RDONLY)
    fcntl.flock(users_fd, fcntl.LOCK_EX)
    server.send_signal(signal.SIGINT)  # fast shutdown
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(FAST_STOP_S_MAX)
        return
    server.send_signal(signal.SIGQUIT)  # immediate shutdown


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

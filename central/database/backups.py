"""Copies of the database, made while the centre serves, and putting them back.

PostgreSQL's own programs do the work. Beside the copy stands what it has to come to: totals of the
very snapshot that was copied, and the hash of its bytes. The keys are no part of it
(docs/operations.md).
"""

import asyncio
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import msgspec
import structlog

from central import __version__
from central.database.embedded_cluster import binaries
from central.database.opening import make_ready
from central.database.parts import are_in_use, make_roles
from central.database.pool import Connection, open_pool
from central.errors import CentralError, ConfigurationError
from central.tills.feed import begin_epoch

log = structlog.get_logger()

KIND: Final = "tillside-backup/1"
_CHUNK_BYTES: Final = 1 << 20
_SAID_CHARACTERS: Final = 2_000
_SECRETS: Final = ("password", "sslpassword")
_SERVICE: Final = "tillside"

_TOTALS: Final = """
select (select count(*) from receipt) as receipts, (select count(*) from refund) as refunds,
    (select count(*) from ledger_entry) as entries, (select count(*) from account) as accounts,
    (select coalesce(sum(posted), 0)::bigint from account) as posted,
    (select coalesce(max(arrival), 0) from inbox) as last_arrival
"""
_TABLES: Final = """
select count(*) from pg_class
where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p', 'v')
"""
_NEWEST_MIGRATION: Final = "select name from migration order by name desc limit 1"


class BackupError(CentralError):
    """A copy could not be made or put back; the message says why, and nothing is half done."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy is, and what it has to come to.

    Attributes:
        totals: of the snapshot that was copied.
        migration: the newest file of the schema.
    """

    kind: str
    made_at: str
    release: str
    postgres: str
    migration: str
    size_bytes: int
    sha256: str
    totals: dict[str, int]


def manifest_file(dump: Path) -> Path:
    """Return where the manifest of a copy stands."""
    return dump.with_suffix(".json")


async def make_backup(
    dsn: str, folder: Path, *, now_ms: int, programs: Path | None = None
) -> tuple[Path, Manifest]:
    """Copy a database into a new file of a folder, while others work on it.

    Args:
        programs: the folder with `pg_dump`; without one the wheel's, or what is in the path.

    Raises:
        BackupError: it could not be copied; no file is left.
        DatabaseUnavailableError: it does not answer.
    """
    at = datetime.fromtimestamp(now_ms / 1000, UTC)
    dump = _new_file(folder, f"tillside-{at:%Y%m%dT%H%M%SZ}.dump")
    part = dump.with_suffix(".part")
    pool = await open_pool(dsn, connections_max=1)
    try:
        async with pool.acquire() as connection:
            # Nothing else happens on this connection while the copy is made.
            await connection.execute(
                "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0"
            )
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                snapshot = await connection.fetchval("select pg_export_snapshot()")
                totals = await _totals(connection)
                migration = await connection.fetchval(_NEWEST_MIGRATION)
                arguments = ("--format=custom", f"--snapshot={snapshot}", "--no-password")
                await _run_to_file("pg_dump", dsn, arguments, part, programs)
            postgres = str(connection.get_server_version().major)
        manifest = Manifest(
            kind=KIND,
            made_at=at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            release=__version__,
            postgres=postgres,
            migration=migration,
            size_bytes=part.stat().st_size,
            sha256=await asyncio.to_thread(_sha256, part),
            totals=totals,
        )
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        manifest_file(dump).write_bytes(text + b"\n")
        part.rename(dump)
    finally:
        part.unlink(missing_ok=True)
        await pool.close()
    return dump, manifest


def _new_file(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    if file.exists():
        raise BackupError(f"{file} is there already")
    return file


async def read_manifest(dump: Path) -> Manifest:
    """Return what a copy has to come to, after proving that its bytes are those that were made.

    Raises:
        BackupError: it is not there, or damaged.
    """
    try:
        manifest = msgspec.json.decode(manifest_file(dump).read_bytes(), type=Manifest)
        found = await asyncio.to_thread(_sha256, dump)
    except OSError as error:
        raise BackupError(f"{error.filename}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise BackupError(f"{manifest_file(dump)} is no manifest of a copy: {error}") from error
    if manifest.kind != KIND:
        raise BackupError(f"{manifest_file(dump)} is of another kind: {manifest.kind}")
    if found != manifest.sha256:
        raise BackupError(f"{dump} is damaged: its bytes are not those that were written")
    return manifest


async def restore_backup(
    dsn: str,
    dump: Path,
    manifest: Manifest,
    *,
    now_ms: int,
    with_roles: bool,
    programs: Path | None = None,
) -> dict[str, int]:
    """Put a copy into an empty database, bring its schema up to date, begin a new epoch.

    Returns:
        The totals it came to, before anything else happened to it.

    Raises:
        BackupError: the database is not empty, or the copy could not be put back: then it is as
            empty as before.
    """
    pool = await open_pool(dsn, connections_max=1)
    try:
        if await pool.fetchval(_TABLES):
            raise BackupError("the database is not empty: give a new one, nothing is overwritten")
        await _run_from_file(
            "pg_restore",
            dsn,
            ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"),
            dump,
            programs,
        )
        async with pool.acquire() as connection:
            totals = await _totals(connection)
            if with_roles and await are_in_use(connection):
                await make_roles(connection)
        await make_ready(dsn, now_ms=now_ms, with_roles=with_roles)
        await begin_epoch(pool, now_ms=now_ms)
    finally:
        await pool.close()
    log.info("backup_restored", made_at=manifest.made_at, **totals)
    return totals


async def _totals(connection: Connection) -> dict[str, int]:
    row = await connection.fetchrow(_TOTALS)
    assert row is not None
    return dict(row)


# PostgreSQL's programs


def program(name: str, folder: Path | None) -> Path:
    """Return where one of PostgreSQL's programs is.

    Raises:
        ConfigurationError: nowhere.
    """
    folders: list[Path] = [folder] if folder is not None else []
    if folder is None:
        try:
            folders.append(binaries())
        except ConfigurationError:
            folders += [Path(each) for each in os.environ.get("PATH", "").split(os.pathsep)]
    for each in folders:
        if found := shutil.which(name, path=each):
            return Path(found)
    raise ConfigurationError(f"no {name} here: install PostgreSQL's client programs")


@contextmanager
def _without_passwords(dsn: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Give an address without its passwords, and the environment that says them for the block."""
    parts = urlsplit(dsn)
    # Read as the pool reads them: the one before the host goes before the other one.
    secrets = {key: text for key, text in parse_qsl(parts.query) if key in _SECRETS}
    environment = dict(os.environ)
    if parts.password is not None:
        secrets["password"] = unquote(parts.password)
    if "password" in secrets:
        environment["PGPASSWORD"] = secrets["password"]
    user, at, host = parts.netloc.rpartition("@")
    query = "&".join(
        each for each in parts.query.split("&") if unquote(each.partition("=")[0]) not in _SECRETS
    )
    # urlunsplit would leave out the empty host of a socket's address.
    rest = urlunsplit(("", "", parts.path, query, ""))
    bare = f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{rest}"
    if "sslpassword" not in secrets:
        yield bare, environment
        return
    # A key's has no variable; what a service's file says counts where the address says nothing.
    with NamedTemporaryFile("w", encoding="utf-8", prefix="tillside-") as file:  # of mode 0600
        file.write(f"[{_SERVICE}]\nsslpassword={secrets['sslpassword']}\n")
        file.flush()
        yield bare, {**environment, "PGSERVICEFILE": file.name, "PGSERVICE": _SERVICE}


async def _run_to_file(
    name: str, dsn: str, arguments: Sequence[str], file: Path, programs: Path | None
) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as written:
        await _run(name, dsn, arguments, programs, stdout=written.fileno())
        os.fsync(written.fileno())


async def _run_from_file(
    name: str, dsn: str, arguments: Sequence[str], file: Path, programs: Path | None
) -> None:
    with file.open("rb") as read:
        await _run(name, dsn, arguments, programs, stdin=read.fileno())


async def _run(
    name: str,
    dsn: str,
    arguments: Sequence[str],
    programs: Path | None,
    *,
    stdin: int = asyncio.subprocess.DEVNULL,
    stdout: int = asyncio.subprocess.DEVNULL,
) -> None:
    with _without_passwords(dsn) as (bare, environment):
        process = await asyncio.create_subprocess_exec(
            program(name, programs), *arguments, f"--dbname={bare}",
            stdin=stdin, stdout=stdout, stderr=asyncio.subprocess.PIPE, env=environment,
        )  # fmt: skip
        try:
            _, complained = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
    if process.returncode:
        said = complained.decode("utf-8", "replace").strip()[:_SAID_CHARACTERS]
        raise BackupError(f"{name} failed: {said}")


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as read:
        while chunk := read.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()

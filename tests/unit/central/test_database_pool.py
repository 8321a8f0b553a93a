"""The pool: bounded statements, and for every refusal a sentence that says what to do."""

import asyncio
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

import central
from central.database.pool import Pool, open_pool
from central.errors import ConfigurationError, DatabaseUnavailableError


def with_path(dsn: str, database: str) -> str:
    return dsn.replace(urlsplit(dsn).path + "?", f"/{database}?", 1).removesuffix("?")


async def test_statements_waits_and_open_transactions_are_bounded(pool: Pool) -> None:
    names = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
    query = "select array_agg(current_setting(name)) from unnest($1::text[]) as name"
    assert await pool.fetchval(query, names) == ["30s", "10s", "10s"]
    assert await pool.fetchval("show timezone") == "UTC"


async def test_json_comes_and_goes_as_text(pool: Pool) -> None:
    assert await pool.fetchval("""select '{"a":1}'::json""") == '{"a":1}'
    assert await pool.fetchval("select $1::jsonb", '{"a": [1]}') == '{"a": [1]}'


async def test_no_more_connections_than_asked_for(database: str) -> None:
    pool = await open_pool(database, connections_max=1)
    assert (pool.get_min_size(), pool.get_max_size()) == (1, 1)
    await pool.close()


async def test_a_connection_comes_back_without_a_statement_and_with_nothing_open(
    database: str,
) -> None:
    pool = await open_pool(database, connections_max=1)
    said: list[str] = []
    async with pool.acquire() as connection:
        connection.add_query_logger(lambda record: said.append(record.query))
    assert await pool.fetchval("select 7") == 7
    assert said == ["select 7"]
    async with pool.acquire() as connection:
        await connection.execute("begin; create table left_open ()")
    assert await pool.fetchval("select to_regclass('left_open')") is None
    await pool.close()


async def test_a_machine_that_vanished_is_missed_in_fifteen_seconds() -> None:
    said = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size_bytes = int.from_bytes(await reader.readexactly(4), "big")
        said.set_result(await reader.readexactly(size_bytes - 4))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(DatabaseUnavailableError):
        await open_pool(f"postgresql://tillside@127.0.0.1:{port}/db?sslmode=disable")
    server.close()
    await server.wait_closed()
    words = (await said)[4:].decode().split("\0")  # after the protocol's number
    asked = dict(zip(words[::2], words[1::2], strict=False))
    idle, interval, count = (
        int(asked[f"tcp_keepalives_{name}"]) for name in ("idle", "interval", "count")
    )
    assert idle + interval * count == 15
    assert asked["tcp_user_timeout"] == "15000"


async def test_on_a_unix_socket_nobody_minds_what_is_asked_of_tcp(database: str) -> None:
    minds: list[object] = []
    connection = await asyncpg.connect(database)
    connection.add_log_listener(lambda _, message: minds.append(message))
    for name in ("idle", "interval", "count"):
        await connection.execute(f"set tcp_keepalives_{name} = 5")
    await connection.execute("set tcp_user_timeout = 15000")
    assert minds == []
    await connection.close()


LASTING = re.compile(
    r"(?:begin;\s*)?set (?!local\b|constraints\b)(?:session )?[\w.]+ ?(?:=|to )|listen \w+;?$"
    r"|.*\bpg_(?:try_)?advisory_lock(?:_shared)?\(|.*\bset_config\([^)]*false\)"
    r"|.*\bwith hold\b|create temp",
    re.DOTALL,
)
LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
UNDONE = {
    "outreach/outbox.sql", "database/backups.py", "database/migrations.py", "streams/queries.sql",
    "people/tiers.sql",
}  # fmt: skip
"""The relay resets its connection when it leads no more; a backup has a pool of its own, closed;
migrations take back what they set; who shares records closes its connection; a round of tiers
gives back its lock."""


def texts(module: Path) -> Iterator[str]:
    """Yield what may be a statement: of a query file each, of Python each literal."""
    text = module.read_text(encoding="utf-8").lower()
    if module.suffix == ".sql":
        for statement in text.split("-- name:")[1:]:
            lines = statement.splitlines()[1:]
            yield "\n".join(line for line in lines if not line.startswith("--")).strip()
    else:
        yield from (literal.strip() for literal in LITERAL.findall(text))


def test_no_statement_leaves_anything_in_a_session() -> None:
    package = Path(central.__file__).parent
    modules = [
        *package.rglob("*.py"),
        *(each for each in package.rglob("*.sql") if each.parent.name != "migrations"),
    ]
    found = {
        str(module.relative_to(package))
        for module in modules
        if module.parent.name != "commands"
        for text in texts(module)
        if LASTING.match(text) and len(text) < 1_000
    }
    assert found == UNDONE


@pytest.mark.parametrize(
    "dsn",
    [
        "",
        "central.example/tillside",
        "mysql://root@localhost/tillside",
        "postgresql://tillside:se:cr@et@host:port/db",
        "postgresql://tillside:secret@[::1/db",
    ],
)
async def test_an_address_that_cannot_be_read_is_a_matter_of_configuration(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="postgresql://user:password@") as caught:
        await open_pool(dsn)
    assert "cr@et" not in str(caught.value)
    assert caught.value.exit_code == 78


async def test_nobody_at_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = taken.getsockname()[1]
        with pytest.raises(DatabaseUnavailableError) as caught:
            await open_pool(f"postgresql://tillside:secret@127.0.0.1:{port}/tillside")
    assert f"nobody answers at 127.0.0.1:{port}/tillside" in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_no_socket_in_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match=f"nobody answers at /db in {tmp_path}"):
        await open_pool(f"postgresql://tillside@/db?host={tmp_path}")


async def test_somebody_else_at_the_address() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(DatabaseUnavailableError, match=rf"127\.0\.0\.1:{port}"):
        await open_pool(f"postgresql://tillside@127.0.0.1:{port}/db?sslmode=disable")
    server.close()
    await server.wait_closed()


async def test_a_database_that_does_not_exist_is_named(postgres_server: str) -> None:
    dsn = with_path(postgres_server + ("" if "?" in postgres_server else "?"), "no_such_database")
    with pytest.raises(DatabaseUnavailableError, match=r'"no_such_database".*create it'):
        await open_pool(dsn)


async def test_a_database_in_another_encoding_is_refused(postgres_server: str) -> None:
    server = await asyncpg.connect(postgres_server)
    await server.execute(
        "create database latin_letters template template0 encoding latin1 "
        "lc_collate 'C' lc_ctype 'C' locale_provider libc",
    )
    try:
        dsn = with_path(postgres_server + ("" if "?" in postgres_server else "?"), "latin_letters")
        with pytest.raises(DatabaseUnavailableError, match=r"LATIN1.*--encoding=UTF8"):
            await open_pool(dsn)
    finally:
        await server.execute("drop database latin_letters")
        await server.close()


async def test_a_server_that_takes_no_writes_is_refused(database: str) -> None:
    connection = await asyncpg.connect(database)
    name = await connection.fetchval("select current_database()")
    await connection.execute(f'alter database "{name}" set default_transaction_read_only = on')
    await connection.close()
    with pytest.raises(DatabaseUnavailableError, match="takes no writes"):
        await open_pool(database)

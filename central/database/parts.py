"""Roles of PostgreSQL: each part of the centre works under one that may do what it needs, no more.

`grants.txt` says which role may do what with which table; a test derives it from the statements
each part runs. Roles belong to the whole server, what they may to one database.
"""

import hashlib
from functools import cache
from importlib import resources
from typing import Final, Literal

import asyncpg

from central.database.migrations import is_ahead
from central.database.pool import Connection
from central.errors import DatabaseUnavailableError

Part = Literal["front", "app", "office", "personal", "processing", "outreach", "reader"]

PARTS: Final[tuple[Part, ...]] = (
    "front", "app", "office", "personal", "processing", "outreach", "reader",
)  # fmt: skip
PRIVILEGES: Final = {"r": "select", "a": "insert", "w": "update", "d": "delete"}
"""By PostgreSQL's own letters."""

_LENT: Final[dict[str, tuple[Part, ...]]] = {
    "keep_ledger_still()": ("processing",),
    "forget_people(bigint[])": ("processing",),
    "count_till_rights(bigint[], bigint[])": ("front", "app", "office", "processing"),
    "note_blocked_card(bytea, text, boolean)": ("office", "processing"),
}
"""Functions that do what their callers may not do otherwise."""

_SETTING: Final = "database_roles"
_LOCK: Final = 0x54494C4C524F4C45  # "TILLROLE": one at a time in a database


def role_of(part: Part) -> str:
    """Return the name of a part's role."""
    return f"tillside_{part}"


@cache
def grants() -> dict[str, dict[Part, str]]:
    """Return what each part may do with each table, as letters of `PRIVILEGES`."""
    text = resources.files("central.database").joinpath("grants.txt").read_text(encoding="utf-8")
    found: dict[str, dict[Part, str]] = {}
    for line in text.splitlines():
        table, *letters = line.split()[: 1 + len(PARTS)] if not line.startswith("#") else [""]
        if table:
            cells = zip(PARTS, letters, strict=True)
            found[table] = {part: cell for part, cell in cells if cell != "-"}
    return found


def _digest() -> bytes:
    return hashlib.sha256(repr(sorted(grants().items())).encode()).digest()


async def are_in_use(connection: Connection) -> bool:
    """Say whether this database was ever given its roles; a copy of it remembers that, too."""
    return bool(
        await connection.fetchval("select exists (select from setting where name = $1)", _SETTING)
    )


async def are_here(connection: Connection) -> bool:
    """Say whether this server knows the roles."""
    roles = [role_of(part) for part in PARTS]
    found = await connection.fetchval(
        "select count(*) from pg_roles where rolname = any($1)", roles
    )
    return bool(found == len(PARTS))


async def may_change_schema(connection: Connection) -> bool:
    """Say whether whoever is connected owns the schema, or is bound to one part of it."""
    return bool(
        await connection.fetchval("select has_schema_privilege(current_schema(), 'create')")
    )


async def make_roles(connection: Connection) -> None:
    """Make the roles that are missing and give each what it needs in this database.

    Raises:
        DatabaseUnavailableError: whoever is connected may not make roles.
    """
    for part in PARTS:
        role = role_of(part)
        try:
            if not await connection.fetchval("select to_regrole($1) is not null", role):
                await connection.execute(f"create role {role} nologin")
        except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
            pass  # another database's centre was faster
        except asyncpg.InsufficientPrivilegeError as error:
            raise DatabaseUnavailableError(
                "this user may not make roles: run the command once with one that has CREATEROLE"
            ) from error
        if not await connection.fetchval("select pg_has_role($1, 'member')", role):
            await connection.execute(f"grant {role} to current_user")
    await grant(connection)


async def keep_up(connection: Connection, *, migrated: bool, contracting: bool = False) -> None:
    """Give the roles what they need after the schema or this release has changed.

    Args:
        contracting: no process of another release works any more: take from them what this one
            does not need. Until then both kinds of processes work, each with what it needs.
    """
    # A copy that was put back without privileges looks up to date and is not.
    lost = "select not has_table_privilege($1, 'till', 'select')"
    if not (migrated or contracting or await connection.fetchval(lost, role_of("front"))):
        known = await connection.fetchval("select value from setting where name = $1", _SETTING)
        if known == _digest() or await is_ahead(connection):
            return
    await grant(connection, taking_away=contracting)


async def grant(connection: Connection, *, taking_away: bool = False) -> None:
    """Give each role what `grants.txt` says.

    Args:
        taking_away: and nothing else.
    """
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
        schema = await connection.fetchval("select quote_ident(current_schema())")
        if taking_away:
            await _take_away(connection, schema)
        for part in PARTS:
            await connection.execute(f"grant usage on schema {schema} to {role_of(part)}")
        await connection.execute(f"grant usage on schema personal to {role_of('personal')}")
        for table, letters_by_part in grants().items():
            if await connection.fetchval("select to_regclass($1) is null", table):
                continue
            for part, letters in letters_by_part.items():
                names = ", ".join(PRIVILEGES[letter] for letter in letters)
                await connection.execute(f"grant {names} on {table} to {role_of(part)}")
        await _lend(connection, schema)
        await connection.execute(
            # Numbers are taken beforehand by what posts many records at once, and by nobody else.
            f"grant usage on all sequences in schema {schema} to {role_of('processing')}"
        )
        await connection.execute(
            "insert into setting (name, value) values ($1, $2)"
            " on conflict (name) do update set value = excluded.value",
            _SETTING, _digest(),
        )  # fmt: skip


async def _take_away(connection: Connection, schema: str) -> None:
    for part in PARTS:
        role = role_of(part)
        for each in (schema, "personal"):
            await connection.execute(
                f"revoke all on all tables in schema {each} from {role};"
                f" revoke all on all sequences in schema {each} from {role};"
                f" revoke all on schema {each} from {role}"
            )


async def _lend(connection: Connection, schema: str) -> None:
    """Let triggers do what their tables are kept by, whoever changes these."""
    rows = await connection.fetch(
        "select distinct p.oid::regprocedure::text as name from pg_trigger t"
        " join pg_proc p on p.oid = t.tgfoid join pg_class c on c.oid = t.tgrelid"
        " where not t.tgisinternal and c.relnamespace = current_schema()::regnamespace"
        " and p.pronamespace = c.relnamespace and not p.prosecdef"
    )
    for (name,) in rows:
        await connection.execute(
            f"alter function {name} security definer set search_path = {schema}, pg_temp"
        )
    for name, its_parts in _LENT.items():
        if await connection.fetchval("select to_regprocedure($1) is null", name):
            continue
        roles = ", ".join(map(role_of, its_parts))
        await connection.execute(
            f"alter function {name} security definer set search_path = {schema}, pg_temp;"
            f" revoke all on function {name} from public;"
            f" grant execute on function {name} to {roles}"
        )

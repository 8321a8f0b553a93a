"""Makes a database ready for this release: schema and roles up to date, or a plain refusal."""

import structlog

from central.database.migrations import is_ahead, migrate, pending
from central.database.parts import (
    are_here,
    are_in_use,
    keep_up,
    make_roles,
    may_change_schema,
)
from central.database.pool import open_pool
from central.errors import MigrationError

log = structlog.get_logger()


async def make_ready(
    dsn: str, *, now_ms: int, with_roles: bool = False, contracting: bool = False
) -> bool:
    """Bring schema and roles up to date; says whether parts work under roles of their own.

    Processes of an older release go on working: schema and roles are only added to. Whoever is
    bound to one part changes nothing: its database has to be up to date.

    Args:
        dsn: of the schema's owner, or of somebody bound to one part.
        with_roles: make the roles if there are none yet.
        contracting: no process of an older release works any more: take away what it needed.

    Raises:
        DatabaseUnavailableError: the database does not answer or does not fit, or it had roles
            that this server does not know and this user may not make.
        MigrationError: the schema cannot be brought up to date, or not by this user.
    """
    pool = await open_pool(dsn, connections_max=1)
    try:
        async with pool.acquire() as connection:
            if not await may_change_schema(connection):
                if contracting:
                    raise MigrationError(
                        "this user may not change the schema: run tillside-central migrate"
                        " --contract as its owner"
                    )
                if names := await pending(connection):
                    raise MigrationError(
                        f"the schema is older than this release ({names[0]} is missing) and this"
                        " user may not change it: run tillside-central migrate as its owner"
                    )
                return True
            names = await migrate(connection, now_ms=now_ms, contracting=contracting)
            for name in names:
                log.info("migrated", file=name)
            if contracting and await is_ahead(connection):
                raise MigrationError(
                    "a newer release has migrated this database: run its tillside-central migrate"
                    " --contract"
                )
            if not (with_roles or await are_in_use(connection)):
                return False
            if await are_in_use(connection) and await are_here(connection):
                await keep_up(connection, migrated=bool(names), contracting=contracting)
            else:
                await make_roles(connection)
                log.info("database_roles_made")
            return True
    finally:
        await pool.close()

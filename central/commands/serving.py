"""`serve` and `migrate`."""

import argparse
from typing import TYPE_CHECKING

from central.commands.command import Commands, add_centre_command

if TYPE_CHECKING:
    from central.config import CentralConfig
    from central.database.pool import Connection


def add_serving(commands: Commands) -> None:
    """Declare the commands."""
    serve = add_centre_command(
        commands,
        "serve",
        "serve tills, thin clients and the status page",
        _serve,
        example="serve --port 7700",
    )
    serve.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    serve.add_argument(
        "--port", type=int, help="port to listen on, 0 for a free one (default 7700)"
    )
    serve.add_argument(
        "--role",
        choices=("all", "front", "processing", "outreach"),
        help="which part to run; parts are processes over one database (default all)",
    )
    serve.add_argument(
        "--events",
        help="address of the message broker that is told what happens (docs/growth.md); a password"
        " in it is better given by TILLSIDE_CENTRAL_EVENTS",
    )
    migrate = add_centre_command(
        commands,
        "migrate",
        "bring the database's schema up to date",
        _migrate,
        example="migrate",
    )
    migrate.add_argument(
        "--citus",
        action="store_true",
        help="then spread the accounts over the machines of a Citus cluster (docs/growth.md)",
    )
    migrate.add_argument(
        "--roles",
        action="store_true",
        help="then give each part of the centre a role of PostgreSQL with what it needs alone",
    )


async def _serve(
    options: argparse.Namespace,  # noqa: ARG001 - commands are called alike
    config: "CentralConfig",
) -> int:
    from central.roles import serve
    from central.system import System

    await serve(config, System())
    return 0


async def _migrate(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.database.parts import make_roles
    from central.system import System

    async with opened_database(config, System()) as pool:
        print("the schema is up to date")
        if options.roles:
            async with pool.acquire() as connection:
                await make_roles(connection)
            print("each part has a role of its own")
        if options.citus:
            async with pool.acquire() as connection:
                await _spread(connection)
    return 0


async def _spread(connection: "Connection") -> None:
    from central.database.spreading import spread

    done = await spread(connection)
    for obstacle in done.obstacles:
        print(f"without its {obstacle.kind} {obstacle.name}: {obstacle.table}")
    print("spread or replicated: " + (", ".join(done.tables) or "nothing new"))

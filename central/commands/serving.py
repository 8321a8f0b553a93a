"""`serve` and `migrate`."""

import argparse
from typing import TYPE_CHECKING

from central.commands.command import Commands, add_centre_command

if TYPE_CHECKING:
    from central.config import CentralConfig


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
    add_centre_command(
        commands,
        "migrate",
        "bring the database's schema up to date",
        _migrate,
        example="migrate",
    )


async def _serve(
    options: argparse.Namespace,  # noqa: ARG001 - commands are called alike
    config: "CentralConfig",
) -> int:
    from central.roles import serve
    from central.system import System

    await serve(config, System())
    return 0


async def _migrate(
    options: argparse.Namespace,  # noqa: ARG001 - commands are called alike
    config: "CentralConfig",
) -> int:
    from central.bootstrap import opened_database
    from central.system import System

    async with opened_database(config, System()):
        print("the schema is up to date")
    return 0

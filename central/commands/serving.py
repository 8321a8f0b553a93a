"""`serve` and `migrate`."""

import argparse
from typing import TYPE_CHECKING

from central.commands.command import (
    Commands,
    add_centre_command,
    add_json_option,
    report,
    whole,
)

if TYPE_CHECKING:
    from central.config import CentralConfig
    from central.database.pool import Connection

_PORT_MAX = 65_535


def add_serving(commands: Commands) -> None:
    """Declare the commands."""
    serve = add_centre_command(
        commands,
        "serve",
        "serve tills and thin clients",
        _serve,
        example="serve --port 7700",
    )
    serve.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    serve.add_argument(
        "--port",
        type=whole(0, _PORT_MAX),
        help="port to listen on, 0 for a free one (default 7700)",
    )
    serve.add_argument(
        "--role",
        choices=("all", "front", "processing", "outreach"),
        help="which part to run; parts are processes over one database (default all)",
    )
    serve.add_argument(
        "--events",
        help="address of the message broker that is told what happens (docs/growth.md); one with a"
        " password in it is given by TILLSIDE_CENTRAL_EVENTS",
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
    migrate.add_argument(
        "--contract",
        action="store_true",
        help="take away, too, what only older releases need (post files, privileges of roles): when"
        " none of their processes works any more",
    )
    add_json_option(migrate)


async def _serve(
    options: argparse.Namespace,  # noqa: ARG001 - commands are called alike
    config: "CentralConfig",
) -> int:
    from central.roles import serve
    from central.system import System

    _require_servable(config)
    await serve(config, System())
    return 0


def _require_servable(config: "CentralConfig") -> None:
    """Refuse what could not be served before the database is begun or brought up to date.

    Raises:
        ConfigurationError: an address means no broker, or no mail can be sent with the settings.
        CentralError: another program listens on a port.
    """
    from central.observability.side_server import require_free
    from central.outreach.opening import open_sink

    if config.events:
        open_sink(config.events)  # it connects when it is used
    config.mail()
    if config.role in ("front", "all"):
        require_free(config.host, config.port, setting="--port")
    if config.metrics_port:
        setting = "TILLSIDE_CENTRAL_METRICS_PORT"
        require_free(config.metrics_host, config.metrics_port, setting=setting)


async def _migrate(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.database.migrations import pending
    from central.database.parts import make_roles
    from central.system import System

    found: dict[str, object] = {"up_to_date": True, "roles": options.roles}
    lines = ["the schema is up to date"]
    async with opened_database(config, System(), contracting=options.contract) as pool:
        async with pool.acquire() as connection:
            found["waiting"] = waiting = await pending(connection, contracting=True)
        lines += [f"waits for --contract: {name}" for name in waiting]
        if options.roles:
            async with pool.acquire() as connection:
                await make_roles(connection)
            lines.append("each part has a role of its own")
        if options.citus:
            async with pool.acquire() as connection:
                spread, said = await _spread(connection)
            found["spread"] = spread
            lines += said
    report(options, found, "\n".join(lines))
    return 0


async def _spread(connection: "Connection") -> tuple[dict[str, object], list[str]]:
    """Spread the accounts; returns what was done, as JSON and as lines."""
    from central.database.spreading import spread

    done = await spread(connection)
    lines = [
        f"without its {obstacle.kind} {obstacle.name}: {obstacle.table}"
        for obstacle in done.obstacles
    ]
    lines.append("spread or replicated: " + (", ".join(done.tables) or "nothing new"))
    without = [
        {"table": each.table, "kind": each.kind, "name": each.name} for each in done.obstacles
    ]
    return {"tables": list(done.tables), "without": without}, lines

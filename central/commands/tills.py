"""`enrol` and `revoke`."""

import argparse
from typing import TYPE_CHECKING

from central.commands.acting import note_command
from central.commands.command import (
    Commands,
    add_centre_command,
    add_json_option,
    read_number,
    report,
)
from central.errors import NotFoundError

if TYPE_CHECKING:
    from central.config import CentralConfig


def add_enrol(commands: Commands) -> None:
    """Declare `enrol`."""
    enrol = add_centre_command(
        commands,
        "enrol",
        "make a one-time code for a new till",
        _enrol,
        example="enrol --store 367 --slot 1",
    )
    enrol.add_argument("--store", required=True, help="the store the till stands in")
    enrol.add_argument("--slot", required=True, help="the register's place in the store, e.g. 1")
    enrol.add_argument(
        "--no-vault", action="store_true", help="never set customers' points aside for this till"
    )
    add_json_option(enrol)


def add_revoke(commands: Commands) -> None:
    """Declare `revoke`."""
    revoke = add_centre_command(
        commands,
        "revoke",
        "take away what a lost or stolen till may do",
        _revoke,
        example="revoke 12",
    )
    revoke.add_argument("till", type=read_number, help="its number, as the status page shows it")
    add_json_option(revoke)


async def _enrol(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.system import System
    from central.tills.enrolment import make_code

    system = System()
    async with (
        opened_database(config, system) as pool,
        pool.acquire() as connection,
        connection.transaction(),
    ):
        made = await make_code(
            connection, options.store, options.slot, is_vault=not options.no_vault, system=system
        )
        await note_command(
            connection, options, "till.code", f"store:{made.store_id}",
            {"slot": made.slot, "vault": not options.no_vault},
        )  # fmt: skip
    text = f"code {made.code} for register {made.slot} of store {made.store_id}, good for one day\n"
    text += f"on the till: tillside-agent enrol --centre URL --code {made.code}"
    report(options, {"code": made.code, "store": made.store_id, "slot": made.slot}, text)
    return 0


async def _revoke(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.database.named_sql import load_queries
    from central.rights.write_offs import freeze, held_by
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool:
        async with pool.acquire() as connection, connection.transaction():
            done = await connection.execute(
                load_queries("central.tills", "queries.sql")["revoke"], options.till
            )
            if done != "UPDATE 1":
                raise NotFoundError(
                    f"there is no till {options.till}; the status page lists the tills"
                )
            await note_command(connection, options, "till.revoke", f"till:{options.till}", {})
        await freeze(pool, now_ms=system.now_ms())
        points = sum(right.points for right in await held_by(pool, options.till))
    words = f"till {options.till} is revoked: it gets no rights and no customers any more"
    text = f"{words}; what it sends is kept aside"
    if points:
        text += (
            f"\n{points} points of customers are frozen in its rights; once nothing of it can come"
            f" any more: tillside-central rights write-off --till {options.till} --yes"
        )
    report(options, {"till": options.till, "revoked": True, "points_frozen": points}, text)
    return 0

"""`programmes`: `list`, `add` and `banner`."""

import argparse
from typing import TYPE_CHECKING

from central.commands.acting import add_token_option, find_acting
from central.commands.command import (
    Commands,
    add_centre_command,
    add_group,
    add_json_option,
    report,
)

if TYPE_CHECKING:
    from central.config import CentralConfig
    from central.database.pool import Connection
    from central.programmes.registry import ProgrammeRow


def add_programmes(commands: Commands) -> None:
    """Declare the commands."""
    actions = add_group(
        commands,
        "programmes",
        "say which programmes there are and which banners share them",
        example="programmes banner GREEN green",
    )
    listing = add_centre_command(
        actions, "list", "show programmes and their banners", _list, example="programmes list"
    )
    add = add_centre_command(
        actions,
        "add",
        "add a programme: wallets, rules and tiers of its own",
        _add,
        example='programmes add green "Green points"',
    )
    add.add_argument("programme", help="its name, the programme_id its rules will have")
    add.add_argument("title", nargs="?", default="", help="what people call it")
    banner = add_centre_command(
        actions,
        "banner",
        "give a banner a programme; banners that have the same share its wallets",
        _banner,
        example="programmes banner GREEN green",
    )
    banner.add_argument("banner", help="as stores name it")
    banner.add_argument("programme", help='its name; "" for the default one')
    for each in (listing, add, banner):
        add_json_option(each)
    for each in (add, banner):
        add_token_option(each)


async def _person(connection: "Connection", options: argparse.Namespace) -> str:
    """Return who gives the command, having checked the role of who is known by name."""
    from central.ledger.adjustments import FINANCE
    from central.staff.persons import COMMAND_LINE

    person = await find_acting(connection, options)
    if person is None:
        return COMMAND_LINE
    person.require(FINANCE)
    return person.name


async def _list(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.programmes.registry import list_programmes
    from central.system import System

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        found = await list_programmes(connection)
    text = "\n".join(map(_said, found))
    report(options, {"programmes": msgspec.to_builtins(found)}, text)
    return 0


async def _add(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.programmes.registry import add_programme
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        name = await _person(connection, options)
        async with connection.transaction():
            made = await add_programme(
                connection, options.programme, options.title, person=name, now_ms=system.now_ms()
            )
    report(options, msgspec.to_builtins(made), _said(made))
    return 0


async def _banner(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.programmes.registry import give_banner
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        name = await _person(connection, options)
        async with connection.transaction():
            made = await give_banner(
                connection, options.banner, options.programme, person=name, now_ms=system.now_ms()
            )
    report(options, msgspec.to_builtins(made), _said(made))
    return 0


def _said(row: "ProgrammeRow") -> str:
    named = f"{row.programme} ({row.title})" if row.title else row.programme
    if not row.programme:
        banners = "every banner that has no other"
    else:
        banners = ", ".join(row.banners) or "no banner yet"
    release = f"release {row.release}" if row.release else "no rules yet"
    return (
        f"{named or 'default'}: {banners}; {row.stores} stores, {row.accounts} accounts, {release}"
    )

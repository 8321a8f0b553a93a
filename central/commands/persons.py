"""`person`: `add`, `roles`, `token`, `disable`, `list`; and `audit`."""

import argparse
from typing import TYPE_CHECKING

from central.commands.command import (
    ROWS_MAX,
    Commands,
    add_centre_command,
    add_group,
    add_json_option,
    report,
    whole,
)
from central.staff.roles import ROLES, told_roles

if TYPE_CHECKING:
    from central.config import CentralConfig


def add_persons(commands: Commands) -> None:
    """Declare the commands."""
    actions = add_group(
        commands,
        "person",
        "say who works at the centre, and what each may do",
        example="person add anna --role author",
    )
    for name, says, run, roles in (
        ("add", "add a person and print the token, once", _add, True),
        ("roles", "give a person these roles in place of those before", _roles, True),
        ("token", "print another token; the one before is worth nothing any more", _token, False),
        ("disable", "let a person in no more", _disable, False),
    ):
        command = add_centre_command(actions, name, says, run, example=f"person {name} anna")
        command.add_argument("name", help="lower case letters, digits and . _ @ -")
        if roles:
            command.add_argument(
                "--role",
                action="append",
                dest="roles",
                default=[],
                choices=tuple(ROLES),
                metavar="ROLE",
                help=f"repeat for several: {told_roles()}",
            )
        add_json_option(command)
    listing = add_centre_command(actions, "list", "list people", _list, example="person list")
    add_json_option(listing)
    audit = add_centre_command(
        commands,
        "audit",
        "show who did what, the newest first",
        _audit,
        example="audit --subject release:12",
    )
    audit.add_argument("--subject", default="", help="to this alone, such as draft:summer@2")
    audit.add_argument(
        "--rows", type=whole(1, ROWS_MAX), default=100, help="so many at most (default 100)"
    )
    add_json_option(audit)


async def _add(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.staff.persons import COMMAND_LINE, add_person
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        token = await add_person(
            connection, options.name, options.roles, by=COMMAND_LINE, system=system
        )
    report(options, {"name": options.name, "roles": options.roles, "token": token}, token)
    return 0


async def _roles(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.staff.persons import COMMAND_LINE, give_roles
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        await give_roles(connection, options.name, options.roles, by=COMMAND_LINE, system=system)
    text = f"{options.name} has the roles: {', '.join(options.roles) or 'none'}"
    report(options, {"name": options.name, "roles": options.roles}, text)
    return 0


async def _token(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.staff.persons import COMMAND_LINE, renew_token
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        token = await renew_token(connection, options.name, by=COMMAND_LINE, system=system)
    report(options, {"name": options.name, "token": token}, token)
    return 0


async def _disable(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.staff.persons import COMMAND_LINE, disable_person
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        await disable_person(connection, options.name, by=COMMAND_LINE, system=system)
    report(options, {"name": options.name, "disabled": True}, f"{options.name} is let in no more")
    return 0


async def _list(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.staff.persons import list_people
    from central.system import System

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        people = await list_people(connection)
    lines = [
        f"{each.name:<24} {', '.join(each.roles)}{'  (disabled)' if each.disabled else ''}"
        for each in people
    ]
    report(options, msgspec.to_builtins(people), "\n".join(lines) or "nobody yet")
    return 0


async def _audit(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.staff.audit import read_audit
    from central.system import System

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        rows = await read_audit(connection, subject=options.subject, rows_max=options.rows)
    lines = [
        f"{each.at_ms} {each.person} {each.action} {each.subject} {bytes(each.detail).decode()}"
        for each in rows
    ]
    found = msgspec.json.decode(msgspec.json.encode(rows))
    report(options, found, "\n".join(lines) or "nothing yet")
    return 0

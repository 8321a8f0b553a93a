"""`apps` and `partners`: programs that call from outside, their secrets, limits and statements."""

import argparse
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from central.commands.acting import add_token_option, find_acting
from central.commands.command import (
    Commands,
    add_centre_command,
    add_json_option,
    read_points,
    report,
    whole,
)
from loyalty.limits import LOT_DAYS_MAX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from central.access.clients import Kind
    from central.access.partner_statement import HandOuts, Statement
    from central.config import CentralConfig
    from central.database.pool import Connection
    from central.system import System

S = TypeVar("S")

_KEEP_HOURS_MAX = 24 * 366
_REVERSAL_DAYS_MAX = 3_650
_Act = Callable[["Connection", argparse.Namespace, str, "System"], Awaitable[int]]


def add_programs(commands: Commands) -> None:
    """Declare the commands."""
    _add_kind(commands, "apps", "app", "services behind the customers' app", "app-backend")
    actions = _add_kind(commands, "partners", "partner", "partners that give points", "bakery")
    terms = _add_write(
        actions, "terms", "say how much a partner may give, and how long it can be taken back",
        _terms, example="partners terms bakery --at-once 500 --customer-day 1000 --day 100000",
    )  # fmt: skip
    for name, says in (
        ("--at-once", "points of one accrual"), ("--customer-day", "points a day for a customer"),
        ("--day", "points a day"),
    ):  # fmt: skip
        terms.add_argument(
            name, type=read_points, required=True, metavar="POINTS", help=f"most {says}"
        )
    terms.add_argument(
        "--days",
        type=whole(0, LOT_DAYS_MAX),
        default=0,
        help="points live so long (default: for ever)",
    )
    terms.add_argument(
        "--reversal-days",
        type=whole(0, _REVERSAL_DAYS_MAX),
        default=90,
        help="may be taken back so long (default 90)",
    )
    for name, says, run in (
        ("statement", "print what a partner gave and took back", _statement),
        ("hand-outs", "print what tills handed out of a partner's own points", _hand_outs),
    ):
        printing = add_centre_command(
            actions, name, says, run,
            example=f"partners {name} bakery --from 2026-11-01 --to 2026-11-30 --csv",
        )  # fmt: skip
        printing.add_argument("name")
        printing.add_argument(
            "--from", dest="first", default="", help="first day, UTC (default today)"
        )
        printing.add_argument("--to", dest="last", default="", help="last day, UTC (default today)")
        printing.add_argument("--csv", action="store_true", help="print CSV")
        add_json_option(printing)


def _add_kind(commands: Commands, name: str, kind: "Kind", says: str, one: str) -> Commands:
    group = commands.add_parser(
        name,
        help=f"manage {says}",
        description=f"Manage {says}: secrets are shown once and kept as hashes.",
        epilog=f"Example: tillside-central {name} add {one}",
    )
    actions: Commands = group.add_subparsers(dest="action", required=True, metavar="ACTION")
    adding = _add_write(
        actions, "add", "add one and print its secret", partial(_add, kind),
        example=f"{name} add {one} --title 'As people call it'",
    )  # fmt: skip
    adding.add_argument("--title", default="", help="for people")
    adding.add_argument(
        "--programme",
        default="",
        help="its customers have wallets of it (default: the default one)",
    )
    adding.add_argument(
        "--scope", action="append", default=[], dest="scopes", help="what it may do (default: all)"
    )
    rotating = _add_write(
        actions, "rotate", "give it a further secret and print it", partial(_rotate, kind),
        example=f"{name} rotate {one} --keep-hours 48",
    )  # fmt: skip
    rotating.add_argument(
        "--keep-hours",
        type=whole(0, _KEEP_HOURS_MAX),
        default=24,
        help="the one before lives on so long (default 24)",
    )
    _add_write(
        actions, "revoke", "let it in no more, nor anybody signed in by it",
        partial(_revoke, kind), example=f"{name} revoke {one}",
    )  # fmt: skip
    listing = add_centre_command(
        actions, "list", f"list {says}", partial(_list, kind), example=f"{name} list --json"
    )
    add_json_option(listing)
    return actions


def _add_write(
    actions: Commands, name: str, says: str, act: _Act, *, example: str
) -> argparse.ArgumentParser:
    """Declare an action by somebody on one program."""
    parser = add_centre_command(actions, name, says, partial(_acted, act), example=example)
    parser.add_argument("name")
    add_token_option(parser)
    add_json_option(parser)
    return parser


async def _acted(act: _Act, options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.staff.persons import COMMAND_LINE

    async with _opened(config) as (connection, system):
        person = await find_acting(connection, options)
        return await act(connection, options, person.name if person else COMMAND_LINE, system)


@asynccontextmanager
async def _opened(config: "CentralConfig") -> "AsyncIterator[tuple[Connection, System]]":
    from central.bootstrap import opened_database
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        yield connection, system


async def _add(
    kind: "Kind", connection: "Connection", options: argparse.Namespace, by: str, system: "System"
) -> int:
    from central.access.clients import add_client

    secret = await add_client(
        connection, options.name, kind, title=options.title, programme=options.programme,
        scopes=options.scopes, by=by, system=system,
    )  # fmt: skip
    report(options, {"client_id": options.name, "client_secret": secret}, secret)
    return 0


async def _rotate(
    kind: "Kind", connection: "Connection", options: argparse.Namespace, by: str, system: "System"
) -> int:
    from central.access.clients import rotate_secret

    secret = await rotate_secret(
        connection, options.name, kind, keep_hours=options.keep_hours, by=by, system=system
    )
    report(options, {"client_id": options.name, "client_secret": secret}, secret)
    return 0


async def _revoke(
    kind: "Kind", connection: "Connection", options: argparse.Namespace, by: str, system: "System"
) -> int:
    from central.access.clients import revoke_client

    await revoke_client(connection, options.name, kind, by=by, system=system)
    report(
        options, {"client_id": options.name, "revoked": True}, f"{options.name} is let in no more"
    )
    return 0


async def _list(kind: "Kind", options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.access.clients import list_clients

    async with _opened(config) as (connection, system):
        found = await list_clients(connection, kind, now_ms=system.now_ms())
    lines = [
        f"{each.client_id:<24} {' '.join(each.scopes)}  {each.title}"
        f"{'  (revoked)' if each.disabled else ''}{'  (two secrets)' if each.secrets > 1 else ''}"
        for each in found
    ]
    report(options, msgspec.to_builtins(found), "\n".join(lines) or "nobody yet")
    return 0


async def _terms(
    connection: "Connection", options: argparse.Namespace, by: str, system: "System"
) -> int:
    import msgspec

    from central.access.partners import PartnerTerms, put_terms
    from central.errors import BadRequestError

    given = {
        "points_per_accrual_max": options.at_once,
        "points_per_customer_day_max": options.customer_day,
        "points_per_day_max": options.day,
        "days": options.days,
        "reversal_days": options.reversal_days,
    }
    try:
        terms = msgspec.convert(given, PartnerTerms)
    except msgspec.ValidationError as error:
        raise BadRequestError("terms", str(error)) from error
    await put_terms(connection, options.name, terms, by=by, now_ms=system.now_ms())
    report(options, given, f"{options.name} may give {terms.points_per_day_max} points a day")
    return 0


async def _statement(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.access.partner_statement import read_statement
    from central.api.partner_routes import statement_csv

    found = await _read(options, config, read_statement)
    if options.csv:
        print(statement_csv(found), end="")
        return 0
    lines = [
        f"{each.day} {each.kind:<8} {each.reference:<32} {each.points:>10}"
        for each in found.movements
    ]
    owed = (
        f"given {found.accrued_points}, taken back {found.reversed_points}"
        f" ({found.not_recovered_points} of it was spent), owed {found.owed_points}"
    )
    if found.handed_out_points or found.handed_back_points:
        owed += f"\n{_handed(found)}"
    report(options, msgspec.to_builtins(found), "\n".join([*lines, owed]))
    return 0


async def _hand_outs(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.access.partner_statement import read_hand_outs
    from central.api.partner_routes import hand_outs_csv

    found = await _read(options, config, read_hand_outs)
    if options.csv:
        print(hand_outs_csv(found), end="")
        return 0
    lines = [
        f"{each.day} {each.kind:<9} {each.receipt:<36} {each.offer:<20} {each.points:>10}"
        for each in found.lines
    ]
    report(options, msgspec.to_builtins(found), "\n".join([*lines, _handed(found)]))
    return 0


def _handed(found: "Statement | HandOuts") -> str:
    return (
        f"of its own points: handed out {found.handed_out_points},"
        f" back with goods {found.handed_back_points}, due to it {found.due_points}"
    )


async def _read(
    options: argparse.Namespace, config: "CentralConfig", reading: Callable[..., Awaitable[S]]
) -> S:
    from central.access.clients import require_client
    from central.api.partner_routes import days_of
    from central.ledger.liability import day_of
    from sync.limits import COUNT_MAX

    async with _opened(config) as (connection, system):
        today = day_of(system.now_ms())
        first, last = days_of(options.first or today, options.last or today)
        await require_client(connection, options.name, "partner")
        return await reading(connection, options.name, first, last, after=0, rows_max=COUNT_MAX - 1)

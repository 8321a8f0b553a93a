"""`parked list` and `parked give-up`: records that wait for what may never come."""

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from central.commands.acting import add_token_option, find_acting
from central.commands.command import (
    ROWS_MAX,
    Commands,
    add_centre_command,
    add_group,
    add_json_option,
    read_number,
    report,
    whole,
)

if TYPE_CHECKING:
    from central.config import CentralConfig
    from central.streams.parked_queue import ParkedQueue, ParkedRecord

_DAYS_MAX: Final = 36_500
_DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
_WHAT: Final = {"sale": "receipt", "refund": "return", "points": "points home,"}


def add_parked(commands: Commands) -> None:
    """Declare the commands."""
    actions = add_group(
        commands,
        "parked",
        "look after records that wait for a card, a receipt or a transfer",
        example="parked list",
    )
    listing = add_centre_command(
        actions,
        "list",
        "list records that wait, the oldest first: since when, for what, what is at stake",
        _list,
        example="parked list --store 367 --days 3",
    )
    listing.add_argument("--store", default="", help="of this store's tills")
    listing.add_argument(
        "--days",
        type=whole(0, _DAYS_MAX),
        default=0,
        help="those that have waited so long at least",
    )
    listing.add_argument(
        "--rows", type=whole(1, ROWS_MAX), default=100, help="at most so many (default 100)"
    )
    add_json_option(listing)
    give_up = add_centre_command(
        actions,
        "give-up",
        "end a record that waits: kept for ever, never posted, its till is told",
        _give_up,
        example="parked give-up 4711 --reason 'store burnt down' --yes --token-file ann.token",
    )
    give_up.add_argument("record", type=read_number, help="its number, as `parked list` shows it")
    give_up.add_argument("--reason", required=True, help="for those who look later; nobody's name")
    give_up.add_argument("--early", action="store_true", help="before it has waited 90 days")
    give_up.add_argument(
        "--yes", action="store_true", help="do it; without this it only says what it would do"
    )
    add_token_option(give_up)
    add_json_option(give_up)


async def _list(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.streams.parked_queue import list_parked
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool:
        found = await list_parked(
            pool, now_ms=system.now_ms(), store=options.store, days=options.days,
            rows_max=options.rows,
        )  # fmt: skip
    report(options, msgspec.to_builtins(found), _told(found, options.store, options.days))
    return 0


async def _give_up(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.ledger.adjustments import CALL_CENTRE
    from central.staff.persons import COMMAND_LINE
    from central.streams.parked_queue import find_parked, give_up
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        person = await find_acting(connection, options)
        if person is not None:
            person.require(CALL_CENTRE)
        if options.yes:
            async with connection.transaction():
                found = await give_up(
                    connection, options.record, person=person.name if person else COMMAND_LINE,
                    reason=options.reason, is_early=options.early, now_ms=system.now_ms(),
                )  # fmt: skip
        else:
            found = await find_parked(connection, options.record, now_ms=system.now_ms())
    text = _sentences(found)
    if options.yes:
        text += (
            "\ngiven up: processing ends it as rejected_kept and tells its till;"
            " whatever comes later, nothing of it is posted"
        )
    else:
        text += "\nnothing was done: repeat with --yes to end it for good"
    report(options, msgspec.to_builtins(found) | {"done": options.yes}, text)
    return 0


def _told(queue: "ParkedQueue", store: str, days: int) -> str:
    """Return a table for people."""
    which = f" of store {store}" if store else ""
    if not queue.records:
        long = f" for {_count(days, 'day')} or longer" if days else ""
        return f"no record{which} waits{long}"
    head = ("record", "what", "till", "store", "received, UTC", "waits", "for", "money", "points")
    rows = [head, *map(_row, queue.records)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    more = queue.total - len(queue.records)
    lines.append(
        f"{_count(queue.total, 'record')}{which}"
        + (f", {more} more than are shown: --rows, --store, --days" if more else "")
        + f"; after {queue.limit_days} days each can be given up: parked give-up"
    )
    return "\n".join(lines)


def _row(record: "ParkedRecord") -> tuple[str, ...]:
    return (
        str(record.record),
        f"{_WHAT[record.kind]} {record.key}",
        str(record.till),
        record.store,
        _moment(record.received_at_ms),
        _age(record.waited_ms),
        _awaited(record),
        "unknown" if record.money_minor is None else str(record.money_minor),
        "unknown" if record.points is None else f"{record.points:+}",
    )


def _sentences(record: "ParkedRecord") -> str:
    """Return what waits, and what is at stake."""
    money = "money not known" if record.money_minor is None else f"money {record.money_minor}"
    points = "points not known" if record.points is None else f"points {record.points:+}"
    return (
        f"record {record.record}: {_WHAT[record.kind]} {record.key} of till {record.till}, store"
        f" {record.store}, has waited {_age(record.waited_ms)} for {_awaited(record)}\n"
        f"at stake: {money} (smallest unit), {points}"
    )


def _awaited(record: "ParkedRecord") -> str:
    where = f" in programme {record.programme}" if record.programme else ""
    return f"{record.waits_for} {record.name}{where}"


def _age(waited_ms: int) -> str:
    if waited_ms >= _DAY_MS:
        return _count(waited_ms // _DAY_MS, "day")
    return _count(waited_ms // _HOUR_MS, "hour")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")

"""`availability`: how customers were served, as the receipts say."""

import argparse
from typing import TYPE_CHECKING

from central.commands.command import Commands, add_centre_command, add_json_option, report

if TYPE_CHECKING:
    from central.availability.report import Availability, Served
    from central.config import CentralConfig

_HOUR_MINUTES = 60


def add_availability(commands: Commands) -> None:
    """Declare the command."""
    parser = add_centre_command(
        commands,
        "availability",
        "show how customers were served: in full, in full without a line, with less, not at all",
        _availability,
        example="availability --banner Corner --from 2026-03-05T08:00Z --by hour",
    )
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--store", default="", help="of this store")
    part.add_argument("--banner", default="", help="of this banner")
    parser.add_argument("--region", default="", help="of this region")
    parser.add_argument("--from", dest="begin", help="begin, UTC (default an hour before the end)")
    parser.add_argument("--to", dest="end", help="end, not in it, UTC (default now)")
    parser.add_argument(
        "--by", choices=("minute", "hour", "day"), default="minute", help="a row's length"
    )
    add_json_option(parser)


async def _availability(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.availability.counting import MINUTE_MS
    from central.availability.report import Wanted, read_availability, read_minute
    from central.bootstrap import opened_database
    from central.system import System

    system = System()
    now_ms = system.now_ms()
    end = read_minute(options.end, name="--to") if options.end else now_ms // MINUTE_MS + 1
    begin = read_minute(options.begin, name="--from") if options.begin else end - _HOUR_MINUTES
    wanted = Wanted(
        begin_minute=begin,
        end_minute=end,
        step=options.by,
        store=options.store,
        banner=options.banner,
        region=options.region,
    )
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        found = await read_availability(connection, wanted, now_ms=now_ms)
    report(options, msgspec.to_builtins(found), _told(found))
    return 0


def _told(found: "Availability") -> str:
    """Return a table for people."""
    head = ("", "in full", "offline", "degraded", "none", "available")
    rows = [_row(row.at, row.served) for row in found.rows]
    for title, parts in (("banner", found.banners), ("region", found.regions)):
        if len(parts) > 1:
            rows += [_row(f"{title} {name or '-'}", served) for name, served in parts.items()]
    rows.append(_row("all", found.total))
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(widths[n]) for n, cell in enumerate(row) if n)]
        )
        for row in (head, *rows)
    )


def _row(name: str, served: "Served") -> tuple[str, ...]:
    counts = (served.full, served.offline_full, served.degraded, served.none)
    ppm = served.available_ppm
    share = "-" if ppm is None else f"{ppm // 10_000}.{ppm % 10_000 // 10:03} %"
    return (name, *map(str, counts), share)

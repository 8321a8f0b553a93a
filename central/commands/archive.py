"""`receipts`: posted ones into Parquet files, and those the centre calculates otherwise."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from central.commands.backtest import add_period_option, period_of
from central.commands.command import (
    Commands,
    add_centre_command,
    add_group,
    add_json_option,
    report,
)
from central.commands.progress import Progress
from central.commands.unequal import add_unequal

if TYPE_CHECKING:
    from central.backtest.archiving import Told
    from central.config import CentralConfig


def add_receipts(commands: Commands) -> None:
    """Declare the commands."""
    actions = add_group(
        commands,
        "receipts",
        "archive posted receipts, and show those the centre calculates otherwise",
        example="receipts archive --period 2026-03-01..2026-03-31 --to archive",
        at_centre=False,
    )
    archive = add_centre_command(
        actions,
        "archive",
        "write the receipts of a period that are not archived yet into Parquet files",
        _archive,
        example="receipts archive --period 2026-03-01..2026-03-31 --to archive",
    )
    add_period_option(archive)
    archive.add_argument(
        "--to", type=Path, metavar="FOLDER", help="default: `archive` in the data folder"
    )
    add_json_option(archive)
    add_unequal(actions)


@contextmanager
def told_days() -> Iterator["Told"]:
    """Give what draws the progress of an archive."""
    with Progress("receipts") as progress:
        yield lambda day, done, total: progress.told(done, total, day)


async def _archive(options: argparse.Namespace, config: "CentralConfig") -> int:
    period = period_of(options)
    from central.backtest.archive import Archive
    from central.backtest.archiving import archive_receipts
    from central.bootstrap import opened_database
    from central.system import System

    folder: Path = options.to or config.folder / "archive"
    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        with told_days() as told:
            done = await archive_receipts(connection, Archive(folder), period, told=told)
    text = (
        f"{done.receipts} receipts archived into {done.files} files of {folder},"
        f" {done.known} were there before"
    )
    if done.unreadable:
        text += f"; {done.unreadable} cannot be read by this release and stay out"
    report(options, asdict(done), text)
    return 1 if done.unreadable else 0

"""`feed`: `new-epoch`."""

import argparse
from typing import TYPE_CHECKING

from central.commands.acting import note_command
from central.commands.command import (
    Commands,
    add_centre_command,
    add_group,
    add_json_option,
    report,
)

if TYPE_CHECKING:
    from central.config import CentralConfig


def add_feed(commands: Commands) -> None:
    """Declare the command."""
    actions = add_group(
        commands, "feed", "look after what tills are told of accounts", example="feed new-epoch"
    )
    new_epoch = add_centre_command(
        actions,
        "new-epoch",
        "have every till compare what it knows of accounts, after files were put back from a copy",
        _new_epoch,
        example="feed new-epoch",
    )
    add_json_option(new_epoch)


async def _new_epoch(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.system import System
    from central.tills.feed import begin_epoch

    system = System()
    async with opened_database(config, system) as pool:
        epoch = await begin_epoch(pool, now_ms=system.now_ms())
        async with pool.acquire() as connection:
            await note_command(connection, options, "feed.new_epoch", "feed", {"epoch": epoch})
    text = f"epoch {epoch} begins: each till compares its accounts at its next conversation"
    report(options, {"epoch": epoch}, text)
    return 0

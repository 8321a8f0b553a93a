"""`load`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from central.commands.acting import note_command
from central.commands.command import Commands, add_centre_command, add_json_option, report

if TYPE_CHECKING:
    from central.config import CentralConfig


def add_people(commands: Commands) -> None:
    """Declare the command."""
    load = add_centre_command(
        commands,
        "load",
        "load stores, accounts, cards and opening points",
        _load,
        example="load customers.jsonl",
    )
    load.add_argument("file", type=Path, help="JSON lines; see docs/commands.md")
    add_json_option(load)


async def _load(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.keys import load_keys
    from central.people.loading import load_lines
    from central.system import System

    system = System()
    keys = load_keys(config.folder, system)
    async with opened_database(config, system) as pool:
        with options.file.open("rb") as lines:
            loaded = await load_lines(
                pool,
                lines,
                card_key=keys.card_key,
                system=system,
                birthday_days=config.birthday_days,
            )
        async with pool.acquire() as connection:
            await note_command(
                connection, options, "load", f"file:{options.file.name}",
                msgspec.structs.asdict(loaded),
            )  # fmt: skip
    report(
        options,
        msgspec.structs.asdict(loaded),
        f"{loaded.stores} stores and {loaded.accounts} accounts loaded,"
        f" {loaded.accounts_known} were known, {loaded.accounts_changed} of them changed",
    )
    return 0

"""`rules stale`: receipts with older rules than were due at their tills, and what they cost."""

import argparse
from typing import TYPE_CHECKING

from central.commands.command import Commands, add_centre_command, add_json_option, report

if TYPE_CHECKING:
    from central.config import CentralConfig
    from central.rules.due import StaleReceipts


def add_stale(actions: Commands) -> None:
    """Declare the command among the actions of `rules`."""
    stale = add_centre_command(
        actions,
        "stale",
        "list receipts with older rules than were due, and what they cost, by release",
        _stale,
        example="rules stale",
    )
    add_json_option(stale)


async def _stale(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.rules.due import list_stale
    from central.system import System

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        found = await list_stale(connection)
    text = "\n".join(map(stale_text, found)) or "no receipt had older rules than were due"
    report(options, {"releases": msgspec.to_builtins(found)}, text)
    return 0


def stale_text(stale: "StaleReceipts") -> str:
    """Return what receipts cost against one release, for people."""
    text = (
        f"release {stale.release} was due: {stale.receipts:,} receipts of {stale.tills:,} tills had"
        f" older rules; discount_minor {stale.discount_minor:+,}, points {stale.points:+,}"
    )
    if stale.state != "open":
        text += f"; it is {stale.state} now"
    if stale.unknown:
        text += f"; {stale.unknown:,} it cannot calculate, their part is not known"
    return text

"""`receipts unequal`: receipts the centre calculates otherwise, and where the figures differ."""

import argparse
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from central.commands.command import (
    Commands,
    add_centre_command,
    add_json_option,
    report,
    whole,
)

if TYPE_CHECKING:
    from central.config import CentralConfig
    from central.streams.unequal import UnequalPage, UnequalReceipt

_ROWS_MAX: Final = 50
_DIFFERENCES_MAX: Final = 20
_SHOWN_CHARACTERS: Final = 120


def add_unequal(actions: Commands) -> None:
    """Declare the command among the actions of `receipts`."""
    unequal = add_centre_command(
        actions,
        "unequal",
        "show receipts the centre calculates otherwise, the newest first, and what differs",
        _unequal,
        example="receipts unequal --rows 5",
    )
    unequal.add_argument(
        "--rows", type=whole(1, _ROWS_MAX), default=20, help="at most so many (default 20)"
    )
    unequal.add_argument(
        "--before", default="", metavar="RECEIPT", help="go on behind this one of the page before"
    )
    add_json_option(unequal)


async def _unequal(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.streams.unequal import list_unequal
    from central.system import System

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        found = await list_unequal(connection, before=options.before, rows_max=options.rows)
    report(options, msgspec.to_builtins(found), _told(found))
    return 0


def _told(page: "UnequalPage") -> str:
    if not page.receipts:
        return "the centre calculates every receipt as it was printed"
    lines = [line for receipt in page.receipts for line in _lines(receipt)]
    if page.next:
        lines.append(f"more: --before {page.next}")
    lines.append("printed is what was posted; --json shows both calculations in full")
    return "\n".join(lines)


def _lines(receipt: "UnequalReceipt") -> list[str]:
    from central.streams.unequal import differences

    posted = datetime.fromtimestamp(receipt.posted_at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    head = (
        f"receipt {receipt.key} of till {receipt.till}, store {receipt.store}, sold"
        f" {receipt.moment}, posted {posted}, rules {receipt.bundle[:12] or 'none'}"
    )
    if receipt.recalculated is None:
        return [head, "  not recalculated: the centre does not know these rules"]
    found = differences(receipt, most=_DIFFERENCES_MAX + 1)
    lines = [
        f"  {each.where}: printed {_shown(each.printed)}, recalculated {_shown(each.recalculated)}"
        for each in found[:_DIFFERENCES_MAX]
    ]
    if found[_DIFFERENCES_MAX:]:
        lines.append("  and more")
    return [head, *(lines or ["  the same figures, written otherwise"])]


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."

"""`rules`: `rules publish` here, `rules check` beside it."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from central.commands.command import (
    Commands,
    add_centre_command,
    add_centre_options,
    add_json_option,
    report,
)
from central.commands.rules_check import add_check, warnings_text

if TYPE_CHECKING:
    from central.config import CentralConfig


def add_rules(commands: Commands) -> None:
    """Declare the commands."""
    rules = commands.add_parser(
        "rules",
        help="check or publish rules",
        description="Check or publish rules.",
        epilog="Example: tillside-central rules publish rules.json",
    )
    add_centre_options(rules)
    actions = rules.add_subparsers(dest="action", required=True, metavar="ACTION")
    add_check(actions)
    publish = add_centre_command(
        actions,
        "publish",
        "sign a rule document and announce it to every till",
        _publish,
        example="rules publish rules.json",
    )
    publish.add_argument("file", type=Path, help="the rule document, JSON")
    publish.add_argument(
        "--key", type=Path, help="the private rule key (default: keys/rules.key in the data folder)"
    )
    add_json_option(publish)


async def _publish(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.keys import load_keys, load_rule_key
    from central.rules.publishing import publish
    from central.system import System

    system = System()
    content = options.file.read_bytes()
    load_keys(config.folder, system)
    key = load_rule_key(options.key or config.folder / "keys" / "rules.key")
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        done = await publish(connection, content, key, system)
    if done.warnings:
        print(warnings_text(done.warnings), file=sys.stderr)
    found: dict[str, int | str] = {
        "bundle": done.manifest.bundle,
        "version": done.manifest.version,
        "offers": done.offers,
        "products": done.products,
        "size_bytes": done.manifest.size_bytes,
    }
    report(
        options,
        found,
        f"published version {done.manifest.version} with {done.offers} offers"
        f" as {done.manifest.bundle}",
    )
    return 0

"""`rules`: from an idea to every till; here what is published, its parts stand beside it."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from central.commands.acting import add_token_option, find_acting
from central.commands.backtest import add_backtest
from central.commands.command import (
    Commands,
    add_centre_command,
    add_group,
    add_json_option,
    report,
)
from central.commands.rules_check import add_check, warnings_text
from central.commands.rules_drafts import add_drafts
from central.commands.rules_keys import add_keys
from central.commands.rules_release import add_releases, release_text
from central.commands.rules_stale import add_stale

if TYPE_CHECKING:
    from central.config import CentralConfig
    from central.keys import CentreKeys
    from central.rules.release_file import ReleaseFile
    from central.system import System
    from sync.signing import SigningKey


def add_rules(commands: Commands) -> None:
    """Declare the commands."""
    actions = add_group(
        commands,
        "rules",
        "bring rules from a draft to every till",
        example="rules publish rules.json",
    )
    add_check(actions)
    add_drafts(actions)
    add_backtest(actions)
    _add_publish(actions)
    add_releases(actions)
    add_stale(actions)
    add_keys(actions)


def _add_publish(actions: Commands) -> None:
    publish = add_centre_command(
        actions,
        "publish",
        "announce rules to tills: a signed file, an approved draft, or a document for a trial",
        _publish,
        example="rules publish rules.json",
    )
    publish.add_argument(
        "what",
        metavar="FILE_OR_DRAFT",
        help="a file of `rules sign`; a draft, `summer@2`, or a release to go out again, `12`,"
        " signed here with the key; or a rule document, JSON, for every till at once",
    )
    publish.add_argument(
        "--key", type=Path, help="the private rule key (default: keys/rules.key in the data folder)"
    )
    publish.add_argument(
        "--ring",
        action="append",
        default=[],
        help="who gets it first: till:12, store:367, stores:5, share:1%%, region:north or"
        " everywhere; repeat. Without one nobody does, until `rules ring`",
    )
    publish.add_argument(
        "--activate-at",
        default="",
        metavar="YYYY-MM-DDTHH:MM:SS",
        help="local time of each store (default: at once)",
    )
    publish.add_argument(
        "--guards", type=Path, metavar="FILE", help="JSON: what the release may show (docs)"
    )
    add_token_option(publish)
    add_json_option(publish)


async def _publish(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.keys import load_keys
    from central.rules.release_file import is_release_file
    from central.system import System

    system = System()
    keys = load_keys(config.folder, system)
    content = _content(Path(options.what))
    if content is None or is_release_file(content):
        return await _publish_release(options, config, system, keys, content)
    return await _publish_document(options, config, system, content)


def _content(path: Path) -> bytes | None:
    """Return a file's bytes; None where the name is a draft's and no file's."""
    return path.read_bytes() if path.is_file() else None


async def _publish_document(
    options: argparse.Namespace, config: "CentralConfig", system: "System", content: bytes
) -> int:
    from central.bootstrap import opened_database
    from central.rules.publishing import publish

    key = _key(options, config)
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


async def _publish_release(
    options: argparse.Namespace,
    config: "CentralConfig",
    system: "System",
    keys: "CentreKeys",
    content: bytes | None,
) -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.rules.guards import read_guards
    from central.rules.release_file import read_file
    from central.rules.releases import build_release, publish_release
    from central.rules.rings import read_ring
    from central.rules.roots import release_keys

    rings = [read_ring(each) for each in options.ring]
    guards = read_guards(options.guards.read_bytes()) if options.guards else None
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        if content is not None:
            file = read_file(content)
        else:
            made = await build_release(
                connection, options.what, activate_at=options.activate_at, system=system
            )
            file = _signed_here(made, _key(options, config))
        done = await publish_release(
            connection,
            file,
            keys=await release_keys(connection, keys.rule_public),
            rings=rings,
            by=await find_acting(connection, options),
            system=system,
            guards=guards,
        )
    report(options, msgspec.to_builtins(done), release_text(done))
    return 0


def _signed_here(file: "ReleaseFile", key: "SigningKey") -> "ReleaseFile":
    from central.rules.release_file import sign_file

    return sign_file(file, key)


def _key(options: argparse.Namespace, config: "CentralConfig") -> "SigningKey":
    from central.keys import load_rule_key

    return load_rule_key(options.key or config.folder / "keys" / "rules.key")

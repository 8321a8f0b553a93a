"""The centre's command line, for operations."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import msgspec

from central import __version__
from central.bootstrap import opened_database, serve
from central.config import CentralConfig, make_config
from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.errors import CentralError, NotFoundError
from central.keys import load_keys, load_rule_key
from central.ledger.verify import LedgerProof, verify_ledger
from central.logs import set_up_logs
from central.people.loading import load_lines
from central.rules.publishing import publish, read_document
from central.system import System
from central.tills.enrolment import make_code

DATA_DEFAULT = "/var/lib/tillside-central"

Does = Callable[[argparse.Namespace, CentralConfig], Awaitable[int]]
# argparse names what `add_subparsers` returns in no other way.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="tillside-central",
        description="The centre of a chain's loyalty: ledger of points, rules, registry of tills.",
        epilog="Example: tillside-central serve --data ./centre",
    )
    parser.add_argument("--version", action="version", version=f"tillside-central {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = _command(
        commands,
        "serve",
        "serve tills, thin clients and the status page",
        _serve,
        "serve --port 7700",
    )
    run.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    run.add_argument("--port", type=int, help="port to listen on, 0 for a free one (default 7700)")
    _command(commands, "migrate", "bring the database's schema up to date", _migrate, "migrate")
    load = _command(
        commands,
        "load",
        "load stores, accounts, cards and opening points",
        _load,
        "load customers.jsonl",
    )
    load.add_argument("file", type=Path, help="JSON lines; see docs/commands.md")
    rules = _add_rules(commands)
    enrol = _add_enrol(commands)
    fund = _command(
        commands, "fund-pool", "put points into the risk pool", _fund, "fund-pool 20000"
    )
    fund.add_argument("points", type=int, help="how many points the chain is ready to lose at most")
    verify = _command(
        commands,
        "verify-ledger",
        "prove the ledger from its entries",
        _verify,
        "verify-ledger --json",
    )
    revoke = _command(
        commands, "revoke", "take away what a lost or stolen till may do", _revoke, "revoke 12"
    )
    revoke.add_argument("till", type=int, help="its number, as the status page shows it")
    for each in (load, rules, enrol, fund, verify, revoke):
        each.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _add_rules(commands: Commands) -> argparse.ArgumentParser:
    rules = _command(
        commands, "rules", "check or publish a rule document", _rules, "rules publish rules.json"
    )
    rules.add_argument("action", choices=("check", "publish"))
    rules.add_argument("file", type=Path, help="the rule document, JSON")
    rules.add_argument(
        "--key", type=Path, help="the private rule key (default: keys/rules.key in the data folder)"
    )
    return rules


def _add_enrol(commands: Commands) -> argparse.ArgumentParser:
    enrol = _command(
        commands,
        "enrol",
        "make a one-time code for a new till",
        _enrol,
        "enrol --store 367 --slot 1",
    )
    enrol.add_argument("--store", required=True, help="the store the till stands in")
    enrol.add_argument("--slot", required=True, help="the register's place in the store, e.g. 1")
    enrol.add_argument(
        "--no-vault", action="store_true", help="never set customers' points aside for this till"
    )
    return enrol


def _command(
    commands: Commands,
    name: str,
    says: str,
    does: Does,
    example: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=says,
        description=says[0].upper() + says[1:] + ".",
        epilog=f"Example: tillside-central {example}",
    )
    parser.add_argument(
        "--data", default=None, help=f"the centre's data folder (default {DATA_DEFAULT})"
    )
    parser.add_argument(
        "--database", help="PostgreSQL address; without one an embedded PostgreSQL is used"
    )
    parser.set_defaults(does=does)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 done, 1 failed or not proven, 69 no database, 78 a setting must be changed.
    """
    options = build_parser().parse_args(arguments)
    set_up_logs()
    try:
        config = make_config({"data": DATA_DEFAULT, **_given(options)}, os.environ)
        does: Does = options.does
        return asyncio.run(_awaited(does(options, config)))
    except CentralError as error:
        print(f"tillside-central: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"tillside-central: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


async def _awaited(work: Awaitable[int]) -> int:
    return await work


def _given(options: argparse.Namespace) -> dict[str, object]:
    found = vars(options)
    given = {
        name: found[name] for name in CentralConfig.__struct_fields__ if found.get(name) is not None
    }
    if "data" not in given and (data := os.environ.get("TILLSIDE_CENTRAL_DATA")):
        given["data"] = data
    return given


async def _serve(
    options: argparse.Namespace,  # noqa: ARG001 - commands are called alike
    config: CentralConfig,
) -> int:
    await serve(config, System())
    return 0


async def _migrate(
    options: argparse.Namespace,  # noqa: ARG001 - commands are called alike
    config: CentralConfig,
) -> int:
    async with opened_database(config, System()):
        print("the schema is up to date")
    return 0


async def _load(options: argparse.Namespace, config: CentralConfig) -> int:
    system = System()
    keys = load_keys(config.folder, system)
    async with opened_database(config, system) as pool:
        with options.file.open("rb") as lines:
            loaded = await load_lines(pool, lines, card_key=keys.card_key, system=system)
    _say(
        options,
        msgspec.structs.asdict(loaded),
        f"{loaded.stores} stores and {loaded.accounts} accounts loaded,"
        f" {loaded.accounts_known} were known",
    )
    return 0


async def _rules(options: argparse.Namespace, config: CentralConfig) -> int:
    content = options.file.read_bytes()
    if options.action == "check":
        bundle = read_document(content)
        counts = {
            "version": bundle.version,
            "offers": len(bundle.offers),
            "products": len(bundle.catalogue),
        }
        _say(options, counts, f"version {bundle.version}: {len(bundle.offers)} offers, sound")
        return 0
    system = System()
    load_keys(config.folder, system)
    key = load_rule_key(options.key or config.folder / "keys" / "rules.key")
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        done = await publish(connection, content, key, system)
    found: dict[str, int | str] = {
        "bundle": done.manifest.bundle,
        "version": done.manifest.version,
        "offers": done.offers,
        "products": done.products,
        "size_bytes": done.manifest.size_bytes,
    }
    _say(
        options,
        found,
        f"published version {done.manifest.version} with {done.offers} offers"
        f" as {done.manifest.bundle}",
    )
    return 0


async def _enrol(options: argparse.Namespace, config: CentralConfig) -> int:
    system = System()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        made = await make_code(
            connection, options.store, options.slot, is_vault=not options.no_vault, system=system
        )
    text = f"code {made.code} for register {made.slot} of store {made.store_id}, good for one day\n"
    text += f"on the till: tillside-agent enrol --centre URL --code {made.code}"
    _say(options, {"code": made.code, "store": made.store_id, "slot": made.slot}, text)
    return 0


async def _fund(options: argparse.Namespace, config: CentralConfig) -> int:
    if options.points <= 0:
        raise CentralError("points must be above zero")
    async with opened_database(config, System()) as pool:
        row = await pool.fetchrow(
            load_queries("central.rights", "queries.sql")["fund_pool"], options.points
        )
    assert row is not None
    found = dict(row)
    _say(options, found, f"the risk pool holds {row['free']} free of {row['funded']} funded points")
    return 0


async def _revoke(options: argparse.Namespace, config: CentralConfig) -> int:
    async with opened_database(config, System()) as pool:
        done = await pool.execute(
            load_queries("central.tills", "queries.sql")["revoke"], options.till
        )
    if done != "UPDATE 1":
        raise NotFoundError(f"there is no till {options.till}; the status page lists the tills")
    words = f"till {options.till} is revoked: it gets no rights and no customers any more"
    _say(options, {"till": options.till, "revoked": True}, f"{words}; what it sends is kept aside")
    return 0


async def _verify(options: argparse.Namespace, config: CentralConfig) -> int:
    async with opened_database(config, System()) as pool:
        proof = await _proof(pool)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(proof)).decode())
    else:
        for check in proof.checks:
            print(
                f"{'ok    ' if not check.broken else 'BROKEN'} {check.says}"
                + (f": {check.broken} rows" if check.broken else "")
            )
        print(", ".join(f"{value} {name}" for name, value in proof.figures.items()))
    return 0 if proof.balanced else 1


async def _proof(pool: Pool) -> LedgerProof:
    async with pool.acquire() as connection:
        return await verify_ledger(connection)


def _say(options: argparse.Namespace, found: object, text: str) -> None:
    print(json.dumps(found) if options.json else text)

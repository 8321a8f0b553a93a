"""`fund-pool` and `verify-ledger`."""

import argparse
from typing import TYPE_CHECKING

from central.commands.acting import note_command
from central.commands.command import Commands, add_centre_command, add_json_option, report, whole
from loyalty.limits import POINTS_MAX

if TYPE_CHECKING:
    from central.config import CentralConfig


def add_ledger(commands: Commands) -> None:
    """Declare the commands."""
    fund = add_centre_command(
        commands, "fund-pool", "put points into the risk pool", _fund, example="fund-pool 20000"
    )
    fund.add_argument(
        "points",
        type=whole(1, POINTS_MAX),
        help="how many points the chain is ready to lose at most",
    )
    verify = add_centre_command(
        commands,
        "verify-ledger",
        "prove the ledger from its entries",
        _verify,
        example="verify-ledger --json",
    )
    verify.add_argument(
        "--no-seals", action="store_true", help="leave out the days that are sealed"
    )
    for each in (fund, verify):
        add_json_option(each)


async def _fund(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.database.named_sql import load_queries
    from central.system import System

    async with (
        opened_database(config, System()) as pool,
        pool.acquire() as connection,
        connection.transaction(),
    ):
        row = await connection.fetchrow(
            load_queries("central.rights", "queries.sql")["fund_pool"], options.points
        )
        await note_command(connection, options, "pool.fund", "pool", {"points": options.points})
    assert row is not None
    found = dict(row)
    text = f"the risk pool holds {row['free']} free of {row['funded']} funded points"
    report(options, found, text)
    return 0


async def _verify(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.commands.progress import Progress
    from central.ledger.verify import verify_ledger
    from central.system import System

    system = System()
    began_ms = system.monotonic_ms()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        with Progress("steps") as progress:
            proof = await verify_ledger(
                connection,
                lambda name, done, total: progress.told(done, total, name),
                with_seals=not options.no_seals,
                is_patient=True,
            )
    took_ms = max(system.monotonic_ms() - began_ms, 1)
    if options.json:
        found = msgspec.to_builtins(proof) | {"took_ms": took_ms}
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        for check in proof.checks:
            print(
                f"{'ok    ' if not check.broken else 'BROKEN'} {check.says}"
                + (f": {check.broken} rows" if check.broken else "")
            )
        print(", ".join(f"{value} {name}" for name, value in proof.figures.items()))
        print(
            f"{proof.rows:,} rows added up in {took_ms / 1000:.1f} s:"
            f" {proof.rows * 1000 // took_ms:,} a second"
        )
    return 0 if proof.balanced else 1

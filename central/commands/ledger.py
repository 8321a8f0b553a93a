"""`fund-pool` and `verify-ledger`."""

import argparse
from typing import TYPE_CHECKING

from central.commands.command import Commands, add_centre_command, add_json_option, report
from central.errors import CentralError

if TYPE_CHECKING:
    from central.config import CentralConfig


def add_ledger(commands: Commands) -> None:
    """Declare the commands."""
    fund = add_centre_command(
        commands, "fund-pool", "put points into the risk pool", _fund, example="fund-pool 20000"
    )
    fund.add_argument("points", type=int, help="how many points the chain is ready to lose at most")
    verify = add_centre_command(
        commands,
        "verify-ledger",
        "prove the ledger from its entries",
        _verify,
        example="verify-ledger --json",
    )
    for each in (fund, verify):
        add_json_option(each)


async def _fund(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.database.named_sql import load_queries
    from central.system import System

    if options.points <= 0:
        raise CentralError("points must be above zero")
    async with opened_database(config, System()) as pool:
        row = await pool.fetchrow(
            load_queries("central.rights", "queries.sql")["fund_pool"], options.points
        )
    assert row is not None
    found = dict(row)
    text = f"the risk pool holds {row['free']} free of {row['funded']} funded points"
    report(options, found, text)
    return 0


async def _verify(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.ledger.verify import verify_ledger
    from central.system import System

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        proof = await verify_ledger(connection)
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

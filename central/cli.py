"""The centre's command line, for operations."""

import argparse
import sys

from central import __version__
from central.commands.accounts import add_accounts
from central.commands.alerts import add_alerts
from central.commands.archive import add_receipts
from central.commands.availability import add_availability
from central.commands.backup import add_backup
from central.commands.calculate import add_calculate
from central.commands.command import Run
from central.commands.customers import add_customers
from central.commands.events import add_events
from central.commands.feed import add_feed
from central.commands.ledger import add_ledger
from central.commands.ledger_days import add_ledger_days
from central.commands.parked import add_parked
from central.commands.people import add_people
from central.commands.persons import add_persons
from central.commands.programmes import add_programmes
from central.commands.programs import add_programs
from central.commands.receipt_codes import add_receipt
from central.commands.rights import add_rights
from central.commands.rules import add_rules
from central.commands.schema import add_schema
from central.commands.serving import add_serving
from central.commands.tiers import add_tiers
from central.commands.tills import add_enrol, add_revoke
from central.errors import CentralError
from sync.errors import MalformedMessageError


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="tillside-central",
        description="The centre of a chain's loyalty: ledger of points, rules, registry of tills.",
        epilog="Example: tillside-central serve --data ./centre",
    )
    parser.add_argument("--version", action="version", version=f"tillside-central {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_serving(commands)
    add_availability(commands)
    add_alerts(commands)
    add_backup(commands)
    add_people(commands)
    add_persons(commands)
    add_programmes(commands)
    add_programs(commands)
    add_rules(commands)
    add_calculate(commands)
    add_schema(commands)
    add_enrol(commands)
    add_ledger(commands)
    add_ledger_days(commands)
    add_accounts(commands)
    add_customers(commands)
    add_tiers(commands)
    add_rights(commands)
    add_feed(commands)
    add_events(commands)
    add_parked(commands)
    add_revoke(commands)
    add_receipt(commands)
    add_receipts(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 done, 1 failed or not proven, 69 no database, 78 a setting must be changed.
    """
    options = build_parser().parse_args(arguments)
    run: Run = options.run
    try:
        return run(options)
    except CentralError as error:
        print(f"tillside-central: {error}", file=sys.stderr)
        return error.exit_code
    except MalformedMessageError as error:
        print(
            f"tillside-central: what was given is not of the form asked for: {error}",
            file=sys.stderr,
        )
        return 1
    except OSError as error:
        said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"tillside-central: {said}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130

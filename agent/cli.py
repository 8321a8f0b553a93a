"""The till agent's command line, for store IT."""

import argparse
import asyncio
import json
import subprocess
import sys
import urllib.request
from http.client import HTTPException
from pathlib import Path

from agent import __version__
from agent.errors import AgentError, ConfigurationError, EnrolmentError
from agent.receipt_commands import add_receipt

EXIT_OK, EXIT_FAILED, EXIT_CONFIGURATION = 0, 1, 78
DATA_DEFAULT = "/var/lib/tillside"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="tillside-agent",
        description="The loyalty agent of one till: calculates every receipt here,"
        " with or without a network.",
        epilog="Example: tillside-agent enrol --centre https://loyalty.example --code ABCDE-FGHJK2"
        " && tillside-agent run",
    )
    parser.add_argument("--version", action="version", version=f"tillside-agent {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = _command(commands, "run", "run the service until it is stopped", _run)
    run.add_argument(
        "--no-migrate",
        action="store_true",
        help="do not bring the journal's schema up to date first",
    )
    enrol = _command(
        commands, "enrol", "make this machine a till with a one-time code from the centre", _enrol
    )
    enrol.add_argument(
        "--centre",
        required=True,
        metavar="URL",
        help="address of the centre, e.g. https://loyalty.example",
    )
    enrol.add_argument("--code", required=True, help="the one-time code the centre showed")
    status = _command(commands, "status", "show how the running till is", _status)
    status.add_argument("--json", action="store_true", help="print JSON")
    _command(
        commands,
        "migrate",
        "bring the journal's schema up to date; `run` does it by itself",
        _migrate,
    )
    inspect = _command(
        commands,
        "inspect",
        "count the rows of the till's files; the service must be stopped",
        _inspect,
    )
    inspect.add_argument("--json", action="store_true", help="print JSON")
    export = _command(
        commands,
        "export",
        "print a journal table as JSON lines; the service must be stopped",
        _export,
    )
    export.add_argument("table", help="e.g. record, receipt, held_right")
    add_receipt(commands, data_default=DATA_DEFAULT)
    bus = _command(
        commands,
        "bus-child",
        "the process of the store bus; the service starts it, nobody else",
        _bus_child,
    )
    bus.add_argument("--implementation", choices=["auto", "nanomsg", "pynng"], default="auto")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    says: str,
    does: object,
) -> argparse.ArgumentParser:
    example = {"enrol": " --centre URL --code CODE", "export": " record"}.get(name, "")
    parser = commands.add_parser(
        name,
        help=says,
        description=says[0].upper() + says[1:] + ".",
        epilog=f"Example: tillside-agent {name}{example}",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(DATA_DEFAULT),
        help=f"the till's data folder (default {DATA_DEFAULT})",
    )
    parser.set_defaults(does=does)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns 0 done, 1 failed, 3 not known, 78 a setting must be changed."""
    options = build_parser().parse_args(arguments)
    try:
        return int(options.does(options))
    except (ConfigurationError, EnrolmentError) as error:
        print(f"tillside-agent: {error}", file=sys.stderr)
        return EXIT_CONFIGURATION
    except (AgentError, OSError) as error:
        print(f"tillside-agent: {error}", file=sys.stderr)
        return EXIT_FAILED


def _run(options: argparse.Namespace) -> int:
    # The journal is migrated by another process, because that one uses another SQLite library.
    if not options.no_migrate and (options.data / "journal.db").exists():
        program = (
            [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "agent"]
        )
        subprocess.run([*program, "migrate", "--data", str(options.data)], check=False)  # noqa: S603 - our own program
    from agent.bootstrap import run_until_stopped
    from agent.config import load_config
    from agent.logs import set_up_logs

    set_up_logs()
    asyncio.run(run_until_stopped(options.data, load_config(options.data)))
    return EXIT_OK


def _enrol(options: argparse.Namespace) -> int:
    from agent.enrolment import enrol_till
    from agent.system import System

    identity = asyncio.run(
        enrol_till(options.data, centre_url=options.centre, code=options.code, system=System())
    )
    print(f"enrolled as till {identity.till_id} of store {identity.place.store}")
    print(
        f"the register's token is in {options.data / 'identity.json'} (pos_token);"
        " start with: tillside-agent run"
    )
    return EXIT_OK


def _status(options: argparse.Namespace) -> int:
    from agent.bootstrap import ADDRESS_FILE, IDENTITY_FILE
    from agent.identity import load_identity

    identity = load_identity(options.data / IDENTITY_FILE)
    try:
        url = json.loads((options.data / ADDRESS_FILE).read_text(encoding="utf-8"))["url"]
        request = urllib.request.Request(  # noqa: S310 - loopback, written by the service
            f"{url}/v1/health", headers={"Authorization": f"Bearer {identity.pos_token}"}
        )
        # No proxy the environment names: the way and the token stay on this machine.
        directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with directly.open(request, timeout=5) as answer:
            report = json.load(answer)
    except (OSError, HTTPException, ValueError, KeyError) as error:
        print(
            f"till {identity.till_id} of store {identity.place.store} is enrolled;"
            f" the service does not answer: {error}"
        )
        return EXIT_FAILED
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        _print_status(report)
    return EXIT_OK


def _print_status(report: dict[str, object]) -> None:
    waiting = report["records_waiting"]
    print(f"till {report['till_id']} of store {report['store']}: link {report['link']}")
    if report.get("quarantined"):  # unknown to a service not restarted since it was upgraded
        print("  QUARANTINED       another machine runs as this till: enrol one of them anew;")
        print("                    sales are recorded, points are not redeemed")
    if report["last_link_error"]:
        print(f"  last link error   {report['last_link_error']}")
    print(f"  rules             version {report['bundle_version']}, {report['offers']} offers")
    if report.get("rules_not_fetched"):
        print(f"  rules not fetched {report['rules_not_fetched']}")
    print(f"  customers known   {report['accounts_cached']}")
    print(f"  records waiting   {waiting} of {report['last_seq']}")
    print(
        f"  points to spend   {report['rights_points']} held,"
        f" {report['risk_points_left']} of the risk budget"
    )
    bus = report["bus"]
    assert isinstance(bus, dict)
    print(f"  store bus         {_bus_text(bus)}")
    if report["clock"] != "good":
        print("  clock             suspect: set this machine's clock and time zone")
    receipts = report["receipts"]
    assert isinstance(receipts, dict)
    print(
        "  receipts          "
        + (", ".join(f"{n} {state}" for state, n in sorted(receipts.items())) or "none yet")
    )


def _bus_text(bus: dict[str, object]) -> str:
    if bus["state"] == "off":
        return "off" + (f": {bus['last_error']}" if bus["last_error"] else "")
    text = (
        f"{bus['state']} at {bus['listen']}, {bus['tills_heard']} of {bus['tills']} tills heard,"
        f" {bus['restarts']} restarts"
    )
    return text + (f"; {bus['last_error']}" if bus["state"] != "up" and bus["last_error"] else "")


def _migrate(options: argparse.Namespace) -> int:
    from agent.maintenance import migrate_journal

    for name in migrate_journal(options.data / "journal.db"):
        print(f"applied {name}")
    return EXIT_OK


def _inspect(options: argparse.Namespace) -> int:
    from agent.maintenance import table_counts

    # The cache may be missing: it can be thrown away at any time.
    names = ["journal.db", *(n for n in ("cache.db",) if (options.data / n).exists())]
    found = {name: table_counts(options.data / name) for name in names}
    if options.json:
        print(json.dumps(found, indent=2))
        return EXIT_OK
    for name, counts in found.items():
        print(name)
        for table, count in sorted(counts.items()):
            print(f"  {table:<18}{count:>8}")
    return EXIT_OK


def _export(options: argparse.Namespace) -> int:
    from agent.maintenance import export_table

    for row in export_table(options.data / "journal.db", options.table):
        print(json.dumps(row))
    return EXIT_OK


def _bus_child(options: argparse.Namespace) -> int:
    from agent.store_bus.child import run_child

    run_child(options.implementation)

"""What all commands share: how they are declared, where settings come from, how they report."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from central.errors import CentralError
from loyalty.limits import POINTS_MAX
from sync.limits import COUNT_MAX

if TYPE_CHECKING:
    from central.config import CentralConfig

DATA_DEFAULT = "/var/lib/tillside-central"
ROWS_MAX = 1_000
"""Of one listing."""
_DIGITS_MAX = 40

# argparse names what `add_subparsers` returns in no other way.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001
Run = Callable[[argparse.Namespace], int]
"""What a command does; returns its exit status."""
RunAtCentre = Callable[[argparse.Namespace, "CentralConfig"], Awaitable[int]]
"""What a command does that works on a centre's data folder and database."""


def whole(at_least: int, at_most: int) -> Callable[[str], int]:
    """Return what reads an argument that is a whole number within bounds, both inside."""

    def read(text: str) -> int:
        try:
            # Beyond some thousand digits Python itself would refuse, in words of its own.
            number = int(text) if len(text) <= _DIGITS_MAX else at_most + 1
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from error
        if not at_least <= number <= at_most:
            said = text if len(text) <= _DIGITS_MAX else "this"
            raise argparse.ArgumentTypeError(f"{said} is not from {at_least} to {at_most}")
        return number

    return read


read_number = whole(1, COUNT_MAX)
"""Reads what the database has numbered: an account, a till, a merge, an event."""
read_points = whole(0, POINTS_MAX)
"""Reads points of which there may be none."""


def add_command(
    commands: Commands, name: str, says: str, run: Run, *, example: str
) -> argparse.ArgumentParser:
    """Declare a command that needs neither data folder nor database; others may read its output.

    Args:
        says: what it does, a clause without a full stop.
        example: a command line without the program's name.
    """
    return _add(commands, name, says, lambda options: _run_piped(run, options), example=example)


def add_centre_command(
    commands: Commands, name: str, says: str, run: RunAtCentre, *, example: str
) -> argparse.ArgumentParser:
    """Declare a command that works on a centre; it takes `--data` and `--database`."""
    parser = _add(
        commands, name, says, lambda options: run_at_centre(run, options), example=example
    )
    add_centre_options(parser)
    return parser


def add_group(
    commands: Commands, name: str, says: str, *, example: str, at_centre: bool = True
) -> Commands:
    """Declare a command that is followed by an action; return where its actions are declared.

    Args:
        at_centre: `--data` and `--database` may stand before the action, too.
    """
    parser = _parser(commands, name, says, example=example)
    if at_centre:
        add_centre_options(parser)
    return parser.add_subparsers(dest="action", required=True, metavar="ACTION")


def _add(
    commands: Commands, name: str, says: str, run: Run, *, example: str
) -> argparse.ArgumentParser:
    parser = _parser(commands, name, says, example=example)
    parser.set_defaults(run=run)
    return parser


def _parser(commands: Commands, name: str, says: str, *, example: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=says,
        description=says[0].upper() + says[1:] + ".",
        epilog=f"Example: tillside-central {example}",
    )


def add_centre_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which centre."""
    # What is not given stays unset, so that an action leaves alone what stood before its name.
    parser.add_argument(
        "--data",
        default=argparse.SUPPRESS,
        help=f"the centre's data folder (default {DATA_DEFAULT})",
    )
    parser.add_argument(
        "--database",
        default=argparse.SUPPRESS,
        help="PostgreSQL address; without one an embedded PostgreSQL is used",
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json`, for `report`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def report(options: argparse.Namespace, found: object, text: str) -> None:
    """Print a result: a JSON value for programs, or a text for people."""
    print(json.dumps(found) if options.json else text)


def _run_piped(run: Run, options: argparse.Namespace) -> int:
    try:
        status = run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has seen enough; what is left goes nowhere, so that leaving is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def run_at_centre(run: RunAtCentre, options: argparse.Namespace) -> int:
    """Run what works on a centre's data folder and database, with its settings."""
    from asyncpg import DataError

    from central.config import make_config
    from central.logs import set_up_logs

    set_up_logs()
    config = make_config({"data": DATA_DEFAULT, **_given(options)}, os.environ)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(_awaited(run(options, config)))
        except DataError as error:
            said = str(error).removeprefix("invalid input for query argument ")
            raise CentralError(
                f"the database has no place for one of these values: {said}"
            ) from error


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    """Return uvloop's, which takes less CPU for whatever waits; there is none for Windows."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _awaited(work: Awaitable[int]) -> int:
    return await work


def _given(options: argparse.Namespace) -> dict[str, object]:
    from central.config import CentralConfig

    found = vars(options)
    given = {
        name: found[name] for name in CentralConfig.__struct_fields__ if found.get(name) is not None
    }
    if "data" not in given and (data := os.environ.get("TILLSIDE_CENTRAL_DATA")):
        given["data"] = data
    return given

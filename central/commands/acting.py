"""Who gives a command: the person whose token stands in a file or in the environment."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from central.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from central.database.pool import Connection
    from central.staff.persons import Person

TOKEN_VARIABLE: Final = "TILLSIDE_CENTRAL_TOKEN"  # noqa: S105 - the name of a variable


def add_token_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that says who gives the command."""
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"file with your personal token (default: the variable {TOKEN_VARIABLE})",
    )


async def find_acting(connection: "Connection", options: argparse.Namespace) -> "Person | None":
    """Return who gives the command; None where no token is given.

    Raises:
        ConfigurationError: the file cannot be read.
        AuthenticationError: the token is nobody's.
    """
    from central.staff.persons import find_person

    token = os.environ.get(TOKEN_VARIABLE, "")
    file = getattr(options, "token_file", None)
    if file is not None:
        try:
            token = file.read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the token's file cannot be read: {error}") from error
    return await find_person(connection, token) if token.strip() else None


async def note_command(
    connection: "Connection",
    options: argparse.Namespace,
    action: str,
    subject: str,
    detail: "Mapping[str, object]",
) -> None:
    """Write down who changes something by a command; where it can, in that change's transaction.

    Args:
        detail: no secrets and no personal data.

    Raises:
        AuthenticationError: a token is given, and it is nobody's.
    """
    from central.staff.audit import note
    from central.staff.persons import COMMAND_LINE
    from central.system import System

    person = await find_acting(connection, options)
    await note(
        connection, person=person.name if person else COMMAND_LINE, action=action,
        subject=subject, detail=detail, now_ms=System().now_ms(),
    )  # fmt: skip

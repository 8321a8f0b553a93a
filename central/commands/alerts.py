"""`alerts`: what is wrong or was, and whether mails about it arrive."""

import argparse
from typing import TYPE_CHECKING

from central.commands.command import (
    ROWS_MAX,
    Commands,
    add_centre_command,
    add_json_option,
    report,
    whole,
)

if TYPE_CHECKING:
    from central.alerts.incidents import Incident
    from central.config import CentralConfig


def add_alerts(commands: Commands) -> None:
    """Declare the commands."""
    alerts = commands.add_parser("alerts", help="incidents, and the mails about them")
    actions = alerts.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = add_centre_command(
        actions, "list", "list incidents, those that go on first", _list, example="alerts list"
    )
    listing.add_argument(
        "--rows", type=whole(1, ROWS_MAX), default=20, help="so many at most (default 20)"
    )
    add_json_option(listing)
    test_mail = add_centre_command(
        actions,
        "test-mail",
        "send a mail as incidents do, and say what the server says",
        _test_mail,
        example="alerts test-mail",
    )
    add_json_option(test_mail)


async def _list(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.alerts.incidents import list_incidents
    from central.bootstrap import opened_database
    from central.system import System

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        found = await list_incidents(connection, most=max(options.rows, 1))
    told = "\n".join(map(_told, found)) or "nothing is wrong, and nothing was"
    report(options, msgspec.to_builtins(found), told)
    return 0


def _told(incident: "Incident") -> str:
    from central.alerts.incidents import written

    ended = f" to {written(incident.ended_ms)}" if incident.ended_ms else ", goes on"
    mails = f"{incident.sent} mails sent"
    if incident.waiting:
        mails += f", {incident.waiting} wait ({incident.failure or 'not tried yet'})"
    if incident.given_up:
        mails += f", {incident.given_up} given up ({incident.failure})"
    return f"{incident.incident_id}  {written(incident.began_ms)}{ended}: {incident.says}; {mails}"


async def _test_mail(
    options: argparse.Namespace,
    config: "CentralConfig",
) -> int:
    from central.alerts.mail import Letter, send
    from central.alerts.words import TEST
    from central.errors import ConfigurationError
    from central.system import System

    settings = config.mail()
    if settings is None:
        raise ConfigurationError("set TILLSIDE_CENTRAL_MAIL_SERVER, _MAIL_FROM and _MAIL_TO")
    system = System()
    subject, body = TEST[config.mail_language]
    name = f"tillside-test-{system.new_uuid7()}"
    await send(settings, Letter(name=name, subject=subject, body=body, at_ms=system.now_ms()))
    found = {"server": settings.server, "recipients": list(settings.recipients)}
    report(options, found, f"{settings.server} took it for {', '.join(settings.recipients)}")
    return 0

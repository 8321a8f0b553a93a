"""`events`: `status`, `on`, `off`, `dead`, `resend`, `drop`, `schema`."""

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from central.commands.acting import note_command
from central.commands.command import (
    Commands,
    add_centre_command,
    add_centre_options,
    add_command,
    add_json_option,
    report,
)
from central.errors import NotFoundError

if TYPE_CHECKING:
    from central.config import CentralConfig
    from central.database.pool import Pool


def add_events(commands: Commands) -> None:
    """Declare the commands."""
    events = commands.add_parser(
        "events",
        help="look after what other systems are told",
        description="Look after what other systems are told of what happens.",
        epilog="Example: tillside-central events status",
    )
    add_centre_options(events)
    actions = events.add_subparsers(dest="action", required=True, metavar="ACTION")
    status = add_centre_command(
        actions, "status", "say how many events wait, since when, and how many were refused",
        _status, example="events status",
    )  # fmt: skip
    add_json_option(status)
    for name, says, run in (
        ("on", "write events from now on", _on),
        ("off", "write no more events; those that wait stay", _off),
    ):
        add_centre_command(actions, name, says, run, example=f"events {name}")
    dead = add_centre_command(
        actions, "dead", "list events the broker refused too often", _dead, example="events dead"
    )
    add_json_option(dead)
    for name, says, run in (
        ("resend", "put a dead event behind all that wait", _resend),
        ("drop", "forget a dead event", _drop),
    ):
        one = add_centre_command(actions, name, says, run, example=f"events {name} 4711")
        one.add_argument("event", type=int, help="its number, as `events dead` lists it")
    schema = add_command(
        actions, "schema", "print the JSON Schema of an event", _schema,
        example="events schema receipt.posted.v1",
    )  # fmt: skip
    schema.add_argument("type", nargs="?", help="which type; without it the types are listed")


@asynccontextmanager
async def _opened(config: "CentralConfig") -> "AsyncIterator[Pool]":
    from central.bootstrap import opened_database
    from central.system import System

    async with opened_database(config, System()) as pool:
        yield pool


async def _status(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.outreach.outbox import read_state

    async with _opened(config) as pool:
        state = await read_state(pool)
    text = (
        f"events are {'written' if state.wanted else 'not written'}; {state.waiting} wait,"
        f" {state.refused} keys were refused and are tried again, {state.dead} are dead"
    )
    report(options, msgspec.to_builtins(state), text)
    return 0


async def _on(options: argparse.Namespace, config: "CentralConfig") -> int:
    return await _want(options, config, wanted=True)


async def _off(options: argparse.Namespace, config: "CentralConfig") -> int:
    return await _want(options, config, wanted=False)


async def _note(pool: "Pool", options: argparse.Namespace, action: str, subject: str) -> None:
    async with pool.acquire() as connection:
        await note_command(connection, options, action, subject, {})


async def _want(options: argparse.Namespace, config: "CentralConfig", *, wanted: bool) -> int:
    from central.outreach.outbox import want

    async with _opened(config) as pool:
        await want(pool, wanted=wanted)
        await _note(pool, options, "events.on" if wanted else "events.off", "events")
    print("events are written" if wanted else "no more events are written")
    return 0


async def _dead(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.outreach.outbox import dead_events

    async with _opened(config) as pool:
        found = await dead_events(pool)
    lines = [f"{each.event_id} {each.type} {each.key}: {each.why}" for each in found]
    report(options, msgspec.to_builtins(found), "\n".join(lines) or "none is dead")
    return 0


async def _resend(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.outreach.outbox import resend

    async with _opened(config) as pool:
        number = await resend(pool, options.event)
        await _note(pool, options, "events.resend", f"event:{options.event}")
    print(f"waits again, as {number}")
    return 0


async def _drop(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.outreach.outbox import drop_dead

    async with _opened(config) as pool:
        await drop_dead(pool, options.event)
        await _note(pool, options, "events.drop", f"event:{options.event}")
    print("forgotten")
    return 0


def _schema(options: argparse.Namespace) -> int:
    from central.outreach.events import DATA_TYPES, event_schema

    name: str | None = options.type
    if name is None:
        for known, kind in DATA_TYPES.items():
            print(f"{known:<24} {(kind.__doc__ or '').splitlines()[0]}")
    elif name in DATA_TYPES:
        print(json.dumps(event_schema(name), indent=2))
    else:
        raise NotFoundError(f"there is no event {name!r}; known: {', '.join(DATA_TYPES)}")
    return 0

"""`events`: `status`, `on`, `off`, `dead`, `resend`, `drop`, `schema`."""

import argparse
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from central.commands.acting import note_command
from central.commands.command import (
    Commands,
    add_centre_command,
    add_command,
    add_group,
    add_json_option,
    read_number,
    report,
)
from central.commands.progress import Progress
from central.errors import BadRequestError, NotFoundError

if TYPE_CHECKING:
    from central.config import CentralConfig
    from central.database.pool import Pool
    from central.outreach.outbox import DeadOnes

_NUMBER: Final = "its number, as `events dead` lists it"
_MINUTE_MS: Final = 60_000


def add_events(commands: Commands) -> None:
    """Declare the commands."""
    actions = add_group(
        commands,
        "events",
        "look after what other systems are told of what happens",
        example="events status",
    )
    status = add_centre_command(
        actions, "status", "say how many events wait, since when, and how many were refused",
        _status, example="events status",
    )  # fmt: skip
    add_json_option(status)
    for name, says, run in (
        ("on", "write events from now on", _on),
        ("off", "write no more events; those that wait stay", _off),
    ):
        add_json_option(add_centre_command(actions, name, says, run, example=f"events {name}"))
    dead = add_centre_command(
        actions, "dead", "list events the broker refused too often", _dead, example="events dead"
    )
    add_json_option(dead)
    _add_resend(actions)
    drop = add_centre_command(
        actions, "drop", "forget a dead event", _drop, example="events drop 4711"
    )
    drop.add_argument("event", type=read_number, help=_NUMBER)
    add_json_option(drop)
    schema = add_command(
        actions, "schema", "print the JSON Schema of an event", _schema,
        example="events schema receipt.posted.v1",
    )  # fmt: skip
    schema.add_argument("type", nargs="?", help="which type; without it the types are listed")


def _add_resend(actions: Commands) -> None:
    resend = add_centre_command(
        actions, "resend", "put dead events behind all that wait", _resend,
        example="events resend --type receipt.posted.v1 --from 2026-03-05T08:00Z",
    )  # fmt: skip
    resend.add_argument("event", type=read_number, nargs="?", help=_NUMBER)
    resend.add_argument("--all", action="store_true", help="all dead ones")
    resend.add_argument("--type", default="", help="those of a type: receipt.posted.v1")
    resend.add_argument("--of", dest="about", default="", help="those of a key: account/7")
    resend.add_argument("--from", dest="begin", help="those given up since then, UTC")
    resend.add_argument("--to", dest="end", help="those given up before then, UTC")
    add_json_option(resend)


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


async def _note(
    pool: "Pool",
    options: argparse.Namespace,
    action: str,
    subject: str,
    detail: "Mapping[str, object] | None" = None,
) -> None:
    async with pool.acquire() as connection:
        await note_command(connection, options, action, subject, detail or {})


async def _want(options: argparse.Namespace, config: "CentralConfig", *, wanted: bool) -> int:
    from central.outreach.outbox import want

    async with _opened(config) as pool:
        await want(pool, wanted=wanted)
        await _note(pool, options, "events.on" if wanted else "events.off", "events")
    text = "events are written" if wanted else "no more events are written"
    report(options, {"wanted": wanted}, text)
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

    wanted = _wanted(options)
    async with _opened(config) as pool:
        if wanted is not None:
            return await _resend_many(options, pool, wanted)
        number = await resend(pool, options.event)
        await _note(pool, options, "events.resend", f"event:{options.event}")
    report(options, {"resent": 1, "event_id": number}, f"waits again, as {number}")
    return 0


def _wanted(options: argparse.Namespace) -> "DeadOnes | None":
    """Return which dead events are meant; None for one by its number.

    Raises:
        BadRequestError: it is not said which, or said twice, or no time is given as a time is.
    """
    from central.availability.report import read_minute
    from central.outreach.outbox import DeadOnes

    chosen = (options.type, options.about, options.begin, options.end)
    if (options.event is not None) + options.all + any(chosen) != 1:
        raise BadRequestError(
            "event", "say which: a number, or --all, or --type, --key, --from and --to"
        )
    if options.event is not None:
        return None
    return DeadOnes(
        type=options.type,
        key=options.about,
        since_ms=read_minute(options.begin, name="--from") * _MINUTE_MS if options.begin else None,
        until_ms=read_minute(options.end, name="--to") * _MINUTE_MS if options.end else None,
    )


async def _resend_many(options: argparse.Namespace, pool: "Pool", wanted: "DeadOnes") -> int:
    import msgspec

    from central.outreach.outbox import count_dead, resend_some

    total, newest = await count_dead(pool, wanted)
    resent = 0
    try:
        with Progress("events") as progress:
            while some := await resend_some(pool, wanted, newest):
                resent += some
                progress.told(resent, total)
    finally:
        if resent:
            detail = {**msgspec.structs.asdict(wanted), "resent": resent}
            await _note(pool, options, "events.resend", "events", detail)
    report(
        options,
        {"resent": resent},
        f"{resent} events wait again" if resent else "none of these is dead",
    )
    return 0


async def _drop(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.outreach.outbox import drop_dead

    async with _opened(config) as pool:
        await drop_dead(pool, options.event)
        await _note(pool, options, "events.drop", f"event:{options.event}")
    report(options, {"event_id": options.event, "dropped": True}, "forgotten")
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

"""`customer`: `show`, `put`, `find`, `consent`, `export`, `erase`, `erasures`, `rewrap`.

Names, telephone numbers and mails come in files or on standard input and never as arguments: those
are seen by everybody on the machine, and stay in the shell's history.
"""

import argparse
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from central.commands.acting import add_token_option, find_acting
from central.commands.command import (
    Commands,
    RunAtCentre,
    add_centre_command,
    add_group,
    add_json_option,
    read_number,
    report,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from central.config import CentralConfig
    from central.database.pool import Pool
    from central.privacy.customers import CustomerDesk
    from central.privacy.erasing import ErasureState


def add_customers(commands: Commands) -> None:
    """Declare the commands."""
    actions = add_group(
        commands,
        "customer",
        "people's data: read, write, export, erase",
        example="customer show 1001 --token-file ann.token",
    )
    _action(actions, "show", "show what is known of a customer as a person", _show)
    put = _action(actions, "put", "keep what is known of a customer, from a JSON file", _put)
    put.add_argument("file", type=Path, help='{"name": "...", "phones": ["..."], "mails": ["..."]}')
    find = add_centre_command(
        actions,
        "find",
        "find accounts by a telephone number or mail address given on standard input",
        _find,
        example="customer find phone < number.txt",
    )
    find.add_argument("kind", choices=("phone", "mail"))
    consent = _action(actions, "consent", "write down what a customer agrees to", _consent)
    consent.add_argument("purpose", help="such as mail or profiling")
    consent.add_argument("--no", action="store_true", help="it is taken back")
    consent.add_argument("--source", default="", help="where it was said; no personal data")
    export = _action(actions, "export", "write everything that is kept to a file", _export)
    export.add_argument("file", type=Path, help="JSON; must not be there yet")
    erase = _action(actions, "erase", "forget a customer, here and at every till, for ever", _erase)
    erase.add_argument("--reason", required=True, help="for who reads it later; no personal data")
    erasures = add_centre_command(
        actions,
        "erasures",
        "show how far erasures have come, and which tills have not confirmed",
        _erasures,
        example="customer erasures 3",
    )
    erasures.add_argument("erasure", type=read_number, nargs="?", help="this one, with its tills")
    rewrap = add_centre_command(
        actions,
        "rewrap",
        "seal every customer's key with the newest personal key",
        _rewrap,
        example="customer rewrap",
    )
    for each in (find, erasures, rewrap):
        add_token_option(each)
        add_json_option(each)


def _action(actions: Commands, name: str, says: str, run: RunAtCentre) -> argparse.ArgumentParser:
    command = add_centre_command(actions, name, says, run, example=f"customer {name} 1001 ...")
    command.add_argument("account", type=read_number, help="the account's number")
    add_token_option(command)
    add_json_option(command)
    return command


@asynccontextmanager
async def _opened(
    options: argparse.Namespace, config: "CentralConfig", role: str
) -> "AsyncIterator[tuple[Pool, CustomerDesk, str]]":
    """Give the database, the desk over it, and the name of who gives the command.

    Raises:
        ForbiddenError: a person without the role gives it.
    """
    import os

    from central.bootstrap import opened_database
    from central.privacy.customers import CustomerDesk
    from central.privacy.personal_keys import load_personal_keys
    from central.staff.persons import COMMAND_LINE
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool:
        async with pool.acquire() as connection:
            person = await find_acting(connection, options)
        if person is not None:
            person.require(role)
        keys = load_personal_keys(config.folder, config.personal_key_file, os.environ, system)
        desk = CustomerDesk(pool, keys, system)
        await desk.keep_keys()
        yield pool, desk, person.name if person else COMMAND_LINE


async def _show(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.ledger.adjustments import CALL_CENTRE

    async with _opened(options, config, CALL_CENTRE) as (_, desk, person):
        found = await desk.view(options.account, person=person)
    data = msgspec.to_builtins(found)
    known = data["data"] or {}
    lines = [f"account {found.account_id}"]
    lines += [
        f"{name:<9} {', '.join(value) if isinstance(value, list) else value}"
        for name, value in known.items()
        if value
    ]
    lines += [
        f"{each.purpose:<9} {'agreed' if each.given else 'taken back'} {each.source}".rstrip()
        for each in found.consents
    ]
    report(options, data, "\n".join(lines))
    return 0


async def _put(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.errors import BadRequestError
    from central.ledger.adjustments import CALL_CENTRE
    from central.privacy.customers import CustomerData

    try:
        data = msgspec.json.decode(options.file.read_bytes(), type=CustomerData)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadRequestError(options.file.name, str(error)) from error
    async with _opened(options, config, CALL_CENTRE) as (_, desk, person):
        await desk.put(options.account, data, person=person)
    report(options, {"account_id": options.account}, f"account {options.account}: kept")
    return 0


async def _find(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.ledger.adjustments import CALL_CENTRE

    text = sys.stdin.readline().strip()
    async with _opened(options, config, CALL_CENTRE) as (_, desk, person):
        found = await desk.find(options.kind, text, person=person)
    said = "\n".join(f"account {each}" for each in found)
    report(options, {"account_ids": list(found)}, said or "nobody is known by it")
    return 0


async def _consent(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.errors import BadRequestError
    from central.ledger.adjustments import CALL_CENTRE
    from central.privacy.customers import Consent

    fields = {"purpose": options.purpose, "given": not options.no, "source": options.source}
    try:
        consent = msgspec.convert(fields, Consent)
    except msgspec.ValidationError as error:
        raise BadRequestError("purpose or source", str(error)) from error
    async with _opened(options, config, CALL_CENTRE) as (_, desk, person):
        await desk.say(options.account, consent, person=person)
    said = "taken back" if options.no else "agreed"
    report(options, fields, f"account {options.account}: {options.purpose} {said}")
    return 0


async def _export(options: argparse.Namespace, config: "CentralConfig") -> int:
    import os

    import msgspec

    from central.privacy.customers import PRIVACY
    from central.privacy.exporting import export_customer

    async with _opened(options, config, PRIVACY) as (_, desk, person):
        found = await export_customer(desk, options.account, person=person)
    text = msgspec.json.format(msgspec.json.encode(found), indent=1)
    # Nobody else on the machine may read it, nor may it go over another file.
    descriptor = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    sizes = {name: len(msgspec.json.decode(raw)) for name, raw in found.sections.items()}
    lines = [f"{name:<12} {count}" for name, count in sizes.items() if count]
    report(options, {"file": str(options.file), "sections": sizes}, "\n".join(lines))
    return 0


async def _erase(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.privacy.customers import PRIVACY
    from central.privacy.erasing import ask_erasure, read_erasure, tend_erasures

    async with _opened(options, config, PRIVACY) as (pool, desk, person):
        number = await ask_erasure(desk, options.account, reason=options.reason, person=person)
        await tend_erasures(pool, now_ms=desk.system.now_ms())
        found = await read_erasure(pool, number)
    report(options, msgspec.to_builtins(found), _state(found))
    return 0


async def _erasures(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.privacy.customers import PRIVACY
    from central.privacy.erasing import list_erasures, read_erasure

    async with _opened(options, config, PRIVACY) as (pool, _, __):
        if options.erasure is not None:
            found = await read_erasure(pool, options.erasure)
            report(options, msgspec.to_builtins(found), _state(found))
            return 0
        listed = await list_erasures(pool)
    lines = [_state(each) for each in listed.erasures] or ["nobody was erased"]
    if listed.tills_know_more:
        lines.append(
            "tills have forgotten somebody this database still knows: an older copy of it was put"
            " back; ask for the erasures since then again (docs/personal-data.md)"
        )
    report(options, msgspec.to_builtins(listed), "\n".join(lines))
    return 0


async def _rewrap(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.privacy.customers import PRIVACY

    async with _opened(options, config, PRIVACY) as (_, desk, person):
        done = await desk.rewrap_all(person=person)
    newest = desk.keys.newest()
    report(options, {"customers": done, "key": newest}, f"{done} sealed with key {newest} now")
    return 0


def _state(found: "ErasureState") -> str:
    accounts = ", ".join(map(str, found.account_ids))
    said = f"erasure {found.erasure_id} of account {accounts}: {found.state}"
    if found.emptied_at_ms is not None:
        said += f"; {found.confirmed} of {found.tills} tills confirmed"
    if found.tills_revoked:
        said += f", {found.tills_revoked} revoked that never did"
    said += f"; {found.points_forfeited} points forfeited"
    if found.points_left:
        said += f", {found.points_left} still to come home"
    lines = [
        f"  till {each.till_id} (store {each.store_id}, slot {each.slot}) has not confirmed"
        + ("" if each.can_confirm else "; its software never will: update it")
        for each in found.missing
    ]
    return "\n".join([said, *lines])

"""`ledger`: `liability`, `seal`, `seals`, `prove`, `check-proof`, `reasons`, `reason`, `limit`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from central.commands.acting import add_token_option, find_acting
from central.commands.command import (
    Commands,
    add_centre_command,
    add_command,
    add_group,
    add_json_option,
    read_points,
    report,
    whole,
)
from central.errors import BadRequestError, CentralError
from central.staff.roles import ROLES
from loyalty.limits import LOT_DAYS_MAX, POINTS_MAX

if TYPE_CHECKING:
    from central.config import CentralConfig
    from central.database.pool import Connection


def add_ledger_days(commands: Commands) -> None:
    """Declare the commands."""
    actions = add_group(
        commands,
        "ledger",
        "what is owed in points, sealed days and proofs, terms of adjustments",
        example="ledger liability --day 2026-10-31",
    )
    _add_liability(actions)
    _add_seals(actions)
    _add_terms(actions)


def _add_liability(actions: Commands) -> None:
    liability = add_centre_command(
        actions,
        "liability",
        "show the points owed at the end of a day, by kind and month of their end",
        _liability,
        example="ledger liability --day 2026-10-31 --json",
    )
    liability.add_argument("--day", default="", help="YYYY-MM-DD, UTC; today when left out")
    liability.add_argument(
        "--programme", default="", help="of which; the default one when left out"
    )
    add_json_option(liability)


def _add_seals(actions: Commands) -> None:
    seal = add_centre_command(
        actions, "seal", "seal the day that is over, unless it is sealed", _seal,
        example="ledger seal",
    )  # fmt: skip
    seals = add_centre_command(
        actions, "seals", "show the newest sealed days", _seals, example="ledger seals"
    )
    prove = add_centre_command(
        actions,
        "prove",
        "print the proof that a receipt's entries stand in sealed days, as JSON",
        _prove,
        example="ledger prove 01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d > proof.json",
    )
    prove.add_argument("subject", help="key of a receipt or return")
    for each in (seal, seals):
        add_json_option(each)
    check = add_command(
        actions,
        "check-proof",
        "check a proof; needs no centre",
        _check_proof,
        example="ledger check-proof proof.json --key centre.pub",
    )
    check.add_argument("proof", type=Path, help="as ledger prove printed it")
    check.add_argument(
        "--key", default="", help="the centre's public key, hexadecimal, or a file that holds it"
    )


def _add_terms(actions: Commands) -> None:
    reasons = add_centre_command(
        actions,
        "reasons",
        "show why points may be given or taken, and how many a day",
        _reasons,
        example="ledger reasons",
    )
    add_json_option(reasons)
    reason = add_centre_command(
        actions,
        "reason",
        "add a reason to give or take points, or change it",
        _reason,
        example='ledger reason goodwill "Goodwill" --points-max 500 --days 90',
    )
    reason.add_argument("code", help="small letters, digits and _")
    reason.add_argument("title", help="for people")
    reason.add_argument(
        "--points-max", type=whole(1, POINTS_MAX), required=True, help="of one adjustment"
    )
    reason.add_argument(
        "--days",
        type=whole(0, LOT_DAYS_MAX),
        default=0,
        help="after which points given end; 0 = never",
    )
    limit = add_centre_command(
        actions,
        "limit",
        "say how many points a person with a role may move in a day",
        _limit,
        example="ledger limit call_centre 2000",
    )
    limit.add_argument(
        # `role` alone is the setting: what part of the centre a process serves.
        "whose_role",
        metavar="role",
        choices=tuple(ROLES),
        help="one of: " + ", ".join(ROLES),
    )
    limit.add_argument("points", type=read_points, help="given and taken together; 0 = none")
    for each in (reason, limit):
        add_token_option(each)
        add_json_option(each)


async def _liability(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.ledger.liability import asked_day, day_of, read_liability
    from central.system import System

    system = System()
    now_ms = system.now_ms()
    day = asked_day(options.day, now_ms=now_ms)
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        found = await read_liability(connection, day, options.programme, is_patient=True)
    lines = [
        f"{each.points:>14,}  {each.kind}{f' for {each.restriction}' if each.restriction else ''},"
        f" {f'ends in {each.ends_in}' if each.ends_in else 'never ends'}, {each.lots:,} lots"
        for each in found.open
    ]
    when = f"at the end of {found.day}"
    if found.day == day_of(now_ms):
        when = f"by now; {found.day} is not over yet"
    lines.append(f"{found.points:>14,}  owed {when}")
    lines.append(f"{found.over:>14,}  of lots that are over, owed to nobody")
    lines.append(f"{found.debt:>14,}  owed by customers")
    report(options, msgspec.to_builtins(found), "\n".join(lines))
    return 0


async def _seal(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.keys import load_keys
    from central.ledger.sealing import seal_due
    from central.system import System

    system = System()
    key = load_keys(config.folder, system).centre
    async with opened_database(config, system) as pool:
        seal = await seal_due(pool, key, now_ms=system.now_ms())
    text = "the day that is over is sealed already"
    if seal is not None:
        text = f"{seal.day} is sealed: {seal.entries} entries, root {seal.root}"
    report(options, {"seal": msgspec.to_builtins(seal)}, text)
    return 0


async def _seals(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.ledger.sealing import newest_seals
    from central.system import System

    async with opened_database(config, System()) as pool:
        found = await newest_seals(pool)
    lines = [f"{seal.day}  {seal.entries:>12,} entries  {seal.root}" for seal in found]
    report(
        options, {"seals": msgspec.to_builtins(found)}, "\n".join(lines) or "no day is sealed yet"
    )
    return 0


async def _prove(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.ledger.sealing import prove
    from central.system import System

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        proof = await prove(connection, options.subject)
    print(msgspec.json.format(msgspec.json.encode(proof)).decode())
    if proof.unsealed:
        print(f"{proof.unsealed} entries of it are not sealed yet", file=sys.stderr)
    return 0 if proof.entries else 1


def _check_proof(options: argparse.Namespace) -> int:
    import msgspec

    from central.ledger.sealing import InclusionProof, problem_of_proof

    try:
        proof = msgspec.json.decode(options.proof.read_bytes(), type=InclusionProof)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadRequestError(str(options.proof), str(error)) from error
    problem = problem_of_proof(proof, _public_key(options.key))
    if not proof.entries:
        problem = "it holds no entry"
    if problem:
        raise CentralError(f"the proof does not hold: {problem}")
    days = sorted({each.seal.day for each in proof.entries})
    text = f"proven: {len(proof.entries)} entries of {proof.subject}, sealed {', '.join(days)}"
    if not options.key:
        text += f", signed by {proof.entries[0].seal.public_key} (compare it, or give --key)"
    print(text)
    return 0


def _public_key(given: str) -> bytes | None:
    if not given:
        return None
    path = Path(given)
    text = path.read_text(encoding="ascii") if path.is_file() else given
    try:
        return bytes.fromhex(text.strip())
    except ValueError as error:
        raise BadRequestError("--key", "it is neither a file nor hexadecimal") from error


async def _reasons(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.ledger.adjustments import read_terms
    from central.system import System

    async with opened_database(config, System()) as pool:
        found = await read_terms(pool)
    lines = [
        f"{each.code}: {each.title}, at most {each.points_max} points"
        + (f", points given end after {each.days} days" if each.days else "")
        for each in found.reasons
    ]
    lines += [f"role {each.role}: {each.points_per_day} points a day" for each in found.limits]
    report(options, msgspec.to_builtins(found), "\n".join(lines) or "none is set yet")
    return 0


async def _terms_person(connection: "Connection", options: argparse.Namespace) -> str:
    """Return who changes the terms: somebody of finance, or whoever is at the machine."""
    from central.ledger.adjustments import FINANCE
    from central.staff.persons import COMMAND_LINE

    person = await find_acting(connection, options)
    if person is None:
        return COMMAND_LINE
    person.require(FINANCE)
    return person.name


async def _reason(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.ledger.adjustments import AdjustmentReason, put_reason
    from central.system import System

    system = System()
    fields = {name: getattr(options, name) for name in AdjustmentReason.__struct_fields__}
    try:
        reason = msgspec.convert(fields, AdjustmentReason)
    except msgspec.ValidationError as error:
        raise BadRequestError("reason", str(error)) from error
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        name = await _terms_person(connection, options)
        async with connection.transaction():
            await put_reason(connection, reason, person=name, now_ms=system.now_ms())
    text = f"{reason.code}: at most {reason.points_max} points"
    report(options, msgspec.to_builtins(reason), text)
    return 0


async def _limit(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.ledger.adjustments import AdjustmentLimit, put_limit
    from central.system import System

    system = System()
    fields = {"role": options.whose_role, "points_per_day": options.points}
    try:
        limit = msgspec.convert(fields, AdjustmentLimit)
    except msgspec.ValidationError as error:
        raise BadRequestError("limit", str(error)) from error
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        name = await _terms_person(connection, options)
        async with connection.transaction():
            await put_limit(connection, limit, person=name, now_ms=system.now_ms())
    text = f"role {limit.role}: {limit.points_per_day} points a day"
    report(options, msgspec.to_builtins(limit), text)
    return 0

"""`tiers`: `set` and `show`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from central.commands.acting import add_token_option, find_acting
from central.commands.command import (
    Commands,
    add_centre_command,
    add_group,
    add_json_option,
    read_number,
    report,
)
from central.errors import BadRequestError, NotFoundError

if TYPE_CHECKING:
    from central.config import CentralConfig


def add_tiers(commands: Commands) -> None:
    """Declare the commands."""
    actions = add_group(
        commands,
        "tiers",
        "say how customers reach tiers, and see who has which",
        example="tiers show 1001",
    )
    put = add_centre_command(
        actions,
        "set",
        "put terms of tiers in force; everybody's tier is worked out anew",
        _set,
        example="tiers set tiers.json",
    )
    put.add_argument("file", type=Path, help="the terms, a JSON document")
    add_token_option(put)
    add_json_option(put)
    show = add_centre_command(
        actions,
        "show",
        "show the terms and how many have which tier, or where an account stands",
        _show,
        example="tiers show 1001",
    )
    show.add_argument("account", type=read_number, nargs="?", help="the account's number")
    show.add_argument("--programme", default="", help="of which; the default one when left out")
    add_json_option(show)


async def _set(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.ledger.adjustments import FINANCE
    from central.people.tiers import TierTerms, put_terms
    from central.staff.persons import COMMAND_LINE
    from central.system import System

    system = System()
    try:
        terms = msgspec.json.decode(options.file.read_bytes(), type=TierTerms)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadRequestError(str(options.file), str(error)) from error
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        person = await find_acting(connection, options)
        if person is not None:
            person.require(FINANCE)
        async with connection.transaction():
            name = person.name if person else COMMAND_LINE
            await put_terms(connection, terms, person=name, now_ms=system.now_ms())
    text = f"{len(terms.tiers)} tiers are in force; everybody is looked at anew, in small steps"
    report(options, msgspec.to_builtins(terms), text)
    return 0


async def _show(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.people.tiers import read_overview, read_state, read_terms
    from central.programmes.registry import require_programme
    from central.system import System

    async with opened_database(config, System()) as pool:
        async with pool.acquire() as connection:
            await require_programme(connection, options.programme)
            terms = await read_terms(connection, options.programme)
            state = await read_state(connection, options.account) if options.account else None
        overview = [
            each for each in await read_overview(pool) if each.programme == options.programme
        ]
    if options.account:
        if state is None:
            raise NotFoundError(f"no tier was worked out for account {options.account}")
        text = (
            f"account {state.account_id}: {state.tier or 'no tier'} since {state.since_day}, until"
            f" {state.due_on or 'it is looked at'}; {state.value} in this cycle"
        )
        if state.next_tier:
            text += f", {state.next_tier} from {state.next_at_least}"
        report(options, msgspec.to_builtins(state), text)
        return 0
    lines = ["tiers are kept as they are loaded: no terms are set"]
    if terms is not None:
        what = f"{terms.measure} of a {terms.cycle} cycle"
        lines = [f"{tier.name or 'no tier'}: from {tier.at_least} {what}" for tier in terms.tiers]
    lines += [f"{each.tier or 'no tier'}: {each.accounts} accounts" for each in overview]
    found = {"terms": msgspec.to_builtins(terms), "accounts": msgspec.to_builtins(overview)}
    report(options, found, "\n".join(lines))
    return 0

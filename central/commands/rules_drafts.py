"""`rules draft`, `approve`, `list`, `show`, `diff`: what people write and how it stands."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from central.commands.acting import add_token_option, find_acting
from central.commands.command import Commands, add_centre_command, add_json_option, report
from central.errors import ForbiddenError

if TYPE_CHECKING:
    from central.config import CentralConfig
    from central.rules.drafts import DraftRow


def add_drafts(actions: Commands) -> None:
    """Declare the commands among the actions of `rules`."""
    draft = add_centre_command(
        actions,
        "draft",
        "keep rules as the next version of a draft",
        _draft,
        example="rules draft summer rules.json --note 'ten per cent on milk'",
    )
    draft.add_argument("name", help="the draft's name, such as summer")
    draft.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="rule documents, parts or folders"
    )
    draft.add_argument("--note", default="", help="what it is for")
    add_token_option(draft)
    add_json_option(draft)
    approve = add_centre_command(
        actions,
        "approve",
        "approve what somebody else has drafted",
        _approve,
        example="rules approve summer@2",
    )
    approve.add_argument("draft", help="summer@2, or summer for its newest version")
    add_token_option(approve)
    add_json_option(approve)
    listing = add_centre_command(
        actions, "list", "list drafts, releases and pins", _list, example="rules list"
    )
    add_json_option(listing)
    show = add_centre_command(
        actions,
        "show",
        "print the rule document of a draft, of a release, or what all tills have",
        _show,
        example="rules show summer@2",
    )
    show.add_argument("what", help="summer@2, the version of a release, or live")
    diff = add_centre_command(
        actions,
        "diff",
        "say which offers two rule documents do not have in common",
        _diff,
        example="rules diff live summer@2",
    )
    diff.add_argument("before", help="summer@1, the version of a release, or live")
    diff.add_argument("after", help="the same")
    add_json_option(diff)


async def _draft(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.rules.documents import read_rules
    from central.rules.drafts import document_of, save_draft
    from central.system import System

    system = System()
    content = document_of(read_rules(*options.files).bundle)
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        author = await find_acting(connection, options)
        if author is None:
            raise ForbiddenError("a draft has an author: give a file with your token, --token-file")
        saved = await save_draft(
            connection, options.name, content, author=author, note_text=options.note, system=system
        )
    report(options, msgspec.to_builtins(saved), draft_text(saved))
    return 0


async def _approve(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.rules.drafts import approve_draft
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        approver = await find_acting(connection, options)
        if approver is None:
            raise ForbiddenError("a person approves: give a file with your token, --token-file")
        approved = await approve_draft(connection, options.draft, approver=approver, system=system)
    report(options, msgspec.to_builtins(approved), draft_text(approved))
    return 0


async def _list(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.commands.rules_release import pin_text, release_text
    from central.rules.drafts import list_drafts
    from central.rules.pinning import list_pins
    from central.rules.releases import list_releases
    from central.system import System

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        drafts = await list_drafts(connection)
        releases = await list_releases(connection)
        pins = await list_pins(connection)
    lines = [*map(draft_text, drafts), *map(release_text, releases)]
    lines += map(pin_text, pins)
    found = {
        "drafts": msgspec.to_builtins(drafts),
        "releases": msgspec.to_builtins(releases),
        "pins": msgspec.to_builtins(pins),
    }
    report(options, found, "\n".join(lines) or "nothing yet")
    return 0


async def _show(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.rules.finding import find_rules
    from central.system import System
    from loyalty.documents import encode

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        bundle = await find_rules(connection, options.what)
    print(msgspec.json.format(msgspec.json.encode(encode(bundle)), indent=2).decode())
    return 0


async def _diff(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.rules.comparing import compare_rules
    from central.rules.finding import find_rules
    from central.system import System

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        before = await find_rules(connection, options.before)
        after = await find_rules(connection, options.after)
    found = compare_rules(before, after)
    report(options, msgspec.to_builtins(found), "\n".join(found.lines()) or "no difference")
    return 0


def draft_text(draft: "DraftRow") -> str:
    """Return a draft's state as one line for people."""
    text = f"draft {draft.title} by {draft.author}: {draft.offers} offers"
    text += f", approved by {draft.approver}" if draft.approver else ", not approved"
    if draft.releases:
        text += f", released as {', '.join(map(str, draft.releases))}"
    return f"{text}; {draft.note}" if draft.note else text

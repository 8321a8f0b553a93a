"""`account`: joining accounts, moving cards, wallets, codes shown twice, adjustments."""

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from central.commands.acting import add_token_option, find_acting
from central.commands.command import (
    Commands,
    add_centre_command,
    add_group,
    add_json_option,
    read_number,
    report,
    whole,
)
from loyalty.limits import POINTS_MAX

if TYPE_CHECKING:
    from central.config import CentralConfig
    from central.database.pool import Pool


def add_accounts(commands: Commands) -> None:
    """Declare the commands."""
    actions = add_group(
        commands,
        "account",
        "join accounts, move cards, give and take points",
        example='account merge 1001 1002 --reason "one customer"',
    )
    _add_merge(actions)
    _add_cards(actions)
    _add_adjust(actions)


def _add_merge(actions: Commands) -> None:
    merge = add_centre_command(
        actions,
        "merge",
        "move everything of an account to another one, whose it is from then on",
        _merge,
        example='account merge 1001 1002 --reason "one customer"',
    )
    merge.add_argument(
        "from_account", type=read_number, metavar="FROM", help="the account that is emptied"
    )
    merge.add_argument(
        "into_account", type=read_number, metavar="INTO", help="the account that stays"
    )
    merge.add_argument("--reason", required=True, help="why, for whoever reads it later")
    undo = add_centre_command(
        actions,
        "undo-merge",
        "make two accounts of one again, as far as what went over is still there",
        _undo_merge,
        example="account undo-merge 17",
    )
    undo.add_argument("merge", type=read_number, help="its number, as account merges shows it")
    merges = add_centre_command(
        actions,
        "merges",
        "show the merges of an account",
        _merges,
        example="account merges 1002",
    )
    merges.add_argument("account", type=read_number, help="the account's number")
    for each in (merge, undo, merges):
        add_json_option(each)
    for each in (merge, undo):
        add_token_option(each)


def _add_cards(actions: Commands) -> None:
    move = add_centre_command(
        actions,
        "move-card",
        "give a card to another account; points and receipts stay where they are",
        _move_card,
        example='account move-card 2200001001 --to 1002 --reason "it is hers"',
    )
    move.add_argument("card", help="the card's number")
    move.add_argument("--to", type=read_number, required=True, help="the account's number")
    move.add_argument("--reason", required=True, help="why, for whoever reads it later")
    undo = add_centre_command(
        actions,
        "undo-move",
        "give a card back to the account it was taken from",
        _undo_move,
        example="account undo-move 5",
    )
    undo.add_argument("move", type=read_number, help="its number, as move-card said it")
    for each in (move, undo):
        add_token_option(each)
        add_json_option(each)
    wallets = add_centre_command(
        actions,
        "wallets",
        "show the accounts of all programmes that cards of an account lead to",
        _wallets,
        example="account wallets 1001",
    )
    wallets.add_argument("account", type=read_number, help="the number of any of them")
    add_json_option(wallets)
    codes = add_centre_command(
        actions,
        "codes",
        "show receipts with a one-time code that another receipt had been shown",
        _codes,
        example="account codes --account 1001",
    )
    codes.add_argument("--account", type=read_number, help="of this account alone")
    add_json_option(codes)


def _add_adjust(actions: Commands) -> None:
    adjust = add_centre_command(
        actions,
        "adjust",
        "give points to an account, or take them where the number is below zero",
        _adjust,
        example="account adjust 1001 200 --reason goodwill --token-file ann.token",
    )
    adjust.add_argument("account", type=read_number, help="the account's number")
    adjust.add_argument(
        "points", type=whole(-POINTS_MAX, POINTS_MAX), help="how many; below zero they are taken"
    )
    adjust.add_argument("--reason", required=True, help="a code, as ledger reasons shows them")
    adjust.add_argument("--note", default="", help="what else there is to say")
    adjust.add_argument(
        "--key", default="", help="names the adjustment, so that giving the command again is safe"
    )
    add_token_option(adjust)
    add_json_option(adjust)


async def _person(pool: "Pool", options: argparse.Namespace) -> tuple[str, frozenset[str]]:
    """Return name and roles of who gives the command."""
    from central.staff.persons import COMMAND_LINE

    async with pool.acquire() as connection:
        person = await find_acting(connection, options)
    return (person.name, person.roles) if person else (COMMAND_LINE, frozenset())


async def _merge(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.ledger.merging import merge_accounts
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool:
        name, _ = await _person(pool, options)
        done = await merge_accounts(
            pool, options.from_account, options.into_account,
            person=name, reason=options.reason, now_ms=system.now_ms(),
        )  # fmt: skip
    text = (
        f"merge {done.merge_id}: account {done.from_account} is account {done.into_account} now;"
        f" {done.points} points ({done.held} of them in rights, which are asked back),"
        f" {done.cards} cards and {done.receipts} receipts went over"
    )
    report(options, msgspec.to_builtins(done), text)
    return 0


async def _undo_merge(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.ledger.merging import undo_merge
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool:
        name, _ = await _person(pool, options)
        done = await undo_merge(pool, options.merge, person=name, now_ms=system.now_ms())
    text = (
        f"accounts {done.from_account} and {done.into_account} are two again: {done.points} points"
        f" and {done.cards} cards went back"
    )
    for count, what in (
        (done.spent, "points were spent since"),
        (done.held_since, "points are in rights issued since and stay"),
        (done.debt_paid, "points of debt were repaid since"),
        (done.cards_elsewhere, "cards belong to other accounts by now"),
    ):
        if count:
            text += f"\nnot restored: {count} {what}"
    report(options, msgspec.to_builtins(done), text)
    return 0


async def _merges(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.ledger.merging import list_merges
    from central.system import System

    async with opened_database(config, System()) as pool:
        found = await list_merges(pool, options.account)
    lines = [
        f"{each.merge_id}: {each.from_account} into {each.into_account} by {each.person}:"
        f" {each.reason}" + (f" (undone by {each.undone_by})" if each.undone_at_ms else "")
        for each in found
    ]
    text = "\n".join(lines) or f"account {options.account} was never merged"
    report(options, {"merges": msgspec.to_builtins(found)}, text)
    return 0


async def _move_card(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.keys import load_keys
    from central.ledger.card_moves import move_card
    from central.system import System
    from sync.signing import card_hash

    system = System()
    card = card_hash(load_keys(config.folder, system).card_key, options.card)
    async with opened_database(config, system) as pool:
        name, _ = await _person(pool, options)
        done = await move_card(
            pool, card, options.to, person=name, reason=options.reason, now_ms=system.now_ms()
        )
    text = (
        f"move {done.move_id}: the card was account {done.from_account}'s and is account"
        f" {done.to_account}'s"
    )
    report(options, msgspec.to_builtins(done), text)
    return 0


async def _wallets(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.programmes.registry import called
    from central.programmes.wallets import list_wallets
    from central.system import System

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        found = await list_wallets(connection, options.account)
    lines = [
        f"account {each.account_id} of {called(each.programme)}: {each.points} points,"
        f" {each.cards} cards{', blocked' if each.blocked else ''}"
        for each in found
    ]
    report(options, {"wallets": msgspec.to_builtins(found)}, "\n".join(lines))
    return 0


async def _codes(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.streams.used_codes import codes_twice
    from central.system import System
    from sync.customer_code import STEP_MS

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        found = await codes_twice(connection, options.account)
    lines = [
        f"account {each.account_id}: code of {_written(each.step * STEP_MS)} at receipt"
        f" {each.receipt} of till {each.till_id}, and at receipt {each.first_receipt} before"
        for each in found
    ]
    text = "\n".join(lines) or "no code was shown for two receipts"
    report(options, {"codes": msgspec.to_builtins(found)}, text)
    return 0


def _written(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


async def _undo_move(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.ledger.card_moves import undo_move
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool:
        name, _ = await _person(pool, options)
        done = await undo_move(pool, options.move, person=name, now_ms=system.now_ms())
    report(options, msgspec.to_builtins(done), f"the card is account {done.to_account}'s again")
    return 0


async def _adjust(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.errors import BadRequestError
    from central.ledger.adjustments import Adjustment, adjust
    from central.system import System

    system = System()
    wish = {
        "key": options.key or str(system.new_uuid7()),
        "account_id": options.account,
        "points": options.points,
        "reason": options.reason,
        "note": options.note,
    }
    try:
        adjustment = msgspec.convert(wish, Adjustment)
    except msgspec.ValidationError as error:
        raise BadRequestError("adjustment", str(error)) from error
    async with opened_database(config, system) as pool:
        name, roles = await _person(pool, options)
        done = await adjust(pool, adjustment, person=name, roles=roles, now_ms=system.now_ms())
    what = "was adjusted before" if done.repeated else "is adjusted"
    text = (
        f"account {done.account_id} {what} by {done.points} points (key {done.key}); {name} may"
        f" move {done.left_today} more today"
    )
    report(options, msgspec.to_builtins(done), text)
    return 0

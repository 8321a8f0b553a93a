"""`rights`: `exposure`, `write-off`, `give-up`, `clear`, `plan`, `block`, `counters`, `release`."""

import argparse
from typing import TYPE_CHECKING

from central.commands.acting import note_command
from central.commands.command import (
    Commands,
    add_centre_command,
    add_group,
    add_json_option,
    read_number,
    report,
)
from central.errors import CentralError, NotFoundError

if TYPE_CHECKING:
    from central.config import CentralConfig
    from central.database.pool import Pool


def add_rights(commands: Commands) -> None:
    """Declare the commands."""
    actions = add_group(
        commands, "rights", "look after points set aside for tills", example="rights exposure"
    )
    _add_exposure(actions)
    _add_write_off(actions)
    _add_give_up(actions)
    _add_clear(actions)
    _add_plan(actions)
    _add_block(actions)
    _add_counters(actions)
    _add_release(actions)


def _add_exposure(actions: Commands) -> None:
    exposure = add_centre_command(
        actions,
        "exposure",
        "show the most that can be overdrawn this minute, by cause",
        _exposure,
        example="rights exposure --json",
    )
    add_json_option(exposure)


def _add_write_off(actions: Commands) -> None:
    write_off = add_centre_command(
        actions,
        "write-off",
        "give customers back what a destroyed till holds, paid for by the risk pool",
        _write_off,
        example="rights write-off --till 12 --yes",
    )
    write_off.add_argument("--till", type=read_number, required=True, help="its number")
    write_off.add_argument(
        "--right", action="append", default=[], metavar="ID", help="of this right alone; repeat"
    )
    write_off.add_argument(
        "--yes", action="store_true", help="do it; without this it only says what it would do"
    )
    add_json_option(write_off)


def _add_give_up(actions: Commands) -> None:
    give_up = add_centre_command(
        actions,
        "give-up",
        "count as lost what the pool keeps back for a till that never came back",
        _give_up,
        example="rights give-up --till 12 --yes",
    )
    give_up.add_argument("--till", type=read_number, required=True, help="its number")
    give_up.add_argument(
        "--right", action="append", default=[], metavar="ID", help="of this right alone; repeat"
    )
    give_up.add_argument(
        "--yes", action="store_true", help="do it; without this it only says what it would do"
    )
    add_json_option(give_up)


def _add_clear(actions: Commands) -> None:
    clear = add_centre_command(
        actions,
        "clear",
        "take a till's suspected copies out of the exposure and lift its quarantine, after"
        " somebody has looked",
        _clear,
        example="rights clear --till 12",
    )
    clear.add_argument("--till", type=read_number, required=True, help="its number")
    add_json_option(clear)


def _add_plan(actions: Commands) -> None:
    plan = add_centre_command(
        actions,
        "plan",
        "decide once for all accounts which store's till holds their points",
        _plan,
        example="rights plan",
    )
    add_json_option(plan)


def _add_block(actions: Commands) -> None:
    block = add_centre_command(
        actions,
        "block",
        "block an account: no rights from now on, and tills give back what they hold",
        _block,
        example="rights block 1001",
    )
    block.add_argument("account", type=read_number, help="the account's number")
    block.add_argument("--lift", action="store_true", help="lift the block")
    add_json_option(block)


def _add_counters(actions: Commands) -> None:
    counters = add_centre_command(
        actions,
        "counters",
        "show what is limited over all customers: set aside for tills, used, overdrawn",
        _counters,
        example="rights counters",
    )
    counters.add_argument(
        "--account", type=read_number, default=0, help="show what this customer is given instead"
    )
    add_json_option(counters)


def _add_release(actions: Commands) -> None:
    release = add_centre_command(
        actions,
        "release",
        "count as free again what a destroyed till holds of limits over all customers",
        _release,
        example="rights release --till 12 --yes",
    )
    release.add_argument("--till", type=read_number, required=True, help="its number")
    release.add_argument("--counter", default="", metavar="NAME", help="of this counter alone")
    release.add_argument(
        "--yes", action="store_true", help="do it; without this it only says what it would do"
    )
    add_json_option(release)


async def _note(
    pool: "Pool", options: argparse.Namespace, action: str, detail: dict[str, object]
) -> None:
    async with pool.acquire() as connection:
        await note_command(connection, options, action, f"till:{options.till}", detail)


async def _exposure(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.rights.exposure import read_exposure
    from central.system import System

    async with opened_database(config, System()) as pool:
        found = await read_exposure(pool)
    text = (
        f"at most {found.points} points can be overdrawn this minute: {found.risk_budgets} by risk"
        f" budgets, {found.write_offs} by rights written off, {found.suspected_clones} by suspected"
        f" copies of tills (there are {found.clones})\n"
        f"pool: {found.pool.funded} funded = {found.pool.free} free + {found.pool.budgets} budgets"
        f" + {found.pool.exposures} exposures + {found.pool.losses} losses\n"
        f"set aside: {found.held} points, {found.frozen} of them frozen"
    )
    if found.counters_exceeded:
        text += (
            f"\nlimits over all customers exceeded: {found.counters_exceeded}, see rights counters"
        )
    report(options, msgspec.to_builtins(found), text)
    return 0


async def _write_off(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.rights import budgets
    from central.rights.exposure import read_exposure
    from central.rights.write_offs import WrittenOff, held_by, last_heard, write_off
    from central.system import System

    system, done, gone = System(), WrittenOff(), budgets.BudgetsWrittenOff()
    async with opened_database(config, system) as pool:
        heard = await last_heard(pool, options.till)
        held = await held_by(pool, options.till, options.right)
        risk = await budgets.budgets_of(pool, options.till)
        free = (await read_exposure(pool)).pool.free
        if options.yes:
            if not options.right:
                gone = await budgets.write_off(pool, options.till, now_ms=system.now_ms())
            done = await write_off(pool, held, now_ms=system.now_ms())
            detail = {"right": options.right, "points": done.points, "rights": done.rights}
            detail |= {"budgets_kept": gone.kept, "budgets_home": gone.home}
            await _note(pool, options, "rights.write_off", detail)
    points = sum(right.points for right in held)
    found = {"till": options.till, "last_heard": heard, "rights": len(held), "points": points}
    found |= {"pool_free": free, "done": options.yes, "written_off": msgspec.to_builtins(done)}
    found |= {"risk_budgets": risk.open, "budgets_written_off": msgspec.to_builtins(gone)}
    if options.yes:
        text = f"{done.rights} rights with {done.points} points are written off"
        if done.refused:
            text += (
                f"; {done.refused} with {done.refused_points} points stay held: the pool has too"
                " little, see fund-pool"
            )
        if gone.home:
            text += f"\n{gone.home} points of its risk budgets are free again"
        if gone.kept:
            text += (
                f"\n{gone.kept} points of its risk budgets are kept back until receipts of them"
                f" come, or the till is revoked"
            )
    else:
        more = f" and has {risk.open} of risk budgets" if risk.open else ""
        text = (
            f"till {options.till}, last heard of {heard}, holds {points} points in {len(held)}"
            f" rights{more}; the pool has {free} free\nnothing was done: repeat with --yes once"
            " its disk is known to be destroyed"
        )
    report(options, found, text)
    return 1 if done.refused else 0


async def _give_up(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.rights import budgets
    from central.rights.giving_up import GivenUp, exposed_by, give_up, require_silence
    from central.rights.issuing import DAY_MS
    from central.rights.write_offs import last_heard
    from central.system import System

    now_ms, days, done, home = System().now_ms(), config.exposure_days, GivenUp(), 0
    async with opened_database(config, System()) as pool:
        heard = await last_heard(pool, options.till)
        exposed = await exposed_by(pool, options.till, options.right)
        risk = await budgets.budgets_of(pool, options.till)
        if options.yes:
            await require_silence(pool, options.till, days=days, now_ms=now_ms)
            done = await give_up(pool, exposed, days=days, now_ms=now_ms)
            if not options.right:
                before_ms = now_ms - days * DAY_MS
                home = await budgets.give_up_kept(pool, options.till, before_ms=before_ms)
            detail = {"right": options.right, "points": done.points, "rights": done.rights}
            await _note(pool, options, "rights.give_up", detail | {"budgets_home": home})
    points = sum(right.points for right in exposed)
    found = {"till": options.till, "last_heard": heard, "rights": len(exposed), "points": points}
    found |= {"done": options.yes, "given_up": msgspec.to_builtins(done)}
    found |= {"budgets_kept": risk.kept, "budgets_home": home}
    if options.yes:
        text = f"{done.rights} exposures with {done.points} points are closed: the pool lost them"
        if left := len(exposed) - done.rights:
            text += f"; {left} were written off less than {days} days ago and stay"
        if home:
            text += f"\n{home} points kept back for its risk budgets are free again"
    else:
        text = (
            f"till {options.till}, last heard of {heard}: the pool keeps {points} points back for"
            f" {len(exposed)} of its rights, and {risk.kept} for its risk budgets\nnothing was"
            " done: with --yes the former count as spent and lost, the latter are free again,"
            f" once nothing was heard of it for {days} days"
        )
    report(options, found, text)
    return 0


async def _clear(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.rights.suspicion import clear_till
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool:
        cleared = await clear_till(pool, options.till, now_ms=system.now_ms())
        done = msgspec.to_builtins(cleared)
        if cleared.streams or cleared.was_quarantined:
            await _note(pool, options, "rights.clear", done)
    if not cleared.streams and not cleared.was_quarantined:
        raise NotFoundError(f"no copy of till {options.till} is suspected")
    text = f"till {options.till} is cleared: {cleared.streams} streams"
    if cleared.was_quarantined:
        text += "; it gets rights again, in the stream it says HELLO in next"
    report(options, {"till": options.till} | done, text)
    return 0


async def _plan(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.rights.planner import plan_all
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool:
        done = await plan_all(pool, now_ms=system.now_ms(), settings=config.rights())
        async with pool.acquire() as connection:
            detail = {"moved": done.moved, "wished": done.wished, "forgotten": done.forgotten}
            await note_command(connection, options, "rights.plan", "accounts", detail)
    text = (
        f"{done.accounts} accounts: points of {done.moved} are asked back, of {done.wished} wished"
        f" for; {done.forgotten} are not kept any more where they were not seen for long"
    )
    report(options, msgspec.to_builtins(done), text)
    return 0


async def _block(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.rights.blocking import set_blocked
    from central.system import System

    blocked = not options.lift
    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        try:
            async with connection.transaction():
                changed = await set_blocked(connection, options.account, blocked=blocked)
                await note_command(
                    connection, options, "account.block" if blocked else "account.unblock",
                    f"account:{options.account}", {"changed": changed},
                )  # fmt: skip
        except LookupError as error:
            raise CentralError(f"there is no account {options.account}") from error
    state = "blocked" if blocked else "not blocked"
    text = f"account {options.account} is {state}{'' if changed else ', as it was'}"
    found = {"account": options.account, "blocked": blocked, "changed": changed}
    report(options, found, text)
    return 0


async def _counters(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.rights.counters import read_states
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool:
        found = await read_states(pool, now_ms=system.now_ms(), account_id=options.account)
    lines = [
        f"{each.name}: {each.used} of {each.most} used, {each.handed_out} set aside for tills"
        + (f" ({each.silent} of it for silent ones)" if each.silent else "")
        + (f", {each.overdrawn} used with nothing set aside" if each.overdrawn else "")
        + (f", LIMIT EXCEEDED BY UP TO {each.excess}" if each.excess else "")
        for each in found
    ]
    text = "\n".join(lines) or "nothing that is limited over all tills was handed out yet"
    report(options, {"counters": msgspec.to_builtins(found)}, text)
    return 0


async def _release(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.rights.counters import release
    from central.rights.write_offs import last_heard
    from central.system import System

    async with opened_database(config, System()) as pool:
        heard = await last_heard(pool, options.till)
        done = await release(pool, options.till, counter=options.counter, really=options.yes)
        if options.yes and done.amounts:
            await _note(pool, options, "rights.release", {"amounts": dict(done.amounts)})
    held = [f"  {name}: {amount}" for name, amount in sorted(done.amounts.items())]
    text = "\n".join((f"till {options.till}, last heard of {heard}, holds:", *held))
    if not held:
        text = f"till {options.till} holds nothing of limits over all customers"
    elif options.yes:
        text += "\nall of it is free again"
    else:
        text += "\nnothing was done: repeat with --yes once its disk is known to be destroyed"
    found = {"till": options.till, "last_heard": heard, "done": options.yes}
    report(options, found | msgspec.to_builtins(done), text)
    return 0

"""`rules bundle build`, `sign`, `ring`, `halt`, `resume`, `roll-back`, `pin`, `export-files`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from central.commands.acting import add_token_option, find_acting
from central.commands.command import (
    Commands,
    add_centre_command,
    add_centre_options,
    add_command,
    add_json_option,
    report,
)

if TYPE_CHECKING:
    from central.config import CentralConfig
    from central.rules.pinning import Pin, Scope
    from central.rules.releases import Release
    from central.rules.unable import Unable


def add_releases(actions: Commands) -> None:
    """Declare the commands among the actions of `rules`."""
    _add_bundle(actions)
    sign = add_command(
        actions,
        "sign",
        "sign a release where the key is; needs no centre and no network",
        _sign,
        example="rules sign summer.release --key /media/key/release.key",
    )
    sign.add_argument("file", type=Path, help="a file of `rules bundle build`")
    sign.add_argument("--key", type=Path, required=True, help="the private release key")
    sign.add_argument("--out", type=Path, help="where to write it (default: the same file)")
    add_json_option(sign)
    ring = add_centre_command(
        actions,
        "ring",
        "announce a release to more tills",
        _ring,
        example="rules ring 12 share:1%%",
    )
    _release(ring)
    ring.add_argument(
        "ring", help="till:12, store:367,368, stores:5, share:1%%, region:north or everywhere"
    )
    for name, says, run in (
        ("halt", "take a release away from its tills until somebody resumes it", _halt),
        ("resume", "give a halted release back to its rings", _resume),
        ("roll-back", "withdraw a release for good: its tills get what was before", _roll_back),
    ):
        command = add_centre_command(actions, name, says, run, example=f"rules {name} 12")
        _release(command)
        command.add_argument("--why", default="", help="for whoever reads it later")
    _add_pins(actions)
    export = add_centre_command(
        actions,
        "export-files",
        "write every bundle and delta as plain files for a web server or object store",
        _export,
        example="rules export-files /srv/www",
    )
    export.add_argument(
        "folder", type=Path, help="the server's root; paths are those of the centre"
    )
    add_json_option(export)


def _release(command: argparse.ArgumentParser) -> None:
    command.add_argument("release", type=int, help="its version, as `rules list` shows it")
    add_token_option(command)
    add_json_option(command)


def _add_bundle(actions: Commands) -> None:
    bundle = actions.add_parser(
        "bundle",
        help="make the file that is signed where the release key is",
        description="Make the file that is signed where the release key is.",
        epilog="Example: tillside-central rules bundle build summer@2 --out summer.release",
    )
    add_centre_options(bundle)
    steps = bundle.add_subparsers(dest="step", required=True, metavar="STEP")
    build = add_centre_command(
        steps,
        "build",
        "write an approved draft as a file to be signed",
        _build,
        example="rules bundle build summer@2 --out summer.release",
    )
    build.add_argument("what", help="summer@2, or the version of a release to go out again")
    build.add_argument("--out", type=Path, required=True, help="the file to write")
    build.add_argument(
        "--activate-at",
        default="",
        metavar="YYYY-MM-DDTHH:MM:SS",
        help="local time of each store (default: at once)",
    )
    add_json_option(build)


def _add_pins(actions: Commands) -> None:
    for name, says, run in (
        ("pin", "give one till or store one release, whatever rings say", _pin),
        ("unpin", "let a till or store follow its rings again", _unpin),
    ):
        command = add_centre_command(
            actions, name, says, run, example=f"rules {name} --store 367" + " 12" * (name == "pin")
        )
        whom = command.add_mutually_exclusive_group(required=True)
        whom.add_argument("--till", help="its number")
        whom.add_argument("--store", help="its name")
        if name == "pin":
            command.add_argument("release", type=int, help="its version")
        add_token_option(command)
        add_json_option(command)


async def _build(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.rules.release_file import write_file
    from central.rules.releases import build_release
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        file = await build_release(
            connection, options.what, activate_at=options.activate_at, system=system
        )
    options.out.write_bytes(write_file(file))
    announced = file.announced
    found = {
        "version": announced.version,
        "bundle": announced.bundle,
        "draft": file.draft,
        "manifests": len(file.manifests),
    }
    text = f"{options.out}: version {announced.version} of {announced.bundle}, not signed yet"
    report(options, found, text)
    return 0


def _sign(options: argparse.Namespace) -> int:
    from central.keys import load_rule_key
    from central.rules.publishing import check_rules
    from central.rules.release_file import read_file, sign_file, write_file

    file = read_file(options.file.read_bytes())
    bundle = file.bundle()
    check_rules(bundle, "")
    key = load_rule_key(options.key)
    signed = sign_file(file, key)
    (options.out or options.file).write_bytes(write_file(signed))
    announced = signed.announced
    found = {
        "version": announced.version,
        "bundle": announced.bundle,
        "draft": signed.draft,
        "author": signed.author,
        "approver": signed.approver,
        "offers": len(bundle.offers),
        "key": key.public.hex(),
    }
    text = (
        f"signed version {announced.version}, {len(bundle.offers)} offers, {announced.bundle}\n"
        f"drafted by {signed.author or '-'}, approved by {signed.approver or '-'}; "
        f"{len(signed.manifests) - 1} manifests more to go back and forth with"
    )
    report(options, found, text)
    return 0


async def _ring(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.rules.releases import add_ring
    from central.rules.rings import read_ring
    from central.system import System

    system = System()
    wanted = read_ring(options.ring)
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        by = await find_acting(connection, options)
        done = await add_ring(connection, options.release, wanted, by=by, system=system)
    return _report_release(options, done)


async def _halt(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.rules.releases import authorise, halt
    from central.staff.persons import APPROVER
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        by = await authorise(connection, await find_acting(connection, options), APPROVER)
        done = await halt(connection, options.release, why=options.why, by=by, system=system)
    return _report_release(options, done)


async def _resume(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.rules.releases import resume
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        by = await find_acting(connection, options)
        done = await resume(connection, options.release, why=options.why, by=by, system=system)
    return _report_release(options, done)


async def _roll_back(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.rules.releases import roll_back
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        by = await find_acting(connection, options)
        done = await roll_back(connection, options.release, why=options.why, by=by, system=system)
    return _report_release(options, done)


async def _pin(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.rules.pinning import pin
    from central.system import System

    system, (scope, name) = System(), _whom(options)
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        by = await find_acting(connection, options)
        unable = await pin(connection, scope, name, options.release, by=by, system=system)
    found = {"scope": scope, "name": name, "release": options.release}
    text = f"{scope} {name} gets release {options.release} from now on" + _unable_text(unable)
    report(options, found | {"unable": msgspec.to_builtins(unable)}, text)
    return 0


async def _unpin(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.rules.pinning import unpin
    from central.system import System

    system, (scope, name) = System(), _whom(options)
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        by = await find_acting(connection, options)
        await unpin(connection, scope, name, by=by, system=system)
    report(options, {"scope": scope, "name": name}, f"{scope} {name} follows its rings again")
    return 0


def _whom(options: argparse.Namespace) -> "tuple[Scope, str]":
    return ("till", options.till) if options.till else ("store", options.store)


async def _export(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.rules.exporting import export_files
    from central.system import System

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        written = await export_files(connection, options.folder)
    report(options, {"files": written}, f"{written} files written, the rest was there")
    return 0


def _report_release(options: argparse.Namespace, release: "Release") -> int:
    import msgspec

    report(options, msgspec.to_builtins(release), release_text(release))
    return 0


def release_text(release: "Release") -> str:
    """Return a release's state for people: one line, and one more where tills are left behind."""
    text = f"release {release.version}: {release.state}"
    if release.state != "open":
        text += f" ({release.why})" if release.why else ""
    text += f", for {', '.join(release.rings) or 'nobody yet'}, {release.offers} offers"
    if release.programme:
        text += f" of {release.programme}"
    if release.draft:
        text += f", draft {release.draft} by {release.author}, approved by {release.approver}"
    if release.activate_at:
        text += f", active from {release.activate_at}"
    text += f"; {release.tills} tills have it, bundle {release.bundle[:12]}"
    if release.left_behind:
        text += f"\n  CANNOT BE BROUGHT BACK: {release.left_behind} tills, which sell on with it;"
        text += f" {release.remedy}"
    return text + _unable_text(release.unable)


def _unable_text(unable: "tuple[Unable, ...]") -> str:
    """Return which tills cannot take a release, a line for each reason."""
    text = ""
    for each in unable:
        named = ", ".join(map(str, each.named))
        rest = each.tills - len(each.named)
        more = f" and {rest:,} more" if rest else ""
        tills = f"till {named}" if each.tills == 1 else f"{each.tills:,} tills ({named}{more})"
        text += f"\n  CANNOT TAKE IT: {tills}: {each.says}"
    return text


def pin_text(pin: "Pin") -> str:
    """Return a pin as one line for people."""
    text = f"{pin.scope} {pin.name} is pinned to release {pin.release}"
    return text if pin.counts else f"{text}, which was taken away: its rings decide meanwhile"

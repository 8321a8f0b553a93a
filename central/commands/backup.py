"""`backup`: copies of the database, trying them, what they make durable, and putting one back."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from central.commands.acting import add_token_option, note_command
from central.commands.command import Commands, add_centre_command, add_json_option, report
from central.errors import CentralError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from central.config import CentralConfig
    from central.streams.durable import CopiedStream, Moved

_SHOWN_CHARACTERS: Final = 40


def add_backup(commands: Commands) -> None:
    """Declare the commands."""
    backup = commands.add_parser(
        "backup", help="copy the database, try a copy, say what is safe, put one back"
    )
    actions = backup.add_subparsers(dest="action", required=True, metavar="ACTION")
    make = add_centre_command(
        actions,
        "make",
        "copy the database into a folder while the centre serves",
        _make,
        example="backup make /mnt/backups",
    )
    make.add_argument("folder", type=Path, metavar="FOLDER", help="where copies are kept")
    drill = add_centre_command(
        actions,
        "drill",
        "put a copy into a database of its own, prove its ledger and throw it away again",
        _drill,
        example="backup drill /mnt/backups/tillside-20260305T020000Z.dump",
    )
    drill.add_argument(
        "--mark",
        action="store_true",
        help="and let tills forget, in time, what is in it: move the centre's durable mark there",
    )
    mark = add_centre_command(
        actions,
        "mark",
        "note that everything received before a moment is in copies that other programs made",
        _mark,
        example="backup mark 2026-03-05T02:00:00Z",
    )
    mark.add_argument(
        "time", type=_read_time, metavar="TIME", help="the moment, with its zone, not to come"
    )
    mark.add_argument(
        "--back",
        action="store_true",
        help="take marks back that are beyond it; what tills have forgotten does not come back",
    )
    restore = add_centre_command(
        actions,
        "restore",
        "put a copy into an empty database, for a centre to go on with",
        _restore,
        example="backup restore /mnt/backups/tillside-20260305T020000Z.dump --data ./centre",
    )
    for command in (drill, restore):
        command.add_argument("file", type=Path, metavar="FILE", help="a copy; its .json beside it")
    for command in (make, restore):
        command.add_argument(
            "--programs", type=Path, help="folder of pg_dump and pg_restore (default: the wheel's)"
        )
    for command in (drill, mark):
        add_token_option(command)
    for command in (make, drill, mark, restore):
        add_json_option(command)


def _read_time(text: str) -> datetime:
    said = f"{text[:_SHOWN_CHARACTERS]!r} has to look like 2026-03-05T02:00:00Z, with its zone"
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo:
            return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(said) from error
    raise argparse.ArgumentTypeError(said)


async def _make(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_server
    from central.database.backups import make_backup
    from central.system import System

    async with opened_server(config) as dsn:
        file, manifest = await make_backup(
            dsn, options.folder, now_ms=System().now_ms(), programs=options.programs
        )
    told = (
        f"{file}: {manifest.size_bytes:,} bytes, {manifest.totals['receipts']:,} receipts,"
        f" {manifest.totals['accounts']:,} accounts"
    )
    report(options, {"file": str(file), **msgspec.to_builtins(manifest)}, told)
    return 0


async def _drill(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.database.drill import drill
    from central.system import System

    drilled = await drill(options.file, config.folder, System())
    found = drilled.report
    told = (
        f"restored in {found.restore_ms / 1000:.1f} s, proven in {found.verify_ms / 1000:.1f} s"
        f" ({found.rows:,} rows); the copy is {found.age_s} s old"
    )
    said = msgspec.to_builtins(found)
    if not found.good:
        wrong = [f"{name}: {count} broken" for name, count in found.broken.items()]
        if found.totals != found.expected:
            wrong.append(f"it comes to {found.totals} and not to {found.expected}")
        told = "NOT GOOD: " + "; ".join(wrong)
    elif options.mark:
        moved = await _mark_copy(options, config, drilled.streams)
        said |= {"mark": msgspec.to_builtins(moved)}
        told += f"\n{_told(moved)}"
    report(options, said, told)
    return 0 if found.good else 1


async def _mark_copy(
    options: argparse.Namespace, config: "CentralConfig", streams: "Sequence[CopiedStream]"
) -> "Moved":
    from central.bootstrap import opened_database
    from central.streams.durable import mark_copy
    from central.system import System

    async with opened_database(config, System()) as pool:
        async with pool.acquire() as connection:
            await note_command(
                connection, options, "backup.mark", "streams", {"copy": options.file.name}
            )
        moved = await mark_copy(pool, streams)
    if streams and moved.strange == len(streams):
        raise CentralError("the copy is good, and none of this centre: no stream of it is here")
    return moved


async def _mark(options: argparse.Namespace, config: "CentralConfig") -> int:
    import msgspec

    from central.bootstrap import opened_database
    from central.streams.durable import LATE_MS, mark_received, require_past
    from central.system import System

    system = System()
    before_ms = int(options.time.timestamp() * 1000)
    require_past(before_ms, now_ms=system.now_ms())
    detail = {"before": options.time.isoformat(), "back": options.back}
    async with opened_database(config, system) as pool:
        async with pool.acquire() as connection:
            await note_command(connection, options, "backup.mark", "streams", detail)
        moved = await mark_received(pool, before_ms, may_go_back=options.back)
    until = datetime.fromtimestamp((before_ms - LATE_MS) / 1000, UTC)
    told = f"safe: what was received until {until:%Y-%m-%dT%H:%M:%SZ}; {_told(moved)}"
    report(options, msgspec.to_builtins(moved), told)
    return 0


def _told(moved: "Moved") -> str:
    parts = [f"the durable mark of {moved.streams:,} streams moved"]
    if moved.back:
        parts.append(
            f"of {moved.back:,} of them BACK: what their tills have forgotten is only here"
        )
    if moved.beyond:
        parts.append(f"of {moved.beyond:,} it is beyond that and stays (--back takes it back)")
    if moved.strange:
        parts.append(f"{moved.strange:,} streams of the copy are not as they are here")
    return "; ".join(parts)


async def _restore(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_server
    from central.database.backups import read_manifest, restore_backup
    from central.database.drill import prove
    from central.system import System

    manifest = await read_manifest(options.file)
    async with opened_server(config) as dsn:
        totals = await restore_backup(
            dsn,
            options.file,
            manifest,
            now_ms=System().now_ms(),
            with_roles=not config.database,
            programs=options.programs,
        )
        proof = await prove(dsn)
    broken = {check.name: check.broken for check in proof.checks if check.broken}
    good = totals == manifest.totals and not broken
    found = {"good": good, "made_at": manifest.made_at, "totals": totals, "broken": broken}
    told = (
        f"as of {manifest.made_at}: {totals['receipts']:,} receipts, ledger proven;"
        " tills send again what came after"
        if good
        else f"NOT GOOD: {found}"
    )
    report(options, found, told)
    return 0 if good else 1

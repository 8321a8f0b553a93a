"""`backup`: copies of the database, trying them, and putting one back."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from central.commands.command import Commands, add_centre_command, add_json_option, report

if TYPE_CHECKING:
    from central.config import CentralConfig


def add_backup(commands: Commands) -> None:
    """Declare the commands."""
    backup = commands.add_parser("backup", help="copy the database, try a copy, put one back")
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
    for command in (make, drill, restore):
        add_json_option(command)


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

    found = await drill(options.file, config.folder, System())
    told = (
        f"restored in {found.restore_ms / 1000:.1f} s, proven in {found.verify_ms / 1000:.1f} s"
        f" ({found.rows:,} rows); the copy is {found.age_s} s old"
    )
    if not found.good:
        wrong = [f"{name}: {count} broken" for name, count in found.broken.items()]
        if found.totals != found.expected:
            wrong.append(f"it comes to {found.totals} and not to {found.expected}")
        told = "NOT GOOD: " + "; ".join(wrong)
    report(options, msgspec.to_builtins(found), told)
    return 0 if found.good else 1


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

"""Tries a copy: puts it into a PostgreSQL of its own, proves the ledger, throws it away again."""

import asyncio
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from central.database.backups import Manifest, read_manifest, restore_backup
from central.database.embedded import start_embedded
from central.database.pool import open_pool
from central.ledger.verify import LedgerProof, verify_ledger
from central.streams.durable import CopiedStream, read_copied
from central.system import System

_PREFIX: Final = "drill-"


class DrillReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of putting a copy back.

    Attributes:
        good: its totals are those that were copied, and the ledger is proven.
        age_s: how old the copy is: what happened since is with the tills alone.
        restore_ms, verify_ms: how long it took until the centre could have served, and been sure.
        totals, expected: what was counted in it, and what its manifest says.
        broken: checks of the ledger that failed, with how many rows.
        rows: that were added up to prove it.
    """

    good: bool
    made_at: str
    age_s: int
    size_bytes: int
    restore_ms: int
    verify_ms: int
    totals: dict[str, int]
    expected: dict[str, int]
    broken: dict[str, int]
    rows: int


@dataclass(frozen=True, slots=True)
class Drilled:
    """A report, and the streams of tills as they were found in the copy."""

    report: DrillReport
    streams: list[CopiedStream]


async def drill(dump: Path, folder: Path, system: System) -> Drilled:
    """Put a copy back beside the centre, which goes on serving.

    Args:
        folder: where there is room for it; what is made there is removed again.

    Raises:
        BackupError: the copy is damaged or cannot be put back.
        DatabaseUnavailableError: no PostgreSQL can be started there.
    """
    manifest = await read_manifest(dump)
    scratch = _scratch(folder)
    try:
        server = await asyncio.to_thread(start_embedded, scratch / "postgres", durable=False)
        try:
            return await _try(server.dsn, dump, manifest, system)
        finally:
            await asyncio.to_thread(server.stop)
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


def _scratch(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
    # Root's server runs as an account that has to pass.
    scratch.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return scratch


async def _try(dsn: str, dump: Path, manifest: Manifest, system: System) -> Drilled:
    began_ms = system.monotonic_ms()
    totals = await restore_backup(
        dsn, dump, manifest, now_ms=system.now_ms(), with_roles=True
    )  # fmt: skip
    restored_ms = system.monotonic_ms()
    proof = await prove(dsn)
    broken = {check.name: check.broken for check in proof.checks if check.broken}
    made_ms = _made_ms(manifest)
    verified_ms = system.monotonic_ms()
    report = DrillReport(
        good=proof.balanced and totals == manifest.totals,
        made_at=manifest.made_at,
        age_s=max(system.now_ms() - made_ms, 0) // 1000,
        size_bytes=manifest.size_bytes,
        restore_ms=restored_ms - began_ms,
        verify_ms=verified_ms - restored_ms,
        totals=totals,
        expected=manifest.totals,
        broken=broken,
        rows=proof.rows,
    )
    return Drilled(report, await _streams(dsn))


async def _streams(dsn: str) -> list[CopiedStream]:
    pool = await open_pool(dsn, connections_max=1)
    try:
        async with pool.acquire() as connection:
            return await read_copied(connection)
    finally:
        await pool.close()


async def prove(dsn: str) -> LedgerProof:
    """Prove the ledger of a database."""
    pool = await open_pool(dsn, connections_max=1)
    try:
        async with pool.acquire() as connection:
            return await verify_ledger(connection, is_patient=True)
    finally:
        await pool.close()


def _made_ms(manifest: Manifest) -> int:
    return int(datetime.fromisoformat(manifest.made_at).timestamp() * 1000)

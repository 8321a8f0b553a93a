"""Bundles and deltas as plain files, under the paths tills ask the centre for.

Any web server, object store or CDN in front of `/v1/bundles/` can then serve them: names are
hashes, files never change, and tills check what they get.
"""

import os
from pathlib import Path

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.rules.deltas import name_of_delta
from sync.cycle import PATH_BUNDLE

_SQL = load_queries("central.rules", "queries.sql")


async def export_files(connection: Connection, folder: Path) -> int:
    """Write what is missing; returns how many files were written."""
    root = folder / PATH_BUNDLE.strip("/")
    root.mkdir(parents=True, exist_ok=True)
    written = 0
    for row in await connection.fetch(_SQL["bundle_names"]):
        name = name_of_delta(row["bundle"], row["base"]) if row["base"] else row["bundle"]
        if (root / name).exists():
            continue
        if row["base"]:
            content = await connection.fetchval(_SQL["delta"], row["bundle"], row["base"])
        else:
            content = await connection.fetchval(_SQL["content"], row["bundle"])
        _write(root / name, content)
        written += 1
    return written


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a server never shows a part of it."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)

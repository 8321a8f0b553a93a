"""The centre's copy of the root documents, and the release keys they name.

Without any, the keys in `rules.pub` of the data folder may sign, which is for trials.
"""

from collections.abc import Mapping

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import BadRequestError
from central.staff.audit import note
from central.system import System
from sync.errors import MalformedMessageError, SignatureError
from sync.roots import RootDocument, SignedRoot, follow, read_root, write_root

_SQL = load_queries("central.rules", "queries.sql")


async def find_root(connection: Connection) -> SignedRoot | None:
    """Return the newest root document; None where none was ever installed."""
    content = await connection.fetchval(_SQL["root"])
    return read_root(content) if content is not None else None


async def list_roots(connection: Connection) -> tuple[bytes, ...]:
    """Return all root documents, the first one first."""
    return tuple(row["document"] for row in await connection.fetch(_SQL["roots"]))


async def install_root(
    connection: Connection, content: bytes, *, by: str, system: System
) -> RootDocument:
    """Keep a root document after checking that it follows the one before; tills take it next.

    Raises:
        BadRequestError: it is none, does not follow, or too few keys have signed it.
    """
    async with connection.transaction():
        await connection.execute(_SQL["lock_releases"])
        before = await find_root(connection)
        try:
            signed = read_root(content)
            if before is not None and signed.document == before.document:
                return before.root()
            root = follow(before.root() if before else None, signed)
        except (MalformedMessageError, SignatureError) as error:
            raise BadRequestError("root", str(error)) from error
        now_ms = system.now_ms()
        await connection.execute(_SQL["insert_root"], root.version, write_root(signed), now_ms)
        await note(
            connection, person=by, action="rules.root", subject=f"root:{root.version}",
            detail=msgspec.to_builtins(root), now_ms=now_ms,
        )  # fmt: skip
    return root


async def release_keys(connection: Connection, trial: tuple[bytes, ...]) -> Mapping[bytes, int]:
    """Return the keys that may sign now, with their generations.

    Args:
        trial: used while there is no root document; generation 0.
    """
    signed = await find_root(connection)
    return signed.root().generations() if signed else dict.fromkeys(trial, 0)

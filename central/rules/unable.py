"""Tills that should have a release and cannot take it, as far as the centre knows.

Asked when somebody moves a release, so that what does not arrive is known before it is missed. A
release says nowhere which software it needs: what tills refused says it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import asyncpg

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.rules.ways import Number, Standing, TillRules, Ways, in_turn, read_ways

_SQL = load_queries("central.rules", "unable.sql")

SILENT_MS: Final = 86_400_000
NAMED_MAX: Final = 20

Why = Literal["refused", "software", "version", "silent"]
_SAYS: Final[dict[Why, str]] = {
    "refused": "refused after the self-test",
    "software": "on software under which tills refused it and none has taken it",
    "version": "beyond every manifest signed for it: rules publish {release} --ring RING",
    "silent": "not heard of for a day or longer; taken when heard again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unable:
    """Tills that cannot take a release for one reason.

    Attributes:
        says: the reason, in words; with what one of them said, or the software.
        tills: how many.
        named: their numbers, the first `NAMED_MAX`.
    """

    why: Why
    says: str
    tills: int
    named: tuple[int, ...]


async def find_unable(
    connection: Connection, version: int, *, now_ms: int, scope: tuple[str, str] | None = None
) -> tuple[Unable, ...]:
    """Return tills that should have a release, now or in turn, and cannot take it, by reason.

    Args:
        scope: `till` or `store`, and its name: of these tills alone.

    Returns:
        Nothing for a release that is nobody's.
    """
    ways = await read_ways(connection, now_ms)
    release = _find(ways, version)
    if release is None:
        return ()
    signed = ways.signed.get(release.bundle, ())
    last = signed[-1] if signed else (0, 0)
    rows = await connection.fetch(_SQL["refusing_software"], release.bundle)
    software = [row["software"] for row in rows]
    found: dict[Why, list[int]] = {why: [] for why in _SAYS}
    more: dict[Why, str] = {}
    for row in await connection.fetch(
        _SQL["in_doubt"], release.bundle, release.programme, software, now_ms - SILENT_MS, *last
    ):
        till = _till(row)
        now, coming = in_turn(ways.wishes(till), now_ms)
        is_its_own = any(each.bundle == release.bundle for each in (now, *coming) if each)
        if not is_its_own or not _is_of(scope, row):
            continue
        why = _why(row, release.bundle, signed, software)
        if why is not None:
            found[why].append(till.till_id)
            more.setdefault(why, _more(row, why))
    return tuple(
        Unable(
            why=why,
            says=_SAYS[why].format(release=version) + more[why],
            tills=len(tills),
            named=tuple(tills[:NAMED_MAX]),
        )
        for why, tills in found.items()
        if tills
    )


def _find(ways: Ways, version: int) -> Standing | None:
    known = (*ways.standing, *ways.pins.values())
    return next((each for each in known if each.version == version), None)


def _till(row: asyncpg.Record) -> TillRules:
    return TillRules(
        row["till_id"], row["store_id"], row["region"], row["bundle"],
        (row["generation"], row["version"]), programme=row["programme"],
    )  # fmt: skip


def _is_of(scope: tuple[str, str] | None, row: asyncpg.Record) -> bool:
    return scope in (None, ("till", str(row["till_id"])), ("store", row["store_id"]))


def _why(
    row: asyncpg.Record, bundle: str, signed: Sequence[Number], software: Sequence[str]
) -> Why | None:
    """Return why a till cannot take a bundle, the gravest reason; None where it has taken it.

    Args:
        signed: manifests that name the bundle, rising.
        software: of tills that refused it.
    """
    taken = (row["generation"], row["version"])
    if row["refused"] == bundle:
        return "refused"
    if taken in signed:
        return None  # it waits for its moment there
    if row["software"] in software:
        return "software"
    return "version" if taken > (signed[-1] if signed else (0, 0)) else "silent"


def _more(row: asyncpg.Record, why: Why) -> str:
    """Return what one of the tills adds to a reason."""
    if why == "refused":
        return f": {row['why']}" if row["why"] else ""
    return f": {row['software']}" if why == "software" else ""

"""Tills that sell with rules that were taken away, and that nothing signed can bring back.

Counted by what each till said it took last, or was told since; whoever was told counts as having
taken it. Most tills are judged together: where a release for everybody has a manifest they can
take, they come back at their next talk, or at its moment where nothing else is left to them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.rules.moments import FOR_EVER
from central.rules.rings import EVERYWHERE
from central.rules.ways import Standing, TillRules, Ways, read_ways

_SQL = load_queries("central.rules", "left_behind.sql")


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Tills of one content that stay with it.

    Attributes:
        release: that brought it last.
        again: releases they should have; published again they are taken.
    """

    release: int
    tills: int
    again: tuple[int, ...]

    def remedy(self) -> str:
        """Return what brings them back."""
        if not self.again:
            return "nothing else is published for them: publish good rules"
        commands = "; ".join(f"rules publish {version} --ring RING" for version in self.again)
        return f"publish again what they should have: {commands}"


NOBODY = LeftBehind(0, 0, ())


async def find_left_behind(connection: Connection) -> Mapping[str, LeftBehind]:
    """Return tills that cannot be brought back, by the bundle they have."""
    ways = await read_ways(connection)
    if not ways.gone:
        return {}
    found: dict[str, list[Standing | None]] = {}
    for row in await connection.fetch(_SQL["tills_that_have"], sorted(ways.gone)):
        if not _all_come_back(ways, row):
            tills = (_till(row, till_id) for till_id in row["till_ids"])
            left = (
                next(ways.wishes(each), None) for each in tills if ways.way(each, FOR_EVER) is None
            )
            found.setdefault(row["bundle"], []).extend(left)
    return {
        bundle: LeftBehind(
            ways.gone[bundle], len(each), tuple(sorted({wish.version for wish in each if wish}))
        )
        for bundle, each in found.items()
        if each
    }


def _all_come_back(ways: Ways, row: asyncpg.Record) -> bool:
    """Say whether a release for everybody has a manifest that these tills can take."""
    till = _till(row, 0)
    return any(
        EVERYWHERE in each.rings
        and each.programme == row["programme"]
        and each.bundle != row["refused"]
        and ways.number(each, till, FOR_EVER) is not None
        for each in ways.standing
    )


def _till(row: asyncpg.Record, till_id: int) -> TillRules:
    return TillRules(
        till_id, row["store_id"], row["region"], row["bundle"],
        (row["generation"], row["version"]),
        refused=row["refused"], programme=row["programme"],
    )  # fmt: skip

"""Checks what tills take accounts for, beside what the centre says of them."""

from collections import Counter, defaultdict
from typing import Any

import msgspec

from tests.simulation.audit_queries import POINTS_OVER
from tests.simulation.audited import World
from tests.simulation.chronicle import require


async def caches_are_true(world: World) -> None:
    """Every till knows the accounts its store keeps as the centre has them.

    Nobody tells a till that the time of points is over: what it shows was so on some day.
    """
    over: dict[int, list[range]] = defaultdict(lambda: [range(1)])
    sums: Counter[tuple[int, str]] = Counter()
    for row in await world.pool.fetch(POINTS_OVER):
        account_id = row["account_id"]
        sums[account_id, "over"] += row["points"]
        sums[account_id, "lent"] += row["lent"]
        most = sums[account_id, "over"]
        over[account_id].append(range(most - sums[account_id, "lent"], most + 1))
    for number, till in world.tills.items():
        if world.is_revoked(till) or number in world.dead:
            continue
        known: dict[bytes, tuple[int, str]] = {}
        for card, points, tier in (
            _account(row) for row in till.cache_rows("select card, body from account")
        ):
            known[card] = points, tier
        rows = await world.pool.fetch(
            "select c.card, a.account_id, a.tier, a.posted from card c"
            " join account a using (account_id) join store_interest s using (account_id)"
            " join till t using (store_id) where t.till_id = $1",
            till.number,
        )
        for row in rows:
            points, tier = known.get(row["card"], (-1, ""))
            gone = row["posted"] - points
            require(
                tier == row["tier"] and any(gone in each for each in over[row["account_id"]]),
                f"{till.name} takes account {row['account_id']} for {known.get(row['card'])},"
                f" it has {row['posted']}",
            )


def _account(row: tuple[Any, ...]) -> tuple[bytes, int, str]:
    body = msgspec.msgpack.decode(row[1])
    return row[0], body["points"] + body["held_points"], body["snapshot"].get("tier", "")

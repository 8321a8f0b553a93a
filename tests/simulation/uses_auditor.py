"""Checks uses of offers with a limit: paper, the books, and what tills count for themselves."""

import json
from collections import Counter, defaultdict
from typing import Any

import msgspec

from tests.simulation.audit_queries import CAMPAIGNS
from tests.simulation.audited import World
from tests.simulation.chronicle import require

_SHARED = ("campaign.", "account.")
"""How counters begin that tills draw on by grants."""

USES_MAX = 2
"""Of the offer `welcome` by one account; tills that do not hear of each other may give more."""


class UsesAuditor:
    """Audits uses in one world at rest."""

    def __init__(self, world: World, seen: Counter[str]) -> None:
        """Audit a world.

        Args:
            seen: takes counts of rare things.
        """
        self._world = world
        self._seen = seen

    async def audit_rest(self) -> None:
        """Check what holds when everything that can arrive has arrived.

        Raises:
            ViolationError: something does not.
        """
        await self._counters_are_what_paper_says()
        await self._campaigns_gave_no_more_than_they_have()
        await self._own_counts_are_told()
        await self._tills_remember_their_own_uses()

    async def _counters_are_what_paper_says(self) -> None:
        """Printed receipts that did not come back whole explain every use of a limited offer."""
        pool, paper = self._world.pool, self._world.paper
        wanted: dict[int, int] = defaultdict(int)
        unclear: set[int | None] = set()
        for row in await pool.fetch("select sale_key, account_id, counted from receipt"):
            printed = paper.sales.get(row["sale_key"])
            if printed is None or row["sale_key"] in paper.destroyed:
                unclear.add(row["account_id"])
            elif row["counted"]:
                wanted[printed.account] += printed.counted.get("uses:welcome", 0)
        for row in await pool.fetch(
            "select a.account_id, coalesce(value, 0) as value from account a"
            " left join account_counter c on c.account_id = a.account_id and name = 'uses:welcome'"
        ):
            account_id = row["account_id"]
            require(
                account_id in unclear or row["value"] == wanted[account_id],
                f"account {account_id} used {row['value']}, paper says {wanted[account_id]}",
            )
            self._seen["offer used more often than its limit"] += row["value"] > USES_MAX

    async def _campaigns_gave_no_more_than_they_have(self) -> None:
        """Tills that hear of nobody give only what was set aside for them (design: sync 1.2)."""
        pool = self._world.pool
        used, came_back = await self._campaign_uses()
        for row in await pool.fetch(CAMPAIGNS):
            # A use that came back whole is one that may be given again; the product takes it off
            # what it has overdrawn first, so that `taken_back` alone does not hold all of them.
            name, net = row["name"], used[row["name"]] - came_back[row["name"]]
            most = row["most"] + row["overdrawn"]
            require(net <= most, f"{name}: {used[name]} less {came_back[name]} of {most}")
            require(net == row["net"], f"{name}: {net} given and kept, {row['net']} in the books")
            if row["overdrawn"]:
                is_past = self._world.restored or self._world.failed_over_ms >= 0
                require(is_past, f"{name} was overdrawn by {row['overdrawn']}")
        for name, uses in used.items():
            self._seen[f"{name.partition('.')[0]} offer given"] += uses

    async def _campaign_uses(self) -> tuple[Counter[str], Counter[str]]:
        """Return uses of shared limits on posted receipts, and of those that came back whole.

        As printed; of a receipt nobody holds in hand, as posted.
        """
        pool, paper = self._world.pool, self._world.paper
        gone: dict[str, Counter[str]] = defaultdict(Counter)
        for row in await pool.fetch("select sale_key, line_id, quantity from returned_line"):
            gone[row["sale_key"]][row["line_id"]] += row["quantity"]
        used: Counter[str] = Counter()
        came_back: Counter[str] = Counter()
        for row in await pool.fetch(
            "select sale_key, convert_from(calculation, 'utf8') as body from receipt"
        ):
            key, printed = row["sale_key"], paper.sales.get(row["sale_key"])
            if printed is not None and key not in paper.destroyed:
                counted = printed.counted
                sold = {line_id: line.quantity for line_id, line in printed.lines.items()}
            else:
                posted = json.loads(row["body"])
                counted = {each["counter"]: each["plus"] for each in posted["counted"]}
                sold = {line["line_id"]: line["quantity"] for line in posted["lines"]}
            of_shared = {k: v for k, v in counted.items() if k.startswith(_SHARED)}
            used.update(of_shared)
            if all(gone[key][line_id] == quantity for line_id, quantity in sold.items()):
                came_back.update(of_shared)
        return used, came_back

    async def _own_counts_are_told(self) -> None:
        """No till adds to an account what the account as told holds already."""
        pool = self._world.pool
        for number, till in self._world.tills.items():
            if self._world.is_revoked(till) or number in self._world.dead:
                continue
            numbers: dict[bytes, int] = dict(
                till.journal_rows("select incarnation, incarnation_number from stream")
            )
            own: dict[int | bytes, list[tuple[bytes, int]]] = defaultdict(list)
            for card, account_id, *at in till.journal_rows(
                "select distinct card, account_id, incarnation, seq from own_count"
            ):
                own[account_id or card].append((at[0], at[1]))
            kept = await pool.fetch(
                "select c.card, account_id from card c join store_interest s using (account_id)"
                " join till t using (store_id) where t.till_id = $1",
                till.number,
            )
            told: dict[bytes, bytes] = dict(till.cache_rows("select card, applied from account"))
            for row in kept:
                applied = msgspec.msgpack.decode(told[row["card"]])
                for incarnation, seq in own[row["account_id"]] + own[row["card"]]:
                    require(
                        _holds(applied, numbers, incarnation, seq),
                        f"{till.name} counts its record {seq} twice: {applied}",
                    )

    async def _tills_remember_their_own_uses(self) -> None:
        """While a journal lives, its till knows of each use it gave a card; returns aside."""
        taken_back = {
            row["sale_key"]
            for row in await self._world.pool.fetch("select distinct sale_key from returned_line")
        }
        seen: set[str] = set()
        last = ""
        uses: dict[tuple[int, str], int] = defaultdict(int)
        for row in await self._world.pool.fetch(
            "select i.till_id, incarnation, convert_from(body, 'utf8') as body from inbox i"
            " join till_stream s using (till_id, incarnation) where not branch"
            " order by i.till_id, s.incarnation_number, i.seq"
        ):
            record = json.loads(row["body"])
            if record["kind"] == "open" and record.get("previous_incarnation") != last:
                uses.clear()  # another till, or a journal begun anew: what it knew is gone
            last = row["incarnation"].hex()
            key, card = record.get("key", ""), record.get("card", "")
            if record["kind"] != "sale" or not card or key in seen:
                continue
            if row["till_id"] in self._world.revoked:
                continue  # what it took back it no longer counts, and the centre does
            seen.add(key)
            knew = record["inputs"]["account"]["counters"].get("uses:welcome", 0)
            given = uses[row["till_id"], card]
            require(knew >= given, f"till {row['till_id']} gave {given} uses, {key} knows {knew}")
            counted = {each["counter"] for each in record["calculation"]["counted"]}
            if row["till_id"] in self._world.came_back or row["till_id"] in self._world.restored:
                continue  # what it gave between image and return it does not remember
            if "uses:welcome" in counted and key not in taken_back:
                uses[row["till_id"], card] += 1


def _holds(
    applied: list[dict[str, Any]], numbers: dict[bytes, int], incarnation: bytes, seq: int
) -> bool:
    """Say whether an account told with `applied` holds a record."""
    for stream in applied:
        if stream["incarnation"] == incarnation:
            return seq <= stream["through"] and seq not in stream["waiting"]
    told_in = numbers.get(applied[0]["incarnation"], 0) if applied else 0
    return numbers[incarnation] < told_in

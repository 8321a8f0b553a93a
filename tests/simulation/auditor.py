"""Checks a world against the registers' paper and shares no rule with the product.

Two kinds of check: what holds at every moment (`audit`), and what holds once everything that
can arrive has arrived (`audit_rest`). It reads tables by SQL and records as JSON.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from sync.limits import RECORD_BYTES_MAX
from sync.packing import unpack
from tests.simulation.audit_queries import (
    ALL_ALWAYS,
    ALWAYS,
    AT_REST,
    INGESTED_KEYS,
    LINES_ANEW,
    LINES_SOLD,
    NEW_RECORDS,
    PAID_BEYOND_RISK,
    RARE,
    STREAMS,
    UNDECIDED,
)
from tests.simulation.audited import Rows, TillFiles, World
from tests.simulation.caches_auditor import caches_are_true
from tests.simulation.centre import BEGINNING_MS
from tests.simulation.chronicle import require
from tests.simulation.paper import PaperReturn
from tests.simulation.uses_auditor import UsesAuditor

_TAKEN_AHEAD = {"grant_in", "counter_in"}
_TAKEN_ANEW = {"open", *_TAKEN_AHEAD}
"""Records with which a stream begins; of what they take the centre knows without them."""

_BEGINS_ANEW = (
    "image restored", "journal spoiled", "machine copied", "copy switched off", "machine lost",
)  # fmt: skip
_DECIDED_MS = 36 * 3_600_000
"""Longer than a centre that stalls for hours, and works in small pieces after, leaves a record."""
STREAMS_PER_FAULT = 8
"""Of a copy both machines begin anew, more than once, until the centre has understood."""


class Auditor:
    """Audits one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._heads: dict[tuple[int, bytes], tuple[int, bytes]] = {}
        self._parked: set[int] = set()
        self._seen: Counter[str] = Counter()

    async def audit(self) -> None:
        """Check what holds at every moment.

        Raises:
            ViolationError: something does not.
        """
        pool = self._world.pool
        uncovered = await pool.fetchval("select uncovered from risk_pool")
        require(uncovered <= self._world.uncovered, f"the pool could not pay {uncovered} points")
        async with pool.acquire() as connection, connection.transaction():
            # Whole tables are joined, of whose size the planner knows nothing yet.
            await connection.execute(f"set local enable_nestloop = off; {LINES_SOLD}")
            rows = await connection.fetch(ALL_ALWAYS)
        counts = {row["number"]: row["count"] for row in rows}
        for number, text in enumerate(ALWAYS):
            require(counts[number] == 0, f"{text} ({counts[number]})")
        streams = await pool.fetch(STREAMS)
        await self._chains(streams)
        self._streams_are_explained(streams)
        await self._rights_are_covered(streams)
        await self._the_pool_pays_no_more_than_was_risked()
        await self._posted_was_completed()
        now_ms = BEGINNING_MS + self._world.chronicle.now_ms
        undecided = await pool.fetchval(UNDECIDED, now_ms - _DECIDED_MS)
        require(undecided == 0, f"{undecided} records wait for days to be decided")
        rows = await pool.fetch("select arrival from inbox where parked_for is not null")
        self._parked |= {row["arrival"] for row in rows}
        self._world.chronicle.figures["audits"] += 1

    def forget(self) -> None:
        """The centre was thrown back: what was seen of it is no more."""
        self._heads.clear()
        self._parked.clear()

    async def _chains(self, streams: Iterable[Any]) -> None:
        """Every stream at the centre is one chain from its first link to its head."""
        known = [(*stream, seq) for stream, (seq, _) in self._heads.items()]
        columns = [list(column) for column in zip(*known, strict=True)] or [[], [], []]
        for till_id, incarnation, seq, link, body in await self._world.pool.fetch(
            NEW_RECORDS, *columns
        ):
            last_seq, last_link = self._head(till_id, incarnation)
            wanted = last_seq + 1, hashlib.sha256(last_link + body).digest()
            require((seq, link) == wanted, f"till {till_id}: chain at {last_seq + 1}")
            self._heads[till_id, incarnation] = wanted
        for row in streams:
            head = self._head(row["till_id"], row["incarnation"])
            told = row["last_seq"], row["last_hash"]
            require(told == head, f"till {row['till_id']}: head of its stream")

    def _streams_are_explained(self, streams: Iterable[Any]) -> None:
        """A till has begun no more streams than what befell its disk, or the centre, explains."""
        chronicle = self._world.chronicle
        befell: Counter[int] = Counter()
        for till in self._world.tills.values():
            befell[till.number] += sum(chronicle.touched[kind, till.name] for kind in _BEGINS_ANEW)
        for till_id, begun in Counter(row["till_id"] for row in streams).items():
            most = 1 + STREAMS_PER_FAULT * (befell[till_id] + chronicle.faults["failover"])
            require(begun <= most, f"till {till_id} has begun {begun} streams, {most} explained")

    def _head(self, till_id: int, incarnation: bytes) -> tuple[int, bytes]:
        """Return number and hash of the last record of a stream that was looked at."""
        known = self._heads.get((till_id, incarnation))
        if known is not None:
            return known
        start = b"tillside-stream/1" + till_id.to_bytes(8, "big") + incarnation
        return 0, hashlib.sha256(start).digest()

    # Rights on tills are inside what the centre holds for them (design: sync I5)

    async def _rights_are_covered(self, all_streams: Iterable[Any]) -> None:
        """What tills have of a grant, or spent and told nobody yet, the centre holds for them."""
        pool = self._world.pool
        held: Counter[str] = Counter()
        for row in await pool.fetch(
            "select grant_id, points, session, outstanding, exposure from right_grant"
        ):
            held[row["grant_id"]] = row["outstanding"] + row["exposure"]
            if row["session"] in self._world.asks_seen_twice:
                held[row["grant_id"]] += row["points"]
        posted = {row["sale_key"] for row in await pool.fetch("select sale_key from receipt")}
        told: set[object] = set()
        out: Counter[str] = Counter()
        for till in self._world.tills.values():
            till_id = till.number
            if not till.catch_up() or till_id in self._world.revoked:
                continue
            if till.greeted_ms <= self._world.failed_over_ms:
                continue  # it does not know yet that the centre forgot
            streams = [row for row in all_streams if row["till_id"] == till_id]
            current = till.journal_rows(
                "select incarnation from stream order by incarnation_number desc limit 1"
            )[0][0]
            strange = till.journal_rows(
                "select grant_id, points_left from held_right where points_left > 0"
                f" and incarnation <> x'{current.hex()}'"
            )
            require(not strange, f"{till.name} holds rights of a stream that is over: {strange}")
            if current in self._world.old_streams:
                continue  # what it still spends is bounded, not covered
            here, risk = self._out_at(till, streams, posted, told)
            out.update(here)
            # Facts that a new stream repeats were paid for by the budget of the one before.
            budget = sum(row["risk"] for row in streams) + self._world.restored[till_id]
            require(risk <= budget, f"{till.name} may still risk {risk}, its budget is {budget}")
        for grant_id, points in sorted(out.items()):
            require(
                points <= held[grant_id] + self._world.rights_seen_twice[grant_id]
                or grant_id in self._world.forgotten,
                f"tills have or spent {points} points of right {grant_id},"
                f" the centre holds {held[grant_id]}",
            )

    def _out_at(
        self,
        till: TillFiles,
        streams: Iterable[Any],
        posted: set[str],
        told: set[object],
    ) -> tuple[dict[str, int], int]:
        """Return what a till holds, reserved or spent unknown to the ledger, by right; and risk.

        A sale of a stream that ended is in the next one again, and in that of a copied machine:
        whichever comes first is posted, and the others spend nothing (design: sync 5, I3).

        Args:
            told: receipts and records of other machines, grows; what a copied machine has, too, is
                one.
        """
        out: dict[str, int] = defaultdict(int)
        origin = "coalesce((select t.grant_id from transfer_taken t where transfer_id = r.grant_id)"
        for grant_id, points in till.journal_rows(
            f"select {origin}, r.grant_id), points_left from held_right r"
        ):
            out[grant_id] += points
        for grant_id, points in till.journal_rows(
            f"select {origin}, r.grant_id), points from reservation r"
        ):
            if grant_id:
                out[grant_id] += points
        risk = till.journal_rows("select points_total - points_spent from risk_budget")[0][0]
        reserved = "select coalesce(sum(points), 0) from reservation where grant_id = ''"
        risk += till.journal_rows(reserved)[0][0]
        known = {row["incarnation"]: (row["last_seq"], set(row["waiting"])) for row in streams}
        current = till.journal_rows("select max(incarnation_number) from stream")[0][0]
        for number, incarnation, seq, body in till.journal_rows(
            "select incarnation_number, incarnation, seq, body from record"
            " join stream using (incarnation) where kind in ('sale', 'grant_return')"
        ):
            last_seq, waiting = known.get(incarnation, (0, set()))
            if number != current or (seq <= last_seq and seq not in waiting):
                continue
            record = json.loads(unpack(body, bytes_max=RECORD_BYTES_MAX))
            known_by = record.get("key") or (incarnation, seq, body)
            is_first = known_by not in told
            told.add(known_by)
            if record["kind"] == "grant_return" and is_first:
                out[record["grant_id"]] += record["points"]
            is_posted = record.get("key") in posted
            for source in () if is_posted else record.get("sources", ()):
                if source["kind"] == "risk":
                    risk += source["points"]
                elif is_first:
                    out[source["grant_id"]] += source["points"]
        return {grant_id: points for grant_id, points in out.items() if points}, risk

    async def _the_pool_pays_no_more_than_was_risked(self) -> None:
        """What is spent twice is at most what a restored image held (design: sync 5, I1)."""
        # By store: what one till of it held twice another may spend.
        store_of = {till.number: till.store for till in self._world.tills.values()}
        restored: Counter[str] = Counter()
        for till_id, points in self._world.restored.items():
            restored[store_of[till_id]] += points
        beyond: Counter[str] = Counter()
        for row in await self._world.pool.fetch(PAID_BEYOND_RISK):
            beyond[store_of[row["till_id"]]] += row["points"]
        written_off: Counter[str] = Counter()
        for row in await self._world.pool.fetch(
            "select till_id, sum(written_off)::bigint as points from right_grant"
            " where written_off > 0 group by till_id"
        ):
            written_off[store_of[row["till_id"]]] += row["points"]
        for store, points in beyond.items():
            most = restored[store] + written_off[store]
            require(points <= most, f"{store} spent {points} twice, {most} at most")
        if sum(beyond.values()) > sum(written_off.values()):
            self._world.chronicle.sometimes["spent twice after an undetected restore"] += 1

    # Paper and ledger

    async def _posted_was_completed(self) -> None:
        paper = self._world.paper
        rows = await self._world.pool.fetch(
            "select sale_key, account_id, redeemed_points, earned_points, paid_minor from receipt"
        )
        for row in rows:
            key = row["sale_key"]
            require(key in paper.tried, f"receipt {key} was posted and never completed at a till")
            printed = paper.sales.get(key)
            if printed is not None and key not in paper.destroyed:
                posted = (row["account_id"] or 0, *row[2:])
                wanted = (printed.account, printed.redeemed, printed.earned, printed.paid_minor)
                require(posted == wanted, f"receipt {key} posted {posted}, printed {wanted}")

    def printed(self, till: TillFiles, key: str, durable: Callable[[str], Rows]) -> None:
        """Check at the moment of printing that the paper's record survives anything."""
        sql = (
            f"select 1 from record where kind in ('sale', 'refund') and subject = '{key}'"
            f" union all select 1 from noted_sale where receipt_id = '{key}'"
        )
        require(durable(sql), f"{till.name} printed {key} before it was durable")

    # At rest

    async def audit_rest(self) -> None:
        """Check what holds when everything that can arrive has arrived.

        Raises:
            ViolationError: something does not.
        """
        await self._world.pool.execute(LINES_ANEW)
        # Counted once the world is at rest: an attempt that fails is made again.
        self._seen.clear()
        await self.audit()
        for text, sql in AT_REST.items():
            count = await self._world.pool.fetchval(sql)
            require(count == 0, f"{text} ({count})")
        await self._all_is_acknowledged()
        await self._copies_have_arrived()
        await self._printed_is_posted()
        await self._returned_is_posted()
        await self._accounts_are_what_paper_says()
        await self._nothing_is_held_for_finished_receipts()
        await caches_are_true(self._world)
        await UsesAuditor(self._world, self._seen).audit_rest()
        await self._count_rare_things()
        self._world.chronicle.sometimes += self._seen

    async def _all_is_acknowledged(self) -> None:
        for number, till in self._world.tills.items():
            if number in self._world.dead:
                continue
            require(till.catch_up(), f"{till.name} does not start")
            rows = till.journal_rows(
                "select last_seq, acked_seq, incarnation from stream"
                " order by incarnation_number desc limit 1"
            )
            _, acked_seq, incarnation = rows[0]
            waiting = till.journal_rows(
                "select kind from record"
                f" where incarnation = x'{incarnation.hex()}' and seq > {acked_seq}"
            )
            # What a till takes ahead when it has told all is told next time; and two machines of
            # one till end each other's streams as often as they hear each other. Nothing that a
            # customer has on paper, and nothing that goes home, may wait.
            kinds = {kind for (kind,) in waiting}
            require(
                kinds <= (_TAKEN_ANEW if self._has_twin(till) else _TAKEN_AHEAD),
                f"{till.name} still has records to send: {rows[0]}, {sorted(kinds)}",
            )
            require(
                incarnation not in self._world.overtaken,
                f"{till.name} goes on in a stream that came back from an image",
            )
        waiting = await self._world.pool.fetchval(
            "select count(*) from inbox where not applied and parked_for is null"
        )
        require(waiting == 0, f"{waiting} records wait to be applied")
        for row in await self._world.pool.fetch(
            "select parked_for from inbox where parked_for is not null and not applied"
        ):
            kind, _, key = row["parked_for"].partition(":")
            required = kind == "sale" and (
                key in self._world.paper.destroyed or self._is_revoked(key)
            )
            require(required, f"a record still waits for {row['parked_for']}")

    def _has_twin(self, till: TillFiles) -> bool:
        return any(
            each is not till and each.number == till.number and number not in self._world.dead
            for number, each in self._world.tills.items()
        )

    def _is_revoked(self, key: str) -> bool:
        name = self._world.paper.touched.get(key, "")
        return self._is_revoked_till(name)

    async def _copies_have_arrived(self) -> None:
        """What a living sibling keeps of a journal that is gone is at the centre.

        Of a revoked till, too: nothing of it is posted any more, and nothing of it is lost.
        """
        keys = {row["key"] for row in await self._world.pool.fetch(INGESTED_KEYS)}
        for key in sorted(self._world.paper.survivors):
            machine = self._world.paper.machine_of(key)
            require(key in keys, f"{machine} printed {key}, and no copy of it arrived")

    async def _printed_is_posted(self) -> None:
        paper = self._world.paper
        posted = {
            row["sale_key"] for row in await self._world.pool.fetch("select sale_key from receipt")
        }
        for key in paper.sales:
            if key not in paper.destroyed and not self._is_revoked(key):
                require(key in posted, f"receipt {key} was printed and is lost")
        reversed_keys = {each.original for each in paper.returns.values()}
        for key in sorted(posted - set(paper.sales)):
            require(
                key in reversed_keys or key in paper.destroyed,
                f"receipt {key} was posted, never printed and never taken back",
            )

    async def _returned_is_posted(self) -> None:
        paper = self._world.paper
        posted = await self._posted_returns()
        outcomes = defaultdict(set)
        for row in await self._world.pool.fetch(
            "select convert_from(body, 'utf8')::json->>'key' as key, outcome"
            " from inbox join outcome using (arrival)"
            " where convert_from(body, 'utf8')::json->>'kind' = 'refund'"
        ):
            outcomes[row["key"]].add(row["outcome"])
        for key, printed in paper.returns.items():
            if key in paper.destroyed or self._is_revoked_till(printed.till):
                continue
            require(outcomes[key], f"return {key} was printed and is lost")
            if key in posted:
                self._return_is_what_was_printed(posted[key], printed, outcomes[key])
            elif "adjusted" in outcomes[key]:
                self._seen["second return of a line refused"] += 1
            else:
                lost = printed.original in paper.destroyed or self._is_revoked(printed.original)
                require("parked" in outcomes[key] and lost, f"return {key}: {outcomes[key]}")

    async def _posted_returns(self) -> dict[str, tuple[Any, dict[str, int]]]:
        found: dict[str, tuple[Any, dict[str, int]]] = {}
        for row in await self._world.pool.fetch(
            "select refund_key, sale_key, line_id, quantity,"
            " money_back_minor, points_back, taken_back, account_id"
            " from refund join returned_line using (refund_key, sale_key)"
            " join receipt using (sale_key)"
        ):
            _, lines = found.setdefault(row["refund_key"], (row, {}))
            lines[row["line_id"]] = row["quantity"]
        return found

    def _return_is_what_was_printed(
        self, posted: tuple[Any, dict[str, int]], printed: PaperReturn, outcomes: set[str]
    ) -> None:
        row, lines = posted
        key = printed.key
        require(row["sale_key"] == printed.original, f"return {key} is of another receipt")
        require(lines.keys() == printed.lines.keys(), f"return {key} has other lines")
        for line_id, quantity in printed.lines.items():
            require(quantity in (0, lines[line_id]), f"return {key}: other quantity of {line_id}")
        if printed.figures is None:
            return
        money, back, taken = printed.figures
        require(row["money_back_minor"] == money, f"return {key} handed out other money")
        if "adjusted" in outcomes:
            self._seen["return posted otherwise than shown"] += 1
            return
        if row["account_id"] is not None:
            posted_points = row["points_back"], row["taken_back"]
            require(posted_points == (back, taken), f"return {key} posted {posted_points}")

    def _is_revoked_till(self, name: str) -> bool:
        revoked = {till.name for till in self._world.tills.values() if self._world.is_revoked(till)}
        return name in revoked

    async def _accounts_are_what_paper_says(self) -> None:
        """Opening points, printed receipts and returned lines explain every account."""
        pool, paper = self._world.pool, self._world.paper
        wanted = defaultdict(int, self._world.opening)
        unclear: set[int] = set()
        for row in await pool.fetch("select sale_key, account_id from receipt"):
            printed = paper.sales.get(row["sale_key"])
            if printed is None or row["sale_key"] in paper.destroyed:
                unclear.add(row["account_id"])
            else:
                wanted[printed.account] += printed.earned - printed.redeemed
        for row in await pool.fetch(
            "select sale_key, line_id, sum(quantity)::bigint as quantity from returned_line"
            " group by sale_key, line_id"
        ):
            printed = paper.sales.get(row["sale_key"])
            if printed is not None:
                line = printed.lines[row["line_id"]]
                wanted[printed.account] += line.points_gone(row["quantity"])
        for row in await pool.fetch(
            "select a.account_id, a.posted - a.debt as points, coalesce((select -sum(points)"
            " from ledger_posting p where p.account_id = a.account_id"
            " and ledger_account = 'losses'),"
            " 0) as lost from account a"
        ):
            if row["account_id"] not in unclear:
                expected = wanted[row["account_id"]] + row["lost"]
                require(
                    row["points"] == expected,
                    f"account {row['account_id']} has {row['points']}, paper says {expected}",
                )

    async def _nothing_is_held_for_finished_receipts(self) -> None:
        paper = self._world.paper
        rows = await self._world.pool.fetch(
            "select sale_key, account_id, outstanding from right_grant"
            " where purpose = 'authorisation' and outstanding > 0"
        )
        for row in rows:
            key = row["sale_key"]
            lost = key in paper.destroyed or self._is_revoked(key)
            finished = key in paper.sales or key in paper.given_up
            require(lost or not finished, f"{row['outstanding']} points stay held for {key}: {row}")

    async def _count_rare_things(self) -> None:
        for row in await self._world.pool.fetch(RARE, sorted(self._parked)):
            self._seen[row["what"]] += row["times"]

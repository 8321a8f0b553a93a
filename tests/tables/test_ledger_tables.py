"""The ledger in tables: rows of events with what must become of them, and totals in between.

A row is `event words | what is expected`; `==` opens a story, `#` a remark; what stands before the
first story is a preface. Every story runs on a fresh centre over a real database, through the
tills' real calls, and must leave the ledger balanced.

    fund POINTS                              put points into the risk pool
    till NAME [vault]                        enrol a till
    customer ID POINTS[+POINTS] [home] [card:NUMBER] [ends:DAY,DAY]   load one with these lots
    block ID / revoke NAME / days N          block an account, revoke a till, let days pass
    rules PERCENT HOURS                      publish rules that take this off, too, so long ago
    NAME hello | VERDICT                     compare streams
    NAME pull | RIGHT POINTS ...             get grants, naming them in order of account
    NAME authorise KEY ID POINTS | RIGHT POINTS, or - HELD-ELSEWHERE
    NAME sale KEY ID AMOUNT[,AMOUNT] [SOURCE:POINTS ...] | OUTCOME [REASON]   `-` is nobody;
        an AMOUNT may be of several pieces: 29.00*3
    NAME misprint KEY ID AMOUNT PAID | OUTCOME       a receipt that says it cost something else
    NAME refund KEY ORIGINAL LINE[,LINE] | OUTCOME    a LINE may be so many of its pieces: 1*2
    NAME void KEY | OUTCOME
    NAME home RIGHT POINTS | OUTCOME         give points of a grant back
    NAME received RIGHT | OUTCOME            say that a grant arrived
    NAME rubbish BYTES | OUTCOME
    NAME lose N / NAME anew                  lose all records after N; begin a new incarnation
    outcome KEY | OUTCOME                    what became of a record by now
    total ID | POSTED HELD DEBT
    lots ID | AVAILABLE/HELD/REDEEMED/TAKEN-BACK ...
    pool | FREE BUDGETS LOSSES
    broken CHECK ...                         the story breaks these checks of the proof on purpose
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from central.streams.stored import Decision
from loyalty.basket import BasketLine
from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes
from loyalty.returns import ReturnItem
from sync.messages import Grant
from sync.records import GrantInRecord, Record, Source
from tests.support.builders import bundle, line, offer, percent, pieces
from tests.support.centre import BUNDLE, NOW_MS, JoinedCentre, LotState, PoolState, Totals
from tests.support.till_probe import TillProbe, risk, take

FOLDER = Path(__file__).parent
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Story:
    """The rows of one story."""

    title: str
    rows: tuple[tuple[int, str], ...]


def stories() -> list[Story]:
    found = []
    for path in sorted(FOLDER.glob("*.txt")):
        title = ""
        rows: list[tuple[int, str]] = []
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, text in enumerate([*lines, "== end"], start=1):
            if text.startswith("=="):
                if title and rows:
                    found.append(Story(f"{path.stem}: {title}", tuple(rows)))
                title, rows = text.strip("= "), []
            elif title and (row := text.partition("#")[0].strip()):
                rows.append((number, row))
    return found


STORIES = stories()


@dataclass(slots=True)
class Teller:
    """Plays the rows of one story."""

    centre: JoinedCentre
    tills: dict[str, TillProbe] = field(default_factory=dict)
    rights: dict[str, Grant] = field(default_factory=dict)
    hashes: dict[str, bytes] = field(default_factory=dict)

    async def play(self, row: str) -> str:
        """Do what a row says; returns what came of it, in the words of the tables."""
        name, *words = row.partition("|")[0].split()
        if name in self.tills:
            verb, *words = words
            does: Callable[..., Awaitable[str]] = getattr(self, f"till_{verb}")
            return await does(self.tills[name], *words)
        does = getattr(self, f"do_{name}")
        return await does(*words)

    # The scene

    async def do_fund(self, points: str) -> str:
        await self.centre.fund(int(points))
        return ""

    async def do_till(self, name: str, *kind: str) -> str:
        self.tills[name] = await self.centre.till(is_vault=kind == ("vault",))
        return ""

    async def do_customer(self, account_id: str, lots: str, *more: str) -> str:
        given = dict(word.split(":") for word in more if ":" in word)
        await self.centre.customer(
            int(account_id),
            *(int(points) for points in lots.split("+") if int(points)),
            card=given.get("card", ""),
            home="store-1" if "home" in more else "",
            ends=given["ends"].split(",") if "ends" in given else (),
        )
        await self.centre.apply()
        return ""

    async def do_block(self, account_id: str) -> str:
        await self.centre.pool.execute(
            "update account set blocked = true where account_id = $1", int(account_id)
        )
        return ""

    async def do_revoke(self, name: str) -> str:
        await self.centre.pool.execute(
            "update till set revoked = true where till_id = $1", self.tills[name].till_id
        )
        return ""

    async def do_days(self, days: str) -> str:
        self.centre.system.pass_days(int(days))
        return ""

    async def do_rules(self, share: str, hours: str) -> str:
        system = self.centre.system
        now_ms, system.at_ms = system.at_ms, system.at_ms - int(hours) * HOUR_MS
        version = 1 + await self.centre.pool.fetchval("select max(version) from bundle")
        more = offer(f"off-{share}", percent(int(share)))
        await self.centre.publish(bundle(*BUNDLE.offers, more, version=version))
        system.at_ms = now_ms
        return ""

    async def do_broken(self, *checks: str) -> str:
        self.centre.broken_checks = set(checks)
        return ""

    # The sight

    async def do_outcome(self, key: str) -> str:
        row = await self.centre.pool.fetchrow(
            "select outcome, reason from outcome join inbox using (arrival) where hash = $1",
            self.hashes[key],
        )
        return f"{row['outcome']} {row['reason']}".strip() if row else "none yet"

    async def do_total(self, account_id: str) -> str:
        return _words(await self.centre.totals(int(account_id)))

    async def do_lots(self, account_id: str) -> str:
        return " ".join(_words(lot, "/") for lot in await self.centre.lots(int(account_id)))

    async def do_pool(self) -> str:
        return _words((await self.centre.risk_pool())[:3])

    # What tills do

    async def till_hello(self, till: TillProbe) -> str:
        return (await till.hello()).verdict

    async def till_anew(self, till: TillProbe) -> str:
        till.open_stream(till.number + 1, reason="amnesia")
        return (await till.hello()).verdict

    async def till_lose(self, till: TillProbe, seq: str) -> str:
        till.forget_after(int(seq))
        return ""

    async def till_pull(self, till: TillProbe, *names: str) -> str:
        answer = await till.pull()
        grants = sorted(answer.grants, key=lambda grant: grant.account_id)
        await till.push()
        await self.centre.apply()
        return self._named(names, grants)

    async def till_authorise(
        self, till: TillProbe, key: str, account_id: str, points: str, *names: str
    ) -> str:
        answer = await till.authorise(key, int(account_id), int(points))
        if not answer.authorisations:
            return f"- {answer.held_elsewhere_points}"
        return self._named(names, list(answer.authorisations))

    def _named(self, names: tuple[str, ...], rights: list[Grant]) -> str:
        assert len(names) == len(rights), f"{len(rights)} rights came: name each before the |"
        self.rights.update(zip(names, rights, strict=True))
        return " ".join(
            f"{name} {right.points}" for name, right in self.rights.items() if name in names
        )

    async def till_sale(
        self, till: TillProbe, key: str, who: str, amounts: str, *sources: str
    ) -> str:
        card = who.removeprefix("card:") if who.startswith("card:") else ""
        account = int(who) if who.isdigit() else 0
        sale = till.sale(
            key,
            *_lines(amounts),
            account=account,
            card=card,
            sources=[self._source(source) for source in sources],
        )
        return await self._posted(till, key, sale)

    def _source(self, text: str) -> Source:
        name, points = text.split(":")
        return risk(int(points)) if name == "risk" else take(self.rights[name], int(points))

    async def till_misprint(
        self, till: TillProbe, key: str, account_id: str, amounts: str, paid: str
    ) -> str:
        sale = till.sale(key, *_lines(amounts), account=int(account_id))
        printed = msgspec.json.decode(sale.calculation, type=Calculation)
        other = replace(printed, totals=replace(printed.totals, paid_minor=_minor(paid)))
        misprint = msgspec.Raw(canonical_bytes(other))
        return await self._posted(till, key, msgspec.structs.replace(sale, calculation=misprint))

    async def till_refund(self, till: TillProbe, key: str, original: str, lines: str) -> str:
        return await self._posted(
            till, key, till.refund(key, original, *map(_item, lines.split(",")))
        )

    async def till_void(self, till: TillProbe, key: str) -> str:
        return await self._posted(till, f"void {key}", till.void(key))

    async def till_home(self, till: TillProbe, right: str, points: str) -> str:
        return await self._posted(till, "home", till.give_back(self.rights[right], int(points)))

    async def till_received(self, till: TillProbe, right: str) -> str:
        record = GrantInRecord(at_ms=NOW_MS, grant_id=self.rights[right].grant_id)
        return await self._posted(till, "received", record)

    async def till_rubbish(self, till: TillProbe, text: str) -> str:
        return await self._posted(till, "rubbish", text.encode())

    async def _posted(self, till: TillProbe, key: str, record: Record | bytes) -> str:
        seq = till.append(record)
        self.hashes[key] = till.link(seq)
        await till.push()
        await self.centre.apply()
        return await self.do_outcome(key)


def _words(figures: Totals | LotState | PoolState | tuple[int, ...], between: str = " ") -> str:
    return between.join(map(str, figures))


def _minor(amount: str) -> int:
    assert re.fullmatch(r"\d+\.\d\d", amount), amount
    return int(amount.replace(".", ""))


def _lines(amounts: str) -> list[BasketLine]:
    found = []
    for number, text in enumerate(amounts.split(","), start=1):
        amount, _, count = text.partition("*")
        found.append(line(str(number), gross_minor=_minor(amount), pieces=int(count or 1)))
    return found


def _item(text: str) -> ReturnItem:
    line_id, _, count = text.partition("*")
    return pieces(line_id, int(count or 0))


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.title)
async def test_story(centre: JoinedCentre, story: Story) -> None:
    teller = Teller(centre)
    for number, row in story.rows:
        expected = " ".join(row.partition("|")[2].split())
        found = await teller.play(row)
        if "|" in row:
            # A reason may be left out where the outcome says it all.
            shown = found.split()[0] if expected in OUTCOMES else found
            assert shown == expected, f"line {number}: {row}\nfound: {found}"


OUTCOMES = set(get_args(Decision.__annotations__["outcome"]))


def test_the_tables_hold_every_outcome() -> None:
    expected = {
        row.partition("|")[2].split()[0] for story in STORIES for _, row in story.rows if "|" in row
    }
    assert expected >= OUTCOMES

"""The status page, in English and Russian; nothing from outside becomes markup."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser

import httpx
import pytest
from starlette.applications import Starlette

from central.console.status_page import LOOKS_KEPT, TILLS_MAX, StatusPage
from central.console.words import WORDS
from central.database.named_sql import load_queries
from central.database.pool import open_pool
from central.observability.exposition import FRESH_MS, FigureReader
from loyalty.offers import PointsPerMoney, Who
from tests.support.builders import bundle, offer, percent
from tests.support.centre import KEYS, NOW_MS, JoinedCentre, joined_centre
from tests.support.explained import plan_by_indexes, read_whole
from tests.support.till_probe import risk

QUERIES = load_queries("central.console", "queries.sql")
OF_A_FIRST_LOOK, OF_A_LOOK = 4, 3
"""Statements beside those of the figures; of the first one with the rules' names."""
HOSTILE = '<script>alert("1")</script>'


class Tags(HTMLParser):
    """Collects elements and text of a page and fails on any that is not closed in order."""

    VOID = frozenset({"meta", "br", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        self.text += " "
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data


@asynccontextmanager
async def served(reader: FigureReader) -> AsyncIterator[httpx.AsyncClient]:
    """Give what calls a page that reads by this reader."""
    app = Starlette(routes=list(StatusPage(reader).routes()))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://centre") as http:
        yield http


async def answer(centre: JoinedCentre, language: str = "en", store: str = "") -> httpx.Response:
    """Return what a page that nobody has looked at before answers."""
    async with served(FigureReader(centre.pool, centre.system)) as http:
        return await http.get("/", params={"lang": language, "store": store})


async def page(centre: JoinedCentre, language: str = "en", store: str = "") -> Tags:
    response = await answer(centre, language, store)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert f'<html lang="{language}">' in response.text
    return Tags(response.text)


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_an_empty_centre_has_a_page(centre: JoinedCentre, language: str) -> None:
    assert WORDS[language]["t"]["none"] in (await page(centre, language)).text


def test_both_languages_say_the_same_things() -> None:
    assert WORDS["en"]["t"].keys() == WORDS["ru"]["t"].keys()
    assert all(text.strip() for words in WORDS.values() for text in words["t"].values())


async def test_an_unknown_language_is_english(centre: JoinedCentre) -> None:
    response = await answer(centre, HOSTILE, HOSTILE)
    assert '<html lang="en">' in response.text
    assert HOSTILE not in response.text


async def test_receipts_are_shown_with_their_reasons_in_words(centre: JoinedCentre) -> None:
    rules = await centre.publish(
        bundle(
            offer("ten", percent(10), title={"en": "Ten off", "ru": "Минус десять"}),
            offer(
                "gold",
                PointsPerMoney(points=1, per_minor=1),
                title={"en": "Gold", "ru": "Золото"},
                who=Who(tiers=("gold",)),
            ),
            version=2,
        )
    )
    await centre.fund(1_000)
    till = await centre.till()
    till.rules = rules
    await centre.customer(7, 300)
    sale = till.sale("s1", account=7, sources=[risk(100)], link_up=False)
    await centre.post(till, sale)
    english, russian = await page(centre), await page(centre, "ru")
    assert "Ten off: 1.00 off." in english.text
    assert "Gold: not for tier" in english.text or "Gold: not for this" in english.text
    assert "Минус десять" in russian.text
    assert "Золото" in russian.text
    for shown in ("8.00", "2025-03-05 12:00:00", rules.bundle_hash[:12]):
        assert shown in english.text
        assert shown in russian.text
    assert "no link equal considered: 2" in english.text
    assert "без связи совпал рассмотрено: 2" in russian.text


async def test_a_hostile_text_is_shown_and_never_obeyed(centre: JoinedCentre) -> None:
    hostile_store = f"{HOSTILE}'"
    await centre.load({"kind": "store", "store": hostile_store})
    rules = await centre.publish(
        bundle(
            offer("ten", percent(10), title={"en": HOSTILE, "ru": HOSTILE}),
            offer(HOSTILE, percent(20)),
            version=2,
        )
    )
    till = await centre.till(hostile_store)
    till.rules = rules
    await centre.pool.execute("update till set slot = $1, bundle = $1", HOSTILE)
    await centre.post(till, till.sale(HOSTILE))
    for language in ("en", "ru"):
        shown = await page(centre, language)
        assert "script" not in shown.seen
        assert shown.text.count(HOSTILE) >= 3


async def test_a_till_that_runs_on_two_machines_stands_out(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.pool.execute("update till set quarantined_at_ms = 1")
    shown = await page(centre)
    assert f"store-1 {till.till_id} 1 runs on two machines: no rights" in shown.text
    assert 'class="quarantined"' in (await answer(centre)).text


async def test_tills_and_figures(centre: JoinedCentre) -> None:
    await centre.fund(12_345)
    up, silent, revoked = [await centre.till() for _ in range(3)]
    new = await centre.till(greet=False)
    await centre.customer(7, 1_000)
    await centre.post(up, up.sale("s1", account=7, sources=[risk(50)], link_up=True))
    await centre.post(up, up.refund("r1", "nowhere"), b"rubbish")  # type: ignore[arg-type]
    await centre.pool.execute("update till set revoked = true where till_id = $1", revoked.till_id)
    centre.system.at_ms += 60_000
    await up.hello()
    centre.system.at_ms += 650_000
    text = (await page(centre)).text
    assert re.search(rf"store-1 {up.till_id} 1 in touch 650 s ago \w{{12}} current", text)
    assert re.search(rf"store-1 {silent.till_id} 2 silent 710 s ago", text)
    assert re.search(rf"store-1 {revoked.till_id} 3 revoked", text)
    assert re.search(rf"store-1 {new.till_id} 4 not heard yet", text)
    assert "Served in full, last hour 100.00 %" in text
    assert "Receipts, last hour 1" in text
    assert "Waiting for another record 1" in text
    assert "Tills in touch 1 of 4" in text
    assert "10 845 free" in text  # of the pool: three budgets of 500 are out
    assert "can be overdrawn now: 1 500" in text
    assert "tills are shown" not in text


async def test_a_receipt_under_rules_nobody_knows_is_shown(centre: JoinedCentre) -> None:
    till = await centre.till()
    till.rules.bundle_hash = "ab" * 32
    await centre.post(till, till.sale("s1"))
    centre.broken_checks = {"equal"}
    shown = await page(centre)
    assert "Recalculated unequal, last hour 1 tillside-central receipts unequal" in shown.text
    assert "no link unequal considered: 1 tenth: ask" in shown.text


# Where strangers come, and what a look costs


async def test_a_stranger_on_the_front_is_shown_nothing(centre: JoinedCentre) -> None:
    for headers in ({}, {"authorization": f"Bearer {KEYS.office_token}"}):
        response = await centre.http.get("/", headers=headers)
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"


async def test_of_a_large_fleet_those_are_shown_that_need_a_look(centre: JoinedCentre) -> None:
    await centre.store("s9")
    await centre.pool.execute(
        "insert into till (store_id, slot, public_key, hardware, enrolled_at_ms, last_seen_ms)"
        " select 's9', n::text, int4send(n), '', 0, $1 - n * 1000::bigint"
        " from generate_series(1, 200) n",
        NOW_MS,
    )
    worst, first = await centre.till(), "store-1"
    await centre.pool.execute(
        "update till set quarantined_at_ms = 1 where till_id = $1", worst.till_id
    )
    shown = await page(centre)
    assert f"{TILLS_MAX} of 201 tills are shown" in shown.text
    rows = re.findall(r"(?:store-1|s9) \d+ (\d+) (runs on two machines|in touch)", shown.text)
    assert rows[:2] == [("1", "runs on two machines"), ("200", "in touch")]
    assert len(rows) == TILLS_MAX
    of_store = await page(centre, store=first)
    assert "runs on two machines" in of_store.text
    assert "s9" not in of_store.text
    assert "No till of this store." in (await page(centre, store="nowhere\0")).text


async def test_many_who_look_cost_no_more_than_one(database: str) -> None:
    pool = await open_pool(database, connections_max=2)
    sent: list[str] = []
    async with pool.acquire() as one, pool.acquire() as other:
        for connection in (one, other):
            connection.add_query_logger(lambda query: sent.append(query.query))
    async with joined_centre(pool) as centre:
        till = await centre.till()
        await centre.post(till, *[till.sale(f"s{n}") for n in range(30)])
        reader = FigureReader(pool, centre.system)
        await reader.read()
        async with served(reader) as http:
            for most in (OF_A_FIRST_LOOK, OF_A_LOOK):
                await reader.read()
                sent.clear()
                pages = await asyncio.gather(*(http.get("/") for _ in range(20)))
                assert {each.status_code for each in pages} == {200}
                assert 0 < len(sent) <= most, sent
                centre.system.at_ms += FRESH_MS
            await reader.read()
            sent.clear()
            for number in range(LOOKS_KEPT + 5):
                await http.get("/", params={"store": f"s{number}"})
            assert len(sent) <= OF_A_LOOK * (LOOKS_KEPT + 5)
    await pool.close()


async def test_a_look_goes_through_neither_receipts_nor_accounts(centre: JoinedCentre) -> None:
    values: dict[str, tuple[object, ...]] = {
        "latest_receipts": (10,), "tills": (10,), "tills_of_store": ("store-1", 10),
    }  # fmt: skip
    assert set(values) == set(QUERIES)
    async with centre.pool.acquire() as connection:
        for name, arguments in values.items():
            plan = await plan_by_indexes(connection, QUERIES[name], *arguments)
            # A few rows of each till: monitoring's figures go through that table, too.
            assert read_whole(plan) <= ({"till"} if name == "tills" else set()), (name, plan)
            assert "Limit" in plan


async def test_while_the_database_is_away_the_page_says_so(
    centre: JoinedCentre, database: str
) -> None:
    gone = await open_pool(database, connections_max=1)
    await gone.close()
    async with served(FigureReader(gone, centre.system)) as http:
        response = await http.get("/", params={"lang": "ru"})
    assert response.status_code == 503
    assert WORDS["ru"]["t"]["away"] in Tags(response.text).text

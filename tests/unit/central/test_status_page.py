"""The status page, in English and Russian; nothing from outside becomes markup."""

import re
from html.parser import HTMLParser

import pytest

from central.console.words import WORDS
from loyalty.offers import PointsPerMoney, Who
from tests.support.builders import bundle, offer, percent
from tests.support.centre import JoinedCentre
from tests.support.till_probe import risk

HOSTILE = '<script>alert("1")</script>'


class Tags(HTMLParser):
    """Collects elements and text of a page and fails on any that is not closed in order."""

    VOID = frozenset({"meta", "br"})

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


async def page(centre: JoinedCentre, language: str = "en") -> Tags:
    response = await centre.http.get("/", params={"lang": language})
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
    response = await centre.http.get("/", params={"lang": HOSTILE})
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
    assert 'class="quarantined"' in (await centre.http.get("/")).text


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
    assert re.search(rf"store-1 {silent.till_id} 1 silent 710 s ago", text)
    assert re.search(rf"store-1 {revoked.till_id} 1 revoked", text)
    assert re.search(rf"store-1 {new.till_id} 1 not heard yet", text)
    assert "Served in full 100.00 %" in text
    assert "Rejected, kept 1" in text
    assert "Waiting for another record 1" in text
    assert "10 845 free" in text  # of the pool: three budgets of 500 are out
    assert "can be overdrawn now: 1 500" in text


async def test_a_receipt_under_rules_nobody_knows_is_shown(centre: JoinedCentre) -> None:
    till = await centre.till()
    till.rules.bundle_hash = "ab" * 32
    await centre.post(till, till.sale("s1"))
    for version in range(2, 12):  # more bundles than are kept compiled
        await centre.publish(bundle(offer("ten", percent(version)), version=version))
        assert (await centre.http.get("/")).status_code == 200
    centre.broken_checks = {"equal"}

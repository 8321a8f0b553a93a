"""Where the feed cannot go on from a cursor, a till compares and ends with the centre's rows."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from central import bootstrap
from central.people.tiers import Tier, TierTerms, put_terms, tend_tiers
from central.rights.issuing import DAY_MS
from central.tills import feed
from central.tills.feed import begin_epoch, sweep, watch_epoch
from loyalty.bundle import Product
from loyalty.canonical import canonical_bytes
from sync import cycle
from sync.cycle import Ask, Fetch
from sync.errors import LinkError
from sync.fingerprints import fingerprint
from sync.messages import AccountRow, Compare, CompareAnswer, Cursor, Message, PullAnswer
from tests.support import builders
from tests.support.builders import offer
from tests.support.centre import JoinedCentre
from tests.support.till_on_centre import TillOnCentre
from tests.support.till_probe import TillProbe

Known = dict[bytes, AccountRow]


def sums(known: Known) -> bytes:
    return fingerprint(
        (card, row.snapshot.account_id, row.snapshot.version) for card, row in known.items()
    )


async def compared(till: TillProbe, known: Known, *, bytes_max: int = 262_144) -> int:
    """Compare until all is equal, as a till does; returns in how many answers."""
    for count in range(1, 300):
        asked = Compare(sums=sums(known), bytes_max=bytes_max)
        answer = await till.ask(cycle.PATH_COMPARE, asked, CompareAnswer)
        for card in [card for card in known if card[0] in answer.buckets]:
            del known[card]
        known.update({row.card: row for row in answer.accounts})
        if not answer.more:
            till.cursor = answer.cursor
            return count
    raise AssertionError("never equal")


async def customers(centre: JoinedCentre, count: int) -> None:
    for account_id in range(1, count + 1):
        await centre.customer(account_id, 10, home="store-1", card=f"card {account_id}")


async def test_an_old_epoch_is_named_at_hello_and_stops_the_feed(centre: JoinedCentre) -> None:
    till = await centre.till()
    await customers(centre, 2)
    assert (await till.hello()).verdict == "ok"
    assert await begin_epoch(centre.pool, now_ms=5_000) == 5
    assert (await till.hello()).verdict == "epoch"
    answer = await till.pull()
    assert (answer.compare, answer.accounts, answer.cursor) == (True, (), Cursor(epoch=1))


async def test_comparing_ends_with_the_rows_of_the_centre(centre: JoinedCentre) -> None:
    till = await centre.till()
    await customers(centre, 40)
    known: Known = {}
    assert await compared(till, known) == 1
    assert sorted(row.snapshot.account_id for row in known.values()) == list(range(1, 41))
    # Newer there, gone there, and never there: each is put right, and only what differs travels.
    await centre.post(till, till.sale("s1", account=3))
    await centre.pool.execute("delete from store_interest where account_id = 4")
    stray = msgspec.structs.replace(known[till.card("card 5")], card=b"\x00" * 32)
    known[stray.card] = stray
    answer = await till.ask(
        cycle.PATH_COMPARE, Compare(sums=sums(known), bytes_max=262_144), CompareAnswer
    )
    changed = {till.card("card 3")[0], till.card("card 4")[0], 0}
    assert set(answer.buckets) == changed
    assert {row.card[0] for row in answer.accounts} <= changed
    await compared(till, known)
    assert till.card("card 4") not in known
    assert stray.card not in known
    assert sums(known) == sums({row.card: row for row in known.values()})
    assert known[till.card("card 3")].points == 110


async def test_a_comparison_comes_in_pages(centre: JoinedCentre) -> None:
    till = await centre.till()
    await customers(centre, 40)
    known: Known = {}
    assert await compared(till, known, bytes_max=1_024) > 3
    assert len(known) == 40


async def test_after_comparing_the_feed_goes_on_without_a_gap(centre: JoinedCentre) -> None:
    till = await centre.till()
    await customers(centre, 3)
    await begin_epoch(centre.pool, now_ms=0)
    await compared(till, {})
    await centre.post(till, till.sale("s1", account=2))
    answer = await till.pull()
    assert not answer.compare
    assert [row.snapshot.account_id for row in answer.accounts] == [2]


async def test_another_cluster_begins_an_epoch_and_the_same_one_does_not(
    centre: JoinedCentre,
) -> None:
    assert not await watch_epoch(centre.pool, now_ms=0)  # the first cluster there ever was
    assert await centre.pool.fetchval("select epoch from feed_state") == 1
    assert not await watch_epoch(centre.pool, now_ms=0)
    await centre.pool.execute("update feed_state set cluster = 'another/1'")
    assert await watch_epoch(centre.pool, now_ms=0)
    assert await centre.pool.fetchval("select epoch from feed_state") == 2


async def test_marks_and_floor_of_another_cluster_hold_nobody_up(centre: JoinedCentre) -> None:
    till = await centre.till()
    await customers(centre, 3)
    # As a dump leaves it in a new cluster: the old one's transaction numbers are far ahead.
    await centre.pool.execute("update feed_state set cluster = 'another/1', floor = '9000000000'")
    await centre.pool.execute("insert into feed_mark values (1, '9000000000')")
    assert await watch_epoch(centre.pool, now_ms=0)
    await sweep(centre.pool, now_ms=centre.system.now_ms())
    await compared(till, {})
    await centre.post(till, till.sale("s1", account=2))
    answer = await till.pull()
    assert not answer.compare
    assert [row.snapshot.account_id for row in answer.accounts] == [2]


async def test_a_cursor_of_a_history_that_was_undone_sends_a_till_to_compare(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await customers(centre, 2)
    till.cursor = Cursor(epoch=1, transaction=1 << 40)
    answer = await till.pull()
    assert (answer.compare, answer.accounts) == (True, ())
    known: Known = {}
    await compared(till, known)
    assert len(known) == 2
    assert not (await till.pull()).compare


async def test_swept_rows_send_a_till_that_was_long_away_to_compare(centre: JoinedCentre) -> None:
    away, here = await centre.till(), await centre.till()
    await customers(centre, 5)
    now_ms = centre.system.now_ms()
    assert await sweep(centre.pool, now_ms=now_ms) == 0
    await here.pull()
    later_ms = now_ms + 41 * DAY_MS
    await centre.customer(6, 10, home="store-1", card="card 6")
    assert await sweep(centre.pool, now_ms=later_ms) == 5
    assert (await away.pull()).compare
    answer = await here.pull()
    assert not answer.compare
    assert [row.snapshot.account_id for row in answer.accounts] == [6]


async def test_the_sweep_goes_on_until_nothing_old_is_left(
    centre: JoinedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (feed, bootstrap):
        monkeypatch.setattr(module, "SWEPT_MAX", 2)
    monkeypatch.setattr(bootstrap, "_EPOCH_S", 0.01)
    await watch_epoch(centre.pool, now_ms=0)
    await customers(centre, 5)
    await sweep(centre.pool, now_ms=centre.system.now_ms())
    centre.system.pass_days(41)
    tending = asyncio.create_task(bootstrap.tend_feed_for_ever(centre.parts))
    is_left = "select exists (select from feed), pg_sleep(0.01)"
    async with asyncio.timeout(20):
        while await centre.pool.fetchval(is_left):
            assert not tending.done()
    tending.cancel()
    await asyncio.gather(tending, return_exceptions=True)


async def test_what_tiers_have_not_read_is_not_swept(centre: JoinedCentre) -> None:
    terms = TierTerms(tiers=(Tier(name="", at_least=0),))
    async with centre.pool.acquire() as connection, connection.transaction():
        await put_terms(connection, terms, person="ann", now_ms=0)
    await customers(centre, 5)
    now_ms = centre.system.now_ms()
    assert await sweep(centre.pool, now_ms=now_ms) == 0
    later_ms = now_ms + 41 * DAY_MS
    with capture_logs() as told:
        assert await sweep(centre.pool, now_ms=later_ms) == 0
    assert [each["event"] for each in told] == ["feed_kept_for_tiers"]
    await tend_tiers(centre.pool, now_ms=later_ms)
    with capture_logs() as told:
        assert await sweep(centre.pool, now_ms=later_ms) == 5
    assert told == []


async def test_of_another_life_tiers_have_read_nothing(centre: JoinedCentre) -> None:
    terms = TierTerms(tiers=(Tier(name="", at_least=0),))
    async with centre.pool.acquire() as connection, connection.transaction():
        await put_terms(connection, terms, person="ann", now_ms=0)
    await customers(centre, 5)
    now_ms = centre.system.now_ms()
    await tend_tiers(centre.pool, now_ms=now_ms)
    await begin_epoch(centre.pool, now_ms=now_ms)
    await sweep(centre.pool, now_ms=now_ms)
    later_ms = now_ms + 41 * DAY_MS
    assert await sweep(centre.pool, now_ms=later_ms) == 0
    await tend_tiers(centre.pool, now_ms=later_ms)
    assert await sweep(centre.pool, now_ms=later_ms) == 5


async def test_a_real_till_compares_by_itself(centre: JoinedCentre, tmp_path: Path) -> None:
    await customers(centre, 7)
    till = await TillOnCentre.enrolled(centre, tmp_path / "till")
    cache = till.joined.till.cache
    assert cache.account_count() == 7
    await begin_epoch(centre.pool, now_ms=0)
    await centre.pool.execute("delete from store_interest where account_id > 3")
    await till.talk()
    assert cache.account_count() == 3
    assert cache.cursor().epoch == 2
    till.close()


async def test_a_bundle_in_pieces_goes_on_after_a_cut(centre: JoinedCentre, tmp_path: Path) -> None:
    till = await TillOnCentre.enrolled(centre, tmp_path / "till")
    noise = {sha256(b"%d" % number).hexdigest(): Product() for number in range(6_000)}
    big = builders.bundle(offer("points"), catalogue=noise, version=9)
    published = await centre.publish_document(canonical_bytes(big))
    chunks = len(published.manifest.chunks)
    assert chunks > 3
    till.pieces_max = len(till.pieces) + 2
    with suppress(LinkError):
        await till.talk()
    assert till.joined.till.books.active_version < 9
    again = till.reopened()
    await again.talk()
    assert again.joined.till.books.active_version == 9
    assert again.pieces == list(range(2, chunks))
    again.close()


async def test_a_piece_that_is_not_the_one_announced_is_not_kept(
    centre: JoinedCentre, tmp_path: Path
) -> None:
    till = await TillOnCentre.enrolled(centre, tmp_path / "till")
    side = till.joined.side
    published = await centre.publish_document(canonical_bytes(builders.bundle(version=9)))
    side.pull_answered(
        PullAnswer(cursor=Cursor(), applied_through=0, more=False, manifest=published.manifest)
    )
    assert side.wanted_piece() == (published.manifest, 0)
    side.piece_arrived(published.manifest, 0, b"<html>please log in</html>")
    assert side.wanted_piece() is None
    assert till.joined.till.books.active_version < 9
    till.joined.system.let_pass(1_000)
    await till.talk()
    assert till.joined.till.books.active_version == 9
    till.close()


async def test_one_copy_that_is_put_back_twice_begins_two_epochs(centre: JoinedCentre) -> None:
    """A till of the first life would else be told that nothing happened."""
    first = await begin_epoch(centre.pool, now_ms=1_740_787_200_000)
    await centre.pool.execute("update feed_state set epoch = 1")
    assert await begin_epoch(centre.pool, now_ms=1_740_790_800_000) > first


class Cut(TillOnCentre):
    """A till whose line breaks after so many comparisons."""

    comparisons = 300

    async def _asked(self, question: Ask | Fetch) -> Message | bytes:
        if isinstance(question, Ask) and isinstance(question.message, Compare):
            small = msgspec.structs.replace(question.message, bytes_max=1_024)
            question = replace(question, message=small)
            self.comparisons -= 1
            if self.comparisons < 0:
                raise LinkError("no line")
        return await super()._asked(question)


@pytest.mark.parametrize("went_back", ["to another epoch", "unseen"])
async def test_what_was_told_before_the_centre_went_back_is_told_again_whatever_its_version(
    centre: JoinedCentre, tmp_path: Path, went_back: str
) -> None:
    """It numbers what changes now as it numbered what is undone; the line breaks in the middle."""
    for account_id in range(1, 40):
        await centre.customer(account_id, 10, home="store-1", card=f"{account_id:04}")
    till = await Cut.enrolled(centre, tmp_path / "till")
    cache = till.joined.till.cache
    assert cache.account_count() == 39
    await centre.pool.execute("update account set tier = 'gold' where account_id <= 20")
    if went_back == "unseen":
        cache.put_value("cursor", Cursor(epoch=1, transaction=1 << 40))
    else:
        await begin_epoch(centre.pool, now_ms=5_000)
    before, conversations = cache.cursor(), 0
    while cache.cursor() == before:
        till.comparisons = 2
        with suppress(LinkError):
            await till.talk()
        conversations += 1
        assert conversations < 100
    assert conversations > 2
    tiers = {row.snapshot.tier for each in range(1, 21) for row in cache.rows_of(each)}
    assert tiers == {"gold"}
    till.close()

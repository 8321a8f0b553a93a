"""A till whose centre lets a pull wait: it hears at once, tells beside it, and seldom greets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from agent.link import worker
from agent.link.holding import LEAST_S, Holding
from agent.link.till_side import JournalTillSide
from agent.link.worker import LinkSettings
from agent.neighbours.neighbourhood import Neighbourhood
from agent.till_service.till import Till
from loyalty.bundle import Bundle
from sync.codec import decode, decompress
from sync.cycle import (
    PATH_BUNDLE,
    PATH_COUNTERS,
    PATH_HELLO,
    PATH_PULL,
    PATH_PUSH,
    Ask,
    Conversation,
)
from sync.limits import BATCH_BYTES_MAX
from sync.messages import CounterAnswer, CounterRequest, Hello, Problem, Pull
from sync.reporting import PATH_REPORT, Report
from sync.signing import NO_SESSION
from tests.support import builders
from tests.support.store_lan import roster_of
from tests.support.till import (
    CARD,
    RECEIPT,
    TILL_ID,
    FakeCentre,
    JoinedTill,
    SetSystem,
    customer,
    receipt,
    signed_bundle,
)
from tests.unit.agent.scripted_centre import Heard, ScriptedCentre, signed, speaking_for
from tests.unit.agent.test_link_worker import QUICK, Linked, linked

HOLDS_S = 240
SIBLING = TILL_ID - 1
SETTINGS = replace(QUICK, hello_interval_s=60)
CROWDED = Problem(error="overloaded", message="later")
GONE = Problem(error="database_unavailable", message="later")


class HoldingCentre:
    """Answers as a centre in memory does; pulls that offer to wait are answered when told to."""

    def __init__(self, centre: FakeCentre) -> None:
        self.centre = centre
        self.held: list[tuple[Heard, asyncio.Future[bytes]]] = []
        self.cuts = 0
        self.turns_away: dict[str, int] = {}
        """By path, how many of the next requests are to come again."""
        self.busy, self.come_again_s = CROWDED, 0
        self._speaks = speaking_for(centre)

    def __call__(self, heard: Heard) -> bytes | Awaitable[bytes] | None:
        if self.turns_away.get(heard.path):
            self.turns_away[heard.path] -= 1
            return self.busy_for(heard)
        if heard.path != PATH_PULL or not pull_of(heard).wait_s:
            return self._now(heard)
        if self.cuts:
            self.cuts -= 1
            return b""
        self.held.append((heard, asyncio.get_running_loop().create_future()))
        return self.held[-1][1]

    def let_go(self) -> None:
        """Answer the pull that waits with what there is now."""
        heard, waits = self.held[-1]
        waits.set_result(self._now(heard))

    def turn_away(self) -> None:
        """Have the pull that waits come again."""
        heard, waits = self.held[-1]
        waits.set_result(self.busy_for(heard))

    def busy_for(self, heard: Heard) -> bytes:
        """Return the answer that has a request come again."""
        return signed(self.busy, f"Retry-After: {self.come_again_s}", status=503)(heard)

    def _now(self, heard: Heard) -> bytes:
        said = self._speaks(heard)
        assert isinstance(said, bytes)
        return said


def pull_of(heard: Heard) -> Pull:
    return decode(Pull, decompress(heard.body, heard.headers.get("content-encoding", "")))


@asynccontextmanager
async def listening(
    joined: JoinedTill, centre: FakeCentre, *, settings: LinkSettings = SETTINGS
) -> AsyncIterator[tuple[Linked, ScriptedCentre, HoldingCentre]]:
    """Give a till whose first pull waits."""
    centre.hold_s = HOLDS_S
    holding = HoldingCentre(centre)
    async with linked(joined, holding, settings=settings) as (at_work, said):
        await said.until(lambda: len(holding.held) == 1)
        yield at_work, said, holding


def paths(said: ScriptedCentre) -> list[str]:
    return [heard.path for heard in said.heard]


async def test_a_sale_is_told_beside_the_pull_that_waits(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    async with listening(joined, centre) as (at_work, said, holding):
        before = len(said.heard)
        await at_work.thread.run(joined.complete, receipt(), 1_000)
        at_work.link.tell()
        head = joined.till.journal.stream.head
        async with asyncio.timeout(20):
            # No two threads use a connection at a time, so the till's own is asked
            while (await at_work.thread.run(head)).acked_seq != 2:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert head().seq == 2
        assert paths(said)[before:] == [PATH_PUSH]
        assert not holding.held[0][1].done()


async def test_what_the_answer_brings_is_taken_and_the_next_pull_waits(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    async with listening(joined, centre) as (at_work, said, holding):
        centre.grants(300)
        row = customer(points=80)
        centre.knows(row)
        system.let_pass(5_000)
        holding.let_go()
        await said.until(lambda: len(holding.held) == 2)
        assert joined.till.journal.rights.points_held() == 300
        assert joined.till.cache.account(row.card) == row
        # That the grant is here was told before anything else is asked for.
        assert len(centre.records()) == 2
        assert len(centre.asked(Hello)) == at_work.link.conversations == 1


async def test_streams_are_compared_seldom_while_a_pull_waits(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    async with listening(joined, centre) as (at_work, said, holding):
        system.let_pass(300_000)  # far more than the usual interval
        holding.let_go()
        await said.until(lambda: len(holding.held) == 2)
        assert len(centre.asked(Hello)) == 1
        system.let_pass(3_300_000)
        at_work.link.tell()
        await said.until(lambda: len(centre.asked(Hello)) == 2)


async def test_streams_are_compared_soon_after_points_were_spent_without_the_centre(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    centre.offline_points_max = 20_000
    async with listening(joined, centre) as (at_work, said, holding):
        limits = joined.till.journal.rights.limits
        await at_work.thread.run(limits.count_given, 5_001)
        at_work.link.tell()
        await said.until(lambda: len(said.heard) > 0)
        assert len(centre.asked(Hello)) == 1
        system.let_pass(61_000)
        at_work.link.tell()
        await said.until(lambda: len(holding.held) == 2)
        assert len(centre.asked(Hello)) == 2
        assert not await at_work.thread.run(limits.is_used)


async def test_asked_to_talk_the_link_holds_a_whole_conversation(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    async with listening(joined, centre) as (at_work, said, holding):
        at_work.link.wake()
        await said.until(lambda: len(holding.held) == 2)
        assert at_work.link.conversations == 2


async def test_another_address_on_the_lan_is_told_at_once(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    async with listening(joined, centre) as (at_work, said, holding):
        joined.till.bus_address = "192.168.7.22:7720"
        at_work.link.wake()
        await said.until(lambda: len(holding.held) == 2)
        told = [hello.bus_address for hello in centre.asked(Hello)]
        assert told == ["", "192.168.7.22:7720"]


async def test_another_address_while_a_hello_is_on_its_way_is_told_with_one_more(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    centre.hold_s = HOLDS_S
    holding = HoldingCentre(centre)

    def moves(heard: Heard) -> bytes | Awaitable[bytes] | None:
        if heard.path == PATH_HELLO and not joined.till.bus_address:
            joined.till.bus_address = "192.168.7.22:7720"
            at_work.link.wake()
        return holding(heard)

    async with linked(joined, moves, settings=SETTINGS) as (at_work, said):
        await said.until(lambda: len(holding.held) > 0 and len(centre.asked(Hello)) > 1)
        told = [hello.bus_address for hello in centre.asked(Hello)]
        assert told == ["", "192.168.7.22:7720"]


async def test_a_pull_that_is_cut_makes_the_streams_be_compared(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    async with listening(joined, centre) as (_, said, holding):
        system.let_pass(60_000)
        holding.held[0][1].set_result(b"")
        await said.until(lambda: len(holding.held) == 2)
        assert len(centre.asked(Hello)) == 2
        assert pull_of(holding.held[1][0]).wait_s <= 30  # a minute was too long for this line


async def test_a_centre_that_does_not_hold_is_not_asked_without_end(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    async with listening(joined, centre) as (at_work, _, holding):
        holding.let_go()  # at once, and with nothing
        async with asyncio.timeout(20):
            while len(holding.held) < 2:
                at_work.link.tell()
                await asyncio.sleep(0.01)
        assert at_work.link.conversations == 2  # the usual pause lay between


async def test_a_line_that_lets_no_request_wait_is_pulled_at_the_usual_pace(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    centre.hold_s = HOLDS_S
    holding = HoldingCentre(centre)
    holding.cuts = 1
    async with linked(joined, holding, settings=SETTINGS) as (at_work, said):
        # The conversation after the cut; then the usual pause, which only a wake ends.
        await at_work.until(lambda: at_work.link.conversations == 2)
        assert holding.held == []
        at_work.link.tell()
        await said.until(lambda: len(holding.held) == 1)


def beside_a_sibling(joined: JoinedTill) -> Neighbourhood:
    """Have a till hear a sibling whose line is up; return what it knows of its store."""
    neighbours = joined.till.neighbours
    neighbours.use_roster(roster_of(SIBLING, TILL_ID))
    neighbours.connected = True
    neighbours.heard(SIBLING)
    neighbours.siblings[SIBLING].link_up = True
    return neighbours


async def sibling_gives(
    rules: Bundle,
    neighbours: Neighbourhood,
    at_work: Linked,
    said: ScriptedCentre,
    holding: HoldingCentre,
) -> None:
    """Have a pull tell of rules and a sibling bring them; the next but one waits then."""
    neighbours.heard(SIBLING)
    holding.let_go()
    await said.until(lambda: len(holding.held) == 2)
    assert neighbours.wanted is not None
    await at_work.thread.run(neighbours.wanted.take, signed_bundle(rules)[1])
    await said.until(lambda: len(holding.held) == 3)


async def test_rules_that_no_sibling_gave_are_fetched_though_the_pull_waits_on(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    neighbours = beside_a_sibling(joined)
    async with listening(joined, centre) as (_, said, holding):
        centre.publishes(builders.bundle(version=2))
        system.let_pass(5_000)
        neighbours.heard(SIBLING)
        holding.let_go()
        await said.until(lambda: len(holding.held) == 2)
        wanted = neighbours.wanted
        assert wanted is not None  # left to the sibling
        bundle = PATH_BUNDLE + wanted.manifest.bundle
        assert bundle not in paths(said)
        system.let_pass(60_000)
        await said.until(lambda: bundle in paths(said))
        assert not holding.held[1][1].done()


async def test_rules_that_a_sibling_gave_are_told_of_though_the_pull_waits_on(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    neighbours = beside_a_sibling(joined)
    async with listening(joined, centre) as (at_work, said, holding):
        rules = builders.bundle(version=2)
        centre.publishes(rules)
        system.let_pass(5_000)
        await sibling_gives(rules, neighbours, at_work, said, holding)
        assert pull_of(holding.held[2][0]).rules == (0, 2)
        assert not any(path.startswith(PATH_BUNDLE) for path in paths(said))


async def dropped(at_work: Linked) -> None:
    """Have the cashier give up a shown total, which guards of releases count."""
    books = at_work.joined.till.books
    await at_work.thread.run(books.note_dropped, books.active.bundle_hash)
    at_work.link.tell()


async def test_how_the_rules_stand_is_told_once_a_minute_in_the_session_there_is(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    centre.takes_reports = True
    async with listening(joined, centre) as (at_work, said, holding):
        before, session = len(said.heard), joined.till.session
        await dropped(at_work)
        await said.until(lambda: len(centre.asked(Report)) == 1)
        await dropped(at_work)
        await at_work.thread.run(joined.complete, receipt(), 1_000)
        at_work.link.tell()
        await said.until(lambda: said.heard[-1].path == PATH_PUSH)
        assert paths(said)[before:] == [PATH_REPORT, PATH_PUSH]
        system.let_pass(60_000)
        at_work.link.tell()
        await said.until(lambda: len(centre.asked(Report)) == 2)
        assert [each.rules.dropped for each in centre.asked(Report)] == [1, 2]
        assert (joined.till.session, len(holding.held)) == (session, 1)
        assert len(centre.asked(Hello)) == 1


async def test_a_report_that_is_turned_away_is_told_later_beside_the_same_pull(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    centre.takes_reports = True
    async with listening(joined, centre) as (at_work, said, holding):
        session, holding.turns_away = joined.till.session, {PATH_REPORT: 3}
        await dropped(at_work)
        await at_work.until(lambda: not joined.till.books.has_news())
        assert paths(said).count(PATH_REPORT) == 4
        assert len(centre.asked(Report)) == 1
        assert (joined.till.session, joined.till.link_up) == (session, True)
        assert (len(centre.asked(Hello)), len(holding.held)) == (1, 1)


async def test_a_report_that_was_turned_away_is_forgotten_where_a_hello_told_it(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    centre.takes_reports, looks = True, 0
    has_report = JournalTillSide.has_report

    def looked(side: JournalTillSide) -> bool:
        nonlocal looks
        looks += 1
        return has_report(side)

    async with listening(joined, centre) as (at_work, said, holding):
        holding.turns_away, holding.come_again_s = {PATH_REPORT: 1}, 30
        await dropped(at_work)
        await at_work.until(lambda: at_work.link._turns._look_at_ms is not None)  # noqa: SLF001
        system.let_pass(120_000)
        at_work.link.wake()
        await said.until(lambda: len(centre.asked(Hello)) == len(holding.held) == 2)
        monkeypatch.setattr(JournalTillSide, "has_report", looked)
        await asyncio.sleep(0.1)  # for nothing to happen
        assert looks <= 1
        assert not centre.asked(Report)


async def test_rules_that_a_sibling_gave_are_reported_in_the_session_there_is(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    neighbours, centre.takes_reports = beside_a_sibling(joined), True
    async with listening(joined, centre) as (at_work, said, holding):
        rules, session = builders.bundle(version=2), joined.till.session
        centre.publishes(rules)
        system.let_pass(200_000)
        await sibling_gives(rules, neighbours, at_work, said, holding)
        assert [each.rules.version for each in centre.asked(Report)] == [2]
        assert (joined.till.session, len(centre.asked(Hello))) == (session, 1)


async def test_shares_that_find_no_place_hold_up_no_conversation_and_are_asked_for_again(
    joined: JoinedTill, centre: FakeCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = 3

    def stock(till: Till) -> Conversation:
        nonlocal wishes
        if till.session != NO_SESSION and wishes:
            wish = CounterRequest(incarnation=centre.incarnation, wishes=(), taken=())
            yield Ask(PATH_COUNTERS, wish, CounterAnswer)

    def answers(heard: Heard) -> bytes | Awaitable[bytes] | None:
        nonlocal wishes
        if heard.path == PATH_COUNTERS:
            wishes -= 1
            return holding.busy_for(heard)
        return holding(heard)

    monkeypatch.setattr(worker, "stock", stock)
    holding, centre.hold_s = HoldingCentre(centre), HOLDS_S
    async with linked(joined, answers, settings=SETTINGS) as (at_work, said):
        await said.until(lambda: paths(said).count(PATH_COUNTERS) == 3)
        await said.until(lambda: len(holding.held) == 1)
        assert (len(centre.asked(Hello)), at_work.link.conversations) == (1, 1)
        assert paths(said).count(PATH_PULL) == 2  # one of the conversation, one that waits
        assert joined.till.link_up


async def test_a_centre_that_takes_no_reports_hears_of_rules_with_a_hello(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    async with listening(joined, centre) as (at_work, said, _):
        system.let_pass(60_000)
        await dropped(at_work)
        await said.until(lambda: len(centre.asked(Hello)) == 2)
        assert centre.asked(Hello)[-1].rules.dropped == 1


async def test_a_pull_that_is_turned_away_leaves_line_and_session(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    async with listening(joined, centre) as (at_work, said, holding):
        session, holding.turns_away = joined.till.session, {PATH_PULL: 2}
        system.let_pass(200_000)  # much longer than HELLOs are apart while all is well
        await at_work.thread.run(joined.complete, receipt(), 1_000)
        holding.let_go()
        await said.until(lambda: len(holding.held) == 2)
        assert not holding.turns_away[PATH_PULL]
        assert (joined.till.session, joined.till.link_up) == (session, True)
        assert (len(centre.asked(Hello)), at_work.link.conversations) == (1, 1)
        # Nobody cut it: the next one waits as long as if there had been a place at once.
        first, second = (pull_of(heard).wait_s for heard, _ in holding.held)
        assert second >= first
        assert len(centre.records()) == 2


async def test_records_are_told_while_the_next_pull_rests(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    async with listening(joined, centre) as (at_work, said, holding):
        # Word of the record may come in the moment in which the answer does.
        await at_work.thread.run(joined.complete, receipt(), 1_000)
        holding.come_again_s = 600
        holding.turn_away()
        await said.until(lambda: len(centre.records()) == 2)
        assert (len(holding.held), len(centre.asked(Hello))) == (1, 1)


async def test_a_push_that_is_turned_away_is_made_later_beside_the_same_pull(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    async with listening(joined, centre) as (at_work, said, holding):
        session, holding.turns_away = joined.till.session, {PATH_PUSH: 3}
        await at_work.thread.run(joined.complete, receipt(), 1_000)
        at_work.link.tell()
        await said.until(lambda: paths(said).count(PATH_PUSH) == 5)
        await at_work.until(lambda: joined.till.link_up)
        # That says nothing of what the line carries.
        assert at_work.link._side._pace.bytes_max == BATCH_BYTES_MAX  # noqa: SLF001
        assert (joined.till.session, len(holding.held)) == (session, 1)
        assert len(centre.asked(Hello)) == 1


async def test_while_records_find_no_place_siblings_keep_copies_for_the_till(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    centre.takes_reports = True
    async with listening(joined, centre) as (at_work, said, holding):
        holding.turns_away, holding.come_again_s = {PATH_PUSH: 1}, 600
        await at_work.thread.run(joined.complete, receipt(), 1_000)
        at_work.link.tell()
        await at_work.until(lambda: not joined.till.link_up)
        assert joined.till.session != NO_SESSION
        # That rules are told, and later a customer, helps no record.
        await dropped(at_work)
        await said.until(lambda: len(centre.asked(Report)) == 1)
        await at_work.until(lambda: not joined.till.books.has_news())
        assert not joined.till.link_up
        assert paths(said).count(PATH_PUSH) == 2
        system.let_pass(1_000_000)
        at_work.link.tell()
        await at_work.until(lambda: joined.till.link_up)
        assert len(centre.records()) == 2


async def test_rules_that_a_pull_brings_are_fetched_though_a_push_found_no_place(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    async with listening(joined, centre) as (at_work, said, holding):
        centre.publishes(builders.bundle(version=2))
        await at_work.thread.run(joined.complete, receipt(), 1_000)
        holding.turns_away = {PATH_PUSH: 1}
        system.let_pass(200_000)
        holding.let_go()
        await said.until(lambda: any(path.startswith(PATH_BUNDLE) for path in paths(said)))
        assert len(centre.records()) == 2
        assert len(centre.asked(Hello)) == 1


async def test_a_till_that_found_no_place_for_its_hello_rests_whatever_it_sells(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    holding = HoldingCentre(centre)
    centre.hold_s, holding.turns_away, holding.come_again_s = HOLDS_S, {PATH_HELLO: 1}, 600
    async with linked(joined, holding, settings=SETTINGS) as (at_work, said):
        await at_work.until(lambda: "600" in at_work.link.last_error)
        for _ in range(3):
            at_work.link.tell()
            await asyncio.sleep(0.02)  # for nothing to happen
        assert paths(said) == [PATH_HELLO]
        at_work.link.wake()
        await said.until(lambda: len(holding.held) == 1)
        assert joined.till.link_up
        # From then on nothing is put off any more.
        await at_work.thread.run(joined.complete, receipt(), 1_000)
        at_work.link.tell()
        await said.until(lambda: len(centre.records()) == 2)


async def test_where_no_pull_waits_a_report_that_found_no_place_is_told_in_its_time(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    holding, centre.takes_reports = HoldingCentre(centre), True
    async with linked(joined, holding, settings=SETTINGS) as (at_work, _):
        await at_work.until(lambda: at_work.link.conversations == 1)
        holding.turns_away = {PATH_REPORT: 2}
        await dropped(at_work)
        await at_work.until(lambda: not joined.till.books.has_news())
        assert len(centre.asked(Report)) == len(centre.asked(Hello)) == 1


async def test_a_hello_that_came_through_is_not_said_again_for_a_pull_that_did_not(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    holding = HoldingCentre(centre)
    centre.hold_s, holding.turns_away = HOLDS_S, {PATH_PULL: 2}
    async with linked(joined, holding, settings=SETTINGS) as (at_work, said):
        await said.until(lambda: len(holding.held) == 1)
        assert len(centre.asked(Hello)) == at_work.link.conversations == 1


async def test_a_centre_whose_database_is_gone_is_greeted_again(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    """It may go on with another one, which does not know what this till has of it."""
    async with listening(joined, centre) as (_, said, holding):
        holding.busy = GONE
        holding.turns_away = {PATH_PULL: 1}
        system.let_pass(200_000)
        holding.let_go()
        await said.until(lambda: len(centre.asked(Hello)) == 2)


async def test_an_older_centre_is_pulled_as_ever(joined: JoinedTill, centre: FakeCentre) -> None:
    async with linked(joined, speaking_for(centre), settings=SETTINGS) as (at_work, said):
        await at_work.until(lambda: at_work.link.conversations == 1)
        assert paths(said) == [PATH_HELLO, PATH_PUSH, PATH_PULL]
        await at_work.thread.run(joined.complete, receipt(), 1_000)
        at_work.link.tell()
        await at_work.until(lambda: at_work.link.conversations == 2)


async def test_sales_ask_the_centre_while_a_pull_waits(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    async with listening(joined, centre) as (at_work, _, __):
        row = customer(points=80)
        centre.accounts[row.card] = row
        answer = await at_work.update(RECEIPT)
        assert answer.customer is not None
        assert answer.customer.points == 80
        assert row.card == joined.till.card_hash(CARD)


def test_a_pull_waits_as_long_as_the_centre_the_settings_and_the_line_allow() -> None:
    holding = Holding(most_s=600)
    assert holding.wait_s(200, 0) == 200
    assert holding.wait_s(200, 1) == 180
    assert holding.wait_s(0, 0) == 0
    assert Holding(most_s=100).wait_s(240, 0) == 100
    assert Holding(most_s=0).wait_s(240, 0) == 0


def test_a_pull_waits_longer_while_the_line_lets_it() -> None:
    holding = Holding(most_s=600)
    waits = []
    for _ in range(6):
        waits.append(holding.wait_s(540, 0))
        assert holding.answered(waits[-1], waits[-1], brought_news=False)
    assert waits == [240, 300, 375, 468, 540, 540]


def test_a_pull_is_asked_shorter_after_a_cut_and_longer_again_while_none_comes() -> None:
    holding = Holding(most_s=600)
    assert holding.broke(60, 240)
    assert holding.wait_s(240, 0) == 30
    for _ in range(30):
        wait_s = holding.wait_s(240, 0)
        assert holding.answered(wait_s, wait_s, brought_news=False)
    assert holding.wait_s(240, 0) == 240
    assert not holding.broke(2, 240)
    assert holding.wait_s(240, 0) == LEAST_S


@pytest.mark.parametrize("lets_through_s", [45, 60, 100, 240, 300, 350])
@pytest.mark.parametrize("is_silent", [False, True])
def test_what_is_always_cut_at_the_same_length_is_soon_left_alone(
    lets_through_s: int, *, is_silent: bool
) -> None:
    """A till finds the longest wait by being cut, then is cut ever more seldom."""
    holding = Holding(most_s=600)
    waits: list[tuple[int, bool]] = []
    for _ in range(400):
        wait_s = holding.wait_s(540, 0)
        lasts = wait_s < lets_through_s
        waits.append((wait_s, lasts))
        if lasts:
            holding.answered(wait_s, wait_s, brought_news=False)
        else:
            holding.broke(wait_s + 20 if is_silent else lets_through_s, wait_s)
    later = waits[200:]
    assert sum(not lasts for _, lasts in later) <= 5
    assert sum(wait_s for wait_s, _ in later) >= 200 * 0.7 * lets_through_s


def test_an_answer_that_came_early_without_news_is_no_reason_to_ask_at_once() -> None:
    holding = Holding(most_s=300)
    assert not holding.answered(0.1, 240, brought_news=False)
    assert holding.answered(0.1, 240, brought_news=True)
    assert holding.answered(200, 240, brought_news=False)

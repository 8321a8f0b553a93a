"""The link in its loop: it outlives whatever the line does, and a sale never waits for it twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import zstandard
from structlog.testing import capture_logs

from agent.errors import JournalDamagedError
from agent.journal.database import Database
from agent.link.central_client import CentralClient
from agent.link.till_side import JournalTillSide
from agent.link.worker import LinkSettings, LinkWorker
from agent.reference_data.cache import open_cache_database
from agent.till_service.messages import ReceiptAnswer
from agent.till_thread import TillThread
from loyalty.outcomes import Outcome
from sync.cycle import PATH_BUNDLE, PATH_HELLO, PATH_PULL, PATH_SNAPSHOT, Ask
from sync.messages import Hello, Message, SnapshotAnswer
from sync.neighbours import AskSibling
from sync.signing import HEADER_SIGNATURE, NO_SESSION
from tests.support import builders
from tests.support.till import (
    CARD,
    IDENTITY,
    OTHER_RECEIPT,
    RECEIPT,
    STRANGER_KEY,
    FakeCentre,
    JoinedTill,
    SetSystem,
    customer,
    joined_over,
    receipt,
)
from tests.unit.agent.scripted_centre import (
    Heard,
    LateReply,
    Reply,
    ScriptedCentre,
    always,
    raw,
    refusing,
    scripted_centre,
    signed,
    speaking_for,
)

QUICK = LinkSettings(
    pull_interval_s=600, hello_interval_s=600, retry_delay_s_max=0.01, request_timeout_s=20
)


class Linked:
    """A till with its link at work, as in the service."""

    def __init__(self, joined: JoinedTill, url: str, settings: LinkSettings) -> None:
        self.joined = joined
        self.thread = TillThread()
        identity = msgspec.structs.replace(IDENTITY, centre_url=url)
        self.client = CentralClient(identity, joined.system)
        self.link = LinkWorker(
            joined.till, self.thread, self.client, settings=settings, software="test"
        )
        self.task = asyncio.create_task(self.link.run())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the link has made the condition true."""
        async with asyncio.timeout(20):
            while not condition():
                assert not self.task.done(), self.task
                await asyncio.sleep(0.001)

    async def update(self, receipt_id: str, *, budget_ms: int = 20_000) -> ReceiptAnswer:
        """Calculate a receipt of the customer, asking the centre as the service does."""
        steps = self.joined.receipts.update(receipt_id, receipt(card=CARD))

        def ask(asked: Ask | AskSibling) -> Awaitable[Message | None]:
            assert isinstance(asked, Ask), "a till without siblings asks none"
            return self.link.ask_in_time(asked, budget_ms=budget_ms)

        return await self.thread.drive(steps, ask)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.client.close()
        self.thread.close()


@asynccontextmanager
async def linked(
    joined: JoinedTill, *replies: LateReply, settings: LinkSettings = QUICK
) -> AsyncIterator[tuple[Linked, ScriptedCentre]]:
    async with scripted_centre(*replies) as centre:
        at_work = Linked(joined, centre.url, settings)
        try:
            yield at_work, centre
        finally:
            await at_work.end()


def silent_about(path: str, otherwise: Reply) -> Reply:
    return lambda heard: None if heard.path == path else otherwise(heard)


PORTAL = always(raw(200, b"<html>log in</html>"))


@pytest.mark.parametrize(
    "trouble",
    [
        always(b""),
        always(b"HTTP/1.1 200 OK\r\n"),
        PORTAL,
        always(raw(200, b"\x80", f"{HEADER_SIGNATURE}: no signature at all")),
        signed(SnapshotAnswer(), by=STRANGER_KEY),
        signed(SnapshotAnswer()),
        refusing("clock_wrong", 400),
        signed(SnapshotAnswer(), "Retry-After: 0.001", status=503),
        signed(SnapshotAnswer(), status=502),
    ],
)
async def test_whatever_the_line_answers_the_link_tries_again(
    joined: JoinedTill, centre: FakeCentre, trouble: Reply
) -> None:
    joined.complete(receipt(), 1_000)
    async with linked(joined, trouble, trouble, trouble, speaking_for(centre)) as (at_work, _):
        await at_work.until(lambda: at_work.link.conversations == 1)
        assert joined.till.link_up
        assert at_work.link.last_error == ""
    head = joined.till.journal.stream.head()
    assert head.acked_seq == head.seq == len(centre.records())


async def test_trouble_is_logged_once_however_long_it_lasts(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    with capture_logs() as logs:
        async with linked(joined, *[PORTAL] * 6, speaking_for(centre)) as (at_work, said):
            await at_work.until(lambda: at_work.link.conversations == 1)
            assert len(said.heard) > 6
    assert [entry["event"] for entry in logs].count("link_down") == 1


async def test_a_conversation_that_broke_begins_anew_by_comparing_streams(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    speaks = speaking_for(centre)
    broken = [speaks, speaks, refusing("session_unknown", 401), speaks]
    async with linked(joined, *broken) as (at_work, said):
        await at_work.until(lambda: at_work.link.conversations == 1)
    paths = [heard.path for heard in said.heard]
    assert paths[0] == paths[3] == PATH_HELLO


async def test_waking_the_link_tells_the_centre_at_once(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    async with linked(joined, speaking_for(centre)) as (at_work, _):
        await at_work.until(lambda: at_work.link.conversations == 1)
        await at_work.thread.run(joined.complete, receipt(), 1_000)
        at_work.link.wake()
        await at_work.until(lambda: at_work.link.conversations == 2)
        assert len(centre.records()) == 2
        assert len(centre.asked(Hello)) == 1


async def test_streams_are_compared_again_after_the_interval(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    async with linked(joined, speaking_for(centre)) as (at_work, _):
        await at_work.until(lambda: at_work.link.conversations == 1)
        system.let_pass(601_000)
        at_work.link.wake()
        await at_work.until(lambda: at_work.link.conversations == 2)
        assert len(centre.asked(Hello)) == 2


async def test_a_sale_hears_of_its_customer_while_the_link_is_up(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    async with linked(joined, speaking_for(centre)) as (at_work, _):
        await at_work.until(lambda: at_work.link.conversations == 1)
        row = customer(points=80)
        centre.accounts[row.card] = row
        answer = await at_work.update(RECEIPT)
        assert answer.customer is not None
        assert (answer.customer.points, answer.link) == (80, "up")


async def test_after_one_miss_the_next_sale_asks_nothing(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    speaks = silent_about(PATH_SNAPSHOT, speaking_for(centre))
    asked: list[Heard] = []

    def answers(heard: Heard) -> bytes | None:
        if heard.path == PATH_SNAPSHOT:
            asked.append(heard)
        # The line is dead from the first question of a sale on, for the link too.
        return None if asked else speaks(heard)

    async with linked(joined, answers) as (at_work, said):
        await at_work.until(lambda: at_work.link.conversations == 1)
        first = await at_work.update(RECEIPT, budget_ms=1_000)
        assert (first.outcome, first.link) == (Outcome.CALCULATED, "down")
        second = await at_work.update(OTHER_RECEIPT)  # would wait 20 s if it asked
        assert (second.outcome, second.link) == (Outcome.CALCULATED, "down")
        assert len(asked) == 1
        # The link itself finds out at once whether the line is really down.
        await said.until(lambda: said.heard[-1].path == PATH_HELLO)


async def test_a_centre_that_is_busy_is_not_greeted_for_every_sale_it_turns_away(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    speaks, busy = speaking_for(centre), refusing("overloaded", 503)

    def answers(heard: Heard) -> bytes | None:
        return (busy if heard.path == PATH_SNAPSHOT else speaks)(heard)

    async with linked(joined, answers) as (at_work, said):
        await at_work.until(lambda: at_work.link.conversations == 1)
        for receipt_id in (RECEIPT, OTHER_RECEIPT):
            answer = await at_work.update(receipt_id)
            assert (answer.outcome, answer.link) == (Outcome.CALCULATED, "up")
        at_work.link.wake()
        await at_work.until(lambda: at_work.link.conversations == 2)
        assert [heard.path for heard in said.heard].count(PATH_HELLO) == 1


async def test_a_centre_whose_database_is_gone_is_greeted_after_a_sale_that_asked_it(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    speaks, gone = speaking_for(centre), refusing("database_unavailable", 503)

    def answers(heard: Heard) -> bytes | None:
        return (gone if heard.path == PATH_SNAPSHOT else speaks)(heard)

    async with linked(joined, answers) as (at_work, said):
        await at_work.until(lambda: at_work.link.conversations == 1)
        answer = await at_work.update(RECEIPT)
        assert (answer.outcome, answer.link) == (Outcome.CALCULATED, "down")
        await said.until(lambda: len(centre.asked(Hello)) == 2)


async def test_a_sale_asks_nothing_before_the_first_conversation(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    async with linked(joined, silent_about(PATH_HELLO, speaking_for(centre))) as (at_work, said):
        await said.until(lambda: len(said.heard) == 1)
        assert joined.till.session == NO_SESSION
        answer = await at_work.update(RECEIPT)
        assert answer.outcome == Outcome.CALCULATED
        assert [heard.path for heard in said.heard] == [PATH_HELLO]


@pytest.mark.parametrize(
    "trouble",
    [
        refusing("session_unknown", 401),
        signed(SnapshotAnswer(), by=STRANGER_KEY),
        always(raw(200, b"\x80", f"{HEADER_SIGNATURE}: none")),
        PORTAL,
    ],
)
async def test_a_bad_answer_to_a_sale_is_no_answer(
    joined: JoinedTill, centre: FakeCentre, trouble: Reply
) -> None:
    speaks = speaking_for(centre)

    def answers(heard: Heard) -> bytes | None:
        return (trouble if heard.path == PATH_SNAPSHOT else speaks)(heard)

    async with linked(joined, answers) as (at_work, _):
        await at_work.until(lambda: at_work.link.conversations == 1)
        answer = await at_work.update(RECEIPT)
        assert answer.outcome == Outcome.CALCULATED
        await at_work.until(lambda: at_work.link.conversations == 2)


async def test_a_disk_that_is_full_for_a_while_does_not_end_the_link(
    tmp_path: Path, centre: FakeCentre
) -> None:
    cache = open_cache_database(str(tmp_path / "cache.db"))
    journal = Database(str(tmp_path / "journal.db"))
    joined = joined_over(journal, tmp_path, cache=cache, centre=centre)
    centre.knows(customer(points=100))
    speaks, pulls = speaking_for(centre), 0

    def answers(heard: Heard) -> bytes | None:
        nonlocal pulls
        answer = speaks(heard)
        if heard.path == PATH_PULL:
            pulls += 1
            for database in (cache, journal):
                database.run(f"pragma query_only={'on' if pulls == 1 else 'off'}")
            centre.changed = list(centre.accounts.values())
        return answer

    async with linked(joined, answers) as (at_work, said):
        await said.until(lambda: pulls == 1)
        await said.until(lambda: said.heard[-1].path == PATH_HELLO)
        for database in (cache, journal):
            await at_work.thread.run(database.run, "pragma query_only=off")
        await at_work.until(lambda: at_work.link.conversations == 1)
        assert joined.till.cache.account_count() == 1
    joined.close()


# A bundle that cannot be fetched


async def test_a_bundle_that_cannot_be_fetched_is_no_line_that_is_down(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    centre.publishes(builders.bundle(version=4))
    speaks, refuses = speaking_for(centre), True

    def answers(heard: Heard) -> bytes | None:
        if not heard.path.startswith(PATH_BUNDLE):
            return speaks(heard)
        assert centre.newest is not None
        return raw(503) if refuses else raw(200, zstandard.compress(centre.newest[1]))

    with capture_logs() as logs:
        async with linked(joined, answers) as (at_work, said):
            link = at_work.link
            await at_work.until(lambda: link.conversations == 1)
            tried = len(fetched(said))
            assert joined.till.link_up
            assert link.last_error == ""
            assert link.rules_not_fetched.endswith("status 503")
            # Sales are told, and nothing is fetched, while the bundle rests.
            await at_work.thread.run(joined.complete, receipt(), 1_000)
            link.wake()
            await at_work.until(lambda: link.conversations == 2)
            assert len(centre.records()) == 2
            assert len(fetched(said)) == tried
            refuses = False
            system.let_pass(600_000)
            await at_work.until(lambda: joined.till.books.active_version == 4)
            assert link.rules_not_fetched == ""
    events = [entry["event"] for entry in logs]
    assert (events.count("bundle_not_fetched"), events.count("link_down")) == (1, 0)


def fetched(said: ScriptedCentre) -> list[Heard]:
    return [heard for heard in said.heard if heard.path.startswith(PATH_BUNDLE)]


# Mistakes in talking


async def test_a_mistake_in_talking_ends_no_link(
    joined: JoinedTill, centre: FakeCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistakes, asks = 3, CentralClient.ask

    async def ask(client: CentralClient, ask: Ask, *, session: bytes, timeout_s: float) -> Message:
        nonlocal mistakes
        if ask.path == PATH_HELLO and mistakes:
            mistakes -= 1
            raise ZeroDivisionError("a mistake")
        return await asks(client, ask, session=session, timeout_s=timeout_s)

    monkeypatch.setattr(CentralClient, "ask", ask)
    joined.complete(receipt(), 1_000)
    with capture_logs() as logs:
        async with linked(joined, speaking_for(centre)) as (at_work, _):
            await at_work.until(lambda: at_work.link.conversations == 1)
            assert at_work.link.last_error == ""
    assert [entry["event"] for entry in logs].count("link_failed") == 3
    head = joined.till.journal.stream.head()
    assert head.acked_seq == head.seq == len(centre.records())


async def test_a_journal_that_is_damaged_ends_the_link(
    joined: JoinedTill, centre: FakeCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(_: object) -> None:
        raise JournalDamagedError("a page is not what it was")

    monkeypatch.setattr(JournalTillSide, "next_push", damaged)
    async with linked(joined, speaking_for(centre)) as (at_work, _):
        with pytest.raises(JournalDamagedError):
            await asyncio.wait_for(asyncio.shield(at_work.task), 20)

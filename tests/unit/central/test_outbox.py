"""Events are written with what happened and reach a broker at least once, in order by account."""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest

from bench.demo.rig import free_port
from central.database.pool import Pool
from central.errors import NotFoundError
from central.ledger.adjustments import (
    Adjustment,
    AdjustmentLimit,
    AdjustmentReason,
    adjust,
    put_limit,
    put_reason,
)
from central.ledger.merging import merge_accounts, undo_merge
from central.outreach import outbox
from central.outreach.events import (
    DATA_TYPES,
    RULES_KEY,
    AccountMerged,
    Event,
    PointsEarned,
    PointsRedeemed,
    RulesStateChanged,
    StoredEvent,
    event_id,
    event_schema,
)
from central.outreach.floor import MARKED_MS, WHOLE_LOOK_MS
from central.outreach.outbox import dead_events, read_state
from central.outreach.port import TAKEN, Answer, SinkUnavailableError
from central.outreach.relay import ATTEMPTS_MAX, LOCK, Relay
from central.people.tiers import Tier, TierTerms, put_terms, tend_tiers
from central.privacy.customers import CustomerDesk
from central.privacy.erasing import ask_erasure, tend_erasures
from central.rules import releases
from central.system import System
from tests.support.brokers import NatsBroker
from tests.support.centre import BUNDLE, PERSONAL_KEYS, JoinedCentre, joined_centre
from tests.support.command_line import Ended, central
from tests.support.explained import explained_pool
from tests.support.till_probe import take


@dataclass(slots=True)
class Shelf:
    """A broker in memory.

    Attributes:
        refuses: ids of events it will never take, with why.
        is_away: takes nothing and says so.
        forgets_to_answer: has what it was given, and is gone before it says so, so often.
        has_no_room: for events of these keys, now.
    """

    taken: list[StoredEvent] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    is_away: bool = False
    forgets_to_answer: int = 0
    has_no_room: set[str] = field(default_factory=set)

    async def publish(self, events: Sequence[StoredEvent]) -> list[Answer]:
        assert len({event.key for event in events}) == len(events), "one of each key at a time"
        if self.is_away:
            raise SinkUnavailableError("away")
        answers = [
            Answer(waits="no room")
            if event.key in self.has_no_room
            else Answer(refused=self.refuses.get(event.id, ""))
            for event in events
        ]
        self.taken += [each for each, said in zip(events, answers, strict=True) if said == TAKEN]
        if self.forgets_to_answer:
            self.forgets_to_answer -= 1
            raise SinkUnavailableError("gone")
        return answers

    async def close(self) -> None:
        """Nothing to leave."""

    def told(self) -> list[dict[str, object]]:
        """Return the events as receivers have them."""
        return [json.loads(event.encode()) for event in self.taken]


async def published(pool: Pool, system: System, shelf: Shelf | None = None) -> Shelf:
    """Publish all there is."""
    shelf = shelf or Shelf()
    relay = Relay(pool, shelf, system)
    async with pool.acquire() as connection:
        while await relay.step(connection):
            pass
    return shelf


@pytest.fixture
async def told_of(centre: JoinedCentre) -> JoinedCentre:
    """A centre whose events are wanted."""
    await outbox.want(centre.pool, wanted=True)
    return centre


async def write(centre: JoinedCentre, *keys: str) -> list[str]:
    """Write an event of each key; returns their ids in order."""
    events = [
        Event(key, PointsRedeemed(account=7, receipt=f"s{number}", points=number + 1))
        for number, key in enumerate(keys)
    ]
    async with centre.pool.acquire() as connection, connection.transaction():
        await outbox.write(connection, events, now_ms=centre.system.now_ms())
    rows = await centre.pool.fetch("select id::text from outbox order by event_id")
    return [row["id"] for row in rows][-len(keys) :]


# What is written


async def test_nothing_is_written_while_nobody_is_to_be_told(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    await centre.post(till, till.sale("s1", account=7))
    assert await read_state(centre.pool) == outbox.OutboxState(
        wanted=False, waiting=0, oldest_ms=None, refused=0, dead=0
    )


async def test_a_receipt_and_its_points_are_told_once_and_in_order(told_of: JoinedCentre) -> None:
    till = await told_of.till()
    await told_of.customer(7, 300, card="4007")
    (right,) = (await till.authorise("s1", 7, 20)).authorisations
    sale = till.sale("s1", account=7, sources=[take(right)])
    await told_of.post(till, sale)
    await told_of.post(till, sale)  # known: nothing happens a second time
    await told_of.post(till, till.sale("s2"), till.refund("r1", "s1"))
    told = (await published(told_of.pool, told_of.system)).told()
    kinds = [(each["subject"], str(each["type"]).removeprefix("tillside.")) for each in told]
    own = [kind for key, kind in kinds if key == "account/7"]
    assert own == [
        "receipt.posted.v1", "points.redeemed.v1", "points.earned.v1", "receipt.returned.v1",
    ]  # fmt: skip
    assert [kind for key, kind in kinds if key == f"till/{till.till_id}"] == ["receipt.posted.v1"]
    (first,) = [each["data"] for each in told if each["type"] == "tillside.points.redeemed.v1"]
    assert first == {"account": 7, "receipt": "s1", "points": 20}


async def test_every_kind_of_event_is_told_as_its_schema_says(told_of: JoinedCentre) -> None:
    centre, now_ms = told_of, told_of.system.now_ms()
    till = await centre.till()
    await centre.customer(7, 300, card="4007")
    await centre.customer(8, 10)
    async with centre.pool.acquire() as connection, connection.transaction():
        tiers = (Tier(name="", at_least=0), Tier(name="gold", at_least=1))
        await put_terms(connection, TierTerms(tiers=tiers), person="ann", now_ms=now_ms)
        reason = AdjustmentReason(code="goodwill", title="Goodwill", points_max=500, days=30)
        await put_reason(connection, reason, person="root", now_ms=0)
        limit = AdjustmentLimit(role="call_centre", points_per_day=500)
        await put_limit(connection, limit, person="root", now_ms=0)
    (right,) = (await till.authorise("s1", 7, 20)).authorisations
    sale = till.sale("s1", account=7, sources=[take(right)])
    await centre.post(till, sale, till.refund("r1", "s1"), till.sale("s2", account=7))
    await tend_tiers(centre.pool, now_ms=now_ms)
    wish = Adjustment(key="key-00001", account_id=7, points=-5, reason="goodwill")
    await adjust(centre.pool, wish, person="ann", roles=["call_centre"], now_ms=now_ms)
    merged = await merge_accounts(centre.pool, 8, 7, person="ann", reason="same", now_ms=now_ms)
    await undo_merge(centre.pool, merged.merge_id, person="ann", now_ms=now_ms)
    await centre.publish(replace(BUNDLE, version=BUNDLE.version + 1))
    async with centre.pool.acquire() as connection:
        (release, *_) = await releases.list_releases(connection)
        await releases.halt(
            connection, release.version, why="wrong", by="ann", system=centre.system
        )
    people = CustomerDesk(centre.pool, PERSONAL_KEYS, centre.system)
    await ask_erasure(people, 8, reason="asked", person="ann")
    await tend_erasures(centre.pool, now_ms=now_ms)
    told = (await published(centre.pool, centre.system)).told()
    kinds = {str(each["type"]).removeprefix("tillside.") for each in told}
    assert kinds | {"points.partner.v1"} == set(DATA_TYPES)  # that one: test_partner_api
    for each in told:
        name = str(each["type"]).removeprefix("tillside.")
        jsonschema.validate(each, event_schema(name))
    # Neither the card nor who did it is in any of them.
    everything = json.dumps(told)
    for secret in ("4007", till.card("4007").hex(), "ann"):
        assert secret not in everything


@pytest.mark.filterwarnings("ignore:.*log listener:asyncpg.InterfaceWarning")
async def test_a_batch_of_receipts_is_told_by_one_statement(database: str) -> None:
    async with explained_pool(database) as (pool, heard), joined_centre(pool) as centre:
        await outbox.want(pool, wanted=True)
        till = await centre.till()
        for account_id in range(1, 21):
            await centre.customer(account_id)
            till.append(till.sale(f"s{account_id}", account=account_id))
        await till.push()
        heard.take()
        await centre.apply()
        written = [each for each in heard.take() if each.text.startswith("insert into outbox")]
        assert len(written) == 1
        assert (await read_state(pool)).waiting == 40


async def test_what_is_undone_is_not_told(told_of: JoinedCentre) -> None:
    event = Event("account/7", PointsRedeemed(account=7, receipt="s1", points=1))
    async with told_of.pool.acquire() as connection:
        undone = connection.transaction()
        await undone.start()
        await outbox.write(connection, [event], now_ms=0)
        await undone.rollback()
    assert (await read_state(told_of.pool)).waiting == 0


# How it is published


async def test_events_of_rules_are_numbered_in_the_order_they_are_committed(
    told_of: JoinedCentre,
) -> None:
    def halted(release: int) -> list[Event]:
        data = RulesStateChanged(release=release, bundle="", state="halted", by_guard=True)
        return [Event(RULES_KEY, data)]

    pool = told_of.pool
    async with pool.acquire() as first, pool.acquire() as second:
        one, other = first.transaction(), second.transaction()
        await one.start()
        await outbox.write(first, halted(1), now_ms=0)
        await other.start()
        writing = asyncio.create_task(outbox.write(second, halted(2), now_ms=0))
        async with asyncio.timeout(60):
            while not await pool.fetchval("select exists (select from pg_locks where not granted)"):
                assert not writing.done()
        await write(told_of, "account/7")  # waits for nobody
        await one.commit()
        await writing
        await other.commit()
    rows = await pool.fetch(
        "select key, data::json ->> 'release' as release from outbox order by 1"
    )
    assert [tuple(row) for row in rows] == [("account/7", None), ("rules", "1"), ("rules", "2")]


async def test_nothing_is_lost_or_out_of_order_whatever_fails(
    told_of: JoinedCentre, seed: int
) -> None:
    draws = random.Random(seed)
    keys = [f"account/{draws.randrange(6)}" for _ in range(80)]
    ids = await write(told_of, *keys)
    shelf = Shelf()
    relay = Relay(told_of.pool, shelf, told_of.system)
    async with told_of.pool.acquire() as connection:
        while (await read_state(told_of.pool)).waiting:
            shelf.is_away = draws.random() < 0.3
            shelf.forgets_to_answer = draws.randrange(2)
            try:
                await relay.step(connection)
            except SinkUnavailableError:
                continue
    told = [event.id for event in shelf.taken]
    assert set(told) == set(ids)
    for key in set(keys):
        own = [event_id for event_id, whose in zip(ids, keys, strict=True) if whose == key]
        # Repeats left out, each key's events are in the order they happened.
        assert [*dict.fromkeys(each for each in told if each in set(own))] == own


async def test_what_was_confirmed_is_not_published_again_when_others_wait(
    told_of: JoinedCentre,
) -> None:
    one, two, three = await write(told_of, "account/1", "account/2", "account/1")
    shelf = Shelf(has_no_room={"account/2"})
    relay = Relay(told_of.pool, shelf, told_of.system)
    async with told_of.pool.acquire() as connection:
        with pytest.raises(SinkUnavailableError, match="no room"):
            await relay.step(connection)
        assert [event.id for event in shelf.taken] == [one]
        shelf.has_no_room = set()
        while await relay.step(connection):
            pass
    assert [event.id for event in shelf.taken] == [one, two, three]


async def test_a_client_that_never_answers_is_given_up(told_of: JoinedCentre) -> None:
    @dataclass(slots=True)
    class Silent(Shelf):
        was_left: bool = False

        async def publish(self, events: Sequence[StoredEvent]) -> list[Answer]:
            await asyncio.Event().wait()
            raise AssertionError("never")

        async def close(self) -> None:
            self.was_left = True

    await write(told_of, "account/1")
    silent = Silent()
    relay = Relay(told_of.pool, silent, told_of.system, sink_s=0.05)
    async with told_of.pool.acquire() as connection:
        with pytest.raises(SinkUnavailableError, match="no answer"):
            await relay.step(connection)
    assert silent.was_left


async def test_the_relay_begins_behind_what_is_published_and_finds_what_came_late(
    told_of: JoinedCentre,
) -> None:
    shelf = Shelf()
    relay = Relay(told_of.pool, shelf, told_of.system)
    async with told_of.pool.acquire() as connection, told_of.pool.acquire() as slow:
        undecided = slow.transaction()
        await undecided.start()
        event = Event("account/9", PointsRedeemed(account=9, receipt="late", points=1))
        await outbox.write(slow, [event], now_ms=1)
        for number in range(4):
            await write(told_of, f"account/{number}")
            await relay.step(connection)
            told_of.system.at_ms += MARKED_MS
        floor = await connection.fetchval("select floor from outbox_state")
        assert 1 < floor <= 5
        await undecided.commit()
        assert [event.key for event in shelf.taken] == [f"account/{n}" for n in range(4)]
        told_of.system.at_ms += WHOLE_LOOK_MS
        await relay.step(connection)
    assert shelf.taken[-1].key == "account/9"


def test_what_is_told_again_after_a_restore_has_the_same_id() -> None:
    first = Event("account/7", PointsRedeemed(account=7, receipt="s1", points=5))
    again = Event("account/8", PointsRedeemed(account=8, receipt="s1", points=5))
    assert event_id(first, now_ms=1) == event_id(again, now_ms=2)
    other = Event("account/7", PointsRedeemed(account=7, receipt="s2", points=5))
    earned = Event("account/7", PointsEarned(account=7, receipt="s1", points=5, lots=()))
    assert len({event_id(each, now_ms=1) for each in (first, other, earned)}) == 3
    # A number of the centre's own may be another one's after a restore: the moment tells them.
    merged = Event("account/7", AccountMerged(merge=1, from_account=8, into_account=7, points=0))
    assert event_id(merged, now_ms=1) != event_id(merged, now_ms=2)


async def test_a_refused_event_holds_up_its_key_alone_and_then_lies_apart(
    told_of: JoinedCentre,
) -> None:
    bad, _, behind = await write(told_of, "account/7", "account/8", "account/7")
    shelf = Shelf(refuses={bad: "too large"})
    await published(told_of.pool, told_of.system, shelf)
    assert [event.key for event in shelf.taken] == ["account/8"]
    state = await read_state(told_of.pool)
    assert (state.waiting, state.refused, state.dead) == (2, 1, 0)
    for _ in range(ATTEMPTS_MAX - 1):
        told_of.system.at_ms += 3_600_000
        await published(told_of.pool, told_of.system, shelf)
    assert [event.id for event in shelf.taken][1:] == [behind]
    (dead,) = await dead_events(told_of.pool)
    assert (dead.id, dead.key, dead.why) == (bad, "account/7", "too large")
    shelf.refuses = {}
    await outbox.resend(told_of.pool, dead.event_id)
    await published(told_of.pool, told_of.system, shelf)
    assert shelf.taken[-1].id == bad
    with pytest.raises(NotFoundError):
        await outbox.drop_dead(told_of.pool, dead.event_id)
    assert await read_state(told_of.pool) == outbox.OutboxState(
        wanted=True, waiting=0, oldest_ms=None, refused=0, dead=0
    )


async def test_one_process_publishes_and_another_takes_over(told_of: JoinedCentre) -> None:
    began = asyncio.Event()

    @dataclass(slots=True)
    class Noticed(Shelf):
        async def publish(self, events: Sequence[StoredEvent]) -> list[Answer]:
            began.set()
            return await Shelf.publish(self, events)

    relay = asyncio.create_task(Relay(told_of.pool, Noticed(), told_of.system).run())
    async with asyncio.timeout(30):
        await began.wait()
    async with told_of.pool.acquire() as another:
        assert not await outbox.lead(another, LOCK)
        relay.cancel()
        await asyncio.gather(relay, return_exceptions=True)
        # The one that led leads no more as soon as the server has ended its session.
        async with asyncio.timeout(30):
            while not await outbox.lead(another, LOCK):
                pass
        await another.reset()


async def test_a_purchase_reaches_a_real_broker(centre: JoinedCentre) -> None:
    """From the till's receipt to a subscriber of NATS, over the relay as it runs in the centre."""
    if why_not := NatsBroker.why_not():
        pytest.skip(why_not)
    with NatsBroker.running(free_port()) as broker:
        await broker.prepare("events")
        relay = asyncio.create_task(Relay(centre.pool, broker.sink("events"), centre.system).run())
        try:
            await _until_wanted(centre.pool)
            till = await centre.till()
            await centre.customer(7)
            await centre.post(till, till.sale("s1", account=7))
            received = await broker.read("events", 2)
        finally:
            relay.cancel()
            await asyncio.gather(relay, return_exceptions=True)
    assert [each.event["type"] for each in received] == [
        "tillside.receipt.posted.v1", "tillside.points.earned.v1",
    ]  # fmt: skip
    assert received[1].event["data"]["points"] == 100


async def _until_wanted(pool: Pool) -> None:
    async with asyncio.timeout(20):
        while not (await read_state(pool)).wanted:  # noqa: ASYNC110 - it stands in the database
            await asyncio.sleep(0)


# Dead events sent again


async def dead_ones(centre: JoinedCentre, *keys: str) -> list[str]:
    """Have the broker refuse an event of each key for good; returns their ids in order."""
    ids = await write(centre, *keys)
    shelf = Shelf(refuses=dict.fromkeys(ids, "no queue"))
    for _ in range(ATTEMPTS_MAX):
        await published(centre.pool, centre.system, shelf)
        centre.system.at_ms += 3_600_000
    assert (await read_state(centre.pool)).dead >= len(keys)
    return ids


def resend(database: str, folder: Path, *options: str) -> Ended:
    return central("events", "resend", *options, "--database", database, "--data", folder)


async def test_dead_events_are_sent_again_by_type_time_and_key_in_their_order(
    told_of: JoinedCentre, database: str, tmp_path: Path
) -> None:
    def again(*options: str) -> object:
        ended = resend(database, tmp_path, "--json", *options)
        assert ended.code == 0, ended.complained
        return json.loads(ended.said)

    early = await dead_ones(told_of, "account/7", "account/8", "account/9")
    between = datetime.fromtimestamp(told_of.system.at_ms / 1000, UTC).isoformat()
    told_of.system.at_ms += 60_000
    late = await dead_ones(told_of, "account/7")
    for options, resent in (
        (("--type", "receipt.posted.v1"), 0),
        (("--of", "account/8"), 1),
        (("--from", between, "--type", "points.redeemed.v1"), 1),
        (("--to", between), 2),
        (("--all",), 0),
    ):
        assert await asyncio.to_thread(again, *options) == {"resent": resent}
    rows = await told_of.pool.fetch("select id::text from outbox order by event_id")
    assert [row["id"] for row in rows] == [early[1], late[0], early[0], early[2]]
    assert len((await published(told_of.pool, told_of.system)).taken) == 4
    details = await told_of.pool.fetch(
        "select detail::json ->> 'resent' as resent from audit where action = 'events.resend'"
        " order by at_ms, detail::json ->> 'resent'"
    )
    assert [row["resent"] for row in details] == ["1", "1", "2"]


async def test_whoever_sends_again_says_what(
    told_of: JoinedCentre, database: str, tmp_path: Path
) -> None:
    for options in ((), ("4711", "--all"), ("--all", "--type", "x"), ("--from", "yesterday")):
        ended = await asyncio.to_thread(resend, database, tmp_path, *options)
        assert ended.code == 1, options
    (dead,) = await dead_ones(told_of, "account/7")
    (row,) = await dead_events(told_of.pool)
    ended = await asyncio.to_thread(resend, database, tmp_path, str(row.event_id), "--json")
    assert json.loads(ended.said)["resent"] == 1
    assert [each.id for each in (await published(told_of.pool, told_of.system)).taken] == [dead]


async def test_what_dies_while_the_dead_are_sent_again_stays_where_it_is(
    told_of: JoinedCentre,
) -> None:
    await dead_ones(told_of, "account/7", "account/8")
    found = await outbox.count_dead(told_of.pool, outbox.DeadOnes())
    assert found.number == 2
    await dead_ones(told_of, "account/9")
    assert await outbox.resend_some(told_of.pool, outbox.DeadOnes(), found.newest) == 2
    assert await outbox.resend_some(told_of.pool, outbox.DeadOnes(), found.newest) == 0
    assert (await read_state(told_of.pool)).dead == 1

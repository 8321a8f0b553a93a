"""Two machines that run as one till are quarantined; a disk that came back once is not."""

import msgspec

from central.rights.suspicion import Cleared, clear_till
from sync.cycle import PATH_HELLO
from sync.messages import Hello, HelloAnswer
from tests.support.centre import JoinedCentre, PoolState, Totals
from tests.support.till_probe import TillProbe, risk

STREAMS = "select count(*) from till_stream where till_id = $1"


class Machine(TillProbe):
    """A till that does what its centre tells it, and may have a twin."""

    previous: tuple[bytes, ...] = ()
    letter = b"a"

    def image(self, letter: bytes) -> "Machine":
        """Return a second machine over a copy of this one's disk."""
        other = Machine(self.http, self.key, self.identity, self.rules)
        other.number, other.incarnation = self.number, self.incarnation
        other.bodies, other.hashes, other.acked = [*self.bodies], [*self.hashes], self.acked
        other.previous, other.letter = self.previous, letter
        return other

    def hello_message(self) -> Hello:
        """Say as a till does which stream this one goes on from, until the centre has it."""
        said = super().hello_message()
        return said if self.acked else msgspec.structs.replace(said, previous=self.previous)

    async def talk(self) -> HelloAnswer:
        """Say HELLO until that ends in a session, then push what is not there."""
        while (answer := await self.ask_hello()).verdict == "amnesia":
            self.begin_anew(answer.incarnation_number_min)
        if len(self.bodies) > self.acked and (pushed := await self.push()).verdict == "fork":
            self.begin_anew(pushed.incarnation_number_min)
            return await self.talk()
        return answer

    async def ask_hello(self) -> HelloAnswer:
        """Say HELLO once and take the session."""
        self.session = bytes(16)
        answer = await self.ask(PATH_HELLO, self.hello_message(), HelloAnswer)
        self.session = answer.session
        if answer.verdict == "ok":
            self.acked = answer.last_seq
        return answer

    def begin_anew(self, number: int) -> None:
        """Begin a stream that goes on from the current one, and repeats what it sold."""
        self.previous = (self.incarnation, *self.previous)[:8]
        sold = [body for body in self.bodies[self.acked :] if b'"kind":"sale"' in body]
        incarnation = self.letter * 4 + number.to_bytes(4, "big")
        self.open_stream(number, reason="amnesia", incarnation=incarnation)
        for body in sold:
            self.append(body)


async def machine(centre: JoinedCentre) -> Machine:
    """A till that holds the 300 points of customer 7, and a risk budget."""
    await centre.fund(5_000)
    probe = await centre.till(is_vault=True, greet=False)
    till = Machine(probe.http, probe.key, probe.identity, probe.rules)
    await till.talk()
    await centre.customer(7, 300, home="store-1")
    await till.pull()
    await till.push()
    await centre.apply()
    return till


async def two_machines(centre: JoinedCentre) -> tuple[Machine, Machine]:
    """Two machines of one till, which have talked until the centre was sure."""
    one = await machine(centre)
    two = one.image(b"b")
    for each in (one, two):
        each.append(each.sale(f"{each.letter.decode()}1"))
    for _ in range(3):
        await one.talk()
        await two.talk()
    return one, two


async def test_two_machines_are_quarantined_and_begin_no_more_streams(
    centre: JoinedCentre,
) -> None:
    one, two = await two_machines(centre)
    begun = await centre.pool.fetchval(STREAMS, one.till_id)
    assert begun <= 4
    for _ in range(20):
        for each in (one, two):
            answer = await each.talk()
            assert (answer.verdict, answer.quarantined) == ("ok", True)
            assert (answer.risk_points_total, answer.hold_s) == (0, 0)
    assert await centre.pool.fetchval(STREAMS, one.till_id) == begun
    assert await centre.risk_pool() == PoolState(4_500, 500)


async def test_what_both_sell_in_quarantine_is_posted_once_each(centre: JoinedCentre) -> None:
    machines = await two_machines(centre)
    for number in (2, 3):
        for each in machines:
            each.append(each.sale(f"{each.letter.decode()}{number}"))
            await each.talk()
    await centre.apply()
    rows = await centre.pool.fetch("select sale_key from receipt order by sale_key")
    assert [row["sale_key"] for row in rows] == ["a1", "a2", "a3", "b1", "b2", "b3"]


async def test_neither_gets_points_of_customers(centre: JoinedCentre) -> None:
    one, _ = await two_machines(centre)
    await centre.customer(8, 100, home="store-1")
    await one.talk()
    assert (await one.pull()).grants == ()
    assert (await one.authorise("s9", 8, 50)).authorisations == ()
    assert (await one.ask_counters("campaign.uses:spring")).grants == ()
    assert await centre.totals(8) == Totals(100)


async def test_a_push_in_quarantine_verifies_nothing(centre: JoinedCentre) -> None:
    one, _ = await two_machines(centre)
    await one.talk()
    one.append(one.sale("a2"))
    await one.push()
    assert not await centre.pool.fetchval("select session_verified from till")


async def test_streams_begun_where_the_centre_did_not_hear_hide_no_second_machine(
    centre: JoinedCentre,
) -> None:
    """A sibling tells them apart as well, and they begin anew before they say HELLO."""
    one = await machine(centre)
    two = one.image(b"b")
    for _ in range(4):
        for each in (one, two):
            each.begin_anew(each.number + 1)
            await each.talk()
    assert (await one.talk()).quarantined


async def test_a_disk_that_came_back_goes_on_as_before(centre: JoinedCentre) -> None:
    till = await machine(centre)
    image = till.image(b"b")
    await centre.post(till, till.sale("a1", account=7, sources=[risk(20)]))
    answer = await image.talk()
    assert (answer.verified, answer.quarantined, image.number) == (True, False, 2)
    # An older image of it comes back after that.
    oldest = till.image(b"c")
    oldest.forget_after(1)
    answer = await oldest.talk()
    assert (answer.verified, answer.quarantined, oldest.number) == (True, False, 3)
    assert await centre.pool.fetchval(STREAMS, till.till_id) == 3


async def test_disks_that_come_back_one_after_the_other_are_no_second_machine(
    centre: JoinedCentre,
) -> None:
    till = await machine(centre)
    for _ in range(10):
        before = till.image(b"a")
        await centre.post(till, till.sale(f"s{till.number}"))
        till = before
        assert not (await till.talk()).quarantined
    assert till.number == 11


async def test_a_request_that_is_repeated_late_quarantines_nobody(centre: JoinedCentre) -> None:
    till = await machine(centre)
    before = till.image(b"b")
    late = [before.request(PATH_HELLO, before.hello_message()) for _ in range(5)]
    await centre.post(till, till.sale("a1"))
    await before.talk()
    for request in late:
        assert (await before.send(request, HelloAnswer)).verdict == "amnesia"
        assert not (await before.talk()).quarantined


async def test_who_has_looked_lifts_it_and_a_second_machine_is_found_again(
    centre: JoinedCentre,
) -> None:
    one, two = await two_machines(centre)
    cleared = await clear_till(centre.pool, one.till_id, now_ms=centre.system.now_ms())
    assert cleared.was_quarantined
    answer = await one.talk()
    assert (answer.verified, answer.quarantined) == (True, False)
    centre.system.at_ms += 1
    for _ in range(3):
        await two.talk()
        await one.talk()
    assert (await two.talk()).quarantined


async def test_only_what_is_there_is_lifted(centre: JoinedCentre) -> None:
    till = await machine(centre)
    cleared = await clear_till(centre.pool, till.till_id, now_ms=centre.system.now_ms())
    assert cleared == Cleared(streams=0, was_quarantined=False)

"""Points that went from till to till: spent by whoever had them, home once, stranded ones found."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from central.database.pool import Pool
from central.rights.exposure import read_exposure
from central.rights.grants import Holder
from central.rights.issuing import RightsSettings
from central.rights.tending import Tended, tend
from central.streams.transfers import left_with_others
from sync import cycle
from sync.messages import AuthoriseRequest, Grant, HelloAnswer, PullAnswer, Roster
from sync.neighbours import transfer_content
from sync.records import GrantReturnRecord, Source, XferInRecord, XferOutRecord
from tests.support.centre import NOW_MS, JoinedCentre, Totals, joined_centre
from tests.support.till_probe import Outcome, TillProbe, take

ACCEPTED = Outcome("accepted")
NONCE = b"n" * 16
TRANSFER = "01957e3c-9a90-7777-8abc-00aa11bb22cc"


@dataclass(slots=True)
class Pair:
    """A vault with a grant of 300 points of account 7, and a sibling that holds nothing."""

    centre: JoinedCentre
    vault: TillProbe
    sibling: TillProbe
    grant: Grant

    def out(self, points: int = 100, **change: Any) -> XferOutRecord:  # noqa: ANN401
        """Return the vault's record of a transfer to the sibling."""
        record = XferOutRecord(
            at_ms=NOW_MS,
            transfer_id=TRANSFER,
            grant_id=self.grant.grant_id,
            account_id=7,
            points=points,
            lots=take(self.grant, points).lots,
            to_till=self.sibling.till_id,
            to_incarnation=self.sibling.incarnation.hex(),
            nonce=NONCE.hex(),
        )
        return msgspec.structs.replace(record, **change)

    def come(self, points: int = 100, **change: Any) -> XferInRecord:  # noqa: ANN401
        """Return the sibling's record of it, with the vault's signature."""
        out = self.out(points)
        content = transfer_content(
            TRANSFER,
            grant_id=out.grant_id,
            account_id=7,
            points=points,
            lots=out.lots,
            giver=(self.vault.till_id, self.vault.incarnation),
            receiver=(self.sibling.till_id, self.sibling.incarnation),
            nonce=NONCE,
        )
        record = XferInRecord(
            at_ms=NOW_MS,
            transfer_id=TRANSFER,
            grant_id=out.grant_id,
            account_id=7,
            points=points,
            lots=out.lots,
            from_till=self.vault.till_id,
            from_incarnation=self.vault.incarnation.hex(),
            nonce=NONCE.hex(),
            signature=self.vault.key.sign(content).hex(),
        )
        return msgspec.structs.replace(record, **change)

    def used(self, points: int) -> Source:
        """Return a source of a receipt of the sibling."""
        source = take(self.grant, points)
        return msgspec.structs.replace(source, transfer_id=TRANSFER)

    def home(self, points: int) -> GrantReturnRecord:
        """Return the sibling's record of what it sends home."""
        back = self.sibling.give_back(self.grant, points)
        return msgspec.structs.replace(back, transfer_id=TRANSFER)

    async def outstanding(self) -> int:
        """Return what the centre still holds for the grant."""
        held: int = await self.centre.pool.fetchval(
            "select outstanding from right_grant where grant_id = $1", self.grant.grant_id
        )
        return held

    async def elsewhere(self) -> int:
        """Return what the sibling has of it, as far as the centre knows."""
        async with self.centre.pool.acquire() as connection:
            return await left_with_others(connection, 7, self.grant.grant_id)

    async def stranded(self) -> list[str]:
        """Return the transfers that were brought home because nobody took them."""
        rows = await self.centre.pool.fetch("select transfer_id from right_transfer where stranded")
        return [row["transfer_id"] for row in rows]


async def pair(centre: JoinedCentre) -> Pair:
    """Set the scene."""
    vault, sibling = await centre.till(is_vault=True), await centre.till()
    await centre.customer(7, 300, home="store-1")
    (grant,) = (await vault.pull()).grants
    await vault.push()
    await sibling.push()
    await centre.apply()
    return Pair(centre, vault, sibling, grant)


async def pull(till: TillProbe, *, seq: int | None = None, roster: str = "") -> PullAnswer:
    """Pull and say where the stream stands, as tills do."""
    bare = till.pull_message()
    seq = len(till.bodies) if seq is None else seq
    message = msgspec.structs.replace(bare, seq=seq, roster=roster)
    return await till.ask(cycle.PATH_PULL, message, PullAnswer)


# Any order


@pytest.mark.parametrize("first", ["out", "in", "both", "neither"])
async def test_a_receipt_is_settled_from_the_grant_whatever_is_known_of_the_transfer(
    centre: JoinedCentre, first: str
) -> None:
    p = await pair(centre)
    if first in ("out", "both"):
        assert await centre.post(p.vault, p.out()) == [ACCEPTED]
    if first in ("in", "both"):
        assert await centre.post(p.sibling, p.come()) == [ACCEPTED]
    sale = p.sibling.sale("s1", account=7, sources=[p.used(70)])
    assert await centre.post(p.sibling, sale) == [ACCEPTED]
    assert await p.outstanding() == 230
    # 93 earned for the 9.30 paid
    assert await centre.totals(7) == Totals(300 - 70 + 93, 230)
    if first in ("in", "neither"):
        assert await centre.post(p.vault, p.out()) == [ACCEPTED]
    if first in ("out", "neither"):
        assert await centre.post(p.sibling, p.come()) == [ACCEPTED]
    assert await p.elsewhere() == 30
    assert await centre.post(p.sibling, p.home(30)) == [ACCEPTED]
    assert (await p.outstanding(), await p.elsewhere()) == (200, 0)
    spent = p.vault.sale("s2", account=7, sources=[take(p.grant, 200)])
    assert await centre.post(p.vault, spent) == [ACCEPTED]
    assert await p.outstanding() == 0
    assert (await centre.totals(7)).held == 0


async def test_points_sent_home_wait_until_the_transfer_is_known(centre: JoinedCentre) -> None:
    p = await pair(centre)
    (waits,) = await centre.post(p.sibling, p.home(100))
    assert waits == Outcome("parked", "its transfer has not come yet")
    assert await p.outstanding() == 300
    await centre.post(p.vault, p.out())
    outcomes = await centre.outcomes(p.sibling)
    assert outcomes[len(p.sibling.bodies)] == ACCEPTED
    assert await p.outstanding() == 200


async def test_points_of_a_grant_the_centre_forgot_wait_for_nothing(centre: JoinedCentre) -> None:
    """It went back to a copy of before: the transfer will be refused, too."""
    p = await pair(centre)
    back = msgspec.structs.replace(p.home(100), grant_id="00000000-0000-7000-8000-00000000dead")
    (decided,) = await centre.post(p.sibling, back)
    assert decided == Outcome("rejected_kept", "no such grant of this till")


async def test_a_receipt_repeated_in_a_new_stream_is_still_paid_by_the_transfer(
    centre: JoinedCentre,
) -> None:
    p = await pair(centre)
    await centre.post(p.vault, p.out())
    sale = p.sibling.sale("s1", account=7, sources=[p.used(70)])
    p.sibling.open_stream(2)
    await p.sibling.hello()
    assert await centre.post(p.sibling, sale) == [ACCEPTED]
    assert await p.outstanding() == 230


# What is not its till's to send home (N9)


async def test_a_vault_does_not_send_home_what_a_sibling_has(centre: JoinedCentre) -> None:
    p = await pair(centre)
    await centre.post(p.vault, p.out())
    (decided,) = await centre.post(p.vault, p.vault.give_back(p.grant))
    assert decided == Outcome("adjusted", "the grant had fewer points", -100)
    assert (await p.outstanding(), await p.elsewhere()) == (100, 100)
    sale = p.sibling.sale("s1", account=7, sources=[p.used(100)])
    assert await centre.post(p.sibling, sale) == [ACCEPTED]
    assert await p.outstanding() == 0


async def test_a_sibling_sends_home_no_more_than_came_and_was_left(centre: JoinedCentre) -> None:
    p = await pair(centre)
    await centre.post(p.vault, p.out())
    sale = p.sibling.sale("s1", account=7, sources=[p.used(70)])
    posted = await centre.post(p.sibling, p.come(), sale, p.home(100))
    assert posted[2] == Outcome("adjusted", "the transfer had fewer points", -70)
    assert await p.outstanding() == 200


@pytest.mark.parametrize(
    "change",
    [
        {"grant_id": "01957e00-0000-7abc-8def-999999999999"},
        {"account_id": 8},
        {"lots": ()},
        {"to_till": 999},
        {"to_incarnation": "no hex"},
    ],
    ids=str,
)
async def test_a_transfer_that_cannot_be_is_kept_and_moves_nothing(
    centre: JoinedCentre, change: dict[str, Any]
) -> None:
    p = await pair(centre)
    await centre.customer(8, 100)
    (decided,) = await centre.post(p.vault, p.out(**change))
    assert decided.outcome == "rejected_kept"
    assert await p.elsewhere() == 0


async def test_a_till_of_another_store_is_given_nothing(centre: JoinedCentre) -> None:
    p = await pair(centre)
    await centre.store("store-2")
    await centre.fund(1_000)
    p.sibling = await centre.till("store-2")
    assert (await centre.post(p.vault, p.out()))[0].outcome == "rejected_kept"
    sale = p.sibling.sale("s1", account=7, sources=[p.used(70)])
    assert await centre.post(p.sibling, sale) == [ACCEPTED]  # a fact; its sources are not
    assert await p.outstanding() == 300


@pytest.mark.parametrize(
    "change",
    [{"lots": ()}, {"signature": "00" * 64}, {"nonce": "6d" * 16}, {"from_incarnation": "zz"}],
    ids=str,
)
async def test_nobody_says_that_points_came_which_nobody_gave(
    centre: JoinedCentre, change: dict[str, Any]
) -> None:
    p = await pair(centre)
    come = p.come(**change)
    assert (await centre.post(p.sibling, come))[0].outcome == "rejected_kept"
    assert await p.elsewhere() == 0


async def test_a_transfer_in_a_diverged_stream_moves_nothing(centre: JoinedCentre) -> None:
    p = await pair(centre)
    await centre.post(p.sibling, p.sibling.void("one history"))
    p.sibling.forget_after(len(p.sibling.bodies) - 1)
    p.sibling.append(p.come())
    assert (await p.sibling.push()).verdict == "fork"
    await centre.apply()
    assert await p.elsewhere() == 0


# Stranded


async def test_what_was_given_and_never_arrived_comes_home(centre: JoinedCentre) -> None:
    p = await pair(centre)
    await centre.post(p.vault, p.out())
    await p.sibling.hello()
    await pull(p.sibling)
    assert await p.stranded() == [TRANSFER]
    assert (await p.outstanding(), await p.elsewhere()) == (200, 0)
    assert await centre.totals(7) == Totals(300, 200)
    await pull(p.sibling)
    assert await p.outstanding() == 200


async def test_in_the_session_it_was_given_in_the_answer_may_still_be_on_its_way(
    centre: JoinedCentre,
) -> None:
    p = await pair(centre)
    await centre.post(p.vault, p.out())
    await pull(p.sibling)
    assert await p.stranded() == []
    # It arrives now, and is spent.
    sale = p.sibling.sale("s1", account=7, sources=[p.used(100)])
    assert await centre.post(p.sibling, p.come(), sale) == [ACCEPTED, ACCEPTED]
    await p.sibling.hello()
    await pull(p.sibling)
    assert (await p.stranded(), await p.outstanding()) == ([], 200)


async def test_what_arrived_and_is_not_handed_in_yet_stays_out(centre: JoinedCentre) -> None:
    p = await pair(centre)
    await centre.post(p.vault, p.out())
    p.sibling.append(p.come())
    await p.sibling.hello()
    await pull(p.sibling)  # the record is still on the till
    assert await p.stranded() == []
    await p.sibling.push()
    await pull(p.sibling)  # it is here, and not applied
    assert await p.stranded() == []
    await centre.apply()
    await pull(p.sibling)
    assert (await p.stranded(), await p.elsewhere()) == ([], 100)


async def test_a_till_that_does_not_say_where_it_stands_loses_nothing(
    centre: JoinedCentre,
) -> None:
    p = await pair(centre)
    await centre.post(p.vault, p.out())
    await p.sibling.hello()
    await p.sibling.pull()  # an older agent
    assert await p.stranded() == []


async def test_a_till_that_began_anew_may_have_spent_it_before(centre: JoinedCentre) -> None:
    """Its old stream may still come from a witness: nothing comes home by that."""
    p = await pair(centre)
    await centre.post(p.vault, p.out())
    p.sibling.open_stream(2, reason="amnesia")
    await p.sibling.hello()
    await p.sibling.push()
    await centre.apply()
    await pull(p.sibling)
    assert (await p.stranded(), await p.outstanding()) == ([], 300)


async def test_what_a_silent_sibling_has_of_a_grant_is_written_off_though_the_vault_talks(
    centre: JoinedCentre,
) -> None:
    p, settings = await pair(centre), RightsSettings()
    await centre.fund(5_000)
    await centre.post(p.vault, p.out(), p.vault.give_back(p.grant, 200))
    await centre.post(p.sibling, p.come())

    async def tended() -> Tended:
        await p.vault.hello()
        return await tend(centre.pool, now_ms=centre.system.now_ms(), settings=settings)

    centre.system.pass_days(settings.grant_days + 1)
    assert (await tended()).frozen == 1
    await p.sibling.hello()  # it may still send them home
    assert (await tended()).thawed == 1
    centre.system.pass_days(settings.loss_days)
    done = await tended()
    assert (done.frozen, done.written_off.points) == (1, 100)
    assert await p.outstanding() == 0
    done = await tended()
    assert (done.thawed, done.frozen) == (0, 0)


async def test_whatever_is_wrong_with_an_arrival_it_is_no_stranded_transfer(
    centre: JoinedCentre,
) -> None:
    p = await pair(centre)
    await centre.post(p.vault, p.out())
    assert (await centre.post(p.sibling, p.come(signature="")))[0].outcome == "rejected_kept"
    await p.sibling.hello()
    await pull(p.sibling)
    assert await p.stranded() == []


# Recalls and the roster


async def test_a_recalled_grant_is_asked_back_from_whoever_has_a_part(
    centre: JoinedCentre,
) -> None:
    p = await pair(centre)
    await centre.post(p.vault, p.out())
    await centre.post(p.sibling, p.come())
    assert (await pull(p.sibling)).recalls == ()
    elsewhere = await centre.till()
    await elsewhere.push()
    await elsewhere.authorise("s9", 7, 50)
    assert (await pull(p.sibling)).recalls == (TRANSFER,)
    assert (await p.vault.pull()).recalls == (p.grant.grant_id,)
    await centre.post(p.sibling, p.home(100))
    assert (await pull(p.sibling)).recalls == ()
    assert await centre.totals(7) == Totals(300, 200)


async def test_a_sale_waits_a_moment_for_what_another_till_gives_back(pool: Pool) -> None:
    async with joined_centre(pool, RightsSettings(recall_wait_ms=20_000)) as centre:
        p = await pair(centre)
        elsewhere = await centre.till()
        await elsewhere.push()

        async def gives_back() -> None:
            while p.grant.grant_id not in (await p.vault.pull()).recalls:
                pass
            await centre.post(p.vault, p.vault.give_back(p.grant, p.grant.points))

        answer, _ = await asyncio.gather(elsewhere.authorise("s9", 7, 250), gives_back())
        assert sum(grant.points for grant in answer.authorisations) == 250
        assert answer.held_elsewhere_points == 0


async def test_a_sale_gets_what_came_in_time(pool: Pool) -> None:
    async with joined_centre(pool, RightsSettings(recall_wait_ms=6_000)) as centre:
        p = await pair(centre)
        elsewhere = await centre.till()
        await elsewhere.push()

        async def gives_back() -> None:
            while p.grant.grant_id not in (await p.vault.pull()).recalls:
                pass
            await centre.post(p.vault, p.vault.give_back(p.grant, 120))

        answer, _ = await asyncio.gather(elsewhere.authorise("s9", 7, 250), gives_back())
        assert sum(grant.points for grant in answer.authorisations) == 120
        assert answer.held_elsewhere_points == 180


async def test_a_sale_waits_no_longer_than_it_may_whatever_its_looks_wait_for(pool: Pool) -> None:
    async with joined_centre(pool, RightsSettings(recall_wait_ms=200)) as centre:
        p = await pair(centre)
        await centre.post(p.vault, p.vault.give_back(p.grant, 120))
        elsewhere = await centre.till()
        await elsewhere.push()
        holder = Holder(
            till_id=elsewhere.till_id,
            incarnation=elsewhere.incarnation,
            session=elsewhere.session,
        )
        wish = AuthoriseRequest(
            key="s9", account_id=7, points=250, incarnation=elsewhere.incarnation
        )
        door = _ShutDoor()
        async with asyncio.timeout(20):
            answer = await centre.parts.desk.rights.authorise(wish, holder, door=door)
        assert door.entered == 2
        assert [grant.points for grant in answer.authorisations] == [120]
        assert answer.held_elsewhere_points == 180


class _ShutDoor(AbstractAsyncContextManager[None]):
    """Nobody gets in after the first."""

    def __init__(self) -> None:
        self.entered = 0

    async def __aenter__(self) -> None:
        self.entered += 1
        if self.entered > 1:
            await asyncio.Event().wait()

    async def __aexit__(self, *_: object) -> None:
        """Leave."""


async def test_a_sale_does_not_wait_for_a_till_nobody_hears(pool: Pool) -> None:
    async with joined_centre(pool, RightsSettings(recall_wait_ms=600_000)) as centre:
        p = await pair(centre)
        elsewhere = await centre.till()
        await elsewhere.push()
        await centre.pool.execute(
            "update till set last_seen_ms = 0 where till_id = $1", p.vault.till_id
        )
        answer = await elsewhere.authorise("s9", 7, 250)
        assert answer.held_elsewhere_points == p.grant.points


async def test_the_roster_names_the_tills_of_the_store_and_comes_once(
    centre: JoinedCentre,
) -> None:
    p = await pair(centre)
    await centre.store("store-2")
    await centre.till("store-2")
    roster = (await pull(p.vault)).roster
    assert roster is not None
    assert [(till.till_id, till.vault) for till in roster.tills] == [
        (p.vault.till_id, True),
        (p.sibling.till_id, False),
    ]
    assert [till.public_key for till in roster.tills] == [p.vault.key.public, p.sibling.key.public]
    assert [key.number for key in roster.bus_keys] == [1]
    assert (await pull(p.vault, roster=roster.version)).roster is None
    assert (await pull(p.sibling)).roster == roster


async def test_a_new_address_and_a_revoked_till_change_the_roster(centre: JoinedCentre) -> None:
    p = await pair(centre)
    before = await roster_of(p.vault)
    hello = msgspec.structs.replace(p.sibling.hello_message(), bus_address="10.0.0.18:7117")
    await p.sibling.ask(cycle.PATH_HELLO, hello, HelloAnswer)
    moved = await roster_of(p.vault)
    assert moved.version != before.version
    assert moved.tills[1].bus_address == "10.0.0.18:7117"
    await centre.pool.execute(
        "update till set revoked = true where till_id = $1", p.sibling.till_id
    )
    left = await roster_of(p.vault)
    assert [till.till_id for till in left.tills] == [p.vault.till_id]
    assert [key.number for key in left.bus_keys] == [2]
    assert left.bus_keys[0].secret != before.bus_keys[0].secret
    await p.sibling.hello()
    assert (await pull(p.sibling)).roster is None


async def roster_of(till: TillProbe) -> Roster:
    """Return the roster a till is told."""
    roster = (await pull(till)).roster
    assert roster is not None
    return roster


async def test_a_copy_of_a_till_may_hold_what_siblings_gave_it(centre: JoinedCentre) -> None:
    scene = await pair(centre)
    scene.sibling.append(scene.sibling.void("s1"))
    await scene.sibling.push()
    scene.sibling.forget_after(len(scene.sibling.bodies) - 1)
    scene.sibling.append(scene.sibling.void("s2"))
    assert (await scene.sibling.push()).verdict == "fork"
    assert (await read_exposure(centre.pool)).suspected_clones == 0
    # The store had no line: that points went to the sibling is heard after the sibling was.
    assert await centre.post(scene.vault, scene.out(100)) == [ACCEPTED]
    assert (await read_exposure(centre.pool)).suspected_clones == 100
    await centre.pool.execute("update stream_suspicion set offline_points_max = 60")
    assert (await read_exposure(centre.pool)).suspected_clones == 60

"""Rules from a draft to tills: two people, rings, a halt that sticks, versions that never fall."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import asyncpg
import msgspec
import pytest

from central.errors import BadRequestError, ForbiddenError
from central.rules import pinning, releases
from central.rules.drafts import (
    approve_draft,
    find_draft,
    hash_of,
    list_drafts,
    load_draft,
    save_draft,
)
from central.rules.publishing import pack_bundle
from central.rules.release_file import read_file, sign_file, write_file
from central.rules.releases import Release, build_release, publish_release
from central.rules.rings import SomeStores, read_ring
from central.rules.roots import install_root, release_keys
from central.staff.audit import read_audit
from central.staff.persons import Person, add_person, find_person
from central.tills.listening import listen_for_ever
from loyalty.bundle import Bundle, Product
from loyalty.documents import encode
from sync.cycle import PATH_PULL
from sync.messages import Manifest, PullAnswer
from sync.roots import ReleaseKey, RootDocument, new_root, write_root
from sync.signing import SigningKey
from tests.support.builders import bundle, offer, percent
from tests.support.centre import BUNDLE, KEYS, RULE_KEY, JoinedCentre
from tests.support.till_on_centre import TillOnCentre
from tests.support.till_probe import TillProbe

KEY_LIST = dict.fromkeys(KEYS.rule_public, 0)
TEN = bundle(*BUNDLE.offers, offer("ten", percent(10)))
TWENTY = bundle(*BUNDLE.offers, offer("ten", percent(20)))


def document(rules: Bundle) -> bytes:
    return json.dumps(encode(rules)).encode()


async def person(centre: JoinedCentre, name: str, *roles: str) -> Person:
    async with centre.pool.acquire() as connection:
        token = await add_person(connection, name, roles, by="test", system=centre.system)
        return await find_person(connection, token)


class Office:
    """Two people of a centre and what they do."""

    def __init__(self, centre: JoinedCentre, anna: Person, boris: Person) -> None:
        self.centre = centre
        self.anna = anna
        self.boris = boris

    @classmethod
    async def of(cls, centre: JoinedCentre) -> "Office":
        anna = await person(centre, "anna", "author", "approver")
        return cls(centre, anna, await person(centre, "boris", "approver"))

    async def approved(self, rules: Bundle, name: str = "summer") -> str:
        async with self.centre.pool.acquire() as connection:
            draft = await save_draft(
                connection, name, document(rules), author=self.anna, note_text="",
                system=self.centre.system,
            )  # fmt: skip
            await approve_draft(
                connection, draft.title, approver=self.boris, system=self.centre.system
            )
        return draft.title

    async def published(self, title: str, *rings: str, activate_at: str = "") -> Release:
        system = self.centre.system
        async with self.centre.pool.acquire() as connection:
            made = await build_release(connection, title, activate_at=activate_at, system=system)
            return await publish_release(
                connection, sign_file(made, RULE_KEY), keys=KEY_LIST,
                rings=[read_ring(each) for each in rings], by=self.boris, system=system,
            )  # fmt: skip

    async def do(self, what: str, version: int, **more: object) -> Release:
        """Ring, halt, resume or roll back."""
        async with self.centre.pool.acquire() as connection:
            call = getattr(releases, what)
            done: Release = await call(
                connection, version, system=self.centre.system, **{"by": self.boris, **more}
            )
            return done


class Taker:
    """A till that takes every manifest it is told, and refuses a version that does not rise."""

    def __init__(self, till: TillProbe) -> None:
        self.till = till
        self.bundle = ""
        self.version = 0
        self.versions: list[int] = []

    async def pull(self) -> Manifest | None:
        asked = msgspec.structs.replace(
            self.till.pull_message(), bundle=self.bundle, rules=(0, self.version)
        )
        answer = await self.till.ask(PATH_PULL, asked, PullAnswer)
        if answer.manifest is not None:
            assert answer.manifest.version > self.version
            self.bundle, self.version = answer.manifest.bundle, answer.manifest.version
            self.versions.append(self.version)
        return answer.manifest


# Two people


async def test_a_draft_keeps_every_version_with_its_author(centre: JoinedCentre) -> None:
    office = await Office.of(centre)
    async with centre.pool.acquire() as connection:
        for rules in (TEN, TWENTY):
            await save_draft(
                connection, "summer", document(rules), author=office.anna, note_text="milk",
                system=centre.system,
            )  # fmt: skip
        newest, first = (
            await load_draft(connection, "summer"),
            await load_draft(connection, "summer@1"),
        )
        assert (newest.version, newest.author, newest.note) == (2, "anna", "milk")
        assert [each.gives for each in first.bundle.offers] == [each.gives for each in TEN.offers]
        assert [each.title for each in await list_drafts(connection)] == ["summer@2", "summer@1"]
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await connection.execute("update rule_draft set note = ''")


async def test_nobody_approves_what_he_wrote(centre: JoinedCentre) -> None:
    office = await Office.of(centre)
    async with centre.pool.acquire() as connection:
        draft = await save_draft(
            connection, "summer", document(TEN), author=office.anna, note_text="",
            system=centre.system,
        )  # fmt: skip
        with pytest.raises(ForbiddenError, match="second person"):
            await approve_draft(connection, "summer", approver=office.anna, system=centre.system)
        with pytest.raises(asyncpg.CheckViolationError):  # nor by any other way into the table
            await connection.execute(
                "insert into rule_approval (name, version, author_id, hash, approver_id,"
                " approved_at_ms) values ('summer', 1, $1, $2, $1, 0)",
                office.anna.person_id, draft.hash,
            )  # fmt: skip
        with pytest.raises(asyncpg.ForeignKeyViolationError):  # nor in somebody else's name
            await connection.execute(
                "insert into rule_approval (name, version, author_id, hash, approver_id,"
                " approved_at_ms) values ('summer', 1, $2, $3, $1, 0)",
                office.anna.person_id, office.boris.person_id, draft.hash,
            )  # fmt: skip
        assert (await find_draft(connection, "summer")).approver == ""


async def test_a_role_is_needed_to_write_and_to_approve(centre: JoinedCentre) -> None:
    office = await Office.of(centre)
    nobody = await person(centre, "clara")
    async with centre.pool.acquire() as connection:
        with pytest.raises(ForbiddenError, match="no author"):
            await save_draft(
                connection, "summer", document(TEN), author=nobody, note_text="",
                system=centre.system,
            )  # fmt: skip
    title = await office.approved(TEN)
    async with centre.pool.acquire() as connection:
        with pytest.raises(ForbiddenError, match="no approver"):
            await approve_draft(connection, title, approver=nobody, system=centre.system)


async def test_what_is_not_approved_is_not_built_and_what_was_changed_is_not_published(
    centre: JoinedCentre,
) -> None:
    office = await Office.of(centre)
    title = await office.approved(TEN)
    async with centre.pool.acquire() as connection:
        await save_draft(
            connection, "summer", document(TWENTY), author=office.anna, note_text="",
            system=centre.system,
        )  # fmt: skip
        with pytest.raises(BadRequestError, match="not approved"):
            await build_release(connection, "summer@2", activate_at="", system=centre.system)
        good = await build_release(connection, title, activate_at="", system=centre.system)
        loaded = await load_draft(connection, "summer@2")
        swapped = pack_bundle(
            replace(loaded.bundle, version=good.announced.version), version=good.announced.version
        )
        other = type(good)(
            kind="draft", draft=title, author="anna", approver="boris", content=swapped.content,
            manifests=(swapped.manifest,),
        )  # fmt: skip
        with pytest.raises(BadRequestError, match="not what was approved"):
            await publish_release(
                connection, sign_file(other, RULE_KEY), keys=KEY_LIST, rings=[], by=office.boris,
                system=centre.system,
            )  # fmt: skip


async def test_where_people_are_known_nobody_publishes_alone(centre: JoinedCentre) -> None:
    await Office.of(centre)
    with pytest.raises(ForbiddenError, match="by name"):
        await centre.publish(replace(TEN, version=9))


async def test_a_release_is_signed_elsewhere_and_by_a_release_key_alone(
    centre: JoinedCentre,
) -> None:
    office = await Office.of(centre)
    title = await office.approved(TEN)
    async with centre.pool.acquire() as connection:
        made = await build_release(connection, title, activate_at="", system=centre.system)
        carried = read_file(write_file(made))
        for file in (carried, sign_file(carried, SigningKey(b"s" * 32))):
            with pytest.raises(BadRequestError, match="no release key"):
                await publish_release(
                    connection, file, keys=KEY_LIST, rings=[], by=office.boris,
                    system=centre.system,
                )  # fmt: skip
        done = await publish_release(
            connection, sign_file(carried, RULE_KEY), keys=KEY_LIST, rings=[], by=office.boris,
            system=centre.system,
        )  # fmt: skip
        assert (done.state, done.draft, done.author, done.approver) == (
            "open", title, "anna", "boris",
        )  # fmt: skip
        with pytest.raises(BadRequestError, match="used by now"):
            await publish_release(
                connection, sign_file(carried, RULE_KEY), keys=KEY_LIST, rings=[], by=office.boris,
                system=centre.system,
            )  # fmt: skip


async def test_every_write_by_a_person_is_in_the_audit(centre: JoinedCentre) -> None:
    office = await Office.of(centre)
    done = await office.published(await office.approved(TEN), "everywhere")
    await office.do("halt", done.version, why="cold", by="boris")
    await office.do("resume", done.version, why="warm")
    async with centre.pool.acquire() as connection:
        rows = await read_audit(connection)
        written = [(row.person, row.action, row.subject) for row in reversed(rows)]
        begun = written.index(("anna", "rules.draft", "draft:summer@1"))
        assert written[begun + 1 :] == [
            ("boris", "rules.approve", "draft:summer@1"),
            ("boris", "rules.publish", f"release:{done.version}"),
            ("boris", "rules.ring", f"release:{done.version}"),
            ("boris", "rules.halt", f"release:{done.version}"),
            ("boris", "rules.resume", f"release:{done.version}"),
        ]
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await connection.execute("delete from audit")


# Rings


async def test_a_till_gets_the_newest_release_of_a_ring_that_holds_it(
    centre: JoinedCentre,
) -> None:
    office = await Office.of(centre)
    await centre.store("store-2")
    one, other = Taker(await centre.till()), Taker(await centre.till("store-2"))
    for till in (one, other):
        await till.pull()
    first = one.bundle
    ring = await office.published(await office.approved(TEN), f"till:{one.till.identity.till_id}")
    await one.pull()
    assert (one.bundle, await other.pull()) == (ring.bundle, None)
    second = await office.published(await office.approved(TWENTY), "store:store-2")
    assert await one.pull() is None
    await other.pull()
    assert (one.bundle, other.bundle) == (ring.bundle, second.bundle)
    await office.do("add_ring", second.version, ring=read_ring("everywhere"))
    await one.pull()
    assert one.bundle == second.bundle != first


@pytest.mark.parametrize("text", ["till:", "till:x", "share:0%", "share:101%", "stores:0", "moon"])
def test_what_is_no_ring_is_named(text: str) -> None:
    with pytest.raises(BadRequestError, match="is no ring"):
        read_ring(text)


def test_a_share_holds_that_share_of_tills_and_other_ones_for_each_release() -> None:
    ring = read_ring("share:2.5%")
    assert not isinstance(ring, SomeStores)

    def held(release: int) -> set[int]:
        return {
            till_id
            for till_id in range(20_000)
            if ring.holds(till_id=till_id, store_id="", region="", release=release)
        }

    assert 400 <= len(held(1)) <= 600
    assert len(held(1) & held(2)) < 50


async def test_a_ring_of_a_region_and_of_some_stores(centre: JoinedCentre) -> None:
    office = await Office.of(centre)
    till = Taker(await centre.till())
    await till.pull()
    release = await office.published(await office.approved(TEN), "region:north", "stores:1")
    assert release.rings == ("region:north", "store:store-1")
    await till.pull()
    assert till.bundle == release.bundle


# Halting and going back


async def test_a_halt_sticks_until_a_person_resumes_and_versions_only_rise(
    centre: JoinedCentre,
) -> None:
    office = await Office.of(centre)
    till = Taker(await centre.till())
    await till.pull()
    good = till.bundle
    release = await office.published(await office.approved(TEN), "everywhere")
    for _ in range(3):  # as often as was signed beforehand
        await till.pull()
        assert till.bundle == release.bundle
        await office.do("halt", release.version, why="guard", by="guard")
        await till.pull()
        assert till.bundle == good
        with pytest.raises(BadRequestError, match="halted"):
            await office.do("add_ring", release.version, ring=read_ring("everywhere"))
        await office.do("resume", release.version, why="looked at")
    assert till.versions == sorted(set(till.versions))
    await till.pull()
    assert till.bundle == release.bundle


async def test_a_release_is_rolled_back_with_one_call_and_for_good(centre: JoinedCentre) -> None:
    office = await Office.of(centre)
    till = Taker(await centre.till())
    await till.pull()
    good = till.bundle
    with pytest.raises(BadRequestError, match="nothing before"):
        await office.do("roll_back", 1, why="")
    release = await office.published(await office.approved(TEN), "everywhere")
    await till.pull()
    await office.do("roll_back", release.version, why="wrong price")
    await till.pull()
    assert (till.bundle, len(till.versions)) == (good, 3)
    with pytest.raises(BadRequestError, match="withdrawn"):
        await office.do("resume", release.version, why="")
    again = await office.published(str(release.version), "everywhere")
    await till.pull()
    assert (till.bundle, again.bundle) == (release.bundle, release.bundle)


async def test_a_pin_holds_a_store_and_lets_it_go(centre: JoinedCentre) -> None:
    office = await Office.of(centre)
    till = Taker(await centre.till())
    await till.pull()
    release = await office.published(await office.approved(TEN), "everywhere")
    await till.pull()
    async with centre.pool.acquire() as connection:
        await pinning.pin(connection, "store", "store-1", 1, by=office.boris, system=centre.system)
    await till.pull()
    assert till.bundle != release.bundle
    newer = await office.published(await office.approved(TWENTY), "everywhere")
    assert await till.pull() is None
    async with centre.pool.acquire() as connection:
        await pinning.unpin(connection, "store", "store-1", by=office.boris, system=centre.system)
    await till.pull()
    assert till.bundle == newer.bundle
    assert till.versions == sorted(set(till.versions))


# Bytes


def many(rate_percent: int) -> Bundle:
    return bundle(
        *BUNDLE.offers,
        *(
            offer(f"offer-{number}", percent(5 + number * 7 % 50), title={"en": f"Offer {number}"})
            for number in range(400)
        ),
        offer("ten", percent(rate_percent)),
        catalogue={
            f"{number * 7919 % 100_000:08}": Product(brand=f"b{number}") for number in range(900)
        },
    )  # fmt: skip


async def test_one_changed_offer_of_many_is_a_small_delta(
    centre: JoinedCentre, tmp_path: Path
) -> None:
    office = await Office.of(centre)
    first = await office.published(await office.approved(many(10)), "everywhere")
    till = await TillOnCentre.enrolled(centre, tmp_path / "till")
    assert till.joined.till.books.active.bundle_hash == first.bundle
    fetched = len(till.pieces)
    second = await office.published(await office.approved(many(20)), "everywhere")
    name = f"{second.bundle}-{first.bundle}"
    whole = (await centre.http.get(f"/v1/bundles/{second.bundle}")).content
    delta = (await centre.http.get(f"/v1/bundles/{name}")).content
    assert len(delta) < 400 < 0.4 * len(whole)
    await till.talk()
    assert till.joined.till.books.active.bundle_hash == second.bundle
    assert len(till.pieces) == fetched + 1
    other = Taker(await centre.till())
    other.bundle = "0" * 64
    asked = await other.pull()
    assert asked is not None  # from an unknown bundle there is no delta, and the whole one is told
    assert (await centre.http.get(f"/v1/bundles/{second.bundle}-{'0' * 64}")).status_code == 404
    till.close()


async def test_a_delta_that_is_nearly_the_whole_bundle_is_not_made(centre: JoinedCentre) -> None:
    office = await Office.of(centre)
    await office.published(await office.approved(many(10)), "everywhere")
    names = [hash_of(str(number).encode()) for number in range(900)]
    goods = {name: Product(brand=hash_of(name.encode())) for name in names}
    other = bundle(*BUNDLE.offers, catalogue=goods)
    await office.published(await office.approved(other), "everywhere")
    assert await centre.pool.fetchval("select count(*) from bundle_delta") == 0


# Tills that wait


async def test_a_waiting_till_hears_of_its_release_from_memory_and_others_go_on_waiting(
    centre: JoinedCentre,
) -> None:
    office = await Office.of(centre)
    desk = centre.parts.desk
    desk.room.hold_s_max = 600
    ours, other = await centre.till(), await centre.till()
    rosters = {till: (await till.pull()).roster for till in (ours, other)}
    hearing = asyncio.create_task(listen_for_ever(centre.pool, desk.room, desk.directory))
    while not desk.room.hold_s(1):  # noqa: ASYNC110 - the database has no event for it
        await asyncio.sleep(0.001)
    tasks = {}
    for till, roster in rosters.items():
        assert roster is not None
        asked = msgspec.structs.replace(
            till.pull_message(), wait_s=600, roster=roster.version, rules=(0, 1)
        )
        tasks[till] = asyncio.create_task(till.ask(PATH_PULL, asked, PullAnswer))
    async with asyncio.timeout(20):
        while len(desk.room) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        release = await office.published(await office.approved(TEN), f"till:{ours.till_id}")
        told = await tasks[ours]
    assert told.manifest is not None
    assert told.manifest.bundle == release.bundle
    assert not tasks[other].done()
    # Its next pull goes on waiting where it was: what was looked for once is not looked for anew.
    asked = msgspec.structs.replace(
        ours.pull_message(), wait_s=600, bundle=release.bundle, rules=(0, told.manifest.version)
    )
    again = asyncio.create_task(ours.ask(PATH_PULL, asked, PullAnswer))
    async with asyncio.timeout(20):
        while not desk.room.waits(ours.till_id):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        # The roster it did not name would have ended a look at once.
        assert not again.done()
        await office.do("halt", release.version, why="cold", by="boris")
        back = await again
    assert back.manifest is not None
    assert back.manifest.bundle != release.bundle
    # What it was told is written down a little later, many tills at a time.
    asks = "select told_version from till_rules where till_id = $1"
    async with asyncio.timeout(20):
        while await centre.pool.fetchval(asks, ours.till_id) != back.manifest.version:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    for task in (tasks[other], hearing):
        task.cancel()
    await asyncio.gather(tasks[other], hearing, return_exceptions=True)


# Keys


async def test_after_a_change_of_keys_tills_take_what_the_new_key_has_signed(
    centre: JoinedCentre, tmp_path: Path
) -> None:
    office = await Office.of(centre)
    old_till = await TillOnCentre.enrolled(centre, tmp_path / "old")
    root_key, new_key = SigningKey(b"o" * 32), SigningKey(b"n" * 32)
    root = RootDocument(
        version=1, root_keys=(root_key.public.hex(),), threshold=1,
        release_keys=(ReleaseKey(key=new_key.public.hex(), generation=1),),
    )  # fmt: skip
    signed = new_root(root).signed_by(root_key).signed_by(RULE_KEY)
    async with centre.pool.acquire() as connection:
        await install_root(connection, write_root(signed), by="test", system=centre.system)
    new_till = await TillOnCentre.enrolled(centre, tmp_path / "new")
    assert new_till.joined.till.books.report().root == 1
    assert new_till.joined.till.books.active.bundle_hash == ""  # the old key counts no more
    title = await office.approved(TEN)
    async with centre.pool.acquire() as connection:
        keys = await release_keys(connection, KEYS.rule_public)
        made = await build_release(connection, title, activate_at="", system=centre.system)
        with pytest.raises(BadRequestError, match="no release key"):
            await publish_release(
                connection, sign_file(made, RULE_KEY), keys=keys, rings=[read_ring("everywhere")],
                by=office.boris, system=centre.system,
            )  # fmt: skip
        done = await publish_release(
            connection, sign_file(made, new_key), keys=keys, rings=[read_ring("everywhere")],
            by=office.boris, system=centre.system,
        )  # fmt: skip
    for till in (old_till, new_till):
        await till.talk()
        assert till.joined.till.books.active.bundle_hash == done.bundle
        till.close()


@pytest.mark.parametrize(
    "text", ["tomorrow", "2026-12-01", "2026-12-01T06:00", "2026-13-01T06:00:00"]
)
async def test_a_moment_that_is_none_is_refused(centre: JoinedCentre, text: str) -> None:
    async with centre.pool.acquire() as connection:
        with pytest.raises(BadRequestError, match="activate_at"):
            await build_release(connection, "1", activate_at=text, system=centre.system)

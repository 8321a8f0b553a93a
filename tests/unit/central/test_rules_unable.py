"""Whoever moves a release hears which tills cannot take it, as far as the centre knows."""

import json
from pathlib import Path

import httpx
import msgspec
import pytest_asyncio

from central.rules import pinning
from central.rules.rings import read_ring
from central.rules.unable import NAMED_MAX, Unable
from sync import cycle
from sync.messages import HelloAnswer
from sync.rule_messages import RulesReport
from sync.signing import NO_SESSION
from tests.support.centre import JoinedCentre
from tests.support.command_line import central as run
from tests.support.till_probe import TillProbe
from tests.unit.central.test_ledger_api import assert_as_documented, person
from tests.unit.central.test_rights_command import at_centre
from tests.unit.central.test_rules_life import TEN, TWENTY, Office

WHY = "bundle 1234: unknown kind of offer"
SILENT = "not heard of for a day or longer; taken when heard again"


async def said(
    till: TillProbe, *, software: str = "2.0", bundle: str = "", **rules: int | str
) -> None:
    """Let a till say HELLO with what it has of rules."""
    message = msgspec.structs.replace(
        till.hello_message(), software=software, bundle=bundle or till.rules.bundle_hash,
        rules=RulesReport(**rules),  # type: ignore[arg-type]
    )  # fmt: skip
    till.session = NO_SESSION
    answer = await till.ask(cycle.PATH_HELLO, message, HelloAnswer)
    till.session = answer.session


@pytest_asyncio.fixture
async def office(centre: JoinedCentre) -> Office:
    return await Office.of(centre)


async def test_a_release_that_every_till_can_take_names_nobody(office: Office) -> None:
    await said(await office.centre.till())
    release = await office.published(await office.approved(TEN), "share:1%")
    assert release.unable == ()
    assert (await office.do("add_ring", release.version, ring=read_ring("everywhere"))).unable == ()


async def test_tills_are_named_by_why_they_cannot_take_it(office: Office) -> None:
    centre = office.centre
    release = await office.published(await office.approved(TEN))
    refuses, old, new, takes, waits, silent = [await centre.till() for _ in range(6)]
    centre.system.pass_days(2)
    await said(refuses, software="1.0", refused=release.bundle, why=WHY)
    await said(old, software="1.0")
    await said(new)
    await said(takes, bundle=release.bundle, version=release.version)
    # It has taken it and waits for the moment from which it counts.
    await said(waits, version=release.version)
    told = await office.do("add_ring", release.version, ring=read_ring("everywhere"))
    assert told.unable == (
        Unable(
            why="refused", says=f"refused after the self-test: {WHY}", tills=1,
            named=(refuses.till_id,),
        ),
        Unable(
            why="software", tills=1, named=(old.till_id,),
            says="on software under which tills refused it and none has taken it: 1.0",
        ),
        Unable(why="silent", says=SILENT, tills=1, named=(silent.till_id,)),
    )  # fmt: skip
    assert new.till_id not in {each for one in told.unable for each in one.named}


async def test_software_under_which_one_till_took_it_is_not_too_old(office: Office) -> None:
    release = await office.published(await office.approved(TEN))
    refuses, takes, other = [await office.centre.till() for _ in range(3)]
    await said(refuses, refused=release.bundle, why="own receipt 3 takes 2100 ms")
    await said(takes, bundle=release.bundle)
    await said(other)
    told = await office.do("add_ring", release.version, ring=read_ring("everywhere"))
    assert [(each.why, each.named) for each in told.unable] == [("refused", (refuses.till_id,))]


async def test_tills_of_no_ring_of_it_are_nobodys_concern(office: Office) -> None:
    centre = office.centre
    await centre.store("store-2")
    mine, other = await centre.till(), await centre.till("store-2")
    centre.system.pass_days(2)
    release = await office.published(await office.approved(TEN), "store:store-2")
    assert [each.named for each in release.unable] == [(other.till_id,)]
    more = await office.do("add_ring", release.version, ring=read_ring("store:store-1"))
    assert [each.named for each in more.unable] == [(mine.till_id, other.till_id)]
    # A newer release is for one of them: what it cannot take of the older one is no matter.
    await office.published(await office.approved(TWENTY, "winter"), "store:store-1")
    halted = await office.do("halt", release.version, why="", by="boris")
    assert halted.unable == ()
    resumed = await office.do("resume", release.version, why="")
    assert [each.named for each in resumed.unable] == [(other.till_id,)]


async def test_a_till_beyond_every_manifest_needs_another_one(office: Office) -> None:
    till = await office.centre.till()
    release = await office.published(await office.approved(TEN))
    await said(till, version=release.version + 100)
    told = await office.do("add_ring", release.version, ring=read_ring("everywhere"))
    (found,) = told.unable
    assert (found.why, found.named) == ("version", (till.till_id,))
    assert f"rules publish {release.version} --ring RING" in found.says


async def test_of_many_tills_the_first_are_named_and_all_counted(office: Office) -> None:
    await office.centre.pool.execute(
        "insert into till (store_id, slot, public_key, hardware, enrolled_at_ms)"
        " select 'store-1', '1', int4send(n), '', 0 from generate_series(1, $1::int) n",
        NAMED_MAX + 5,
    )
    (found,) = (await office.published(await office.approved(TEN), "everywhere")).unable
    assert (found.why, found.tills, len(found.named)) == ("silent", NAMED_MAX + 5, NAMED_MAX)


async def test_a_pin_names_its_own_tills_alone(office: Office) -> None:
    centre = office.centre
    await centre.store("store-2")
    mine, other = await centre.till(), await centre.till("store-2")
    release = await office.published(await office.approved(TEN), "everywhere")
    centre.system.pass_days(2)
    pins: tuple[tuple[pinning.Scope, str, int], ...] = (
        ("store", "store-2", other.till_id), ("till", str(mine.till_id), mine.till_id),
    )  # fmt: skip
    for scope, name, named in pins:
        async with centre.pool.acquire() as connection:
            unable = await pinning.pin(
                connection, scope, name, release.version, by=office.boris, system=centre.system
            )
        assert [each.named for each in unable] == [(named,)]


async def test_calls_answer_with_them_too(office: Office) -> None:
    centre = office.centre
    till = await centre.till()
    release = await office.published(await office.approved(TEN), "everywhere")
    centre.system.pass_days(2)
    ann = await person(centre, "ann", "approver")
    wanted = [{"why": "silent", "says": SILENT, "tills": 1, "named": [till.till_id]}]
    path = f"/v1/rules/releases/{release.version}"
    calls: tuple[tuple[httpx.Response, str], ...] = (
        (await centre.http.get(path, headers=ann), "/v1/rules/releases/{version}"),
        (
            await centre.http.post(f"{path}/rings", headers=ann, json={"ring": "share:1%"}),
            "/v1/rules/releases/{version}/rings",
        ),
        (
            await centre.http.put(
                f"/v1/rules/pins/till/{till.till_id}", headers=ann,
                json={"release": release.version},
            ),
            "/v1/rules/pins/{scope}/{name}",
        ),
    )  # fmt: skip
    for response, template in calls:
        assert_as_documented(response, template)
        assert response.json()["unable"] == wanted


def test_commands_say_them_in_words_and_as_json(database: str, tmp_path: Path) -> None:
    given = ["--database", database, "--data", str(tmp_path)]
    made: dict[str, int] = {}

    async def with_a_silent_till(centre: JoinedCentre) -> None:
        office = await Office.of(centre)
        made["till"] = (await centre.till()).till_id
        made["release"] = (await office.published(await office.approved(TEN))).version
        await centre.pool.execute("update till set last_seen_ms = 1")

    at_centre(database, with_a_silent_till)
    token = tmp_path / "ann"
    token.write_text(run("person", "add", "ann", "--role", "approver", *given).said, "ascii")
    release, by = str(made["release"]), ["--token-file", str(token)]
    line = f"\n  CANNOT TAKE IT: till {made['till']}: {SILENT}\n"
    assert run("rules", "ring", release, "everywhere", *by, *given).said.endswith(line)
    assert run("rules", "pin", "--store", "store-1", release, *by, *given).said.endswith(line)
    assert "CANNOT" not in run("rules", "halt", release, *by, *given).said
    found = json.loads(run("rules", "resume", release, "--json", *by, *given).said)
    assert found["unable"] == [
        {"why": "silent", "says": SILENT, "tills": 1, "named": [made["till"]]}
    ]

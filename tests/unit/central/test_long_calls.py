"""Calls that go through much of the base: one at a time, not for long, and told what to run."""

import asyncio

import asyncpg
import pytest

from central.api import long_calls
from central.api.long_calls import LongCalls
from central.database.doors import CrowdedError
from central.errors import TakesTooLongError
from central.ledger.sealing import seal_day
from tests.support.centre import KEYS, JoinedCentre
from tests.unit.central.test_ledger_api import OFFICE, assert_as_documented


async def without_blocks(centre: JoinedCentre) -> None:
    """Have a day sealed as a release sealed it that kept no blocks: it is read whole."""
    await centre.customer(7, 300)
    await seal_day(centre.pool, KEYS.centre, day="2025-03-05", now_ms=0)
    await centre.pool.execute("alter table ledger_seal_block disable trigger user")
    await centre.pool.execute("delete from ledger_seal_block")


@pytest.mark.parametrize(
    ("path", "documented_as", "command"),
    [
        ("proof", "proof", "tillside-central verify-ledger"),
        ("liability", "liability", "tillside-central ledger liability"),
        ("inclusion/opening:7", "inclusion/{subject}", "tillside-central ledger prove"),
    ],
)
async def test_a_call_that_takes_too_long_names_the_command_that_takes_its_time(
    centre: JoinedCentre,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    documented_as: str,
    command: str,
) -> None:
    await without_blocks(centre)
    monkeypatch.setattr(long_calls, "LONGEST_S", 0.2)
    async with centre.pool.acquire() as holder, holder.transaction():
        await holder.execute("lock table ledger_posting in access exclusive mode")
        refused = await centre.http.get(f"/v1/ledger/{path}", headers=OFFICE)
    assert (refused.status_code, refused.json()["error"]) == (503, "takes_too_long")
    assert f"run {command} on" in refused.json()["message"]
    assert_as_documented(refused, f"/v1/ledger/{documented_as}")
    monkeypatch.undo()
    answer = await centre.http.get(f"/v1/ledger/{path}", headers=OFFICE)
    assert answer.status_code == 200, "nothing is left of the call that was given up"


async def test_while_one_is_at_work_the_other_calls_go_on(centre: JoinedCentre) -> None:
    await without_blocks(centre)
    await centre.http.get("/v1/ledger/inclusion/opening:7", headers=OFFICE)
    async with centre.pool.acquire() as holder, holder.transaction():
        await holder.execute("lock table account in access exclusive mode")
        works = asyncio.create_task(centre.http.get("/v1/ledger/proof", headers=OFFICE))
        await asyncio.sleep(0.1)
        for path in ("ledger/inclusion/opening:7", "ledger/seals"):
            answer = await centre.http.get(f"/v1/{path}", headers=OFFICE)
            assert answer.status_code == 200
        assert not works.done()
    assert (await works).status_code == 200


async def test_a_second_one_waits_for_the_first_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_calls, "WAIT_S_MAX", 0.01)
    calls = LongCalls()
    async with calls.one("a"):
        with pytest.raises(CrowdedError):
            async with calls.one("b"):
                pytest.fail("the place is taken")
    async with calls.one("b"):
        pass


async def test_a_statement_the_server_gave_up_takes_too_long() -> None:
    with pytest.raises(TakesTooLongError, match="run ledger prove on"):
        async with LongCalls().one("ledger prove"):
            raise asyncpg.QueryCanceledError


async def test_the_proof_reads_sealed_entries_again_where_it_is_asked_to(
    centre: JoinedCentre,
) -> None:
    await without_blocks(centre)
    await centre.pool.execute("alter table ledger_seal disable trigger user")
    await centre.pool.execute("update ledger_seal set root = sha256(root)")
    centre.broken_checks = {"seals"}
    for asked, is_balanced in (("", True), ("?seals=0", True), ("?seals=1", False)):
        proof = await centre.http.get(f"/v1/ledger/proof{asked}", headers=OFFICE)
        assert_as_documented(proof, "/v1/ledger/proof")
        assert proof.json()["balanced"] is is_balanced
    wrong = await centre.http.get("/v1/ledger/proof?seals=some", headers=OFFICE)
    assert wrong.status_code == 422
    assert_as_documented(wrong, "/v1/ledger/proof")

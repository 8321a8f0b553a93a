"""The calls and commands about customers as persons: who may, what is answered, what is said."""

import json
import stat
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from central.bootstrap import join_centre
from central.database.pool import Pool
from central.privacy.erasing import tend_erasures
from central.rights.issuing import RightsSettings
from tests.support.centre import KEYS, FixedSystem, JoinedCentre
from tests.support.command_line import central, central_process
from tests.unit.central.test_ledger_api import assert_as_documented, person

ANNA = {"name": "Anna", "phones": ["+371 20 000 001"], "mails": ["anna@example.org"]}
CUSTOMER = "/v1/customers/{account}"
CALLS = (
    ("POST", "/v1/customers/find"), ("GET", "/v1/customers/7"), ("PUT", "/v1/customers/7"),
    ("POST", "/v1/customers/7/consents"), ("GET", "/v1/customers/7/export"),
    ("POST", "/v1/customers/7/erasure"), ("GET", "/v1/erasures"), ("GET", "/v1/erasures/1"),
)  # fmt: skip


async def test_a_customer_is_kept_found_and_shown(centre: JoinedCentre) -> None:
    await centre.customer(7)
    ann = await person(centre, "ann", "call_centre")
    kept = await centre.http.put("/v1/customers/7", headers=ann, json=ANNA)
    assert_as_documented(kept, CUSTOMER)
    assert kept.json()["data"]["name"] == "Anna"
    wish = {"kind": "phone", "text": "+37120000001"}
    found = await centre.http.post("/v1/customers/find", headers=ann, json=wish)
    assert_as_documented(found, "/v1/customers/find")
    assert found.json() == {"account_ids": [7]}
    consent = {"purpose": "mail", "given": True}
    said = await centre.http.post("/v1/customers/7/consents", headers=ann, json=consent)
    assert_as_documented(said, CUSTOMER + "/consents")
    assert said.json()["consents"][0]["purpose"] == "mail"
    assert said.headers["cache-control"] == "no-store"


async def test_a_customer_is_exported_and_erased_by_who_may(centre: JoinedCentre) -> None:
    await centre.customer(7, 300, card="seven")
    await centre.till()
    ann, eve = await person(centre, "ann", "call_centre"), await person(centre, "eve", "privacy")
    refused = await centre.http.get("/v1/customers/7/export", headers=ann)
    assert_as_documented(refused, CUSTOMER + "/export")
    assert refused.status_code == 403
    found = await centre.http.get("/v1/customers/7/export", headers=eve)
    assert_as_documented(found, CUSTOMER + "/export")
    asked = await centre.http.post(
        "/v1/customers/7/erasure", headers=eve, json={"reason": "asked by letter"}
    )
    assert_as_documented(asked, CUSTOMER + "/erasure")
    assert asked.json()["state"] == "asked"
    await tend_erasures(centre.pool, now_ms=centre.system.now_ms())
    one = await centre.http.get(f"/v1/erasures/{asked.json()['erasure_id']}", headers=eve)
    assert_as_documented(one, "/v1/erasures/{erasure}")
    assert one.json()["state"] == "emptied"
    listed = await centre.http.get("/v1/erasures", headers=eve)
    assert_as_documented(listed, "/v1/erasures")
    gone = await centre.http.get("/v1/customers/7", headers=ann)
    assert_as_documented(gone, CUSTOMER)
    assert gone.status_code == 404


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_the_offices_token_and_other_roles_see_nothing(
    centre: JoinedCentre, method: str, path: str
) -> None:
    await centre.customer(7)
    bob = await person(centre, "bob", "author", "finance", "approver")
    office = {"authorization": f"Bearer {KEYS.office_token}"}
    for headers, status in (({}, 401), (office, 401), (bob, 403)):
        answer = await centre.http.request(method, path, headers=headers, json={})
        assert answer.status_code == status


async def test_what_is_wrong_is_named_and_never_repeated(centre: JoinedCentre) -> None:
    await centre.customer(7)
    ann = await person(centre, "ann", "call_centre")
    answer = await centre.http.put(
        "/v1/customers/7", headers=ann, json={"name": "x" * 300, "phones": ["secret-person"]}
    )
    assert answer.status_code == 422
    assert "$.name" in answer.json()["message"]
    assert "xxx" not in answer.text
    assert "secret" not in answer.text


async def test_a_front_without_the_key_serves_nothing_of_it(pool: Pool) -> None:
    parts = join_centre(pool, KEYS, FixedSystem(), RightsSettings())
    transport = httpx.ASGITransport(app=parts.app)
    office = {"authorization": f"Bearer {KEYS.office_token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://centre") as http:
        for method, path in CALLS:
            answer = await http.request(method, path, headers=office, json={})
            assert answer.status_code == 404


async def test_logs_never_hold_them(
    centre: JoinedCentre, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await centre.customer(7, card="seven")
    ann, eve = await person(centre, "ann", "call_centre"), await person(centre, "eve", "privacy")
    wish = {"kind": "mail", "text": "anna@example.org"}
    with capture_logs() as logged:
        await centre.http.put("/v1/customers/7", headers=ann, json=ANNA)
        await centre.http.post("/v1/customers/find", headers=ann, json=wish)
        await centre.http.put("/v1/customers/7", headers=ann, json={"mails": ["anna at work"]})
        await centre.http.get("/v1/customers/7/export", headers=eve)
        await centre.http.post("/v1/customers/7/erasure", headers=eve, json={"reason": "asked"})
        await tend_erasures(centre.pool, now_ms=centre.system.now_ms())
    everything = " ".join((str(logged), caplog.text, *capfd.readouterr())).lower()
    for word in ("anna", "20 000 001", "37120000001", "example.org"):
        assert word not in everything


def test_the_commands_do_the_same(database: str, tmp_path: Path) -> None:
    at = ("--data", tmp_path, "--database", database)
    lines = [{"kind": "store", "store": "1"},
             {"kind": "account", "account_id": 7, "home_store": "1", "cards": ["c7"]}]  # fmt: skip
    (tmp_path / "load.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "anna.json").write_text(json.dumps(ANNA))
    assert central("load", tmp_path / "load.jsonl", *at).code == 0
    kept = central("customer", "put", "7", tmp_path / "anna.json", *at)
    assert (kept.code, kept.said) == (0, "account 7: kept\n")
    found = central_process("customer", "find", "mail", *at, given=b"Anna@example.org\n")
    assert found.said == "account 7\n"
    central("customer", "consent", "7", "mail", "--source", "form 17", *at)
    shown = central("customer", "show", "7", *at)
    assert "Anna" in shown.said
    assert "mail      agreed form 17" in shown.said
    whole = tmp_path / "whole.json"
    assert central("customer", "export", "7", whole, *at).code == 0
    assert stat.S_IMODE(whole.stat().st_mode) == 0o600
    assert json.loads(whole.read_text())["persons"]["7"]["name"] == "Anna"
    again = central("customer", "export", "7", whole, *at)
    assert again.code == 1
    erased = central("customer", "erase", "7", "--reason", "asked by letter", *at)
    assert erased.said.startswith("erasure 1 of account 7: done; 0 of 0 tills confirmed")
    listed = json.loads(central("customer", "erasures", "--json", *at).said)
    assert listed["erasures"][0]["account_ids"] == [7]
    gone = central("customer", "show", "7", *at)
    assert (gone.code, "was erased" in gone.complained) == (1, True)

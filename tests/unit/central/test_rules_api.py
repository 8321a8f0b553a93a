"""The rules' life over HTTP and on the command line: tokens, roles, files, documented answers."""

import json
import re
from pathlib import Path

import httpx
import pytest

from central.rules.release_file import read_file, sign_file, write_file
from central.staff.persons import add_person
from loyalty.bundle import Bundle
from loyalty.documents import encode
from sync.roots import ReleaseKey, RootDocument, new_root, write_root
from tests.support.builders import bundle, offer, percent
from tests.support.centre import BUNDLE, KEYS, RULE_KEY, JoinedCentre
from tests.support.command_line import central
from tests.unit.central.test_office_api import assert_as_documented
from tests.unit.central.test_rules_life import Office

TEN = bundle(*BUNDLE.offers, offer("ten", percent(10)))
DRAFT = "/v1/rules/drafts/{name}"
RELEASE = "/v1/rules/releases/{version}"
PIN = "/v1/rules/pins/{scope}/{name}"


def document(rules: Bundle) -> bytes:
    return json.dumps(encode(rules)).encode()


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def token(centre: JoinedCentre, name: str, *roles: str) -> dict[str, str]:
    async with centre.pool.acquire() as connection:
        made = await add_person(connection, name, roles, by="test", system=centre.system)
    return bearer(made)


async def published(centre: JoinedCentre, who: dict[str, str], signed: bytes) -> int:
    """Publish for a store, with a guard of its own."""
    template = "/v1/rules/releases"
    path = f"{template}?ring=store:store-1&guards="
    unread = await centre.http.post(f'{path}{{"colour":1}}', headers=who, content=signed)
    assert_as_documented(unread, template)
    assert (unread.status_code, "colour" in unread.text) == (422, True)
    done = await centre.http.post(f'{path}{{"receipts_min":7}}', headers=who, content=signed)
    assert_as_documented(done, template)
    version: int = done.json()["version"]
    assert done.json()["rings"] == ["store:store-1"]
    kept = await centre.pool.fetchval("select guards from rule_release where version = $1", version)
    assert json.loads(kept)["receipts_min"] == 7
    return version


async def test_the_whole_way_over_http(centre: JoinedCentre) -> None:
    http, office = centre.http, bearer(KEYS.office_token)
    anna = await token(centre, "anna", "author")
    boris = await token(centre, "boris", "approver")

    async def call(
        method: str, path: str, template: str, who: dict[str, str], body: bytes = b""
    ) -> httpx.Response:
        response = await http.request(method, path, headers=who, content=body)
        assert_as_documented(response, template)
        return response

    saved = await call("POST", "/v1/rules/drafts/summer?note=milk", DRAFT, anna, document(TEN))
    assert (saved.json()["version"], saved.json()["note"]) == (1, "milk")
    await call("GET", "/v1/rules/drafts", "/v1/rules/drafts", office)
    shown = await call("GET", "/v1/rules/drafts/summer", DRAFT, office)
    assert len(shown.json()["offers"]) == 2
    await call("GET", "/v1/rules/drafts/summer@1/findings", f"{DRAFT}/findings", office)
    changed = await call("GET", "/v1/rules/drafts/summer/difference", f"{DRAFT}/difference", office)
    assert changed.json()["offers_added"] == ["ten"]
    approval = f"{DRAFT}/approval"
    refused = await call("POST", "/v1/rules/drafts/summer/approval", approval, anna)
    assert (refused.status_code, refused.json()["error"]) == (403, "not_allowed")
    approved = await call("POST", "/v1/rules/drafts/summer/approval", approval, boris)
    assert approved.json()["approver"] == "boris"
    made = await http.get("/v1/rules/drafts/summer/release", headers=boris)
    signed = write_file(sign_file(read_file(made.content), RULE_KEY))
    version = await published(centre, boris, signed)
    path = f"/v1/rules/releases/{version}"
    await call("POST", f"{path}/rings", f"{RELEASE}/rings", boris, b'{"ring": "share:1%"}')
    halted = await call("POST", f"{path}/halt", f"{RELEASE}/halt", boris, b'{"why": "cold"}')
    assert (halted.json()["state"], halted.json()["why"]) == ("halted", "cold")
    await call("POST", f"{path}/resume", f"{RELEASE}/resume", boris, b"{}")
    pin = f"/v1/rules/pins/till/{(await centre.till()).identity.till_id}"
    await call("PUT", pin, PIN, boris, json.dumps({"release": version}).encode())
    await call("GET", "/v1/rules/pins", "/v1/rules/pins", office)
    await call("DELETE", pin, PIN, boris)
    gone = await call("DELETE", pin, PIN, boris)
    assert gone.status_code == 404
    back = await call("POST", f"{path}/roll-back", f"{RELEASE}/roll-back", boris)
    assert back.json()["state"] == "withdrawn"
    await call("GET", path, RELEASE, office)
    audit = await call("GET", f"/v1/audit?subject=release:{version}", "/v1/audit", office)
    assert [row["action"] for row in audit.json()][:2] == ["rules.roll-back", "rules.resume"]


async def test_any_two_rule_documents_are_shown_and_compared_over_http(
    centre: JoinedCentre,
) -> None:
    office = await Office.of(centre)
    who, difference = bearer(KEYS.office_token), "/v1/rules/difference"

    async def asked(path: str, template: str) -> httpx.Response:
        response = await centre.http.get(path, headers=who)
        assert_as_documented(response, template)
        return response

    async def shown(name: str) -> list[str]:
        answer = await asked(f"/v1/rules/releases/{name}/document", f"{RELEASE}/document")
        return [each["offer_id"] for each in answer.json()["offers"]]

    before = await shown("live")
    trial = str((await centre.http.get("/v1/rules/releases", headers=who)).json()[0]["version"])
    ten = await office.published(await office.approved(TEN))
    assert await shown(trial) == before
    assert await shown(str(ten.version)) == [*before, "ten"]
    assert await shown("live") == before  # no ring has it
    added = ["ten"]
    for names, field in (
        (f"before={trial}&after={ten.version}", "offers_added"),
        (f"before={ten.version}&after=live", "offers_removed"),
        ("after=summer@1", "offers_added"),
    ):
        answer = (await asked(f"{difference}?{names}", difference)).json()
        assert answer.pop(field) == added, names
        assert not any(answer.values())
    for path, template, status in (
        ("/v1/rules/releases/99/document", f"{RELEASE}/document", 404),
        ("/v1/rules/releases/summer/document", f"{RELEASE}/document", 422),
        (f"{difference}?before=99", difference, 404),
        (f"{difference}?before=A", difference, 422),
    ):
        assert (await asked(path, template)).status_code == status


async def test_what_older_rules_cost_is_asked_over_http(centre: JoinedCentre) -> None:
    path, who = "/v1/rules/stale", bearer(KEYS.office_token)
    assert (await centre.http.get(path)).status_code == 401
    assert (await centre.http.get(path, headers=who)).json() == []
    await centre.pool.execute(
        "insert into stale_receipt (sale_key, till_id, release, bundle, discount_minor, points,"
        " posted_at_ms) values ('a', 7, 4, 'hash', 5000, -2, 1), ('b', 8, 4, 'hash', null, null, 2)"
    )
    answer = await centre.http.get(path, headers=who)
    assert_as_documented(answer, path)
    assert answer.json() == [
        {
            "release": 4, "bundle": "hash", "state": "", "receipts": 2, "tills": 2,
            "discount_minor": 5000, "points": -2, "unknown": 1, "last_posted_at_ms": 2,
        }
    ]  # fmt: skip


async def test_keys_change_over_http(centre: JoinedCentre) -> None:
    boris = await token(centre, "boris", "approver")
    path, office = "/v1/rules/roots", bearer(KEYS.office_token)
    assert (await centre.http.get(path, headers=office)).json() == []
    first = new_root(
        RootDocument(
            version=1, root_keys=(RULE_KEY.public.hex(),), threshold=1,
            release_keys=(ReleaseKey(key=RULE_KEY.public.hex(), generation=1),),
        )
    )  # fmt: skip
    unsigned = await centre.http.post(path, headers=boris, content=write_root(first))
    assert_as_documented(unsigned, path)
    assert unsigned.status_code == 422
    signed = write_root(first.signed_by(RULE_KEY))
    nobody = await centre.http.post(path, headers=await token(centre, "ann"), content=signed)
    assert nobody.status_code == 403
    done = await centre.http.post(path, headers=boris, content=signed)
    assert_as_documented(done, path)
    assert done.json()["version"] == 1
    shown = await centre.http.get(path, headers=office)
    assert_as_documented(shown, path)
    assert shown.json() == [json.loads(signed)]


@pytest.mark.parametrize(
    ("who", "status"), [({}, 401), (bearer("nobody"), 401), (bearer(KEYS.office_token), 403)]
)
async def test_a_write_needs_a_person(
    centre: JoinedCentre, who: dict[str, str], status: int
) -> None:
    response = await centre.http.post("/v1/rules/releases/1/halt", headers=who)
    assert response.status_code == status
    assert_as_documented(response, f"{RELEASE}/halt")


# The command line


def assert_pinned(file: Path, by: tuple[str | Path, ...], at: tuple[str | Path, ...]) -> None:
    """A store that is there is pinned and let go; a till that is not is named."""
    file.write_text('{"kind": "store", "store": "store-1"}\n')
    assert central("load", file, *at).code == 0
    assert central("rules", "pin", "--store", "store-1", "1", *by).code == 0
    assert "store store-1 is pinned to release 1" in central("rules", "list", *at).said
    assert central("rules", "unpin", "--store", "store-1", *by).code == 0
    nowhere = central("rules", "pin", "--till", "7", "1", *by)
    assert (nowhere.code, "there is no till 7" in nowhere.complained) == (1, True)


def assert_exported(folder: Path, *at: str | Path) -> None:
    """Every bundle is a file under the path that tills ask for, written once."""
    done = central("rules", "export-files", folder, *at)
    assert done.said == "2 files written, the rest was there\n"
    assert len(list((folder / "v1" / "bundles").iterdir())) == 2
    assert central("rules", "export-files", folder, *at).said.startswith("0 files")


def test_the_whole_way_on_the_command_line(database: str, tmp_path: Path) -> None:
    data, rules, file = tmp_path / "centre", tmp_path / "rules.json", tmp_path / "summer.release"
    at = ("--data", data, "--database", database)
    rules.write_bytes(document(BUNDLE))
    assert central("rules", "publish", rules, *at).code == 0
    who = {}
    for name, role in (("anna", "author"), ("boris", "approver")):
        made = central("person", "add", name, "--role", role, *at)
        assert made.code == 0, made
        who[name] = tmp_path / f"{name}.token"
        who[name].write_text(made.said)
    assert "anna" in central("person", "list", *at).said
    rules.write_bytes(document(bundle(*TEN.offers, version=2)))
    refused = central("rules", "publish", rules, *at)
    assert (refused.code, "by name" in refused.complained) == (1, True)
    draft = central("rules", "draft", "summer", rules, "--token-file", who["anna"], *at)
    assert "draft summer@1 by anna: 2 offers, not approved" in draft.said
    assert "summer@1: $.offers[1]" in central("rules", "check", "summer", *at).said
    assert central("rules", "diff", "live", "summer", *at).said == "+ offer ten\n"
    assert central("rules", "approve", "summer", "--token-file", who["anna"], *at).code == 1
    assert central("rules", "approve", "summer", "--token-file", who["boris"], *at).code == 0
    assert central("rules", "bundle", "build", "summer", "--out", file, *at).code == 0
    signed = central("rules", "sign", file, "--key", data / "keys" / "rules.key")
    assert "drafted by anna, approved by boris" in signed.said
    nobody = central("rules", "publish", file, *at)
    assert (nobody.code, "who you are" in nobody.complained) == (1, True)
    by = ("--token-file", who["boris"], *at)
    done = central("rules", "publish", file, "--ring", "share:10%", *by)
    found = re.search(r"release (\d+): open, for share:10%", done.said)
    assert found, done
    version = found[1]
    assert "everywhere" in central("rules", "ring", version, "everywhere", *by).said
    assert "halted (cold)" in central("rules", "halt", version, "--why", "cold", *by).said
    assert "open" in central("rules", "resume", version, *by).said
    assert_pinned(tmp_path / "stores.jsonl", by, at)
    assert "withdrawn" in central("rules", "roll-back", version, *by).said
    assert_exported(tmp_path / "www", *at)
    assert "rules.roll-back" in central("audit", "--subject", f"release:{version}", *at).said


def test_keys_and_roots_are_made_without_a_centre(database: str, tmp_path: Path) -> None:
    public = {
        name: central("rules", "key", tmp_path / name).said.strip() for name in ("a", "b", "r", "s")
    }
    assert central("rules", "key", tmp_path / "a").code == 1  # never over another key
    first, second = tmp_path / "root-1.json", tmp_path / "root-2.json"
    roots = ("--root-key", public["a"], "--root-key", public["b"], "--threshold", "2")
    assert central("rules", "root", "make", first, *roots, "--release-key", public["r"]).code == 0
    at = ("--data", tmp_path / "centre", "--database", database)
    assert "signed by 0 of the 2" in central("rules", "root", "install", first, *at).complained
    for name in ("a", "b"):
        assert central("rules", "root", "sign", first, "--key", tmp_path / name).code == 0
    assert "root 1 is installed" in central("rules", "root", "install", first, *at).said
    release = ("--release-key", public["s"])
    central("rules", "root", "make", second, "--after", first, *roots, *release)
    for name in ("b", "a"):
        central("rules", "root", "sign", second, "--key", tmp_path / name)
    said = central("rules", "root", "install", second, *at).said
    assert f"{public['s'][:12]} (2)" in said
    assert central("rules", "root", "install", first, *at).code == 1

"""Whatever a person changes at the centre, by a call or by a command, leaves a row in the audit.

A new call or command has to be put into one of the tables here.
"""

import argparse
import asyncio
import inspect
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import structlog
from starlette.routing import Route

import central.cli
import central.commands.events
import central.commands.rights
import central.streams.parked_queue
from central.rules.release_file import read_file, sign_file, write_file
from central.staff.persons import add_person
from loyalty.bundle import Bundle
from loyalty.documents import encode
from sync.roots import ReleaseKey, RootDocument, new_root, write_root
from tests.support.builders import bundle, offer, percent
from tests.support.centre import BUNDLE, RULE_KEY, JoinedCentre
from tests.support.command_line import central as run

ROLES = ("author", "approver", "call_centre", "finance", "privacy")
TEN = bundle(*BUNDLE.offers, offer("ten", percent(10)))

NOT_OF_PEOPLE = ("/v1/till/", "/v1/app/", "/v1/partner/", "/v1/oauth/", "/v1/enrol")
"""Calls of tills, customers and programs: their records, sessions and movements say who it was."""
CHANGES_NOTHING = {("POST", "/v1/calculate")}

# Calls: method, template, path, body. In this order; `{release}` is put in.
ROOT = json.loads(write_root(new_root(RootDocument(
    version=1, root_keys=(RULE_KEY.public.hex(),), threshold=1,
    release_keys=(ReleaseKey(key=RULE_KEY.public.hex(), generation=1),),
)).signed_by(RULE_KEY)))  # fmt: skip
CALLS: tuple[tuple[str, str, str, object], ...] = (
    ("POST", "/v1/accounts/{account}/merge", "/v1/accounts/7/merge", {"into": 8, "reason": "one"}),
    ("POST", "/v1/merges/{merge}/undo", "/v1/merges/1/undo", None),
    ("POST", "/v1/card-moves", "/v1/card-moves", {"card": "seven", "to": 8, "reason": "hers"}),
    ("POST", "/v1/card-moves/{move}/undo", "/v1/card-moves/1/undo", None),
    ("POST", "/v1/adjustments", "/v1/adjustments",
     {"key": "key-00001", "account_id": 7, "points": 5, "reason": "goodwill"}),
    ("PUT", "/v1/tiers/terms", "/v1/tiers/terms", {"tiers": [{"name": "", "at_least": 0}]}),
    ("POST", "/v1/programmes", "/v1/programmes", {"programme": "blue", "title": "Blue"}),
    ("POST", "/v1/banners", "/v1/banners", {"banner": "new", "programme": "blue"}),
    ("POST", "/v1/parked/{record}/give-up", "/v1/parked/{parked}/give-up",
     {"reason": "burnt", "early": True}),
    ("PUT", "/v1/customers/{account}", "/v1/customers/7", {"name": "A", "phones": ["+371200"]}),
    ("POST", "/v1/customers/find", "/v1/customers/find", {"kind": "phone", "text": "+371200"}),
    ("POST", "/v1/customers/{account}/consents", "/v1/customers/7/consents",
     {"purpose": "mail", "given": True}),
    ("POST", "/v1/customers/{account}/erasure", "/v1/customers/7/erasure", {"reason": "asked"}),
    ("POST", "/v1/rules/releases/{version}/rings", "/v1/rules/releases/{release}/rings",
     {"ring": "share:1%"}),
    ("POST", "/v1/rules/releases/{version}/halt", "/v1/rules/releases/{release}/halt", {}),
    ("POST", "/v1/rules/releases/{version}/resume", "/v1/rules/releases/{release}/resume", {}),
    ("PUT", "/v1/rules/pins/{scope}/{name}", "/v1/rules/pins/store/store-1",
     {"release": 1}),
    ("DELETE", "/v1/rules/pins/{scope}/{name}", "/v1/rules/pins/store/store-1", None),
    ("POST", "/v1/rules/roots", "/v1/rules/roots", ROOT),
    ("POST", "/v1/rules/releases/{version}/roll-back", "/v1/rules/releases/{release}/roll-back",
     None),
)  # fmt: skip
OF_A_RELEASE = {
    ("POST", "/v1/rules/drafts/{name}"), ("POST", "/v1/rules/drafts/{name}/approval"),
    ("POST", "/v1/rules/releases"),
}  # fmt: skip


async def rows(centre: JoinedCentre, person: str) -> int:
    found: int = await centre.pool.fetchval("select count(*) from audit where person = $1", person)
    return found


async def person(centre: JoinedCentre, name: str) -> dict[str, str]:
    async with centre.pool.acquire() as connection:
        token = await add_person(connection, name, ROLES, by="test", system=centre.system)
    return {"authorization": f"Bearer {token}"}


def document(rules: Bundle) -> bytes:
    return json.dumps(encode(rules)).encode()


async def released(centre: JoinedCentre, ann: dict[str, str], bob: dict[str, str]) -> int:
    """Bring rules to a ring, seeing after each call that it was written down."""

    async def call(who: dict[str, str], name: str, path: str, body: bytes = b"") -> httpx.Response:
        before = await rows(centre, name)
        response = await centre.http.post(path, headers=who, content=body)
        assert response.status_code == 200, response.text
        assert await rows(centre, name) > before, path
        return response

    await call(ann, "ann", "/v1/rules/drafts/summer", document(TEN))
    await call(bob, "bob", "/v1/rules/drafts/summer/approval")
    made = await centre.http.get("/v1/rules/drafts/summer/release", headers=bob)
    signed = write_file(sign_file(read_file(made.content), RULE_KEY))
    done = await call(bob, "bob", "/v1/rules/releases?ring=store:store-1", signed)
    return int(done.json()["version"])


async def test_every_call_of_a_person_that_changes_something_is_written_down(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, 300, card="seven")
    await centre.customer(8, 50)
    await centre.pool.execute(
        "insert into adjustment_reason values ('goodwill', 'Goodwill', 500, 0);"
        "insert into adjustment_limit values ('call_centre', 1000)"
    )
    ann, bob = await person(centre, "ann"), await person(centre, "bob")
    release = str(await released(centre, ann, bob))
    till = await centre.till()
    await centre.post(till, till.refund("r1", "s1"))
    parked = str(await centre.pool.fetchval("select arrival from inbox where parked_for <> ''"))
    for method, template, path, body in CALLS:
        before = await rows(centre, "bob")
        where = path.replace("{release}", release).replace("{parked}", parked)
        content = b"" if body is None else json.dumps(body).encode()
        answer = await centre.http.request(method, where, headers=bob, content=content)
        assert answer.status_code == 200, f"{method} {template}: {answer.text}"
        assert await rows(centre, "bob") > before, f"{method} {template} is not in the audit"


async def test_no_call_that_changes_something_is_left_out(centre: JoinedCentre) -> None:
    there = {
        (method, route.path)
        for route in centre.parts.app.routes
        if isinstance(route, Route) and not route.path.startswith(NOT_OF_PEOPLE)
        for method in (route.methods or set()) - {"GET", "HEAD"}
    }
    known = {(method, template) for method, template, _, __ in CALLS}
    assert there == known | OF_A_RELEASE | CHANGES_NOTHING


# Commands

READS = {
    "serve", "audit", "availability", "alerts list", "alerts test-mail", "person list",
    "programmes list", "apps list", "partners list", "partners statement",
    "partners hand-outs", "rules check",
    "rules list", "rules stale", "rules show", "rules diff", "rules backtest", "rules bundle build",
    "rules sign", "rules export-files", "rules key", "rules root make", "rules root sign",
    "calculate", "schema",
    "verify-ledger", "ledger liability", "ledger seals", "ledger prove", "ledger check-proof",
    "ledger reasons", "account merges", "account wallets", "account codes", "customer erasures",
    "tiers show",
    "rights exposure", "rights counters", "events status", "events dead", "events schema",
    "receipt print", "parked list",
    "receipt verify",
    "receipts archive", "receipts unequal",
}  # fmt: skip
"""They change nothing that a person answers for; files are written where the caller says."""
NO_DATABASE_TO_NOTE_IN = {"migrate", "backup make", "backup drill", "backup restore", "ledger seal"}
"""They make the database, copy it, or do what the centre does by itself."""
SAID_IN_THE_SOURCE: dict[str, Callable[..., object]] = {
    "rights give-up": central.commands.rights._give_up,  # noqa: SLF001
    "rights clear": central.commands.rights._clear,  # noqa: SLF001
    "rights release": central.commands.rights._release,  # noqa: SLF001
    "events resend": central.commands.events._resend,  # noqa: SLF001
    "events drop": central.commands.events._drop,  # noqa: SLF001
    "parked give-up": central.streams.parked_queue.give_up,
}
"""They need a till or a broker that has failed for long, or a record that waits: there the note is
looked for."""
COMMANDS: tuple[tuple[str, str], ...] = (
    ("load", "{tmp}/load.jsonl"),
    ("backup mark", "2025-03-05T12:00:00Z"),
    ("fund-pool", "20000"),
    ("enrol", "--store 1 --slot 1"),
    ("revoke", "1"),
    ("rights write-off", "--till 1 --yes"),
    ("rights plan", ""),
    ("rights block", "9"),
    ("feed new-epoch", ""),
    ("events on", ""),
    ("events off", ""),
    ("rules publish", "{tmp}/rules.json"),
    ("programmes add", "blue Blue"),
    ("programmes banner", "new blue"),
    ("person add", "carl"),
    ("person roles", "carl --role author"),
    ("person token", "carl"),
    ("person disable", "carl"),
    ("ledger reason", "goodwill Goodwill --points-max 500"),
    ("ledger limit", "call_centre 2000"),
    ("tiers set", "{tmp}/tiers.json"),
    ("apps add", "shop"),
    ("apps rotate", "shop"),
    ("apps revoke", "shop"),
    ("partners add", "bakery"),
    ("partners rotate", "bakery"),
    ("partners terms", "bakery --at-once 5 --customer-day 5 --day 5"),
    ("partners revoke", "bakery"),
    ("rules draft", "summer {tmp}/ten.json --token-file {tmp}/ann"),
    ("rules approve", "summer@1 --token-file {tmp}/bob"),
    ("rules publish", "summer@1 --ring store:1 --token-file {tmp}/bob"),
    ("rules ring", "2 share:1% --token-file {tmp}/bob"),
    ("rules halt", "2 --token-file {tmp}/bob"),
    ("rules resume", "2 --token-file {tmp}/bob"),
    ("rules pin", "--store 1 2 --token-file {tmp}/bob"),
    ("rules unpin", "--store 1 --token-file {tmp}/bob"),
    ("rules roll-back", "2 --token-file {tmp}/bob"),
    ("rules root install", "{tmp}/root.json --token-file {tmp}/bob"),
    ("account adjust", "7 5 --reason goodwill --token-file {tmp}/bob"),
    ("account merge", "7 8 --reason one"),
    ("account undo-merge", "1"),
    ("account move-card", "card-no-7 --to 8 --reason hers"),
    ("account undo-move", "1"),
    ("customer put", "7 {tmp}/anna.json"),
    ("customer show", "7"),
    ("customer consent", "7 mail"),
    ("customer export", "7 {tmp}/export.json"),
    ("customer rewrap", ""),
    ("customer erase", "7 --reason asked"),
)
WITH_INPUT = {"customer find"}
"""Reads standard input; `test_personal_data` sees that it is written down."""


def leaves(parser: argparse.ArgumentParser, words: str = "") -> Iterator[str]:
    """Yield every command."""
    kinds = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]  # noqa: SLF001
    for kind in kinds:
        for name, child in kind.choices.items():
            yield from leaves(child, f"{words} {name}")
    if not kinds:
        yield words.strip()


def test_no_command_is_left_out() -> None:
    known = READS | NO_DATABASE_TO_NOTE_IN | set(SAID_IN_THE_SOURCE) | WITH_INPUT
    known |= {words for words, _ in COMMANDS}
    assert set(leaves(central.cli.build_parser())) == known


@pytest.mark.parametrize("words", SAID_IN_THE_SOURCE)
def test_what_cannot_be_done_here_says_that_it_notes(words: str) -> None:
    assert re.search(r"await (_note|audit\.note)\(", inspect.getsource(SAID_IN_THE_SOURCE[words]))


@dataclass(frozen=True, slots=True)
class Workplace:
    """A folder and a database that commands work on."""

    folder: Path
    database: str

    def __call__(self, words: str, rest: str) -> str:
        """Give a command; returns what it says."""
        given = rest.format(tmp=self.folder).split()
        ended = run(*words.split(), *given, "--data", self.folder, "--database", self.database)
        assert ended.code == 0, f"{words}: {ended.complained}"
        return ended.said

    def ask(self, sql: str) -> Any:  # noqa: ANN401 - whatever the statement returns
        """Run a statement; returns its first value."""

        async def asked() -> object:
            connection = await asyncpg.connect(self.database)
            try:
                return await connection.fetchval(sql)
            finally:
                await connection.close()

        return asyncio.run(asked())

    def write(self, name: str, content: str) -> None:
        """Write a file that a command reads."""
        (self.folder / name).write_text(content, encoding="utf-8")


@pytest.fixture
def workplace(database: str, tmp_path: Path) -> Iterator[Workplace]:
    """Give a folder with everything the commands read."""
    place = Workplace(tmp_path, database)
    stores = [{"kind": "store", "store": "1"}]
    accounts = [
        {"kind": "account", "account_id": n, "home_store": "1", "cards": [f"card-no-{n}"]}
        for n in (7, 8, 9)
    ]
    place.write("load.jsonl", "\n".join(json.dumps(each) for each in [*stores, *accounts]))
    place.write("rules.json", document(BUNDLE).decode())
    place.write("ten.json", document(TEN).decode())
    place.write("tiers.json", json.dumps({"tiers": [{"name": "", "at_least": 0}]}))
    place.write("anna.json", json.dumps({"name": "Anna"}))
    yield place
    structlog.reset_defaults()


def test_every_command_that_changes_something_is_written_down(workplace: Workplace) -> None:
    for words, rest in COMMANDS:
        _prepare(workplace, words)
        before = workplace.ask("select count(*) from audit")
        workplace(words, rest)
        after = workplace.ask("select count(*) from audit")
        assert after > before, f"{words} is not in the audit"
    assert workplace.ask("select count(*) from audit where person = 'bob'") >= 8
    assert workplace.ask("select count(*) from audit where detail like '%card-no%'") == 0


def _prepare(place: Workplace, words: str) -> None:
    """Have what a command needs there."""
    if words == "revoke":
        place.ask(
            "insert into till (store_id, slot, public_key, hardware, enrolled_at_ms)"
            " values ('1', '1', '\\x00', '', 0)"
        )
    elif words == "rules draft":
        for name in ("ann", "bob"):
            roles = " ".join(f"--role {role}" for role in ROLES)
            place.write(name, place("person add", f"{name} {roles}"))
    elif words == "rules root install":
        keys = {}
        for name in ("root", "release"):
            said = run("rules", "key", place.folder / f"{name}.key")
            keys[name] = said.said.split()[-1]
        run("rules", "root", "make", place.folder / "root.json", "--root-key", keys["root"],
            "--release-key", keys["release"])  # fmt: skip
        run("rules", "root", "sign", place.folder / "root.json", "--key", place.folder / "root.key")

"""A real front over a real database, called through its ASGI application in this process."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from central.bootstrap import Centre, join_centre
from central.database.embedded import start_embedded
from central.database.migrations import migrate
from central.database.pool import Connection, open_pool
from central.keys import load_keys, load_rule_key
from central.people.loading import load_lines
from central.rights.issuing import RightsSettings
from central.rules.drafts import approve_draft, document_of, save_draft
from central.rules.publishing import publish
from central.rules.release_file import ReleaseFile, sign_file
from central.rules.releases import Release, build_release, publish_release
from central.rules.rings import read_ring
from central.rules.roots import release_keys
from central.staff.persons import Person, add_person, find_person
from central.system import System
from central.tills.listening import listen_for_ever
from central.tills.roster import find_roster
from central.tills.waiting import WaitingRoom
from loyalty.bundle import Bundle
from loyalty.documents import encode
from sync.chain import first_link
from sync.session_key import SessionKeys
from sync.signing import SigningKey

HOLD_S = 3_000
SESSION, INCARNATION = b"s" * 16, b"i" * 8
"""Of every till, as its HELLO would have left them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it travels; `head_bytes` are its status line and headers as HTTP/1.1."""

    status: int
    headers: dict[str, str]
    body: bytes
    head_bytes: int


async def ask(
    app: Starlette, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes = b""
) -> Answer:
    """Send a request and return its whole answer."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "scheme": "http", "headers": [(n.encode(), v.encode()) for n, v in headers],
        "server": ("centre", 80), "client": ("till", 1),
    }  # fmt: skip
    sent: list[Any] = []
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's messages
        sent.append(message)

    await app(scope, receive, send)
    raw = sent[0]["headers"]
    found = {name.decode(): value.decode() for name, value in raw}
    content = b"".join(message.get("body", b"") for message in sent[1:])
    head = len(b"HTTP/1.1 200 OK\r\n\r\n") + sum(len(n) + len(v) + 4 for n, v in raw)
    return Answer(sent[0]["status"], found, content, head)


@dataclass(frozen=True, slots=True)
class Front:
    """A centre and two people who work at it."""

    centre: Centre
    folder: Path
    author: Person
    approver: Person
    base: str

    async def signed(self, rules: Bundle) -> ReleaseFile:
        """Draft, approve, build and sign rules, as two people and a key in a drawer do."""
        system = self.centre.system
        async with self.centre.pool.acquire() as connection:
            draft = await save_draft(
                connection, "next", document_of(rules), author=self.author, note_text="",
                system=system,
            )  # fmt: skip
            await approve_draft(connection, draft.title, approver=self.approver, system=system)
            file = await build_release(connection, draft.title, activate_at="", system=system)
        return sign_file(file, load_rule_key(self.folder / "keys" / "rules.key"))

    async def publish(self, file: ReleaseFile) -> tuple[Release, float]:
        """Publish a signed release for everybody; returns it, and when that was done."""
        async with self.centre.pool.acquire() as connection:
            release = await publish_release(
                connection, file,
                keys=await release_keys(connection, self.centre.keys.rule_public),
                rings=[read_ring("everywhere")], by=self.approver, system=self.centre.system,
            )  # fmt: skip
        return release, time.perf_counter()


@asynccontextmanager
async def opened_front(folder: Path, rules: Bundle, stores: int) -> AsyncIterator[Front]:
    """Start a centre with stores, and rules for everybody; it ends with the block."""
    server = await asyncio.to_thread(start_embedded, folder / "postgres")
    system = System()
    try:
        pool = await open_pool(server.dsn, connections_max=12)
        keys = load_keys(folder, system)
        async with pool.acquire() as connection:
            await migrate(connection, now_ms=system.now_ms())
        lines = [
            json.dumps({"kind": "store", "store": f"s{n}", "region": f"r{n % 10}"}).encode()
            for n in range(stores)
        ]
        await load_lines(pool, lines, card_key=keys.card_key, system=system)
        async with pool.acquire() as connection:
            document = json.dumps(encode(rules)).encode()
            key = load_rule_key(folder / "keys" / "rules.key")
            first = await publish(connection, document, key, system)
            author = await _person(connection, "author", system)
            approver = await _person(connection, "approver", system)
        room = WaitingRoom(hold_s_max=HOLD_S)
        centre = join_centre(pool, keys, system, RightsSettings(), room)
        listening = asyncio.create_task(listen_for_ever(pool, room, centre.desk.directory))
        try:
            yield Front(centre, folder, author, approver, first.manifest.bundle)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            pool.terminate()
    finally:
        await asyncio.to_thread(server.stop)


async def _person(connection: Connection, role: str, system: System) -> Person:
    token = await add_person(connection, role, [role], by="bench", system=system)
    return await find_person(connection, token)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A till in the registry, its session's key, and the version of its store's roster."""

    till_id: int
    session_key: bytes
    roster: bytes


async def enrol(front: Front, count: int, stores: int) -> list[Enrolled]:
    """Put tills into the registry, each with a key, a stream and a session that has the base rules.

    The sessions are as after a HELLO, but not verified: no rights are handed out, which is measured
    elsewhere.
    """
    keys = [SigningKey(number.to_bytes(32, "big")) for number in range(1, count + 1)]
    rows = await front.centre.pool.fetch(
        "insert into till (store_id, slot, public_key, hardware, enrolled_at_ms, session,"
        " session_verified, session_incarnation, bundle, is_vault)"
        " select 's' || (n % $2), 'slot', key, 'bench', 0, $3, false, $4, $5, false"
        " from unnest($1::bytea[]) with ordinality as k(key, n) returning till_id, store_id",
        [key.public for key in keys], stores, SESSION, INCARNATION, front.base,
    )  # fmt: skip
    ids = [row["till_id"] for row in rows]
    await front.centre.pool.execute(
        "insert into till_stream (till_id, incarnation, incarnation_number, last_hash,"
        " opened_at_ms) select till_id, $3, 1, link, 0"
        " from unnest($1::int[], $2::bytea[]) as s(till_id, link)",
        ids, [first_link(till_id, INCARNATION) for till_id in ids], INCARNATION,
    )  # fmt: skip
    session_keys = SessionKeys(front.centre.keys.centre.seed())
    rosters = {
        store: (await find_roster(front.centre.pool, store, front.centre.system)).version
        for store in {row["store_id"] for row in rows}
    }
    return [
        Enrolled(
            row["till_id"],
            session_keys.key_of(row["till_id"], SESSION),
            bytes.fromhex(rosters[row["store_id"]]),
        )
        for row in rows
    ]

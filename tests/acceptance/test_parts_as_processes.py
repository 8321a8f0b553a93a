"""Front, processing and outreach as processes: each tells how it is, and ends when told to."""

import asyncio
import hashlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import pytest_asyncio

from bench.demo.rig import free_port, tillside
from loyalty.compilation import compile_bundle
from sync.codec import encode
from sync.cycle import PATH_ENROL, PATH_PULL
from sync.enrolling import EnrolAnswer, EnrolRequest
from sync.messages import PullAnswer
from sync.signing import SigningKey, enrol_content
from tests.support.centre import BUNDLE
from tests.support.postgres import folder_for_postgres
from tests.support.scraping import Scrape
from tests.support.till_probe import TillProbe, read_answer

START_S = 60.0
ROLES = ("front", "processing", "outreach")
SECOND = "processing 2"


@dataclass
class Parts:
    """The processes over one data folder by name, and the ports they tell metrics on.

    A process is named as its role; a second one of a role has a number behind it.
    """

    folder: Path
    log: Path
    port: int = field(default_factory=free_port)
    ports: dict[str, int] = field(
        default_factory=lambda: {name: free_port() for name in (*ROLES, SECOND)}
    )
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def told_at(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def command(self, *arguments: str) -> str:
        done = subprocess.run(
            [*tillside("central", *arguments), "--data", str(self.folder)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    def start(self, name: str) -> None:
        role, _, _ = name.partition(" ")
        environment = {**os.environ, "TILLSIDE_CENTRAL_METRICS_PORT": str(self.ports[name])}
        command = tillside(
            "central", "serve", "--role", role, "--data", self.folder, "--port", self.port
        )
        with self.log.open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    async def ready(self, name: str) -> dict[str, object]:
        """Return what a part says of itself once it does."""
        async with asyncio.timeout(START_S), httpx.AsyncClient(timeout=START_S) as http:
            while True:
                assert self.processes[name].poll() is None, self.log.read_text("utf-8")[-4_000:]
                try:
                    answer = await http.get(f"{self.told_at(name)}/v1/ready")
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                    continue
                if answer.status_code == 503:  # its database was slow to answer
                    await asyncio.sleep(0.05)
                    continue
                assert answer.status_code == 200, answer.text
                return dict(answer.json())

    async def scrape(self, name: str) -> Scrape:
        async with httpx.AsyncClient(timeout=START_S) as http:
            return Scrape.of((await http.get(f"{self.told_at(name)}/metrics")).text)

    async def until_told(self, name: str, metric: str, least: float = 1, **labels: str) -> None:
        """Wait until a part tells that something is so many, or more."""
        async with asyncio.timeout(START_S):
            while True:
                if (await self.scrape(name)).value(metric, **labels) >= least:
                    return
                await asyncio.sleep(0.05)

    async def end(self, name: str) -> int:
        """Tell a part to end; returns its exit status."""
        process = self.processes.pop(name)
        process.terminate()
        async with asyncio.timeout(START_S):
            return await asyncio.to_thread(process.wait)


@pytest_asyncio.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    with folder_for_postgres() as folder:
        parts = Parts(folder / "centre", tmp_path / "parts.log")
        try:
            for role in ROLES:
                parts.start(role)
                assert await parts.ready(role) == {"ready": True, "why": "", "role": role}
            yield parts
        finally:
            for name in tuple(parts.processes):
                await parts.end(name)


async def enrolled(parts: Parts, http: httpx.AsyncClient) -> TillProbe:
    """Return a till of a new store."""
    stores = parts.folder / "stores.jsonl"
    stores.write_text(json.dumps({"kind": "store", "store": "367"}), encoding="utf-8")
    parts.command("load", str(stores))
    code = json.loads(parts.command("enrol", "--store", "367", "--slot", "1", "--json"))["code"]
    key = SigningKey(hashlib.sha256(b"a till of parts").digest())
    bare = EnrolRequest(
        code=code, public_key=key.public, hardware="probe", nonce=b"n" * 16, signature=b""
    )
    signed = msgspec.structs.replace(bare, signature=key.sign(enrol_content(bare)))
    answer = await http.post(PATH_ENROL, content=encode(signed))
    return TillProbe(http, key, read_answer(answer, EnrolAnswer), compile_bundle(BUNDLE, ""))


async def test_each_part_tells_how_it_is_and_ends_when_told(parts: Parts) -> None:
    async with httpx.AsyncClient(base_url=parts.url, timeout=60) as http:
        assert (await http.get("/metrics")).status_code == 404  # it has a port of its own
        till = await enrolled(parts, http)
        await till.hello()
        await till.push()
        await parts.until_told("processing", "tillside_records_applied_total", outcome="accepted")
        front, behind, outreach = [await parts.scrape(role) for role in ROLES]
        pushes = {"kind": "till", "route": "/v1/till/push", "status": "200"}
        assert front.value("tillside_requests_total", **pushes) == 1
        assert "tillside_tills" not in front.families
        assert behind.value("tillside_tills", state="up") == 1
        assert behind.value("tillside_database_up") == 1
        for role, page in zip(ROLES, (front, behind, outreach), strict=True):
            (labels,) = page.series("tillside_info")
            assert role in labels
            assert page.series("tillside_database_pool_connections")

        # A pull waits for news: it is answered when its front is told to end, which ends with 0.
        waiting = msgspec.structs.replace(till.pull_message(), cursor=till.cursor, wait_s=120)
        first = await till.ask(PATH_PULL, waiting, PullAnswer)
        assert first.roster is not None
        waiting = msgspec.structs.replace(waiting, cursor=first.cursor, roster=first.roster.version)
        held = asyncio.create_task(till.ask(PATH_PULL, waiting, PullAnswer))
        await parts.until_told("front", "tillside_pulls_held")
        assert await parts.end("front") == 0
        assert isinstance(await held, PullAnswer)
    for role in ROLES[1:]:
        assert await parts.end(role) == 0


async def test_processing_processes_share_and_one_takes_over_from_another(parts: Parts) -> None:
    parts.start(SECOND)
    await parts.ready(SECOND)
    for name in ("processing", SECOND):
        await parts.until_told(name, "tillside_appliers", 2)
    pages = [await parts.scrape(name) for name in ("processing", SECOND)]
    assert sorted("tillside_database_up" in page.families for page in pages) == [False, True]
    async with httpx.AsyncClient(base_url=parts.url, timeout=60) as http:
        till = await enrolled(parts, http)
        await till.hello()
        parts.processes["processing"].kill()
        await asyncio.to_thread(parts.processes.pop("processing").wait)
        for number in range(5):  # whosever share the store was
            till.append(till.sale(f"s{number}"))
        await till.push()
    posted = {"outcome": "accepted"}
    await parts.until_told(SECOND, "tillside_records_applied_total", 6, **posted)
    async with asyncio.timeout(START_S):
        while (await parts.scrape(SECOND)).value("tillside_appliers") != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

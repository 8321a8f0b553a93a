"""Parts of the centre: metrics stand apart, no part dies in silence."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from bench.demo.rig import free_port
from central.config import CentralConfig, make_config
from central.database.pool import Pool
from central.observability.side_server import SideServer
from central.roles import _outreach, serve, serve_with_parts
from central.system import System
from tests.support.scraping import Scrape

WAIT_S = 20


# What is served where


async def served(config: CentralConfig) -> tuple[asyncio.Task[None], str]:
    """Serve in this process; returns what runs, and where."""
    serving = asyncio.create_task(serve(config, System()))
    address = config.folder / "address"
    while not address.exists():
        assert not serving.done(), serving
        await asyncio.sleep(0.02)
    return serving, address.read_text("ascii").strip()


@pytest.mark.parametrize("has_port", [False, True])
async def test_metrics_are_told_on_a_port_of_their_own_or_nowhere(
    database: str, tmp_path: Path, *, has_port: bool
) -> None:
    port = free_port() if has_port else 0
    config = CentralConfig(
        data=str(tmp_path), database=database, port=0, role="front", people="off", metrics_port=port
    )
    serving, url = await served(config)
    async with asyncio.timeout(WAIT_S), httpx.AsyncClient(timeout=WAIT_S) as http:
        assert (await http.get(f"{url}/metrics")).status_code == 404
        assert (await http.get(f"{url}/v1/ready")).status_code == 200
        if has_port:
            page = await http.get(f"http://127.0.0.1:{port}/metrics")
            assert "tillside_pulls_held" in Scrape.of(page.text).families
        os.kill(os.getpid(), signal.SIGTERM)
        await serving


async def test_the_page_for_people_stands_beside_metrics_and_not_where_tills_come(
    database: str, tmp_path: Path
) -> None:
    port = free_port()
    config = CentralConfig(
        data=str(tmp_path), database=database, port=0, people="off", metrics_port=port
    )
    serving, url = await served(config)
    async with asyncio.timeout(WAIT_S), httpx.AsyncClient(timeout=WAIT_S) as http:
        assert (await http.get(f"{url}/")).status_code == 404
        page = await http.get(f"http://127.0.0.1:{port}/")
        assert (page.status_code, "<h1>Tillside centre</h1>" in page.text) == (200, True)
        os.kill(os.getpid(), signal.SIGTERM)
        await serving


def test_metrics_are_for_this_machine_unless_somebody_says_otherwise() -> None:
    assert make_config({"data": "."}, {}).metrics_host == "127.0.0.1"
    elsewhere = {"TILLSIDE_CENTRAL_METRICS_HOST": "10.0.0.5"}
    assert make_config({"data": "."}, elsewhere).metrics_host == "10.0.0.5"


@pytest.mark.parametrize("server", ["", "smtp://127.0.0.1:9"])
async def test_incidents_are_kept_with_or_without_mail(
    pool: Pool, tmp_path: Path, server: str
) -> None:
    config = CentralConfig(
        data=str(tmp_path), role="outreach", mail_server=server, mail_from="a@b", mail_to="c@d"
    )
    (watching,) = _outreach(pool, System(), config)
    assert "watch_for_ever" in repr(watching)
    watching.close()


# Parts that fail


class PartError(Exception):
    """A part has failed."""


async def goes_on(cancelled: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        cancelled.set()


async def fails() -> None:
    raise PartError


async def test_a_server_ends_with_the_part_beside_it_that_fails() -> None:
    server = SideServer(uvicorn.Config(Starlette(), port=0, log_level="warning"))
    cancelled = asyncio.Event()
    with pytest.raises(PartError):
        await asyncio.wait_for(serve_with_parts(server, [goes_on(cancelled), fails()]), WAIT_S)
    assert server.should_exit
    assert cancelled.is_set()


async def test_a_process_that_is_all_parts_ends_when_one_behind_it_dies(
    pool: Pool, database: str, tmp_path: Path
) -> None:
    await pool.execute("delete from service_state")  # what counting service cannot go on without
    config = CentralConfig(data=str(tmp_path), database=database, port=0, people="off")
    with pytest.raises(TypeError):
        await asyncio.wait_for(serve(config, System()), WAIT_S)

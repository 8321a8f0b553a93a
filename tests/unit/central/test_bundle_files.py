"""Bundles as files: a till takes them from any web server, from the centre what that has not."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import msgspec
import pytest
import pytest_asyncio

from agent.link.central_client import CentralClient
from central.rules.exporting import export_files
from central.rules.publishing import newest_manifest
from loyalty.bundle import Product
from sync.blobs import CHUNK_BYTES, pieces_of, unpack
from sync.cycle import PATH_BUNDLE, Fetch
from sync.errors import LinkError
from sync.messages import Manifest
from tests.support.builders import bundle
from tests.support.centre import BUNDLE, JoinedCentre
from tests.support.till import IDENTITY, SetSystem

NOISE = {sha256(b"%d" % number).hexdigest(): Product() for number in range(3_000)}
LARGE = bundle(*BUNDLE.offers, catalogue=NOISE, version=2)
"""Of more than one piece: names that no packing makes shorter."""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """Serve a folder as Python's own web server does, which knows no ranges."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest_asyncio.fixture
async def exported(centre: JoinedCentre, tmp_path: Path) -> Path:
    """Give the folder with a centre's files."""
    await centre.publish(LARGE)
    async with centre.pool.acquire() as connection:
        assert await export_files(connection, tmp_path) >= 2
    return tmp_path


@pytest_asyncio.fixture
async def manifest(centre: JoinedCentre, exported: Path) -> Manifest:
    """Give what the centre announces."""
    async with centre.pool.acquire() as connection:
        found = await newest_manifest(connection)
    assert found is not None
    assert pieces_of(found) > 1
    return found


@asynccontextmanager
async def client(centre_url: str, bundles_url: str) -> AsyncIterator[CentralClient]:
    identity = msgspec.structs.replace(IDENTITY, centre_url=centre_url)
    made = CentralClient(identity, SetSystem(), bundles_url=bundles_url)
    try:
        yield made
    finally:
        await made.close()


async def fetched(made: CentralClient, manifest: Manifest) -> bytes:
    """Fetch all pieces, one after the other, as the link does."""
    pieces = [
        await made.fetch_piece(Fetch(manifest, piece), timeout_s=20)
        for piece in range(pieces_of(manifest))
    ]
    assert {len(piece) for piece in pieces[:-1]} == {CHUNK_BYTES}
    return unpack(pieces)


NOBODY = "http://127.0.0.1:1"


async def test_a_till_takes_its_rules_from_a_plain_web_server(
    exported: Path, manifest: Manifest
) -> None:
    with web_server(exported) as url:
        async with client(NOBODY, url) as made:
            content = await fetched(made, manifest)
    assert sha256(content).hexdigest() == manifest.bundle


@pytest.mark.parametrize("damage", ["missing", "changed", "cut short"])
async def test_what_the_web_server_has_not_or_damaged_is_the_centres(
    exported: Path, manifest: Manifest, tmp_path_factory: pytest.TempPathFactory, damage: str
) -> None:
    good = (exported / PATH_BUNDLE.strip("/") / manifest.bundle).read_bytes()
    folder = tmp_path_factory.mktemp("files") / PATH_BUNDLE.strip("/")
    folder.mkdir(parents=True)
    if damage == "changed":
        (folder / manifest.bundle).write_bytes(good[:-9] + bytes(9))
    elif damage == "cut short":
        (folder / manifest.bundle).write_bytes(good[:-9])
    with web_server(exported) as centre_url, web_server(folder.parents[1]) as url:
        async with client(centre_url, url) as made:
            content = await fetched(made, manifest)
            assert sha256(content).hexdigest() == manifest.bundle
        async with client(NOBODY, url) as made:
            with pytest.raises(LinkError):
                await fetched(made, manifest)


async def test_files_are_whole_whenever_they_are_looked_at(
    exported: Path, centre: JoinedCentre
) -> None:
    """No name is there before its content; a second run writes nothing."""
    names = {path.name for path in (exported / PATH_BUNDLE.strip("/")).iterdir()}
    assert not [name for name in names if "partial" in name]
    async with centre.pool.acquire() as connection:
        assert await export_files(connection, exported) == 0

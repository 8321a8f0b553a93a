"""A small server beside a process's work: metrics and readiness on a port of their own."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute


class SideServer(uvicorn.Server):
    """Leaves signals to the process it stands in: uvicorn would end that with them, undone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def serve_beside(routes: Sequence[BaseRoute], *, host: str, port: int) -> None:
    """Serve routes until cancelled."""
    config = uvicorn.Config(
        Starlette(routes=list(routes)), host=host, port=port, log_level="warning", access_log=False
    )
    server = SideServer(config)
    serving = asyncio.create_task(server.serve())
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)

"""A small server beside a process's work: metrics and readiness on a port of their own."""

import asyncio
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from central.errors import CentralError


class SideServer(uvicorn.Server):
    """Leaves signals to the process it stands in: uvicorn would end that with them, undone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen.

        Raises:
            CentralError: the address cannot be listened on; uvicorn would end the process.
        """
        try:
            await super().startup(sockets)
        except SystemExit as error:
            where = f"{self.config.host} port {self.config.port}"
            raise CentralError(f"{where} cannot be listened on; the log says why") from error


def require_free(host: str, port: int, *, setting: str) -> None:
    """Refuse an address that another program listens on, before anything is begun.

    Args:
        port: 0 is free always.
        setting: what says the port, for the message.

    Raises:
        CentralError: it cannot be listened on.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as trial:
                if (
                    os.name == "posix"
                ):  # as the server itself does; elsewhere it means another thing
                    trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(address)
    except OSError as error:
        raise CentralError(
            f"{host} port {port} cannot be listened on: {error.strerror}; end what listens there,"
            f" or give another {setting}"
        ) from error


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

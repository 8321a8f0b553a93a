"""A database that may be thrown back to a copy of itself, as by a failover that lags."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg


async def _keep_as_it_is(_: object) -> None:
    return


async def _open(dsn: str) -> "asyncpg.Pool[asyncpg.Record]":
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=2,
        reset=_keep_as_it_is,
        server_settings={"timezone": "UTC", "jit": "off"},
    )


class SwitchingPool:
    """Passes everything to a pool, which may be exchanged; with one user nothing needs cleaning."""

    def __init__(self, dsn: str, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._dsn = dsn
        self._pool = pool
        self._copies: list[str] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a pool has
        return getattr(self._pool, name)

    async def copy(self) -> None:
        """Make a copy; from now on it is behind."""
        name = urlsplit(self._dsn).path[1:]
        copy = f"{name.partition('_at_')[0]}_at_{len(self._copies) + 1}"
        await self._pool.close()
        await self._on_server(f'create database "{copy}" template "{name}"')
        self._copies.append(copy)
        self._pool = await _open(self._dsn)

    async def fail_over(self) -> None:
        """Go on with the last copy; what happened since never did."""
        await self._pool.close()
        self._dsn = _with_database(self._dsn, self._copies[-1])
        self._pool = await _open(self._dsn)

    async def close(self) -> None:
        """Close the pool and drop the copies."""
        await self._pool.close()
        for copy in self._copies:
            await self._on_server(f'drop database if exists "{copy}" with (force)')

    async def _on_server(self, statement: str) -> None:
        connection = await asyncpg.connect(_with_database(self._dsn, "template1"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def _with_database(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def open_simulation_pool(dsn: str) -> Any:  # noqa: ANN401 - it stands for a pool
    """Connect as the product does."""
    return SwitchingPool(dsn, await _open(dsn))

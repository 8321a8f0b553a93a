"""Which rules each till gets, from memory: releases, rings, pins and manifests of this moment.

Read anew when the database says that something has changed, so that telling fifty thousand tills of
a release costs no statement. What a process knows may be a second old; that changes when a till
hears of a release, never what it may take: manifests are signed and versions rise.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import structlog

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.rules.deltas import delta_content
from central.rules.publishing import bundle_content
from central.rules.ways import NO_WAYS, Number, TillRules, Under, Ways, read_ways
from central.system import System
from sync.messages import Manifest
from sync.rule_messages import Delta, RulesReport

log = structlog.get_logger()
_SQL = load_queries("central.rules", "queries.sql")

_FILES_BYTES_MAX: Final = 64 << 20
"""Of bundles and deltas kept in memory, those asked for last."""
_LATE_MS: Final = 60_000
"""What a till said to another process can be read by then, however clocks differ a little."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a till is told."""

    manifest: Manifest
    delta: Delta | None


@dataclass(frozen=True, slots=True)
class _Known:
    """Everything that decides, of one moment."""

    number: int = 0
    ways: Ways = NO_WAYS
    manifests: Mapping[Number, Manifest] = field(default_factory=dict)
    deltas: Mapping[tuple[str, str], Delta] = field(default_factory=dict)
    roots: tuple[bytes, ...] = ()
    root_version: int = 0


class RuleDirectory:
    """One process's memory of what the rules of each till are."""

    def __init__(self, pool: Pool, system: System) -> None:
        self._pool = pool
        self._system = system
        self._known = _Known()
        self._files: OrderedDict[str, bytes] = OrderedDict()
        self._files_bytes = 0
        self._told: dict[int, tuple[int, int, str]] = {}
        self._heard_ms = 0
        self._reading = asyncio.Lock()

    @property
    def number(self) -> int:
        """Of the last change that is known."""
        return self._known.number

    async def refresh(self, connection: Connection | None = None, *, anew: bool = False) -> None:
        """Read anew what has changed; what is older than what is known is left.

        Args:
            connection: it may see what was before; without one another is taken.
            anew: whatever is known: a database that went on without its last changes counts them
                again. Only of a connection outside a transaction.
        """
        if connection is None:
            async with self._pool.acquire() as own:
                await self.refresh(own, anew=anew)
            return
        number = await connection.fetchval(_SQL["change_number"])
        if number <= self.number and not anew:
            return
        async with self._reading:  # who is in here waits for no connection
            if number > self.number or anew:
                self._known = await _read(connection, number, self._system.now_ms())

    def hear(self, till_id: int, bundle: str, rules: RulesReport) -> None:
        """Take in at once what a till says is in force there below what waits."""
        ways, taken = self._known.ways, (rules.generation, rules.version)
        if ways.waits(taken, self._system.now_ms()):
            ways.under[till_id] = Under(taken, bundle)

    async def hear_others(self, connection: Connection) -> list[int]:
        """Take in what tills have said to other processes.

        Costs no statement while nothing waits anywhere.

        Returns:
            The tills of whom any of it is news; it concerns none but them.
        """
        ways, now_ms = self._known.ways, self._system.now_ms()
        heard = await _read_under(connection, ways, now_ms, since_ms=self._heard_ms - _LATE_MS)
        self._heard_ms = now_ms
        news = [till_id for till_id, each in heard.items() if ways.under.get(till_id) != each]
        ways.under.update(heard)
        return news

    def answer(self, till: TillRules) -> Answer | None:
        """Return what a till should take next, and remember that it was told.

        Returns:
            None where it has what it should have, or no manifest is left that it can take: it sells
            with what it has until somebody publishes again (`central.rules.left_behind` tells).
        """
        way = self._known.ways.way(till, self._system.now_ms())
        if way is None:
            return None
        bundle, number = way
        self._told[till.till_id] = (*number, bundle)
        return Answer(self._known.manifests[number], self._known.deltas.get((bundle, till.bundle)))

    async def note_told(self, database: Connection | Pool) -> bool:
        """Keep which manifests tills were told since the last time; says whether any was."""
        told, self._told = self._told, {}
        if not told:
            return False
        tills = sorted(told)
        generations, versions, bundles = zip(*(told[each] for each in tills), strict=True)
        try:
            await database.execute(_SQL["note_told"], tills, generations, versions, bundles)
        except BaseException:
            self._told = told | self._told
            raise
        return True

    def roots_after(self, version: int) -> tuple[bytes, ...]:
        """Return the root documents that follow the one a till trusts."""
        known = self._known
        missing = known.root_version - version
        return known.roots[-missing:] if 0 < missing <= len(known.roots) else ()

    def newest_root(self) -> bytes:
        """Return the newest root document; empty where there is none."""
        return self._known.roots[-1] if self._known.roots else b""

    def kept_file(self, name: str) -> bytes | None:
        """Return a bundle or a delta from memory; None where it has to be read."""
        content = self._files.get(name)
        if content is not None:
            self._files.move_to_end(name)
        return content

    async def file(self, name: str) -> bytes | None:
        """Return a bundle or a delta as tills fetch it; both never change under their names."""
        if (kept := self.kept_file(name)) is not None:
            return kept
        async with self._pool.acquire() as connection:
            read = delta_content if "-" in name else bundle_content
            content = await read(connection, name)
        if content is None:
            return None
        self._files[name] = content
        self._files_bytes += len(content)
        while self._files_bytes > _FILES_BYTES_MAX and len(self._files) > 1:
            _, dropped = self._files.popitem(last=False)
            self._files_bytes -= len(dropped)
        return content


async def _read(connection: Connection, number: int, now_ms: int) -> _Known:
    ways = await read_ways(connection, now_ms)
    ways = replace(ways, under=await _read_under(connection, ways, now_ms, since_ms=0))
    wanted = sorted(ways.signed)
    roots = await connection.fetch(_SQL["roots"])
    manifests: dict[Number, Manifest] = {}
    for row in await connection.fetch(_SQL["manifests"], wanted):
        try:
            manifest = msgspec.msgpack.decode(row["manifest"], type=Manifest)
        except msgspec.DecodeError as error:  # of a later release of this program
            log.warning("manifest_unreadable", version=row["version"], why=str(error))
            continue
        manifests[row["generation"], row["version"]] = manifest
    deltas = {
        (row["bundle"], row["base"]): Delta(
            base=row["base"],
            hash=hashlib.sha256(row["content"]).digest(),
            size_bytes=len(row["content"]),
        )
        for row in await connection.fetch(_SQL["deltas"], wanted)
    }
    return _Known(
        number=number,
        ways=ways.of_manifests(manifests),
        manifests=manifests,
        deltas=deltas,
        roots=tuple(row["document"] for row in roots),
        root_version=roots[-1]["version"] if roots else 0,
    )


async def _read_under(
    connection: Connection, ways: Ways, now_ms: int, *, since_ms: int
) -> dict[int, Under]:
    """Return what is in force at tills that keep waiting what is still to begin, as they said."""
    waiting = [number for number in ways.says if ways.waits(number, now_ms)]
    if not waiting:
        return {}
    generations, versions = zip(*waiting, strict=True)
    rows = await connection.fetch(_SQL["tills_that_took"], generations, versions, since_ms)
    return {
        row["till_id"]: Under((row["generation"], row["version"]), row["bundle"]) for row in rows
    }

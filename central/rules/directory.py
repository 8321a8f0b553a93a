"""Which rules each till gets, from memory: releases, rings, pins and manifests of this moment.

Read anew when the database says that something has changed, so that telling fifty thousand tills of
a release costs no statement. What a process knows may be a second old; that changes when a till
hears of a release, never what it may take: manifests are signed and versions rise.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import structlog

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.programmes.registry import DEFAULT
from central.rules.deltas import delta_content
from central.rules.publishing import bundle_content
from central.rules.releases import ring_of
from central.rules.rings import Ring
from sync.errors import MalformedMessageError
from sync.messages import Manifest
from sync.roots import read_root
from sync.rule_messages import Delta

log = structlog.get_logger()
_SQL = load_queries("central.rules", "queries.sql")

_FILES_BYTES_MAX: Final = 64 << 20
"""Of bundles and deltas kept in memory, those asked for last."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A manifest and the generation of the key that signed it."""

    generation: int
    version: int
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Standing:
    """An open release of a programme, and its rings."""

    version: int
    bundle: str
    rings: tuple[Ring, ...]
    programme: str = DEFAULT

    def holds(self, *, till_id: int, store_id: str, region: str, programme: str = DEFAULT) -> bool:
        """Say whether one of the rings holds a till; none holds one of another programme."""
        return programme == self.programme and any(
            ring.holds(till_id=till_id, store_id=store_id, region=region, release=self.version)
            for ring in self.rings
        )


@dataclass(frozen=True, slots=True)
class TillRules:
    """A till that asks for its rules.

    Attributes:
        bundle: what it has, hash.
        programme: its store's.
        taken: generation and version of the manifest it took last; None where it does not say.
        refused: bundle it refused after its self-test.
    """

    till_id: int
    store_id: str
    region: str
    bundle: str
    taken: tuple[int, int] | None = None
    refused: str = ""
    programme: str = DEFAULT


@dataclass(frozen=True, slots=True)
class Answer:
    """What a till is told."""

    manifest: Manifest
    delta: Delta | None


@dataclass(frozen=True, slots=True)
class _Known:
    """Everything that decides, of one moment."""

    number: int = 0
    standing: Sequence[Standing] = ()
    pins: Mapping[tuple[str, str], str] = field(default_factory=dict)
    signed: Mapping[str, Sequence[Signed]] = field(default_factory=dict)
    deltas: Mapping[tuple[str, str], Delta] = field(default_factory=dict)
    roots: tuple[bytes, ...] = ()
    root_version: int = 0


class RuleDirectory:
    """One process's memory of what the rules of each till are."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known = _Known()
        self._files: OrderedDict[str, bytes] = OrderedDict()
        self._files_bytes = 0

    async def refresh(self, connection: Connection | None = None) -> bool:
        """Read anew what has changed; says whether anything had."""
        if connection is None:
            async with self._pool.acquire() as own:
                return await self.refresh(own)
        number = await connection.fetchval(_SQL["change_number"])
        if number == self._known.number:
            return False
        self._known = await _read(connection, number)
        return True

    def wanted(self, till: TillRules) -> str:
        """Return the hash of the bundle a till should have; empty where nothing is for it."""
        known = self._known
        for scope, name in (("till", str(till.till_id)), ("store", till.store_id)):
            if pinned := known.pins.get((scope, name)):
                return pinned
        for each in known.standing:
            if each.holds(
                till_id=till.till_id,
                store_id=till.store_id,
                region=till.region,
                programme=till.programme,
            ):
                return each.bundle
        return ""

    def answer(self, till: TillRules) -> Answer | None:
        """Return what a till should take next; None where it has what it should have.

        Of the manifests that name it the till gets the first one that it can take: the rest are
        left for the times after. Where none is left somebody has to publish again; meanwhile
        the till sells with what it has.
        """
        wanted = self.wanted(till)
        if not wanted or wanted in (till.bundle, till.refused):
            return None
        signed = self._known.signed.get(wanted, ())
        if till.taken is None:
            found = signed[-1] if signed else None
        else:
            taken = till.taken
            newer = (each for each in signed if (each.generation, each.version) > taken)
            found = next(newer, None)
        if found is None:
            return None
        return Answer(found.manifest, self._known.deltas.get((wanted, till.bundle)))

    def roots_after(self, version: int) -> tuple[bytes, ...]:
        """Return the root documents that follow the one a till trusts."""
        known = self._known
        missing = known.root_version - version
        return known.roots[-missing:] if 0 < missing <= len(known.roots) else ()

    def newest_root(self) -> bytes:
        """Return the newest root document; empty where there is none."""
        return self._known.roots[-1] if self._known.roots else b""

    async def file(self, name: str) -> bytes | None:
        """Return a bundle or a delta as tills fetch it; both never change under their names."""
        content = self._files.get(name)
        if content is None:
            async with self._pool.acquire() as connection:
                read = delta_content if "-" in name else bundle_content
                content = await read(connection, name)
            if content is None:
                return None
            self._files[name] = content
            self._files_bytes += len(content)
        self._files.move_to_end(name)
        while self._files_bytes > _FILES_BYTES_MAX and len(self._files) > 1:
            _, dropped = self._files.popitem(last=False)
            self._files_bytes -= len(dropped)
        return content


async def _read(connection: Connection, number: int) -> _Known:
    rings: dict[int, list[Ring]] = {}
    for row in await connection.fetch(_SQL["rings"]):
        rings.setdefault(row["release"], []).append(ring_of(row))
    standing = [
        Standing(row["version"], row["bundle"], tuple(rings[row["version"]]), row["programme"])
        for row in await connection.fetch(_SQL["releases"])
        if row["state"] == "open" and row["version"] in rings
    ]
    standing = _reached(standing)
    pins = {
        (row["scope"], row["name"]): row["bundle"] for row in await connection.fetch(_SQL["pins"])
    }
    wanted = {each.bundle for each in standing} | set(pins.values())
    signed: dict[str, list[Signed]] = {}
    roots = await connection.fetch(_SQL["roots"])
    counting = _generations(roots[-1]["document"]) if roots else None
    for row in await connection.fetch(_SQL["manifests"], sorted(wanted)):
        # What a key signed that counts no more, no till would take.
        if counting is None or row["generation"] in counting:
            try:
                manifest = msgspec.msgpack.decode(row["manifest"], type=Manifest)
            except msgspec.DecodeError as error:  # of a later release of this program
                log.warning("manifest_unreadable", version=row["version"], why=str(error))
                continue
            found = Signed(row["generation"], row["version"], manifest)
            signed.setdefault(row["bundle"], []).append(found)
    deltas = {
        (row["bundle"], row["base"]): Delta(
            base=row["base"],
            hash=hashlib.sha256(row["content"]).digest(),
            size_bytes=len(row["content"]),
        )
        for row in await connection.fetch(_SQL["deltas"], sorted(wanted))
    }
    return _Known(
        number=number,
        standing=standing,
        pins=pins,
        signed=signed,
        deltas=deltas,
        roots=tuple(row["document"] for row in roots),
        root_version=roots[-1]["version"] if roots else 0,
    )


def _reached(standing: Sequence[Standing]) -> list[Standing]:
    """Leave out what stands below a release for everybody of its programme: it is for nobody."""
    covered: set[str] = set()
    reached = []
    for each in standing:
        if each.programme not in covered:
            reached.append(each)
            if Ring("everywhere") in each.rings:
                covered.add(each.programme)
    return reached


def _generations(root: bytes) -> set[int] | None:
    try:
        return set(read_root(root).root().generations().values())
    except MalformedMessageError as error:  # of a later release of this program
        log.warning("root_unreadable", why=str(error))
        return None

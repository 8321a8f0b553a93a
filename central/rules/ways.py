"""Which release a till should have, and by which signed manifest it comes there.

A till gets the newest open release of which one ring holds it; a pin goes first. Where no manifest
is left that it can take, the next release that holds it is its own: what was halted is never kept
because the very best cannot be reached. A release that was halted or withdrawn takes its content
with it: an older release of the same content is nothing to go back to.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import asyncpg
import structlog

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.programmes.registry import DEFAULT
from central.rules.rings import EVERYWHERE, Ring
from sync.errors import MalformedMessageError
from sync.roots import read_root

log = structlog.get_logger()
_SQL = load_queries("central.rules", "queries.sql")

BELOW_MAX: Final = 6
"""So many releases below the newest one for everybody are kept in sight, to go back to."""

Number = tuple[int, int]
"""Generation of the key and version of a manifest: what a till compares."""


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
    taken: Number | None = None
    refused: str = ""
    programme: str = DEFAULT


@dataclass(frozen=True, slots=True)
class Ways:
    """Everything that decides, of one moment.

    Attributes:
        standing: the newest first; of each programme what is somebody's, and `BELOW_MAX` more.
        pins: those that count, by scope and name.
        signed: manifests by bundle, rising.
        gone: bundles that no release brings any more, by the last that was halted or withdrawn.
    """

    standing: Sequence[Standing] = ()
    pins: Mapping[tuple[str, str], Standing] = field(default_factory=dict)
    signed: Mapping[str, Sequence[Number]] = field(default_factory=dict)
    gone: Mapping[str, int] = field(default_factory=dict)

    def wishes(self, till: TillRules) -> Iterator[Standing]:
        """Yield the releases that are a till's, the best first."""
        for key in (("till", str(till.till_id)), ("store", till.store_id)):
            if pinned := self.pins.get(key):
                yield pinned
        for each in self.standing:
            if each.holds(
                till_id=till.till_id,
                store_id=till.store_id,
                region=till.region,
                programme=till.programme,
            ):
                yield each

    def way(self, till: TillRules) -> tuple[str, Number] | None:
        """Return bundle and manifest a till should take next; None where it stays as it is.

        Of the manifests that name a bundle the till gets the first one that it can take: the rest
        are left for the times after.
        """
        for each in self.wishes(till):
            if each.bundle == till.bundle:
                return None
            if each.bundle != till.refused and (number := self.number(each.bundle, till.taken)):
                return each.bundle, number
        return None

    def number(self, bundle: str, taken: Number | None) -> Number | None:
        """Return the manifest of a bundle a till takes next; None where none is left for it."""
        signed = self.signed.get(bundle, ())
        if taken is None:
            return signed[-1] if signed else None
        return next((each for each in signed if each > taken), None)

    def to_go_back_to(self, programme: str) -> tuple[str, ...]:
        """Return bundles a programme's tills may have to be sent back to, the likeliest first."""
        standing = (*self.standing, *self.pins.values())
        return tuple(dict.fromkeys(each.bundle for each in standing if each.programme == programme))

    def of_manifests(self, numbers: Container[Number]) -> "Ways":
        """Return these ways by some of the manifests alone."""
        signed = {
            bundle: tuple(each for each in known if each in numbers)
            for bundle, known in self.signed.items()
        }
        return replace(self, signed=signed)


NO_WAYS: Final = Ways()


def ring_of(row: asyncpg.Record) -> Ring:
    """Return a ring as it is kept."""
    return Ring(row["kind"], tuple(row["names"]), row["basis_points"])


async def read_ways(connection: Connection) -> Ways:
    """Read what decides at this moment."""
    rings: dict[int, list[Ring]] = {}
    for row in await connection.fetch(_SQL["rings"]):
        rings.setdefault(row["release"], []).append(ring_of(row))
    good: dict[int, Standing] = {}
    bad: dict[str, int] = {}
    for row in await connection.fetch(_SQL["release_states"]):
        version, bundle = row["version"], row["bundle"]
        if row["state"] != "open":
            bad.setdefault(bundle, version)
        elif bundle not in bad:
            good[version] = Standing(
                version, bundle, tuple(rings.get(version, ())), row["programme"]
            )
    standing = _in_sight(each for each in good.values() if each.rings)
    pins = {
        (row["scope"], row["name"]): good[row["release"]]
        for row in await connection.fetch(_SQL["pins"])
        if row["release"] in good
    }
    wanted = {each.bundle for each in (*standing, *pins.values())}
    root = await connection.fetchval(_SQL["root"])
    counting = _generations(root) if root is not None else None
    signed: dict[str, list[Number]] = {}
    for row in await connection.fetch(_SQL["signed"], sorted(wanted)):
        # What a key signed that counts no more, no till would take.
        if counting is None or row["generation"] in counting:
            signed.setdefault(row["bundle"], []).append((row["generation"], row["version"]))
    gone = {bundle: version for bundle, version in bad.items() if bundle not in wanted}
    return Ways(standing, pins, signed, gone)


def _in_sight(standing: Iterable[Standing]) -> list[Standing]:
    """Leave out what is too far below a release for everybody of its programme."""
    below: dict[str, int] = {}
    kept = []
    for each in standing:
        depth = below.get(each.programme)
        if depth is None or depth < BELOW_MAX:
            kept.append(each)
        if depth is not None:
            below[each.programme] = depth + 1
        elif EVERYWHERE in each.rings:
            below[each.programme] = 0
    return kept


def _generations(root: bytes) -> set[int] | None:
    try:
        return set(read_root(root).root().generations().values())
    except MalformedMessageError as error:  # of a later release of this program
        log.warning("root_unreadable", why=str(error))
        return None

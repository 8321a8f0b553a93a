"""Which release a till should have, and by which signed manifest it comes there.

A till gets the newest open release of which one ring holds it; a pin goes first. Where no manifest
is left that it can take, the next release that holds it is its own: what was halted is never kept
because the very best cannot be reached. A release that was halted or withdrawn takes its content
with it: an older release of the same content is nothing to go back to.

A release whose moment is still to come waits at the till, above what is in force there. A till
keeps one that waits: so it gets what is in force first, and then what begins first; what begins
after that only once the first has begun at every store.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import asyncpg
import msgspec
import structlog

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.programmes.registry import DEFAULT
from central.rules.moments import FOR_EVER, has_come
from central.rules.rings import EVERYWHERE, Ring
from sync.errors import MalformedMessageError
from sync.roots import read_root

log = structlog.get_logger()
_SQL = load_queries("central.rules", "queries.sql")

BELOW_MAX: Final = 6
"""So many releases below the newest one in force for everybody are kept in sight, to go back to."""

Number = tuple[int, int]
"""Generation of the key and version of a manifest: what a till compares."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An open release of a programme, and its rings.

    Attributes:
        activate_at: local moment at each store; empty = at once.
    """

    version: int
    bundle: str
    rings: tuple[Ring, ...]
    programme: str = DEFAULT
    activate_at: str = ""

    def holds(self, *, till_id: int, store_id: str, region: str, programme: str = DEFAULT) -> bool:
        """Say whether one of the rings holds a till; none holds one of another programme."""
        return programme == self.programme and any(
            ring.holds(till_id=till_id, store_id=store_id, region=region, release=self.version)
            for ring in self.rings
        )


@dataclass(frozen=True, slots=True)
class Signed:
    """What a manifest says: content, and the local moment from which it counts."""

    bundle: str
    activate_at: str = ""

    def is_of(self, release: Standing, now_ms: int) -> bool:
        """Say whether it brings a release, neither earlier nor later than that begins."""
        return self.bundle == release.bundle and (
            self.activate_at == release.activate_at
            or (has_come(self.activate_at, now_ms) and has_come(release.activate_at, now_ms))
        )


@dataclass(frozen=True, slots=True)
class Under:
    """What counts at a till until what waits there begins, as it said last.

    Attributes:
        taken: manifest it had taken last then; of a till that has taken another, nothing is known.
    """

    taken: Number
    bundle: str


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
        says: what each manifest of those bundles says, also of those that no till takes any more.
        under: by the number of a till that keeps something waiting; tills go on saying it.
        gone: bundles that no release brings any more, by the last that was halted or withdrawn.
    """

    standing: Sequence[Standing] = ()
    pins: Mapping[tuple[str, str], Standing] = field(default_factory=dict)
    signed: Mapping[str, Sequence[Number]] = field(default_factory=dict)
    says: Mapping[Number, Signed] = field(default_factory=dict)
    under: dict[int, Under] = field(default_factory=dict)
    gone: Mapping[str, int] = field(default_factory=dict)

    def waits(self, number: Number, now_ms: int) -> bool:
        """Say whether a manifest's moment is still to come at some store."""
        says = self.says.get(number)
        return says is not None and not has_come(says.activate_at, now_ms)

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

    def way(self, till: TillRules, now_ms: int) -> tuple[str, Number] | None:
        """Return bundle and manifest a till should take next; None where it stays as it is.

        Of the manifests that bring a release the till gets the first one that it can take: the
        rest are left for the times after.
        """
        has = self._has(till)
        fetched = "" if has and has.bundle == till.bundle else till.bundle
        now, coming = in_turn(
            (
                each
                for each in self.wishes(till)
                if each.bundle != till.refused
                and (
                    each.bundle == fetched
                    or (has and has.is_of(each, now_ms))
                    or self.number(each, till, now_ms)
                )
            ),
            now_ms,
        )
        after = next((each for each in coming if now is None or each.bundle != now.bundle), None)
        if after and has and has.is_of(after, now_ms) and not fetched:
            under = self.under.get(till.till_id)
            if now is None or under is None or under.taken != till.taken:
                return None
            if under.bundle in (now.bundle, after.bundle):
                return None
        for each in (now, after):
            if each and not (has and has.is_of(each, now_ms)):
                return None if each.bundle == fetched else self._step(each, till, now_ms)
        # What it fetches is its own no more: being told something else ends that.
        return self._step(now, till, now_ms) if now and fetched else None

    def _has(self, till: TillRules) -> Signed | None:
        """Return what a till has taken; its bundle is that, or what it fetches meanwhile."""
        if not till.bundle:  # it has lost what it took last
            return None
        return Signed(till.bundle) if till.taken is None else self.says.get(till.taken)

    def _step(self, release: Standing, till: TillRules, now_ms: int) -> tuple[str, Number] | None:
        number = self.number(release, till, now_ms)
        return (release.bundle, number) if number else None

    def number(self, release: Standing, till: TillRules, now_ms: int) -> Number | None:
        """Return the manifest by which a till takes a release; None where none is left for it."""
        signed = [
            each
            for each in self.signed.get(release.bundle, ())
            if self.says[each].is_of(release, now_ms)
        ]
        if till.taken is None:
            return signed[-1] if signed else None
        least = till.taken if not till.bundle else (till.taken[0], till.taken[1] + 1)
        return next((each for each in signed if each >= least), None)

    def to_go_back_to(self, programme: str, now_ms: int) -> tuple[Signed, ...]:
        """Return what a programme's tills may have to be sent back to.

        What is in force goes first, the likeliest first; then what is still to begin, in turn.
        """
        found = dict.fromkeys(
            Signed(each.bundle, "" if has_come(each.activate_at, now_ms) else each.activate_at)
            for each in (*self.standing, *self.pins.values())
            if each.programme == programme
        )
        return tuple(sorted(found, key=lambda each: each.activate_at))

    def of_manifests(self, numbers: Container[Number]) -> "Ways":
        """Return these ways by some of the manifests alone."""
        signed = {
            bundle: tuple(each for each in known if each in numbers)
            for bundle, known in self.signed.items()
        }
        return replace(self, signed=signed)


NO_WAYS: Final = Ways()


def in_turn(
    wishes: Iterable[Standing], now_ms: int
) -> tuple[Standing | None, tuple[Standing, ...]]:
    """Return which of a till's releases is in force, and which begin after it, in turn.

    Args:
        wishes: the best first. What is no better than one that begins before it never begins.
    """
    coming: list[Standing] = []
    for each in wishes:
        if has_come(each.activate_at, now_ms):
            return each, tuple(reversed(coming))
        if not coming or each.activate_at < coming[-1].activate_at:
            coming.append(each)
    return None, tuple(reversed(coming))


def ring_of(row: asyncpg.Record) -> Ring:
    """Return a ring as it is kept."""
    return Ring(row["kind"], tuple(row["names"]), row["basis_points"])


async def read_ways(connection: Connection, now_ms: int = FOR_EVER) -> Ways:
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
            held_by = tuple(rings.get(version, ()))
            good[version] = Standing(version, bundle, held_by, row["programme"], row["activate_at"])
    standing = _in_sight((each for each in good.values() if each.rings), now_ms)
    pins = {
        (row["scope"], row["name"]): good[row["release"]]
        for row in await connection.fetch(_SQL["pins"])
        if row["release"] in good
    }
    wanted = {each.bundle for each in (*standing, *pins.values())}
    signed, says = await _read_manifests(connection, wanted)
    gone = {bundle: version for bundle, version in bad.items() if bundle not in wanted}
    return Ways(standing, pins, signed, says, gone=gone)


class _Moment(msgspec.Struct, frozen=True):
    activate_at: str = ""


async def _read_manifests(
    connection: Connection, bundles: Iterable[str]
) -> tuple[Mapping[str, Sequence[Number]], Mapping[Number, Signed]]:
    """Return the manifests that tills take, by bundle, and what each of all says."""
    root = await connection.fetchval(_SQL["root"])
    counting = _generations(root) if root is not None else None
    signed: dict[str, list[Number]] = {}
    says: dict[Number, Signed] = {}
    for row in await connection.fetch(_SQL["manifests"], sorted(bundles)):
        number = row["generation"], row["version"]
        try:
            moment = msgspec.msgpack.decode(row["manifest"], type=_Moment)
        except msgspec.DecodeError as error:  # of a later release of this program
            log.warning("manifest_unreadable", version=row["version"], why=str(error))
            continue
        says[number] = Signed(row["bundle"], moment.activate_at)
        # What a key signed that counts no more, no till would take.
        if counting is None or row["generation"] in counting:
            signed.setdefault(row["bundle"], []).append(number)
    return signed, says


def _in_sight(standing: Iterable[Standing], now_ms: int) -> list[Standing]:
    """Leave out what is too far below a release in force for everybody of its programme."""
    below: dict[str, int] = {}
    kept = []
    for each in standing:
        depth = below.get(each.programme)
        if depth is None or depth < BELOW_MAX:
            kept.append(each)
        if depth is not None:
            below[each.programme] = depth + 1
        elif EVERYWHERE in each.rings and has_come(each.activate_at, now_ms):
            below[each.programme] = 0
    return kept


def _generations(root: bytes) -> set[int] | None:
    try:
        return set(read_root(root).root().generations().values())
    except MalformedMessageError as error:  # of a later release of this program
        log.warning("root_unreadable", why=str(error))
        return None

"""Availability as people and programs read it: of the chain, a banner, a region or a store."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from central.availability.counting import HOUR_MINUTES, MINUTE_MS, Place, Tally, tally_posted
from central.availability.packing import NOTHING, Counts, add, unpack
from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import BadRequestError, NotFoundError

_SQL = load_queries("central.availability", "availability.sql")

Step = Literal["minute", "hour", "day"]
STEP_MINUTES: Final[dict[Step, int]] = {"minute": 1, "hour": 60, "day": 1440}
ROWS_MAX: Final = 10_000
_MILLION: Final = 1_000_000


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Receipts by how their customers were served (`service.Service`).

    Attributes:
        available_ppm: those in full, with a line or without, of a million; None of no receipts.
    """

    full: int
    offline_full: int
    degraded: int
    none: int
    available_ppm: int | None

    @property
    def receipts(self) -> int:
        """How many they are together."""
        return self.full + self.offline_full + self.degraded + self.none

    @classmethod
    def of(cls, counts: Counts) -> "Served":
        """Return counts with their ratio."""
        full, offline_full, degraded, none = counts
        total = sum(counts)
        return cls(
            full=full,
            offline_full=offline_full,
            degraded=degraded,
            none=none,
            available_ppm=(full + offline_full) * _MILLION // total if total else None,
        )


class ServedAt(msgspec.Struct, frozen=True, kw_only=True):
    """A step of time, named by its beginning, UTC: `YYYY-MM-DDTHH:MMZ`."""

    at: str
    served: Served


class Availability(msgspec.Struct, frozen=True, kw_only=True):
    """How customers of a part of the chain were served in a span of time.

    Attributes:
        store, banner, region: which part; all empty = the chain.
        begins, ends: the span, the end not in it, UTC.
        rows: steps with receipts, in order.
        banners, regions: the same receipts by banner and by region; empty where one store is asked.
    """

    store: str
    banner: str
    region: str
    step: Step
    begins: str
    ends: str
    total: Served
    rows: tuple[ServedAt, ...]
    banners: dict[str, Served] = {}
    regions: dict[str, Served] = {}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked.

    Attributes:
        begin_minute, end_minute: since 1970, UTC, the end not in it.
    """

    begin_minute: int
    end_minute: int
    step: Step = "minute"
    store: str = ""
    banner: str = ""
    region: str = ""

    def require_sound(self) -> None:
        """Refuse what makes no sense, or too many rows.

        Raises:
            BadRequestError: says what and why.
        """
        if "\x00" in self.store + self.banner + self.region:
            raise BadRequestError("store", "no name holds that")
        if self.store and (self.banner or self.region):
            raise BadRequestError("store", "ask for a store, or for a banner and region")
        if self.end_minute <= self.begin_minute:
            raise BadRequestError("to", "has to be after `from`")
        if (self.end_minute - self.begin_minute) // STEP_MINUTES[self.step] > ROWS_MAX:
            raise BadRequestError("by", f"would be more than {ROWS_MAX} rows: take a longer step")


async def read_availability(connection: Connection, wanted: Wanted, *, now_ms: int) -> Availability:
    """Read availability; folded minutes and what was posted since, in one snapshot.

    Raises:
        BadRequestError: what is asked makes no sense.
        NotFoundError: there is no such store.
    """
    wanted.require_sound()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        # Late ones count in their own minute: whenever it was, they may have been posted just now.
        found = await _counted(connection, wanted, until_ms=now_ms + MINUTE_MS)
    steps: dict[int, Counts] = {}
    banners: dict[str, Counts] = {}
    regions: dict[str, Counts] = {}
    total = NOTHING
    for minute, banner, region, counts in found:
        step = minute - minute % STEP_MINUTES[wanted.step]
        steps[step] = add(steps.get(step, NOTHING), counts)
        banners[banner] = add(banners.get(banner, NOTHING), counts)
        regions[region] = add(regions.get(region, NOTHING), counts)
        total = add(total, counts)
    of_parts = not wanted.store
    return Availability(
        store=wanted.store,
        banner=wanted.banner,
        region=wanted.region,
        step=wanted.step,
        begins=written(wanted.begin_minute),
        ends=written(wanted.end_minute),
        total=Served.of(total),
        rows=tuple(
            ServedAt(at=written(step), served=Served.of(steps[step])) for step in sorted(steps)
        ),
        banners={name: Served.of(banners[name]) for name in sorted(banners)} if of_parts else {},
        regions={name: Served.of(regions[name]) for name in sorted(regions)} if of_parts else {},
    )


class Recent(msgspec.Struct, frozen=True, kw_only=True):
    """The last minutes before this one, of the chain and its parts.

    Attributes:
        window: how many: `5m` or `1h`.
        late_ms: how long ago they ended: where very many receipts were posted since the last were
            folded, those are not counted, and the minutes end before them.
    """

    window: str
    late_ms: int
    total: Served
    banners: dict[str, Served]
    regions: dict[str, Served]


_WINDOWS_MINUTES: Final = {"5m": 5, "1h": 60}


RECENT_MAX: Final = 10_000
"""So many receipts that are not folded yet monitoring counts each time it asks."""


async def read_recent(
    connection: Connection, *, now_ms: int, recent_max: int = RECENT_MAX
) -> tuple[Recent, ...]:
    """Read how customers were served lately, inside a transaction of one snapshot."""
    folded_ms: int = await connection.fetchval(_SQL["state"])
    beyond_ms = await connection.fetchval(
        _SQL["posted_after_many"], folded_ms, now_ms + MINUTE_MS, recent_max
    )
    until_ms = now_ms + MINUTE_MS if beyond_ms is None else folded_ms
    end = min(until_ms, now_ms) // MINUTE_MS
    wanted = Wanted(begin_minute=end - max(_WINDOWS_MINUTES.values()), end_minute=end)
    found = await _counted(connection, wanted, until_ms=until_ms)
    recent = []
    for window, minutes in _WINDOWS_MINUTES.items():
        total = NOTHING
        banners: dict[str, Counts] = {}
        regions: dict[str, Counts] = {}
        for minute, banner, region, counts in found:
            if minute >= end - minutes:
                total = add(total, counts)
                banners[banner] = add(banners.get(banner, NOTHING), counts)
                regions[region] = add(regions.get(region, NOTHING), counts)
        recent.append(
            Recent(
                window=window,
                late_ms=now_ms - end * MINUTE_MS,
                total=Served.of(total),
                banners={name: Served.of(counts) for name, counts in sorted(banners.items())},
                regions={name: Served.of(counts) for name, counts in sorted(regions.items())},
            )
        )
    return tuple(recent)


def written(minute: int) -> str:
    """Return a minute as people write it."""
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%MZ")


def read_minute(text: str, *, name: str) -> int:
    """Return the minute of a written one; without a zone it is UTC.

    Raises:
        BadRequestError: it cannot be read.
    """
    try:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return int(at.timestamp()) // 60
    except (ValueError, OverflowError, OSError) as error:
        raise BadRequestError(name, "has to look like 2026-03-05T12:00Z") from error


async def _counted(
    connection: Connection, wanted: Wanted, *, until_ms: int
) -> list[tuple[int, str, str, Counts]]:
    """Return minute, banner, region and counts of everything asked that was posted until then."""
    folded_ms: int = await connection.fetchval(_SQL["state"])
    since = await tally_posted(connection, folded_ms, until_ms)
    found = [
        (minute, place.banner, place.region, counts)
        for (minute, place), counts in _matching(since, wanted)
    ]
    if wanted.store:
        if await connection.fetchval(_SQL["store"], wanted.store) is None:
            raise NotFoundError(f"there is no store {wanted.store}")
        rows = await connection.fetch(
            _SQL["hours_of_store"], wanted.store,
            wanted.begin_minute // HOUR_MINUTES, -(-wanted.end_minute // HOUR_MINUTES),
        )  # fmt: skip
        found += [
            (row["hour"] * HOUR_MINUTES + at, "", "", counts)
            for row in rows
            for at, counts in unpack(row["minutes"])
        ]
    else:
        rows = await connection.fetch(
            _SQL["minutes"], wanted.begin_minute, wanted.end_minute, wanted.banner, wanted.region
        )
        found += [
            (
                row["minute"], row["banner"], row["region"],
                (row["full_service"], row["offline_full"], row["degraded"], row["no_service"]),
            )
            for row in rows
        ]  # fmt: skip
    return [each for each in found if wanted.begin_minute <= each[0] < wanted.end_minute]


def _matching(tally: Tally, wanted: Wanted) -> Iterator[tuple[tuple[int, Place], Counts]]:
    for (minute, place), counts in tally.counts.items():
        if (
            wanted.store in ("", place.store_id)
            and wanted.banner in ("", place.banner)
            and wanted.region in ("", place.region)
        ):
            yield (minute, place), counts

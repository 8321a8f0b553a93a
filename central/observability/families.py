"""Figures of the database and of this process as Prometheus' metric families.

Names end in their unit; what is counted ever stands in `meters`, what is so now stands here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client.core import GaugeMetricFamily

from central.availability.report import Recent, Served
from central.database.pool import Pool
from central.observability.figures import Figures, QuarantinedStore, SilentStore
from central.rights.exposure import Exposure

BANNERS_MAX: Final = 50
REGIONS_MAX: Final = 100
"""Of more those with the lowest availability are told."""

Rows = Iterable[tuple[tuple[str, ...], float]]

_GAUGES: Final[Mapping[str, str]] = {
    "tillside_event_loop_late_seconds": "How late this process is with what it has to do",
    "tillside_event_loop_busy_share": "Share of its time that this process works, 0 to 1",
    "tillside_pulls_held": "Pulls of tills that wait here for news",
}
"""What a process may say of itself, with its help."""


def _family(name: str, says: str, labels: tuple[str, ...], rows: Rows) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, says, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _one(name: str, says: str, value: float) -> GaugeMetricFamily:
    return _family(name, says, (), [((), value)])


def _by(name: str, says: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    return _family(name, says, (label,), [((key,), value) for key, value in values.items()])


def of_process(gauges: Mapping[str, Callable[[], float]]) -> Iterator[GaugeMetricFamily]:
    """Return what a process knows of itself at this moment."""
    for name, read in gauges.items():
        yield _one(name, _GAUGES[name], read())


def of_pools(pools: Mapping[str, Pool]) -> Iterator[GaugeMetricFamily]:
    """Return how much of each pool of connections is in use."""
    yield _family(
        "tillside_database_pool_connections",
        "Connections of this process to the database: at work, idle, and the most there may be",
        ("pool", "state"),
        [
            ((name, state), value)
            for name, pool in pools.items()
            for state, value in (
                ("busy", pool.get_size() - pool.get_idle_size()),
                ("idle", pool.get_idle_size()),
                ("max", pool.get_max_size()),
            )
        ],
    )


def of_age(age_ms: int) -> GaugeMetricFamily:
    """Return how old the database's figures are."""
    return _one(
        "tillside_figures_age_seconds",
        "How long ago the database's figures on this page were read; while that takes long, old",
        age_ms / 1000,
    )


def of_database(figures: Figures | None) -> Iterator[GaugeMetricFamily]:
    """Return the database's figures; of one that does not answer only that it does not."""
    up = 0.0 if figures is None else 1.0
    yield _one("tillside_database_up", "1 while the database answers this process", up)
    if figures is None:
        return
    yield from _of_fleet(figures)
    yield from _of_stores(figures.silent_stores, figures.silent_stores_count)
    yield from _of_quarantine(figures.quarantined_stores, figures.fleet.quarantined)
    yield from _of_queue(figures)
    yield from _of_events(figures)
    if figures.exposure is not None:
        yield from _of_rights(figures.exposure)
    yield from _of_rules_and_ledger(figures)
    yield from _of_server(figures)
    yield from _of_service(figures.recent)


def _of_fleet(figures: Figures) -> Iterator[GaugeMetricFamily]:
    fleet = figures.fleet
    yield _by(
        "tillside_tills",
        "Tills: heard within 11 minutes, silent, never heard, revoked",
        "state",
        {
            "up": fleet.up, "silent": fleet.silent, "new": fleet.new, "revoked": fleet.revoked,
        },
    )  # fmt: skip
    yield _by(
        "tillside_tills_silent",
        "Tills not heard of for longer than that; those revoked or never heard are not counted",
        "longer_than",
        {"1h": fleet.silent_hour, "1d": fleet.silent_day, "7d": fleet.silent_week},
    )
    yield _one(
        "tillside_till_silence_max_seconds",
        "How long the till that is silent for longest has been",
        fleet.silence_max_ms / 1000,
    )
    yield _one(
        "tillside_till_receipts_waiting",
        "Receipts tills had not handed in when they were last heard",
        fleet.receipts_waiting,
    )
    yield _by(
        "tillside_tills_by_software",
        "Tills by the release they run; 20 are told apart",
        "version",
        figures.software,
    )
    yield _by(
        "tillside_tills_by_rules",
        "Tills by the version of their rules, 0 = none the centre knows; 20 are told apart",
        "version",
        figures.rules,
    )


def _of_stores(named: Iterable[SilentStore], count: int) -> Iterator[GaugeMetricFamily]:
    yield _one("tillside_stores_silent", "Stores none of whose tills is heard", count)
    yield _family(
        "tillside_store_silent_seconds",
        "How long the stores are silent that are silent for longest, 50 of them",
        ("store", "region", "banner"),
        [((each.store_id, each.region, each.banner), each.silence_ms / 1000) for each in named],
    )


def _of_quarantine(named: Iterable[QuarantinedStore], count: int) -> Iterator[GaugeMetricFamily]:
    yield _one(
        "tillside_tills_quarantined", "Tills that run on two machines and get no rights", count
    )
    yield _family(
        "tillside_store_tills_quarantined",
        "Such tills by store, of those 50 stores that have most of them",
        ("store",),
        [((each.store_id,), each.tills) for each in named],
    )


def _of_queue(figures: Figures) -> Iterator[GaugeMetricFamily]:
    queue = figures.queue
    yield _by(
        "tillside_records_waiting",
        "Records kept and not applied: next, or parked until another one comes; at most 100,000",
        "queue",
        {"next": queue.waiting, "parked": queue.parked},
    )
    yield _by(
        "tillside_records_waiting_seconds",
        "How long the oldest of them has waited",
        "queue",
        {"next": queue.waiting_ms / 1000, "parked": queue.parked_ms / 1000},
    )
    yield _one(
        "tillside_receipts_rejected",
        "Receipts of the last hour that are kept and stand in no ledger; at most 100,000",
        queue.rejected_hour,
    )
    yield _one(
        "tillside_receipts_unequal",
        "Receipts of the last hour that the centre calculates otherwise; at most 100,000",
        queue.unequal_hour,
    )
    yield _one(
        "tillside_feed_rows_held",
        "Changes tills are not told yet because a transaction before them still runs",
        figures.feed.held,
    )
    yield _one(
        "tillside_database_transaction_seconds",
        "How long the oldest transaction that writes has been seen running",
        figures.feed.transaction_ms / 1000,
    )


def _of_events(figures: Figures) -> Iterator[GaugeMetricFamily]:
    events = figures.events
    yield _by(
        "tillside_events",
        "Events no broker has yet, and those one refused too often; at most 100,000",
        "state",
        {"waiting": events.waiting, "dead": events.dead},
    )
    yield _one(
        "tillside_events_waiting_seconds",
        "How long the oldest event has waited for a broker",
        events.waiting_ms / 1000,
    )


def _of_rights(exposure: Exposure) -> Iterator[GaugeMetricFamily]:
    pool = exposure.pool
    yield _by(
        "tillside_exposure_points",
        "The most points that can be overdrawn this minute, by cause",
        "cause",
        {
            "risk_budgets": exposure.risk_budgets,
            "write_offs": exposure.write_offs,
            "suspected_clones": exposure.suspected_clones,
        },
    )
    yield _by(
        "tillside_risk_pool_points",
        "Where the risk pool's points are",
        "place",
        {
            "free": pool.free,
            "budgets": pool.budgets,
            "exposures": pool.exposures,
            "losses": pool.losses,
        },
    )
    yield _one(
        "tillside_uncovered_points",
        "Overdraft that even the risk pool could not pay; above 0 is an alarm",
        pool.uncovered,
    )
    yield _by(
        "tillside_rights_points",
        "Points set aside for tills; frozen: the till is not heard of past their end",
        "state",
        {"held": exposure.held, "frozen": exposure.frozen},
    )
    yield _one("tillside_streams_suspected", "Tills whose past was seen twice", exposure.clones)
    yield _one(
        "tillside_counters_exceeded",
        "Limits over all customers of which more may have been given",
        exposure.counters_exceeded,
    )


def _of_rules_and_ledger(figures: Figures) -> Iterator[GaugeMetricFamily]:
    yield _by(
        "tillside_releases",
        "Releases of rules by state",
        "state",
        {state: figures.releases.get(state, 0) for state in ("open", "halted", "withdrawn")},
    )
    yield _one(
        "tillside_tills_left_behind",
        "Tills with rules that were halted or withdrawn, and that nothing signed brings back",
        sum(each.tills for each in figures.left_behind),
    )
    yield _one(
        "tillside_ledger_unsealed_days",
        "Days of the ledger that are over and not sealed",
        figures.unsealed_days,
    )
    yield _one(
        "tillside_durable_mark_age_seconds",
        "Age of the oldest acknowledged record that no tried copy holds, where tills wait for that",
        figures.mark_ms / 1000,
    )


def _of_server(figures: Figures) -> Iterator[GaugeMetricFamily]:
    server = figures.server
    yield _by(
        "tillside_database_connections",
        "Connections to the database server by anybody, and the most it takes",
        "state",
        {"open": server.connections, "max": server.connections_max},
    )
    yield _one("tillside_database_bytes", "Size of the database", server.bytes)


def _of_service(recent: Iterable[Recent]) -> Iterator[GaugeMetricFamily]:
    recent = tuple(recent)
    yield _by(
        "tillside_service_late_seconds",
        "How long ago the last minute these counts know of ended; of very many receipts minutes",
        "window",
        {each.window: each.late_ms / 1000 for each in recent},
    )
    yield _family(
        "tillside_service_receipts",
        "Receipts of the last minutes by how their customers were served",
        ("window", "service"),
        [
            ((each.window, service), count)
            for each in recent
            for service, count in (
                ("full", each.total.full),
                ("offline_full", each.total.offline_full),
                ("degraded", each.total.degraded),
                ("none", each.total.none),
            )
        ],
    )
    yield _family(
        "tillside_availability_ratio",
        "Receipts of the chain whose customers were served in full, with a line or without",
        ("window",),
        [((each.window,), _ratio(each.total)) for each in recent if _counts(each.total)],
    )
    yield _family(
        "tillside_availability_banner_ratio",
        "The same by banner, 50 of them",
        ("window", "banner"),
        [
            ((each.window, name), _ratio(served))
            for each in recent
            for name, served in _lowest(each.banners, BANNERS_MAX)
        ],
    )
    yield _family(
        "tillside_service_banner_receipts",
        "Receipts behind that, by banner",
        ("window", "banner"),
        [
            ((each.window, name), served.receipts)
            for each in recent
            for name, served in _lowest(each.banners, BANNERS_MAX)
        ],
    )
    yield _family(
        "tillside_availability_region_ratio",
        "The same by region, 100 of them",
        ("window", "region"),
        [
            ((each.window, name), _ratio(served))
            for each in recent
            for name, served in _lowest(each.regions, REGIONS_MAX)
        ],
    )


def _lowest(parts: Mapping[str, Served], most: int) -> list[tuple[str, Served]]:
    counted = [(name, served) for name, served in parts.items() if _counts(served)]
    return sorted(counted, key=lambda part: (_ratio(part[1]), part[0]))[:most]


def _counts(served: Served) -> bool:
    return served.available_ppm is not None


def _ratio(served: Served) -> float:
    return (served.available_ppm or 0) / 1_000_000

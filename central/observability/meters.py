"""What this process counts and measures, as Prometheus reads it.

Counters of a process are the process's: they stand here, where whoever counts finds them. No label
holds a person, a card, an account or a till; each has few values, known beforehand
(design: stack 9).
"""

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

# A third of all series, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY: Final = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_REQUEST_BUCKETS_S: Final = (
    0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0,
)  # fmt: skip
_APPLY_BUCKETS_S: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0)
_BATCH_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200)

INFO: Final = Gauge(
    "tillside_info",
    "1; the labels say which release this process is and which part of the centre",
    ["version", "role"],
    registry=REGISTRY,
)

# Requests

REQUESTS: Final = Counter(
    "tillside_requests",
    "Requests answered, by traffic class, route and HTTP status",
    ["kind", "route", "status"],
    registry=REGISTRY,
)
REQUEST_S: Final = Histogram(
    "tillside_request_seconds",
    "From a request's first byte to its answer's last; pulls that wait for news take minutes",
    ["kind", "route"],
    buckets=_REQUEST_BUCKETS_S,
    registry=REGISTRY,
)
RUNNING: Final = Gauge(
    "tillside_requests_running", "Requests at work now, waiting pulls too", ["kind"],
    registry=REGISTRY,
)  # fmt: skip
PROBLEMS: Final = Counter(
    "tillside_problems",
    "Requests refused by name: signatures, limits, what cannot be read",
    ["error"],
    registry=REGISTRY,
)

PULL_BYTES: Final = Counter(
    "tillside_pull_bytes",
    "About how many bytes answers to pulls took, by class of news",
    ["news"],
    registry=REGISTRY,
)

# What is kept and applied

RECORDS_APPLIED: Final = Counter(
    "tillside_records_applied", "Records decided, by outcome", ["outcome"], registry=REGISTRY
)
RECORDS_QUARANTINED: Final = Counter(
    "tillside_records_quarantined",
    "Records kept aside because applying them failed; each is in the log with its cause",
    registry=REGISTRY,
)
CODES_TWICE: Final = Counter(
    "tillside_codes_shown_twice",
    "Receipts whose customer was named by a one-time code that another receipt had been shown",
    registry=REGISTRY,
)
APPLY_S: Final = Histogram(
    "tillside_apply_seconds",
    "From taking records that are posted together to their commit",
    buckets=_APPLY_BUCKETS_S,
    registry=REGISTRY,
)
APPLY_RECORDS: Final = Histogram(
    "tillside_apply_records",
    "Records posted together in one transaction",
    buckets=_BATCH_BUCKETS,
    registry=REGISTRY,
)
APPLIERS: Final = Gauge(
    "tillside_appliers",
    "Processes that share the records to apply, as this one saw last; 1 where it has seen no other",
    registry=REGISTRY,
)
BATCHES_HALVED: Final = Counter(
    "tillside_apply_batches_halved",
    "Batches done again in halves because one record could not be applied",
    registry=REGISTRY,
)
RULES_HALTED: Final = Counter(
    "tillside_releases_halted_by_guards", "Releases of rules a guard halted", registry=REGISTRY
)

_OUTCOMES: Final = ("accepted", "accepted_stale", "adjusted", "parked", "rejected_kept")
for _outcome in _OUTCOMES:  # from the start at 0: what never happened is not missing
    RECORDS_APPLIED.labels(_outcome)

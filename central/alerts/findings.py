"""What is wrong, as the figures of one moment say: pure, so that every threshold can be tried."""

from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec

from central.availability.report import Recent, Served
from central.observability.figures import Figures
from central.rights.exposure import Exposure
from central.streams.stored import PARKED_DAYS_MAX

Kind = Literal[
    "database_down", "availability_low", "banner_availability_low", "records_wait",
    "record_quarantined", "receipt_unequal", "uncovered", "pool_low", "clone_suspected",
    "till_quarantined",
    "counter_exceeded", "day_not_sealed", "mark_stands", "store_silent", "stores_silent",
    "release_halted", "tills_left_behind",
    "transaction_runs_on", "events_wait", "event_dead", "receipt_rejected", "records_parked",
    "records_parked_long",
]  # fmt: skip
KINDS: Final[tuple[Kind, ...]] = Kind.__args__  # type: ignore[attr-defined]
_OF_METER: Final = frozenset[Kind]({"uncovered", "pool_low", "clone_suspected", "counter_exceeded"})

_DAY_MS: Final = 86_400_000
AVAILABILITY_PPM_MIN: Final = 990_000
BANNER_PPM_MIN: Final = 970_000
RECEIPTS_MIN: Final = 20
"""Of fewer receipts no share is told."""
RECORDS_WAIT_MS: Final = 120_000
PARKED_MS: Final = 72 * 3_600_000
"""By then what a record waits for should have come (design: sync 4.5)."""
PARKED_LONG_MS: Final = PARKED_DAYS_MAX * _DAY_MS
"""By then somebody has to decide."""
POOL_FREE_PPM_MIN: Final = 100_000
STORE_SILENT_MS: Final = 1_800_000
STORES_TOGETHER: Final = 5
"""Of more silent stores than these nobody is told one by one."""
MARK_MS: Final = 604_800_000
"""Half of what tills keep anyway: from twice as much on they keep more, and their files grow."""
TRANSACTION_MS: Final = 60_000
EVENTS_WAIT_MS: Final = 600_000
_MILLION: Final = 1_000_000

HOLD_MS: Final[dict[Kind, int]] = {
    "database_down": 60_000,
    "availability_low": 300_000,
    "banner_availability_low": 600_000,
    "records_wait": 300_000,
    "pool_low": 900_000,
    "day_not_sealed": 3_600_000,
    "mark_stands": 3_600_000,
    "store_silent": 300_000,
    "stores_silent": 600_000,
    "transaction_runs_on": 120_000,
    "events_wait": 300_000,
    "records_parked": 3_600_000,
    "records_parked_long": 3_600_000,
}
"""So long a thing has to be so before it is an incident; what is not here is one at once."""
REPEAT_MS_MIN: Final[dict[Kind, int]] = {"records_parked": 7 * _DAY_MS}
"""What may be so for weeks, with nothing to be done about it but to wait, is told again seldom."""


class Finding(msgspec.Struct, frozen=True):
    """Something that is wrong now.

    Attributes:
        subject: which of several: a banner, a store, a release; empty where there is one.
        value: how much, as the words of its kind need it.
    """

    kind: Kind
    subject: str = ""
    value: int = 0


class Findings(msgspec.Struct, frozen=True):
    """What is wrong, and kinds that cannot be told now: nothing begins and nothing ends."""

    found: tuple[Finding, ...]
    undecided: frozenset[Kind] = frozenset()


def find(figures: Figures | None) -> Findings:
    """Return what the figures of a moment say.

    Args:
        figures: None while the database does not answer.
    """
    if figures is None:
        undecided = frozenset(KINDS) - {"database_down"}
        return Findings((Finding("database_down"),), undecided)
    silent, undecided = _of_stores(figures)
    if figures.exposure is None:
        undecided |= _OF_METER
    ours = (
        *_of_service(figures.recent), *_of_queue(figures), *_of_events(figures),
        *_of_meter(figures.exposure), *_of_ledger(figures),
    )  # fmt: skip
    return Findings((*ours, *silent), undecided)


def _of_service(recent: Iterable[Recent]) -> Iterator[Finding]:
    for each in recent:
        if each.window == "5m" and _is_low(each.total, AVAILABILITY_PPM_MIN):
            yield Finding("availability_low", "", each.total.available_ppm or 0)
        if each.window == "1h":
            for banner, served in each.banners.items():
                if _is_low(served, BANNER_PPM_MIN):
                    yield Finding("banner_availability_low", banner, served.available_ppm or 0)


def _is_low(served: Served, ppm_min: int) -> bool:
    ppm = served.available_ppm
    return served.receipts >= RECEIPTS_MIN and ppm is not None and ppm < ppm_min


def _of_queue(figures: Figures) -> Iterator[Finding]:
    queue = figures.queue
    if queue.waiting_ms > RECORDS_WAIT_MS:
        yield Finding("records_wait", "", queue.waiting_ms)
    if queue.parked_ms > PARKED_MS:
        yield Finding("records_parked", "", queue.parked_ms)
    if queue.parked_ms > PARKED_LONG_MS:
        yield Finding("records_parked_long", "", queue.parked_ms)
    if queue.quarantined_hour:
        yield Finding("record_quarantined", "", queue.quarantined_hour)
    if queue.rejected_hour:
        yield Finding("receipt_rejected", "", queue.rejected_hour)
    if queue.unequal_hour:
        yield Finding("receipt_unequal", "", queue.unequal_hour)
    if figures.feed.transaction_ms > TRANSACTION_MS:
        yield Finding("transaction_runs_on", "", figures.feed.transaction_ms)


def _of_events(figures: Figures) -> Iterator[Finding]:
    events = figures.events
    if events.waiting_ms > EVENTS_WAIT_MS:
        yield Finding("events_wait", "", events.waiting_ms)
    if events.dead:
        yield Finding("event_dead", "", events.dead)


def _of_meter(exposure: Exposure | None) -> Iterator[Finding]:
    if exposure is None:
        return
    pool = exposure.pool
    if pool.uncovered:
        yield Finding("uncovered", "", pool.uncovered)
    spendable = pool.free + pool.budgets
    if spendable and pool.free * _MILLION < spendable * POOL_FREE_PPM_MIN:
        yield Finding("pool_low", "", pool.free)
    if exposure.clones:
        yield Finding("clone_suspected", "", exposure.clones)
    if exposure.counters_exceeded:
        yield Finding("counter_exceeded", "", exposure.counters_exceeded)


def _of_ledger(figures: Figures) -> Iterator[Finding]:
    for till_id in figures.quarantined:
        yield Finding("till_quarantined", str(till_id))
    if figures.unsealed_days > 1:
        yield Finding("day_not_sealed", "", figures.unsealed_days)
    if figures.mark_ms > MARK_MS:
        yield Finding("mark_stands", "", figures.mark_ms)
    for version in figures.halted:
        yield Finding("release_halted", str(version))
    for each in figures.left_behind:
        yield Finding("tills_left_behind", str(each.release), each.tills)


def _of_stores(figures: Figures) -> tuple[tuple[Finding, ...], frozenset[Kind]]:
    """Return silent stores; of many only that they are: those told before stay as they are."""
    long_silent = [store for store in figures.silent_stores if store.silence_ms > STORE_SILENT_MS]
    if len(long_silent) > STORES_TOGETHER:
        many = Finding("stores_silent", "", figures.silent_stores_count)
        return (many,), frozenset[Kind]({"store_silent"})
    found = tuple(
        Finding("store_silent", store.store_id, store.silence_ms) for store in long_silent
    )
    return found, frozenset()

"""THE PURE FUNCTION: a batch of archived receipts in columns -> partial sums.

It reads no file and no clock but the one it is given, and depends on nothing but its arguments:
processes here and a chain's Spark run the very same.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import pyarrow as pa

from central.backtest.figures import Figures, Side, StoreFigures, bucket_of
from central.backtest.outcomes import (
    Outcome,
    Totals,
    outcome_of,
    printed_outcomes,
    printed_totals,
)
from central.backtest.pairs import Pairs, RulePair
from central.backtest.reading import Inputs, inputs_of, places_of
from central.backtest.touching import Lines, Touch, touch_of
from loyalty.account import Allowance
from loyalty.asking import counters_asked
from loyalty.basket import Moment
from loyalty.calculate import calculate
from loyalty.calculation import Calculation
from loyalty.compilation import Rules
from loyalty.limits import PPM

Clock = Callable[[], int]
"""Milliseconds since some moment."""

_CHECKED_PPM: Final = 20_000
"""So many of the receipts that the centre has confirmed are calculated without the change, too."""
_TIMED_TOGETHER: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How receipts are calculated.

    Attributes:
        sample_ppm: so large a share of them, chosen by their keys: the same every time.
        recalculate: without the change, too, though the centre confirmed what was printed.
    """

    sample_ppm: int = PPM
    recalculate: bool = False


USUAL: Final = Terms()


def backtest_batch(
    batch: Any,  # noqa: ANN401 - pyarrow has no types
    pairs: Pairs,
    *,
    terms: Terms = USUAL,
    clock: Clock = lambda: 0,
) -> Figures:
    """Calculate receipts without and with a change.

    Args:
        batch: a record batch of `columns.SCHEMA`; rows of one store best beside each other.
        pairs: the rules of the receipts' bundles.

    Returns:
        Sums; those of several batches are added up.
    """
    if terms.sample_ppm < PPM:
        keys = batch.column("sale_key").to_pylist()
        chosen = [at for at, key in enumerate(keys) if _share("", key) < terms.sample_ppm]
        batch = _rows(batch, chosen)
    figures = Figures()
    untouched, touched = _sorted_out(batch, pairs, figures)
    _count_printed(_rows(batch.select(["store", *Totals._fields]), untouched), figures)
    for bundle_hash, rows in touched.items():
        pair = pairs.of(bundle_hash)
        assert isinstance(pair, RulePair), "asked for before"
        _calculate(_rows(batch, rows), pair, figures, terms, clock)
    return figures


def _rows(batch: Any, rows: Sequence[int]) -> Any:  # noqa: ANN401 - pyarrow has no types
    return batch.take(pa.array(rows, pa.int64()))


def _share(salt: str, key: str) -> int:
    """Return a number below `PPM` that is always the same for a sale key."""
    return zlib.crc32(f"{salt}{key}".encode()) % PPM


def _sorted_out(
    batch: Any,  # noqa: ANN401 - pyarrow has no types
    pairs: Pairs,
    figures: Figures,
) -> tuple[list[int], dict[str, list[int]]]:
    """Return the rows that the change cannot touch, and by bundle those that it may.

    Receipts that cannot be calculated are counted as left out.
    """
    untouched: list[int] = []
    touched: dict[str, list[int]] = {}
    lines = Lines(batch.column("lines"))
    known: dict[tuple[str, int, str, int], Touch | str] = {}
    places = places_of(batch)
    names = ("bundle", "moment", "uncertainty_s", "codes")
    columns = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
    for at, (bundle_hash, local, uncertainty_s, codes) in enumerate(columns):
        place = places[at]
        # Within a day it makes no difference when, but where the clock may be off.
        key = (bundle_hash, id(place), local if uncertainty_s else local[:10], uncertainty_s)
        touch = known.get(key)
        if touch is None:
            pair = pairs.of(bundle_hash)
            moment = Moment(local=local, uncertainty_s=uncertainty_s)
            touch = pair if isinstance(pair, str) else touch_of(pair, place, moment)
            known[key] = touch
        if isinstance(touch, str):
            left_out = figures.store(place.store).left_out
            left_out[touch] = left_out.get(touch, 0) + 1
        elif not touch.never and (
            touch.always or lines.may_touch(at, touch) or (codes and touch.by_codes(codes))
        ):
            touched.setdefault(bundle_hash, []).append(at)
        else:
            untouched.append(at)
    return untouched, touched


def _count_printed(
    batch: Any,  # noqa: ANN401 - pyarrow has no types
    figures: Figures,
) -> None:
    """Count receipts that come out as they were printed, whatever the change."""
    for store, totals in zip(batch.column("store").to_pylist(), printed_totals(batch), strict=True):
        counted = figures.store(store)
        counted.receipts += 1
        counted.gross_minor += totals.gross_minor
        _add(counted.without, totals)
        _add(counted.with_change, totals)


# Receipts that the change may touch


def _calculate(
    batch: Any,  # noqa: ANN401 - pyarrow has no types
    pair: RulePair,
    figures: Figures,
    terms: Terms,
    clock: Clock,
) -> None:
    rows = zip(
        inputs_of(batch),
        printed_outcomes(batch, pair.without.bundle),
        batch.column("equal").to_pylist(),
        batch.column("sale_key").to_pylist(),
        strict=True,
    )
    while some := list(islice(rows, _TIMED_TOGETHER)):
        timed = figures.store(some[0][0].place.store)
        # What the centre confirmed when it was posted is known without the change.
        asked = [
            terms.recalculate or not equal or _share("checked ", key) < _CHECKED_PPM
            for _, _, equal, key in some
        ]
        begun = clock()
        without = [
            _calculated(row[0], pair.without, row[0].allowance) if is_asked else None
            for row, is_asked in zip(some, asked, strict=True)
        ]
        half = clock()
        changed = [_calculated(row[0], pair.with_change, _allowance(row[0], pair)) for row in some]
        timed.without.calculated_ms += half - begun
        timed.with_change.calculated_ms += clock() - half
        for (inputs, printed, equal, _), one, other in zip(some, without, changed, strict=True):
            counted = figures.store(inputs.place.store)
            before = printed
            if one is not None:
                before = outcome_of(one, pair.without.bundle)
                counted.without.calculated += 1
                counted.checked += equal
                counted.printed_otherwise += equal and before.differs_from(printed)
            counted.with_change.calculated += 1
            _count(counted, before, outcome_of(other, pair.with_change.bundle))


def _calculated(inputs: Inputs, rules: Rules, allowance: Allowance) -> Calculation:
    return calculate(
        inputs.basket,
        rules,
        moment=inputs.moment,
        place=inputs.place,
        account=inputs.account,
        request=inputs.request,
        right=inputs.right,
        allowance=allowance,
    )


def _allowance(inputs: Inputs, pair: RulePair) -> Allowance:
    """Return the receipt's allowance with all of what limits give that are new with the change.

    No till had anything of them set aside; the report says that they are taken as not used up.
    """
    if not pair.draws:
        return inputs.allowance
    asked = _shared_counters(inputs, pair.changed_with)
    own, known = inputs.allowance, _shared_counters(inputs, pair.changed_without)
    new = {name: most for name, most in asked.items() if name not in known}
    return Allowance(left={**new, **own.left}, used_codes=own.used_codes)


def _shared_counters(inputs: Inputs, rules: Rules) -> dict[str, int]:
    """Return what a receipt may draw on, and how much there is of it in all."""
    asked = counters_asked(
        rules,
        place=inputs.place,
        moment=inputs.moment,
        codes=inputs.basket.codes,
        account_id=inputs.account.account_id,
    )
    return {counter.name: counter.most for counter in asked}


# Counting


def _count(counted: StoreFigures, before: Outcome, after: Outcome) -> None:
    """Count a receipt without and with the change."""
    counted.receipts += 1
    counted.touched += 1
    counted.changed += before.differs_from(after)
    counted.gross_minor += before.totals.gross_minor
    more = before.totals.discount_minor - after.totals.discount_minor
    if more < 0:
        counted.winners += 1
        counted.won_minor -= more
    elif more > 0:
        counted.losers += 1
        counted.lost_minor += more
    bucket = bucket_of(more)
    counted.distribution[bucket] = counted.distribution.get(bucket, 0) + 1
    counted.more_points += after.totals.earned_points > before.totals.earned_points
    counted.fewer_points += after.totals.earned_points < before.totals.earned_points
    for side, outcome in ((counted.without, before), (counted.with_change, after)):
        _add(side, outcome.totals)
        side.lines_at_floor += outcome.lines_at_floor
        side.unproven += not outcome.proven
        for offer_id, effect in outcome.effects.items():
            side.offer(offer_id).count(*effect)


def _add(side: Side, totals: Totals) -> None:
    side.discount_minor += totals.discount_minor
    side.redeemed_minor += totals.redeemed_minor
    side.redeemed_points += totals.redeemed_points
    side.paid_minor += totals.paid_minor
    side.earned_points += totals.earned_points

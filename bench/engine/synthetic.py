"""Made-up baskets of 5 to 200 lines under 10 to 10,000 offers, beside peers and the floor.

A figure is the median over the baskets, and for each basket the median over repeats. The engine's
day index is there before: its first use is measured with the bundle (`bundle_cost`). Rates are of
the register's price, as the peers know no other; `running` is the engine's default beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from bench.engine import peers
from bench.engine.cross_check import CASES, agreement, engine_off, off_by_offer
from bench.engine.floor import floor, index_of, lines_of
from bench.engine.peers import PeerRun, Way
from bench.engine.timing import Said, time_us
from bench.engine.workload import (
    MOMENT,
    PLACE,
    PlainBasket,
    PlainOffer,
    World,
    basket_of,
    bundle_of,
    touching,
)
from loyalty.calculate import calculate
from loyalty.compilation import Rules, compile_bundle

HEADLINE = (50, 1_000)
"""Lines and offers at which the ratios are taken."""
_REPEATS_ENGINE, _REPEATS_FLOOR = 15, 50


@dataclass(frozen=True, slots=True)
class PeerEffort:
    """How often a peer is run: with these numbers of offers, on so many baskets of each size."""

    way: Way
    offers: tuple[int, ...]
    baskets: int
    repeats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What is measured how often; `baskets` is for each size."""

    lines: tuple[int, ...]
    offers: tuple[int, ...]
    baskets: int
    peers: tuple[PeerEffort, ...]


_UP_TO_1000 = (10, 100, 1_000)
_ALL = (*_UP_TO_1000, 10_000)
WHOLE = Effort(
    lines=(5, 20, 50, 200),
    offers=_ALL,
    baskets=20,
    peers=(
        PeerEffort(peers.ZEN_TABLE, _ALL, baskets=20, repeats=15),
        PeerEffort(peers.ZEN_MATCHING, _ALL, baskets=20, repeats=15),
        PeerEffort(peers.ZEN_EXPRESSIONS, _ALL, baskets=5, repeats=3),
        PeerEffort(peers.OSCAR_PREPARED, _UP_TO_1000, baskets=20, repeats=3),
        # Seconds a basket from here on: fewer of them.
        PeerEffort(peers.OSCAR_PREPARED, (10_000,), baskets=2, repeats=1),
        PeerEffort(peers.OSCAR_STACKING, _UP_TO_1000, baskets=2, repeats=1),
        PeerEffort(peers.OSCAR_DELIVERED, (10, 100), baskets=1, repeats=1),
    ),
)
SMALL = Effort(
    lines=(5, 50),
    offers=(10, 1_000),
    baskets=2,
    peers=(
        PeerEffort(peers.ZEN_TABLE, (10, 1_000), baskets=2, repeats=3),
        PeerEffort(peers.OSCAR_PREPARED, (10, 1_000), baskets=2, repeats=1),
    ),
)
_CHECKED = (peers.ZEN_TABLE, peers.ZEN_EXPRESSIONS, peers.OSCAR_PREPARED, peers.OSCAR_STACKING)

Row = dict[str, object]


def measure(seed: int, effort: Effort, *, with_peers: bool) -> dict[str, object]:
    """Return the cells of the table, the ratios at the headline cell and the cross-check."""
    world = World(seed)
    rows: list[Row] = []
    versions: dict[str, str] = {}
    agreements: dict[str, str] = {}
    for count in effort.offers:
        offers = world.offers(count)
        said = Said(f"synthetic: {count} offers")
        baskets = {lines: world.baskets(effort.baskets, lines) for lines in effort.lines}
        rules = compile_bundle(bundle_of(world, offers), "00")
        running = compile_bundle(bundle_of(world, offers, base="running"), "00")
        cells = {lines: _ours(offers, of, rules, running) for lines, of in baskets.items()}
        said.step(1, 2)
        if with_peers:
            for way, (runs, of_way) in _peer_runs(offers, baskets, effort).items():
                versions[way.peer] = next(iter(runs.values())).version
                for lines, run in runs.items():
                    cells[lines][f"{way.label}_ms"] = round(run.median_ms, 4)
                    if (lines, count) == HEADLINE and way.is_calculation:
                        agreements[way.label] = _agreement(of_way[lines], rules, run)
        rows += ({"lines": lines, "offers": count, **cell} for lines, cell in cells.items())
    return {
        "rows": rows,
        "versions": versions,
        "ratios": _ratios(rows),
        "equal_offers_at_the_headline": agreements,
        "cross_check": _cross_check(effort) if with_peers else _cross_check_alone(),
    }


def _ours(
    offers: Sequence[PlainOffer], plain: Sequence[PlainBasket], rules: Rules, running: Rules
) -> Row:
    index = index_of(offers)
    engine: list[float] = []
    on_running: list[float] = []
    bare: list[float] = []
    proven = 0
    for each in plain:
        basket = basket_of(each)
        for by, times in ((rules, engine), (running, on_running)):
            run = partial(calculate, basket, by, moment=MOMENT, place=PLACE)
            proven += run().proven
            times.append(median(time_us(run, repeats=_REPEATS_ENGINE)))
        least = partial(floor, index, lines_of(each))
        bare.append(median(time_us(least, repeats=_REPEATS_FLOOR)))
    return {
        "touching": median(touching(offers, each) for each in plain),
        "engine_ms": round(median(engine) / 1e3, 4),
        "engine_max_ms": round(max(engine) / 1e3, 4),
        "engine_running_ms": round(median(on_running) / 1e3, 4),
        "floor_ms": round(median(bare) / 1e3, 4),
        "proven": proven / (2 * len(plain)),
    }


_Runs = dict[Way, tuple[dict[int, PeerRun], dict[int, Sequence[PlainBasket]]]]


def _peer_runs(
    offers: Sequence[PlainOffer], baskets: Mapping[int, Sequence[PlainBasket]], effort: Effort
) -> _Runs:
    """Run every way that is to be run with so many offers; one process each."""
    runs: _Runs = {}
    for wanted in effort.peers:
        if len(offers) not in wanted.offers:
            continue
        Said(f"synthetic: {len(offers)} offers, {wanted.way.label}")
        taken = {lines: of[: wanted.baskets] for lines, of in baskets.items()}
        everything = [basket for of in taken.values() for basket in of]
        run = peers.run_peer(wanted.way, offers, everything, repeats=wanted.repeats)
        runs[wanted.way] = (_split(run, taken), taken)
    return runs


def _split(run: PeerRun, taken: Mapping[int, Sequence[PlainBasket]]) -> dict[int, PeerRun]:
    parts, begun = {}, 0
    for lines, of in taken.items():
        end = begun + len(of)
        parts[lines] = PeerRun(
            version=run.version,
            setup_s=run.setup_s,
            took_us=run.took_us[begun:end],
            off=run.off[begun:end],
        )
        begun = end
    return parts


def _agreement(baskets: Sequence[PlainBasket], rules: Rules, run: PeerRun) -> str:
    ours = [
        off_by_offer(calculate(basket_of(basket), rules, moment=MOMENT, place=PLACE))
        for basket in baskets
    ]
    equal, total = agreement(ours, run.off)
    return f"{equal} of {total}"


def _ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Return peer / engine at the headline cell, and engine / floor as `floor`."""
    cell = next((row for row in rows if (row["lines"], row["offers"]) == HEADLINE), {})
    times = {
        name.removesuffix("_ms"): value
        for name, value in cell.items()
        if name.endswith("_ms") and isinstance(value, float)
    }
    ours = times.pop("engine", 0.0)
    if not ours:
        return {}
    bare = times.pop("floor")
    del times["engine_max"], times["engine_running"]
    return {
        "floor": round(ours / bare, 2),
        **{name: round(theirs / ours, 2) for name, theirs in times.items()},
    }


def _cross_check(effort: Effort) -> dict[str, dict[str, str]]:
    checked = _cross_check_alone()
    ways = [way for way in _CHECKED if any(wanted.way == way for wanted in effort.peers)]
    for way in ways:
        Said(f"synthetic: cross-check, {way.label}")
        for case in CASES:
            run = peers.run_peer(way, case.offers, [case.basket], repeats=1)
            checked[case.name][way.label] = _verdict(case.off_minor, run.off[0])
    return checked


def _cross_check_alone() -> dict[str, dict[str, str]]:
    return {
        case.name: {"engine": _verdict(case.off_minor, engine_off(case.offers, case.basket))}
        for case in CASES
    }


def _verdict(by_hand: Mapping[str, int], found: Mapping[str, int]) -> str:
    return "equal" if by_hand == found else f"{dict(found)}, by hand {dict(by_hand)}"

"""`python -m bench.rules`: a release for fifty thousand tills; `make bench-rules` runs it."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import centre_file
from bench.engine.timing import percentile
from bench.rules.front import Front, enrol, opened_front
from bench.rules.offers import rules, with_one_changed
from bench.rules.session import TillSession
from loyalty.canonical import canonical_bytes
from loyalty.documents import encode

TILLS, OFFERS = 50_000, 10_000
"""The goal's: less is a quick run."""
_WAITING_AT_ONCE = 24
_WHOLE_EVERY = 500
_PATIENCE_S = 1_800.0
_SAID_EVERY_S = 10.0
_ENDS_S = 5.0
_CARD = b"nobody has this."
_SELLS_EVERY_S = 0.02
_ASKED_BEFORE, _ASKED_A_LOOK = 200, 10
"""Calls of a sale before the release, and between two looks whether all have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.rules",
        description="Publish one changed offer of many to tills that wait at a real front.",
        epilog="Example: python -m bench.rules --tills 2000",
    )
    parser.add_argument("--tills", type=int, default=TILLS)
    parser.add_argument("--stores", type=int, default=5_000)
    parser.add_argument("--offers", type=int, default=OFFERS)
    parser.add_argument("--products", type=int, default=20_000)
    parser.add_argument(
        "--saying-s", type=float, default=300.0, metavar="S",
        help="so long is measured on, at most, while they say that they have them [%(default)g]",
    )  # fmt: skip
    known = centre_file.REPORT
    parser.add_argument("--json", type=Path, default=known, metavar="PATH", help=f"[{known}]")
    options = parser.parse_args(arguments)
    run = centre_file.begin_run(quick=options.tills < TILLS or options.offers < OFFERS)
    with TemporaryDirectory(prefix="tillside-rules-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL runs as another user where this is root
        found = asyncio.run(measure(options, Path(folder)))
    print(json.dumps(found, indent=2))
    centre_file.write("rules", found, run=run, path=options.json)
    return 0


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Return the figures."""
    before = rules(options.offers, options.products)
    async with opened_front(folder, before, options.stores) as front:
        seller, *tills = [
            TillSession(front.centre.app, till, front.base)
            for till in await enrol(front, options.tills + 1, options.stores)
        ]
        file = await front.signed(with_one_changed(before))
        living = await _all_wait(front, tills)
        quiet_s = await _asked_times(seller, _ASKED_BEFORE)
        begun_s = time.perf_counter()
        publishing = asyncio.create_task(front.publish(file))
        async with asyncio.timeout(_PATIENCE_S):
            busy_s = await _asked_while(
                seller, [publishing, *living], lambda: not all(each.had_at_s for each in tills)
            )
        release, published_s = await publishing
        until_s = time.perf_counter() + options.saying_s
        saying_s = await _asked_while(
            seller, living,
            lambda: time.perf_counter() < until_s and not all(t.reported_at_s for t in tills),
        )  # fmt: skip
        said_s = time.perf_counter() - begun_s
        said = sum(each.reported_at_s > 0 for each in tills)
        assert all(each.delta is not None for each in tills), "a till was told of no delta"
        await _end(living)
        _verify(front, tills, canonical_bytes(encode(before)))
        whole_bytes = await _whole_bytes(front, release.version)
    had_s = [each.had_at_s - begun_s for each in tills]
    sale_s = quiet_s, busy_s, saying_s
    return {
        "publish_tills": len(tills),
        "publish_offers": options.offers,
        "publish_release_s": round(published_s - begun_s, 2),
        "publish_50_s": round(percentile(had_s, 50), 1),
        "publish_99_s": round(percentile(had_s, 99), 1),
        "publish_100_s": round(max(had_s), 1),
        "publish_said_share": round(said / len(tills), 4),
        "publish_said_per_s": round(said / said_s, 1),
        "publish_came_again": sum(each.came_again for each in tills),
        "publish_sale_calls": len(busy_s) + len(saying_s),
        "publish_sale_call_50_ms": [_in_ms(percentile(each, 50)) for each in sale_s],
        "publish_sale_call_99_ms": [_in_ms(percentile(each, 99)) for each in sale_s],
        "delta_bytes": max(each.bytes_all for each in tills),
        "delta_file_bytes": len(tills[0].got.body) if tills[0].got else 0,
        "bundle_packed_bytes": whole_bytes,
    }


async def _asked_times(seller: TillSession, times: int) -> list[float]:
    took_s = []
    for _ in range(times):
        took_s.append(await seller.ask_account(_CARD))
        await asyncio.sleep(_SELLS_EVERY_S)
    return took_s


async def _asked_while(
    seller: TillSession, at_work: Sequence[asyncio.Task[Any]], goes_on: Callable[[], bool]
) -> list[float]:
    """Ask one after the other, once at least; returns how long each took."""
    took_s = await _asked_times(seller, _ASKED_A_LOOK)
    while goes_on():
        took_s += await _asked_times(seller, _ASKED_A_LOOK)
        for each in at_work:
            if each.done():
                each.result()  # raises what it raised
    return took_s


async def _end(living: Sequence[asyncio.Task[None]]) -> None:
    """End all tills; one whose connection broke meanwhile is answered so, and asks again."""
    while any(not each.done() for each in living):
        for each in living:
            each.cancel()
        await asyncio.wait(living, timeout=_ENDS_S)


def _in_ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


async def _all_wait(front: Front, tills: list[TillSession]) -> list[asyncio.Task[None]]:
    """Let every till ask and wait; returns once the front has them all in its waiting room."""
    room, door, living = front.centre.desk.room, front.centre.desk.front.others, []
    said_s = time.perf_counter()
    ended: list[asyncio.Task[None]] = []
    for till in tills:
        living.append(asyncio.create_task(till.live()))
        living[-1].add_done_callback(ended.append)
        while len(living) - len(room) + door.waiting >= _WAITING_AT_ONCE:
            await asyncio.sleep(0.001)
            await _none_has(ended)
        if time.perf_counter() - said_s > _SAID_EVERY_S:
            said_s = time.perf_counter()
            print(f"{len(room)} of {len(tills)} tills wait", file=sys.stderr, flush=True)
    pool = front.centre.pool
    while len(room) < len(tills) or pool.get_idle_size() < pool.get_size() - 1:
        await asyncio.sleep(0.05)
        await _none_has(ended)
    return living


async def _none_has(ended: list[asyncio.Task[None]]) -> None:
    if ended:
        await asyncio.gather(*ended)
        raise AssertionError("a till was answered before there was anything to say")


def _verify(front: Front, tills: Sequence[TillSession], base: bytes) -> None:
    (rule_key,) = front.centre.keys.rule_public
    for number, till in enumerate(tills):
        whole = base if number % _WHOLE_EVERY == 0 else None
        till.verify(rules=rule_key, base=whole)


async def _whole_bytes(front: Front, version: int) -> int:
    """Return how long the whole bundle of a release is, packed."""
    size: int = await front.centre.pool.fetchval(
        "select length(content_zstd) from bundle b join rule_release r on r.bundle = b.hash"
        " where r.version = $1",
        version,
    )
    return size


if __name__ == "__main__":
    sys.exit(main())

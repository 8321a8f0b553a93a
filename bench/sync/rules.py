"""NEW RULES: what a whole bundle costs the line of a store, fetched by every till or by one.

A bundle of 10,000 made-up offers that has nothing to do with the one before, so that no delta is
worth it: the worst day of rules. Once the tills do not hear each other, once they do.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.demo.rig import RigError
from bench.engine.workload import World, bundle_of
from bench.sync.counting import Traffic
from bench.sync.lan import Lan
from bench.sync.store import JoinedStore, joined_store
from central.keys import load_rule_key
from central.rights.issuing import RightsSettings
from central.rules.publishing import publish
from loyalty.bundle import Bundle, Programme
from loyalty.documents import encode
from sync.neighbours import HEARTBEAT_MS

TILLS = 4
STORE = "store-1"
_ROUNDS_MAX = 100


async def measure(offers: int, *, seed: int, folder: Path) -> dict[str, Any]:
    """Publish two bundles of so many offers; returns the figures.

    Raises:
        RigError: a till did not get the rules.
    """
    before = Bundle(version=1, programme=Programme(programme_id="bench", currency="USD"))
    place = {"kind": "store", "store": STORE, "region": "", "banner": "", "time_zone": "UTC"}
    people: list[dict[str, object]] = [{**place}]
    async with joined_store(folder, before, people, RightsSettings()) as store:
        for number in range(TILLS):
            await store.enrol(STORE, is_vault=number == 0)
        for till in (*store.tills, *store.tills):  # the first learns of the others
            await till.talk(hello=True)
        alone = await _new_rules(store, _bundle(seed, offers, version=2), folder)
        lan = Lan([till.core.till for till in store.tills])
        shared = await _new_rules(store, _bundle(seed + 1, offers, version=3), folder, lan)
    return {"offers": offers, "tills": TILLS, "each": alone, "one_for_all": shared}


def _bundle(seed: int, offers: int, *, version: int) -> Bundle:
    world = World(seed)
    return replace(bundle_of(world, world.offers(offers)), version=version)


async def _new_rules(
    store: JoinedStore, bundle: Bundle, folder: Path, lan: Lan | None = None
) -> dict[str, Any]:
    """Have every till get a bundle; returns what the line carried for it, and the LAN."""
    async with store.centre.pool.acquire() as connection:
        published = await publish(
            connection,
            json.dumps(encode(bundle)).encode(),
            load_rule_key(folder / "keys" / "rules.key"),
            store.centre.system,
        )
    await store.centre.desk.directory.refresh()
    manifest = published.manifest
    before = [till.traffic.copy() for till in store.tills]
    for till in store.tills:
        if lan:
            lan.beat()
        await till.talk(hello=False)
    rounds = _gossip_until(lan, store, manifest.bundle) if lan else 0
    line = Traffic()
    for till, start in zip(store.tills, before, strict=True):
        if till.core.till.books.active.bundle_hash != manifest.bundle:
            raise RigError(f"till {till.core.till.identity.till_id} has not got the rules")
        line.add(till.traffic.since(start))
    return {
        "bundle_bytes": manifest.size_bytes,
        "pieces": len(manifest.chunks),
        "line_bytes": line.body_bytes,
        "line_header_bytes": line.headers.total(),
        "fetched_pieces": line.exchanges["bundles"],
        "lan_bytes": lan.answer_bytes if lan else 0,
        "lan_asks": lan.asks if lan else 0,
        "lan_s": rounds * HEARTBEAT_MS / 1000,
    }


def _gossip_until(lan: Lan, store: JoinedStore, bundle: str) -> int:
    """Let the tills ask each other until all use a bundle; returns after how many rounds."""
    for number in range(_ROUNDS_MAX):
        if all(each.core.till.books.active.bundle_hash == bundle for each in store.tills):
            return number
        lan.beat()
        for till in store.tills:
            lan.background(till.core.till)
        store.world.moved_ms += HEARTBEAT_MS
    return _ROUNDS_MAX

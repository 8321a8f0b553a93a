"""NEW RULES: what a whole bundle costs the line of a store, fetched by every till or by one.

A bundle of 10,000 made-up offers that has nothing to do with the one before, so that no delta is
worth it: the worst day of rules. Once the tills do not hear each other, once they do.
"""

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.neighbours.desk import NeighbourDesk
from bench.demo.rig import RigError
from bench.engine.workload import World, bundle_of
from bench.sync.counting import Traffic
from bench.sync.store import JoinedStore, StoreTill, joined_store
from central.keys import load_rule_key
from central.rights.issuing import RightsSettings
from central.rules.publishing import publish
from loyalty.bundle import Bundle, Programme
from loyalty.documents import encode
from sync.messages import Message
from sync.neighbours import HEARTBEAT_MS, AskSibling, answer_of, pack

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
        lan = _Lan(store)
        shared = await _new_rules(store, _bundle(seed + 1, offers, version=3), folder, lan)
    return {"offers": offers, "tills": TILLS, "each": alone, "one_for_all": shared}


def _bundle(seed: int, offers: int, *, version: int) -> Bundle:
    world = World(seed)
    return replace(bundle_of(world, world.offers(offers)), version=version)


async def _new_rules(
    store: JoinedStore, bundle: Bundle, folder: Path, lan: "_Lan | None" = None
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
    rounds = lan.gossip_until(manifest.bundle) if lan else 0
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


class _Lan:
    """The wires of the store; nothing is lost, and what rules cost is counted.

    Attributes:
        asks, answer_bytes: of everything siblings ask each other, without envelopes.
    """

    def __init__(self, store: JoinedStore) -> None:
        self.asks = self.answer_bytes = 0
        self._store = store
        self._desks: dict[int, NeighbourDesk] = {}
        for till in store.tills:
            core = till.core.till
            core.neighbours.connected = True
            self._desks[core.identity.till_id] = NeighbourDesk(core)

    def gossip_until(self, bundle: str) -> int:
        """Let the tills ask each other until all use a bundle; returns after how many rounds."""
        for number in range(_ROUNDS_MAX):
            if all(each.core.till.books.active.bundle_hash == bundle for each in self._store.tills):
                return number
            self.beat()
            for till in self._store.tills:
                self._drive(till)
            self._store.world.moved_ms += HEARTBEAT_MS
        return _ROUNDS_MAX

    def beat(self) -> None:
        """Let every till hear of all others."""
        for till_id, desk in self._desks.items():
            body = desk.heartbeat()
            for other_id, other in self._desks.items():
                if other_id != till_id:
                    other.heard(till_id, body)

    def _drive(self, till: StoreTill) -> None:
        till_id = till.core.till.identity.till_id
        steps: Generator[AskSibling, Message | None, None] = self._desks[till_id].background()
        try:
            ask = next(steps)
            while True:
                ask = steps.send(self._ask(till_id, ask))
        except StopIteration:
            return

    def _ask(self, till_id: int, ask: AskSibling) -> Message | None:
        body = pack(ask.message)
        reply = self._desks[ask.till_id].asked(till_id, body) if body else None
        self.asks += 1
        self.answer_bytes += len(reply or b"")
        return answer_of(reply, ask.answer)

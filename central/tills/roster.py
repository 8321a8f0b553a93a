"""Who belongs to a store, as its tills may know each other: keys, vaults, addresses, the bus's key.

A till that was revoked is not in it, and the store's bus takes another key at once: the one before
is told to nobody any more, so whoever pulls the new roster is deaf to it (design: sync 4.10).
"""

import hashlib

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Pool
from central.system import System
from sync.codec import encode
from sync.messages import BusKey, Roster, RosterTill

_SQL = load_queries("central.tills", "queries.sql")

BUS_KEYS = 2
"""Given out at once: the newest seals, one before it that no revoked till has still opens."""
_KEY_BYTES = 32
_VERSION_CHARACTERS = 16


async def find_roster(pool: Pool, store_id: str, system: System) -> Roster:
    """Return the roster of a store, making the key of its bus where it needs another."""
    row = await pool.fetchrow(_SQL["roster"], store_id, BUS_KEYS)
    assert row is not None
    due = 1 + row["revoked"]
    if due not in row["key_numbers"]:
        secret = system.random_bytes(_KEY_BYTES)
        await pool.execute(_SQL["insert_bus_key"], store_id, due, secret)
        row = await pool.fetchrow(_SQL["roster"], store_id, BUS_KEYS)
        assert row is not None
    keys = zip(row["key_numbers"], row["secrets"], strict=True)
    tills = zip(row["till_ids"], row["public_keys"], row["addresses"], row["vaults"], strict=True)
    roster = Roster(
        version="",
        store=store_id,
        bus_keys=tuple(BusKey(number=number, secret=secret) for number, secret in keys),
        tills=tuple(
            RosterTill(till_id=till_id, public_key=key, bus_address=address, vault=is_vault)
            for till_id, key, address, is_vault in tills
        ),
    )
    digest = hashlib.sha256(encode(roster)).hexdigest()[:_VERSION_CHARACTERS]
    return msgspec.structs.replace(roster, version=digest)

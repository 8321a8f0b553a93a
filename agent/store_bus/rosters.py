"""The centre's roster and the till's own settings, as the bus takes them."""

from collections.abc import Mapping

from agent.store_bus.port import BusRoster
from sync.envelope import StoreKey
from sync.messages import Roster


def bus_roster(roster: Roster | None, configured: Mapping[int, str]) -> BusRoster | None:
    """Return who belongs to the store and where they listen; None before the first roster.

    Args:
        configured: `host:port` by till from the settings; goes before the roster's, and names no
            till that is not in it.
    """
    if roster is None:
        return None
    return BusRoster(
        keys=tuple(StoreKey(key.number, key.secret) for key in roster.bus_keys),
        addresses={
            till.till_id: configured.get(till.till_id, till.bus_address) for till in roster.tills
        },
    )

"""Recalculates receipts with their own bundles, before any lock is taken for them."""

import msgspec

from central.database.pool import Connection
from central.rules.library import RuleLibrary
from loyalty.calculate import calculate
from loyalty.canonical import canonical_bytes
from sync.records import CalculationInputs

_encoder = msgspec.json.Encoder(order="sorted")


async def recalculate(
    connection: Connection, inputs: CalculationInputs, library: RuleLibrary, *, printed: bytes = b""
) -> bytes:
    """Return the calculation's canonical bytes as made here; empty where the bundle is unknown.

    Args:
        printed: what it probably comes to.
    """
    try:
        rules = await library.find(connection, inputs.bundle)
    except LookupError:
        return b""
    calculation = calculate(
        inputs.basket,
        rules,
        moment=inputs.moment,
        place=inputs.place,
        account=inputs.account,
        request=inputs.request,
        right=inputs.right,
        allowance=inputs.allowance,
    )
    # Nine times as fast and mostly the same bytes. Where they are what was printed, the same was
    # calculated; where they are not, the canonical ones decide.
    if printed and _encoder.encode(calculation) == printed:
        return printed
    return canonical_bytes(calculation)

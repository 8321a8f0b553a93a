"""The bytes of a calculation as they are recorded, quickly: somebody waits for the printer."""

from typing import Final

import msgspec

from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes

_sorted: Final = msgspec.json.Encoder(order="sorted")


def calculation_bytes(calculation: Calculation) -> bytes:
    """Return `canonical_bytes` of a calculation.

    Where no character needs escaping, compiled code writes the same bytes in a sixth of the time.
    """
    found = _sorted.encode(calculation)
    if found.isascii() and b"\\" not in found and b"\x7f" not in found:
        return found
    return canonical_bytes(calculation)

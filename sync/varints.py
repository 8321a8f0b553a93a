"""Whole numbers in as few bytes as they need: seven bits a byte, the lowest first."""

from collections.abc import Iterable
from typing import Final

from sync.errors import MalformedMessageError
from sync.limits import COUNT_MAX

_BITS: Final = 7
_MORE: Final = 1 << _BITS
_PLACE_MAX: Final = COUNT_MAX.bit_length()


def pack_numbers(numbers: Iterable[int]) -> bytes:
    """Return numbers, 0 to `COUNT_MAX`, one after the other."""
    packed = bytearray()
    for number in numbers:
        left = number
        while left >= _MORE:
            packed.append(left % _MORE | _MORE)
            left >>= _BITS
        packed.append(left)
    return bytes(packed)


def unpack_numbers(packed: bytes) -> list[int]:
    """Undo `pack_numbers`.

    Raises:
        MalformedMessageError: the last one is cut short, or one is too large.
    """
    numbers: list[int] = []
    number, place = 0, 0
    for byte in packed:
        number += (byte % _MORE) << place
        if number > COUNT_MAX or place > _PLACE_MAX:
            raise MalformedMessageError("a number is larger than any there is")
        if byte >= _MORE:
            place += _BITS
            continue
        numbers.append(number)
        number, place = 0, 0
    if place:
        raise MalformedMessageError("the last number is cut short")
    return numbers

"""Records on the line in few bytes: what is as in one of the last records is not told again.

Mould and customer of a record (`sync.record_parts`) are named by the place of an earlier one that
had the same, or travel packed against the last ones; a customer of whom the till was just told, by
number and version. Values travel as they are. What comes out is proven by the chain (`sync.lines`).
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import zstandard

from sync.dictionary import DICTIONARY_1
from sync.errors import MalformedMessageError
from sync.limits import RECORD_BYTES_MAX
from sync.messages import AccountRow
from sync.record_parts import CARD_BYTES, Parts, has_card, who_of
from sync.varints import pack_numbers, unpack_numbers

_LEVEL: Final = 13
_LEVEL_LONG: Final = 6
_LONG_BYTES: Final = 16_384
_TOLD, _NAMED, _AS_BEFORE = 0, 1, 2
_SIZE_BYTES: Final = 3
_MOULD, _WHO = 0, 1


class Named(msgspec.Struct, frozen=True):
    """A customer by what the till was told of him: account, version, first byte of the card."""

    account_id: int
    version: int
    card_begins: int

    def is_of(self, row: AccountRow) -> bool:
        """Say whether an account, as it was told by a card, is meant."""
        told = row.snapshot
        mine = (self.account_id, self.version, self.card_begins)
        return mine == (told.account_id, told.version, row.card[0])


class Told(msgspec.Struct, frozen=True):
    """A record as it came; a customer it names is to be looked up before it is put together."""

    parts: Parts
    named: Named | None = None

    def of(self, row: AccountRow) -> Parts:
        """Return the record's parts with the customer it names."""
        return msgspec.structs.replace(self.parts, who=who_of(row.snapshot), card=row.card)


def form_of_parts(parts: Parts) -> bytes:
    """Return what later records may be as: mould and customer."""
    return len(parts.mould).to_bytes(_SIZE_BYTES, "big") + parts.mould + parts.who


def pack_parts(
    records: Sequence[Parts], before: Sequence[bytes], named: Sequence[AccountRow | None]
) -> bytes:
    """Return records as they travel.

    Args:
        before: forms of the records before them that the reader has too.
        named: of each record the customer as the reader is known to have him, or None.
    """
    known = [_parted(form) for form in before]
    packed = bytearray()
    for parts, row in zip(records, named, strict=True):
        packed += _packed_part(parts.mould, [mould for mould, _ in known], before, _NAMED)
        if parts.is_sale:
            packed += _packed_who(parts, [who for _, who in known], before, row)
        values = parts.values
        packed += pack_numbers([len(values)]) + values
    return bytes(packed)


def _packed_who(
    parts: Parts, known: Sequence[bytes], before: Sequence[bytes], row: AccountRow | None
) -> bytes:
    if row is not None and row.card == parts.card and parts.who == who_of(row.snapshot):
        told = row.snapshot
        return pack_numbers([_NAMED, told.account_id, told.version]) + row.card[:1]
    return _packed_part(parts.who, known, before, _AS_BEFORE) + parts.card


def _packed_part(part: bytes, known: Sequence[bytes], before: Sequence[bytes], first: int) -> bytes:
    for back, each in enumerate(reversed(known)):
        if each == part:
            return pack_numbers([first + back])
    told = _compressed(part, before)
    return pack_numbers([_TOLD, len(told)]) + told


def _parted(form: bytes) -> tuple[bytes, bytes]:
    end = _SIZE_BYTES + int.from_bytes(form[:_SIZE_BYTES], "big")
    return form[_SIZE_BYTES:end], form[end:]


def unpack_parts(packed: bytes, before: Sequence[bytes], *, records_max: int) -> list[Told]:
    """Undo `pack_parts`; customers that are named are still to be looked up.

    Raises:
        MalformedMessageError: the bytes are damaged, or more than may travel so.
    """
    reading = _Reading(packed, before)
    told: list[Told] = []
    try:
        while not reading.is_over():
            if len(told) == records_max:
                raise MalformedMessageError(f"more than {records_max} records at once")
            told.append(reading.record())
    except (IndexError, ValueError, zstandard.ZstdError) as error:
        raise MalformedMessageError(f"damaged lines: {error}") from error
    return told


class _Reading:
    def __init__(self, packed: bytes, before: Sequence[bytes]) -> None:
        self._packed = packed
        self._before = before
        self._place = 0

    def is_over(self) -> bool:
        return self._place >= len(self._packed)

    def record(self) -> Told:
        mould = self._part(self._number(), _MOULD, _NAMED)
        if not Parts(mould=mould).is_sale:
            return Told(Parts(mould=mould, values=self._bytes(self._number())))
        kind = self._number()
        if kind == _NAMED:
            named = Named(self._number(), self._number(), self._bytes(1)[0])
            return Told(Parts(mould=mould, values=self._bytes(self._number())), named)
        who = self._part(kind, _WHO, _AS_BEFORE)
        card = self._bytes(CARD_BYTES) if has_card(who) else b""
        values = self._bytes(self._number())
        return Told(Parts(mould=mould, who=who, card=card, values=values))

    def _part(self, kind: int, which: int, first: int) -> bytes:
        if kind == _TOLD:
            return _decompressed(self._bytes(self._number()), self._before)
        back = kind - first
        if not 0 <= back < len(self._before):
            raise ValueError("a record as one that is not there")
        return _parted(self._before[len(self._before) - 1 - back])[which]

    def _number(self) -> int:
        end = self._place
        if self._packed[end] < 1 << 7:
            self._place += 1
            return self._packed[end]
        while self._packed[end] >= 1 << 7:
            end += 1
        (number,) = unpack_numbers(self._packed[self._place : end + 1])
        self._place = end + 1
        return number

    def _bytes(self, count: int) -> bytes:
        end = self._place + count
        if end > len(self._packed):
            raise ValueError("cut short")
        taken = self._packed[self._place : end]
        self._place = end
        return taken


def _known(before: Sequence[bytes]) -> zstandard.ZstdCompressionDict:
    known = b"".join(before) or DICTIONARY_1
    return zstandard.ZstdCompressionDict(known, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _compressed(part: bytes, before: Sequence[bytes]) -> bytes:
    level = _LEVEL if len(part) < _LONG_BYTES else _LEVEL_LONG
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=len(part) + sum(map(len, before)),
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_content_size=True,
        write_dict_id=False,
    )
    return zstandard.ZstdCompressor(
        dict_data=_known(before), compression_params=parameters
    ).compress(part)


def _decompressed(packed: bytes, before: Sequence[bytes]) -> bytes:
    # The frame says how much it unpacks to, and zstandard believes it: a bomb is refused here.
    told = zstandard.get_frame_parameters(packed, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
    if told.content_size > RECORD_BYTES_MAX:
        raise MalformedMessageError(f"lines unpack to at most {RECORD_BYTES_MAX} bytes")
    unpacking = zstandard.ZstdDecompressor(
        dict_data=_known(before), format=zstandard.FORMAT_ZSTD1_MAGICLESS
    )
    return unpacking.decompress(packed)

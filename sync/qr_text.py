"""The text of codes and the fields in it: what `sync.qr` writes documents with.

Two bytes make three of 41 characters, none of which a scanner, an address or a form changes; space,
`%`, `+` and `$` are left out, which costs nothing. Layout: `docs/courier.md`.
"""

import struct
from datetime import date, datetime
from typing import Final

from sync.errors import QrTextError
from sync.limits import COUNT_MAX

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*-./:"
_DIGITS: Final = {character: value for value, character in enumerate(_ALPHABET)}
_BASE: Final = len(_ALPHABET)
_PAIRS: Final = [low + high for high in _ALPHABET for low in _ALPHABET]
_UUID_BYTES: Final = 16
_VARINT_BYTES_MAX: Final = 9
_DAY_MINUTES: Final = 1_440
_SEVEN_BITS: Final = 0x7F


def uuid_bytes(text: str) -> bytes:
    """Return the 16 bytes of a UUID in lower case.

    Raises:
        QrTextError: it is none.
    """
    try:
        content = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        content = b""
    if len(content) != _UUID_BYTES or uuid_text(content) != text:
        raise QrTextError(f"{text!r} is not a UUID in lower case")
    return content


def uuid_text(content: bytes) -> str:
    """Return a UUID in lower case."""
    digits = content.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def to_text(content: bytes) -> str:
    """Return bytes as text."""
    # Two bytes at a time: the lowest character, then the two above it as one.
    pairs = len(content) // 2
    values = struct.unpack_from(f">{pairs}H", content)
    text = "".join([_ALPHABET[value % _BASE] + _PAIRS[value // _BASE] for value in values])
    if len(content) % 2:
        text += _ALPHABET[content[-1] % _BASE] + _ALPHABET[content[-1] // _BASE]
    return text


def from_text(text: str) -> bytes:
    """Return the bytes of a text.

    Raises:
        QrTextError: no bytes are written so.
    """
    content = bytearray()
    for at in range(0, len(text), 3):
        part = text[at : at + 3]
        size_bytes = len(part) - 1
        if not size_bytes:
            raise QrTextError("the code is cut short")
        try:
            value = sum(_DIGITS[character] * _BASE**place for place, character in enumerate(part))
        except KeyError as error:
            raise QrTextError(f"a code has no character {error.args[0]!r}") from error
        if value >= 1 << 8 * size_bytes:
            raise QrTextError("the code was misread: three characters make more than two bytes")
        content += value.to_bytes(size_bytes, "big")
    return bytes(content)


# Fields


def number_bytes(value: int, most: int = COUNT_MAX) -> bytes:
    """Return seven bits a byte, the lowest first; the last byte has its high bit clear."""
    if not 0 <= value <= most:
        raise QrTextError(f"{value} is not a number from 0 to {most}")
    content = bytearray()
    while value > _SEVEN_BITS:
        content.append(value & _SEVEN_BITS | 0x80)
        value >>= 7
    content.append(value)
    return bytes(content)


def fixed_bytes(value: bytes, size_bytes: int) -> bytes:
    """Return a field of one size."""
    if len(value) != size_bytes:
        raise QrTextError(f"{size_bytes} bytes are needed here, not {len(value)}")
    return value


def short_bytes(value: bytes, most_bytes: int) -> bytes:
    """Return a field with its size before it."""
    if len(value) > most_bytes:
        raise QrTextError(f"at most {most_bytes} bytes fit here, not {len(value)}")
    return bytes([len(value)]) + value


def day_bytes(text: str) -> bytes:
    """Return a day's number, 0 for none."""
    try:
        number = date.fromisoformat(text).toordinal() if text else 0
    except ValueError as error:
        raise QrTextError(f"{text!r} is no day") from error
    return number_bytes(number)


def minute_bytes(text: str) -> bytes:
    """Return the number of a local minute."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise QrTextError(f"{text!r} is no local time") from error
    return number_bytes(at.toordinal() * _DAY_MINUTES + at.hour * 60 + at.minute)


class FieldReader:
    """Takes fields off the front of a payload; whatever is wrong is a `QrTextError`."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def fixed(self, size_bytes: int) -> bytes:
        """Take so many bytes."""
        found = self._content[self._at : self._at + size_bytes]
        if len(found) != size_bytes:
            raise QrTextError("the code is cut short")
        self._at += size_bytes
        return found

    def number(self, most: int = COUNT_MAX) -> int:
        """Take a number from 0 on."""
        value = 0
        for place in range(_VARINT_BYTES_MAX):
            byte = self.fixed(1)[0]
            value |= (byte & _SEVEN_BITS) << 7 * place
            if byte <= _SEVEN_BITS:
                if value > most:
                    raise QrTextError(f"{value} is more than {most}")
                return value
        raise QrTextError("a number in the code has no end")

    def positive(self, most: int = COUNT_MAX) -> int:
        """Take a number from 1 on."""
        if value := self.number(most):
            return value
        raise QrTextError("a number in the code is zero")

    def short(self, most_bytes: int) -> bytes:
        """Take bytes with their size before them."""
        size_bytes = self.fixed(1)[0]
        if size_bytes > most_bytes:
            raise QrTextError(f"a field of the code has {size_bytes} bytes, not {most_bytes}")
        return self.fixed(size_bytes)

    def text(self, most_bytes: int) -> str:
        """Take a text with its size before it."""
        try:
            return self.short(most_bytes).decode()
        except UnicodeDecodeError as error:
            raise QrTextError("a text in the code is not UTF-8") from error

    def day(self) -> str:
        """Take a day; empty = none."""
        number = self.number(date.max.toordinal())
        return date.fromordinal(number).isoformat() if number else ""

    def minute(self) -> str:
        """Take a local time."""
        day, minutes = divmod(self.number(), _DAY_MINUTES)
        if not 0 < day <= date.max.toordinal():
            raise QrTextError("a local time in the code is none")
        hour, minute = divmod(minutes, 60)
        return f"{date.fromordinal(day).isoformat()}T{hour:02}:{minute:02}"

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self._at != len(self._content):
            raise QrTextError("the code goes on after its end")

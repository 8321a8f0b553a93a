"""A record taken apart: what most of a till's have in common, and what is different each time.

Of a sale the mould holds rules, place and names of fields; who bought (account, card) stands apart;
values are numbers without a byte between them. Nothing here has to hold for every record: whoever
puts the parts together proves it by the chain's hash (`sync.moulds`), and what no mould fits is its
own mould. Parts are not kept anywhere and not hashed.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any, Final
from uuid import UUID

import msgspec

from loyalty.account import AccountSnapshot
from loyalty.limits import BASKET_LINES_MAX
from sync.errors import MalformedMessageError
from sync.limits import COUNT_MAX
from sync.line_form import INPUTS, LINE, PARTS
from sync.varints import pack_numbers, unpack_numbers

_SALE: Final = b'{"kind":"sale",'
_GRANT_IN: Final = b'{"kind":"grant_in",'
_PLAIN: Final = b"{"
_AT_BITS: Final = 28
"""Of a time in milliseconds what is above changes every three days."""
_KEY_BYTES: Final = 16
_KEY_HEAD: Final = 2
"""Of a UUID of version 7 what changes every 50 days."""
CARD_BYTES: Final = 16
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - of a store's own time
_ONE: Final = 1_000
"""The quantity of a piece, which most lines have."""
_SALE_BEGINS: Final = b"\x97"
"""An array of seven."""
_NUMBERS, _TEXT_NUMBERS, _PLACES, _COUNTED, _SAME, _LISTED, _PIECES = range(7)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_json = msgspec.json.Encoder().encode
_of_json = msgspec.json.Decoder().decode
_NOT_READ: Final = (
    msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError, IndexError,
    StopIteration, OverflowError,
)  # fmt: skip


class Parts(msgspec.Struct, frozen=True):
    """A record taken apart.

    Attributes:
        who: account and whether there is a card; empty for what is no sale.
        card: of a sale, 16 bytes; empty where there is none, or none of that kind.
    """

    mould: bytes
    who: bytes = b""
    card: bytes = b""
    values: bytes = b""

    @property
    def is_sale(self) -> bool:
        """It has a customer; of what came over the line that is to be found by the mould alone."""
        return self.mould[:1] == _SALE_BEGINS


# Taking apart


def parts_of(body: bytes) -> Parts:
    """Take a record apart; what no mould fits is its own mould."""
    try:
        if body.startswith(_SALE):
            return _sale_parts(_of_json(body))
        if body.startswith(_GRANT_IN):
            return _grant_parts(_of_json(body))
    except _NOT_READ:
        pass  # of a shape nobody here knows
    return Parts(mould=body)


def _grant_parts(record: dict[str, Any]) -> Parts:
    if list(record) != ["kind", "at_ms", "grant_id"]:
        raise ValueError("fields")
    head, tail = _cut_key(record["grant_id"])
    if isinstance(head, str):
        raise TypeError("key")
    high, low = _cut_time(record["at_ms"])
    return Parts(mould=_encode([head, high]), values=tail + pack_numbers([low]))


def _sale_parts(record: dict[str, Any]) -> Parts:
    inputs = record.pop("inputs")
    del record["kind"], record["calculation"]
    at_ms = record.pop("at_ms")
    high, low = _cut_time(at_ms)
    head, tail = _cut_key(record.pop("key"))
    numbers = [low, _number(record.pop("version"))]
    text = record.pop("card", "")
    card = _card_of(text)
    who = _who_of(inputs.pop("account"), len(card) or text)
    moment, apart = _cut_moment(_valued(inputs.pop("moment"), "moment"), at_ms)
    numbers += apart
    lines = inputs["basket"].pop("lines")
    columns = _cut_lines(lines, numbers)
    rest = [
        _valued(value, name) if name in PARTS and name != "basket" else value
        for name, value in inputs.items()
    ]
    mould = _encode([head, high, record, moment, columns, list(inputs), rest])
    return Parts(mould=mould, who=who, card=card, values=tail + pack_numbers(numbers))


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= COUNT_MAX:
        raise ValueError("number")
    return value


def _cut_time(at_ms: int) -> tuple[int, int]:
    return _number(at_ms) >> _AT_BITS, at_ms & ((1 << _AT_BITS) - 1)


def _cut_key(text: str) -> tuple[bytes | str, bytes]:
    try:
        found = UUID(text)
    except ValueError:
        return text, b""
    if str(found) != text:
        return text, b""
    return found.bytes[:_KEY_HEAD], found.bytes[_KEY_HEAD:]


def _card_of(text: str) -> bytes:
    try:
        card = bytes.fromhex(text)
    except ValueError:
        return b""
    return card if len(card) == CARD_BYTES and card.hex() == text else b""


def _who_of(account: dict[str, Any], card: int | str) -> bytes:
    return _encode([_valued(account, "account"), card])


def who_of(account: AccountSnapshot) -> bytes:
    """Return who bought, of an account as a till was told it, with a card."""
    return _encode([[getattr(account, name) for name in PARTS["account"]], CARD_BYTES])


def has_card(who: bytes) -> bool:
    """Say whether a card stands beside who bought.

    Raises:
        MalformedMessageError: that is nobody.
    """
    try:
        _, card = _decode(who)
    except _NOT_READ as error:
        raise MalformedMessageError(f"no customer: {error}") from error
    return bool(card == CARD_BYTES)


def _valued(value: dict[str, Any], name: str) -> list[Any]:
    if tuple(value) != PARTS[name][: len(value)]:
        raise ValueError(name)
    return list(value.values())


def _cut_moment(moment: list[Any], at_ms: int) -> tuple[list[Any], list[int]]:
    """Return a moment without its time, and how far that is from `at_ms`; if it is a usual one.

    A register's clock is some hours, the store's time zone, from the centre's, and about as far
    each time.
    """
    local = moment[0]
    at = datetime.fromisoformat(local)
    if at.tzinfo is not None or at.isoformat() != local or at.microsecond:
        return moment, []
    apart_s = int((at - _EPOCH).total_seconds()) - at_ms // 1_000
    return ["", *moment[1:]], [2 * apart_s if apart_s >= 0 else -2 * apart_s - 1]


def _moment_of(apart: int, at_ms: int) -> str:
    apart_s = -(apart + 1) // 2 if apart % 2 else apart // 2
    return (_EPOCH + timedelta(seconds=at_ms // 1_000 + apart_s)).isoformat()


def _cut_lines(lines: Sequence[dict[str, Any]], numbers: list[int]) -> list[list[Any]]:
    """Return what the columns of a basket are like; adds what is different each time."""
    numbers.append(len(lines))
    if not lines:
        return []
    names = LINE[: len(lines[0])]
    if any(tuple(line) != names for line in lines):
        raise ValueError("lines")
    return [_cut_column(name, [line[name] for line in lines], numbers) for name in names]


def _cut_column(name: str, column: list[Any], numbers: list[int]) -> list[Any]:
    if name == "line_id" and column == _counted(len(column)):
        return [_COUNTED]
    if name == "sku" and all(_is_number(sku) for sku in column):
        numbers += map(int, column)
        return [_TEXT_NUMBERS]
    if all(isinstance(value, bool) for value in column):
        numbers += _places([place for place, value in enumerate(column) if value])
        return [_PLACES]
    if all(isinstance(value, int) and 0 <= value <= COUNT_MAX for value in column):
        if name != "quantity":
            numbers += column
            return [_NUMBERS]
        others = [place for place, value in enumerate(column) if value != _ONE]
        numbers += [*_places(others), *(column[place] for place in others)]
        return [_PIECES]
    if all(value == column[0] for value in column):
        return [_SAME, column[0]]
    return [_LISTED, column]


def _places(places: Sequence[int]) -> list[int]:
    """Return how many places there are, and each as so many beyond the one before."""
    return [len(places), *(place - before for before, place in pairwise([0, *places]))]


def _counted(count: int) -> list[str]:
    return [f"{number:03}" for number in range(1, count + 1)]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and text[0] != "0" and len(text) < len("9" * 19)


# Putting together


def joined(parts: Parts) -> tuple[bytes, bool]:
    """Put a record together.

    Returns:
        The record's bytes, and whether its calculation is missing: then `null` stands there
        (`sync.line_form.with_calculation`).

    Raises:
        MalformedMessageError: these are no parts of a record.
    """
    if parts.mould.startswith(_PLAIN):
        return parts.mould, False
    try:
        mould = _decode(parts.mould)
        if not parts.is_sale:
            return _joined_grant(mould, parts.values), False
        return _joined_sale(mould, parts), True
    except _NOT_READ as error:
        raise MalformedMessageError(f"no parts of a record: {error}") from error


def _key_of(head: bytes | str, values: bytes) -> tuple[str, Iterator[int]]:
    if isinstance(head, str):
        return head, iter(unpack_numbers(values))
    size_bytes = _KEY_BYTES - len(head)
    key = UUID(bytes=head + values[:size_bytes])
    return str(key), iter(unpack_numbers(values[size_bytes:]))


def _end(numbers: Iterator[int]) -> None:
    if next(numbers, None) is not None:
        raise ValueError("more numbers than the mould takes")


def _joined_grant(mould: list[Any], values: bytes) -> bytes:
    head, high = mould
    key, numbers = _key_of(head, values)
    at_ms = (high << _AT_BITS) + next(numbers)
    _end(numbers)
    return _json({"kind": "grant_in", "at_ms": at_ms, "grant_id": key})


def _joined_sale(mould: list[Any], parts: Parts) -> bytes:
    head, high, record, moment, columns, names, rest = mould
    key, numbers = _key_of(head, parts.values)
    at_ms = (high << _AT_BITS) + next(numbers)
    version = next(numbers)
    account, card = _decode(parts.who)
    told = {"account": _named("account", account)}
    if not moment[0]:
        moment = [_moment_of(next(numbers), at_ms), *moment[1:]]
    told["moment"] = _named("moment", moment)
    lines = _joined_lines(columns, numbers)
    for name, value in zip(names, rest, strict=True):
        told[name] = {"lines": lines, **value} if name == "basket" else _named(name, value)
    _end(numbers)
    whole = {
        "kind": "sale",
        "at_ms": at_ms,
        "key": key,
        "version": version,
        "inputs": {name: told[name] for name in INPUTS if name in told},
        "calculation": None,
    }
    if text := parts.card.hex() if card == CARD_BYTES else card:
        whole["card"] = text
    return _json(whole | record)


def _named(name: str, values: object) -> object:
    if name not in PARTS:
        return values
    assert isinstance(values, list)
    return dict(zip(PARTS[name], values, strict=False))


def _joined_lines(columns: list[list[Any]], numbers: Iterator[int]) -> list[dict[str, Any]]:
    count = next(numbers)
    if count > BASKET_LINES_MAX or len(columns) > len(LINE):
        raise ValueError("lines")
    whole = [_joined_column(count, told, numbers) for told in columns]
    return [dict(zip(LINE, values, strict=False)) for values in zip(*whole, strict=True)]


def _joined_column(count: int, told: list[Any], numbers: Iterator[int]) -> list[Any]:
    kind = told[0]
    if kind == _COUNTED:
        return _counted(count)
    if kind == _NUMBERS:
        return [next(numbers) for _ in range(count)]
    if kind == _TEXT_NUMBERS:
        return [str(next(numbers)) for _ in range(count)]
    if kind == _PLACES:
        marked = [False] * count
        for place in _told_places(count, numbers):
            marked[place] = True
        return marked
    if kind == _PIECES:
        column = [_ONE] * count
        for place in _told_places(count, numbers):
            column[place] = next(numbers)
        return column
    return [told[1]] * count if kind == _SAME else told[1]


def _told_places(count: int, numbers: Iterator[int]) -> list[int]:
    named = next(numbers)
    if named > count:
        raise ValueError("places")
    return list(accumulate([next(numbers) for _ in range(named)]))

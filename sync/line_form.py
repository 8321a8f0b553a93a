"""What of a record needs to travel: a shorter form that turns back into the very same bytes.

Of a sale the names of fields are left out where both sides know them, the columns of its basket
stand together, and the calculation may be left out where the centre will repeat it. Whoever turns a
form back proves it by the chain's hash; what does not come out equal is sent as it is, so nothing
here has to hold for every record. The form is not kept anywhere and not hashed.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from loyalty.account import AccountSnapshot, Allowance, RedeemRequest, SpendRight
from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.limits import BASKET_LINES_MAX
from sync.errors import MalformedMessageError
from sync.records import CalculationInputs

_SALE: Final = b'{"kind":"sale",'
_CARD_BYTES: Final = 16


def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "basket": _names(Basket),
    "moment": _names(Moment),
    "place": _names(Place),
    "account": _names(AccountSnapshot),
    "request": _names(RedeemRequest),
    "right": _names(SpendRight),
    "allowance": _names(Allowance),
}
"""Names of the fields of what a calculation is made from, by part."""
INPUTS: Final = CalculationInputs.__struct_fields__
LINE: Final = _names(BasketLine)
_LINE_ID: Final = LINE.index("line_id")
_SKU: Final = LINE.index("sku")
_LEFT_OUT: Final = msgspec.Raw(b"null")

_encode = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode


class _Whole(msgspec.Struct):
    """The top of a sale record; what is not named here stands in `rest`, in its order."""

    calculation: msgspec.Raw = msgspec.Raw()


def form_of(body: bytes) -> bytes:
    """Return the form of a record without its calculation; of one that is no sale its own bytes."""
    if not body.startswith(_SALE):
        return body
    record: dict[str, Any] = msgspec.json.decode(body)
    try:
        return _encode(_shortened(record))
    except (KeyError, TypeError, ValueError, AttributeError):
        return body  # of a shape nobody here knows


def _shortened(record: dict[str, Any]) -> list[Any]:
    inputs = record.pop("inputs")
    del record["kind"], record["calculation"]
    at_ms = record.pop("at_ms")
    record["key"] = _to_uuid(record["key"])
    record["card"] = _to_card(record.get("card", ""))
    basket = inputs["basket"]
    columns = _to_columns(basket.pop("lines"))
    basket = {"lines": 0, **basket}
    shorter = [_values({**inputs, "basket": basket}[name], name) for name in INPUTS[: len(inputs)]]
    return [record, shorter, columns, at_ms]


def _values(value: object, name: str) -> object:
    if name not in PARTS:
        return value
    assert isinstance(value, dict)
    if tuple(value) != PARTS[name][: len(value)]:
        raise ValueError(name)
    return list(value.values())


def _to_columns(lines: Sequence[dict[str, Any]]) -> list[Any]:
    if any(tuple(line) != LINE[: len(lines[0])] for line in lines):
        raise ValueError("lines")
    columns: list[Any] = [
        [line[name] for line in lines] for name in (LINE[: len(lines[0])] if lines else ())
    ]
    for place, column in enumerate(columns):
        if place == _LINE_ID and column == _counted(len(lines)):
            columns[place] = 0
        elif place == _SKU and all(_is_number(sku) for sku in column):
            columns[place] = [int(sku) for sku in column]
        elif all(value == column[0] for value in column) and not isinstance(column[0], int | list):
            columns[place] = column[0]
        elif all(value is False for value in column):
            columns[place] = False
    return [len(lines), *columns]


def _counted(count: int) -> list[str]:
    return [f"{number:03}" for number in range(1, count + 1)]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and text[0] != "0" and len(text) < len("9" * 19)


def _to_uuid(text: str) -> bytes | str:
    try:
        found = UUID(text)
    except ValueError:
        return text
    return found.bytes if str(found) == text else text


def _to_card(text: str) -> bytes | str:
    try:
        card = bytes.fromhex(text)
    except ValueError:
        return text
    return card if len(card) == _CARD_BYTES and card.hex() == text else text


def body_of(form: bytes) -> tuple[bytes, bool]:
    """Turn a form back.

    Returns:
        The record's bytes, and whether its calculation is missing: then `null` stands there.

    Raises:
        MalformedMessageError: it is no form of a record.
    """
    if form.startswith(b"{"):
        return form, False
    try:
        record, inputs, columns, at_ms = msgspec.msgpack.decode(form)
        return _json(_lengthened(record, inputs, columns, at_ms)), True
    except (
        msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError, IndexError,
    ) as error:  # fmt: skip
        raise MalformedMessageError(f"no form of a record: {error}") from error


def _lengthened(
    record: dict[str, Any], inputs: list[Any], columns: list[Any], at_ms: int
) -> dict[str, Any]:
    named = {}
    for name, value in zip(INPUTS, inputs, strict=False):
        named[name] = dict(zip(PARTS[name], value, strict=False)) if name in PARTS else value
    named["basket"]["lines"] = _to_lines(columns)
    key, card = record.pop("key"), record.pop("card")
    head = {
        "kind": "sale",
        "at_ms": at_ms,
        "key": str(UUID(bytes=key)) if isinstance(key, bytes) else key,
        "version": record.pop("version"),
        "inputs": named,
        "calculation": _LEFT_OUT,
    }
    if card:
        head["card"] = card.hex() if isinstance(card, bytes) else card
    return head | record


def _to_lines(columns: list[Any]) -> list[dict[str, Any]]:
    count, *rest = columns
    if count > BASKET_LINES_MAX or len(rest) > len(LINE):
        raise ValueError("lines")
    whole = []
    for place, column in enumerate(rest):
        if place == _LINE_ID and column == 0:
            whole.append(_counted(count))
        elif place == _SKU and isinstance(column, list):
            whole.append([str(sku) for sku in column])
        else:
            whole.append(column if isinstance(column, list) else [column] * count)
    return [dict(zip(LINE, values, strict=False)) for values in zip(*whole, strict=True)]


def with_calculation(body: bytes, calculation: bytes) -> bytes:
    """Put a calculation where `body_of` left it out."""
    return body.replace(b'"calculation":null', b'"calculation":' + calculation, 1)

"""Whatever is said arrives as it was said; whatever else arrives is malformed and does nothing."""

from datetime import datetime
from typing import Any

import msgspec
from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from loyalty.account import Allowance, LotPart, RedeemRequest, SpendRight
from loyalty.basket import Basket, Moment
from loyalty.limits import POINTS_MAX, QUANTITY_THOUSANDTHS_MAX
from loyalty.returns import ReturnItem
from sync.chain import links
from sync.codec import ENCODING, compress, decode, decompress, encode
from sync.errors import MalformedMessageError
from sync.messages import Message
from sync.records import Record, decode_record, encode_record
from tests.golden.wire.examples import MESSAGES, RECORDS
from tests.support.effort import examples
from tests.support.receipt_strategies import baskets, rights

NUMBER_MIN, NUMBER_MAX = -(2**63), 2**63 - 1

texts = st.text(max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
moments = st.datetimes(
    min_value=datetime(1000, 1, 1),  # noqa: DTZ001 - moments are local, without a zone
    max_value=datetime(8999, 12, 31),  # noqa: DTZ001
).map(lambda at: Moment(local=at.strftime("%Y-%m-%dT%H:%M:%S")))
lot_parts = st.builds(
    LotPart,
    lot_id=st.integers(NUMBER_MIN, NUMBER_MAX),
    points=st.integers(1, POINTS_MAX),
    expires_on=texts,
    restriction=texts,
)
redeem_requests = st.builds(
    RedeemRequest, points=st.integers(0, POINTS_MAX), as_many_as_possible=st.booleans()
)
allowances = st.builds(
    Allowance,
    left=st.dictionaries(texts, st.integers(0, POINTS_MAX), max_size=3),
    used_codes=st.dictionaries(texts, texts, max_size=3),
)
return_items = st.builds(
    ReturnItem,
    line_id=st.text(min_size=1, max_size=8),
    quantity=st.integers(0, QUANTITY_THOUSANDTHS_MAX),
)

# Types that check themselves: only their sound values can be said.
SOUND: dict[type[Any], st.SearchStrategy[Any]] = {
    Allowance: allowances,
    Basket: baskets(lines_max=2),
    LotPart: lot_parts,
    Moment: moments,
    RedeemRequest: redeem_requests,
    ReturnItem: return_items,
    SpendRight: rights(),
}


def values(shape: inspect.Type) -> st.SearchStrategy[Any]:
    """Return everything that the codec's own description of a type allows."""
    match shape:
        case inspect.VarTupleType(item_type=item):
            return st.lists(values(item), max_size=3).map(tuple)
        case inspect.TupleType(item_types=items):
            return st.tuples(*map(values, items))
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(values(key), values(value), max_size=3)
        case inspect.UnionType(types=types):
            return st.one_of(*map(values, types))
        case inspect.StructType() | inspect.DataclassType():
            if shape.cls in SOUND:
                return SOUND[shape.cls]
            fields = {field.name: values(field.type) for field in shape.fields}
            return st.builds(shape.cls, **fields)
    return scalars(shape)


def scalars(shape: inspect.Type) -> st.SearchStrategy[Any]:
    """Return the values of a type that has no parts."""
    match shape:
        case inspect.IntType(ge=least, le=most):
            lowest = NUMBER_MIN if least is None else least
            return st.integers(lowest, NUMBER_MAX if most is None else most)
        case inspect.StrType(min_length=least, max_length=most):
            return st.text(min_size=least or 0, max_size=min(most or 8, max(least or 0, 8)))
        case inspect.BytesType(min_length=least, max_length=most):
            return st.binary(min_size=least or 0, max_size=most or 40)
        case inspect.LiteralType(values=allowed):
            return st.sampled_from(allowed)
        case inspect.RawType():
            return json_values.map(lambda value: msgspec.Raw(msgspec.json.encode(value)))
    return {inspect.BoolType: st.booleans(), inspect.NoneType: st.none()}[type(shape)]


messages = st.sampled_from(list(MESSAGES)).flatmap(lambda kind: values(inspect.type_info(kind)))
records = st.sampled_from(list(RECORDS)).flatmap(lambda kind: values(inspect.type_info(kind)))


@st.composite
def damaged(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> bytes:
    """Draw a body with bits flipped, bytes cut off, left out, put in or doubled."""
    body = bytearray(draw(bodies))
    for _ in range(draw(st.sampled_from((1, 1, 2, 4, 0)))):
        at = draw(st.integers(0, len(body)))
        match draw(st.sampled_from(("flip", "flip", "cut", "drop", "insert", "double"))):
            case "flip" if at < len(body):
                body[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del body[at:]
            case "drop":
                del body[at : at + draw(st.integers(1, 9))]
            case "insert":
                body[at:at] = draw(st.binary(min_size=1, max_size=9))
            case _:
                body[at:at] = body[at : at + draw(st.integers(1, 40))]
    return bytes(body)


def read(kind: type[Message], body: bytes) -> None:
    """Read what may be damaged: a message of the kind comes out, or the one named error."""
    try:
        message = decode(kind, body)
    except MalformedMessageError:
        event("malformed")
        return
    event("read")
    assert type(message) is kind
    assert decode(kind, encode(message)) == message


@settings(max_examples=examples(300))
@given(messages)
def test_message_arrives_as_it_was_sent(message: Message) -> None:
    event(type(message).__name__)
    body = encode(message)
    arrived = decode(type(message), decompress(*compress(body)))
    assert arrived == message
    assert encode(arrived) == body


@settings(max_examples=examples(300))
@given(records)
def test_record_is_read_as_it_was_written(record: Record) -> None:
    event(type(record).__name__)
    body = encode_record(record)
    assert decode_record(body) == record
    assert encode_record(decode_record(body)) == body


@settings(max_examples=examples(300))
@given(st.sampled_from(list(MESSAGES)), st.binary(max_size=200))
def test_garbage_is_malformed_and_nothing_else(kind: type[Message], body: bytes) -> None:
    read(kind, body)


@settings(max_examples=examples(300))
@given(st.sampled_from(list(MESSAGES)), damaged(messages.map(encode)))
def test_damaged_message_is_read_or_malformed(kind: type[Message], body: bytes) -> None:
    read(kind, body)


@settings(max_examples=examples(300))
@given(st.data())
def test_damaged_message_of_the_kind_is_read_or_malformed(data: st.DataObject) -> None:
    message = data.draw(messages)
    read(type(message), data.draw(damaged(st.just(encode(message)))))


@settings(max_examples=examples(200))
@given(messages, st.sampled_from(list(MESSAGES)))
def test_message_taken_for_another_is_read_or_malformed(
    message: Message, kind: type[Message]
) -> None:
    read(kind, encode(message))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(NUMBER_MIN, 2**64 - 1)
    | st.floats()
    | texts
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=examples(300))
@given(st.data())
def test_message_with_any_value_in_a_field_is_read_or_malformed(data: st.DataObject) -> None:
    message = data.draw(messages.filter(msgspec.structs.asdict))  # one with any
    fields = msgspec.structs.asdict(message)
    fields[data.draw(st.sampled_from(list(fields)))] = data.draw(anything)
    read(type(message), msgspec.msgpack.encode(fields))


@settings(max_examples=examples(300))
@given(st.one_of(st.binary(max_size=100), damaged(records.map(encode_record))))
def test_damaged_record_is_read_or_malformed(body: bytes) -> None:
    try:
        record = decode_record(body)
    except MalformedMessageError:
        event("malformed")
        return
    event("read")
    assert type(record) in RECORDS


@settings(max_examples=examples(300))
@given(
    st.one_of(
        st.binary(max_size=100),
        damaged(st.binary(min_size=600, max_size=700).map(lambda body: compress(body)[0])),
        damaged(st.integers(600, 9_000).map(lambda size: compress(bytes(size))[0])),
    ),
    st.integers(0, 9_000),
)
def test_damaged_packed_body_never_unpacks_to_more_than_asked(body: bytes, most: int) -> None:
    try:
        unpacked = decompress(body, ENCODING, bytes_max=most)
    except MalformedMessageError:
        event("malformed")
        return
    event("unpacked")
    assert len(unpacked) <= most


@given(st.lists(st.binary(max_size=6), min_size=1, max_size=6), st.data())
def test_another_list_of_records_has_another_head(bodies: list[bytes], data: st.DataObject) -> None:
    other = data.draw(
        st.one_of(
            st.permutations(bodies),
            st.lists(st.binary(max_size=6), min_size=1, max_size=6),
            st.integers(0, len(bodies) - 1).map(
                lambda at: [*bodies[:at], *bodies[at + 1 :], bodies[at]]
            ),
        )
    )
    start = bytes(32)
    assert (links(start, bodies)[-1] == links(start, other)[-1]) == (bodies == other)

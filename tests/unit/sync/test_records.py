"""Records are read as they were written, by older and newer readers alike, or refused by name."""

import json
from typing import Any

import msgspec
import pytest

from loyalty.calculate import calculate
from loyalty.canonical import canonical_bytes
from loyalty.limits import BASKET_LINES_MAX
from sync.codec import decode, encode
from sync.errors import MalformedMessageError
from sync.limits import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, RECORD_BYTES_MAX
from sync.messages import Push
from sync.records import (
    FACTS,
    CounterInRecord,
    CounterReturnRecord,
    GrantInRecord,
    GrantReturnRecord,
    OpenRecord,
    Record,
    RefundRecord,
    SaleRecord,
    VoidRecord,
    XferInRecord,
    XferOutRecord,
    decode_record,
    encode_record,
)
from tests.golden.wire.examples import RECORDS, inputs
from tests.support.builders import basket, line, offer, rules

VOID = VoidRecord(at_ms=1, key="k", why="")


def plain(record: Record) -> dict[str, Any]:
    """Return a record as plain JSON values."""
    fields: dict[str, Any] = json.loads(encode_record(record))
    return fields


@pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: type(record).__name__)
def test_record_is_read_as_it_was_written_and_written_as_it_was_read(record: Record) -> None:
    body = encode_record(record)
    assert decode_record(body) == record
    assert encode_record(decode_record(body)) == body


@pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: type(record).__name__)
def test_field_that_this_version_does_not_know_is_ignored(record: Record) -> None:
    body = encode_record(record).removesuffix(b"}") + b',"from_a_newer_till":{"a":[1,2.5,null]}}'
    assert decode_record(body) == record


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_missing_fields_take_their_defaults_or_are_named(kind: type[Record]) -> None:
    whole = plain(RECORDS[kind])
    required = [field.name for field in msgspec.structs.fields(kind) if field.required]
    least = {"kind": whole["kind"]} | {name: whole[name] for name in required}
    read = decode_record(json.dumps(least).encode())
    assert type(read) is kind
    for field in msgspec.structs.fields(kind):
        if not field.required:
            assert getattr(read, field.name) == field.default
    for name in required:
        body = json.dumps({k: v for k, v in least.items() if k != name}).encode()
        with pytest.raises(MalformedMessageError, match=f"`{name}`"):
            decode_record(body)


def test_fields_at_their_default_are_not_written() -> None:
    opening = OpenRecord(at_ms=1, incarnation_number=1, reason="first start")
    assert encode_record(opening) == (
        b'{"kind":"open","at_ms":1,"incarnation_number":1,"reason":"first start"}'
    )


def test_calculation_is_kept_byte_for_byte() -> None:
    # Not how we would write it: the centre compares bytes, so they must come through as they are.
    odd = b'{ "b" : 1.50 , "a" : "\\u0041" }'
    record = RECORDS[RefundRecord]
    body = encode_record(msgspec.structs.replace(record, calculation=msgspec.Raw(odd)))
    read = decode_record(body)
    assert isinstance(read, RefundRecord)
    assert bytes(read.calculation) == odd


GRANT_RETURN = b'{"kind":"grant_return","at_ms":1,"grant_id":"g","why":"","points":'
MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "not JSON": b"kind=void",
    "a list": b"[]",
    "null": b"null",
    "no kind": b'{"at_ms":1,"key":"k","why":""}',
    "an unknown kind": b'{"kind":"coupon","at_ms":1,"key":"k","why":""}',
    "a kind that is a number": b'{"kind":1,"at_ms":1,"key":"k","why":""}',
    "no time": b'{"kind":"void","key":"k","why":""}',
    "a time with a fraction": b'{"kind":"void","at_ms":1.0,"key":"k","why":""}',
    "a time in text": b'{"kind":"void","at_ms":"1","key":"k","why":""}',
    "a number without end": b'{"kind":"void","at_ms":1' + b"0" * 5_000 + b',"key":"k","why":""}',
    "cut short": encode_record(VOID)[:-1],
    "something after the end": encode_record(VOID) + b"{}",
    "text that is not UTF-8": b'{"kind":"void","at_ms":1,"key":"\xff","why":""}',
    "half a surrogate pair": b'{"kind":"void","at_ms":1,"key":"\\ud800","why":""}',
    "nested without end": b'{"kind":"void","at_ms":1,"key":"k","why":"","x":'
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}",
    "points that are none": GRANT_RETURN + b"0}",
    "less than no points": GRANT_RETURN + b"-5}",
    "a lot that gives": GRANT_RETURN + b'5,"lots":[{"lot_id":1,"points":-5}]}',
    "a moment that is none": b'{"kind":"refund","at_ms":1,"key":"k","original_key":"o","lines":[],'
    b'"moment":{"local":"yesterday"},"place":{"store":"s"}}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_record_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMessageError, match="not a record"):
        decode_record(body)


def test_basket_of_a_sale_is_checked() -> None:
    sale = plain(RECORDS[SaleRecord])
    sale["inputs"]["basket"]["lines"][0]["quantity"] = 0
    with pytest.raises(MalformedMessageError, match=r"quantity.*\$\.inputs\.basket\.lines\[0\]"):
        decode_record(json.dumps(sale).encode())


def test_longest_record_is_read_and_a_longer_one_is_not_looked_at() -> None:
    room = RECORD_BYTES_MAX - len(encode_record(VOID))
    longest = VoidRecord(at_ms=1, key="k", why="w" * room)
    assert len(encode_record(longest)) == RECORD_BYTES_MAX
    assert decode_record(encode_record(longest)) == longest
    with pytest.raises(MalformedMessageError, match=f"at most {RECORD_BYTES_MAX} bytes"):
        decode_record(encode_record(longest) + b" ")


def test_sale_of_the_longest_basket_is_read() -> None:
    lines = tuple(
        line(
            str(number),
            f"{1_000_000 + number}",
            gtin="04006381333931",
            department="GROCERY",
            category="SOFT DRINKS/CARBONATED",
            brand="National",
        )
        for number in range(BASKET_LINES_MAX)
    )
    longest = msgspec.structs.replace(inputs, basket=basket(*lines))
    calculation = calculate(
        longest.basket,
        rules(offer("everything-twice-cheaper"), offer("and-cheaper-once-more")),
        moment=longest.moment,
        place=longest.place,
        account=longest.account,
    )
    sale = msgspec.structs.replace(
        RECORDS[SaleRecord],
        inputs=longest,
        calculation=msgspec.Raw(canonical_bytes(calculation)),
    )
    assert len(encode_record(sale)) > RECORD_BYTES_MAX / 4
    assert decode_record(encode_record(sale)) == sale


def test_longest_record_and_largest_batch_fit_in_a_message() -> None:
    piece = bytes(BATCH_BYTES_MAX // BATCH_RECORDS_MAX)
    for records in ((bytes(RECORD_BYTES_MAX),), (piece,) * BATCH_RECORDS_MAX):
        push = Push(incarnation=bytes(8), from_seq=1, previous_hash=bytes(32), records=records)
        assert decode(Push, encode(push)) == push


def test_facts_are_what_happened_and_the_rest_moves_rights() -> None:
    assert set(FACTS) == {SaleRecord, VoidRecord, RefundRecord}
    assert set(RECORDS) - set(FACTS) == {
        OpenRecord,
        GrantInRecord,
        GrantReturnRecord,
        XferOutRecord,
        XferInRecord,
        CounterInRecord,
        CounterReturnRecord,
    }

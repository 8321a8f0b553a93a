"""Live records travel in few bytes and come back as the very same ones, or are refused."""

from dataclasses import replace

import msgspec
import pytest

from sync.chain import links
from sync.codec import decode
from sync.errors import MalformedMessageError
from sync.line_form import body_of, form_of, with_calculation
from sync.lines import (
    BEFORE_MAX,
    LINES_RECORDS_MAX,
    PROOF_SHORT_BYTES,
    Forms,
    Lines,
    fitting,
    pack_forms,
    unpack_forms,
)
from sync.records import SaleRecord, encode_record
from tests.golden.wire import examples

SALE = examples.RECORDS[SaleRecord]
BODIES = [encode_record(record) for record in examples.RECORDS.values()]


def whole(form: bytes, body: bytes) -> bytes:
    """Turn a form back and put in the calculation, as the centre that repeats it does."""
    found, is_short = body_of(form)
    if not is_short:
        return found
    calculation = bytes(msgspec.json.decode(body, type=SaleRecord).calculation)
    return with_calculation(found, calculation)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:20].decode())
def test_every_record_comes_back_as_it_was_written(body: bytes) -> None:
    assert whole(form_of(body), body) == body


def sale(**changes: object) -> bytes:
    assert isinstance(SALE, SaleRecord)
    return encode_record(msgspec.structs.replace(SALE, **changes))


@pytest.mark.parametrize(
    "body",
    [
        sale(card="", sources=(), drawn=(), link_up=False),
        sale(key="no uuid"),
        sale(key="01957E3C-9A40-7C11-8D22-3E4F5A6B7C8D"),
        sale(card="no hash"),
        sale(card="FF" * 16),
        sale(calculation=msgspec.Raw(b'{"note":"\\"calculation\\":null"}')),
        b'{"kind":"sale","at_ms":1,"of":"a shape nobody knows"}',
    ],
)
def test_unusual_sales_come_back_as_they_were_written(body: bytes) -> None:
    assert whole(form_of(body), body) == body


@pytest.mark.parametrize("lines", [0, 1, 3])
def test_baskets_of_any_length_come_back(lines: int) -> None:
    assert isinstance(SALE, SaleRecord)
    inputs = SALE.inputs
    one = inputs.basket.lines[0]
    numbered = tuple(
        replace(one, line_id=f"{number:03}", sku=str(5000 + number))
        for number in range(1, lines + 1)
    )
    basket = replace(inputs.basket, lines=numbered)
    body = sale(inputs=msgspec.structs.replace(inputs, basket=basket))
    assert whole(form_of(body), body) == body


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode([1, 2]),
        msgspec.msgpack.encode([{}, [], [], 0]),
        msgspec.msgpack.encode([{"key": "k", "card": ""}, [1], [2, ["a"]], 0]),
    ],
)
def test_garbage_is_no_form(form: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        body_of(form)


def test_a_record_packed_against_others_like_it_takes_few_bytes() -> None:
    forms = [form_of(body) for body in BODIES]
    alone, beside = pack_forms(forms[-1:], []), pack_forms(forms[-1:], forms)
    assert len(beside) < len(alone)
    assert unpack_forms(beside, forms) == forms[-1:]
    assert unpack_forms(alone, []) == forms[-1:]
    assert unpack_forms(pack_forms(forms[:3], forms), forms) == forms[:3]


def test_packed_forms_need_the_very_records_they_were_packed_against() -> None:
    forms = [form_of(body) for body in BODIES]
    packed = pack_forms(forms[1:2], forms)
    try:
        other = unpack_forms(packed, forms[:-1])
    except MalformedMessageError:
        return
    assert other != forms[1:2]  # which the chain tells


@pytest.mark.parametrize("packed", [b"", b"garbage", pack_forms([b"x"], [])[:-1]])
def test_damaged_lines_are_refused(packed: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        unpack_forms(packed, [])


def test_a_backlog_does_not_travel_as_lines() -> None:
    with pytest.raises(MalformedMessageError):
        unpack_forms(pack_forms([b"x"] * (LINES_RECORDS_MAX + 1), []), [])


def test_only_so_much_is_packed_against() -> None:
    assert fitting([b"a" * 60_000, b"b" * 60_000, b"c"]) == [b"b" * 60_000, b"c"]
    assert len(fitting([b"a"] * 100)) == BEFORE_MAX


def test_forms_are_known_for_the_streams_used_last() -> None:
    forms = Forms(2)
    link = links(b"\x00" * 32, BODIES[:1])[0]
    for stream in "abc":
        forms.keep(stream, 9, link, [b"1", b"2"])
    assert forms.find("a", 9, 1) is None
    assert forms.find("b", 9, 1) == (link, [b"2"])
    assert forms.find("b", 8, 1) is None
    assert forms.find("b", 9, 3) is None
    assert forms.find("c", 9, 0) == (link, [])


def test_lines_of_a_till_that_knows_no_moulds_are_read() -> None:
    older = msgspec.msgpack.encode([3, 2, bytes(PROOF_SHORT_BYTES), b"packed"])
    assert decode(Lines, older) == Lines(
        from_seq=3, before=2, proof=bytes(PROOF_SHORT_BYTES), packed=b"packed", moulds=False
    )

"""Records taken apart travel in few bytes and come back as they were written, or are refused."""

from contextlib import suppress
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty.account import AccountSnapshot
from loyalty.basket import Moment
from sync.dictionary import DICTIONARY_1
from sync.errors import MalformedMessageError
from sync.line_form import with_calculation
from sync.lines import BEFORE_MAX, LINES_RECORDS_MAX
from sync.messages import AccountRow
from sync.moulds import Named, form_of_parts, pack_parts, unpack_parts
from sync.record_parts import Parts, has_card, joined, parts_of, who_of
from sync.records import GrantInRecord, SaleRecord, encode_record
from tests.golden.wire import examples

SALE = examples.RECORDS[SaleRecord]
BODIES = [encode_record(record) for record in examples.RECORDS.values()]
CARD = bytes(range(16))


def sale(**changes: object) -> bytes:
    assert isinstance(SALE, SaleRecord)
    return encode_record(msgspec.structs.replace(SALE, **changes))


def with_inputs(**changes: object) -> bytes:
    assert isinstance(SALE, SaleRecord)
    return sale(inputs=msgspec.structs.replace(SALE.inputs, **changes))


def of_customer(account: AccountSnapshot, **changes: object) -> bytes:
    assert isinstance(SALE, SaleRecord)
    inputs = msgspec.structs.replace(SALE.inputs, account=account)
    return sale(inputs=inputs, card=CARD.hex(), **changes)


def whole(parts: Parts, body: bytes) -> bytes:
    """Put a record together, as the centre that repeats its calculation does."""
    found, is_short = joined(parts)
    if not is_short:
        return found
    calculation = bytes(msgspec.json.decode(body, type=SaleRecord).calculation)
    return with_calculation(found, calculation)


def travelled(body: bytes, before: list[bytes]) -> tuple[int, Parts]:
    """Return what a record takes on the line, and what comes out of that."""
    packed = pack_parts([parts_of(body)], before, [None])
    (came,) = unpack_parts(packed, before, records_max=1)
    assert came.named is None
    return len(packed), came.parts


def test_a_one_time_code_makes_no_other_receipt_longer_and_its_own_by_a_mould_at_most() -> None:
    plain, coded = (sale(code_age=age) for age in (None, 2))
    assert b"code_age" not in plain
    known = [form_of_parts(parts_of(plain))]
    following = sale(code_age=None, key="01957e3c-9a40-7c11-8d22-3e4f5a6b7c99")
    alone = travelled(following, known)[0]
    again = sale(code_age=2, key="01957e3c-9a40-7c11-8d22-3e4f5a6b7c99")
    assert parts_of(again).mould == parts_of(coded).mould  # one mould for each age
    assert travelled(again, [form_of_parts(parts_of(coded)), *known])[0] <= alone + 1


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:20].decode())
def test_every_record_comes_back_as_it_was_written(body: bytes) -> None:
    assert whole(parts_of(body), body) == body
    before = [form_of_parts(parts_of(each)) for each in BODIES]
    for known in ([], before, before[:2]):
        assert whole(travelled(body, known)[1], body) == body


@pytest.mark.parametrize(
    "body",
    [
        sale(card="", sources=(), drawn=(), link_up=False),
        sale(key="no uuid"),
        sale(key="01957E3C-9A40-7C11-8D22-3E4F5A6B7C8D"),
        sale(card="no hash"),
        sale(card="\x10"),
        sale(card="FF" * 16),
        sale(version=-1),
        sale(at_ms=-5),
        sale(calculation=msgspec.Raw(b'{"note":"\\"calculation\\":null"}')),
        sale().replace(b'"local":"', b'"local":"about '),
        with_inputs(moment=Moment(local="1969-12-31T23:59:59", uncertainty_s=0)),
        b'{"kind":"sale","at_ms":1,"of":"a shape nobody knows"}',
        b'{"kind":"grant_in","at_ms":1,"grant_id":"no uuid"}',
        b'{"kind":"grant_in","at_ms":1,"grant_id":7}',
        b'{"kind":"grant_in","grant_id":"01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d","at_ms":1}',
    ],
)
def test_unusual_records_come_back_as_they_were_written(body: bytes) -> None:
    assert whole(parts_of(body), body) == body
    assert whole(travelled(body, [])[1], body) == body


LINE = st.fixed_dictionaries({
    "line_id": st.sampled_from(["001", "x", ""]),
    "sku": st.sampled_from(["", "0", "007", "5000", "5001", "milk", "9" * 18, "9" * 30]),
    "quantity": st.sampled_from([1_000, 1_000, 0, 1, 357, -1_000, 2**62, True]),
    "gross_minor": st.integers(-5, 2**63 - 1),
    "by_weight": st.booleans(),
    "pos_reduced": st.sampled_from([False, False, 1]),
    "category": st.sampled_from(["", "bread", None]),
})  # fmt: skip
LINES = st.one_of(
    st.lists(LINE, max_size=6),
    st.integers(0, 12).map(
        lambda count: [
            {"line_id": f"{number:03}", "sku": str(5_000 + number), "quantity": 1_000}
            for number in range(1, count + 1)
        ]
    ),
)


@settings(max_examples=40)
@given(lines=LINES, local=st.datetimes().map(lambda at: at.replace(microsecond=0).isoformat()))
def test_any_basket_at_any_time_comes_back(lines: list[dict[str, object]], local: str) -> None:
    record = msgspec.json.decode(sale())
    record["inputs"]["basket"]["lines"] = lines
    record["inputs"]["moment"]["local"] = local
    body = msgspec.json.encode(record)
    found, is_short = joined(travelled(body, [])[1])
    if is_short:
        found = with_calculation(found, msgspec.json.encode(record["calculation"]))
    assert found == body


def test_a_receipt_like_those_before_takes_its_values_alone() -> None:
    account = AccountSnapshot(identified=True, account_id=1_000_086, segments=("a", "b"), version=3)
    first = of_customer(account)
    known = [form_of_parts(parts_of(first))]
    again = of_customer(account, key="01957e3c-9a40-7c11-8d22-000000000000")
    alone, _ = travelled(again, [])
    size_bytes, parts = travelled(again, known)
    # Places of mould and customer, card, and a number of values.
    assert size_bytes == 1 + 1 + len(CARD) + 1 + len(parts.values)
    assert size_bytes < alone / 3
    row = AccountRow(card=CARD, snapshot=account)
    assert len(pack_parts([parts_of(again)], known, [row])) == size_bytes - len(CARD) + 5


def test_a_customer_the_till_was_just_told_of_is_named_by_number() -> None:
    account = AccountSnapshot(
        identified=True, account_id=86, tier="gold", segments=("x",), points=5, version=3
    )
    body, row = of_customer(account), AccountRow(card=CARD, snapshot=account)
    (came,) = unpack_parts(pack_parts([parts_of(body)], [], [row]), [], records_max=1)
    assert came.named == Named(86, 3, CARD[0])
    assert came.named.is_of(row)
    assert whole(came.of(row), body) == body
    newer = replace(account, version=4)
    assert not came.named.is_of(AccountRow(card=CARD, snapshot=newer))
    assert not came.named.is_of(AccountRow(card=b"\xff" + CARD[1:], snapshot=account))


def test_an_account_is_the_same_as_told_and_as_recorded() -> None:
    assert isinstance(SALE, SaleRecord)
    account = SALE.inputs.account
    assert account.counters
    assert who_of(account) == parts_of(of_customer(account)).who
    row = msgspec.msgpack.decode(
        msgspec.msgpack.encode(AccountRow(card=CARD, snapshot=account)), type=AccountRow
    )
    assert who_of(row.snapshot) == who_of(account)


@pytest.mark.parametrize(
    "row",
    [
        AccountRow(card=bytes(16), snapshot=AccountSnapshot(identified=True, account_id=86)),
        AccountRow(card=CARD, snapshot=AccountSnapshot(identified=True, account_id=86, points=1)),
    ],
)
def test_a_receipt_made_with_another_account_names_nobody(row: AccountRow) -> None:
    body = of_customer(AccountSnapshot(identified=True, account_id=86))
    (came,) = unpack_parts(pack_parts([parts_of(body)], [], [row]), [], records_max=1)
    assert came.named is None
    assert whole(came.parts, body) == body


def test_records_of_grants_take_what_is_random_of_them() -> None:
    ids = [f"01957e3c-9a40-7c11-8d22-3e4f5a6b7c{number:02x}" for number in range(3)]
    bodies = [
        encode_record(GrantInRecord(at_ms=1_795_000_000_000 + number, grant_id=name))
        for number, name in enumerate(ids)
    ]
    before = [form_of_parts(parts_of(bodies[0]))]
    packed = pack_parts([parts_of(body) for body in bodies[1:]], before, [None, None])
    came = unpack_parts(packed, before, records_max=2)
    assert [joined(each.parts) for each in came] == [(body, False) for body in bodies[1:]]
    assert len(packed) <= 2 * 22


def test_a_backlog_does_not_travel_so() -> None:
    parts = [parts_of(BODIES[0])] * (LINES_RECORDS_MAX + 1)
    packed = pack_parts(parts, [], [None] * len(parts))
    with pytest.raises(MalformedMessageError):
        unpack_parts(packed, [], records_max=LINES_RECORDS_MAX)


BEFORE = [form_of_parts(parts_of(each)) for each in BODIES]
GOOD = pack_parts([parts_of(BODIES[1])], BEFORE, [None])


def read(packed: bytes, before: list[bytes]) -> list[bytes]:
    row = AccountRow(card=CARD, snapshot=ANY)
    return [
        joined(came.parts if came.named is None else came.of(row))[0]
        for came in unpack_parts(packed, before, records_max=LINES_RECORDS_MAX)
    ]


ANY = AccountSnapshot(identified=True, account_id=1)


@settings(max_examples=60)
@given(
    packed=st.one_of(
        st.binary(max_size=80),
        st.integers(0, len(GOOD) - 1).map(lambda end: GOOD[:end]),
        st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)).map(
            lambda spot: GOOD[: spot[0]] + bytes([spot[1]]) + GOOD[spot[0] + 1 :]
        ),
    ),
    is_known=st.booleans(),
)
def test_damaged_bytes_are_one_error_or_other_records(packed: bytes, *, is_known: bool) -> None:
    """Then the chain says otherwise; nothing else is raised."""
    with suppress(MalformedMessageError):
        assert all(body != BODIES[0] for body in read(packed, BEFORE if is_known else []))


@pytest.mark.parametrize(
    "mould",
    [
        b"",
        b"\xc1",
        b"\x97",
        msgspec.msgpack.encode([b"", 0]),
        msgspec.msgpack.encode([b"", -1, {}, [], [], [], []]),
        msgspec.msgpack.encode([b"", 0, {}, [""], [[1]] * 99, [], []]),
        msgspec.msgpack.encode(["", 0, {}, ["x"], [[3]], ["basket"], [{}]]),
    ],
)
@pytest.mark.parametrize("values", [b"", b"\x00" * 40, b"\xff" * 8 + b"\x7f"])
def test_garbage_is_no_record(mould: bytes, values: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        joined(Parts(mould=mould, who=b"\x92\x90\x00", values=values))


def test_garbage_is_no_customer() -> None:
    with pytest.raises(MalformedMessageError):
        has_card(b"\xc1")


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    small = pack_parts([Parts(mould=b"{" + b" " * (4 << 20))], [], [None])
    assert len(small) < 2_000
    with pytest.raises(MalformedMessageError):
        unpack_parts(small, [], records_max=1)


def test_packing_is_against_no_more_than_both_sides_have() -> None:
    assert DICTIONARY_1
    before = BEFORE * 4
    assert len(before) > BEFORE_MAX
    _, parts = travelled(BODIES[1], before[-BEFORE_MAX:])
    assert whole(parts, BODIES[1]) == BODIES[1]

"""Codes: what is written is read, whatever else is read is refused by name, and seals hold."""

from datetime import date

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty.account import LotPart
from loyalty.limits import AMOUNT_MINOR_MAX, POINTS_MAX
from sync import qr
from sync.customer_code import NAME_BYTES_MAX, TIER_BYTES_MAX, CustomerCode
from sync.errors import MalformedMessageError, QrTextError, SignatureError
from sync.limits import COUNT_MAX
from sync.qr import CourierAsk, CourierGrant, Document, ReceiptProof
from sync.signing import SigningKey
from tests.golden.codes import examples

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*-./:"
KINDS = (CourierAsk, CourierGrant, CustomerCode, ReceiptProof)
PREFIXES = ("TSA1:", "TSG1:", "TSC1:", "TSR1:")

eight = st.binary(min_size=8, max_size=8)
signatures = st.binary(min_size=64, max_size=64)
counts = st.integers(1, COUNT_MAX)
points = st.integers(1, POINTS_MAX // qr.LOTS_MAX)
uuids = st.uuids().map(str)


def short_texts(bytes_max: int) -> st.SearchStrategy[str]:
    texts = st.text(max_size=bytes_max)
    return texts.filter(lambda text: len(text.encode(errors="replace")) <= bytes_max).filter(
        lambda text: text.isprintable()
    )


days = st.one_of(st.just(""), st.dates().map(date.isoformat))
lots = st.builds(
    LotPart,
    lot_id=counts,
    points=points,
    expires_on=days,
    restriction=short_texts(qr.RESTRICTION_BYTES_MAX),
)
asks = st.builds(
    CourierAsk,
    till_id=counts,
    incarnation=eight,
    number=counts,
    nonce=eight,
    store=short_texts(qr.STORE_BYTES_MAX),
    card=eight,
    points=points,
    signature=signatures,
)
grants = st.builds(
    lambda lots, **fields: CourierGrant(
        points=sum(lot.points for lot in lots), lots=tuple(lots), **fields
    ),
    lots=st.lists(lots, min_size=1, max_size=qr.LOTS_MAX),
    grant_id=uuids,
    account_id=counts,
    till_id=counts,
    incarnation=eight,
    nonce=eight,
    not_after_ms=st.integers(0, COUNT_MAX // 60_000).map(lambda minutes: minutes * 60_000),
    tier=short_texts(qr.TIER_BYTES_MAX),
    signature=signatures,
)
proofs = st.builds(
    ReceiptProof,
    key=uuids,
    till_id=counts,
    incarnation=eight,
    seq=counts,
    card=st.one_of(st.just(b""), eight),
    earned_points=st.integers(0, POINTS_MAX),
    redeemed_points=st.integers(0, POINTS_MAX),
    paid_minor=st.integers(0, AMOUNT_MINOR_MAX),
    moment=st.datetimes().map(lambda at: at.isoformat(timespec="minutes")),
    bundle=eight,
    signature=signatures,
)


names = st.lists(short_texts(12), max_size=5).map(tuple)
customers = st.builds(
    CustomerCode,
    account_id=counts,
    step=st.integers(0, COUNT_MAX),
    programme=short_texts(NAME_BYTES_MAX),
    card=st.binary(min_size=16, max_size=16),
    version=st.integers(0, COUNT_MAX),
    points=st.integers(0, POINTS_MAX),
    purchases=st.integers(0, COUNT_MAX),
    in_birthday_window=st.booleans(),
    tier=short_texts(TIER_BYTES_MAX),
    segments=names,
    offers=names,
    signature=signatures,
)


@given(st.one_of(asks, grants, customers, proofs))
def test_what_is_written_is_read(document: Document) -> None:
    text = qr.write(document)
    assert set(text) <= set(ALPHABET)
    assert len(text) <= qr.TEXT_CHARACTERS_MAX
    assert qr.read(type(document), text) == document


@given(st.sampled_from(KINDS), st.text(max_size=400))
def test_any_text_is_refused_by_name(kind: type[CourierAsk], text: str) -> None:
    with pytest.raises(QrTextError):
        qr.read(kind, text)


@given(
    st.sampled_from(list(zip(KINDS, PREFIXES, strict=True))),
    st.text(alphabet=ALPHABET, max_size=400),
)
def test_any_characters_of_the_alphabet_are_one_document_or_refused(
    kind: tuple[type[CourierAsk], str], content: str
) -> None:
    text = kind[1] + content
    try:
        found = qr.read(kind[0], text)
    except QrTextError:
        return
    assert qr.write(found) == text


@given(st.sampled_from(sorted(examples.CODES)), st.data())
def test_no_character_can_be_changed_unnoticed(name: str, data: st.DataObject) -> None:
    code, document = examples.CODES[name], examples.DOCUMENTS[name]
    at = data.draw(st.integers(5, len(code) - 1))
    other = data.draw(st.sampled_from(ALPHABET).filter(lambda character: character != code[at]))
    with pytest.raises((QrTextError, SignatureError)):
        qr.check_seal(
            qr.read(type(document), code[:at] + other + code[at + 1 :]), examples.SIGNERS[name]
        )


@given(st.sampled_from(sorted(examples.CODES)), st.data())
def test_a_code_that_is_cut_or_longer_is_refused(name: str, data: st.DataObject) -> None:
    code, kind = examples.CODES[name], type(examples.DOCUMENTS[name])
    with pytest.raises(QrTextError):
        qr.read(kind, code[: data.draw(st.integers(0, len(code) - 1))])
    with pytest.raises(QrTextError):
        qr.read(kind, code + data.draw(st.text(alphabet=ALPHABET, min_size=1, max_size=9)))


def test_blanks_a_scanner_adds_do_not_matter() -> None:
    assert qr.read(CourierAsk, f" {examples.CODES['ask']}\r\n") == examples.ask


@pytest.mark.parametrize("name", examples.CODES)
def test_a_code_of_another_kind_is_refused(name: str) -> None:
    for kind in KINDS:
        if kind is not type(examples.DOCUMENTS[name]):
            with pytest.raises(QrTextError, match="begins with"):
                qr.read(kind, examples.CODES[name])


def test_a_seal_is_good_for_one_kind_of_document_alone() -> None:
    stranger = SigningKey(b"somebody else's key, of 32 bytes")
    for name, document in examples.DOCUMENTS.items():
        qr.check_seal(document, examples.SIGNERS[name])
        with pytest.raises(SignatureError):
            qr.check_seal(document, stranger.public)


WRONG: dict[str, Document] = {
    "number below zero": msgspec.structs.replace(examples.ask, points=-1),
    "too many points": msgspec.structs.replace(examples.ask, points=POINTS_MAX + 1),
    "nonce too short": msgspec.structs.replace(examples.ask, nonce=b"short"),
    "store too long": msgspec.structs.replace(examples.ask, store="s" * 41),
    "half a card hash": msgspec.structs.replace(examples.customer, card=b"half"),
    "tier too long": msgspec.structs.replace(examples.customer, tier="t" * 21),
    "offers too long": msgspec.structs.replace(examples.customer, offers=("o" * 40,) * 4),
    "too many offers": msgspec.structs.replace(examples.customer, offers=("o",) * 17),
    "no UUID": msgspec.structs.replace(examples.receipt, key="receipt 7"),
    "UUID in upper case": msgspec.structs.replace(examples.receipt, key=examples.SALE_KEY.upper()),
    "no moment": msgspec.structs.replace(examples.receipt, moment="noon"),
    "no lots": msgspec.structs.replace(examples.grant, lots=()),
    "too many lots": msgspec.structs.replace(examples.grant, lots=examples.grant.lots * 7),
    "half a minute": msgspec.structs.replace(examples.grant, not_after_ms=30_000),
    "no day": msgspec.structs.replace(
        examples.grant, lots=(LotPart(lot_id=1, points=1, expires_on="soon"),)
    ),
}


@pytest.mark.parametrize("document", WRONG.values(), ids=list(WRONG))
def test_what_has_no_place_in_the_form_is_refused_when_written(document: Document) -> None:
    with pytest.raises(QrTextError):
        qr.write(document)


UNREADABLE: dict[str, Document] = {
    "till zero": msgspec.structs.replace(examples.ask, till_id=0),
    "nobody": msgspec.structs.replace(examples.customer, account_id=0),
    "no points": msgspec.structs.replace(examples.ask, points=0),
    "lots are not the points": msgspec.structs.replace(examples.grant, points=481),
    "half a card": msgspec.structs.replace(examples.receipt, card=b"half"),
}


@pytest.mark.parametrize("document", UNREADABLE.values(), ids=list(UNREADABLE))
def test_what_makes_no_sense_is_refused_when_read(document: Document) -> None:
    with pytest.raises(QrTextError):
        qr.read(type(document), qr.write(document))


def test_the_refusal_is_one_the_api_knows() -> None:
    assert issubclass(QrTextError, MalformedMessageError)
    assert all(qr.is_code(code) for code in examples.CODES.values())
    assert not qr.is_code("receipt.txt")


@given(st.one_of(asks, grants, customers, proofs))
def test_sealing_and_writing_in_one_go_gives_the_same_text(document: Document) -> None:
    key = SigningKey(bytes(32))
    assert qr.sealed_text(document, key) == qr.write(qr.seal(document, key))

"""A signature holds for exactly what was signed: nothing in it can be changed on the way."""

from typing import Any

import msgspec
import pytest

from loyalty.account import LotPart
from sync.codec import decode, encode
from sync.errors import SignatureError
from sync.messages import Grant, Manifest
from sync.signing import (
    SigningKey,
    answer_content,
    card_hash,
    check,
    check_message,
    enrol_content,
    request_content,
    sign_message,
)
from tests.golden.wire.examples import (
    CARD,
    CARD_KEY,
    NONCE,
    SESSION,
    centre_key,
    grant,
    manifest,
    rule_key,
    till_key,
    unsigned_enrolment,
)

REQUEST: dict[str, Any] = {
    "method": "POST",
    "path": "/v1/till/push",
    "till_id": 17,
    "session": SESSION,
    "nonce": NONCE,
    "body": b"the body",
}


def flipped(value: bytes, bit: int = 0) -> bytes:
    """Return the bytes with one bit changed."""
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("method", "GET"),
        ("path", "/v1/till/pull"),
        ("path", "/v1/till/push/"),
        ("till_id", 18),
        ("session", flipped(SESSION)),
        ("session", bytes(16)),
        ("nonce", flipped(NONCE)),
        ("body", b"The body"),
        ("body", b"the body\n"),
        ("body", b""),
    ],
)
def test_changed_request_is_not_the_signed_one(field: str, value: object) -> None:
    signature = till_key.sign(request_content(**REQUEST))
    check(till_key.public, signature, request_content(**REQUEST))
    with pytest.raises(SignatureError):
        check(till_key.public, signature, request_content(**{**REQUEST, field: value}))


def test_changed_answer_is_not_the_signed_one() -> None:
    signature = centre_key.sign(answer_content(NONCE, 200, b"the answer"))
    check(centre_key.public, signature, answer_content(NONCE, 200, b"the answer"))
    for content in (
        answer_content(flipped(NONCE), 200, b"the answer"),
        answer_content(NONCE, 409, b"the answer"),
        answer_content(NONCE, 200, b"another answer"),
    ):
        with pytest.raises(SignatureError):
            check(centre_key.public, signature, content)


def test_request_signature_is_no_answer_signature() -> None:
    content = request_content(**REQUEST)
    with pytest.raises(SignatureError):
        check(till_key.public, till_key.sign(content), answer_content(NONCE, 200, b"the body"))


@pytest.mark.parametrize("bit", range(0, 512, 37))
def test_signature_with_a_changed_bit_is_refused(bit: int) -> None:
    signature = flipped(till_key.sign(b"content"), bit)
    with pytest.raises(SignatureError):
        check(till_key.public, signature, b"content")


@pytest.mark.parametrize("signature", [b"", b"s" * 63, b"s" * 64, b"s" * 65, bytes(64)])
def test_what_is_no_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(SignatureError, match="does not match"):
        check(till_key.public, signature, b"content")


@pytest.mark.parametrize("public", [b"", b"k" * 31, b"k" * 33, centre_key.public, b"\xff" * 32])
def test_another_key_or_no_key_is_refused(public: bytes) -> None:
    with pytest.raises(SignatureError):
        check(public, till_key.sign(b"content"), b"content")


@pytest.mark.parametrize(
    "change",
    [
        {"code": "7KQ2M-9XW4TE"},
        {"hardware": "another machine"},
        {"nonce": flipped(NONCE)},
    ],
)
def test_changed_enrolment_is_not_the_signed_one(change: dict[str, Any]) -> None:
    signature = till_key.sign(enrol_content(unsigned_enrolment))
    check(till_key.public, signature, enrol_content(unsigned_enrolment))
    changed = msgspec.structs.replace(unsigned_enrolment, **change)
    with pytest.raises(SignatureError):
        check(till_key.public, signature, enrol_content(changed))


@pytest.mark.parametrize(
    "change",
    [
        {"grant_id": grant.sale_key},
        {"purpose": "grant"},
        {"account_id": 8},
        {"till_id": 18},
        {"incarnation": b"12345678"},
        {"session": flipped(SESSION)},
        {"points": 121},
        {"lots": ()},
        {"lots": (LotPart(lot_id=501, points=119, expires_on="2026-03-01"),)},
        {"not_after_ms": grant.not_after_ms + 1},
        {"sale_key": ""},
        {"signature": b""},
        {"signature": flipped(grant.signature)},
    ],
    ids=str,
)
def test_changed_grant_is_refused(change: dict[str, Any]) -> None:
    check_message(grant, centre_key.public)
    with pytest.raises(SignatureError):
        check_message(msgspec.structs.replace(grant, **change), centre_key.public)


@pytest.mark.parametrize(
    "change",
    [
        {"bundle": "60" + manifest.bundle[2:]},
        {"version": 13},
        {"size_bytes": 1},
        {"activate_at": ""},
        {"chunks": (b"\x00" * 32,)},
        {"signature": b""},
        {"signature": flipped(manifest.signature)},
    ],
    ids=str,
)
def test_changed_manifest_is_refused(change: dict[str, Any]) -> None:
    check_message(manifest, rule_key.public)
    with pytest.raises(SignatureError):
        check_message(msgspec.structs.replace(manifest, **change), rule_key.public)


def test_every_signed_field_is_in_the_tests_above() -> None:
    for kind, test in (
        (Grant, test_changed_grant_is_refused),
        (Manifest, test_changed_manifest_is_refused),
    ):
        (mark,) = test.pytestmark
        assert {name for change in mark.args[1] for name in change} == set(kind.__struct_fields__)


def test_grant_of_one_key_is_not_a_grant_of_another() -> None:
    with pytest.raises(SignatureError):
        check_message(grant, rule_key.public)


def test_signature_holds_after_the_wire() -> None:
    check_message(decode(Grant, encode(grant)), centre_key.public)
    check_message(decode(Manifest, encode(manifest)), rule_key.public)


def test_signing_anew_replaces_the_signature() -> None:
    assert sign_message(grant, centre_key) == grant
    check_message(sign_message(grant, rule_key), rule_key.public)


def test_reader_that_does_not_know_a_field_of_a_grant_refuses_the_grant() -> None:
    # What a reader drops it cannot check: grants and manifests change only after all readers have.
    fields = msgspec.structs.asdict(grant) | {"signature": b"", "shop": "north"}
    newer = b"tillside-grant/1\n" + msgspec.msgpack.encode(fields)
    body = msgspec.msgpack.encode(fields | {"signature": centre_key.sign(newer)})
    with pytest.raises(SignatureError):
        check_message(decode(Grant, body), centre_key.public)


def test_key_comes_back_from_its_seed() -> None:
    seed = bytes(range(32))
    key = SigningKey(seed)
    assert key.seed() == seed
    assert SigningKey(key.seed()).public == key.public
    assert len(key.sign(b"content")) == 64


def test_card_is_hashed_with_the_chains_key_and_without_spaces_around_it() -> None:
    known = card_hash(CARD_KEY, CARD)
    assert len(known) == 16
    assert card_hash(CARD_KEY, f" {CARD}\r\n") == known
    assert card_hash(CARD_KEY, CARD[:-1]) != known
    assert card_hash(flipped(CARD_KEY), CARD) != known

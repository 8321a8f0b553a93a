"""The session's key reaches who offered for it alone; a MAC holds for its own bytes alone."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import MalformedMessageError, SignatureError
from sync.session_key import (
    MAC_BYTES,
    OFFER_BYTES,
    SEALED_BYTES,
    KeyOffer,
    SessionKeys,
    check_mac,
    mac_of,
    seal,
)
from sync.signing import answer_content, request_content

SESSION, OTHER_SESSION = b"s" * 16, b"t" * 16
KEYS = SessionKeys(b"k" * 32)
KEY = KEYS.key_of(7, SESSION)
OFFER = KeyOffer(b"o" * 32)
SEALED = seal(KEY, OFFER.public, session=SESSION, seed=b"r" * 32)


def test_the_key_reaches_who_offered_for_it() -> None:
    assert OFFER.open(SEALED, SESSION) == KEY
    assert (len(KEY), len(OFFER.public), len(SEALED)) == (32, OFFER_BYTES, SEALED_BYTES)
    assert KEY not in SEALED


def test_nobody_else_opens_it_nor_passes_it_for_another_sessions() -> None:
    with pytest.raises(SignatureError):
        KeyOffer(b"e" * 32).open(SEALED, SESSION)
    with pytest.raises(SignatureError):
        OFFER.open(SEALED, OTHER_SESSION)


@given(st.integers(0, SEALED_BYTES * 8 - 1))
def test_one_bit_is_enough_for_a_sealed_key_to_be_none(bit: int) -> None:
    damaged = (int.from_bytes(SEALED, "big") ^ 1 << bit).to_bytes(SEALED_BYTES, "big")
    if damaged[31] ^ SEALED[31] == 0x80:  # a bit that says nothing in a public key of X25519
        damaged = damaged[:-1] + b"!"
    with pytest.raises(SignatureError):
        OFFER.open(damaged, SESSION)


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_else(sealed: bytes) -> None:
    with pytest.raises(SignatureError):
        OFFER.open(sealed, SESSION)


@pytest.mark.parametrize("offer", [b"", bytes(32), b"\x01" + bytes(31), bytes(31), bytes(33)])
def test_an_offer_that_is_no_key_is_malformed(offer: bytes) -> None:
    with pytest.raises(MalformedMessageError, match="no key"):
        seal(KEY, offer, session=SESSION, seed=b"r" * 32)


def test_a_key_is_of_one_till_one_session_and_one_centre() -> None:
    others = (
        KEYS.key_of(8, SESSION), KEYS.key_of(7, OTHER_SESSION),
        SessionKeys(b"l" * 32).key_of(7, SESSION),
    )  # fmt: skip
    assert len({KEY, *others}) == 4
    assert SessionKeys(b"k" * 32).key_of(7, SESSION) == KEY  # another process of the same centre


@dataclass(frozen=True, slots=True)
class Said:
    """What a request says."""

    path: str = "/v1/till/push"
    till_id: int = 7
    session: bytes = SESSION
    nonce: bytes = b"n" * 12
    body: bytes = b"a body"

    def content(self) -> bytes:
        return request_content(
            "POST", self.path, till_id=self.till_id, session=self.session, nonce=self.nonce,
            body=self.body,
        )  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        Said(path="/v1/till/pull"), Said(till_id=8), Said(session=OTHER_SESSION),
        Said(nonce=b"m" * 12), Said(body=b"a body."),
    ],
)  # fmt: skip
def test_a_mac_holds_for_its_own_request_alone(other: Said) -> None:
    mac = mac_of(KEY, Said().content())
    check_mac(KEY, mac, Said().content())
    assert len(mac) == MAC_BYTES
    with pytest.raises(SignatureError):
        check_mac(KEY, mac, other.content())
    with pytest.raises(SignatureError):
        check_mac(KEYS.key_of(7, OTHER_SESSION), mac, Said().content())


def test_a_request_sent_back_is_no_answer() -> None:
    said = Said()
    mac = mac_of(KEY, said.content())
    with pytest.raises(SignatureError):
        check_mac(KEY, mac, answer_content(said.nonce, 200, said.body))


@pytest.mark.parametrize("mac", [b"", b"\x00" * 16, b"\x00" * 64])
def test_what_is_no_mac_is_refused(mac: bytes) -> None:
    with pytest.raises(SignatureError):
        check_mac(KEY, mac, b"content")

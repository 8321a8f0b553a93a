"""Ed25519 over requests, answers, grants and manifests (design: sync 4.1).

Who said it holds end to end, through any proxy.
"""

import hashlib
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from sync.enrolling import EnrolRequest
from sync.errors import SignatureError
from sync.messages import CounterGrant, Grant, Manifest

HEADER_TILL = "tillside-till"
HEADER_SESSION = "tillside-session"
HEADER_NONCE = "tillside-nonce"
HEADER_SIGNATURE = "tillside-signature"

NO_SESSION = b"\x00" * 16

Signed = TypeVar("Signed", CounterGrant, Grant, Manifest)


class SigningKey:
    """A private key; made from 32 random bytes, so that randomness stays with the caller."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, content: bytes) -> bytes:
        """Return the 64-byte signature."""
        return self._key.sign(content)

    def seed(self) -> bytes:
        """Return the 32 bytes the key was made from, for its file."""
        return self._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def check(public: bytes, signature: bytes, content: bytes) -> None:
    """Check a signature.

    Raises:
        SignatureError: it is not by this key over this content, or the key is no key.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, content)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("the signature does not match the bytes and the key") from error


def request_content(
    method: str, path: str, *, till_id: int, session: bytes, nonce: bytes, body: bytes
) -> bytes:
    """Return what a till signs for a request; `body` as it travels."""
    head = f"tillside-request/1\n{method}\n{path}\n{till_id}\n{session.hex()}\n{nonce.hex()}\n"
    return head.encode() + hashlib.sha256(body).digest()


def answer_content(nonce: bytes, status: int, body: bytes) -> bytes:
    """Return what the centre signs to answer the request with this nonce; `body` as it travels."""
    return f"tillside-answer/1\n{nonce.hex()}\n{status}\n".encode() + hashlib.sha256(body).digest()


def enrol_content(request: EnrolRequest) -> bytes:
    """Return what a new till signs to prove its key."""
    return (
        b"tillside-enrol/1\n"
        + request.code.encode()
        + b"\n"
        + request.nonce
        + request.hardware.encode()
    )


def sign_message(message: Signed, key: SigningKey) -> Signed:
    """Return the grant or manifest with its signature."""
    return msgspec.structs.replace(message, signature=key.sign(_content(message)))


def check_message(message: Signed, public: bytes) -> None:
    """Check a grant's or manifest's signature.

    Raises:
        SignatureError: it does not match.
    """
    check(public, message.signature, _content(message))


def _content(message: CounterGrant | Grant | Manifest) -> bytes:
    bare = msgspec.structs.replace(message, signature=b"")
    return (
        b"tillside-"
        + type(message).__name__.lower().encode()
        + b"/1\n"
        + msgspec.msgpack.encode(bare)
    )


def card_hash(card_key: bytes, card_number: str) -> bytes:
    """Return the keyed hash that stands for a card everywhere (design: sync 3.1): 16 bytes."""
    return hashlib.blake2b(
        card_number.strip().encode(), key=card_key, digest_size=16, person=b"tillside-card"
    ).digest()

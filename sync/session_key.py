"""The key of one session: HELLO agrees on it, a MAC under it then stands for both signatures.

The till offers a public key made for this HELLO alone (X25519), the centre seals the session's key
for it. Offer and sealed key travel in what both sign with their lasting keys, so each knows with
whom it shares the key. The centre keeps none: it makes a session's key anew from its own, whenever
and in whichever process a request comes (`docs/wire-protocol.md`).
"""

import hashlib
import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sync.errors import MalformedMessageError, SignatureError

MAC_BYTES: Final = 16
OFFER_BYTES: Final = 32
SEALED_BYTES: Final = OFFER_BYTES + 32 + 16
"""The centre's public key for this once, the sealed key, the tag."""
_KEY_BYTES: Final = 32
_NONCE: Final = bytes(12)  # the key below it is never used twice


class SessionKeys:
    """The keys of all sessions of a centre, made from one secret."""

    def __init__(self, seed: bytes) -> None:
        """Derive the secret.

        Args:
            seed: of the key that signs the centre's answers; all its processes have it.
        """
        self._root = hashlib.blake2b(key=seed, digest_size=32, person=b"tillside-session").digest()

    def key_of(self, till_id: int, session: bytes) -> bytes:
        """Return the key of a till's session."""
        named = till_id.to_bytes(8, "big") + session
        return hashlib.blake2b(named, key=self._root, digest_size=_KEY_BYTES).digest()


class KeyOffer:
    """A till's offer; made from 32 random bytes, so that randomness stays with the caller."""

    def __init__(self, seed: bytes) -> None:
        self._private = X25519PrivateKey.from_private_bytes(seed)
        self.public = self._private.public_key().public_bytes_raw()

    def open(self, sealed: bytes, session: bytes) -> bytes:
        """Return the session's key.

        Raises:
            SignatureError: it was sealed for another offer or session.
        """
        public, closed = sealed[:OFFER_BYTES], sealed[OFFER_BYTES:]
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(public))
            return _box(shared, self.public, public).decrypt(_NONCE, closed, session)
        except (InvalidTag, ValueError) as error:
            raise SignatureError("the session's key is sealed for somebody else") from error


def seal(key: bytes, offer: bytes, *, session: bytes, seed: bytes) -> bytes:
    """Seal a session's key for who made the offer.

    Args:
        seed: 32 random bytes, for this once.

    Raises:
        MalformedMessageError: the offer is no key.
    """
    private = X25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes_raw()
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(offer))
    except ValueError as error:
        raise MalformedMessageError("what HELLO offers is no key") from error
    return public + _box(shared, offer, public).encrypt(_NONCE, key, session)


def mac_of(key: bytes, content: bytes) -> bytes:
    """Return the MAC that stands for a signature over the same content."""
    return hashlib.blake2b(
        content, key=key, digest_size=MAC_BYTES, person=b"tillside-line/1"
    ).digest()


def check_mac(key: bytes, mac: bytes, content: bytes) -> None:
    """Check a MAC.

    Raises:
        SignatureError: it is not by this key over this content.
    """
    if not hmac.compare_digest(mac, mac_of(key, content)):
        raise SignatureError("the MAC does not match the bytes and the session's key")


def _box(shared: bytes, offer: bytes, public: bytes) -> AESGCM:
    key = hashlib.blake2b(
        shared + offer + public, digest_size=_KEY_BYTES, person=b"tillside-seal/1"
    ).digest()
    return AESGCM(key)

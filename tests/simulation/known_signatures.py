"""Signatures made in this process are checked by looking them up: that they hold is known.

Half of all signatures of a world are checked where they were made a moment before, and a check
takes three times as long as signing. What was not signed here, with this key and over these very
bytes, is checked as ever.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sync import signing

_KEPT_MAX = 20_000


class _Made:
    """The last signatures that were made here, with their keys and what they are over."""

    def __init__(self) -> None:
        self._contents: OrderedDict[tuple[bytes, bytes], bytes] = OrderedDict()

    def keep(self, public: bytes, signature: bytes, content: bytes) -> None:
        self._contents[public, signature] = content
        if len(self._contents) > _KEPT_MAX:
            self._contents.popitem(last=False)

    def has(self, public: bytes, signature: bytes, content: bytes) -> bool:
        return self._contents.get((public, signature)) == content


class _PublicKey:
    """Stands for the library's key where the product checks a signature."""

    made: _Made

    def __init__(self, public: bytes) -> None:
        self._public = public

    @classmethod
    def from_public_bytes(cls, public: bytes) -> "_PublicKey":
        return cls(public)

    def verify(self, signature: bytes, content: bytes) -> None:
        if not self.made.has(self._public, signature, content):
            Ed25519PublicKey.from_public_bytes(self._public).verify(signature, content)


@contextmanager
def signatures_known() -> Iterator[None]:
    """Look up what was signed here for the length of the block."""
    made, sign = _Made(), signing.SigningKey.sign

    def sign_and_keep(key: signing.SigningKey, content: bytes) -> bytes:
        signature = sign(key, content)
        made.keep(key.public, signature, content)
        return signature

    stands_for = type("_PublicKeyOfWorld", (_PublicKey,), {"made": made})
    with (
        patch.object(signing.SigningKey, "sign", sign_and_keep),
        patch.object(signing, "Ed25519PublicKey", stands_for),
    ):
        yield

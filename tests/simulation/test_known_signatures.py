"""In a world, too, a signature that was not made over these bytes with this key is refused."""

import pytest

from sync.errors import SignatureError
from sync.signing import SigningKey, check
from tests.simulation.known_signatures import signatures_known

KEY, OTHER = SigningKey(b"k" * 32), SigningKey(b"o" * 32)


def test_what_was_signed_here_and_what_was_signed_elsewhere_both_hold() -> None:
    elsewhere = KEY.sign(b"before")
    with signatures_known():
        check(KEY.public, KEY.sign(b"here"), b"here")
        check(KEY.public, elsewhere, b"before")


@pytest.mark.parametrize(
    ("public", "content"), [(OTHER.public, b"here"), (KEY.public, b"there"), (b"no key", b"here")]
)
def test_a_signature_made_here_is_refused_for_another_key_and_other_bytes(
    public: bytes, content: bytes
) -> None:
    with signatures_known():
        signature = KEY.sign(b"here")
        with pytest.raises(SignatureError):
            check(public, signature, content)
        with pytest.raises(SignatureError):
            check(KEY.public, signature[:-1] + bytes([signature[-1] ^ 1]), b"here")

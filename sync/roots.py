"""Which keys may sign rules: a chain of root documents, each signed by the keys of the one before.

After TUF: the root keys lie in drawers and sign nothing but this list; a new list is signed by
enough keys of the old one and enough of its own. Whoever holds a list takes the next one only whole
and proven, and never an older one (design: sync 4.4).
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from sync.errors import MalformedMessageError, SignatureError
from sync.limits import ROOT_BYTES_MAX
from sync.signing import SigningKey, check

KEYS_MAX: Final = 16
_CONTEXT: Final = b"tillside-root/1\n"

Key = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class ReleaseKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that may sign manifests.

    Attributes:
        generation: rises with every change of keys; what a newer generation signed is newer,
            whatever its version says, so that a stolen key cannot have used all versions up.
    """

    key: Key
    generation: Annotated[int, Meta(ge=1, le=2**31)]


class RootDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The list.

    Attributes:
        version: one more than the one before.
        threshold: so many of `root_keys` sign the next list.
    """

    version: Annotated[int, Meta(ge=1, le=2**31)]
    root_keys: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=KEYS_MAX)]
    threshold: Annotated[int, Meta(ge=1, le=KEYS_MAX)]
    release_keys: Annotated[tuple[ReleaseKey, ...], Meta(min_length=1, max_length=KEYS_MAX)]

    def __post_init__(self) -> None:
        if len(set(self.root_keys)) != len(self.root_keys) or self.threshold > len(self.root_keys):
            raise ValueError("root keys must differ, and threshold be at most their number")

    def generations(self) -> dict[bytes, int]:
        """Return the release keys with their generations."""
        return {bytes.fromhex(each.key): each.generation for each in self.release_keys}


class SignedRoot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list and who signed it; JSON, so that people can read what they sign.

    Attributes:
        document: JSON text; these very characters are signed.
        signatures: hexadecimal, by public key.
    """

    document: Annotated[str, Meta(max_length=ROOT_BYTES_MAX)]
    signatures: dict[Key, Annotated[str, Meta(pattern="^[0-9a-f]{128}$")]] = {}

    def root(self) -> RootDocument:
        """Return the list, not checked.

        Raises:
            MalformedMessageError: the text is none.
        """
        try:
            return msgspec.json.decode(self.document, type=RootDocument)
        except (msgspec.DecodeError, ValueError) as error:
            raise MalformedMessageError(f"no root document: {error}") from error

    def signers(self, keys: Iterable[str]) -> int:
        """Return how many of these keys have signed."""
        content = _CONTEXT + self.document.encode()
        return sum(self._is_signed_by(key, content) for key in set(keys))

    def _is_signed_by(self, key: str, content: bytes) -> bool:
        try:
            check(bytes.fromhex(key), bytes.fromhex(self.signatures.get(key, "")), content)
        except SignatureError:
            return False
        return True

    def signed_by(self, key: SigningKey) -> "SignedRoot":
        """Return it with one more signature."""
        signature = key.sign(_CONTEXT + self.document.encode()).hex()
        more: Mapping[str, str] = {**self.signatures, key.public.hex(): signature}
        return msgspec.structs.replace(self, signatures=dict(more))


def read_root(content: bytes) -> SignedRoot:
    """Read a signed list, not checked.

    Raises:
        MalformedMessageError: the bytes are none.
    """
    if len(content) > 2 * ROOT_BYTES_MAX:
        raise MalformedMessageError("a root document is shorter")
    try:
        return msgspec.json.decode(content, type=SignedRoot)
    except (msgspec.DecodeError, ValueError) as error:
        raise MalformedMessageError(f"no signed root document: {error}") from error


def write_root(signed: SignedRoot) -> bytes:
    """Return a signed list's bytes."""
    return msgspec.json.format(msgspec.json.encode(signed), indent=1)


def new_root(document: RootDocument) -> SignedRoot:
    """Return a list that nobody has signed yet."""
    return SignedRoot(document=msgspec.json.encode(document).decode())


def follow(before: RootDocument | None, signed: SignedRoot) -> RootDocument:
    """Return the next list, proven.

    Args:
        before: the list trusted so far; None takes a first one at its own word.

    Raises:
        MalformedMessageError: it is no list, or not the next one.
        SignatureError: too few keys of the one before, or of its own, have signed it.
    """
    root = signed.root()
    expected = before.version + 1 if before else root.version
    if root.version != expected:
        raise MalformedMessageError(f"root {root.version} does not follow {expected - 1}")
    for trusted in (before, root):
        if trusted is None:
            continue
        count = signed.signers(trusted.root_keys)
        if count < trusted.threshold:
            raise SignatureError(
                f"root {root.version} is signed by {count} of the {trusted.threshold} keys that"
                f" root {trusted.version} asks for"
            )
    return root

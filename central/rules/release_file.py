"""What goes from the centre to where the release key lies, and back: one file, signed there.

It holds the content of a release and its manifests, not signed yet. The first manifest announces
the release. The others name, under versions that rise, what tills may have to be sent to afterwards
without the key: what was good before, the release again, and so on. A till takes only what is
signed and newer, so going back is a manifest with a higher version, too. What has a moment has it
in each of them.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec

from central.errors import BadRequestError
from loyalty.bundle import Bundle
from loyalty.documents import decode
from loyalty.errors import DocumentError
from sync.codec import ENCODING, decompress
from sync.errors import MalformedMessageError, SignatureError
from sync.limits import BUNDLE_BYTES_MAX
from sync.messages import Manifest
from sync.signing import SigningKey, check_message, sign_message

_MARK: Final = b"tillside-release/1\n"

ROUNDS: Final = 3
"""So often tills can be sent away from a release and back to it with what is signed at once."""


class ReleaseFile(msgspec.Struct, frozen=True, kw_only=True):
    """A release before or after signing.

    Attributes:
        draft: title of the draft it is made of; empty where something published before goes out
            again.
        author, approver: of the draft.
        content: the bundle's bytes, zstd.
        manifests: the first announces `content`.
    """

    kind: Literal["draft", "again"]
    draft: str
    author: str
    approver: str
    content: bytes
    manifests: tuple[Manifest, ...]

    @property
    def announced(self) -> Manifest:
        """The manifest of the release itself."""
        return self.manifests[0]

    def bundle(self) -> Bundle:
        """Return what is to be released, checked against its name.

        Raises:
            BadRequestError: the content is damaged, or not what the manifest names.
        """
        plain = self.plain()
        try:
            return decode(Bundle, msgspec.json.decode(plain))
        except (msgspec.DecodeError, DocumentError) as error:
            raise BadRequestError("content", str(error)) from error

    def plain(self) -> bytes:
        """Return the bundle's bytes, checked against the manifest's name.

        Raises:
            BadRequestError: they are damaged, or others.
        """
        try:
            plain = decompress(self.content, ENCODING, bytes_max=BUNDLE_BYTES_MAX)
        except MalformedMessageError as error:
            raise BadRequestError("content", str(error)) from error
        if hashlib.sha256(plain).hexdigest() != self.announced.bundle:
            raise BadRequestError("content", "is not what the manifest names")
        return plain


def is_release_file(content: bytes) -> bool:
    """Say whether a file is meant to be one."""
    return content.startswith(_MARK)


def write_file(file: ReleaseFile) -> bytes:
    """Return a file's bytes."""
    return _MARK + msgspec.msgpack.encode(file)


def read_file(content: bytes) -> ReleaseFile:
    """Read a file.

    Raises:
        BadRequestError: it is none, or damaged.
    """
    try:
        file = msgspec.msgpack.decode(content.removeprefix(_MARK), type=ReleaseFile)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadRequestError("file", f"no release of `rules bundle build`: {error}") from error
    versions = [each.version for each in file.manifests]
    if not versions or versions != sorted(set(versions)):
        raise BadRequestError("manifests", "there must be some, and their versions must rise")
    return file


def spare_manifests(release: Manifest, good: Iterable[Manifest]) -> Iterator[Manifest]:
    """Yield the release's manifest and the spare ones after it, none of them signed.

    Args:
        good: of what tills may have to go back to, each with the moment it begins at.
    """
    yield msgspec.structs.replace(release, signature=b"")
    version = release.version
    itself = release.bundle, release.activate_at
    others = [each for each in good if (each.bundle, each.activate_at) != itself]
    for _ in range(ROUNDS):
        for each in (*others, release):
            version += 1
            yield msgspec.structs.replace(each, version=version, signature=b"")


def sign_file(file: ReleaseFile, key: SigningKey) -> ReleaseFile:
    """Return the file with every manifest signed.

    Raises:
        BadRequestError: the content is not what the manifest names.
    """
    file.plain()
    signed = tuple(sign_message(each, key) for each in file.manifests)
    return msgspec.structs.replace(file, manifests=signed)


def check_file(file: ReleaseFile, generations: Mapping[bytes, int]) -> int:
    """Return the generation of the key that signed all manifests.

    Args:
        generations: by public key, of the keys that may sign now.

    Raises:
        BadRequestError: no such key has.
    """
    for public, generation in generations.items():
        try:
            for each in file.manifests:
                check_message(each, public)
        except SignatureError:
            continue
        return generation
    raise BadRequestError("signature", "no release key of this centre has signed it: rules sign")

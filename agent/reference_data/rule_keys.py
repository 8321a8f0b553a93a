"""Who may sign this till's rules: the keys of its root document, or those it was enrolled with."""

from collections.abc import Iterable

from sync.errors import SignatureError
from sync.messages import Manifest
from sync.roots import RootDocument, follow, read_root
from sync.signing import check_message


class RuleKeys:
    """The keys, and how they change.

    Attributes:
        root: signed root document, bytes; empty before the first.
    """

    def __init__(self, enrolled: tuple[bytes, ...], root: bytes) -> None:
        """Begin with what is known.

        Args:
            enrolled: keys told at enrolment, for a centre that has no root document.
            root: document trusted so far; empty for none.
        """
        self._enrolled = enrolled
        self.root = root
        self._document: RootDocument | None = read_root(root).root() if root else None

    @property
    def root_version(self) -> int:
        """Version of the root document; 0 for none."""
        return self._document.version if self._document else 0

    def follow(self, roots: Iterable[bytes]) -> bool:
        """Trust the next root documents, each fully checked before the one after it is looked at.

        The first one of a till that was enrolled without is signed by a key of its enrolment, too.

        Returns:
            Whether another document is trusted now; the caller makes it durable.

        Raises:
            MalformedMessageError: one is none, or does not follow; those before it are trusted.
            SignatureError: one is signed by too few; those before it are trusted.
        """
        changed = False
        for content in roots:
            signed = read_root(content)
            if signed.root().version <= self.root_version:
                continue
            if self._document is None and not signed.signers(key.hex() for key in self._enrolled):
                raise SignatureError("no key of this till's enrolment has signed the first root")
            self._document = follow(self._document, signed)
            self.root, changed = content, True
        return changed

    def generation_of(self, manifest: Manifest) -> int:
        """Return the generation of the key that signed a manifest.

        Raises:
            SignatureError: no key that counts now has.
        """
        known = self._document.generations() if self._document else dict.fromkeys(self._enrolled, 0)
        for key, generation in known.items():
            try:
                check_message(manifest, key)
            except SignatureError:
                continue
            return generation
        raise SignatureError(f"bundle {manifest.bundle[:8]} is signed by no rule key of this till")

"""Merkle trees as of RFC 6962: a root over leaves, and the path that proves one of them.

Leaves and nodes are hashed with different prefixes, so that no node passes for a leaf.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

HASH_BYTES: Final = 32
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf's bytes."""
    return hashlib.sha256(_LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two hashes."""
    return hashlib.sha256(_NODE + left + right).digest()


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over hashes of leaves, in one pass; of none that of no bytes."""
    tree = GrowingTree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()


class GrowingTree:
    """The root of a tree that grows leaf by leaf; keeps as many hashes as the tree is high."""

    def __init__(self) -> None:
        self.leaves = 0
        self._full: list[bytes] = []  # roots of full subtrees, the largest first

    def add(self, leaf: bytes) -> None:
        """Add the hash of the next leaf."""
        self._full.append(leaf)
        self.leaves += 1
        count = self.leaves
        while count % 2 == 0:
            right = self._full.pop()
            self._full[-1] = node_hash(self._full[-1], right)
            count //= 2

    def root(self) -> bytes:
        """Return the root of the leaves so far."""
        if not self._full:
            return hashlib.sha256(b"").digest()
        root = self._full[-1]
        for left in reversed(self._full[:-1]):
            root = node_hash(left, root)
        return root


def path_of(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return the audit path of a leaf: the hashes beside its way to the root, from below.

    Args:
        leaves: hashes of all leaves.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"no leaf {index} of {len(leaves)}")
    path: list[bytes] = []
    row, at = list(leaves), index
    while len(row) > 1:
        # Built in rows, a leftover at the end goes up alone: the very tree of RFC 6962.
        beside = at ^ 1
        if beside < len(row):
            path.append(row[beside])
        row = [
            node_hash(row[n], row[n + 1]) if n + 1 < len(row) else row[n]
            for n in range(0, len(row), 2)
        ]
        at //= 2
    return path


def root_by_path(leaf: bytes, index: int, leaves: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root a leaf's path leads to; None where the path does not fit the tree.

    Args:
        leaf: its hash.
        leaves: how many the tree has.
    """
    if not 0 <= index < leaves:
        return None
    rest, root, at, last = list(path), leaf, index, leaves - 1
    while last:
        if at % 2 or at < last:
            if not rest:
                return None
            beside = rest.pop(0)
            root = node_hash(beside, root) if at % 2 else node_hash(root, beside)
        at, last = at // 2, last // 2
    return None if rest else root

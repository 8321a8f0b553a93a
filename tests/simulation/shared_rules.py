"""Bundles read and compiled once for all tills of a world: the same bytes are the same rules.

In life each till has a process of its own and compiles for itself; compiled rules are not changed
by calculating, and the centre shares them among its receipts in the same way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from unittest.mock import patch

from agent.reference_data import rule_books
from loyalty.bundle import Bundle
from loyalty.compilation import Rules, compile_bundle

_BUNDLES_MAX = 64


@contextmanager
def rules_compiled_once() -> Iterator[None]:
    """Share what tills read and compile for the length of the block."""
    read = lru_cache(maxsize=_BUNDLES_MAX)(rule_books.read_bundle)
    compiled: dict[str, tuple[Bundle, Rules]] = {}

    def compile_once(bundle: Bundle, bundle_hash: str) -> Rules:
        known = compiled.get(bundle_hash)
        if known is None or known[0] is not bundle:
            known = compiled[bundle_hash] = bundle, compile_bundle(bundle, bundle_hash)
            while len(compiled) > _BUNDLES_MAX:
                del compiled[next(iter(compiled))]
        return known[1]

    with patch.multiple(rule_books, read_bundle=read, compile_bundle=compile_once):
        yield

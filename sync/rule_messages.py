"""Parts of messages that are about rules: what a till says of its own, the way to newer ones."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from sync.limits import COUNT_MAX

_Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
_Name = Annotated[str, Meta(max_length=64)]

SLOW_MS: Final = 100
"""A calculation that takes a till longer is counted as slow."""


class RulesReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a till says of its rules, for the guards of releases.

    Attributes:
        root: version of the root document it trusts; 0 for none.
        generation, version: of the manifest it took last.
        waiting: hash of the bundle that waits for its moment.
        refused: hash of the bundle it refused last, after the self-test; `why` says what failed.
        calculated: totals worked out under the active bundle; `slow` of them took longer than
            `SLOW_MS`.
        dropped: receipts that were shown a total under it and then given up.
    """

    root: _Count = 0
    generation: _Count = 0
    version: _Count = 0
    waiting: _Name = ""
    refused: _Name = ""
    why: Annotated[str, Meta(max_length=200)] = ""
    calculated: _Count = 0
    slow: _Count = 0
    dropped: _Count = 0


NO_REPORT: Final = RulesReport()


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """The way from a bundle the till has to the one announced beside it (`sync.patches`).

    Attributes:
        base: SHA-256 of the bundle it begins from, hexadecimal.
        hash: SHA-256 of its bytes; what they make is named by the manifest.
    """

    base: Annotated[str, Meta(min_length=64, max_length=64)]
    hash: Annotated[bytes, Meta(min_length=32, max_length=32)]
    size_bytes: _Count

"""Rings: which tills a release is for. A release has some, added one by one.

Written `till:12`, `store:367,368`, `stores:5` (some five), `share:1%`, `region:north` or
`everywhere`.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Literal

from central.errors import BadRequestError

Kind = Literal["tills", "stores", "share", "regions", "everywhere"]

_PARTS: Final = 10_000
_DIGITS_MAX: Final = 18
_SHARE = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?%")
_FORMS: Final = "till:12, store:367,368, stores:5, share:1%, region:north or everywhere"


@dataclass(frozen=True, slots=True)
class Ring:
    """Some tills.

    Attributes:
        names: numbers of tills, stores or regions.
        basis_points: of all tills, a share of 1/10000 each; which ones differs by release.
    """

    kind: Kind
    names: tuple[str, ...] = ()
    basis_points: int = 0

    def holds(self, *, till_id: int, store_id: str, region: str, release: int) -> bool:
        """Say whether a till is in it."""
        match self.kind:
            case "tills":
                return str(till_id) in self.names
            case "stores":
                return store_id in self.names
            case "regions":
                return region in self.names
            case "share":
                return part_of(till_id, release) < self.basis_points
        return True

    def __str__(self) -> str:
        if self.kind == "everywhere":
            return self.kind
        if self.kind == "share":
            return f"share:{self.basis_points / 100:g}%"
        return f"{self.kind[:-1]}:{','.join(self.names)}"


EVERYWHERE: Final = Ring("everywhere")


@dataclass(frozen=True, slots=True)
class SomeStores:
    """A wish for a ring of so many stores; the centre picks them."""

    count: int


def part_of(till_id: int, release: int) -> int:
    """Return which of 10,000 parts of all tills a till is in, for one release."""
    digest = hashlib.sha256(f"tillside-ring/1 {till_id} {release}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _PARTS


def till_number(name: str) -> int:
    """Return a till's number as people write it; 0, which no till has, where it cannot be one."""
    is_number = name.isascii() and name.isdecimal() and len(name) <= _DIGITS_MAX
    return int(name) if is_number else 0


def read_ring(text: str) -> Ring | SomeStores:
    """Return a ring as people write it.

    Raises:
        BadRequestError: it is not written so.
    """
    kind, _, rest = text.strip().partition(":")
    names = tuple(sorted({name.strip() for name in rest.split(",") if name.strip()}))
    if "\0" in text:  # which no name in the database can hold
        names = ()
    if kind == "everywhere" and not rest:
        return EVERYWHERE
    if kind == "till" and names and all(map(till_number, names)):
        return Ring("tills", tuple(sorted(names, key=int)))
    if kind == "store" and names:
        return Ring("stores", names)
    if kind == "region" and names:
        return Ring("regions", names)
    if kind == "stores" and rest.isdecimal() and 0 < int(rest) <= _PARTS:
        return SomeStores(int(rest))
    if kind == "share" and (found := _SHARE.fullmatch(rest)):
        basis_points = int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0"))
        if 0 < basis_points <= _PARTS:
            return Ring("share", (), basis_points)
    raise BadRequestError("ring", f"{text!r} is no ring; write {_FORMS}")

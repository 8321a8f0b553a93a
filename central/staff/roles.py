"""The roles that calls ask for, and what each may do; of another word nobody could make use."""

from collections.abc import Iterable, Mapping
from typing import Final

from central.errors import BadRequestError

ROLES: Final[Mapping[str, str]] = {
    "author": "writes drafts of rules",
    "approver": "approves drafts of others, and moves, halts and resumes releases",
    "call_centre": "merges accounts, moves cards, gives points, gives up records that wait,"
    " sees people's data",
    "finance": "says the terms of adjustments, tiers and programmes",
    "privacy": "exports and erases people's data",
}


def require_roles(roles: Iterable[str]) -> None:
    """Refuse words that are no roles.

    Raises:
        BadRequestError: one is none; names those there are.
    """
    for role in roles:
        if role not in ROLES:
            raise BadRequestError("role", f"there is no role {role!r}; roles: {', '.join(ROLES)}")


def told_roles() -> str:
    """Return what each role may do, in one line."""
    return "; ".join(f"{name} {may}" for name, may in ROLES.items())

"""Proves the ledger from its entries: nothing stored may differ from what the postings say."""

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection

_SQL = load_queries("central.ledger", "queries.sql")

CHECKS = {
    "entries": "every entry's postings add up to zero",
    "accounts": "every account's totals equal its postings, its lots and its open grants",
    "lots": "every lot equals its postings and the grants that hold it",
    "grants": "every grant's outstanding points equal its lots",
    "receipts": "every receipt redeemed and earned in the ledger what it says",
    "returns": "no more came back of a line than was sold, and each return moved what it says",
    "pool": "the risk pool equals budgets, exposures and losses, and paid for everything",
    "tills": "every till holds in grants what is counted for it, and no more than it may",
    "counters": "every limit over all customers equals the rights to it, and is kept by them",
    "once": "no sale or return has two entries of a kind",
    "purchases": "every account's purchases are its receipts that have not come back whole",
    "equal": "every receipt recalculated here was equal byte for byte",
}


class CheckResult(msgspec.Struct, frozen=True):
    """One check and how many rows break it."""

    name: str
    says: str
    broken: int


class LedgerProof(msgspec.Struct, frozen=True, kw_only=True):
    """All checks, from one snapshot of the database."""

    balanced: bool
    checks: tuple[CheckResult, ...]
    figures: dict[str, int]


async def verify_ledger(connection: Connection) -> LedgerProof:
    """Run every check over the whole base, read-only, in one snapshot."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        checks = [
            CheckResult(name, says, await connection.fetchval(_SQL[f"verify_{name}"]))
            for name, says in CHECKS.items()
        ]
        figures = await connection.fetchrow(_SQL["verify_figures"])
    assert figures is not None
    return LedgerProof(
        balanced=all(not check.broken for check in checks),
        checks=tuple(checks),
        figures={name: int(value) for name, value in dict(figures).items()},
    )

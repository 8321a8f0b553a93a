"""Proves the ledger from its entries: nothing stored may differ from what the postings say."""

from collections.abc import Callable
from typing import Final

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.ledger.sealing import broken_seals

_SQL = load_queries("central.ledger", "queries.sql")

CHECKS = {
    "entries": "every entry's postings add up to zero, and no posting stands alone",
    "accounts": "every account's totals equal its postings, its lots and its open grants",
    "lots": "every lot equals its postings and the grants that hold it, and has an account",
    "grants": "every grant's outstanding points equal its lots",
    "receipts": "every receipt redeemed and earned in the ledger what it says",
    "records": "every receipt and every outcome has the record it came from",
    "returns": "no more came back of a line than was sold, and each return moved what it says",
    "pool": "the risk pool equals budgets, exposures and losses, and paid for everything",
    "tills": "every till holds in grants what is counted for it, and no more than it may",
    "counters": "every limit over all customers equals the rights to it, and is kept by them",
    "once": "no sale or return has two entries of a kind",
    "purchases": "every account's purchases are its receipts that have not come back whole",
    "equal": "every receipt recalculated here was equal byte for byte",
    "programmes": "cards, receipts and stores lead to wallets of their own programme alone",
    "merges": "what went over between accounts that were merged adds up to nothing",
    "partners": "partners' statements, day by day, are what receipts promised and the ledger moved",
    "seals": "every sealed day's entries lead to its root, signed and chained to the day before",
}

BY_ACCOUNT: Final = ("entries", "accounts", "lots", "grants", "once")
"""Checks that are made for some accounts at a time."""
ACCOUNTS_AT_ONCE: Final = 20_000
PATIENT_S: Final = 86_400
"""So long one statement may take where somebody waits for the proof and for nothing else.

Checks that are made at once go through tables that grow with receipts: from some ten million of
them on they take longer than the service gives any statement.
"""

Told = Callable[[str, int, int], None]
"""Told which check is at work, how many steps of it are done, and of how many."""


class CheckResult(msgspec.Struct, frozen=True):
    """One check and how many rows break it."""

    name: str
    says: str
    broken: int


class LedgerProof(msgspec.Struct, frozen=True, kw_only=True):
    """All checks, from one snapshot of the database.

    Attributes:
        rows: postings, accounts, lots, grants, moving and sealed entries that were added up.
    """

    balanced: bool
    checks: tuple[CheckResult, ...]
    figures: dict[str, int]
    rows: int = 0


async def take_time(connection: Connection) -> None:
    """Let the server take `PATIENT_S` for each statement of this transaction."""
    await connection.execute(f"set local statement_timeout = {PATIENT_S * 1_000}")


async def verify_ledger(
    connection: Connection,
    told: Told | None = None,
    *,
    with_seals: bool = True,
    is_patient: bool = False,
) -> LedgerProof:
    """Run every check over the whole base, read-only, in one snapshot.

    Nobody waits for it: it takes no locks, and goes over some accounts at a time.

    Args:
        with_seals: also read all entries that were ever sealed.
        is_patient: a statement may take `PATIENT_S`, not as long as the service's may; for people
            at a command, not for calls.
    """
    tell = told or _to_nobody
    rows = 0
    checks: list[CheckResult] = []
    # The connection gives up by itself, too, whatever the server thinks.
    patience_s = PATIENT_S if is_patient else None
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        if is_patient:
            await take_time(connection)
        ranges = await _ranges(connection, patience_s)
        for name, says in CHECKS.items():
            tell(name, 0, 1)
            if name == "seals":
                if not with_seals:
                    continue
                read: list[int] = []
                broken = await broken_seals(connection, read.append)
                rows += sum(read)
            elif name in BY_ACCOUNT:
                broken = 0
                for number, bounds in enumerate(ranges):
                    tell(name, number, len(ranges))
                    row = await connection.fetchrow(
                        _SQL[f"verify_{name}"], *bounds, timeout=patience_s
                    )
                    assert row is not None
                    broken += row["broken"]
                    rows += row["rows"]
            else:
                broken = await connection.fetchval(_SQL[f"verify_{name}"], timeout=patience_s)
            checks.append(CheckResult(name, says, broken))
        figures = await connection.fetchrow(_SQL["verify_figures"], timeout=patience_s)
    assert figures is not None
    return LedgerProof(
        balanced=all(not check.broken for check in checks),
        checks=tuple(checks),
        figures={name: int(value) for name, value in dict(figures).items()},
        rows=rows,
    )


async def _ranges(connection: Connection, patience_s: float | None) -> list[tuple[int, int]]:
    """Return bounds (after, up to) that together hold every number an account may have."""
    found = await connection.fetch(_SQL["verify_ranges"], ACCOUNTS_AT_ONCE, timeout=patience_s)
    ends = [row[0] for row in found]
    starts = [-(2**63), *ends]
    return list(zip(starts, [*ends, 2**63 - 1], strict=True))


def _to_nobody(_name: str, _done: int, _total: int) -> None:
    """Tell nobody."""

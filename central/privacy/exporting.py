"""Everything that is kept about one customer, as one JSON document."""

from typing import Final

import msgspec

from central.database.named_sql import load_queries
from central.privacy.customers import CustomerData, CustomerDesk, find_living
from central.staff.audit import note

_SQL = load_queries("central.privacy", "exporting.sql")

SECTIONS: Final = (
    "accounts", "card_hashes", "consents", "lots", "movements", "receipts", "returns", "counters",
    "stores", "offers_to_activate", "partners", "signed_in", "adjustments", "merges", "card_moves",
    "looked_at",
)  # fmt: skip


class CustomerExport(msgspec.Struct, frozen=True, kw_only=True):
    """All there is of a customer.

    Attributes:
        account_ids: the account, the customer's in other programmes, and those merged into them.
        persons: name, telephones, mails, by account.
        sections: JSON arrays by name, `SECTIONS`.
    """

    kind: str = "tillside-customer-export/1"
    exported_at_ms: int
    account_ids: tuple[int, ...]
    persons: dict[int, CustomerData]
    sections: dict[str, msgspec.Raw]


async def export_customer(desk: CustomerDesk, account_id: int, *, person: str) -> CustomerExport:
    """Return everything that is kept about a customer, from one snapshot.

    Args:
        person: who exports, for the audit.

    Raises:
        NotFoundError: there is no such account, or it was erased.
    """
    now_ms = desk.system.now_ms()
    async with (
        desk.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read"),
    ):
        account_id = await find_living(connection, account_id)
        rows = await connection.fetch(_SQL["aliases"], account_id)
        others = [row["account_id"] for row in rows if row["account_id"] != account_id]
        account_ids = (account_id, *others)
        persons: dict[int, CustomerData] = {}
        for each in account_ids:
            persons |= await desk.read_all(connection, each)
        sections = {
            name: msgspec.Raw((await connection.fetchval(_SQL[name], account_ids)).encode())
            for name in SECTIONS
        }
        await note(
            connection, person=person, action="customer.export", subject=f"account:{account_id}",
            detail={}, now_ms=now_ms,
        )  # fmt: skip
    return CustomerExport(
        exported_at_ms=now_ms, account_ids=account_ids, persons=persons, sections=sections
    )

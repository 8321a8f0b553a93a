"""The tills of a store without a line, with the product's own rights; and what a cache would do.

`Rights` is the agent's, over its own schema in memory: what it sets aside, in which order, and how
much risk it lets a receipt take, is the product. Modelled is who asks whom: the vault gives a part
of its grant to the till the customer stands at (`take_part`, as the store bus does), and a customer
with a telephone on the air brings a grant from the centre.
"""

from dataclasses import dataclass, field
from typing import Final

from agent.journal.database import Database
from agent.journal.receipts import ReceiptRow, Receipts
from agent.journal.rights import Rights
from agent.journal.schema import migration_files
from agent.till_service.till import TillSettings
from loyalty.account import LotPart
from loyalty.calculation import RedeemedPart
from sync.messages import Grant

TILLS: Final = 4
VAULT: Final = 0
_EVER_MS: Final = 2**60
_PRAGMAS: Final = ("pragma synchronous=off",)


@dataclass(slots=True)
class Served:
    """Points of one wish, by where they came from."""

    own_grant: int = 0
    vault: int = 0
    courier: int = 0
    risk: int = 0

    @property
    def total(self) -> int:
        """All that could be redeemed."""
        return self.own_grant + self.vault + self.courier + self.risk


class TillRights:
    """The rights of one till."""

    def __init__(self, risk_points: int, offline_points_max: int) -> None:
        self._database = Database(":memory:", pragmas=_PRAGMAS)
        self._database.migrate(migration_files())
        self.rights = Rights(self._database)
        self._receipts = Receipts(self._database)
        with self._database.transaction():
            self.rights.set_risk_total(risk_points)
            self.rights.limits.begin(offline_points_max)

    def receive(self, grant_id: str, account: int, points: int) -> None:
        """Hold a grant."""
        lot = LotPart(lot_id=account, points=points, expires_on="", restriction="")
        grant = Grant(
            grant_id=grant_id, purpose="grant", account_id=account, till_id=1,
            incarnation=bytes(8), session=bytes(16), points=points, lots=(lot,),
            not_after_ms=_EVER_MS,
        )  # fmt: skip
        with self._database.transaction():
            self.rights.receive(grant)

    def left(self, account: int) -> int:
        """Return what is left of an account's grants here."""
        return self.rights.points_left(account, "", 0)

    def give(self, grant_id: str, points: int) -> None:
        """Give a part of a grant away."""
        with self._database.transaction():
            self.rights.take_part(grant_id, points)

    def spend(self, receipt_id: str, account: int, points: int, *, risk_max: int) -> int:
        """Redeem on a receipt; returns how much of it was risk budget."""
        row = ReceiptRow(receipt_id, "reserved", 1, account, False, b"", b"", b"", 0)  # noqa: FBT003
        with self._database.transaction():
            self._receipts.put(row)
            self.rights.reserve(receipt_id, account, points, risk_points_max=risk_max, now_ms=0)
            parts = tuple(
                RedeemedPart(line_id="1", lot_id=lot_id, points=taken)
                for lot_id, taken in self._taken(receipt_id)
            )
            sources = self.rights.settle(receipt_id, parts)
        return sum(source.points for source in sources if source.kind == "risk")

    def _taken(self, receipt_id: str) -> list[tuple[int, int]]:
        found = []
        for held in self.rights.reserved(receipt_id):
            found += [(lot.lot_id, lot.points) for lot in held.lots]
            if not held.lots:
                found.append((0, held.points))
        return found

    def close(self) -> None:
        """Forget everything."""
        self._database.close()


@dataclass(slots=True)
class OfflineStore:
    """A store on the day its line is down.

    Attributes:
        grants: what its vault held of each account when the line went.
        cached: balance of each account as a till of a system with cached balances would know it,
            by till; filled when first asked for.
    """

    grants: dict[int, int]
    risk_points: int
    offline_points_max: int
    cached: list[dict[int, int]] = field(default_factory=lambda: [{} for _ in range(TILLS)])
    _tills: dict[int, TillRights] = field(default_factory=dict)
    _count: int = 0

    def till(self, number: int) -> TillRights:
        """Return a till; it is made when it is first needed."""
        if number not in self._tills:
            made = self._tills[number] = TillRights(self.risk_points, self.offline_points_max)
            if number == VAULT:
                for account, points in self.grants.items():
                    made.receive(f"grant {account}", account, points)
        return self._tills[number]

    def redeem(
        self, number: int, account: int, wanted: int, *, available: int, by_courier: int
    ) -> Served:
        """Serve a wish at a till in the product's order: own rights, vault, courier, risk.

        Args:
            available: points nobody held when the line went; the most risk may stand in for.
            by_courier: the most a telephone can bring; 0 without one.
        """
        self._count += 1
        served = Served()
        till, vault = self.till(number), self.till(VAULT)
        own = min(wanted, till.left(account))
        if number == VAULT:
            served.own_grant = own
        else:
            missing = wanted - own
            given = min(missing, vault.left(account))
            if given:
                vault.give(f"grant {account}", given)
                till.receive(f"transfer {self._count}", account, given)
            served.vault = own + given  # what came with an earlier transfer counts as the vault's
        missing = wanted - own - served.vault if number == VAULT else wanted - served.vault
        served.courier = min(missing, by_courier)
        if served.courier:
            till.receive(f"courier {self._count}", account, served.courier)
        most = min(TillSettings().risk_points_per_receipt_max, max(0, available - served.courier))
        served.risk = till.spend(f"receipt {self._count}", account, wanted, risk_max=most)
        return served

    def close(self) -> None:
        """Forget everything."""
        for till in self._tills.values():
            till.close()

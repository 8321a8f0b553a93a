"""Rights to spend points: what the till holds, what receipts have taken of it, and the risk budget.

Rule R1: a right is gone from here, durably, before anything says that it is (design: sync 4).
All changes happen inside a transaction of the journal.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

from agent.journal.database import Database
from agent.journal.offline_limits import OfflineLimits
from loyalty.account import LotPart, SpendRight
from loyalty.calculation import RedeemedPart
from loyalty.redemption import spending_order
from sync.messages import Grant
from sync.records import LotTaken, Source

RISK = ""
"""The grant id of the risk budget in reservations."""

_lots_decoder = msgspec.json.Decoder(list[LotPart])


def _lots(blob: object) -> list[LotPart]:
    assert isinstance(blob, bytes)
    return _lots_decoder.decode(blob)


@dataclass(frozen=True, slots=True)
class Reserved:
    """What a receipt has taken of one right."""

    grant_id: str
    purpose: str
    points: int
    lots: tuple[LotPart, ...]


class Rights:
    """The rights of the till's current incarnation.

    Attributes:
        are_suspended: none may be spent now, because the anchor cannot be written.
        limits: how much may be spent until the next HELLO.
    """

    def __init__(self, database: Database) -> None:
        self.are_suspended = False
        self.limits = OfflineLimits(database)
        self._database = database
        self._reserved: tuple[object, tuple[Reserved, ...]] = (None, ())

    def receive(self, grant: Grant) -> bool:
        """Keep a grant or authorisation; False when it is already here."""
        self._database.run(
            "insert into held_right values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
            grant.grant_id, grant.purpose, grant.account_id, grant.sale_key,
            grant.points, grant.points, msgspec.json.encode(grant.lots),
            grant.not_after_ms, grant.incarnation,
        )  # fmt: skip
        return self._database.changes() == 1

    def points_left(self, account_id: int, receipt_id: str, now_ms: int) -> int:
        """Return an account's points this receipt could still take here, without risk budget."""
        row = self._database.row(
            "select coalesce(sum(points_left) filter (where purpose = 'grant'), 0),"
            " coalesce(sum(points_left) filter (where purpose <> 'grant'), 0) from held_right"
            " where account_id = ? and not_after_ms > ?"
            " and (purpose = 'grant' and not ? or sale_key = ?)",
            account_id, now_ms, self.are_suspended, receipt_id,
        )  # fmt: skip
        assert row is not None
        return min(int(row[0]), self.limits.room()) + int(row[1])  # type: ignore[arg-type]

    def risk_points_left(self) -> int:
        """Return what is left of the risk budget."""
        row = self._database.row("select points_total - points_spent from risk_budget")
        assert row is not None
        return int(row[0])  # type: ignore[arg-type]

    def points_held(self) -> int:
        """Return the points of all rights held, for status."""
        row = self._database.row("select coalesce(sum(points_left), 0) from held_right")
        assert row is not None
        return int(row[0])  # type: ignore[arg-type]

    def is_held(self) -> bool:
        """Say whether anything is left to spend, or set aside for a receipt."""
        row = self._database.row(
            "select exists(select 1 from held_right where points_left > 0)"
            " or exists(select 1 from reservation)"
            " or exists(select 1 from risk_budget where points_total > points_spent)"
        )
        assert row is not None
        return bool(row[0])

    def set_risk_total(self, points_total: int) -> None:
        """Take the sum of all budget ever given to this incarnation; it only grows."""
        self._database.run(
            "update risk_budget set points_total = max(points_total, ?)", points_total
        )

    def reserve(
        self, receipt_id: str, account_id: int, points: int, *, risk_points_max: int, now_ms: int
    ) -> int:
        """Take up to `points` for a receipt: its own authorisations first, then grants, then risk.

        Args:
            risk_points_max: the most to take from the risk budget.

        Returns:
            How many points were taken.
        """
        missing, room = points, self.limits.room()
        rows = self._database.rows(
            "select grant_id, points_left, lots, purpose from held_right"
            " where account_id = ? and not_after_ms > ? and points_left > 0"
            " and (purpose = 'grant' and not ? or sale_key = ?)"
            " order by purpose, not_after_ms, grant_id",
            account_id, now_ms, self.are_suspended, receipt_id,
        )  # fmt: skip
        for grant_id, left, lots, purpose in rows:
            assert isinstance(grant_id, str)
            assert isinstance(left, int)
            is_grant = purpose == "grant"
            if taken := min(left, missing, room if is_grant else missing):
                room -= taken if is_grant else 0
                kept, given = _take(_lots(lots), taken)
                self._set_left(grant_id, left - taken, kept)
                self._add_reservation(receipt_id, Reserved(grant_id, "", taken, tuple(given)))
                missing -= taken
        risk_left = 0 if self.are_suspended else min(self.risk_points_left(), room)
        if not self.limits.risk_is_open(account_id, others_gave=missing < points):
            risk_left = 0
        if risk := min(missing, risk_points_max, risk_left):
            self._database.run("update risk_budget set points_spent = points_spent + ?", risk)
            self._add_reservation(receipt_id, Reserved(RISK, "risk", risk, ()))
            missing -= risk
        return points - missing

    def _add_reservation(self, receipt_id: str, more: Reserved) -> None:
        held = {r.grant_id: r for r in self.reserved(receipt_id)}.get(more.grant_id)
        points = more.points + (held.points if held else 0)
        lots = _merged((*(held.lots if held else ()), *more.lots))
        self._database.run(
            "insert or replace into reservation values (?, ?, ?, ?)",
            receipt_id, more.grant_id, points, msgspec.json.encode(lots),
        )  # fmt: skip

    def reserved(self, receipt_id: str) -> list[Reserved]:
        """Return what a receipt has taken, in a fixed order."""
        asked = (receipt_id, self._database.edition())
        if self._reserved[0] != asked:
            self._reserved = (asked, tuple(self._read_reserved(receipt_id)))
        return list(self._reserved[1])

    def _read_reserved(self, receipt_id: str) -> list[Reserved]:
        rows = self._database.rows(
            "select r.grant_id, coalesce(h.purpose, 'risk'), r.points, r.lots"
            " from reservation r left join held_right h using (grant_id)"
            " where r.receipt_id = ? order by r.grant_id = '', r.grant_id",
            receipt_id,
        )
        return [Reserved(str(g), str(p), int(n), tuple(_lots(lots))) for g, p, n, lots in rows]  # type: ignore[arg-type]

    def settle(self, receipt_id: str, redeemed: Iterable[RedeemedPart]) -> tuple[Source, ...]:
        """Turn a receipt's reservation into the sources of its record; what was not used goes back.

        Args:
            redeemed: points by lot as calculated under `spend_right` of the same reservation.
        """
        wanted: dict[int, int] = {}
        for part in redeemed:
            wanted[part.lot_id] = wanted.get(part.lot_id, 0) + part.points
        sources: list[Source] = []
        for held in self.reserved(receipt_id):
            used, back = _used(held, wanted)
            if held.grant_id == RISK:
                risk = min(held.points, wanted.get(0, 0))
                wanted[0] = wanted.get(0, 0) - risk
                self._give_back_risk(held.points - risk)
                if risk:
                    sources.append(Source(kind="risk", points=risk))
                continue
            self._give_back(held.grant_id, back)
            if used:
                kind: Literal["grant", "authorisation"] = (
                    "grant" if held.purpose == "grant" else "authorisation"
                )
                points = sum(lot.points for lot in used)
                sources.append(
                    Source(kind=kind, grant_id=held.grant_id, points=points, lots=tuple(used))
                )
        assert not any(wanted.values()), "redeemed points that no reservation covers"
        self._forget(receipt_id)
        self.limits.count_receipt(receipt_id, sources)
        return tuple(sources)

    def unreserve(self, receipt_id: str) -> None:
        """Put back what a receipt has taken; its authorisations stay for its next try."""
        for held in self.reserved(receipt_id):
            if held.grant_id == RISK:
                self._give_back_risk(held.points)
            else:
                self._give_back(held.grant_id, list(held.lots))
        self._database.run("delete from reservation where receipt_id = ?", receipt_id)

    def release(self, receipt_id: str) -> None:
        """Put back what a receipt has taken and forget its authorisations."""
        self.unreserve(receipt_id)
        self._forget(receipt_id)

    def _forget(self, receipt_id: str) -> None:
        self._database.run("delete from reservation where receipt_id = ?", receipt_id)
        self._database.run("delete from courier_ask where receipt_id = ?", receipt_id)
        # An authorisation is good for its receipt alone;
        # the receipt's record says how much of it was used.
        self._database.run(
            "delete from held_right where purpose = 'authorisation' and sale_key = ?", receipt_id
        )
        self._database.run(
            "delete from held_right"
            " where points_left = 0 and grant_id not in (select grant_id from reservation)"
        )

    def give_up(self, grant_id: str) -> tuple[int, tuple[LotTaken, ...]]:
        """Take the residue of a grant out of the rights; returns it for the record that says so."""
        row = self._database.row(
            "select points_left, lots from held_right where grant_id = ?", grant_id
        )
        if row is None:
            return 0, ()
        assert isinstance(row[0], int)
        self._set_left(grant_id, 0, [])
        return row[0], tuple(LotTaken(lot.lot_id, lot.points) for lot in _lots(row[1]))

    def take_part(self, grant_id: str, points: int) -> tuple[LotTaken, ...]:
        """Take points nobody has reserved out of a right for good, those that end first."""
        row = self._database.row(
            "select points_left, lots from held_right where grant_id = ?", grant_id
        )
        assert row is not None, "points are taken of a right that is held"
        assert isinstance(row[0], int)
        kept, taken = _take(_lots(row[1]), points)
        self._set_left(grant_id, row[0] - points, kept)
        self.limits.count_given(points)
        return tuple(LotTaken(lot.lot_id, lot.points) for lot in taken)

    def expired(self, now_ms: int) -> list[str]:
        """Return grants that may not be spent any more and still have points."""
        rows = self._database.rows(
            "select grant_id from held_right"
            " where not_after_ms <= ? and points_left > 0 and purpose = 'grant'",
            now_ms,
        )
        return [str(row[0]) for row in rows]

    def held_grants(self) -> list[str]:
        """Return the grants that still have points nobody has reserved."""
        rows = self._database.rows(
            "select grant_id from held_right where points_left > 0 and purpose = 'grant'"
        )
        return [str(row[0]) for row in rows]

    def accounts_held(self, after: int, accounts_max: int) -> list[int]:
        """Return the next accounts, by number, of which grants here have points nobody reserved."""
        rows = self._database.rows(
            "select distinct account_id from held_right"
            " where account_id > ? and points_left > 0 and purpose = 'grant'"
            " order by account_id limit ?",
            after, accounts_max,
        )  # fmt: skip
        return [int(row[0]) for row in rows]  # type: ignore[arg-type]

    def withdraw(self) -> None:
        """Give up what is not reserved, within the same incarnation.

        The budget stays counted, so that what the centre ever gave is never spent again.
        """
        self._database.run("update held_right set points_left = 0, lots = ?", b"[]")
        self._database.run("delete from courier_ask")
        self._database.run("update risk_budget set points_total = points_spent")

    def void_all(self) -> None:
        """Forget every right: the incarnation they were given to is over (sync 4.2, amnesia)."""
        self._database.run("delete from courier_ask")
        self._database.run("delete from held_right")
        self._database.run("delete from reservation")
        self._database.run("update risk_budget set points_total = 0, points_spent = 0")

    def _set_left(self, grant_id: str, points_left: int, lots: list[LotPart]) -> None:
        self._database.run(
            "update held_right set points_left = ?, lots = ? where grant_id = ?",
            points_left, msgspec.json.encode(lots), grant_id,
        )  # fmt: skip

    def _give_back(self, grant_id: str, lots: list[LotPart]) -> None:
        if not lots:
            return
        row = self._database.row(
            "select points_left, lots from held_right where grant_id = ?", grant_id
        )
        assert row is not None, "a reserved right stays until its receipt is finished"
        assert isinstance(row[0], int)
        back = sum(lot.points for lot in lots)
        self._set_left(grant_id, row[0] + back, _merged((*_lots(row[1]), *lots)))

    def _give_back_risk(self, points: int) -> None:
        if points:
            self._database.run("update risk_budget set points_spent = points_spent - ?", points)


def spend_right(reserved: Iterable[Reserved]) -> SpendRight:
    """Return what a reservation lets a calculation redeem."""
    held = list(reserved)
    lots = _merged(lot for r in held for lot in r.lots)
    return SpendRight(points=sum(r.points for r in held), lots=tuple(lots))


def _used(held: Reserved, wanted: dict[int, int]) -> tuple[list[LotTaken], list[LotPart]]:
    """Take what is wanted by lot out of a reserved right; returns what was used, what is left."""
    used: list[LotTaken] = []
    back: list[LotPart] = []
    for lot in held.lots:
        points = min(lot.points, wanted.get(lot.lot_id, 0))
        wanted[lot.lot_id] = wanted.get(lot.lot_id, 0) - points
        if points:
            used.append(LotTaken(lot.lot_id, points))
        if lot.points > points:
            back.append(_with_points(lot, lot.points - points))
    return used, back


def _with_points(lot: LotPart, points: int) -> LotPart:
    return LotPart(
        lot_id=lot.lot_id, points=points, expires_on=lot.expires_on, restriction=lot.restriction
    )


def _merged(lots: Iterable[LotPart]) -> list[LotPart]:
    by_id: dict[int, LotPart] = {}
    for lot in lots:
        held = by_id.get(lot.lot_id)
        by_id[lot.lot_id] = _with_points(lot, lot.points + (held.points if held else 0))
    return spending_order(list(by_id.values()))


def _take(lots: list[LotPart], points: int) -> tuple[list[LotPart], list[LotPart]]:
    """Split lots into what is kept and what is taken, in spending order."""
    kept: list[LotPart] = []
    taken: list[LotPart] = []
    for lot in spending_order(lots):
        part = min(lot.points, points)
        points -= part
        if part:
            taken.append(_with_points(lot, part))
        if lot.points > part:
            kept.append(_with_points(lot, lot.points - part))
    assert not points, "a right has fewer lots than points"
    return kept, taken

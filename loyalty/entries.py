"""What the ledger writes for each business event: postings that add up to zero (design: centre 2).

Ledger accounts: `member` (one account's points, by lot), `debt` (points a member owes), `issued`,
`redeemed`, `taken_back`, `losses` (the risk pool's), `presumed` (points of rights nobody came back
for, counted as spent), `merged` (on their way between two accounts) and `adjusted` (given or taken
by a person). A posting raises or lowers one of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

LedgerAccount = Literal[
    "member",
    "debt",
    "issued",
    "redeemed",
    "taken_back",
    "losses",
    "presumed",
    "merged",
    "adjusted",
]


@dataclass(frozen=True, slots=True)
class Posting:
    """One leg of an entry; `points` is signed and never zero."""

    ledger_account: LedgerAccount
    points: int
    lot_id: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of one account. The postings add up to zero."""

    kind: str
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        assert sum(posting.points for posting in self.postings) == 0, (
            f"entry {self.kind} does not balance"
        )
        assert all(posting.points for posting in self.postings), (
            f"entry {self.kind} has an empty leg"
        )


def earned(lots: Iterable[tuple[int, int]]) -> Entry:
    """Return the entry for new lots, (lot id, points) each."""
    legs = tuple(Posting("member", points, lot_id) for lot_id, points in lots)
    return Entry("earn", (*legs, Posting("issued", -sum(leg.points for leg in legs))))


def repaid(lots: Iterable[tuple[int, int]]) -> Entry:
    """Return the entry for points taken out of lots, (lot id, points) each, to repay a debt."""
    taken = tuple(Posting("member", -points, lot_id) for lot_id, points in lots)
    return Entry("repay", (*taken, Posting("debt", -sum(leg.points for leg in taken))))


def redeemed(lots: Iterable[tuple[int, int]], *, lost: int = 0) -> Entry:
    """Return the entry for redeemed points.

    Args:
        lots: (lot id, points) taken out of the member's lots.
        lost: points of goods that no lot covered; the risk pool pays.
    """
    taken = [Posting("member", -points, lot_id) for lot_id, points in lots]
    total = lost - sum(leg.points for leg in taken)
    if lost:
        taken.append(Posting("losses", -lost))
    return Entry("redeem", (*taken, Posting("redeemed", total)))


def given_back(lots: Iterable[tuple[int, int]], *, recovered: int = 0) -> Entry:
    """Return the entry for redeemed points that go back to their lots.

    Args:
        recovered: points that the risk pool had paid and gets back.
    """
    legs = [Posting("member", points, lot_id) for lot_id, points in lots]
    total = recovered + sum(leg.points for leg in legs)
    if recovered:
        legs.append(Posting("losses", recovered))
    return Entry("give_back", (*legs, Posting("redeemed", -total)))


def taken_back(lots: Iterable[tuple[int, int]], *, debt: int = 0) -> Entry:
    """Return the entry for earned points that a return takes back.

    Args:
        debt: points the member no longer has; owed, repaid by later earnings.
    """
    legs = [Posting("member", -points, lot_id) for lot_id, points in lots]
    if debt:
        legs.append(Posting("debt", -debt))
    return Entry("take_back", (*legs, Posting("taken_back", -sum(leg.points for leg in legs))))


def given_up(points: int) -> Entry:
    """Return the entry for an exposure that was closed: its points count as spent and lost."""
    return Entry("give_up", (Posting("losses", -points), Posting("presumed", points)))


def found(points: int) -> Entry:
    """Return the entry for points given up of which records told after all."""
    return Entry("found", (Posting("losses", points), Posting("presumed", -points)))


def gone_over(lots: Iterable[tuple[int, int]], *, debt: int = 0) -> Entry:
    """Return the entry of the account that lots, (lot id, points) each, and a debt go away from."""
    return _over(lots, debt=debt, sign=-1)


def come_over(lots: Iterable[tuple[int, int]], *, debt: int = 0) -> Entry:
    """Return the entry of the account that lots, (lot id, points) each, and a debt come to."""
    return _over(lots, debt=debt, sign=1)


def _over(lots: Iterable[tuple[int, int]], *, debt: int, sign: int) -> Entry:
    legs = [Posting("member", sign * points, lot_id) for lot_id, points in lots]
    if debt:
        legs.append(Posting("debt", -sign * debt))
    if rest := sum(leg.points for leg in legs):
        legs.append(Posting("merged", -rest))
    return Entry("come_over" if sign > 0 else "go_over", tuple(legs))


def adjusted(lots: Iterable[tuple[int, int]], *, debt: int = 0) -> Entry:
    """Return the entry for points a person gave to lots or took, (lot id, points) each.

    Args:
        debt: points the member owed and need not give any more.
    """
    legs = [Posting("member", points, lot_id) for lot_id, points in lots]
    if debt:
        legs.append(Posting("debt", debt))
    if rest := sum(leg.points for leg in legs):
        legs.append(Posting("adjusted", -rest))
    return Entry("adjust", tuple(legs))

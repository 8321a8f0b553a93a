"""What the till knows of a customer's account, and what it may spend and give."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from loyalty.errors import AmountError
from loyalty.limits import POINTS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class LotPart:
    """Points of one lot.

    Attributes:
        lot_id: the centre's number of the lot; 0 where no lot is known (risk budget).
        points: 1 to `POINTS_MAX`.
        expires_on: first local day on which the points no longer count, `YYYY-MM-DD`;
            empty = never.
        restriction: product group the points may pay for; empty = everything.
    """

    lot_id: int
    points: int
    expires_on: str = ""
    restriction: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.points <= POINTS_MAX:
            raise AmountError(f"points of a lot part must be 1 to {POINTS_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSnapshot:
    """An account as last seen; never a right to spend (design: sync 0.1).

    Attributes:
        identified: a card was presented, whether or not the account behind it is known here.
        account_id: 0 when the account is not known here.
        points: what may be shown as balance; informs, decides nothing.
        in_birthday_window: a flag, so that the date itself need not be known.
        personal_offers: ids of the offers made to this customer.
        purchases: receipts posted so far; the present one is the next.
        counters: by name: uses of limited offers and codes, stamps, points redeemed a day
            (`counters`).
        last_used: by the same names, when and where a limit was last used up, as people say it.
        version: rises with every change at the centre.
    """

    identified: bool = False
    account_id: int = 0
    tier: str = ""
    segments: tuple[str, ...] = ()
    points: int = 0
    in_birthday_window: bool = False
    personal_offers: tuple[str, ...] = ()
    purchases: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    last_used: Mapping[str, str] = field(default_factory=dict)
    version: int = 0


NOBODY = AccountSnapshot()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendRight:
    """How many points may be spent on this receipt, already set aside by somebody.

    Attributes:
        points: the ceiling; at least the sum of `lots`.
            What exceeds the lots has no lot (risk budget).
        lots: the lots set aside, in any order.
    """

    points: int = 0
    lots: tuple[LotPart, ...] = ()

    def __post_init__(self) -> None:
        if not sum(lot.points for lot in self.lots) <= self.points <= POINTS_MAX:
            raise AmountError("a spend right covers at least its lots")


NO_RIGHT = SpendRight()


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeemRequest:
    """How many points the customer wants to redeem: none, an amount, or as many as possible."""

    points: int = 0
    as_many_as_possible: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.points <= POINTS_MAX:
            raise AmountError(f"points to redeem must be 0 to {POINTS_MAX}")


NO_REDEMPTION = RedeemRequest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What this till may still give of what is limited over all customers (design: sync 1.2, 4.8).

    As with points, a till gives from what was set aside for it, never from what it has heard of.

    Attributes:
        left: uses, minor units or points by shared counter (`counters`); one that is missing has
            nothing left.
        used_codes: codes known to be used up, and when and where, as people say it.
    """

    left: Mapping[str, int] = field(default_factory=dict)
    used_codes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not all(0 <= left <= POINTS_MAX for left in self.left.values()):
            raise AmountError(f"what is left of an allowance must be 0 to {POINTS_MAX}")


NO_ALLOWANCE = Allowance()

"""What must be there for an offer to act: a tree of `all / any / not`."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from loyalty.errors import AmountError
from loyalty.limits import AMOUNT_MINOR_MAX
from loyalty.offers.lines import EveryLine, LineMatch

Basis = Literal["gross", "running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsLines:
    """Matching lines reach a quantity (thousandths), an amount, a number of distinct SKUs.

    Attributes:
        basis: what the amount counts: the register's prices, or what offers that act earlier left.
            A running basis stands directly in `needs` or in an `all` there.
    """

    kind: ClassVar[str] = "lines"
    match: LineMatch = field(default_factory=EveryLine)
    quantity_min: int = 0
    amount_minor_min: int = 0
    distinct_min: int = 0
    basis: Basis = "gross"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsCode:
    """One of these codes, or a code that begins so, was presented.

    Attributes:
        uses_max: receipts on which one code may be used; 1 = a code for once, 0 = no limit. A till
            needs an allowance for the code (`account.Allowance`).
        uses_per_account_max: the same for the receipts of one customer.
    """

    kind: ClassVar[str] = "code"
    one_of: tuple[str, ...] = ()
    prefix: str = ""
    uses_max: int = 0
    uses_per_account_max: int = 0

    def __post_init__(self) -> None:
        if bool(self.one_of) == bool(self.prefix):
            raise AmountError("a code needs either one_of or prefix")
        most = (self.uses_max, self.uses_per_account_max)
        if min(most) < 0 or max(most) > AMOUNT_MINOR_MAX:
            raise AmountError(f"maximums must be 0 to {AMOUNT_MINOR_MAX}")

    @property
    def is_counted(self) -> bool:
        """How often a code is used is limited."""
        return bool(self.uses_max or self.uses_per_account_max)

    def accepts(self, code: str) -> bool:
        """Say whether this code is one of them."""
        return code in self.one_of or bool(self.prefix and code.startswith(self.prefix))


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsTender:
    """The customer means to pay with one of these kinds."""

    kind: ClassVar[str] = "tender"
    one_of: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.one_of:
            raise AmountError("one_of must name at least one kind of payment")


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsAll:
    """Every part holds; with no part it always holds."""

    kind: ClassVar[str] = "all"
    of: tuple["Need", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsAny:
    """At least one part holds."""

    kind: ClassVar[str] = "any"
    of: tuple["Need", ...]

    def __post_init__(self) -> None:
        if not self.of:
            raise AmountError("of must have at least one part")


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsNone:
    """No part holds."""

    kind: ClassVar[str] = "not"
    of: tuple["Need", ...]


Need = NeedsLines | NeedsCode | NeedsTender | NeedsAll | NeedsAny | NeedsNone

"""What registers printed and tried: the witness that no journal, network or centre can change."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperLine:
    """One printed line: its quantity and its points.

    Attributes:
        quantity: thousandths.
        earned: by offer.
    """

    quantity: int
    redeemed: int
    earned: dict[str, int]

    def points_gone(self, quantity: int) -> int:
        """Return what an account has more when so much of the line has come back."""
        # A share of each figure, rounded up: written here anew, the auditor judges the product's.
        taken = sum(-(-points * quantity // self.quantity) for points in self.earned.values())
        return -(-self.redeemed * quantity // self.quantity) - taken


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperSale:
    """A printed receipt.

    Attributes:
        account: whose card was shown; 0 for nobody.
        counted: what it adds to counters of the account.
    """

    key: str
    till: str
    account: int
    gross_minor: int
    paid_minor: int
    redeemed: int
    earned: int
    counted: dict[str, int]
    lines: dict[str, PaperLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperReturn:
    """A printed return.

    Attributes:
        lines: thousandths by line; 0 = all that was left, where the till did not know the receipt.
        figures: what the till showed: money, points back, points taken; none where it could not.
    """

    key: str
    original: str
    till: str
    lines: dict[str, int]
    figures: tuple[int, int, int] | None


@dataclass(slots=True)
class Paper:
    """Everything the registers of a world know.

    Attributes:
        sales, returns: printed, by key.
        tried: every sale key a till was asked to complete, and by which till.
        touched: every key a till was asked anything about.
        given_up: keys that were cancelled, the till confirming it.
        destroyed: keys whose only record was in a journal that was destroyed.
        survivors: keys whose journal was destroyed and of which a copy has to arrive.
    """

    sales: dict[str, PaperSale] = field(default_factory=dict)
    returns: dict[str, PaperReturn] = field(default_factory=dict)
    tried: dict[str, str] = field(default_factory=dict)
    touched: dict[str, str] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    destroyed: set[str] = field(default_factory=set)
    survivors: set[str] = field(default_factory=set)

    def machine_of(self, key: str) -> str:
        """Return the name of the machine that was asked about a receipt or a return."""
        printed = self.returns.get(key)
        return printed.till if printed else self.touched.get(key, "")

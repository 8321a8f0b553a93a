"""What registers printed and tried: the witness that no journal, network or centre can change."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperLine:
    """Points of one printed line."""

    redeemed: int
    earned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperSale:
    """A printed receipt.

    Attributes:
        account: whose card was shown; 0 for nobody.
    """

    key: str
    till: str
    account: int
    gross_minor: int
    paid_minor: int
    redeemed: int
    earned: int
    lines: dict[str, PaperLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperReturn:
    """A printed return."""

    key: str
    original: str
    till: str
    lines: tuple[str, ...]


@dataclass(slots=True)
class Paper:
    """Everything the registers of a world know.

    Attributes:
        sales, returns: printed, by key.
        tried: every sale key a till was asked to complete, and by which till.
        touched: every key a till was asked anything about.
        given_up: keys that were cancelled, the till confirming it.
        destroyed: keys whose only record was in a journal that was destroyed.
    """

    sales: dict[str, PaperSale] = field(default_factory=dict)
    returns: dict[str, PaperReturn] = field(default_factory=dict)
    tried: dict[str, str] = field(default_factory=dict)
    touched: dict[str, str] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    destroyed: set[str] = field(default_factory=set)

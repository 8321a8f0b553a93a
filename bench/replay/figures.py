"""What is counted while stores are replayed; everything can be added up over stores."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from bench.grocery.compare import Cause


class Prices(StrEnum):
    """What a basket's card prices rest on; a line is card-priced when its holder paid less."""

    REGULAR = "regular"
    OTHERS = "others"
    ITSELF = "itself"


@dataclass(slots=True)
class Tally:
    """Baskets beside what was paid.

    Attributes:
        causes: baskets that differ, by cause; with `equal` they sum up to `baskets`.
        paid_minor: what was really paid.
        off_minor: sum of the differences, each without its sign.
        net_minor: sum of the differences; above zero = calculated more than was paid.
    """

    baskets: int = 0
    equal: int = 0
    paid_minor: int = 0
    off_minor: int = 0
    net_minor: int = 0
    causes: Counter[Cause] = field(default_factory=Counter)

    def count(self, paid_minor: int, difference_minor: int, cause: Cause | None) -> None:
        """Count a basket; `cause` is None when the totals are equal."""
        self.baskets += 1
        self.paid_minor += paid_minor
        self.off_minor += abs(difference_minor)
        self.net_minor += difference_minor
        if cause is None:
            self.equal += 1
        else:
            self.causes[cause] += 1

    def add(self, other: "Tally") -> None:
        """Add another store's."""
        self.baskets += other.baskets
        self.equal += other.equal
        self.paid_minor += other.paid_minor
        self.off_minor += other.off_minor
        self.net_minor += other.net_minor
        self.causes += other.causes

    def document(self) -> dict[str, object]:
        """Return it for the report."""
        return {
            "baskets": self.baskets,
            "equal": self.equal,
            "equal_percent": percent(self.equal, self.baskets),
            "causes": {cause: self.causes[cause] for cause in Cause if self.causes[cause]},
            "paid_minor": self.paid_minor,
            "off_minor": self.off_minor,
            "net_minor": self.net_minor,
        }


@dataclass(slots=True)
class Lines:
    """Lines of one kind, and what other baskets of the store and week say about them.

    Attributes:
        supported: another basket of the window holds the product.
        foretold: of these, the price the others show is the one that was paid.
    """

    lines: int = 0
    supported: int = 0
    foretold: int = 0

    def count(self, *, supported: bool, foretold: bool) -> None:
        """Count a line."""
        self.lines += 1
        self.supported += supported
        self.foretold += supported and foretold

    def add(self, other: "Lines") -> None:
        """Add another store's."""
        self.lines += other.lines
        self.supported += other.supported
        self.foretold += other.foretold

    def document(self) -> dict[str, object]:
        """Return it for the report."""
        return {
            "lines": self.lines,
            "supported": self.supported,
            "foretold": self.foretold,
            "foretold_percent": percent(self.foretold, self.supported),
        }


@dataclass(slots=True)
class Checks:
    """What must hold for every calculation, whatever the prices are.

    Attributes:
        calculations: of whole baskets, the foretold ones and the reordered ones among them.
        raised: what the engine raised, with the basket.
        unsound: sums that do not hold, with the basket.
        reordered: baskets calculated again with their lines in another order.
        order_matters: of these, baskets whose bytes changed.
    """

    calculations: int = 0
    unproven: int = 0
    reordered: int = 0
    raised: list[str] = field(default_factory=list)
    unsound: list[str] = field(default_factory=list)
    order_matters: list[str] = field(default_factory=list)

    @property
    def all_hold(self) -> bool:
        """Whether all of them hold."""
        return not (self.unproven or self.raised or self.unsound or self.order_matters)

    def add(self, other: "Checks") -> None:
        """Add another store's."""
        self.calculations += other.calculations
        self.unproven += other.unproven
        self.reordered += other.reordered
        self.raised += other.raised
        self.unsound += other.unsound
        self.order_matters += other.order_matters

    def document(self) -> dict[str, object]:
        """Return it for the report."""
        return {
            "calculations": self.calculations,
            "unproven": self.unproven,
            "reordered": self.reordered,
            "raised": self.raised,
            "unsound": self.unsound,
            "order_matters": self.order_matters,
        }


@dataclass(frozen=True, slots=True, order=True)
class Slowest:
    """The basket that took most processor time; the first of a day also builds the day's index."""

    took_ms: float = 0.0
    store: str = ""
    basket_id: int = 0
    lines: int = 0
    first_of_the_day: bool = False

    def document(self) -> dict[str, object]:
        """Return it for the report."""
        return {
            "ms": round(self.took_ms, 2),
            "store": self.store,
            "basket": self.basket_id,
            "lines": self.lines,
            "first_of_the_day": self.first_of_the_day,
        }


@dataclass(slots=True, kw_only=True)
class Figures:
    """Everything that is counted of one store, or of several added up.

    Attributes:
        offers: in the bundles, one bundle a store.
        with_store_prices: all baskets, with the card prices read from all baskets of the store.
        with_codes: of these, those with a coupon.
        by_prices: the same baskets, by what their card prices rest on.
        foretold: baskets calculated with prices from other baskets alone, by the same kinds.
        foretold_but_fuel: of those whose card prices rest on others, the baskets without fuel.
        foretold_wholly: of all foretold, those whose every line another basket of the week holds.
        not_foretold: baskets left out there, by reason.
        seconds: of work, not of the clock on the wall.
    """

    stores: tuple[str, ...] = ()
    lines: int = 0
    offers: int = 0
    with_store_prices: Tally = field(default_factory=Tally)
    with_codes: Tally = field(default_factory=Tally)
    by_prices: dict[Prices, Tally] = field(default_factory=lambda: _tallies(Prices))
    foretold: dict[Prices, Tally] = field(
        default_factory=lambda: _tallies((Prices.REGULAR, Prices.OTHERS))
    )
    foretold_but_fuel: Tally = field(default_factory=Tally)
    foretold_wholly: Tally = field(default_factory=Tally)
    not_foretold: Counter[str] = field(default_factory=Counter)
    card_lines: Lines = field(default_factory=Lines)
    regular_lines: Lines = field(default_factory=Lines)
    checks: Checks = field(default_factory=Checks)
    slowest: Slowest = field(default_factory=Slowest)
    seconds: float = 0.0

    def add(self, other: "Figures") -> None:
        """Add another store's."""
        self.stores += other.stores
        self.lines += other.lines
        self.offers += other.offers
        self.with_store_prices.add(other.with_store_prices)
        self.with_codes.add(other.with_codes)
        for own, others in ((self.by_prices, other.by_prices), (self.foretold, other.foretold)):
            for kind, tally in own.items():
                tally.add(others[kind])
        self.foretold_but_fuel.add(other.foretold_but_fuel)
        self.foretold_wholly.add(other.foretold_wholly)
        self.not_foretold += other.not_foretold
        self.card_lines.add(other.card_lines)
        self.regular_lines.add(other.regular_lines)
        self.checks.add(other.checks)
        self.slowest = max(self.slowest, other.slowest)
        self.seconds += other.seconds

    def document(self) -> dict[str, object]:
        """Return it for the report, without times."""
        return {
            "stores": len(self.stores),
            "baskets": self.with_store_prices.baskets,
            "lines": self.lines,
            "offers": self.offers,
            "with_store_prices": self.with_store_prices.document(),
            "with_codes": self.with_codes.document(),
            "by_prices": {kind: tally.document() for kind, tally in self.by_prices.items()},
            "foretold": {kind: tally.document() for kind, tally in self.foretold.items()},
            "foretold_but_fuel": self.foretold_but_fuel.document(),
            "foretold_wholly": self.foretold_wholly.document(),
            "not_foretold": dict(sorted(self.not_foretold.items())),
            "card_lines": self.card_lines.document(),
            "regular_lines": self.regular_lines.document(),
            "checks": self.checks.document(),
        }


def percent(part: int, whole: int) -> float:
    """Return the share with two decimals; 0 of nothing."""
    return round(100 * part / whole, 2) if whole else 0.0


def _tallies(kinds: Iterable[Prices]) -> dict[Prices, Tally]:
    return {kind: Tally() for kind in kinds}

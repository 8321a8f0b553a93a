"""A bundle compiled once into an index from line attributes to the offers that could match.

The cost of a receipt then grows with the offers that touch it, not with the offers that exist
(design: receipt 9).
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from loyalty.basket import BasketLine, Place
from loyalty.bundle import Bundle, Product, Programme
from loyalty.checking.errors import errors_of
from loyalty.checking.wording import say_finding
from loyalty.conditions import Check, RunningNeed, compile_need, running_needs
from loyalty.coupons import counted_needs
from loyalty.errors import RuleSetError
from loyalty.matching import LineView, Matcher, compile_match, depends_on_line, nodes_above
from loyalty.offers import (
    AllOf,
    AnyOf,
    Attribute,
    BuyGet,
    CardPrice,
    EveryLine,
    EveryNth,
    Gift,
    IssuedCoupon,
    LineMatch,
    Message,
    Need,
    NeedsAll,
    NeedsCode,
    NForM,
    Offer,
    PartnerPoints,
    PartsSet,
    Percent,
    PointsMultiplier,
    PointsPerItem,
    PointsPerMoney,
    PointsPerReceipt,
    Reward,
    SameLines,
    Stamps,
    Steps,
    When,
    only_qualifies,
)

Key = tuple[str, str]
"""Attribute and value; an attribute with a slash behind it is asked for by a node of its tree."""

_PLACES_CACHED_MAX = 64
_VIEWS_CACHED_MAX = 50_000
_NO_PRODUCT = Product()
POINTS = (PointsPerMoney, PointsPerItem, PointsPerReceipt, PointsMultiplier)
HAND_OUTS = (Gift, IssuedCoupon, Message, PartnerPoints)
CLAIMING = (NForM, EveryNth, BuyGet, PartsSet)
"""Rewards that use units in sets."""


@dataclass(slots=True, eq=False)
class CompiledOffer:
    """An offer with what is asked of it at every receipt worked out once.

    Attributes:
        rank: its place in the acting order of the whole bundle.
        barred: a product barred from this takes no part; empty for hand-outs.
        parts: matchers of a set's parts, or of buy_get's other lines; else empty.
        wholesale: it acts on every line of the basket.
        need: what must be there; None when nothing.
        running: needs that are asked when the offer acts.
        guarded: somebody, some time or something must be there for it to act.
        claiming: it uses units in sets.
        selects: not all units of its lines are made cheaper.
        limited: it has a maximum or a least price of its own.
        special: it asks for more than its lines: parts, running needs, stamps, codes, allowances.
        endangered: other offers may keep it from acting, or what they take off may.
        on_initial: it works on the register's prices.
        group: offers of one group exclude each other; empty = none.
        tied: a rule may tie it to other offers: its group, its units, what endangers it.
        keeps_state: its sets, steps or allowance are asked for again, for conditions and reasons.
        plain_rate_ppm: all it does is to take this rate off its lines together; else 0.
        counts: some counter rises when it acts.
        on_reduced: it acts on lines whose price the register has reduced by itself.
        excludes: some offer may not act beside it.
        qualifies: its points count to the tier alone.
        shared: it has limits over all tills.
        codes, code_prefixes: one of them must be presented; none when none must.
    """

    offer: Offer
    rank: int
    barred: str
    match: Matcher
    parts: tuple[Matcher, ...]
    wholesale: bool
    by_line: bool
    need: Check | None
    running: tuple[RunningNeed, ...]
    guarded: bool
    endangered: bool
    special: bool
    claiming: bool
    selects: bool
    limited: bool
    on_initial: bool
    group: str
    tied: bool
    keeps_state: bool
    plain_rate_ppm: int
    counts: bool
    on_reduced: bool
    excludes: bool
    qualifies: bool
    shared: bool
    codes: tuple[str, ...]
    code_prefixes: tuple[str, ...]


_Valid = tuple[str, str, CompiledOffer]
"""An offer after the day it begins on and the moment it ends; empty = open."""
_ByCode = tuple[dict[str, list[CompiledOffer]], dict[str, list[CompiledOffer]]]
"""Offers by a code, and by what a code begins with, that opens them."""


@dataclass(slots=True)
class _SkuView(LineView):
    touching: tuple[CompiledOffer, ...] = ()
    by_line: bool = False


@dataclass(slots=True)
class PlaceIndex:
    """Offers that can apply at one place on some local days, found by what lines carry.

    Attributes:
        wholesale: those that act on every line; `anywhere`: those no line attribute can rule out.
        coded: those that a code has to open.
        asked: names of attributes that some offer asks for, in order; of `trees` by a node.
        shared: offers with limits over all customers.
    """

    bundle: Bundle
    groups_of: dict[str, tuple[str, ...]]
    wholesale: list[CompiledOffer] = field(default_factory=list)
    anywhere: list[CompiledOffer] = field(default_factory=list)
    by_key: dict[Key, list[CompiledOffer]] = field(default_factory=dict)
    coded: list[CompiledOffer] = field(default_factory=list)
    asked: dict[str, None] = field(default_factory=dict)
    trees: set[str] = field(default_factory=set)
    shared: list[CompiledOffer] = field(default_factory=list)
    _views: dict[str, _SkuView] = field(default_factory=dict)
    _codes: _ByCode | None = None

    def add(self, compiled: CompiledOffer) -> None:
        """Put an offer where lines or codes find it."""
        if compiled.shared:
            self.shared.append(compiled)
        if compiled.codes or compiled.code_prefixes:
            self.coded.append(compiled)
        elif compiled.wholesale:
            self.wholesale.append(compiled)
        elif keys := _keys(compiled.offer):
            for key in keys:
                self.by_key.setdefault(key, []).append(compiled)
            for name in sorted({name for name, _ in keys}):
                if name.endswith("/"):
                    self.trees.add(name[:-1])
                self.asked[name] = None
        else:
            self.anywhere.append(compiled)

    def view(self, line: BasketLine) -> _SkuView:
        """Return what offers see of a line, and the offers whose lines it is among."""
        if line.attributes or line.gtin or line.department or line.category or line.brand:
            return self._make_view(line)
        view = self._views.get(line.sku)
        if view is None:
            view = self._make_view(line)
            if not view.by_line:
                if len(self._views) >= _VIEWS_CACHED_MAX:
                    self._views.clear()
                self._views[line.sku] = view
                view.source = None
        return view

    def offers_for_codes(self, codes: Iterable[str]) -> list[CompiledOffer]:
        """Return the offers that some of these codes open, each once."""
        found: dict[int, CompiledOffer] = {}
        for code in codes if self.coded else ():
            # Chains print codes by the thousand and few baskets have one: put in order when asked.
            if self._codes is None:
                self._codes = _by_code(self.coded)
            exact, prefixes = self._codes
            for compiled in exact.get(code, ()):
                found[compiled.rank] = compiled
            for length in range(1, len(code) + 1) if prefixes else ():
                for compiled in prefixes.get(code[:length], ()):
                    found[compiled.rank] = compiled
        return list(found.values())

    def _make_view(self, line: BasketLine) -> _SkuView:
        product = self.bundle.catalogue.get(line.sku, _NO_PRODUCT)
        attributes = {
            **line.attributes,
            "sku": line.sku,
            "gtin": line.gtin,
            "department": line.department or product.department,
            "category": line.category or product.category,
            "brand": line.brand or product.brand,
        }
        view = _SkuView(product, attributes, self.groups_of.get(line.sku, ()), line)
        touching = []
        for compiled in dict.fromkeys(self._candidates(view)):
            parts = compiled.parts
            if compiled.match(view) or (parts and any(part(view) for part in parts)):
                touching.append(compiled)
            view.by_line = view.by_line or compiled.by_line
        view.touching = tuple(touching)
        return view

    def _candidates(self, view: LineView) -> list[CompiledOffer]:
        """Return every offer the line may be about; some more than once."""
        found = self.anywhere[:]
        by_key, attributes = self.by_key, view.attributes
        for name in self.asked:
            if value := attributes.get(name):
                found += by_key.get((name, value), ())
        for name in self.trees:
            for node in nodes_above(attributes.get(name, "")):
                found += by_key.get((name + "/", node), ())
        for group in view.groups:
            found += by_key.get(("group", group), ())
        return found


@dataclass(slots=True)
class Rules:
    """A compiled bundle. Build it with `compile_bundle`; it is not changed by calculating.

    Attributes:
        bundle_hash: hexadecimal SHA-256 of the bundle's bytes.
        groups_of: product groups of each SKU.
        compiled: all offers in acting order.
        asked: what of a place some offer asks for.
        indexes_kept: how many indexes of places are kept.
    """

    bundle: Bundle
    bundle_hash: str
    groups_of: dict[str, tuple[str, ...]]
    offers_by_id: dict[str, Offer]
    compiled: tuple[CompiledOffer, ...]
    asked: tuple[str, ...]
    indexes_kept: int
    _valid: tuple[_Valid, ...] = field(init=False)
    _starts: list[str] = field(init=False)
    _ends: list[str] = field(init=False)
    _places: dict[tuple[str, ...], tuple[_Valid, ...]] = field(default_factory=dict)
    _indexes: dict[tuple[tuple[str, ...], int, int], PlaceIndex] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Put in order the moments from which other offers are valid than before."""
        self._valid = tuple(
            (each.offer.when.starts[:10], each.offer.when.until, each) for each in self.compiled
        )
        self._starts = sorted(first for first, _, _ in self._valid if first)
        self._ends = sorted(until for _, until, _ in self._valid if until)

    def on(self, place: Place, date: str, last: str = "") -> PlaceIndex:
        """Return the index of offers that can apply at this place on this local day.

        Those used last are kept: a till builds its index when an offer begins or ends. Days between
        which none does, and places that no offer tells apart, share one, so that the centre does
        not build one for every till and day.

        Args:
            last: where the clock leaves it open which day it is, the last one; else empty.
        """
        last = last or date
        midnight = f"{date}T00:00:00"
        key = (
            tuple(getattr(place, name) for name in self.asked),
            bisect_right(self._starts, last),
            bisect_right(self._ends, midnight),
        )
        index = self._indexes.pop(key, None)
        if index is None:
            index = PlaceIndex(self.bundle, self.groups_of)
            for first, until, compiled in self._here(key[0], place):
                # Texts of days and moments order like the times they name;
                # a day is touched unless wholly outside.
                if first <= last and (not until or until > midnight):
                    index.add(compiled)
            if len(self._indexes) >= self.indexes_kept:
                self._indexes.pop(next(iter(self._indexes)))
        self._indexes[key] = index
        return index

    def _here(self, key: tuple[str, ...], place: Place) -> tuple[_Valid, ...]:
        here = self._places.get(key)
        if here is None:
            here = tuple(valid for valid in self._valid if _is_here(valid[2].offer, place))
            if len(self._places) >= _PLACES_CACHED_MAX:
                self._places.pop(next(iter(self._places)))
            self._places[key] = here
        return here


def compile_bundle(bundle: Bundle, bundle_hash: str, *, indexes_kept: int = 4) -> Rules:
    """Compile a bundle.

    Args:
        indexes_kept: indexes of places that stay in memory; a till needs few, the centre one for
            each place that offers tell apart.

    Raises:
        RuleSetError: the bundle has an error (`checking.errors`); a compiled one never fails at a
            till, and ignores nothing its offers say.
    """
    if errors := errors_of(bundle):
        said = [say_finding(error, "en") for error in errors]
        raise RuleSetError("\n".join(f"{each.problem}; {each.remedy}" for each in said))
    groups_of: dict[str, list[str]] = {}
    for name in sorted(bundle.groups):
        for sku in bundle.groups[name]:
            groups_of.setdefault(sku, []).append(name)
    in_order = sorted(bundle.offers, key=acting_order)
    named = {other for offer in in_order for other in offer.combines.not_with}
    return Rules(
        bundle,
        bundle_hash,
        {sku: tuple(names) for sku, names in groups_of.items()},
        {offer.offer_id: offer for offer in bundle.offers},
        tuple(
            _compile(offer, rank, bundle.programme, is_named=offer.offer_id in named)
            for rank, offer in enumerate(in_order)
        ),
        tuple(name for name, asked in _WHERE.items() if any(map(asked, bundle.offers))),
        indexes_kept,
    )


def acting_order(offer: Offer) -> tuple[int, int, str]:
    """Return the key of the order in which offers act (receipt 4)."""
    return (offer.combines.order, -offer.priority, offer.offer_id)


def _compile(offer: Offer, rank: int, programme: Programme, *, is_named: bool) -> CompiledOffer:
    gives, limits = offer.gives, offer.limits
    parts = parts_of(offer)
    points = isinstance(gives, POINTS)
    # With parts other lines are found too, for a card price only those it names.
    own = None if parts or isinstance(gives, CardPrice) else offer.lines
    need = None if offer.needs == NeedsAll() else compile_need(offer.needs, own)
    running = tuple(running_needs(offer.needs))
    of_account = bool(limits.uses_per_account_max) or limits.account.is_set
    who = offer.who.asks_for_customer or points or of_account
    counts_more = (
        isinstance(gives, Stamps)
        or limits.are_shared
        or any(True for _ in counted_needs(offer.needs))
    )
    selects = bool(limits.units_max or limits.units_per_line_max or limits.once_per_code)
    limited = bool(limits.discount_minor_max or limits.unit_price_minor_min)
    on_running = isinstance(gives, Steps) and gives.by == "amount" and gives.basis == "running"
    endangered = bool(offer.combines.not_with or running) or on_running
    codes, code_prefixes = _codes_needed(offer.needs)
    return CompiledOffer(
        offer=offer,
        rank=rank,
        barred="" if isinstance(gives, HAND_OUTS) else "earn" if points else "discount",
        match=_match(offer),
        parts=tuple(compile_match(part) for part in parts),
        wholesale=isinstance(offer.lines, EveryLine)
        and not parts
        and not isinstance(gives, CardPrice),
        by_line=any(depends_on_line(match) for match in (offer.lines, *parts)),
        need=need,
        running=running,
        guarded=who or need is not None or limits.are_shared or offer.when != When(),
        endangered=endangered,
        special=bool(parts or running) or counts_more or limits.once_per_code,
        claiming=isinstance(gives, CLAIMING),
        selects=selects,
        limited=limited,
        on_initial=offer.combines.base == "initial",
        group=offer.combines.group,
        tied=bool(offer.combines.group) or isinstance(gives, CLAIMING) or endangered,
        keeps_state=isinstance(gives, (*CLAIMING, Steps)) or limits.are_shared,
        plain_rate_ppm=0 if selects or limited or running else _plain_rate_ppm(gives),
        counts=counts_more or bool(limits.uses_per_account_max),
        on_reduced=offer.combines.on_reduced
        and (programme.receipt.on_reduced or isinstance(gives, (*POINTS, *HAND_OUTS))),
        excludes=is_named or bool(offer.combines.not_with),
        qualifies=only_qualifies(gives),
        shared=limits.are_shared,
        codes=codes,
        code_prefixes=code_prefixes,
    )


def _plain_rate_ppm(gives: Reward) -> int:
    if isinstance(gives, Percent) and gives.units.which == "all" and gives.rounding == "offer":
        return gives.rate_ppm
    return 0


def parts_of(offer: Offer) -> tuple[LineMatch, ...]:
    """Return the lines of a set's parts, or of what `buy_get` gives beside what is bought."""
    gives = offer.gives
    if isinstance(gives, PartsSet):
        if isinstance(offer.lines, EveryLine):
            return tuple(part.lines for part in gives.parts)
        return tuple(AllOf(of=(offer.lines, part.lines)) for part in gives.parts)
    if isinstance(gives, BuyGet) and not isinstance(gives.get_lines, SameLines):
        return (gives.get_lines,)
    return ()


def _match(offer: Offer) -> Matcher:
    match = compile_match(offer.lines)
    if isinstance(offer.gives, CardPrice):
        prices = offer.gives.prices
        if isinstance(offer.lines, EveryLine):
            return lambda view: view.attributes["sku"] in prices
        return lambda view: view.attributes["sku"] in prices and match(view)
    return match


_WHERE: dict[str, Callable[[Offer], object]] = {
    "store": lambda offer: offer.where.stores,
    "region": lambda offer: offer.where.regions,
    "banner": lambda offer: offer.where.banners,
    "till": lambda offer: offer.where.tills,
    "channel": lambda offer: offer.where.channels,
}


def _is_here(offer: Offer, place: Place) -> bool:
    where = offer.where
    return (
        (not where.stores or place.store in where.stores)
        and (not where.regions or place.region in where.regions)
        and (not where.banners or place.banner in where.banners)
        and (not where.tills or place.till in where.tills)
        and (not where.channels or place.channel in where.channels)
    )


def _by_code(coded: Iterable[CompiledOffer]) -> _ByCode:
    exact: dict[str, list[CompiledOffer]] = {}
    prefixes: dict[str, list[CompiledOffer]] = {}
    for compiled in coded:
        for code in compiled.codes:
            exact.setdefault(code, []).append(compiled)
        for prefix in compiled.code_prefixes:
            prefixes.setdefault(prefix, []).append(compiled)
    return exact, prefixes


def _keys(offer: Offer) -> set[Key]:
    """Return keys one of which every line carries that the offer is about; none: any line may."""
    if isinstance(offer.gives, CardPrice):
        return {("sku", sku) for sku in offer.gives.prices}
    parts = parts_of(offer)
    matched = parts if isinstance(offer.gives, PartsSet) else (offer.lines, *parts)
    each = [line_keys(match) for match in matched]
    return set().union(*each) if all(each) else set()


def _codes_needed(need: Need) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return codes and code prefixes one of which must be presented; none when none must."""
    if isinstance(need, NeedsCode):
        return need.one_of, (need.prefix,) if need.prefix else ()
    if isinstance(need, NeedsAll):
        for part in need.of:
            if (found := _codes_needed(part)) != ((), ()):
                return found
    return (), ()


def line_keys(match: LineMatch) -> set[Key]:
    """Return keys one of which every matching line carries; an empty set means there are none."""
    if isinstance(match, Attribute):
        if match.beneath:
            return {(match.name + "/", node) for node in match.beneath}
        return {(match.name, value) for value in match.one_of}
    if isinstance(match, AllOf):
        choices = [keys for part in match.of if (keys := line_keys(part))]
        return min(choices, key=lambda keys: (len(keys), sorted(keys)), default=set())
    if isinstance(match, AnyOf):
        parts = [line_keys(part) for part in match.of]
        return set().union(*parts) if all(parts) else set()
    return set()

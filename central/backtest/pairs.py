"""A bundle without and with a change, compiled; kept for the receipts that follow."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from central.backtest.change import RuleChange
from loyalty.bundle import EMPTY_BUNDLE, Bundle
from loyalty.compilation import Rules, compile_bundle
from loyalty.coupons import counted_needs
from loyalty.errors import LoyaltyError
from loyalty.offers import Offer

if TYPE_CHECKING:
    from central.backtest.touching import Touch

_INDEXES_KEPT: Final = 128
"""Stores come in turn: with fewer indexes each would build its own anew."""
_PAIRS_KEPT: Final = 4

ReadBundle = Callable[[str], Bundle]
"""Finds a bundle by its hash; raises LookupError where there is none that can be read."""


@dataclass(slots=True)
class RulePair:
    """The rules of a receipt without and with the change.

    Attributes:
        changed_without, changed_with: of each, the offers alone that are not in the other.
        changed_offers: their ids.
        changed_skus: products of which the two say something else.
        is_all_changed: the programme's terms are others.
        draws: some changed offer or its code is limited over all customers.
        touches: what is known of the changed offers that are valid together (`touching`).
    """

    without: Rules
    with_change: Rules
    changed_without: Rules
    changed_with: Rules
    changed_offers: frozenset[str]
    changed_skus: frozenset[str]
    is_all_changed: bool
    draws: bool
    touches: "dict[frozenset[int], Touch]" = field(default_factory=dict)


def make_pair(bundle: Bundle, bundle_hash: str, change: RuleChange) -> RulePair:
    """Compile a bundle without and with a change.

    Both carry the bundle's hash: what they calculate the same is then the same to the byte.

    Raises:
        RuleSetError: one of them contradicts itself.
        AmountError: the bundle gets too large.
    """
    changed = change.made_to(bundle)
    without = compile_bundle(bundle, bundle_hash, indexes_kept=_INDEXES_KEPT)
    with_change = compile_bundle(changed, bundle_hash, indexes_kept=_INDEXES_KEPT)
    offers = {offer.offer_id for offer in change.offers} | change.removed_offers
    of_before, of_after = without.offers_by_id, with_change.offers_by_id
    others = frozenset(each for each in offers if of_before.get(each) != of_after.get(each))
    return RulePair(
        without=without,
        with_change=with_change,
        changed_without=_alone(without, others),
        changed_with=_alone(with_change, others),
        changed_offers=others,
        changed_skus=_changed_skus(without, with_change),
        is_all_changed=bundle.programme != changed.programme,
        draws=any(offer.limits.are_shared or _counts_codes(offer) for offer in change.offers),
    )


def _counts_codes(offer: Offer) -> bool:
    return any(True for _ in counted_needs(offer.needs))


def _alone(rules: Rules, offer_ids: frozenset[str]) -> Rules:
    """Return rules of some of the offers, found by lines and codes as all of them are."""
    return Rules(
        bundle=rules.bundle,
        bundle_hash=rules.bundle_hash,
        groups_of=rules.groups_of,
        offers_by_id=rules.offers_by_id,
        compiled=tuple(each for each in rules.compiled if each.offer.offer_id in offer_ids),
        asked=rules.asked,
        indexes_kept=rules.indexes_kept,
    )


def _changed_skus(before: Rules, after: Rules) -> frozenset[str]:
    products, others = before.bundle.catalogue, after.bundle.catalogue
    found: set[str] = set()
    if products is not others:
        found.update(
            sku for sku in products.keys() | others.keys() if products.get(sku) != others.get(sku)
        )
    if before.bundle.groups is not after.bundle.groups:
        found.update(
            sku
            for sku in before.groups_of.keys() | after.groups_of.keys()
            if before.groups_of.get(sku) != after.groups_of.get(sku)
        )
    return frozenset(found)


class Pairs:
    """The pairs of one change, each made when a receipt first asks for it."""

    def __init__(self, change: RuleChange, read: ReadBundle) -> None:
        """Take the change, and where bundles are found."""
        self._change = change
        self._read = read
        self._known: OrderedDict[str, RulePair | str] = OrderedDict()

    def of(self, bundle_hash: str) -> RulePair | str:
        """Return the pair of a bundle, or why there is none.

        The empty hash names the rules a till sells under before its first bundle.
        """
        found = self._known.get(bundle_hash)
        if found is None:
            found = self._known[bundle_hash] = self._made(bundle_hash)
            if len(self._known) > _PAIRS_KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(bundle_hash)
        return found

    def _made(self, bundle_hash: str) -> RulePair | str:
        try:
            bundle = self._read(bundle_hash) if bundle_hash else EMPTY_BUNDLE
            if self._change.rules_of not in ("", bundle.programme.programme_id):
                return "its rules are another programme's"
            return make_pair(bundle, bundle_hash, self._change)
        except LookupError:
            return "its bundle is not in the archive, or cannot be read"
        except LoyaltyError as error:
            return f"its bundle does not go with the draft: {error}".partition("\n")[0]

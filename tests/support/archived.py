"""Receipts as the archive keeps them, and changes of rules to calculate them with."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from central.backtest.change import RuleChange
from central.backtest.columns import PostedReceipt, table_of
from central.backtest.pairs import Pairs
from loyalty.bundle import Bundle
from loyalty.compilation import Rules
from loyalty.offers import Offer
from sync.records import CalculationInputs
from tests.support.offer_strategies import mostly, one_of
from tests.support.receipt_strategies import Receipt, bundles, programmes

HASH = "0a"


def posted_of(
    receipt: Receipt, rules: Rules, *, key: str = "s1", equal: bool = True
) -> PostedReceipt:
    """Return a receipt as the centre has it, printed by these rules."""
    return PostedReceipt(
        sale_key=key,
        inputs=CalculationInputs(
            bundle=rules.bundle_hash,
            basket=receipt.basket,
            moment=receipt.moment,
            place=receipt.place,
            account=receipt.account,
            request=receipt.request,
            right=receipt.right,
        ),
        printed=receipt.calculate(rules),
        equal=equal,
    )


def batch_of(posted: Sequence[PostedReceipt]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return receipts as one batch of columns."""
    return table_of(posted).combine_chunks().to_batches()[0]


def pairs_of(bundle: Bundle, change: RuleChange) -> Pairs:
    """Return the pairs of one bundle, whatever it is asked for by."""
    return Pairs(change, lambda _: bundle)


@st.composite
def changes(draw: st.DrawFn, bundle: Bundle) -> RuleChange:
    """Draw a change of a bundle: offers put in, replaced, taken away; sometimes goods or terms."""
    # Mostly one thing at a time: what several offers do together, one of them touches anyway.
    most = draw(one_of(1, 1, 1, 3))
    others = draw(st.permutations(draw(bundles()).offers))[: draw(st.integers(0, most))]
    put = [
        replace(one, offer_id=draw(one_of(f"n{number}", one.offer_id)))
        for number, one in enumerate(others)
    ]
    kept: dict[str, Offer] = {one.offer_id: one for one in put}
    own = [one.offer_id for one in bundle.offers]
    gone = draw(st.permutations(own))[: draw(st.integers(0, most - len(kept)))]
    return RuleChange(
        offers=tuple(kept.values()),
        removed_offers=frozenset(gone) - kept.keys(),
        groups=draw(mostly({}, {"dairy": ("a", "d")}, {"new": ("c",)})),
        removed_products=frozenset(draw(mostly((), ("a",)))),
        programme=draw(st.integers(0, 7).flatmap(lambda n: st.none() if n else programmes)),
    )

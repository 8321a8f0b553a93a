"""Tries rules on this till before they count: receipts made up from the catalogue, and its own."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from loyalty.account import AccountSnapshot
from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.calculate import calculate
from loyalty.compilation import Rules
from loyalty.errors import LoyaltyError
from sync.records import CalculationInputs

SAMPLES: Final = 20
"""Own receipts a bundle is tried on, the last ones."""
TRY_MS_MAX: Final = 2_000
"""One receipt that takes longer refuses the bundle: nobody waits so long at a till."""
_BASKETS: Final = 8
_LINES: Final = 25


class SelfTestError(LoyaltyError):
    """The rules fail on this till; says on what."""


def self_test(
    rules: Rules,
    place: Place,
    samples: Sequence[CalculationInputs],
    awake_ms: Callable[[], int],
) -> None:
    """Calculate receipts; they must come out sound and in time.

    Args:
        samples: receipts of this till, to be calculated as if sold anew.

    Raises:
        SelfTestError: one did not.
    """
    for name, basket, account, moment in _cases(rules, samples):
        begun_ms = awake_ms()
        try:
            calculate(basket, rules, moment=moment, place=place, account=account)
        except Exception as error:
            # Whatever fails here would fail with a customer waiting.
            raise SelfTestError(f"{name}: {type(error).__name__} {error}"[:160]) from error
        if (took_ms := awake_ms() - begun_ms) > TRY_MS_MAX:
            raise SelfTestError(f"{name} takes {took_ms} ms")


def _cases(
    rules: Rules, samples: Iterable[CalculationInputs]
) -> Iterator[tuple[str, Basket, AccountSnapshot, Moment]]:
    known = AccountSnapshot(identified=True)
    for number, basket in enumerate(_baskets(rules)):
        yield f"made-up receipt {number}", basket, known, Moment(local="2000-01-01T12:00:00")
    for number, each in enumerate(samples):
        yield f"own receipt {number}", each.basket, each.account, each.moment


def _baskets(rules: Rules) -> Iterator[Basket]:
    skus = list(rules.bundle.catalogue) or ["0"]
    step = max(1, len(skus) // (_BASKETS * _LINES))
    for some in islice(_by(skus[::step]), _BASKETS):
        yield Basket(
            lines=tuple(
                BasketLine(line_id=str(i), sku=sku, quantity=3_000, gross_minor=300)
                for i, sku in enumerate(some)
            )
        )


def _by(skus: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(skus), _LINES):
        yield skus[start : start + _LINES]

"""What is wrong with an offer by itself: it contradicts itself, limits nothing, gives too much."""

from collections.abc import Iterator, Sequence
from typing import Final

from loyalty.checking.contradictions import (
    Groups,
    line_can_match,
    needs_can_hold,
    skus_confined,
)
from loyalty.checking.finding import Code, Finding
from loyalty.checking.kinds import POINTS, reward_kind
from loyalty.checking.structure import matches_of, needs_lines_of
from loyalty.checking.windows import window_of
from loyalty.limits import PPM
from loyalty.offers import (
    AllOf,
    AmountEach,
    AmountOff,
    BuyGet,
    CardPrice,
    ClaimingReward,
    EveryLine,
    EveryNth,
    FixedPrice,
    Limits,
    LineMatch,
    Need,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NForM,
    Off,
    Offer,
    PartsSet,
    Percent,
    PercentOff,
    SharedLimit,
    Stamps,
    Steps,
    UnitRates,
    When,
    Who,
)

_PRICES: Final = (Percent, AmountOff, FixedPrice, CardPrice, UnitRates, Steps, Stamps)
_SETS: Final = (NForM, EveryNth, BuyGet, PartsSet)
_UNITS: Final = (
    Percent, AmountOff, FixedPrice, CardPrice, Steps, Stamps, NForM, EveryNth, BuyGet,
)  # fmt: skip

LIMITS_OF: Final[dict[str, tuple[type, ...]]] = {
    "discount_minor_max": (*_PRICES, *_SETS),
    "unit_price_minor_min": (*_PRICES, *_SETS),
    "units_max": _UNITS,
    "units_per_line_max": _UNITS,
    "once_per_code": (*_UNITS, PartsSet),
    "sets_max": _SETS,
    "points_max": POINTS,
}
"""Which rewards a limit has a meaning for; every other limit has one for all."""

_SET_KINDS = ", ".join(kind.kind for kind in _SETS)


def errors_alone(offer: Offer, groups: Groups) -> Iterator[Finding]:
    """Yield the errors of an offer by itself."""
    yield from _contradictions(offer, groups)
    if offer.limits != _NO_LIMITS:
        yield from _limits(offer)
    yield from _ignored(offer)


_NO_LIMITS = Limits()
_NOT_SHARED = SharedLimit()


def warnings_alone(offer: Offer) -> Iterator[Finding]:
    """Yield the warnings of an offer by itself."""
    yield from _unused(offer)
    yield from _too_much(offer)
    if isinstance(offer.gives, Steps):
        yield from _steps(offer, offer.gives)


def acting_lines(offer: Offer) -> tuple[LineMatch, ...]:
    """Return lines of each of which a receipt needs one for the offer to act."""
    if isinstance(offer.gives, PartsSet):
        if isinstance(offer.lines, EveryLine):
            return tuple(part.lines for part in offer.gives.parts)
        return tuple(AllOf(of=(offer.lines, part.lines)) for part in offer.gives.parts)
    return (offer.lines,)


def asks_for_nothing(need: Need) -> bool:
    """Say whether the need always holds."""
    return isinstance(need, NeedsAll) and not need.of


# What can never be


def _contradictions(offer: Offer, groups: Groups) -> Iterator[Finding]:
    offers = (offer.offer_id,)
    if offer.when != _ALWAYS:
        window = window_of(offer.when)
        if window.is_empty and window.starts_s < window.until_s:
            yield Finding(code=Code.NEVER_OPEN, offers=offers, path="when")
    numbers, every = offer.who.purchases, offer.who.every_purchases
    if numbers and every and all(number % every for number in numbers):
        yield Finding(code=Code.NOBODY, offers=offers, path="who", figures={"every": every})
    lines = list(_lines_never_matching(offer, groups))
    for path in lines:
        yield Finding(code=Code.LINES_NEVER_MATCH, offers=offers, path=path)
    if not asks_for_nothing(offer.needs):
        yield from _needs(offer, groups, () if lines else acting_lines(offer))


_ALWAYS = When()


def _lines_never_matching(offer: Offer, groups: Groups) -> Iterator[str]:
    for path, match in matches_of(offer):
        within = (offer.lines,) if path.startswith("gives.parts") else ()
        if not line_can_match(match, *within):
            yield path
    if isinstance(offer.gives, CardPrice):
        skus = skus_confined(offer.lines, groups)
        if not offer.gives.prices or (skus and skus.isdisjoint(offer.gives.prices)):
            yield "gives.prices"


def _needs(offer: Offer, groups: Groups, lines: Sequence[LineMatch]) -> Iterator[Finding]:
    if needs_can_hold([offer.needs], lines, groups):
        return
    figures: dict[str, int | str] = {}
    path, need = _smallest(offer.needs, "needs", groups)
    if isinstance(need, NeedsLines):
        skus = skus_confined(need.match, groups)
        if skus is not None and len(skus) < need.distinct_min:
            figures = {"need": need.distinct_min, "most": len(skus)}
    yield Finding(code=Code.NEEDS_NEVER_HOLD, offers=(offer.offer_id,), path=path, figures=figures)


def _smallest(need: Need, path: str, groups: Groups) -> tuple[str, Need]:
    """Return the part of a need that cannot hold by itself; the need, if only all together."""
    if isinstance(need, NeedsAll):
        for number, part in enumerate(need.of):
            if not needs_can_hold([part], (), groups):
                return _smallest(part, f"{path}.of[{number}]", groups)
    return path, need


# What has no effect


def _limits(offer: Offer) -> Iterator[Finding]:
    offers = (offer.offer_id,)
    for name, kinds in LIMITS_OF.items():
        if getattr(offer.limits, name) and not isinstance(offer.gives, kinds):
            yield Finding(
                code=Code.LIMIT_NOT_APPLICABLE,
                offers=offers,
                path=f"limits.{name}",
                figures={
                    "limit": name,
                    "reward": offer.gives.kind,
                    "goes_with": ", ".join(kind.kind for kind in kinds),  # type: ignore[attr-defined]
                },
            )
    if offer.limits.once_per_code and not _needs_code(offer.needs):
        yield Finding(code=Code.CODE_NOT_NEEDED, offers=offers, path="limits.once_per_code")


def _needs_code(need: Need) -> bool:
    """Say whether the need cannot hold without a code."""
    if isinstance(need, NeedsAll):
        return any(_needs_code(part) for part in need.of)
    if isinstance(need, NeedsAny):
        return all(_needs_code(part) for part in need.of)
    return isinstance(need, NeedsCode)


def _ignored(offer: Offer) -> Iterator[Finding]:
    """Yield what promises less than the offer would give, and is kept for other rewards only."""
    paths: list[tuple[str, str]] = []
    kind = reward_kind(offer)
    if not offer.combines.on_discounted and kind != "points":
        paths.append(("combines.on_discounted", "points"))
    if kind != "price":
        paths += [
            (f"{path}.basis", "money off")
            for path, need in needs_lines_of(offer.needs)
            if need.basis == "running" and need.amount_minor_min
        ]
    for path, goes_with in paths:
        yield Finding(
            code=Code.NOT_FOR_REWARD,
            offers=(offer.offer_id,),
            path=path,
            figures={"goes_with": goes_with},
        )


def _unused(offer: Offer) -> Iterator[Finding]:
    for path, goes_with in _settings_unused(offer):
        yield Finding(
            code=Code.SETTING_UNUSED,
            offers=(offer.offer_id,),
            path=path,
            figures={"goes_with": goes_with},
        )


def _settings_unused(offer: Offer) -> Iterator[tuple[str, str]]:
    combines, gives = offer.combines, offer.gives
    if combines.mode != "best" and not combines.group:
        yield "combines.mode", "combines.group"
    if combines.base == "initial" and reward_kind(offer) != "price":
        yield "combines.base", "money off"
    if combines.shares_units and not isinstance(gives, ClaimingReward):
        yield "combines.shares_units", _SET_KINDS
    if offer.limits.period != "ever" and not offer.limits.uses_per_account_max:
        yield "limits.period", "limits.uses_per_account_max"
    if isinstance(gives, Steps) and gives.basis == "running" and gives.by == "quantity":
        yield "gives.basis", "gives.by amount"
    if isinstance(gives, PartsSet) and gives.spread == "rewarded":
        yield "gives.spread", "n_for_m, every_nth, buy_get"
    yield from _thresholds_unused(offer)


def _thresholds_unused(offer: Offer) -> Iterator[tuple[str, str]]:
    for scope in ("campaign", "store", "account"):
        limit = getattr(offer.limits, scope)
        if limit != _NOT_SHARED and not limit.is_set:
            yield f"limits.{scope}", "uses_max, discount_minor_max, points_max"
    for path, need in needs_lines_of(offer.needs):
        if need.basis == "running" and not need.amount_minor_min:
            yield f"{path}.basis", "amount_minor_min"
        elif not (need.quantity_min or need.amount_minor_min or need.distinct_min):
            yield path, "quantity_min, amount_minor_min, distinct_min"


# What is too much


def _too_much(offer: Offer) -> Iterator[Finding]:
    offers = (offer.offer_id,)
    if _frees_everything(offer) and offer.who == _EVERYBODY and asks_for_nothing(offer.needs):
        yield Finding(code=Code.FREE_FOR_ALL, offers=offers, path="gives")
    gives = offer.gives
    if isinstance(gives, AmountOff) and gives.per == "receipt" and gives.units.which == "all":
        for path, need in _thresholds(offer.needs):
            if need.basis == "gross" and 0 < need.amount_minor_min <= gives.amount_minor:
                yield _covers(offers, path, gives.amount_minor, need.amount_minor_min)
    if isinstance(gives, Steps) and gives.by == "amount":
        for number, step in enumerate(gives.steps):
            if isinstance(step.off, AmountEach) and step.off.amount_minor >= step.at_least:
                path = f"gives.steps[{number}]"
                yield _covers(offers, path, step.off.amount_minor, step.at_least)


_EVERYBODY = Who()


def _covers(offers: tuple[str, ...], path: str, amount_minor: int, need_minor: int) -> Finding:
    figures = {"amount_minor": amount_minor, "need_minor": need_minor}
    return Finding(code=Code.AMOUNT_COVERS_NEED, offers=offers, path=path, figures=figures)


def _frees_everything(offer: Offer) -> bool:
    gives, limits = offer.gives, offer.limits
    if (
        limits.discount_minor_max
        or limits.unit_price_minor_min
        or limits.units_max
        or limits.units_per_line_max
        or limits.are_shared
    ):
        return False
    if isinstance(gives, Percent):
        return gives.rate_ppm == PPM and gives.units.which == "all"
    if isinstance(gives, FixedPrice):
        return gives.amount_minor == 0 and gives.units.which == "all"
    if isinstance(gives, CardPrice):
        return any(price.amount_minor == 0 for price in gives.prices.values())
    return isinstance(gives, UnitRates) and min(gives.rates_ppm) == PPM


def _thresholds(need: Need, path: str = "needs") -> Iterator[tuple[str, NeedsLines]]:
    """Yield the thresholds that must hold, with their paths."""
    if isinstance(need, NeedsLines):
        yield path, need
    elif isinstance(need, NeedsAll):
        for number, part in enumerate(need.of):
            yield from _thresholds(part, f"{path}.of[{number}]")


def _steps(offer: Offer, gives: Steps) -> Iterator[Finding]:
    for number, (before, step) in enumerate(
        zip(gives.steps, gives.steps[1:], strict=False), start=1
    ):
        if type(step.off) is type(before.off) and _given(step.off) <= _given(before.off):
            path = f"gives.steps[{number}]"
            yield Finding(code=Code.STEP_GIVES_LESS, offers=(offer.offer_id,), path=path)


def _given(off: Off) -> int:
    """Return a number that is larger the more is taken off."""
    if isinstance(off, PercentOff):
        return off.rate_ppm
    return off.amount_minor if isinstance(off, AmountEach) else -off.amount_minor

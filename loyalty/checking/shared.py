"""Limits and codes that offers share: whoever draws on one counter must say the same of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import get_args

from loyalty.checking.finding import Code, Finding
from loyalty.checking.kinds import reward_kind
from loyalty.offers import (
    Need,
    NeedsAll,
    NeedsCode,
    Offer,
    PointsReward,
    PriceReward,
    SharedLimit,
)

_GOES_WITH = {
    "discount_minor_max": ("price", ", ".join(kind.kind for kind in get_args(PriceReward))),
    "points_max": ("points", ", ".join(kind.kind for kind in get_args(PointsReward))),
}


@dataclass(slots=True)
class _Drawn:
    """A limit, the first offer that has it, and what the offers that draw on it give."""

    limit: SharedLimit
    first: Offer
    kinds: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Shared:
    """The limits and codes seen so far, by the counter they stand for."""

    _limits: dict[tuple[str, str], _Drawn] = field(default_factory=dict)
    _codes: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, offer: Offer) -> Iterator[Finding]:
        """Yield what is wrong with an offer beside those before it."""
        if offer.limits.are_shared:
            yield from self._limit(offer, "campaign", offer.limits.campaign)
            yield from self._limit(offer, "store", offer.limits.store)
            yield from self._limit(offer, "account", offer.limits.account)
        if offer.needs != _NOTHING:
            for path, need, nested in _codes(offer.needs, "needs", nested=False):
                if nested:
                    yield Finding(code=Code.CODE_USES_NESTED, offers=(offer.offer_id,), path=path)
                yield from self._code(offer, path, need)

    def at_last(self) -> Iterator[Finding]:
        """Yield limits of what none of their offers gives."""
        for (scope, _), drawn in self._limits.items():
            for name, (kind, goes_with) in _GOES_WITH.items():
                if getattr(drawn.limit, name) and kind not in drawn.kinds:
                    yield Finding(
                        code=Code.LIMIT_NOT_APPLICABLE,
                        offers=(drawn.first.offer_id,),
                        path=f"limits.{scope}.{name}",
                        figures={
                            "limit": f"{scope}.{name}",
                            "reward": drawn.first.gives.kind,
                            "goes_with": goes_with,
                        },
                    )

    def _limit(self, offer: Offer, scope: str, limit: SharedLimit) -> Iterator[Finding]:
        if not limit.is_set:
            return
        name = limit.name or offer.offer_id
        drawn = self._limits.setdefault((scope, name), _Drawn(limit, offer))
        drawn.kinds.add(reward_kind(offer))
        theirs = drawn.limit
        for setting in ("uses_max", "discount_minor_max", "points_max", "period"):
            if getattr(limit, setting) != getattr(theirs, setting):
                yield Finding(
                    code=Code.SHARED_LIMIT_DIFFERS,
                    offers=(offer.offer_id, drawn.first.offer_id),
                    path=f"limits.{scope}.{setting}",
                    figures={
                        "name": name,
                        "setting": setting,
                        "value": str(getattr(limit, setting)),
                        "other_value": str(getattr(theirs, setting)),
                    },
                )

    def _code(self, offer: Offer, path: str, need: NeedsCode) -> Iterator[Finding]:
        if not need.uses_max:
            return
        for codes in need.one_of or (f"{need.prefix}*",):
            most, other = self._codes.setdefault(codes, (need.uses_max, offer.offer_id))
            if most != need.uses_max:
                yield Finding(
                    code=Code.CODE_USES_DIFFER,
                    offers=(offer.offer_id, other),
                    path=f"{path}.uses_max",
                    figures={"codes": codes, "uses": need.uses_max, "other_uses": most},
                )


_NOTHING = NeedsAll()


def _codes(need: Need, path: str, *, nested: bool) -> Iterator[tuple[str, NeedsCode, bool]]:
    """Yield path and need of all codes whose uses are counted, and whether others stand beside."""
    if isinstance(need, NeedsCode):
        if need.is_counted:
            yield path, need, nested
        return
    nested = nested or not isinstance(need, NeedsAll)
    for number, part in enumerate(getattr(need, "of", ())):
        yield from _codes(part, f"{path}.of[{number}]", nested=nested)

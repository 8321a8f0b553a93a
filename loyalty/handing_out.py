"""What the cashier hands out, the register prints and a partner is told (design: receipt 3)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from loyalty.calculation import HandOut
from loyalty.drawing import most_allowed, note, used_up
from loyalty.offers import Gift, IssuedCoupon, PartnerPoints
from loyalty.reasons import ReasonCode
from loyalty.scene import Candidate, Scene


@dataclass(slots=True)
class HandedOut:
    """What is handed out.

    Attributes:
        refused: by offer id, why an offer that had something to give may not.
    """

    given: list[HandOut] = field(default_factory=list)
    refused: dict[str, tuple[ReasonCode, dict[str, int | str]]] = field(default_factory=dict)


def hand_out(
    candidates: Iterable[Candidate], paid: Sequence[int], scene: Scene, drawn: dict[str, int]
) -> HandedOut:
    """Return what offers hand out.

    Args:
        candidates: offers that may act, in acting order.
        paid: what is left to pay in money, by line index.
        drawn: what was drawn on counters of all customers; added to.
    """
    result = HandedOut()
    for candidate in candidates:
        given = _given(candidate, paid, scene)
        if given is None:
            continue
        if candidate.draws:
            if not most_allowed(candidate.draws, drawn, "uses"):
                refused = used_up(candidate.draws, drawn)
                assert refused is not None
                result.refused[candidate.offer_id] = refused
                continue
            note(candidate.draws, 0, drawn)
        result.given.append(given)
    return result


def _given(candidate: Candidate, paid: Sequence[int], scene: Scene) -> HandOut | None:
    gives, offer_id = candidate.compiled.offer.gives, candidate.offer_id
    if isinstance(gives, Gift):
        times = 1
        if gives.for_each_units:
            units = sum(scene.lines[line].units for line in candidate.lines)
            times = units // gives.for_each_units
        if not times:
            return None
        quantity = gives.units * times
        return HandOut(offer_id=offer_id, kind="gift", what=gives.sku, quantity=quantity)
    if isinstance(gives, IssuedCoupon):
        return HandOut(offer_id=offer_id, kind="coupon", what=gives.coupon)
    if isinstance(gives, PartnerPoints):
        spent = sum(paid[line] for line in candidate.lines)
        points = spent * gives.points // gives.per_minor
        if not points:
            return None
        return HandOut(
            offer_id=offer_id, kind="partner_points", what=gives.partner, quantity=points
        )
    return HandOut(offer_id=offer_id, kind="message", what="")

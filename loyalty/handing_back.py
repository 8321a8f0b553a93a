"""How many of a partner's points go back with goods that come back (design: receipt 3 and 7).

A receipt says how many points of a partner's programme each offer handed out, and not for which
goods: the rules it was calculated with do. What goes back is the difference between what the offer
gives for what was sold and for what stays sold, so that all parts together are the whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loyalty.account import NO_ALLOWANCE, AccountSnapshot, Allowance
from loyalty.basket import Basket, Moment, Place
from loyalty.calculation import Calculation
from loyalty.candidates import find_candidates, set_scene
from loyalty.compilation import Rules
from loyalty.conditions import Situation
from loyalty.offers import PartnerPoints
from loyalty.opening import days
from loyalty.standing import first


@dataclass(frozen=True, slots=True, kw_only=True)
class ForPartner:
    """Points of a partner's programme that one offer moves.

    Attributes:
        offer_id: the offer.
        partner: whose points they are.
        points: how many; above zero.
    """

    offer_id: str
    partner: str
    points: int


@dataclass(frozen=True, slots=True)
class Basis:
    """What an offer counts a partner's points by.

    Attributes:
        lines: ids of the lines whose money counts.
        points, per_minor: so many points for each so much money.
    """

    lines: frozenset[str]
    points: int
    per_minor: int


def for_partners(printed: Calculation) -> tuple[ForPartner, ...]:
    """Return the points of partners' programmes a receipt hands out, by offer and partner."""
    found: dict[tuple[str, str], int] = {}
    for each in printed.hand_outs:
        if each.kind == PartnerPoints.kind:
            key = each.offer_id, each.what
            found[key] = found.get(key, 0) + each.quantity
    return tuple(
        ForPartner(offer_id=offer_id, partner=partner, points=points)
        for (offer_id, partner), points in sorted(found.items())
    )


def bases(
    basket: Basket,
    rules: Rules,
    *,
    moment: Moment,
    place: Place,
    account: AccountSnapshot,
    allowance: Allowance = NO_ALLOWANCE,
) -> dict[str, Basis]:
    """Return by offer id what offers that may act count a partner's points by.

    Args:
        rules: those the receipt was calculated with; the others as `calculate` takes them.
    """
    index = rules.on(place, *days(moment))
    scene, by_line = set_scene(basket, index, rules.bundle.programme.receipt)
    situation = Situation(
        basket, scene.lines, sum(scene.gross), account, moment, place.store, allowance
    )
    found: dict[str, Basis] = {}
    for candidate in find_candidates(situation, index, scene, by_line).hand_outs:
        gives = candidate.offer.gives
        if isinstance(gives, PartnerPoints):
            lines = frozenset(scene.lines[at].source.line_id for at in candidate.lines)
            found[candidate.offer_id] = Basis(lines, gives.points, gives.per_minor)
    return found


def handed_back(
    printed: Calculation,
    known: Mapping[str, Basis],
    before: Mapping[str, int],
    after: Mapping[str, int],
) -> Sequence[ForPartner]:
    """Return the partners' points that go back with the goods of one return.

    Args:
        printed: the receipt.
        known: what its offers count by; where it does not lead to what was printed, or nothing is
            known, all the money of the receipt counts, in proportion.
        before, after: thousandths of each line, by id, that had come back before this return, and
            have with it.
    """
    back = []
    for given in for_partners(printed):
        stayed, stays = (_staying(printed, given, known, state) for state in (before, after))
        if stayed > stays:
            back.append(
                ForPartner(offer_id=given.offer_id, partner=given.partner, points=stayed - stays)
            )
    return tuple(back)


def _staying(
    printed: Calculation,
    given: ForPartner,
    known: Mapping[str, Basis],
    returned: Mapping[str, int],
) -> int:
    """Return how many points stay when so much of each line has come back."""
    if all(returned.get(line.line_id, 0) >= line.quantity for line in printed.lines):
        return 0
    paid = {line.line_id: line.paid_minor for line in printed.lines}
    left = {
        line.line_id: line.paid_minor
        - first(line.paid_minor, min(returned.get(line.line_id, 0), line.quantity), line.quantity)
        for line in printed.lines
    }
    basis = known.get(given.offer_id)
    if basis is not None:
        whole = sum(paid.get(line_id, 0) for line_id in basis.lines)
        if whole * basis.points // basis.per_minor == given.points:
            stays = sum(left.get(line_id, 0) for line_id in basis.lines)
            return stays * basis.points // basis.per_minor
    total = sum(paid.values())
    return given.points * sum(left.values()) // total if total else given.points

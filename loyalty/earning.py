"""Points earned on what was really paid (design: receipt 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from loyalty.basket import Moment
from loyalty.calculation import EarnedLot
from loyalty.drawing import Drawn, cut, most_allowed, note, used_up
from loyalty.limits import POINTS_MAX, PPM
from loyalty.money import split
from loyalty.offers import (
    LotTerms,
    PointsMultiplier,
    PointsPerItem,
    PointsPerMoney,
    PointsPerReceipt,
    PointsReward,
)
from loyalty.reasons import ReasonCode
from loyalty.scene import Candidate, Scene


@dataclass(slots=True)
class Spent:
    """What each line costs, by line index: before discounts, after them, after redeemed points.

    Attributes:
        drawn: what price offers drew on counters of all customers.
    """

    gross: Sequence[int]
    discounted: Sequence[int]
    paid: Sequence[int]
    drawn: Drawn = field(default_factory=dict)


@dataclass(slots=True)
class Earning:
    """Points earned.

    Attributes:
        by_offer: offer id -> line index -> points, only what is above zero.
        lost_to: offer id -> the offer that was taken instead.
        refused: offer id -> why an offer had nothing it may give.
    """

    lots: list[EarnedLot] = field(default_factory=list)
    by_offer: dict[str, dict[int, int]] = field(default_factory=dict)
    lost_to: dict[str, str] = field(default_factory=dict)
    refused: dict[str, tuple[ReasonCode, dict[str, int | str]]] = field(default_factory=dict)


def earn(candidates: Sequence[Candidate], spent: Spent, scene: Scene, moment: Moment) -> Earning:
    """Return the lots earned and, by offer, the points of each line.

    Args:
        candidates: points offers that may act, in acting order.
    """
    result = Earning()
    if not candidates:
        return result
    result.by_offer = points_by_offer(candidates, spent, scene, result)
    for candidate in candidates:
        if by_line := result.by_offer.get(candidate.offer_id):
            gives = candidate.compiled.offer.gives
            assert isinstance(gives, PointsReward)
            points = sum(by_line.values())
            result.lots.append(_lot(candidate.offer_id, points, gives.lot, moment))
    return result


def points_by_offer(
    candidates: Sequence[Candidate],
    spent: Spent,
    scene: Scene,
    result: Earning | None = None,
) -> dict[str, dict[int, int]]:
    """Return offer id -> line index -> points, groups settled, multipliers last.

    Args:
        result: told who lost to whom, and who was refused.
    """
    found: dict[str, dict[int, int]] = {}
    result = result or Earning()
    beaten = result.lost_to
    multipliers = []
    groups: dict[str, list[Candidate]] = {}
    for candidate in _taking_part(candidates, spent, result):
        if _multiplies(candidate):
            multipliers.append(candidate)
        elif group := candidate.compiled.offer.combines.group:
            groups.setdefault(group, []).append(candidate)
        elif points := _given(candidate, spent, scene):
            found[candidate.offer_id] = points
    for members in groups.values():
        _settle(members, spent, scene, found, beaten)
    drawn = dict(spent.drawn)
    _draw(candidates, found, drawn, result)
    added = _multipliers(multipliers, found, spent, beaten)
    _draw(multipliers, added, drawn, result)
    return found | added


def _taking_part(
    candidates: Sequence[Candidate], spent: Spent, result: Earning
) -> Sequence[Candidate]:
    """Leave out offers with nothing left to give, and lines made cheaper where they ask for it."""
    if not any(c.draws or not c.compiled.offer.combines.on_discounted for c in candidates):
        return candidates
    taking_part = []
    for candidate in candidates:
        if refused := used_up(candidate.draws, spent.drawn):
            result.refused[candidate.offer_id] = refused
            continue
        lines = candidate.lines
        if not candidate.compiled.offer.combines.on_discounted:
            lines = tuple(at for at in lines if spent.discounted[at] == spent.gross[at])
        if lines == candidate.lines:
            taking_part.append(candidate)
        elif lines:
            taking_part.append(Candidate(candidate.compiled, lines, draws=candidate.draws))
        else:
            result.refused[candidate.offer_id] = ReasonCode.LINES_DISCOUNTED, {}
    return taking_part


def _draw(
    candidates: Sequence[Candidate],
    found: dict[str, dict[int, int]],
    drawn: dict[str, int],
    result: Earning,
) -> None:
    """Let offers draw on what all customers share, in acting order; cut them to what is left."""
    for candidate in candidates:
        offer_id = candidate.offer_id
        if not candidate.draws or offer_id not in found:
            continue
        if refused := used_up(candidate.draws, drawn):
            result.refused[offer_id] = refused
            del found[offer_id]
            continue
        found[offer_id] = cut(found[offer_id], most_allowed(candidate.draws, drawn, "points"))
        note(candidate.draws, sum(found[offer_id].values()), drawn)


def _multipliers(
    candidates: Sequence[Candidate],
    found: Mapping[str, Mapping[int, int]],
    spent: Spent,
    lost_to: dict[str, str],
) -> dict[str, dict[int, int]]:
    """Return what multipliers add to the points found; of a group one acts."""
    added: dict[str, dict[int, int]] = {}
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        group = candidate.compiled.offer.combines.group
        groups.setdefault(group or f" {candidate.offer_id}", []).append(candidate)
    for members in groups.values():
        given = {
            member.offer_id: _multiplied(member, found, spent) for member in _by_priority(members)
        }
        if winner := _winner(members[0].offer.combines.mode, given):
            added[winner] = given[winner]
            lost_to.update({offer_id: winner for offer_id in given if offer_id != winner})
    return added


def _by_priority(members: Sequence[Candidate]) -> list[Candidate]:
    return sorted(members, key=lambda member: (-member.offer.priority, member.offer_id))


def _winner(mode: str, given: Mapping[str, Mapping[int, int]]) -> str:
    """Return the member that gives most, or the first that gives any; empty when none does."""
    totals = {offer_id: sum(points.values()) for offer_id, points in given.items()}
    giving = [offer_id for offer_id, total in totals.items() if total]
    if not giving:
        return ""
    return giving[0] if mode == "first" else max(giving, key=totals.__getitem__)


def points_most(candidates: Sequence[Candidate], spent: Spent, scene: Scene) -> int:
    """Return a bound: where no line costs more they do not give more points than that.

    Less paid can put another member of a group first, so the best one counts in every group.
    """
    given = {c.offer_id: _given(c, spent, scene) for c in candidates if not _multiplies(c)}
    groups: dict[str, list[Candidate]] = {}
    total = 0
    for candidate in candidates:
        group = candidate.compiled.offer.combines.group
        if _multiplies(candidate):
            most = _on_its_lines(candidate, candidates, given)
            total += sum(_multiplied(candidate, most, spent).values())
        elif group:
            groups.setdefault(group, []).append(candidate)
        else:
            total += sum(given[candidate.offer_id].values())
    for members in groups.values():
        if members[0].offer.combines.mode == "best_per_line":
            settled: dict[str, dict[int, int]] = {}
            _settle_lines(members, spent, scene, settled, {})
            total += sum(sum(by_line.values()) for by_line in settled.values())
        else:
            total += max(sum(given[member.offer_id].values()) for member in members)
    return total


def _on_its_lines(
    multiplier: Candidate,
    candidates: Sequence[Candidate],
    given: Mapping[str, Mapping[int, int]],
) -> dict[str, Mapping[int, int]]:
    """Return what a multiplier counts at most: points move to its lines when others cost less."""
    found: dict[str, Mapping[int, int]] = {}
    for candidate in candidates:
        offer_id = candidate.offer_id
        shared = [line for line in multiplier.lines if line in candidate.lines]
        if offer_id not in given or not shared:
            continue
        stays = isinstance(candidate.compiled.offer.gives, PointsPerItem)
        if stays and not candidate.compiled.offer.limits.points_max:
            found[offer_id] = given[offer_id]
        else:
            found[offer_id] = {shared[0]: sum(given[offer_id].values())}
    return found


def _multiplies(candidate: Candidate) -> bool:
    return isinstance(candidate.compiled.offer.gives, PointsMultiplier)


def _given(candidate: Candidate, spent: Spent, scene: Scene) -> dict[int, int]:
    gives = candidate.compiled.offer.gives
    lines = candidate.lines
    if isinstance(gives, PointsPerMoney):
        amounts = getattr(spent, gives.basis)
        weights = [amounts[line] for line in lines]
        total = sum(weights)
        if gives.counting == "whole_steps":
            points = total // gives.per_minor * gives.points
        else:
            points = total * gives.points // gives.per_minor
    elif isinstance(gives, PointsPerItem):
        paid = spent.paid
        weights = [scene.lines[line].units if paid[line] else 0 for line in lines]
        points = sum(weights) * gives.points
    else:
        assert isinstance(gives, PointsPerReceipt)
        weights = [spent.paid[line] for line in lines]
        points = gives.points if any(weights) else 0
    return _shared(candidate, points, weights, spent)


def _shared(
    candidate: Candidate, points: int, weights: Sequence[int], spent: Spent
) -> dict[int, int]:
    lines = candidate.lines
    points = min(points, candidate.compiled.offer.limits.points_max or POINTS_MAX)
    if candidate.draws:
        allowed = most_allowed(candidate.draws, spent.drawn, "points")
        points = points if allowed < 0 else min(points, allowed)
    if not points:
        return {}
    if len(lines) == 1:
        return {lines[0]: points}
    shares = split(points, weights)
    return {line: share for line, share in zip(lines, shares, strict=True) if share}


def _settle(
    members: Sequence[Candidate],
    spent: Spent,
    scene: Scene,
    found: dict[str, dict[int, int]],
    lost_to: dict[str, str],
) -> None:
    """Let the member of a group that gives most earn, or on each line the one that gives most."""
    mode = members[0].offer.combines.mode
    if mode == "best_per_line":
        _settle_lines(_by_priority(members), spent, scene, found, lost_to)
        return
    given = {member.offer_id: _given(member, spent, scene) for member in _by_priority(members)}
    if winner := _winner(mode, given):
        found[winner] = given[winner]
        lost_to.update({offer_id: winner for offer_id in given if offer_id != winner})


def _settle_lines(
    members: Sequence[Candidate],
    spent: Spent,
    scene: Scene,
    found: dict[str, dict[int, int]],
    lost_to: dict[str, str],
) -> None:
    best: dict[int, tuple[int, str]] = {}
    for member in members:
        for line in member.lines:
            alone = Candidate(member.compiled, (line,))
            points = _given(alone, spent, scene).get(line, 0)
            if points > best.get(line, (0, ""))[0]:
                best[line] = (points, member.offer_id)
    for line in sorted(best):
        points, offer_id = best[line]
        found.setdefault(offer_id, {})[line] = points
    for member in members:
        if member.offer_id not in found:
            winner = next((best[line][1] for line in member.lines if line in best), "")
            if winner:
                lost_to[member.offer_id] = winner


def _multiplied(
    candidate: Candidate, found: Mapping[str, Mapping[int, int]], spent: Spent
) -> dict[int, int]:
    gives = candidate.compiled.offer.gives
    assert isinstance(gives, PointsMultiplier)
    weights = dict.fromkeys(candidate.lines, 0)
    for offer_id in gives.of:
        for line, points in found.get(offer_id, {}).items():
            if line in weights:
                weights[line] += points
    points = sum(weights.values()) * (gives.factor_ppm - PPM) // PPM
    return _shared(candidate, points, list(weights.values()), spent)


def _lot(offer_id: str, points: int, terms: LotTerms, moment: Moment) -> EarnedLot:
    active = date.fromisoformat(moment.date)
    if terms.delay_days:
        active += timedelta(days=terms.delay_days)
    ends = (active + timedelta(days=terms.lifetime_days)).isoformat() if terms.lifetime_days else ""
    return EarnedLot(
        offer_id=offer_id,
        points=points,
        name=terms.name,
        active_from=active.isoformat(),
        expires_on=ends,
        restriction=terms.restriction,
    )

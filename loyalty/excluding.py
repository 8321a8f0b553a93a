"""Points and things to hand out that may not stand beside what acted already (receipt 3).

Money off is chosen first (`combination`), then points, then what is handed out: what comes later
gives way.
"""

from collections.abc import Collection, Iterable, Sequence

from loyalty.scene import Candidate


def that_may_stand(
    candidates: Sequence[Candidate], acted: Collection[Candidate], lost_to: dict[str, str]
) -> list[Candidate]:
    """Return the candidates that no acting offer excludes, in their order.

    Of candidates that exclude each other the one with the larger priority stands, then the smaller
    id.

    Args:
        acted: offers that gave something.
        lost_to: offer id -> the offer that excludes it; filled in.
    """
    if not any(c.compiled.endangered for c in (*candidates, *acted)):
        return list(candidates)
    standing = list(acted)
    for candidate in sorted(candidates, key=lambda c: (-c.offer.priority, c.offer_id)):
        winner = _excluding(candidate, standing)
        if winner is None:
            standing.append(candidate)
        else:
            lost_to[candidate.offer_id] = winner.offer_id
    return [candidate for candidate in candidates if candidate.offer_id not in lost_to]


def _excluding(candidate: Candidate, standing: Iterable[Candidate]) -> Candidate | None:
    own = candidate.offer.combines.not_with
    for other in standing:
        if other.offer_id in own or candidate.offer_id in other.offer.combines.not_with:
            return other
    return None

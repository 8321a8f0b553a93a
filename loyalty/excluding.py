"""Points and things to hand out that may not stand beside what acted already (receipt 3).

Money off is chosen first (`combination`), then points, then what is handed out: what comes later
gives way. Of points offers that exclude each other those stand that give most together.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import product

from loyalty.limits import RIVALS_WEIGHED_MAX
from loyalty.scene import Candidate

Worth = Callable[[Sequence[Candidate]], int]
"""How many points these offers give."""


class Earners:
    """Points offers, and which of them may stand beside each other.

    Attributes:
        is_exact: every way to choose among them is weighed.
    """

    def __init__(self, points: Sequence[Candidate]) -> None:
        """Take points offers that may act, in acting order."""
        self._points = points
        rivals = []
        if any(candidate.compiled.endangered for candidate in points):
            rivals = [c for c in points if any(_exclude(c, o) for o in points if o is not c)]
        self._rivals = _by_preference(rivals)
        self._sets: dict[tuple[int, ...], list[list[Candidate]]] = {}
        self.is_exact = len(rivals) <= RIVALS_WEIGHED_MAX

    def beside(
        self, acted: Collection[Candidate], worth: Worth, lost_to: dict[str, str] | None = None
    ) -> Sequence[Candidate]:
        """Return the offers that earn, in their order.

        Ties go to the offers that come first by priority, then by id.

        Args:
            acted: price offers that gave something; those that may exclude others are enough.
            lost_to: offer id -> the offer that excludes it; filled in.
        """
        lost = {} if lost_to is None else lost_to
        standing = self._points
        if acted and any(c.compiled.endangered for c in (*acted, *standing)):
            standing = _without_excluded(standing, acted, lost)
        if not self._rivals:
            return standing
        here = {candidate.rank for candidate in standing}
        # What gives nothing by itself takes no place from another; multipliers need the others.
        weighed = [
            c
            for c in self._rivals
            if c.rank in here and (worth([c]) or c.compiled.offer.gives.kind == "points_multiplier")
        ]
        if len(weighed) < 2:  # noqa: PLR2004 - it takes two
            return standing
        ranks = {candidate.rank for candidate in weighed}
        chosen = self._best([c for c in standing if c.rank not in ranks], weighed, worth)
        _without_excluded([c for c in weighed if c not in chosen], chosen, lost)
        kept = {candidate.rank for candidate in chosen}
        return [c for c in standing if c.rank in kept or c.rank not in ranks]

    def _best(
        self, others: Sequence[Candidate], rivals: Sequence[Candidate], worth: Worth
    ) -> Sequence[Candidate]:
        if len(rivals) > RIVALS_WEIGHED_MAX:
            return _greedy(rivals, worth)
        key = tuple(candidate.rank for candidate in rivals)
        if key not in self._sets:
            self._sets[key] = list(_fullest_sets(rivals))

        def points(chosen: Sequence[Candidate]) -> int:
            return worth(sorted((*others, *chosen), key=lambda c: c.rank))

        return max(self._sets[key], key=points)  # of equal ones the first


def that_may_stand(
    candidates: Sequence[Candidate], acted: Collection[Candidate], lost_to: dict[str, str]
) -> Sequence[Candidate]:
    """Return the candidates that no acting offer excludes, in their order.

    Of candidates that exclude each other the one with the larger priority stands, then the smaller
    id.

    Args:
        acted: offers that gave something.
        lost_to: offer id -> the offer that excludes it; filled in.
    """
    if not candidates or not any(c.compiled.endangered for c in (*candidates, *acted)):
        return candidates
    standing = list(acted)
    for candidate in _by_preference(candidates):
        winner = _excluding(candidate, standing)
        if winner is None:
            standing.append(candidate)
        else:
            lost_to[candidate.offer_id] = winner.offer_id
    return [candidate for candidate in candidates if candidate.offer_id not in lost_to]


def _by_preference(candidates: Iterable[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda c: (-c.offer.priority, c.offer_id))


def _without_excluded(
    candidates: Sequence[Candidate], acted: Collection[Candidate], lost_to: dict[str, str]
) -> list[Candidate]:
    standing = []
    for candidate in candidates:
        winner = _excluding(candidate, acted)
        if winner is None:
            standing.append(candidate)
        else:
            lost_to[candidate.offer_id] = winner.offer_id
    return standing


def _fullest_sets(rivals: Sequence[Candidate]) -> Iterable[list[Candidate]]:
    """Yield each set of offers that stand together and leave out none that could."""
    for taken in product((True, False), repeat=len(rivals)):
        chosen = [c for c, is_taken in zip(rivals, taken, strict=True) if is_taken]
        if any(_excluding(c, (o for o in chosen if o is not c)) for c in chosen):
            continue
        if all(
            is_taken or _excluding(c, chosen) for c, is_taken in zip(rivals, taken, strict=True)
        ):
            yield chosen


def _greedy(rivals: Sequence[Candidate], worth: Worth) -> list[Candidate]:
    chosen: list[Candidate] = []
    for candidate in sorted(rivals, key=lambda c: -worth([c])):
        if _excluding(candidate, chosen) is None:
            chosen.append(candidate)
    return chosen


def _excluding(candidate: Candidate, standing: Iterable[Candidate]) -> Candidate | None:
    return next((other for other in standing if _exclude(candidate, other)), None)


def _exclude(one: Candidate, other: Candidate) -> bool:
    return (
        other.offer_id in one.offer.combines.not_with
        or one.offer_id in other.offer.combines.not_with
    )

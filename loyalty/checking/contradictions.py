"""Whether a tree of conditions can ever be met: by one line, by one receipt.

Both answers look for a way through the tree that contradicts itself nowhere. What they cannot
decide, for its size or its form, they call possible: a "no" is a proof, a "yes" is none.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from loyalty.limits import (
    AMOUNT_MINOR_MAX,
    BASKET_LINES_MAX,
    QUANTITY_THOUSANDTHS_MAX,
    UNIT_THOUSANDTHS,
)
from loyalty.offers import (
    COMPUTED_NUMBERS,
    AllOf,
    AnyOf,
    Attribute,
    EveryLine,
    LineMatch,
    Need,
    NeedsAll,
    NeedsAny,
    NeedsCode,
    NeedsLines,
    NeedsNone,
    NeedsTender,
    NoneOf,
    NumberRange,
)

Groups = Mapping[str, tuple[str, ...]]

_STEPS_MAX: Final = 2_000
_CHOICES_MAX: Final = 100
"""Each one still open is a level of recursion."""

_NEW = "\x00"
"""A letter no condition names."""

_NUMBERS_MAX: Final = {
    "gross_minor": (0, AMOUNT_MINOR_MAX),
    "quantity": (1, QUANTITY_THOUSANDTHS_MAX),
    "unit_price_minor": (0, AMOUNT_MINOR_MAX * UNIT_THOUSANDTHS),
}
_MOST = {
    "quantity": BASKET_LINES_MAX * QUANTITY_THOUSANDTHS_MAX,
    "amount": BASKET_LINES_MAX * AMOUNT_MINOR_MAX,
    "distinct": BASKET_LINES_MAX,
}


def line_can_match(*matches: LineMatch) -> bool:
    """Say whether one line can belong to all of these."""
    if len(matches) == 1 and isinstance(matches[0], EveryLine | Attribute):
        return True  # by itself each of them can: most offers ask for no more
    return _Search(_line_step, _line_is_possible).can([(match, True) for match in matches])


def needs_can_hold(needs: Sequence[Need], lines: Sequence[LineMatch], groups: Groups) -> bool:
    """Say whether one receipt can meet all of these needs and have a line in each of `lines`.

    Args:
        groups: product groups of the bundle.
    """
    goals: list[tuple[object, bool]] = [(_AtLeast(match, "quantity", 1), True) for match in lines]
    goals += [(need, True) for need in needs]
    return _Search(_need_step, lambda leaves: _receipt_is_possible(leaves, groups)).can(goals)


def skus_confined(match: LineMatch, groups: Groups) -> frozenset[str] | None:
    """Return the SKUs every matching line is among, None when it may be of any."""
    if isinstance(match, Attribute):
        if match.name == "sku" and match.one_of:
            return frozenset(match.one_of)
        if match.name == "group":
            return frozenset(sku for group in match.one_of for sku in groups.get(group, ()))
        return None
    if isinstance(match, AllOf):
        each = [found for part in match.of if (found := skus_confined(part, groups)) is not None]
        return frozenset.intersection(*each) if each else None
    if isinstance(match, AnyOf):
        parts = [skus_confined(part, groups) for part in match.of]
        known = [found for found in parts if found is not None]
        return frozenset().union(*known) if len(known) == len(parts) else None
    return None


# The search: goals are taken apart one after the other; leaves are held against each other

Goal = tuple[object, bool]
"""Something, and whether it must or must not hold."""

_Leaves = list[tuple[Any, bool]]
"""Goals that are not taken apart any more; which ones those are, the step says."""


@dataclass(frozen=True, slots=True)
class _Step:
    """What a goal asks for: all of these, or one of these; or it is a leaf."""

    every: Sequence[Goal] = ()
    either: Sequence[Goal] | None = None
    is_leaf: bool = False


class _Search:
    """Depth first; a budget of steps ends it with "possible"."""

    def __init__(
        self,
        step: Callable[[object, bool], _Step],
        is_possible: Callable[[_Leaves], bool],
    ) -> None:
        self._step = step
        self._is_possible = is_possible
        self._left = _STEPS_MAX

    def can(self, goals: list[Goal]) -> bool:
        """Say whether all goals can be reached together."""
        return self._can(goals, [])

    def _can(self, goals: list[Goal], leaves: _Leaves) -> bool:
        choices: list[Sequence[Goal]] = []
        leaves = leaves[:]
        goals = goals[:]
        while goals:
            what, wanted = goals.pop()
            self._left -= 1
            if self._left < 0:
                return True
            step = self._step(what, wanted)
            if step.is_leaf:
                leaves.append((what, wanted))
            elif step.either is None:
                goals += step.every
            elif len(step.either) == 1:
                goals += step.either
            else:
                choices.append(step.either)
        if not self._is_possible(leaves):
            return False
        if not choices or len(choices) > _CHOICES_MAX:
            return True
        first, *others = sorted(choices, key=len)
        # What is left of the other choices is wrapped to be asked again behind this one.
        rest: list[Goal] = [(_Either(tuple(other)), True) for other in others]
        return any(self._can([*rest, choice], leaves) for choice in first)


@dataclass(frozen=True, slots=True)
class _Either:
    goals: tuple[Goal, ...]


def _all(parts: Iterable[object], *, wanted: bool) -> _Step:
    return _Step(every=[(part, wanted) for part in parts])


def _one(parts: Iterable[object], *, wanted: bool) -> _Step:
    return _Step(either=[(part, wanted) for part in parts])


# Lines


def _line_step(what: object, wanted: bool) -> _Step:  # noqa: FBT001 - goals are pairs
    if isinstance(what, _Either):
        return _Step(either=what.goals)
    if isinstance(what, EveryLine):
        return _Step() if wanted else _Step(either=())
    if isinstance(what, AllOf):
        return _all(what.of, wanted=True) if wanted else _one(what.of, wanted=False)
    if isinstance(what, AnyOf):
        return _one(what.of, wanted=True) if wanted else _all(what.of, wanted=False)
    if isinstance(what, NoneOf):
        return _all(what.of, wanted=False) if wanted else _one(what.of, wanted=True)
    return _Step(is_leaf=True)


_LineLeaf = Attribute | NumberRange


def _line_is_possible(leaves: list[tuple[_LineLeaf, bool]]) -> bool:
    texts: dict[str, list[tuple[Attribute, bool]]] = defaultdict(list)
    numbers: dict[str, list[tuple[NumberRange, bool]]] = defaultdict(list)
    for leaf, wanted in leaves:
        if isinstance(leaf, Attribute):
            texts[leaf.name].append((leaf, wanted))
        else:
            numbers[leaf.name].append((leaf, wanted))
    for name, asked in texts.items():
        if name == "group":
            if not _groups_are_possible(asked):
                return False
        elif not _text_is_possible(asked, () if name in COMPUTED_NUMBERS else numbers[name]):
            return False
    return all(_number_is_possible(name, asked) for name, asked in numbers.items())


def _groups_are_possible(asked: Sequence[tuple[Attribute, bool]]) -> bool:
    barred = {group for match, wanted in asked if not wanted for group in match.one_of}
    return all(set(match.one_of) - barred for match, wanted in asked if wanted)


def _text_is_possible(
    asked: Sequence[tuple[Attribute, bool]], ranges: Sequence[tuple[NumberRange, bool]]
) -> bool:
    listed = [set(match.one_of) for match, wanted in asked if wanted and match.one_of]
    if not listed and any(wanted for _, wanted in ranges):
        return True  # numbers that begin with something are not gone into
    # If any text meets all conditions, one of these does: a named one, or one that goes on from
    # the longest beginning with a letter nobody names.
    tried = set.intersection(*listed) if listed else set(_beginnings(asked))
    return any(
        all(_holds(match, text) == wanted for match, wanted in asked)
        and all(_in_range(limits, text) == wanted for limits, wanted in ranges)
        for text in tried
    )


def _beginnings(asked: Sequence[tuple[Attribute, bool]]) -> Iterator[str]:
    yield ""
    yield _NEW
    for match, wanted in asked:
        if wanted and match.prefix:
            yield match.prefix
            yield match.prefix + _NEW
        if wanted:
            for node in match.beneath:
                yield node
                yield f"{node}/{_NEW}"


def _holds(match: Attribute, text: str) -> bool:
    if match.one_of:
        return text in match.one_of
    if match.prefix:
        return text.startswith(match.prefix)
    return any(text == node or text.startswith(f"{node}/") for node in match.beneath)


def _in_range(limits: NumberRange, text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and limits.at_least <= int(text) <= limits.at_most


def _number_is_possible(name: str, asked: Sequence[tuple[NumberRange, bool]]) -> bool:
    wanted = [limits for limits, is_wanted in asked if is_wanted]
    if name in _NUMBERS_MAX:
        low, high = _NUMBERS_MAX[name]
    elif wanted:
        low, high = wanted[0].at_least, wanted[0].at_most
    else:
        return True  # a text that is no number is in no range
    low = max([low, *(limits.at_least for limits in wanted)])
    high = min([high, *(limits.at_most for limits in wanted)])
    barred = [limits for limits, is_wanted in asked if not is_wanted]
    tried = [low, *(limits.at_most + 1 for limits in barred)]
    return any(
        low <= number <= high
        and not any(limits.at_least <= number <= limits.at_most for limits in barred)
        for number in tried
    )


# Receipts


@dataclass(frozen=True, slots=True)
class _AtLeast:
    """One threshold of a need: `quantity`, `amount` or `distinct`."""

    match: LineMatch
    measure: str
    least: int
    basis: str = "gross"


_NeedLeaf = _AtLeast | NeedsCode | NeedsTender


def _need_step(what: object, wanted: bool) -> _Step:  # noqa: FBT001 - goals are pairs
    if isinstance(what, _Either):
        return _Step(either=what.goals)
    if isinstance(what, NeedsLines):
        parts = _thresholds(what)
        return _all(parts, wanted=True) if wanted else _one(parts, wanted=False)
    if isinstance(what, NeedsAll):
        return _all(what.of, wanted=True) if wanted else _one(what.of, wanted=False)
    if isinstance(what, NeedsAny):
        return _one(what.of, wanted=True) if wanted else _all(what.of, wanted=False)
    if isinstance(what, NeedsNone):
        return _all(what.of, wanted=False) if wanted else _one(what.of, wanted=True)
    return _Step(is_leaf=True)


def _thresholds(need: NeedsLines) -> list[_AtLeast]:
    found = (
        ("quantity", need.quantity_min),
        ("amount", need.amount_minor_min),
        ("distinct", need.distinct_min),
    )
    return [_AtLeast(need.match, name, least, need.basis) for name, least in found if least > 0]


def _receipt_is_possible(leaves: list[tuple[_NeedLeaf, bool]], groups: Groups) -> bool:
    thresholds = [(leaf, wanted) for leaf, wanted in leaves if isinstance(leaf, _AtLeast)]
    codes = [(leaf, wanted) for leaf, wanted in leaves if isinstance(leaf, NeedsCode)]
    tenders = [(leaf, wanted) for leaf, wanted in leaves if isinstance(leaf, NeedsTender)]
    return (
        _tender_is_possible(tenders)
        and _codes_are_possible(codes)
        and all(_is_reachable(leaf, groups) for leaf, wanted in thresholds if wanted)
        and _thresholds_are_possible(thresholds)
    )


def _tender_is_possible(asked: Sequence[tuple[NeedsTender, bool]]) -> bool:
    wanted = [set(need.one_of) for need, is_wanted in asked if is_wanted]
    if not wanted:
        return True
    barred = {kind for need, is_wanted in asked if not is_wanted for kind in need.one_of}
    return bool(set.intersection(*wanted) - barred)


def _codes_are_possible(asked: Sequence[tuple[NeedsCode, bool]]) -> bool:
    barred = [need for need, wanted in asked if not wanted]
    prefixes = tuple(need.prefix for need in barred if need.prefix)
    codes = {code for need in barred for code in need.one_of}
    for need, wanted in asked:
        if not wanted:
            continue
        if need.prefix and need.prefix.startswith(prefixes or _NEW):
            return False
        if need.one_of and all(
            code in codes or code.startswith(prefixes or _NEW) for code in need.one_of
        ):
            return False
    return True


def _is_reachable(asked: _AtLeast, groups: Groups) -> bool:
    most = _MOST[asked.measure]
    skus = skus_confined(asked.match, groups)
    if skus is not None and (asked.measure == "distinct" or not skus):
        most = min(most, len(skus))
    return asked.least <= most and line_can_match(asked.match)


def _thresholds_are_possible(asked: Sequence[tuple[_AtLeast, bool]]) -> bool:
    """Say whether nothing is wanted at least so much and less than so much at once."""
    wanted = [leaf for leaf, is_wanted in asked if is_wanted]
    barred = [leaf for leaf, is_wanted in asked if not is_wanted]
    return not any(_contradict(least, less) for less in barred for least in wanted)


def _contradict(least: _AtLeast, less: _AtLeast) -> bool:
    """Say whether `least` reached makes `less` reached too."""
    if not (less.match == least.match or isinstance(less.match, EveryLine)):
        return False
    if less.measure != least.measure:
        # Whatever is reached, there is a line; a line has a quantity and a SKU.
        return less.measure != "amount" and less.least == 1
    # What is left is never above the register's price.
    same_money = less.measure != "amount" or less.basis in {"gross", least.basis}
    return same_money and less.least <= least.least

"""Tries every story of a world, shortest first, and says the first that breaks a promise."""

from dataclasses import dataclass

from tests.model.protocol import Message, Size, State, beginning, free, steps


@dataclass(frozen=True, slots=True)
class Verdict:
    """What trying everything came to.

    Attributes:
        steps: every story of so many steps was tried.
        broken: the promise; empty where every state keeps all of them.
        story: the shortest way there.
        is_whole: every state was seen; false where the limit came first.
    """

    states: int
    steps: int
    broken: str = ""
    story: tuple[str, ...] = ()
    is_whole: bool = True


def broken_promise(state: State, size: Size) -> str:
    """Name the promise a state breaks; empty if it breaks none (design: sync 5)."""
    centre = state.centre
    if free(centre) < 0 or centre.pool < 0:
        return "I2: more is held or reserved than there is"
    had = size.balance - centre.expired - centre.clawed
    funded = size.pool + size.risk * size.tills
    covered = sum(grant.exposure for grant in centre.grants) + centre.losses
    budgets = sum(centre.budgets) + sum(centre.kept)
    if len(state.goods) > had + covered + budgets + state.slack and size.naive != {"N17"}:
        return "I1: more goods than points, and nobody stands for them"
    if centre.losses > funded - centre.pool + state.slack:
        return "I1: the pool lost more than was reserved"
    if size.balance - centre.posted - centre.expired - centre.clawed + centre.losses != len(
        centre.keys
    ):
        return "I3: debited otherwise than once a sale"
    if centre.keys - state.goods:
        return "I4: debited without goods"
    return _risked_beyond(state, size) or _uncovered(state) or _forgotten(state)


def _risked_beyond(state: State, size: Size) -> str:
    """Say whether a till has more risk budget than it may, or than stands for it (I5, I13)."""
    waiting = {message[1:] for message in state.net if message[0] == "record"}
    waiting -= state.centre.applied
    for number, till in enumerate(state.tills):
        unsettled = state.centre.budgets[number]
        if unsettled > size.risk:
            return f"I13: till {number} has {unsettled} of risk unsettled"
        spent = sum(
            each[0] == number and isinstance(each[3], tuple) and each[3][0] == "risk"
            for each in waiting
        )
        if till.risk + spent > unsettled + state.centre.kept[number] + state.slack:
            return f"I5: till {number} may risk more than stands for it"
    return ""


def _uncovered(state: State) -> str:
    """Say whether tills may spend, or have spent, more of a grant than is held for it (I5)."""
    if state.slack:
        return ""
    out = [0] * len(state.centre.grants)
    for till in state.tills:
        for grant, points in enumerate(till.rights):
            out[grant] += points
    for message in state.net:
        grant, points = _on_its_way(state, message)
        if points:
            out[grant] += points
    for grant, points in enumerate(out):
        held = state.centre.grants[grant]
        if points > held.outstanding + held.exposure:
            return f"I5: {points} of grant {grant} are about, {held.outstanding} are held"
    return ""


def _on_its_way(state: State, message: Message) -> tuple[int, int]:
    """Return which grant a message is about, and how many points the centre will hear of by it."""
    match message:
        case ("record", *_) if message[1:] in state.centre.applied:
            return 0, 0
        case ("record", int(), int(), int(), ("sale", int(grant), int())):
            return grant, 1
        case ("record", int(), int(), int(), ("return", int(grant), int(points))):
            return grant, points
        case ("transfer", int(number), int(grant), int(to), int(incarnation)):
            till = state.tills[to]
            is_open = till.incarnation == incarnation and ("transfer", number) not in till.taken
            is_again = ("delivered", "transfer", number) in state.net
            return grant, int(is_open and not is_again)
    return 0, 0


def _forgotten(state: State) -> str:
    """Say whether goods stay unposted though every record has arrived (I6)."""
    records = {message[1:] for message in state.net if message[0] == "record"}
    if records <= state.centre.applied and state.goods - state.centre.keys:
        return "I6: goods that were never posted"
    return ""


def check(size: Size, *, states_max: int = 1 << 62) -> Verdict:
    """Try everything that may happen, breadth first, so that a story found is the shortest."""
    first = beginning(size)
    came_from: dict[State, tuple[State, str] | None] = {first: None}
    latest, longest = [first], -1
    while latest:
        following = []
        for state in latest:
            if broken := broken_promise(state, size):
                return Verdict(len(came_from), longest, broken, _story(came_from, state))
            if len(came_from) > states_max:
                return Verdict(len(came_from), longest, is_whole=False)
            for name, after in steps(state, size):
                if after not in came_from:
                    came_from[after] = (state, name)
                    following.append(after)
        latest, longest = following, longest + 1
    return Verdict(len(came_from), longest)


def _story(came_from: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    story: list[str] = []
    while (before := came_from[state]) is not None:
        state, name = before
        story.append(name)
    return tuple(reversed(story))

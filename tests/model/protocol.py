"""The life of one account's points between a centre and some tills, small enough to try everything.

A message once sent may arrive at any time, any number of times, or never. Points move one by one.
`goods` is the truth: what customers walked out with. Every rule the product relies on can be turned
off by name; each of them is then broken by some story (design: sync 6, N1 to N20; C1 to C3: 4.9).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

NAIVE = {
    "N1": "an online spend ignores what is held",
    "N2": "grants are cut from the balance, not from what is free of it",
    "N3": "a grant whose time is over is released",
    "N4": "a grant that comes twice counts twice",
    "N5": "a transfer that comes twice counts twice",
    "N6": "a transfer is sent before its debit is durable",
    "N7": "a residue is returned before it is gone from the till",
    "N8": "a closed grant releases what is not settled, in whatever order records come",
    "N9": "a closed grant releases what a sibling still holds",
    "N10": "a record that comes twice is applied twice",
    "N11": "a sale that fell back from online has another key",
    "N12": "a restored till goes on as it was",
    "N13": "a restored till begins anew and keeps its rights",
    "N14": "a grant is taken by any incarnation",
    "N15": "a transfer is taken by any incarnation",
    "N16": "the centre spends what it only asked back",
    "N17": "the centre fails over to a copy that is behind",
    "N18": "points that expire are taken though they are held",
    "N19": "points clawed back are taken though they are held",
    "N20": "what was delivered is delivered again to a till that came back unnoticed",
    "S4": "records that diverge from the stream are dropped",
    "C1": "a grant by courier is taken as often as its code is shown",
    "C2": "an ask outlives its incarnation, and any takes the grant for it",
    "C3": "a grant by courier is closed while its ask may still be open",
    "R1": "a till that begins anew gets a new risk budget",
    "R2": "the risk budget of a stream that is over is free again at once",
}


Message = tuple[object, ...]


class Grant(NamedTuple):
    """What the centre knows of a grant; `exposure` is pool money kept for one written off."""

    points: int
    outstanding: int
    exposure: int = 0
    is_over: bool = False


class Right(NamedTuple):
    """Points of a grant on their way to one incarnation of one till."""

    grant: int
    till: int
    incarnation: int
    points: int


class Till(NamedTuple):
    """A till: its incarnation, rights by grant, ids it has taken, records, and a copy of its disk.

    `risk` is what it may still spend with nothing set aside; `asks` by courier are open.
    """

    incarnation: int = 0
    rights: tuple[int, ...] = ()
    taken: frozenset[tuple[str, int]] = frozenset()
    seq: int = 0
    risk: int = 0
    asks: frozenset[int] = frozenset()
    image: "Till | None" = None


class Centre(NamedTuple):
    """What a failover may throw back: everything the centre knows; `asks` with their grants.

    `budgets` of risk are what each till was given and has not settled; of that `kept` counts
    against it no more, and is kept back for the streams that are over. `pool` is what is free.
    """

    posted: int
    pool: int
    budgets: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    losses: int = 0
    expired: int = 0
    clawed: int = 0
    grants: tuple[Grant, ...] = ()
    keys: frozenset[int] = frozenset()
    applied: frozenset[Message] = frozenset()
    asks: frozenset[tuple[int, int]] = frozenset()


class Used(NamedTuple):
    """How often each rare thing was done."""

    online: int = 0
    transfers: int = 0
    restores: int = 0
    write_offs: int = 0
    expiries: int = 0
    clawbacks: int = 0
    unknown: int = 0
    failovers: int = 0
    asks: int = 0
    keys: int = 0


class State(NamedTuple):
    """One state of everything.

    `slack` is what tills that came back unnoticed held: the most they may spend twice.
    """

    centre: Centre
    tills: tuple[Till, ...]
    net: frozenset[Message] = frozenset()
    goods: frozenset[int] = frozenset()
    used: Used = Used()
    standby: Centre | None = None
    slack: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a world is, and what may happen in it.

    Attributes:
        naive: rules that are turned off.
        unnoticed: a restore brings the till back without anybody telling.
        slack_less: to show that the bound after such a restore cannot be smaller.
    """

    balance: int = 2
    tills: int = 2
    grants: int = 2
    grant_points: tuple[int, ...] = (1, 2)
    online: int = 1
    transfers: int = 0
    restores: int = 0
    write_offs: int = 0
    expiries: int = 0
    clawbacks: int = 0
    unknown: int = 0
    risk: int = 0
    asks: int = 0
    pool: int = 0
    goods: int = 9
    unnoticed: bool = False
    slack_less: int = 0
    naive: frozenset[str] = frozenset()


Step = tuple[str, State]


def beginning(size: Size) -> State:
    """Return the first state."""
    centre = Centre(
        size.balance, size.pool, budgets=(size.risk,) * size.tills, kept=(0,) * size.tills
    )
    return State(centre, tuple(Till(risk=size.risk) for _ in range(size.tills)))


def free(centre: Centre) -> int:
    """Return what is posted and not held."""
    return centre.posted - sum(grant.outstanding for grant in centre.grants)


def steps(state: State, size: Size) -> Iterator[Step]:
    """Say everything that may happen next."""
    yield from _centre_acts(state, size)
    for message in state.net:
        yield from _arrives(state, message, size)
    for number, till in enumerate(state.tills):
        yield from _till_acts(state, number, till, size)
        if number == 0 and state.used.restores < size.restores:
            yield from _disk(state, number, till, size)


# The centre


def _centre_acts(state: State, size: Size) -> Iterator[Step]:
    centre, used, naive = state.centre, state.used, size.naive
    if len(centre.grants) < size.grants:
        for number, till in enumerate(state.tills):
            for points in size.grant_points:
                if points <= (centre.posted if "N2" in naive else free(centre)):
                    grants = (*centre.grants, Grant(points, points))
                    told = ("grant", len(centre.grants), number, till.incarnation, points)
                    yield (
                        f"grant {len(centre.grants)} of {points} for till {number}",
                        state._replace(
                            centre=centre._replace(grants=grants), net=state.net | {told}
                        ),
                    )
    if used.online < size.online:
        yield from _online(state, size)
    yield from _time_passes(state, size)
    yield from _risk_is_given(state, size)
    if "C3" in naive:
        for ask, grant in centre.asks:
            yield from _ask_over(state, ask, grant)
    if "N17" in naive and used.failovers < 1:
        if state.standby is None:
            yield "the standby is up to date", state._replace(standby=centre)
        else:
            yield (
                "failover",
                state._replace(
                    centre=state.standby, used=used._replace(failovers=used.failovers + 1)
                ),
            )


def _online(state: State, size: Size) -> Iterator[Step]:
    centre, used = state.centre, state.used
    key = used.keys
    spent = state._replace(
        goods=state.goods | {key}, used=used._replace(online=used.online + 1, keys=key + 1)
    )
    if (centre.posted if "N1" in size.naive else free(centre)) >= 1:
        paid = centre._replace(posted=centre.posted - 1, keys=centre.keys | {key})
        yield f"online spend, key {key}", spent._replace(centre=paid)
    if "N16" in size.naive:
        for number, grant in enumerate(centre.grants):
            if grant.outstanding:
                less = _with(centre, number, grant._replace(outstanding=grant.outstanding - 1))
                paid = less._replace(posted=less.posted - 1, keys=less.keys | {key})
                told: Message = ("less", number, used.online)
                yield (
                    f"online spend of grant {number}, its till is told",
                    spent._replace(centre=paid, net=state.net | {told}),
                )


def _risk_is_given(state: State, size: Size) -> Iterator[Step]:
    """A HELLO fills a till's budget up to its bound; what is over may be written off before."""
    for number, till in enumerate(state.tills):
        centre = state.centre
        unsettled = centre.budgets[number]
        bound = size.risk * (till.incarnation + 1 if "R1" in size.naive else 1)
        if unsettled < bound and centre.pool:
            given = centre._replace(
                pool=centre.pool - 1, budgets=_at(centre.budgets, number, unsettled + 1)
            )
            more = _changed(state, number, till._replace(risk=till.risk + 1))
            yield f"till {number} is given a point of risk", more._replace(centre=given)
        over = unsettled - till.risk
        if till.incarnation and over > 0 and state.used.write_offs < size.write_offs:
            used = state.used._replace(write_offs=state.used.write_offs + 1)
            less = centre._replace(budgets=_at(centre.budgets, number, unsettled - over))
            if "R2" in size.naive:
                gone = less._replace(pool=less.pool + over)
            else:
                gone = less._replace(kept=_at(less.kept, number, less.kept[number] + over))
            name = f"{over} of till {number}'s risk budget are written off"
            yield name, state._replace(centre=gone, used=used)


def _at(values: tuple[int, ...], number: int, value: int) -> tuple[int, ...]:
    return (*values[:number], value, *values[number + 1 :])


def _time_passes(state: State, size: Size) -> Iterator[Step]:
    centre, used, naive = state.centre, state.used, size.naive
    if used.write_offs < size.write_offs:
        after = state._replace(used=used._replace(write_offs=used.write_offs + 1))
        for number, grant in enumerate(centre.grants):
            gone = grant.outstanding
            if not gone or grant.is_over:
                continue
            if "N3" in naive:
                released = _with(centre, number, grant._replace(outstanding=0, is_over=True))
                yield f"grant {number} expired and is released", after._replace(centre=released)
            elif centre.pool >= gone:
                lost = _with(
                    centre, number, grant._replace(outstanding=0, exposure=gone, is_over=True)
                )
                lost = lost._replace(pool=lost.pool - gone)
                yield f"grant {number} is written off", after._replace(centre=lost)
    for name, most, rule, field in (
        ("expire", size.expiries, "N18", "expired"),
        ("are clawed back", size.clawbacks, "N19", "clawed"),
    ):
        done = getattr(used, "expiries" if field == "expired" else "clawbacks")
        points = centre.posted if rule in naive else free(centre)
        if done < most and points > 0:
            changed = centre._replace(posted=centre.posted - points)
            changed = changed._replace(**{field: getattr(changed, field) + points})
            count = {"expiries" if field == "expired" else "clawbacks": done + 1}
            yield (
                f"{points} points {name}",
                state._replace(centre=changed, used=used._replace(**count)),
            )


def _with(centre: Centre, number: int, grant: Grant) -> Centre:
    return centre._replace(grants=(*centre.grants[:number], grant, *centre.grants[number + 1 :]))


# What arrives


def _arrives(state: State, message: Message, size: Size) -> Iterator[Step]:
    match message:
        case ("grant", int(grant), int(number), int(incarnation), int(points)):
            yield from _grant_arrives(state, (grant, number, incarnation, points), size)
        case ("transfer", int(transfer), int(grant), int(to), int(incarnation)):
            yield from _transfer_arrives(state, (transfer, grant, to, incarnation), size)
        case ("less", int(grant), int(notice)):
            yield from _notice_arrives(state, grant, notice)
        case ("ask" | "over" | "courier", *_):
            yield from _carried(state, message, size)
        case ("record", int(number), int(), int(), tuple(record)):
            applied = _apply(state, message[1:], record, size)
            if applied is not None:
                yield f"the centre applies {record} of till {number}", applied


def _grant_arrives(state: State, told: tuple[int, int, int, int], size: Size) -> Iterator[Step]:
    grant, number, incarnation, points = told
    till, once = state.tills[number], ("delivered", "grant", grant)
    if size.unnoticed and "N20" not in size.naive and once in state.net:
        return  # a session is live once: no old grant is ever delivered again
    if till.incarnation != incarnation and "N14" not in size.naive:
        return
    taken = _take(till, "grant", grant, grant, points, twice="N4" in size.naive)
    if taken is not None:
        yield f"till {number} takes grant {grant}", _changed(state, number, taken, once)


def _transfer_arrives(state: State, told: tuple[int, int, int, int], size: Size) -> Iterator[Step]:
    transfer, grant, to, incarnation = told
    till, once = state.tills[to], ("delivered", "transfer", transfer)
    if size.unnoticed and "N20" not in size.naive and once in state.net:
        return  # an open nonce is in memory alone: no image brings it back
    if till.incarnation != incarnation and "N15" not in size.naive:
        return
    taken = _take(till, "transfer", transfer, grant, 1, twice="N5" in size.naive)
    if taken is not None:
        yield f"till {to} takes transfer {transfer}", _changed(state, to, taken, once)


def _carried(state: State, message: Message, size: Size) -> Iterator[Step]:
    match message:
        case ("ask", int(ask), int(number), int(incarnation)):
            yield from _ask_arrives(state, (ask, number, incarnation), size)
        case ("over", int(ask)):
            yield from _ask_over(state, ask, dict(state.centre.asks).get(ask))
        case ("courier", int(ask), int(grant), int(number), int(incarnation), int(points)):
            yield from _courier_arrives(
                state, ask, Right(grant, number, incarnation, points), size.naive
            )


def _ask_arrives(state: State, told: tuple[int, int, int], size: Size) -> Iterator[Step]:
    """A telephone brings an ask: one grant is made for it, however often it comes."""
    ask, number, incarnation = told
    centre = state.centre
    if ask in dict(centre.asks) or len(centre.grants) >= size.grants:
        return
    for points in size.grant_points:
        if points <= free(centre):
            grant = len(centre.grants)
            made = centre._replace(
                grants=(*centre.grants, Grant(points, points)), asks=centre.asks | {(ask, grant)}
            )
            code: Message = ("courier", ask, grant, number, incarnation, points)
            yield (
                f"grant {grant} of {points} for ask {ask}",
                state._replace(centre=made, net=state.net | {code}),
            )


def _ask_over(state: State, ask: int, grant: int | None) -> Iterator[Step]:
    if grant is not None and state.centre.grants[grant].outstanding:
        held = state.centre.grants[grant]._replace(outstanding=0)
        yield (
            f"ask {ask} is over, its grant closed",
            state._replace(centre=_with(state.centre, grant, held)),
        )


def _courier_arrives(state: State, ask: int, right: Right, naive: frozenset[str]) -> Iterator[Step]:
    till = state.tills[right.till]
    if till.incarnation != right.incarnation and "C2" not in naive:
        return
    taken: Till | None
    if "C1" in naive:
        taken = _take(till, "courier", ask, right.grant, right.points, twice=True)
    elif ask not in till.asks:
        return
    else:
        taken = _rights(till, right.grant, right.points)
    if taken is not None:
        closed = taken._replace(asks=taken.asks - {ask})
        yield (
            f"till {right.till} takes the grant for ask {ask}",
            _changed(state, right.till, closed),
        )


def _notice_arrives(state: State, grant: int, notice: int) -> Iterator[Step]:
    mark = ("less", notice)
    for number, till in enumerate(state.tills):
        if grant < len(till.rights) and till.rights[grant] and mark not in till.taken:
            less = _rights(till, grant, -1)._replace(taken=till.taken | {mark})
            yield f"till {number} gives up a point of grant {grant}", _changed(state, number, less)


def _take(till: Till, kind: str, one: int, grant: int, points: int, *, twice: bool) -> Till | None:
    if (kind, one) in till.taken:
        if not twice or (f"{kind} again", one) in till.taken:
            return None
        kind = f"{kind} again"
    return _rights(till, grant, points)._replace(taken=till.taken | {(kind, one)})


def _rights(till: Till, grant: int, points: int) -> Till:
    rights = [*till.rights, *[0] * (grant + 1 - len(till.rights))]
    rights[grant] += points
    return till._replace(rights=tuple(rights))


def _changed(state: State, number: int, till: Till, *told: Message) -> State:
    tills = (*state.tills[:number], till, *state.tills[number + 1 :])
    return state._replace(tills=tills, net=state.net.union(told))


def _apply(state: State, at: Message, record: Message, size: Size) -> State | None:
    """Apply a record once; of what diverges from the stream only facts count."""
    centre, naive = state.centre, size.naive
    again = at in centre.applied
    if again and ("N10" not in naive or ("again", *at) in centre.applied):
        return None
    done = centre._replace(applied=centre.applied | {("again", *at) if again else at})
    diverges = not again and any(other[:3] == at[:3] for other in centre.applied)
    if diverges and ("S4" in naive or record[0] not in ("sale", "risk")):
        return state._replace(centre=done)
    match record:
        case ("sale", int(grant), int(key)):
            return state._replace(centre=_settle(done, grant, key, again=again))
        case ("risk", int(key)):
            return state._replace(centre=_risk_settled(done, int(str(at[0])), key))
        case ("return", int(grant), int(points)):
            held = done.grants[grant]
            home = min(points, held.outstanding)
            back = min(points - home, held.exposure)
            held = held._replace(outstanding=held.outstanding - home, exposure=held.exposure - back)
            return state._replace(centre=_with(done, grant, held)._replace(pool=done.pool + back))
        case ("close", int(grant)):
            here = {each[2] for each in done.applied if each[:2] == at[:2]}
            if "N9" in naive and not here >= set(range(1, int(str(at[2])))):
                return None
            held = done.grants[grant]._replace(outstanding=0)
            return state._replace(centre=_with(done, grant, held))
    return state._replace(centre=done)


def _settle(centre: Centre, grant: int, key: int, *, again: bool) -> Centre:
    held = centre.grants[grant]
    is_posted = key in centre.keys and not again
    if held.outstanding:
        centre = _with(centre, grant, held._replace(outstanding=held.outstanding - 1))
        return (
            centre
            if is_posted
            else centre._replace(posted=centre.posted - 1, keys=centre.keys | {key})
        )
    if held.exposure:
        centre = _with(centre, grant, held._replace(exposure=held.exposure - 1))
        if is_posted:
            return centre._replace(pool=centre.pool + 1)
        return centre._replace(losses=centre.losses + 1, keys=centre.keys | {key})
    if is_posted:
        return centre
    # Nothing stands for it: only a right that was spent twice gets here.
    return centre._replace(losses=centre.losses + 1, keys=centre.keys | {key})


def _risk_settled(centre: Centre, number: int, key: int) -> Centre:
    """Pay for a sale on risk with what was reserved for it, and else with what is free."""
    paid = centre._replace(losses=centre.losses + 1, keys=centre.keys | {key})
    if centre.budgets[number]:
        return paid._replace(budgets=_at(centre.budgets, number, centre.budgets[number] - 1))
    if centre.kept[number]:
        return paid._replace(kept=_at(centre.kept, number, centre.kept[number] - 1))
    return paid._replace(pool=centre.pool - 1)


# The tills


def _till_acts(state: State, number: int, till: Till, size: Size) -> Iterator[Step]:
    used, naive = state.used, size.naive
    for grant, points in enumerate(till.rights):
        if not points:
            continue
        less = _rights(till, grant, -1)
        if len(state.goods) < size.goods:
            key = used.keys
            sold = state._replace(goods=state.goods | {key}, used=used._replace(keys=key + 1))
            yield (
                f"till {number} sells for a point of grant {grant}, key {key}",
                _recorded(sold, number, less, ("sale", grant, key)),
            )
            if used.unknown < size.unknown and free(state.centre) >= 1:
                yield _fell_back(sold, number, less, grant, key, size)
        yield from _gives_back(state, number, till, grant, size)
        if used.transfers < size.transfers:
            for to, other in enumerate(state.tills):
                if to != number:
                    told: Message = ("transfer", used.transfers, grant, to, other.incarnation)
                    sent = state._replace(
                        net=state.net | {told}, used=used._replace(transfers=used.transfers + 1)
                    )
                    after = (
                        sent
                        if "N6" in naive
                        else _recorded(sent, number, less, ("out", used.transfers))
                    )
                    yield f"till {number} gives a point of grant {grant} to till {to}", after
    yield from _asks(state, number, till, size)
    if till.risk and len(state.goods) < size.goods:
        key = used.keys
        sold = state._replace(goods=state.goods | {key}, used=used._replace(keys=key + 1))
        risked = till._replace(risk=till.risk - 1)
        yield (
            f"till {number} risks a point, key {key}",
            _recorded(sold, number, risked, ("risk", key)),
        )


def _asks(state: State, number: int, till: Till, size: Size) -> Iterator[Step]:
    used = state.used
    if used.asks < size.asks:
        ask = used.asks
        open_ = _changed(
            state,
            number,
            till._replace(asks=till.asks | {ask}),
            ("ask", ask, number, till.incarnation),
        )
        yield f"till {number} asks by courier", open_._replace(used=used._replace(asks=ask + 1))
    for ask in till.asks:
        given_up = till._replace(asks=till.asks - {ask})
        yield (
            f"till {number} gives ask {ask} up",
            _changed(state, number, given_up, ("over", ask)),
        )


def _gives_back(state: State, number: int, till: Till, grant: int, size: Size) -> Iterator[Step]:
    points = till.rights[grant]
    none = _rights(till, grant, -points)
    if size.naive & {"N8", "N9"}:
        yield (
            f"till {number} closes grant {grant}",
            _recorded(state, number, none, ("close", grant)),
        )
        return
    mark = ("returned", grant)
    if "N7" in size.naive:
        if mark not in till.taken:
            kept = till._replace(taken=till.taken | {mark})
            yield (
                f"till {number} says it returns grant {grant}",
                _recorded(state, number, kept, ("return", grant, points)),
            )
        return
    yield (
        f"till {number} returns grant {grant}",
        _recorded(state, number, none, ("return", grant, points)),
    )


def _fell_back(sold: State, number: int, less: Till, grant: int, key: int, size: Size) -> Step:
    """The centre posts a spend, its answer is lost, and the till spends its grant instead."""
    centre = sold.centre
    online = key if "N11" not in size.naive else 100 + key
    paid = centre._replace(posted=centre.posted - 1, keys=centre.keys | {online})
    used = sold.used._replace(unknown=sold.used.unknown + 1)
    after = _recorded(sold._replace(centre=paid, used=used), number, less, ("sale", grant, key))
    return f"till {number} heard no answer and spends grant {grant}, key {key}", after


def _recorded(state: State, number: int, till: Till, record: tuple[object, ...]) -> State:
    seq = till.seq + 1
    told: Message = ("record", number, till.incarnation, seq, record)
    return _changed(state, number, till._replace(seq=seq), told)


def _disk(state: State, number: int, till: Till, size: Size) -> Iterator[Step]:
    naive = size.naive
    if till.image is None:
        image = till._replace(image=None)
        yield (
            f"an image of till {number} is made",
            _changed(state, number, till._replace(image=image)),
        )
        return
    image = till.image
    used = state.used._replace(restores=state.used.restores + 1)
    slack = state.slack
    if size.unnoticed or "N12" in naive:
        back = image
        # An open ask is as good as a right.
        worth = sum(image.rights) + image.risk + len(image.asks) * max(size.grant_points)
        slack += (worth - size.slack_less) if size.unnoticed else 0
    elif "N13" in naive:
        back = image._replace(incarnation=till.incarnation + 1, seq=0)
    else:
        # Somebody can tell: a new incarnation, and no rights.
        asks = image.asks if "C2" in naive else frozenset()
        back = Till(till.incarnation + 1, taken=image.taken, asks=asks)
    after = _changed(state, number, back)._replace(used=used, slack=slack)
    yield f"till {number} comes back from its image", after

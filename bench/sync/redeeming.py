"""THE YEAR: real visits, stores that lose their line for a day, and who can still redeem.

Every day each store is out with the same small chance, whole days, drawn by seed. Homes follow the
planner's rule: the store with the most visits, each worth half of what it was 60 days before. The
home store's vault holds what the planner sets aside, at most the cap; the rest is available to all
other stores. Where the line is up a redemption takes what is available and, at the store whose
vault answers, what is held. Nothing earned without a line can be spent before it is told.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from bench.grocery.customers import _OPENING_POINTS
from bench.grocery.draws import Draws
from bench.sync.holding import TILLS, OfflineStore, Served
from bench.sync.visits import Visit, by_day
from bench.till.progress import Bar
from central.rights.issuing import RightsSettings

HALF_LIFE_DAYS: Final = 60
COURIER_PER_MILLE: Final = 350
"""Wishes whose customer has a telephone on the air (design: sync 4.9)."""
SOURCES: Final = ("own_grant", "vault", "courier", "risk")
"""In the order they are asked."""
WARM_UP_DAYS: Final = 90
"""Homes are learnt so long before anything is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """What is drawn.

    Attributes:
        outage_per_mille: of the days of each store.
    """

    rounds: int = 4
    outage_per_mille: int = 50


@dataclass(slots=True)
class Account:
    """A household at the centre: posted points, of them held, and where."""

    posted: int
    home: int = 0
    held: int = 0
    weights: dict[int, float] = field(default_factory=lambda: defaultdict(float))


@dataclass(slots=True)
class Tally:
    """What was counted; points of wishes where no other unit is named.

    Attributes:
        whole_by: wishes served whole, by the last source that was needed for it.
    """

    wishes: int = 0
    whole: int = 0
    partly: int = 0
    wanted: int = 0
    by_source: Counter[str] = field(default_factory=Counter)
    whole_by: Counter[str] = field(default_factory=Counter)
    at_home: int = 0
    online_wishes: int = 0
    online_held_elsewhere: int = 0
    overdraft: int = 0
    risk: int = 0
    cached_overdraft: int = 0
    cached_spent: int = 0
    outage_days: int = 0


def measure(visits: list[Visit], year: Year, *, seed: int) -> dict[str, Any]:
    """Play the year some times, with other outages each time; returns the figures."""
    tally = Tally()
    bar = Bar("a year of outages", year.rounds * (visits[-1].day + 1))
    for number in range(year.rounds):
        chain = _Chain(year, tally, seed=seed * 1_000 + number)
        for today in by_day(visits):
            chain.play(today)
            bar.step()
    bar.end()
    return report_of(tally, year)


class _Chain:
    """All stores and accounts."""

    def __init__(self, year: Year, tally: Tally, *, seed: int) -> None:
        self._year = year
        self._tally = tally
        self._seed = seed
        self._rights = RightsSettings()
        self._accounts: dict[int, Account] = {}
        # What a system that spends from cached balances would have posted, on the same wishes.
        self._cached_posted: dict[int, int] = {}

    def play(self, today: list[Visit]) -> None:
        """Play one day; what stores without a line did is told at its end."""
        day = today[0].day
        out = {store: self._cut() for store in self._stores_out(today, day)}
        counts = day >= WARM_UP_DAYS
        self._tally.outage_days += len(out) if counts else 0
        late: list[tuple[Visit, Served]] = []
        late_cached: list[tuple[int, int]] = []
        cut_balances = dict(self._cached_posted) if out else {}
        known = {visit.household: self._available(visit) for visit in today if visit.store in out}
        for place, visit in enumerate(today):
            account = self._account(visit)
            draws = Draws(self._seed, "visit", day, place)
            if visit.store in out:
                store = out[visit.store]
                served = self._offline(
                    store, account, visit, draws, known=known[visit.household], counts=counts
                )
                late.append((visit, served))
                spent = self._cached_offline(store, visit, cut_balances, draws)
                late_cached.append((visit.household, spent))
            else:
                self._online(account, visit, {*out}, counts=counts)
                spent = min(visit.wants, max(0, self._cached_posted[visit.household]))
                self._cached_posted[visit.household] += visit.earns - spent
            self._tally.cached_spent += spent if counts else 0
        self._tell(late, day)
        self._tell_cached(today, out, late_cached, counts=counts)
        for store in out.values():
            store.close()

    def _stores_out(self, today: list[Visit], day: int) -> list[int]:
        return [
            store
            for store in sorted({visit.store for visit in today})
            if Draws(self._seed, "outage", day, store).happens(self._year.outage_per_mille)
        ]

    def _cut(self) -> OfflineStore:
        return OfflineStore({}, self._rights.risk_points_per_till, self._rights.offline_points_max)

    def _account(self, visit: Visit) -> Account:
        found = self._accounts.get(visit.household)
        if found is None:
            opening = Draws(self._seed, "opening", visit.household).between(*_OPENING_POINTS)
            found = self._accounts[visit.household] = Account(opening)
            self._cached_posted[visit.household] = opening
        return found

    def _available(self, visit: Visit) -> int:
        account = self._account(visit)
        return account.posted - account.held

    # The line is up

    def _online(self, account: Account, visit: Visit, out: set[int], *, counts: bool) -> None:
        reachable = account.posted - (account.held if account.home in out else 0)
        spent = min(visit.wants, reachable)
        if visit.wants and counts:
            self._tally.online_wishes += 1
            wanted = min(visit.wants, account.posted)
            self._tally.online_held_elsewhere += spent < wanted
        account.posted += visit.earns - spent
        self._visited(account, visit, moves=account.home not in out)

    def _visited(self, account: Account, visit: Visit, *, moves: bool) -> None:
        account.weights[visit.store] += 2.0 ** (visit.day / HALF_LIFE_DAYS)
        if not moves:
            return  # what a till without a line holds stays where it is
        best = max(account.weights.items(), key=lambda each: (each[1], each[0] == account.home))
        account.home = best[0]
        more = min(self._rights.grant_points_max, account.posted) - account.held
        if more < 0 or more >= self._rights.grant_points_min:
            account.held += more

    # The line is down

    def _offline(
        self,
        store: OfflineStore,
        account: Account,
        visit: Visit,
        draws: Draws,
        *,
        known: int,
        counts: bool,
    ) -> Served:
        """Serve a wish.

        Args:
            known: points nobody held when the line went, as the store's tills were told.
        """
        if not visit.wants:
            return Served()
        is_home = account.home == visit.store
        if is_home and visit.household not in store.grants and account.held:
            store.grants[visit.household] = account.held
            store.till(0).receive(f"grant {visit.household}", visit.household, account.held)
        wanted = min(visit.wants, account.posted)
        available = max(0, account.posted - account.held)
        by_courier = available if draws.happens(COURIER_PER_MILLE) else 0
        if not wanted:
            return Served()
        served = store.redeem(
            draws.below(TILLS), visit.household, wanted, available=known, by_courier=by_courier
        )
        # A courier's grant is the centre's own: it is held from then on, and nobody else has it.
        if served.courier:
            account.posted -= served.courier
        if counts:
            self._count(wanted, served, is_home=is_home)
        return served

    def _count(self, wanted: int, served: Served, *, is_home: bool) -> None:
        tally = self._tally
        tally.wishes += 1
        tally.at_home += is_home
        tally.wanted += wanted
        parts = dict(
            zip(
                SOURCES,
                (served.own_grant, served.vault, served.courier, served.risk),
                strict=True,
            )
        )
        tally.by_source.update(parts)
        tally.by_source["refused"] += wanted - served.total
        tally.risk += served.risk
        if served.total >= wanted:
            tally.whole += 1
            tally.whole_by[[name for name, points in parts.items() if points][-1]] += 1
        elif served.total:
            tally.partly += 1

    def _cached_offline(
        self, store: OfflineStore, visit: Visit, at_cut: dict[int, int], draws: Draws
    ) -> int:
        """Spend from what this till knew when the line went, and what it has seen itself since."""
        till = store.cached[draws.below(TILLS)]
        known = till.setdefault(
            visit.household, at_cut.get(visit.household, self._cached_posted[visit.household])
        )
        spent = min(visit.wants, max(0, known))
        till[visit.household] = known - spent
        return spent

    # The line is back

    def _tell(self, late: list[tuple[Visit, Served]], day: int) -> None:
        for visit, served in late:
            account = self._accounts[visit.household]
            account.posted += visit.earns - (served.total - served.courier)
            if account.posted < 0:
                self._tally.overdraft += -account.posted if day >= WARM_UP_DAYS else 0
                account.posted = 0  # the pool has paid it
            account.held = min(account.held, account.posted)
            self._visited(account, visit, moves=True)

    def _tell_cached(
        self,
        today: list[Visit],
        out: dict[int, OfflineStore],
        late: list[tuple[int, int]],
        *,
        counts: bool,
    ) -> None:
        for household, spent in late:
            self._cached_posted[household] -= spent
            if self._cached_posted[household] < 0:
                self._tally.cached_overdraft += -self._cached_posted[household] if counts else 0
                self._cached_posted[household] = 0
        for visit in today:
            if visit.store in out:
                self._cached_posted[visit.household] += visit.earns


def report_of(tally: Tally, year: Year) -> dict[str, Any]:
    """Return the figures: shares of the wishes, and of the points that were wished for."""
    wanted = max(1, tally.wanted)
    wishes = max(1, tally.wishes)
    return {
        "served_share": round(1 - tally.by_source["refused"] / wanted, 4),
        "refused_share": round(tally.by_source["refused"] / wanted, 4),
        "served_whole_share": round(tally.whole / wishes, 4),
        "served_partly_share": round(tally.partly / wishes, 4),
        "wishes_by_source": {
            **{name: round(tally.whole_by[name] / wishes, 4) for name in SOURCES},
            "partly": round(tally.partly / wishes, 4),
            "refused": round((tally.wishes - tally.whole - tally.partly) / wishes, 4),
        },
        "points_by_source": {
            name: round(tally.by_source[name] / wanted, 4) for name in (*SOURCES, "refused")
        },
        "wishes": tally.wishes,
        "wishes_at_home_share": round(tally.at_home / wishes, 4),
        "wanted_points": tally.wanted,
        "store_days_out": tally.outage_days,
        "online_wishes": tally.online_wishes,
        "online_short_for_points_held_out_of_reach": tally.online_held_elsewhere,
        "risk_points": tally.risk,
        "our_overdraft": tally.overdraft,
        "cached_balance_overdraft": tally.cached_overdraft,
        "cached_balance_spent": tally.cached_spent,
        "rounds": year.rounds,
        "outage_per_mille": year.outage_per_mille,
    }

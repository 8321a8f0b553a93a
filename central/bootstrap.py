"""The one place that joins the parts of the centre; tests and the simulator pass their own."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog
from starlette.applications import Starlette

from central.access.tokens import token_key
from central.api.app import make_app
from central.api.app_routes import AppRoutes
from central.api.customer_routes import CustomerRoutes
from central.api.ledger_routes import LedgerRoutes
from central.api.long_calls import LongCalls
from central.api.oauth_routes import OauthRoutes
from central.api.office_routes import OfficeRoutes
from central.api.open_routes import OpenRoutes
from central.api.operations_routes import OperationsRoutes
from central.api.partner_routes import PartnerRoutes
from central.api.rule_routes import RuleRoutes
from central.api.till_rates import TillRates
from central.api.till_routes import TillRoutes
from central.availability.counting import fold as fold_service
from central.availability.counting import sweep as sweep_service
from central.config import CentralConfig
from central.database.embedded import start_embedded
from central.database.opening import make_ready
from central.database.pool import Pool, Pools, open_pool
from central.keys import CentreKeys
from central.ledger.sealing import seal_due
from central.people.birthdays import turn_birthdays
from central.people.tiers import tend_tiers
from central.privacy.customers import CustomerDesk
from central.privacy.erasing import tend_erasures
from central.rights.counters import CounterDesk
from central.rights.courier import CourierDesk
from central.rights.issuing import RightsDesk, RightsSettings
from central.rights.tending import tend
from central.rules.directory import RuleDirectory
from central.rules.guarding import RuleGuard
from central.rules.library import RuleLibrary
from central.rules.shown_rules import ShownRuleShelf
from central.streams.apply import Applier
from central.streams.durable import Durable
from central.streams.lines import LineReader
from central.streams.partner_points import settle as settle_partners
from central.streams.sharing import share_for_ever
from central.streams.used_codes import forget as forget_codes
from central.system import System
from central.tills.desk import TillDesk
from central.tills.feed import SWEPT_MAX, sweep, watch_epoch
from central.tills.front import TillFront
from central.tills.told_accounts import ToldAccounts
from central.tills.waiting import WaitingRoom

log = structlog.get_logger()

_IDLE_S = 1.0
_FEW = 150
_MOMENT_S = 0.1
_BIRTHDAYS_S = 3600.0
_RIGHTS_S = 60.0
_SEALS_S = 900.0
_TIERS_S = 30.0
_ERASURES_S = 10.0
_SWEEP_MS = 3_600_000
_EPOCH_S = 10.0
_GUARD_S = 5.0
_SERVICE_S = 60.0
_PARTNERS_S = 10.0
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What a database says, or its client in its place, that went away in the middle of a statement."""


@dataclass(frozen=True, slots=True)
class Centre:
    """A joined centre; `ingested` is set when there is something to apply."""

    pool: Pool
    keys: CentreKeys
    system: System
    desk: TillDesk
    applier: Applier
    app: Starlette
    ingested: asyncio.Event

    @property
    def behind(self) -> Pool:
        """What goes on behind works on this pool."""
        return self.applier.pool


def join_centre(  # noqa: PLR0913 - one for each part that is chosen outside
    pool: Pool,
    keys: CentreKeys,
    system: System,
    rights: RightsSettings,
    room: WaitingRoom | None = None,
    pools: Pools | None = None,
    people: CustomerDesk | None = None,
    rates: TillRates | None = None,
    *,
    durable: Durable = "commit",
) -> Centre:
    """Join the parts over an open, migrated database.

    Args:
        room: where pulls wait for news; without one they are answered at once.
        pools: of the traffic classes; without them all share `pool`.
        people: reads and writes people's data; without it nothing of them is served.
        rates: how often one till may call; without them as often as it likes.
        durable: what makes a record so.
    """
    pools = pools or Pools.shared(pool)
    library = RuleLibrary()
    ingested = asyncio.Event()
    tokens = token_key(keys.centre)
    counters = CounterDesk(pool, system, keys.centre, rights, library)
    directory = RuleDirectory(pool, system)
    told = ToldAccounts(pool)
    long_calls = LongCalls()
    desk = TillDesk(
        pool, RightsDesk(pool, system, keys.centre, rights), counters, system, ingested, directory,
        TillFront(pool, system, durable),
        WaitingRoom() if room is None else room,
        LineReader(pool, library, told),
        told,
    )  # fmt: skip
    app = make_app(
        OpenRoutes(pool, keys, system, directory),  # first: a whole fleet fetches a delta at once
        TillRoutes(pool, desk, keys, rates),
        OperationsRoutes(pools.office, keys, system),  # one of its paths looks like a receipt's
        OfficeRoutes(pools.office, keys, library, long_calls),
        OauthRoutes(pools.app, keys, tokens, system),
        AppRoutes(
            pool=pools.app,
            desk=CourierDesk(pools.app, system, keys.centre, rights),
            keys=keys,
            token_public=tokens.public,
            system=system,
            shelf=ShownRuleShelf(),
        ),
        PartnerRoutes(pool=pools.app, keys=keys, token_public=tokens.public, system=system),
        RuleRoutes(pools.office, keys, system),
        LedgerRoutes(pools.office, keys, system, long_calls),
        CustomerRoutes(pools.office, people),
    )
    # Rules are compiled once in a process, whoever asks for them.
    applier = Applier(pools.processing, library, system)
    return Centre(pool, keys, system, desk, applier, app, ingested)


@asynccontextmanager
async def opened_database(
    config: CentralConfig, system: System, *, contracting: bool = False
) -> AsyncIterator[Pool]:
    """Open the configured database, or an embedded one in the data folder, migrated.

    Args:
        contracting: as of `make_ready`.

    Raises:
        DatabaseUnavailableError: it does not answer or does not fit.
        MigrationError: the schema cannot be brought up to date.
    """
    async with opened_server(config) as dsn:
        await make_ready(
            dsn,
            now_ms=system.now_ms(),
            with_roles=not config.database,
            contracting=contracting,
        )
        pool = await open_pool(dsn, connections_max=config.connections_max)
        try:
            yield pool
        finally:
            await pool.close()


@asynccontextmanager
async def opened_server(config: CentralConfig) -> AsyncIterator[str]:
    """Give the address of the configured database, or of an embedded one while the block runs.

    Raises:
        DatabaseUnavailableError: an embedded one does not start.
    """
    config.folder.mkdir(parents=True, exist_ok=True)
    if config.database:
        yield config.database
        return
    server = await asyncio.to_thread(start_embedded, config.folder / "postgres")
    try:
        yield server.dsn
    finally:
        await asyncio.to_thread(server.stop)


def applying(centre: Centre) -> tuple[Coroutine[Any, Any, None], ...]:
    """Return what applies records, beside others that do."""
    applier = centre.applier
    return (
        apply_for_ever(centre),
        share_for_ever(applier.pool, applier.share, centre.ingested),
    )


async def apply_for_ever(centre: Centre) -> None:
    """Apply what is ingested, as it comes, until cancelled; a failing database is tried again."""
    share = centre.applier.share
    while True:
        try:
            centre.ingested.clear()
            ended = 1
            while ended:
                ended = await centre.applier.apply_pending()
                share.is_failing = False
                if ended < _FEW:
                    # What comes in a moment shares the statements of the next batch; what comes
                    # for other processes is no reason to look all the time.
                    await asyncio.sleep(_MOMENT_S)
        except _LOST as error:
            share.is_failing = True
            log.warning("apply_waits", why=repr(error))
        try:
            async with asyncio.timeout(_IDLE_S):
                await centre.ingested.wait()
        except TimeoutError:
            continue


async def turn_birthdays_for_ever(centre: Centre, days: int) -> None:
    """Open and close birthday windows every hour, until cancelled."""
    while True:
        try:
            turned = await turn_birthdays(centre.behind, now_ms=centre.system.now_ms(), days=days)
            if turned:
                log.info("birthday_windows_turned", accounts=turned)
        except _LOST as error:
            log.warning("birthdays_wait", why=repr(error))
        await asyncio.sleep(_BIRTHDAYS_S)


async def tend_rights_for_ever(centre: Centre) -> None:
    """Freeze, write off and plan rights every minute, until cancelled."""
    while True:
        try:
            done = await tend(
                centre.behind, now_ms=centre.system.now_ms(), settings=centre.desk.rights.settings
            )
            if done.written_off.rights or done.frozen:
                log.info("rights_tended", frozen=done.frozen, lost=done.written_off.points)
            if done.written_off.refused:
                log.warning(
                    "pool_too_small",
                    why="lost rights stay held; put points into the pool",
                    points=done.written_off.refused_points,
                )
        except _LOST as error:
            log.warning("rights_wait", why=repr(error))
        await asyncio.sleep(_RIGHTS_S)


async def seal_days_for_ever(centre: Centre) -> None:
    """Seal the ledger's day that is over, soon after it is, until cancelled."""
    while True:
        try:
            seal = await seal_due(centre.behind, centre.keys.centre, now_ms=centre.system.now_ms())
            if seal is not None:
                log.info("day_sealed", day=seal.day, entries=seal.entries, root=seal.root)
        except _LOST as error:
            log.warning("seal_waits", why=repr(error))
        await asyncio.sleep(_SEALS_S)


async def tend_tiers_for_ever(centre: Centre) -> None:
    """Work out tiers of accounts with news and of those that are due, until cancelled."""
    while True:
        try:
            done = await tend_tiers(centre.behind, now_ms=centre.system.now_ms())
            if done.changed:
                log.info("tiers_changed", accounts=done.changed)
            if done.more:
                continue
        except _LOST as error:
            log.warning("tiers_wait", why=repr(error))
        await asyncio.sleep(_TIERS_S)


async def count_service_for_ever(centre: Centre) -> None:
    """Fold receipts into minutes of availability every minute, until cancelled."""
    while True:
        try:
            while await fold_service(centre.behind, now_ms=centre.system.now_ms()):
                pass
            await sweep_service(centre.behind, now_ms=centre.system.now_ms())
        except _LOST as error:
            log.warning("service_waits", why=repr(error))
        await asyncio.sleep(_SERVICE_S)


async def settle_partners_for_ever(centre: Centre) -> None:
    """Put what tills handed out of partners' points into their statements, until cancelled."""
    while True:
        try:
            while await settle_partners(centre.behind, now_ms=centre.system.now_ms()):
                pass
        except _LOST as error:
            log.warning("partners_wait", why=repr(error))
        await asyncio.sleep(_PARTNERS_S)


async def tend_erasures_for_ever(centre: Centre) -> None:
    """Empty accounts of who is to be forgotten, and end what is done, until cancelled."""
    while True:
        try:
            done = await tend_erasures(centre.behind, now_ms=centre.system.now_ms())
            if done.emptied or done.done:
                log.info("erasures_tended", emptied=done.emptied, done=done.done)
        except _LOST as error:
            log.warning("erasures_wait", why=repr(error))
        await asyncio.sleep(_ERASURES_S)


async def guard_rules_for_ever(centre: Centre) -> None:
    """Look at releases on their way every five seconds, until cancelled; `look` halts and logs."""
    guard = RuleGuard(centre.behind, centre.system)
    while True:
        try:
            await guard.look()
        except _LOST as error:
            log.warning("guard_waits", why=repr(error))
        await asyncio.sleep(_GUARD_S)


async def tend_feed_for_ever(centre: Centre) -> None:
    """Watch for another life of the cluster, and sweep old rows every hour, until cancelled."""
    swept_at_ms = 0
    while True:
        now_ms = centre.system.now_ms()
        try:
            if await watch_epoch(centre.behind, now_ms=now_ms):
                log.warning("feed_epoch", why="another cluster or timeline; tills compare")
            if now_ms - swept_at_ms >= _SWEEP_MS:
                swept = await sweep(centre.behind, now_ms=now_ms)
                await forget_codes(centre.behind, now_ms=now_ms)
                if swept < SWEPT_MAX:  # else it goes on at the next look, so that it keeps up
                    swept_at_ms = now_ms
                if swept:
                    log.info("feed_swept", rows=swept)
        except _LOST as error:
            log.warning("feed_waits", why=repr(error))
        await asyncio.sleep(_EPOCH_S)

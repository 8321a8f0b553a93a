"""The page Prometheus reads: this process's counters, its pools, and figures of the database.

The figures are read when somebody asks and the last ones are old; while the database does not
answer the page is there all the same, without them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from central.database.asking import Asking
from central.database.pool import Pool
from central.observability import families
from central.observability.figures import Figures, OldestTransaction, Seldom, read_figures
from central.observability.meters import REGISTRY
from central.streams.durable import Durable
from central.system import System

log = structlog.get_logger()

PATH: Final = "/metrics"
DATABASE: Final = "database"
"""A query of the page, `1` where whoever asks reads this process alone and wants the database's."""
FRESH_MS: Final = 5_000
"""Figures are read anew when they are older: many that ask cost no more than one."""
READ_S_MAX: Final = 5.0
STALE_MS_MAX: Final = 30_000
"""While a reading takes long the figures before it are told, with their age, up to this one."""


@dataclass(slots=True)
class FigureReader:
    """Reads figures of the database, seldom, and keeps the last.

    Attributes:
        pool: what they are read through.
        wait_s: so long whoever asks waits; less than a scrape may take. A reading that takes
            longer goes on: giving up a statement waits for the database, too.
        durable: what makes a record so.
        figures: the last; None where reading failed.
    """

    pool: Pool
    system: System
    wait_s: float = READ_S_MAX
    durable: Durable = "commit"
    figures: Figures | None = None
    _oldest: OldestTransaction = field(default_factory=OldestTransaction)
    _seldom: Seldom = field(init=False)
    _read_ms: int = 0
    _reading: Asking[Figures | None] = field(init=False)

    def __post_init__(self) -> None:
        self._seldom = Seldom(self.durable)
        self._reading = Asking(self._read)

    async def read(self) -> Figures | None:
        """Return the newest figures there are; None while the database does not answer."""
        if self.figures is not None and self.age_ms() < FRESH_MS:
            return self.figures
        if (figures := await self._reading.answer(wait_s=self.wait_s)) is not None:
            return figures
        # It takes long, or has failed: then there are none.
        return self.figures if self.age_ms() < STALE_MS_MAX else None

    def age_ms(self) -> int:
        """Return how long ago the last figures were read."""
        return max(self.system.monotonic_ms() - self._read_ms, 0)

    async def _read(self) -> Figures | None:
        try:
            async with self.pool.acquire() as connection:
                self.figures = await read_figures(
                    connection,
                    now_ms=self.system.now_ms(),
                    oldest=self._oldest,
                    seldom=self._seldom,
                )
                self._read_ms = self.system.monotonic_ms()
        except Exception as error:  # noqa: BLE001 - whatever it is, old figures are no figures
            log.warning("figures_not_read", why=repr(error))
            self.figures = None
        return self.figures


class _Snapshot(Collector):
    """Metric families worked out before."""

    def __init__(self, found: Iterable[GaugeMetricFamily]) -> None:
        self._found = list(found)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give the families."""
        yield from self._found


@dataclass(slots=True)
class MetricsPage:
    """`GET /metrics`.

    Attributes:
        reader: None where another part of the centre tells the database's figures.
        pools: this process's connections, by what they are for.
        gauges: what else this process knows of itself at a moment, by metric name.
        is_teller: says whether it is this one, of several processes, that tells the database's.
    """

    reader: FigureReader | None
    pools: Mapping[str, Pool]
    gauges: Mapping[str, Callable[[], float]] = field(default_factory=dict)
    is_teller: Callable[[], bool] = lambda: True

    def routes(self) -> list[Route]:
        """Return the page's route."""
        return [Route(PATH, self._page, methods=["GET"])]

    async def render(self, *, is_wanted: bool = False) -> bytes:
        """Return the page in Prometheus' text format.

        Args:
            is_wanted: tell the database's figures though another process does: who adds up what
                several tell would count them twice.
        """
        found = [*families.of_pools(self.pools), *families.of_process(self.gauges)]
        if self.reader is not None and (is_wanted or self.is_teller()):
            figures = await self.reader.read()
            found += families.of_database(figures)
            if figures is not None:
                found.append(families.of_age(self.reader.age_ms()))
        moment = CollectorRegistry()
        moment.register(_Snapshot(found))
        return generate_latest(REGISTRY) + generate_latest(moment)

    async def _page(self, request: Request) -> Response:
        page = await self.render(is_wanted=request.query_params.get(DATABASE) == "1")
        return Response(page, media_type=CONTENT_TYPE_LATEST)

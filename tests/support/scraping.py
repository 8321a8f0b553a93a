"""A page of metrics, read as Prometheus reads it."""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from central.api.traffic import TrafficControl
from central.database.pool import Pool
from central.observability.exposition import FigureReader, MetricsPage
from central.observability.measured import Measured
from central.streams.durable import Durable
from tests.support.centre import JoinedCentre


@dataclass(frozen=True)
class Scrape:
    """One reading of a page."""

    families: Mapping[str, Metric]

    @classmethod
    def of(cls, page: str) -> "Scrape":
        """Read a page; a family that stands there twice fails."""
        found: dict[str, Metric] = {}
        for family in text_string_to_metric_families(page):
            assert family.name not in found, family.name
            found[family.name] = family
        return cls(found)

    def labels(self) -> dict[str, set[str]]:
        """Return the label names of each series of the page."""
        names: dict[str, set[str]] = {}
        for family in self.families.values():
            for sample in family.samples:
                names.setdefault(sample.name, set()).update(sample.labels)
        return names

    def value(self, name: str, **labels: str) -> float:
        """Return a series; 0 for one that is not there."""
        for family in self.families.values():
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return 0.0

    def series(self, name: str) -> dict[tuple[str, ...], float]:
        """Return all series of a name by their labels' values."""
        return {
            tuple(sample.labels.values()): sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name
        }


def page_of(
    centre: JoinedCentre, *, pool: Pool | None = None, durable: Durable = "commit"
) -> MetricsPage:
    """Return the page of a process that is all parts."""
    pool = pool or centre.pool
    gauges = {
        "tillside_event_loop_late_seconds": lambda: 0.0,
        "tillside_event_loop_busy_share": lambda: 0.0,
        "tillside_pulls_held": lambda: 0.0,
    }
    return MetricsPage(FigureReader(pool, centre.system, durable=durable), {"till": pool}, gauges)


async def scrape(centre: JoinedCentre) -> Scrape:
    """Read a page."""
    return Scrape.of((await page_of(centre).render()).decode())


async def busy_scrape(centre: JoinedCentre) -> Scrape:
    """Let a centre see a bit of everything, and read its page."""
    up = await centre.till()
    silent_store = await _silent_store(centre)
    await centre.pool.execute(
        "update till set quarantined_at_ms = 1 where store_id = $1", silent_store
    )
    await centre.post(up, up.sale("s1", link_up=True), up.refund("r1", "nowhere"))
    app = Measured(TrafficControl(centre.parts.app), centre.parts.app.routes)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://centre") as http:
        await http.get("/v1/receipts/none")
        await http.get("/v1/health")
    centre.system.at_ms += 120_000
    await up.hello()
    found = await scrape(centre)
    assert found.value("tillside_stores_silent") == 1, silent_store
    return found


async def _silent_store(centre: JoinedCentre) -> str:
    await centre.store("silent")
    till = await centre.till("silent")
    await centre.pool.execute(
        "update till set last_seen_ms = $2 where till_id = $1",
        till.till_id, centre.system.at_ms - 3_600_000,
    )  # fmt: skip
    return "silent"

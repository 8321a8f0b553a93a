"""One plain page for people: service, tills, rights, rules, the last receipts and their reasons.

It stands beside metrics, where no stranger comes, and tells the same figures. A look costs three
statements more, each of a bounded number of rows; whoever looks within the same seconds shares it.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import asyncpg
import jinja2
import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from central.availability.report import Recent, Served
from central.console.words import WORDS
from central.database.asking import Asking
from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.observability.exposition import FRESH_MS, READ_S_MAX, FigureReader
from central.observability.figures import SILENT_MS, Figures
from central.programmes.registry import DEFAULT
from central.rules.shown_rules import NOTHING_SHOWN, ShownRules, ShownRuleShelf
from loyalty.calculation import Calculation
from loyalty.wording import say_reason

log = structlog.get_logger()
_SQL = load_queries("central.console", "queries.sql")
_NEWEST: Final = load_queries("central.rules", "queries.sql")["newest"]

PATH: Final = "/"
TILLS_MAX: Final = 50
RECEIPTS_MAX: Final = 20
REASONS_MAX: Final = 30
"""So many reasons of a receipt are said; how many offers were considered is."""
BUNDLES_NAMED_MAX: Final = 4
"""Offers of so many bundles have their names; those of others are called by their ids."""
LOOKS_KEPT: Final = 16
"""So many pages, by language and store, are shared by who looks at them."""
_STORE_CHARACTERS_MAX: Final = 200
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_LANGUAGES: Final = ("en", "ru")
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "refresh": "10",
}

_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("central.console"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
)


def _money(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"


_templates.filters["money"] = _money
_templates.filters["thousands"] = lambda number: f"{number:,}".replace(
    ",", "\N{NARROW NO-BREAK SPACE}"
)


@dataclass(slots=True)
class _Look:
    """One page, asked for by whoever comes first and kept for those who come soon after."""

    asking: Asking[str]
    html: str = ""
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class StatusPage:
    """The page at `/` of the port of metrics.

    Attributes:
        reader: of the figures, which metrics are told from, too; its pool reads the rest.
    """

    reader: FigureReader
    shelf: ShownRuleShelf = field(default_factory=ShownRuleShelf)
    _looks: OrderedDict[tuple[str, str], _Look] = field(default_factory=OrderedDict)

    def routes(self) -> list[Route]:
        """Return the page's route."""
        return [Route(PATH, self._page, methods=["GET"])]

    async def _page(self, request: Request) -> Response:
        asked = request.query_params
        language = asked.get("lang", "en")
        language = language if language in _LANGUAGES else "en"
        store = asked.get("store", "").strip().replace("\0", "")[:_STORE_CHARACTERS_MAX]
        try:
            html = await self._shared(language, store)
        except _LOST as error:
            log.warning("page_not_read", why=repr(error))
            html = ""
        if not html:
            return HTMLResponse(_away(language), status_code=503, headers=_HEADERS)
        return HTMLResponse(html, headers=_HEADERS)

    async def _shared(self, language: str, store: str) -> str:
        """Return the page; empty while the database does not answer."""
        look = self._looks.get((language, store))
        if look is None:
            look = _Look(Asking(partial(self._render, language, store)))
            self._looks[language, store] = look
            if len(self._looks) > LOOKS_KEPT:
                self._looks.popitem(last=False)
        self._looks.move_to_end((language, store))
        if not look.html or self.reader.system.monotonic_ms() - look.at_ms >= FRESH_MS:
            look.html = await look.asking.answer(wait_s=2 * READ_S_MAX) or ""
            look.at_ms = self.reader.system.monotonic_ms()
        return look.html

    async def _render(self, language: str, store: str) -> str:
        figures = await self.reader.read()
        if figures is None:
            return ""
        now_ms = self.reader.system.now_ms()
        async with self.reader.pool.acquire() as connection:
            newest = await connection.fetchrow(_NEWEST, DEFAULT)
            tills = await _tills(connection, store)
            rows = await connection.fetch(_SQL["latest_receipts"], RECEIPTS_MAX)
            shown = await self._shown(connection, rows)
        current = newest["hash"] if newest else ""
        fleet = figures.fleet
        return _templates.get_template("status.html").render(
            **WORDS[language], lang=language, store=store, now=_written(now_ms),
            figures=figures, service=_service(figures), most=TILLS_MAX,
            fleet_count=fleet.up + fleet.silent + fleet.new + fleet.revoked,
            bundle=current[:12], bundle_version=newest["version"] if newest else 0,
            tills=[_till(row, now_ms, current) for row in tills],
            receipts=[_receipt(row, shown.get(row["bundle"], NOTHING_SHOWN), language)
                      for row in rows],
        )  # fmt: skip

    async def _shown(
        self, connection: Connection, rows: list[asyncpg.Record]
    ) -> Mapping[str, ShownRules]:
        """Return names of offers by bundle, read beside the loop; nothing is compiled for them."""
        bundles = list(dict.fromkeys(row["bundle"] for row in rows))[:BUNDLES_NAMED_MAX]
        return {each: await self.shelf.find(connection, each) for each in bundles}


async def _tills(connection: Connection, store: str) -> list[asyncpg.Record]:
    if store:
        return await connection.fetch(_SQL["tills_of_store"], store, TILLS_MAX)
    rows = await connection.fetch(_SQL["tills"], TILLS_MAX)
    if len(rows) < TILLS_MAX:  # all of them: each keeps its place on the page
        rows.sort(key=lambda row: (row["store_id"], row["till_id"]))
    return rows


def _away(language: str) -> str:
    return _templates.get_template("away.html").render(**WORDS[language], lang=language)


def _written(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _service(figures: Figures) -> dict[str, Any]:
    """Return how customers of the last hour were served; of none no share is told."""
    hour = _of_hour(figures.recent)
    ppm = None if hour is None else hour.available_ppm
    return {
        "share": "–" if ppm is None else f"{ppm // 100 / 100:.2f} %",
        "receipts": 0 if hour is None else hour.receipts,
        "offline": 0 if hour is None else hour.offline_full,
        "degraded": 0 if hour is None else hour.degraded + hour.none,
    }


def _of_hour(recent: tuple[Recent, ...]) -> Served | None:
    return next((each.total for each in recent if each.window == "1h"), None)


def _receipt(row: asyncpg.Record, shown: ShownRules, language: str) -> dict[str, Any]:
    calculation = msgspec.json.decode(row["calculation"], type=Calculation)
    titles = {offer_id: title.get(language, "") for offer_id, title in shown.titles.items()}
    reasons = sorted(calculation.reasons, key=lambda reason: reason.code != "applied")
    return {
        **dict(row),
        "reasons": [
            say_reason(reason, titles.get(reason.offer_id, ""), language, titles=titles)
            for reason in reasons[:REASONS_MAX]
        ],
        "considered": len(reasons),
        "lines": len(calculation.lines),
    }


def _till(row: asyncpg.Record, now_ms: int, newest: str) -> dict[str, Any]:
    age_ms = now_ms - row["last_seen_ms"]
    seen = bool(row["last_seen_ms"])
    state = (
        "revoked"
        if row["revoked"]
        else "quarantined"
        if row["quarantined"]
        else "up"
        if seen and age_ms <= SILENT_MS
        else "silent"
        if seen
        else "new"
    )
    return {
        **dict(row),
        "state": state,
        "age_s": age_ms // 1000 if seen else None,
        "rules_current": row["bundle"] == newest,
        "bundle": row["bundle"][:12] or "–",
    }

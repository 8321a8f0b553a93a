"""One plain page for people: tills, links, rules, availability, last receipts and their reasons."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import jinja2
import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from central.console.words import WORDS
from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.rules.library import RuleLibrary
from central.system import System
from loyalty.calculation import Calculation
from loyalty.compilation import Rules
from loyalty.wording import say_reason

_SQL = load_queries("central.console", "queries.sql")
_FLEET = load_queries("central.tills", "queries.sql")["fleet"]
_RECEIPTS_SHOWN = 20
_ONLINE_MS = 660_000
"""A till whose pull waits is heard of every nine minutes (`CentralConfig.hold_s`)."""
_LANGUAGES = ("en", "ru")

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


@dataclass(frozen=True, slots=True)
class StatusPage:
    """The page at `/`."""

    pool: Pool
    library: RuleLibrary
    system: System

    def routes(self) -> list[Route]:
        """Return the page's route."""
        return [Route("/", self._page, methods=["GET"])]

    async def _page(self, request: Request) -> Response:
        wanted = request.query_params.get("lang", "en")
        language = wanted if wanted in _LANGUAGES else "en"
        async with self.pool.acquire() as connection:
            values = await self._values(connection, language)
        html = _templates.get_template("status.html").render(
            **values, **WORDS[language], lang=language
        )
        headers = {
            "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
            "refresh": "10",
        }
        return HTMLResponse(html, headers=headers)

    async def _values(self, connection: Connection, language: str) -> dict[str, Any]:
        now_ms = self.system.now_ms()
        rules = await self.library.newest(connection)
        receipts = [
            await self._receipt(connection, row, language)
            for row in await connection.fetch(_SQL["latest_receipts"], _RECEIPTS_SHOWN)
        ]
        availability = await connection.fetchrow(_SQL["availability"])
        assert availability is not None
        full, total = availability["full"], availability["receipts"]
        return {
            "now": datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            "tills": [
                _till(row, now_ms, rules.bundle_hash) for row in await connection.fetch(_FLEET)
            ],
            "bundle": rules.bundle_hash[:12],
            "bundle_version": rules.bundle.version if rules.bundle_hash else 0,
            "offers": len(rules.bundle.offers),
            "products": len(rules.bundle.catalogue),
            "figures": await connection.fetchrow(_SQL["figures"]),
            "pool": await connection.fetchrow(_SQL["pool"]),
            "points": await connection.fetchrow(_SQL["held"]),
            "availability": f"{full * 100 / total:.2f} %" if total else "–",
            "with_link": f"{availability['with_link'] * 100 / total:.1f} %" if total else "–",
            "receipts": receipts,
        }

    async def _receipt(
        self, connection: Connection, row: asyncpg.Record, language: str
    ) -> dict[str, Any]:
        calculation = msgspec.json.decode(row["calculation"], type=Calculation)
        try:
            rules = await self.library.find(connection, row["bundle"])
        except LookupError:
            rules = await self.library.find(connection, "")
        return {
            **dict(row),
            "reasons": _reasons(calculation, rules, language),
            "lines": len(calculation.lines),
        }


def _reasons(calculation: Calculation, rules: Rules, language: str) -> list[dict[str, str]]:
    titles = {
        offer_id: offer.title.get(language, "")
        for reason in calculation.reasons
        for offer_id in (reason.offer_id, str(reason.figures.get("to", "")))
        if (offer := rules.offers_by_id.get(offer_id))
    }
    said = []
    for reason in calculation.reasons:
        text = say_reason(reason, titles.get(reason.offer_id, ""), language, titles=titles)
        said.append({"code": reason.code, "offer": reason.offer_id, "text": text})
    return sorted(said, key=lambda r: r["code"] != "applied")


def _till(row: asyncpg.Record, now_ms: int, newest: str) -> dict[str, Any]:
    age_ms = now_ms - row["last_seen_ms"]
    seen = bool(row["last_seen_ms"])
    state = (
        "revoked"
        if row["revoked"]
        else "quarantined"
        if row["quarantined"]
        else "up"
        if seen and age_ms < _ONLINE_MS
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

"""`rules check`: says what is wrong with rules before anybody publishes them."""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from central.commands.command import (
    Commands,
    add_centre_options,
    add_command,
    add_json_option,
    run_at_centre,
)

if TYPE_CHECKING:
    from central.config import CentralConfig
    from central.rules.documents import RuleSource
    from loyalty.checking import Finding

_TITLE: Final = re.compile(r"[a-z0-9][a-z0-9_-]*(@[1-9][0-9]*)?")
"""How a draft is named; a file that is not there has a dot in its name and is missed as a file."""
_OFFERS_WORTH_A_WORD: Final = 2_000
_PUBLISHED_SHOWN_MAX: Final = 20


def add_check(actions: Commands) -> None:
    """Declare the command among the actions of `rules`."""
    check = add_command(
        actions,
        "check",
        "find what is wrong with rules, and say what to change",
        _check,
        example="rules check rules.json",
    )
    check.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="JSON: a rule document, parts of one, offers; a folder of such files; or a draft,"
        " summer@2, which is at the centre",
    )
    add_centre_options(check)
    check.add_argument("--strict", action="store_true", help="exit 1 for warnings too")
    check.add_argument(
        "--today",
        type=_day,
        metavar="YYYY-MM-DD",
        help="look for offers that are over on this day (default: today)",
    )
    check.add_argument(
        "--language", choices=("en", "ru"), default="en", help="language of the report"
    )
    add_json_option(check)


def _day(text: str) -> str:
    # A wrong text raises ValueError, which argparse turns into a usage message.
    return date.fromisoformat(text).isoformat()


def _check(options: argparse.Namespace) -> int:
    from central.rules.documents import read_rules

    first: Path = options.files[0]
    if len(options.files) == 1 and not first.exists() and _TITLE.fullmatch(str(first)):
        return run_at_centre(_check_draft, options)
    return _say(options, read_rules(*options.files))


async def _check_draft(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.rules.documents import RuleSource
    from central.rules.drafts import load_draft
    from central.system import System

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        draft = await load_draft(connection, str(options.files[0]))
    places = (f"{draft.title}: $.offers[{index}]" for index in range(len(draft.bundle.offers)))
    return _say(options, RuleSource(bundle=draft.bundle, files=(), offer_places=tuple(places)))


def _say(options: argparse.Namespace, source: "RuleSource") -> int:
    from central.system import System
    from loyalty.checking import check_bundle

    if len(source.bundle.offers) >= _OFFERS_WORTH_A_WORD and sys.stderr.isatty():
        print(f"checking {len(source.bundle.offers)} offers", file=sys.stderr)
    now = datetime.fromtimestamp(System().now_ms() / 1000, tz=UTC)
    findings = check_bundle(source.bundle, today=options.today or now.date().isoformat())
    if options.json:
        print(json.dumps(_for_programs(source, findings, options.language), ensure_ascii=False))
    else:
        for line in _for_people(source, findings, options.language):
            print(line)
    errors = sum(finding.severity == "error" for finding in findings)
    return 1 if errors or (options.strict and findings) else 0


# For programs


def _for_programs(
    source: "RuleSource", findings: Sequence["Finding"], language: str
) -> dict[str, object]:
    errors = sum(finding.severity == "error" for finding in findings)
    places = _places(source)
    return {
        "version": source.bundle.version,
        "offers": len(source.bundle.offers),
        "products": len(source.bundle.catalogue),
        "errors": errors,
        "warnings": len(findings) - errors,
        "findings": [_plain(finding, places, language) for finding in findings],
    }


def _plain(finding: "Finding", places: Mapping[str, str], language: str) -> dict[str, object]:
    from loyalty.checking.wording import say_finding

    said = say_finding(finding, language)
    return {
        "severity": finding.severity,
        "code": finding.code,
        "offers": finding.offers,
        "place": places.get(finding.offers[0], "") if finding.offers else "",
        "path": finding.path,
        "figures": finding.figures,
        "problem": said.problem,
        "remedy": said.remedy,
    }


def _places(source: "RuleSource") -> dict[str, str]:
    ids = (offer.offer_id for offer in source.bundle.offers)
    return dict(zip(ids, source.offer_places, strict=True))


# For people


def _for_people(
    source: "RuleSource", findings: Sequence["Finding"], language: str
) -> Iterator[str]:
    places = _places(source)
    by_offer: dict[str, list[Finding]] = {}
    for finding in findings:
        by_offer.setdefault(finding.offers[0] if finding.offers else "", []).append(finding)
    for offer_id, about in by_offer.items():
        yield f"{offer_id} ({places[offer_id]})" if offer_id in places else "*"
        for finding in about:
            yield from _lines(finding, language)
        yield ""
    yield _summary(source, findings)


def _lines(finding: "Finding", language: str) -> Iterator[str]:
    from loyalty.checking.wording import say_finding

    said = say_finding(finding, language)
    where = f" ({finding.path})" if finding.path else ""
    yield f"  {finding.severity:<7}  {finding.code}{where}"
    yield f"           {said.problem}"
    yield f"           -> {said.remedy}"


def _summary(source: "RuleSource", findings: Sequence["Finding"]) -> str:
    bundle = source.bundle
    errors = sum(finding.severity == "error" for finding in findings)
    counts = f"errors: {errors}, warnings: {len(findings) - errors}" if findings else "sound"
    return f"version {bundle.version}: {len(bundle.offers)} offers, {counts}"


def warnings_text(findings: Iterable["Finding"]) -> str:
    """Return a few lines about the warnings of what was published; empty when there are none."""
    found = [f"warning: {finding}" for finding in findings]
    if len(found) > _PUBLISHED_SHOWN_MAX:
        rest = len(found) - _PUBLISHED_SHOWN_MAX
        found[_PUBLISHED_SHOWN_MAX:] = [f"... and {rest} more: tillside-central rules check"]
    return "\n".join(found)

"""Findings in words: what is wrong, and what to change; in English and Russian."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from loyalty.checking.finding import Finding
from loyalty.checking.wording.english import ENGLISH
from loyalty.checking.wording.russian import RUSSIAN
from loyalty.checking.wording.told import Catalogue
from loyalty.limits import PPM
from loyalty.wording import money, placeholders

CATALOGUES: Final[Mapping[str, Catalogue]] = {"en": ENGLISH, "ru": RUSSIAN}

_PERCENT = PPM // 100


@dataclass(frozen=True, slots=True)
class Said:
    """Two clauses without a full stop, to stand alone or behind each other."""

    problem: str
    remedy: str


def say_finding(finding: Finding, language: str) -> Said:
    """Say what is wrong and what to change.

    Args:
        language: `en`, `ru` or a tag that begins so (`ru-RU`); anything else is said in English.
    """
    primary = language.replace("_", "-").split("-", maxsplit=1)[0].lower()
    catalogue = CATALOGUES.get(primary, ENGLISH)
    said = {name: _said(name, value, language) for name, value in finding.figures.items()}
    said["path"] = finding.path
    quoted = [catalogue.quotes.format(name) for name in finding.offers]
    said["offers"] = ", ".join(quoted)
    said |= dict(zip(("offer", "other"), quoted, strict=False))
    told = catalogue.texts[finding.code]
    return Said(_fullest(told.problems, said), _fullest(told.remedies, said))


def _said(name: str, value: int | str, language: str) -> str:
    if isinstance(value, int):
        if name.endswith("_minor"):
            return money(value, language)
        if name.endswith("_ppm"):
            return _percentage(value)
    return str(value)


def _percentage(rate_ppm: int) -> str:
    whole, rest = divmod(rate_ppm, _PERCENT)
    tenth = rest * 10 // _PERCENT
    return f"{whole}.{tenth} %" if tenth else f"{whole} %"


def _fullest(texts: tuple[str, ...], said: Mapping[str, str]) -> str:
    known = {name for name, words in said.items() if words}
    text = next((text for text in texts if placeholders(text) <= known), texts[-1])
    return text.format_map(said)

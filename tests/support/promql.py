"""What a query of Prometheus asks for, as far as tests look: series, matchers, groups."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.metrics import MetricWrapperBase

from central.observability import meters
from tests.support.scraping import Scrape

_SERIES = re.compile(r"\b((?:tillside|process)_[a-z0-9_]+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPED = re.compile(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)")
_OF_SCRAPING = {"job", "instance"}
"""Labels Prometheus adds to every series."""
_OPEN_VALUES = {"kind", "route", "status", "error", "job", "instance", "pool", "banner", "region"}
"""Labels whose values are not all seen on one page."""
_SUFFIXES = ("", "_total", "_bucket", "_count", "_sum", "_created")


@dataclass(frozen=True)
class Series:
    """One series of a query."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]


def series_of(query: str) -> Iterator[Series]:
    """Give the series a query reads."""
    for name, inside in _SERIES.findall(_GROUPED.sub("", query)):
        yield Series(name, tuple(_MATCHER.findall(inside)))


def grouped_by(query: str) -> set[str]:
    """Return the labels a query groups or joins by."""
    return {label.strip() for inside in _GROUPED.findall(query) for label in inside.split(",")}


def labels_known(page: Scrape) -> dict[str, set[str]]:
    """Return every series there can be with its labels, those too that count nothing yet."""
    known = page.labels()
    for meter in vars(meters).values():
        if isinstance(meter, MetricWrapperBase):
            family: Metric = next(iter(meter.describe()))
            for suffix in _SUFFIXES:
                extra = {"le"} if suffix == "_bucket" else set()
                labels = set(meter._labelnames) | extra  # noqa: SLF001 - it tells them nowhere else
                known.setdefault(family.name + suffix, set()).update(labels)
    return known


def what_is_wrong(query: str, page: Scrape) -> list[str]:
    """Return what a query asks for that there is not."""
    known = labels_known(page)
    wrong = []
    all_labels = set(_OF_SCRAPING) | {"le"}
    asked = list(series_of(query))
    for series in asked:
        if series.name == "up":
            continue
        if series.name not in known:
            wrong.append(f"no metric {series.name}")
            continue
        labels = known[series.name] | _OF_SCRAPING
        all_labels |= labels
        wrong += [
            f"{series.name} has no label {label}"
            for label, _, _ in series.matchers
            if label not in labels
        ]
        wrong += _values_unknown(series, page)
    wrong += [f"no label {label}" for label in grouped_by(query) - all_labels if label]
    return wrong if asked else ["asks for nothing"]


def _values_unknown(series: Series, page: Scrape) -> list[str]:
    seen: dict[str, set[str]] = {}
    for family in page.families.values():
        for sample in family.samples:
            if sample.name == series.name:
                for label, value in sample.labels.items():
                    seen.setdefault(label, set()).add(value)
    return [
        f"{series.name} never has {label}={value!r}"
        for label, operator, value in series.matchers
        if operator == "=" and label not in _OPEN_VALUES and value not in seen.get(label, set())
    ]

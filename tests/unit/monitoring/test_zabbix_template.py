"""The Zabbix template reads what the centre tells, and its triggers speak of items it has.

Zabbix itself imports it nowhere here: Debian has 6.0, and the template is written for 7.0.
"""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import yaml

from tests.architecture.source_tree import ROOT
from tests.support.promql import labels_known, what_is_wrong
from tests.support.scraping import Scrape

FILE = ROOT / "packaging" / "centre" / "zabbix" / "tillside-centre.yaml"
EXPORT: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))["zabbix_export"]
(TEMPLATE,) = EXPORT["templates"]
ITEMS: list[dict[str, Any]] = TEMPLATE["items"]
PROTOTYPES = [item for rule in TEMPLATE["discovery_rules"] for item in rule["item_prototypes"]]
KEY = re.compile(r"/Tillside centre/([a-z0-9.]+(?:\[[^\]]*\])?)")
FUNCTIONS = {"last", "min", "max", "change", "nodata"}
SEVERITIES = {"INFO", "WARNING", "AVERAGE", "HIGH", "DISASTER"}


def uuids(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if "uuid" in value:
            yield value["uuid"]
        for each in value.values():
            yield from uuids(each)
    elif isinstance(value, list):
        for each in value:
            yield from uuids(each)


def triggers() -> list[dict[str, Any]]:
    found = [trigger for item in ITEMS for trigger in item.get("triggers", [])]
    return found + [trigger for item in PROTOTYPES for trigger in item["trigger_prototypes"]]


def test_it_is_of_the_version_it_says_and_names_each_thing_once() -> None:
    assert EXPORT["version"] == "7.0"
    found = list(uuids(EXPORT))
    assert len(found) == len(set(found)) > 40
    assert all(UUID(each).version == 4 for each in found)
    keys = [item["key"] for item in (*ITEMS, *PROTOTYPES)]
    assert len(keys) == len(set(keys))


def test_one_call_to_the_centre_feeds_every_item() -> None:
    master, *others = ITEMS
    # It reads one process, which need not be the one of several that tells Prometheus.
    assert (master["type"], master["url"]) == ("HTTP_AGENT", "{$TILLSIDE.URL}/metrics?database=1")
    macros = {macro["macro"] for macro in TEMPLATE["macros"]}
    assert set(re.findall(r"\{\$[A-Z.]+\}", FILE.read_text("utf-8"))) == macros
    for item in (*others, *PROTOTYPES, *TEMPLATE["discovery_rules"]):
        assert item["type"] == "DEPENDENT"
        assert item["master_item"] == {"key": master["key"]}
        assert item["description"]


@pytest.mark.parametrize("item", [*ITEMS[1:], *PROTOTYPES], ids=lambda item: item["key"])
def test_an_item_takes_one_number_out_of_the_page(item: dict[str, Any]) -> None:
    step = item["preprocessing"][0]
    assert step["type"] == "PROMETHEUS_PATTERN"
    _, result, label = step["parameters"]
    assert (result, label) in {("value", ""), ("sum", "")}
    assert item["value_type"] == "FLOAT"


async def test_patterns_ask_for_what_the_centre_tells(page: Scrape) -> None:
    patterns = [step["parameters"] for item in ITEMS[1:] for step in item["preprocessing"][:1]]
    known = labels_known(page)
    for pattern, result, _ in patterns:
        assert not what_is_wrong(pattern, page), pattern
        if result == "value":  # Zabbix wants exactly one line
            name, _, inside = pattern.partition("{")
            labels = set(re.findall(r'([a-z_]+)="', inside))
            assert labels == known[name], pattern
    for rule in TEMPLATE["discovery_rules"]:
        assert not what_is_wrong(rule["preprocessing"][0]["parameters"][0], page)
        (path,) = rule["lld_macro_paths"]
        label = re.fullmatch(r"\$\.labels\['([a-z]+)'\]", path["path"])
        assert label is not None
        assert label[1] in known["tillside_availability_banner_ratio"]


@pytest.mark.parametrize("trigger", triggers(), ids=lambda trigger: trigger["name"])
def test_a_trigger_speaks_of_items_there_are(trigger: dict[str, Any]) -> None:
    keys = {item["key"] for item in (*ITEMS, *PROTOTYPES)}
    named = set(KEY.findall(trigger["expression"]))
    assert named
    assert named <= keys
    assert set(re.findall(r"\b([a-z]+)\(/", trigger["expression"])) <= FUNCTIONS
    assert trigger["priority"] in SEVERITIES
    assert trigger["description"]

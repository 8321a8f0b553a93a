"""The alert rules ask for what the centre tells, and fire when they should; promtool judges."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.architecture.source_tree import ROOT
from tests.support.promql import what_is_wrong
from tests.support.scraping import Scrape

FOLDER = ROOT / "packaging" / "centre" / "prometheus"
ALERTS = FOLDER / "alerts.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"] for rule in group["rules"]
]
PROMTOOL = shutil.which("promtool") or shutil.which(
    "promtool", path=ROOT / "build" / "promtool" / "usr" / "bin"
)
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="no promtool here: `make promtool` fetches Debian's"
)


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run(
        [PROMTOOL, *map(str, arguments)],
        cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names)) > 20


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_grave_it_is_what_is_so_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "do"}
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert f"`{rule['alert']}`" in page


async def test_alerts_ask_for_what_the_centre_tells(page: Scrape) -> None:
    wrong = {rule["alert"]: what_is_wrong(rule["expr"], page) for rule in RULES}
    assert not {name: found for name, found in wrong.items() if found}


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    cases = yaml.safe_load((FOLDER / "alerts_test.yml").read_text("utf-8"))["tests"]
    fires: dict[str, set[bool]] = {}
    for case in cases:
        for told in case["alert_rule_test"]:
            fires.setdefault(told["alertname"], set()).add(bool(told["exp_alerts"]))
    assert fires == {rule["alert"]: {True, False} for rule in RULES}


@needs_promtool
def test_prometheus_reads_the_configuration_and_the_rules() -> None:
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"{len(RULES)} rules found", done.stdout + done.stderr)


@needs_promtool
def test_every_case_comes_out_as_written() -> None:
    done = promtool("test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr

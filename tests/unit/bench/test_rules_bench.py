"""The measurement of a release measures what it says: every till, every byte, checked."""

import json
from pathlib import Path

from bench.rules.__main__ import main
from bench.rules.offers import rules, with_one_changed


def test_one_offer_is_changed_and_nothing_else() -> None:
    before = rules(50, 200)
    after = with_one_changed(before)
    changed = [a.offer_id for a, b in zip(before.offers, after.offers, strict=True) if a != b]
    assert changed == ["offer-00024"]
    assert (before.catalogue, before.programme) == (after.catalogue, after.programme)


def test_a_small_measurement_tells_every_till_and_keeps_others_figures(tmp_path: Path) -> None:
    report = tmp_path / "centre.json"
    report.write_text('{"purchases_per_s": 7}')
    sizes = ("--tills", "12", "--stores", "3", "--offers", "300", "--products", "600")
    saying = ("--saying-s", "1")
    assert main([*sizes, *saying, "--json", str(report)]) == 0
    found = json.loads(report.read_text())
    assert (found["purchases_per_s"], found["publish_tills"]) == (7, 12)
    run = found["runs"]["rules"]
    assert (run["quick"], run["machine"]["cores"] > 0) == (True, True)
    assert 0 < found["delta_file_bytes"] < found["delta_bytes"] < 3_000
    assert found["publish_sale_calls"] > 0
    assert 0 < min(found["publish_sale_call_50_ms"]) <= max(found["publish_sale_call_99_ms"])
    assert 0 < found["publish_50_s"] <= found["publish_99_s"] <= found["publish_100_s"]
    assert 0 < found["publish_said_share"] <= 1
    assert found["publish_said_per_s"] > 0
    assert len(found["publish_sale_call_50_ms"]) == len(found["publish_sale_call_99_ms"]) == 3

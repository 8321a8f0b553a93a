"""What people ask about rules is worked out beside the loop that answers tills."""

import importlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.builders import bundle, offer, percent
from tests.support.centre import BUNDLE, KEYS, JoinedCentre
from tests.unit.central.test_office_api import wish
from tests.unit.central.test_rules_api import bearer
from tests.unit.central.test_rules_life import Office

TEN = bundle(*BUNDLE.offers, offer("ten", percent(10)))
HEAVY = (
    "central.api.rule_routes.canonical_bytes",
    "central.rules.comparing.Difference",
    "central.rules.drafts.decode",
    "central.rules.drafts.document_of",
    "central.rules.library.compile_bundle",
    "central.rules.library.decode",
    "central.rules.publishing.base_bytes",
    "central.rules.publishing.check_bundle",
    "central.rules.publishing.decode",
    "central.rules.publishing.encode",
    "central.rules.release_file.decode",
    "operator.ne",
)
"""What takes longer the more offers there are, by where it is called."""


@pytest.fixture
def on_the_loop(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of what was called on the loop's own thread."""
    called: set[str] = set()

    def watched(name: str) -> Callable[..., Any]:
        module, _, attribute = name.rpartition(".")
        real: Callable[..., Any] = getattr(importlib.import_module(module), attribute)

        def call(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it takes
            if threading.current_thread() is threading.main_thread():
                called.add(name)
            return real(*args, **named)

        return call

    for each in HEAVY:
        monkeypatch.setattr(each, watched(each))
    return called


async def test_no_call_about_rules_reads_packs_or_compares_a_bundle_on_the_loop(
    centre: JoinedCentre, on_the_loop: set[str]
) -> None:
    office, who = await Office.of(centre), bearer(KEYS.office_token)
    first = await office.published(await office.approved(BUNDLE, "first"), "everywhere")
    ten = await office.published(await office.approved(TEN), "everywhere")
    assert on_the_loop == set()
    for path in (
        "/v1/rules/drafts/summer",
        "/v1/rules/drafts/summer/findings",
        "/v1/rules/drafts/summer/difference",
        f"/v1/rules/releases/{ten.version}/document",
        f"/v1/rules/difference?before={first.version}",
    ):
        answer = await centre.http.get(path, headers=who)
        assert answer.status_code == 200, path
    assert on_the_loop == set()


async def test_a_calculation_compiles_rules_beside_the_loop_and_once(
    centre: JoinedCentre, on_the_loop: set[str]
) -> None:
    office, who = await Office.of(centre), bearer(KEYS.office_token)
    content = wish(await centre.till())
    await office.published(await office.approved(TEN), "everywhere")
    done = centre.parts.applier.library.compilations
    for _ in range(2):
        answer = await centre.http.post("/v1/calculate", headers=who, content=content)
        assert answer.status_code == 200, answer.text
    assert centre.parts.applier.library.compilations == done + 1
    assert on_the_loop == set()

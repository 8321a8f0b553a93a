"""Schemas say what the types say: fields, types, choices, bounds, defaults, descriptions."""

from dataclasses import fields
from typing import Any

import jsonschema
import pytest

from loyalty.offers import Offer, Reward
from loyalty.schema_facts import FACTS
from loyalty.schemas import DIALECT, DOCUMENTS, schema_of, summary


def properties(name: str, definition: str = "") -> dict[str, Any]:
    """Return the properties of a document or of one of its definitions."""
    found: dict[str, Any] = schema_of(name)
    return dict((found["$defs"][definition] if definition else found)["properties"])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_schema_is_one(name: str) -> None:
    found = schema_of(name)
    assert (found["$schema"], found["title"]) == (DIALECT, name)
    jsonschema.Draft202012Validator.check_schema(found)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_definition_is_used_and_every_use_is_defined(name: str) -> None:
    found = schema_of(name)
    text = str(found)
    assert all(f"'#/$defs/{each}'" in text for each in found["$defs"])
    assert text.count("'$ref'") == sum(text.count(f"'#/$defs/{each}'") for each in found["$defs"])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_summed_up_in_one_sentence(name: str) -> None:
    said = summary(name)
    assert said[0].isupper()
    assert said.endswith(".")
    assert "\n" not in said
    assert "design:" not in said


def test_fields_of_a_type_are_those_of_its_schema() -> None:
    assert list(properties("offer")) == [each.name for each in fields(Offer)]
    assert schema_of("offer")["required"] == ["offer_id", "gives"]
    assert schema_of("offer")["additionalProperties"] is False


def test_a_union_is_told_apart_by_kind() -> None:
    found = schema_of("offer")["$defs"]
    kinds = [found[each["$ref"].rpartition("/")[2]] for each in found["Reward"]["oneOf"]]
    expected = {kind.kind for kind in Reward.__args__}
    assert {each["properties"]["kind"]["const"] for each in kinds} == expected
    assert all("kind" in each["required"] for each in kinds)


def test_a_bundle_may_leave_its_kind_out() -> None:
    found = schema_of("bundle")
    assert found["properties"]["kind"] == {"const": "tillside-bundle/1"}
    assert found["required"] == ["version", "programme"]


def test_choices_defaults_and_descriptions_come_from_the_type() -> None:
    mode = properties("offer", "Combines")["mode"]
    assert mode["enum"] == ["best", "first", "best_per_line"]
    assert mode["default"] == "best"
    assert mode["description"].startswith("`best` takes the member that serves the customer best")
    assert properties("offer")["lines"]["default"] == {"kind": "every"}
    assert properties("offer", "LotTerms")["lifetime_days"]["default"] == 365


def test_descriptions_are_for_readers_without_the_code() -> None:
    line = properties("basket", "BasketLine")
    assert "1 to 1000000000;" in line["quantity"]["description"]
    for name in DOCUMENTS:
        assert "_MAX`" not in str(schema_of(name))
        assert "(design:" not in str(schema_of(name))


def test_a_pair_has_two_items() -> None:
    hours = properties("offer", "When")["hours"]["items"]
    assert (hours["minItems"], hours["maxItems"]) == (2, 2)


def test_a_figure_is_an_integer_or_a_text() -> None:
    figures = properties("calculation", "Reason")["figures"]
    assert figures["additionalProperties"] == {"type": ["integer", "string"]}


def test_inherited_fields_are_described_too() -> None:
    of_case = properties("case", "CaseAccount")
    assert of_case["purchases"]["description"] == properties("account")["purchases"]["description"]
    assert of_case["identified"]["default"] is True


def test_bounds_stand_at_the_fields_they_are_of() -> None:
    for kind, facts in FACTS.items():
        assert set(facts) <= {each.name for each in fields(kind)}

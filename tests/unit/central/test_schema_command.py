"""`tillside-central schema`: which documents there are, and the schema of each."""

import json
from pathlib import Path

import jsonschema
import pytest

from loyalty.documents import encode
from loyalty.schemas import DOCUMENTS, schema_of
from tests.support.builders import bundle, offer
from tests.support.command_line import Ended, central, central_process


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_schema_is_printed_for_people_and_programs(name: str) -> None:
    ended = central("schema", name)
    assert (ended.code, ended.complained) == (0, "")
    assert json.loads(ended.said) == schema_of(name)
    assert ended.said.count("\n") > 10


def test_without_a_name_the_names_are_listed() -> None:
    ended = central("schema")
    assert ended.code == 0
    lines = ended.said.splitlines()
    assert [text.split()[0] for text in lines] == sorted(DOCUMENTS)
    assert "basket       The whole basket: full state, never a change." in lines


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    assert central("schema", "coupon") == Ended(
        1,
        "",
        "tillside-central: there is no schema 'coupon'; known: account, basket, bundle,"
        " calculation, case, offer, programme, return\n",
    )


def test_neither_settings_nor_a_database_are_asked_for(tmp_path: Path) -> None:
    ended = central_process("schema", "bundle")
    assert (ended.code, ended.complained) == (0, "")
    validator = jsonschema.Draft202012Validator(json.loads(ended.said))
    assert validator.is_valid(encode(bundle(offer())))
    assert not validator.is_valid({"version": 1, "programme": {}, "offers": []})
    assert not list(tmp_path.iterdir())

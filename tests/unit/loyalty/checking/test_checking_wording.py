"""Both languages say every finding, with the same figures, and say what to change."""

from itertools import pairwise

import pytest

from loyalty.checking import ERRORS, Code, Finding
from loyalty.checking.wording import CATALOGUES, say_finding
from loyalty.checking.wording.english import ENGLISH
from loyalty.checking.wording.english import ERRORS as ENGLISH_ERRORS
from loyalty.checking.wording.russian import ERRORS as RUSSIAN_ERRORS
from loyalty.checking.wording.russian import RUSSIAN
from loyalty.wording import placeholders

ALWAYS_KNOWN = {"offer", "other", "offers", "path"}


@pytest.mark.parametrize("language", CATALOGUES)
def test_every_code_has_texts(language: str) -> None:
    assert set(CATALOGUES[language].texts) == set(Code)


def test_errors_and_warnings_stand_apart() -> None:
    assert set(ENGLISH_ERRORS) == set(RUSSIAN_ERRORS) == ERRORS


@pytest.mark.parametrize("code", Code)
def test_both_languages_need_the_same_figures(code: Code) -> None:
    english, russian = ENGLISH.texts[code], RUSSIAN.texts[code]
    for ours, theirs in (
        (english.problems, russian.problems),
        (english.remedies, russian.remedies),
    ):
        assert [placeholders(text) for text in ours] == [placeholders(text) for text in theirs]


@pytest.mark.parametrize("language", CATALOGUES)
@pytest.mark.parametrize("code", Code)
def test_the_last_text_needs_no_figures(code: Code, language: str) -> None:
    told = CATALOGUES[language].texts[code]
    for texts in (told.problems, told.remedies):
        needed = [placeholders(text) for text in texts]
        assert needed[-1] <= ALWAYS_KNOWN
        assert all(not before < after for before, after in pairwise(needed))


@pytest.mark.parametrize("code", Code)
def test_a_text_is_a_clause_in_its_language(code: Code) -> None:
    for text in (*ENGLISH.texts[code].problems, *ENGLISH.texts[code].remedies):
        assert text.isascii()
        assert not text.endswith(".")
    for text in (*RUSSIAN.texts[code].problems, *RUSSIAN.texts[code].remedies):
        assert not text.isascii()
        assert not text.endswith(".")


def test_figures_are_said_as_people_say_them() -> None:
    found = Finding(
        code=Code.TOGETHER_FREE,
        offers=("a", "b"),
        figures={"off_ppm": 1_105_000, "sku": "milk"},
    )
    assert say_finding(found, "en").problem == (
        "offers 'a', 'b' can act on one line together and take off 110.5 % of its price,"
        " for example of milk"
    )
    below = Finding(
        code=Code.PRICE_BELOW_FLOOR,
        offers=("a",),
        figures={"price_minor": 12_350, "floor_minor": 50_000, "sku": "vodka", "products": 1},
    )
    assert "123,50 за vodka, а минимум по закону 500,00" in say_finding(below, "ru-RU").problem


def test_a_finding_is_printed_with_what_to_change() -> None:
    found = Finding(code=Code.ENDS_BEFORE_START, offers=("a",), path="when")
    assert str(found) == "offer 'a' ends before it starts; swap when.starts and when.until"
    assert say_finding(found, "tlh") == say_finding(found, "en")

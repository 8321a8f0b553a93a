"""Both languages say everything, with the same figures."""

from itertools import pairwise

import pytest

from loyalty.calculation import Reason
from loyalty.outcomes import Outcome
from loyalty.reasons import ReasonCode
from loyalty.wording import CATALOGUES, money, placeholders, points, say_outcome, say_reason
from loyalty.wording.catalogue import Catalogue, Texts
from loyalty.wording.english import ENGLISH
from loyalty.wording.russian import RUSSIAN

KINDS = ("reasons", "reasons_for_customer", "outcomes", "outcomes_for_customer")
ALWAYS_KNOWN = {"title", "code", "outcome"}


def texts(catalogue: Catalogue, kind: str) -> Texts:
    """Return one of the catalogue's dicts of texts."""
    found: Texts = getattr(catalogue, kind)
    return found


def reason(code: str, **figures: int | str) -> Reason:
    """Return a reason of the offer `o`."""
    return Reason(offer_id="o", code=code, figures=figures)


@pytest.mark.parametrize("language", CATALOGUES)
def test_every_reason_has_a_text(language: str) -> None:
    assert set(CATALOGUES[language].reasons) == set(ReasonCode)
    assert set(CATALOGUES[language].reasons_for_customer) < set(ReasonCode)


@pytest.mark.parametrize("language", CATALOGUES)
def test_every_outcome_has_a_text(language: str) -> None:
    assert set(CATALOGUES[language].outcomes) == set(Outcome)
    assert set(CATALOGUES[language].outcomes_for_customer) < set(Outcome)


@pytest.mark.parametrize("kind", KINDS)
def test_both_languages_need_the_same_figures(kind: str) -> None:
    english, russian = texts(ENGLISH, kind), texts(RUSSIAN, kind)
    assert set(english) == set(russian)
    for code in english:
        needed = [[placeholders(text) for text in found[code]] for found in (english, russian)]
        assert needed[0] == needed[1], code


@pytest.mark.parametrize("language", CATALOGUES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_last_text_needs_no_figures_and_the_fullest_stands_first(
    language: str, kind: str
) -> None:
    for code, found in texts(CATALOGUES[language], kind).items():
        needed = [placeholders(text) for text in found]
        assert needed[-1] <= ALWAYS_KNOWN, code
        assert all(not before < after for before, after in pairwise(needed)), code


@pytest.mark.parametrize("language", CATALOGUES)
def test_every_reason_names_the_offer(language: str) -> None:
    for kind in ("reasons", "reasons_for_customer"):
        for code, found in texts(CATALOGUES[language], kind).items():
            assert all("title" in placeholders(text) for text in found), code


def test_russian_texts_are_russian_and_english_ones_are_not() -> None:
    for kind in KINDS:
        for found in texts(ENGLISH, kind).values():
            assert all(text.isascii() for text in found)
        for found in texts(RUSSIAN, kind).values():
            assert not any(text.isascii() for text in found)


@pytest.mark.parametrize("audience", ["cashier", "customer"])
@pytest.mark.parametrize("language", CATALOGUES)
@pytest.mark.parametrize("code", ReasonCode)
def test_a_reason_without_its_figures_is_still_said(
    code: ReasonCode, language: str, audience: str
) -> None:
    said = say_reason(
        reason(code), "T", language, audience="customer" if audience == "customer" else "cashier"
    )
    assert "T" in said
    assert "{" not in said


@pytest.mark.parametrize("language", CATALOGUES)
@pytest.mark.parametrize("outcome", Outcome)
def test_an_outcome_without_its_figures_is_still_said(outcome: Outcome, language: str) -> None:
    for said in (
        say_outcome(outcome, {}, language),
        say_outcome(outcome, {}, language, audience="customer"),
    ):
        assert said.endswith(".")
        assert "{" not in said


@pytest.mark.parametrize(
    ("figures", "english", "russian"),
    [
        ({"discount_minor": 1205}, "Sale: 12.05 off.", "Sale: скидка 12,05."),
        ({"points": 1}, "Sale: plus 1 point.", "Sale: плюс 1 балл."),
        ({}, "Sale: applied.", "Sale: действует."),
    ],
)
def test_an_applied_offer_says_what_it_gave(
    figures: dict[str, int], english: str, russian: str
) -> None:
    assert say_reason(reason("applied", **figures), "Sale", "en") == english
    assert say_reason(reason("applied", **figures), "Sale", "ru") == russian


@pytest.mark.parametrize(
    ("missing", "english", "russian"),
    [
        (1_000, "1 piece", "1 штуку"),
        (2_000, "2 pieces", "2 штуки"),
        (5_000, "5 pieces", "5 штук"),
        (11_000, "11 pieces", "11 штук"),
        (21_000, "21 pieces", "21 штуку"),
        (112_000, "112 pieces", "112 штук"),
        (532, "0.532 kg", "0,532 кг"),
        (1_500, "1.5 kg", "1,5 кг"),
    ],
)
def test_a_missing_quantity_is_said_in_pieces_or_by_weight(
    missing: int, english: str, russian: str
) -> None:
    found = reason("quantity_missing", have=0, need=missing, missing=missing)
    assert say_reason(found, "Sale", "en") == f"Sale: add {english}."
    assert say_reason(found, "Sale", "ru") == f"Sale: добавьте ещё {russian}."


def test_a_whole_weight_is_known_by_the_other_figures() -> None:
    found = reason("quantity_missing", have=500, need=2_500, missing=2_000)
    assert say_reason(found, "Sale", "en") == "Sale: add 2 kg."


def test_a_missing_amount_is_said_in_money() -> None:
    found = reason("amount_missing", have=1, need=201, missing=200)
    assert say_reason(found, "Sale", "en", audience="customer") == "Spend 2.00 more and get: Sale."
    assert say_reason(found, "Скидка", "ru", audience="customer") == (
        "Добавьте товаров ещё на 2,00 — и получите: Скидка."
    )


@pytest.mark.parametrize(
    ("missing", "russian"),
    [(1, "1 другой товар"), (3, "3 других товара"), (7, "7 других товаров")],
)
def test_missing_products_are_counted(missing: int, russian: str) -> None:
    found = reason("distinct_missing", have=0, need=missing, missing=missing)
    assert say_reason(found, "Скидка", "ru") == f"Скидка: добавьте ещё {russian}."


@pytest.mark.parametrize(
    ("figures", "russian"),
    [
        ({"hours": "09:00-11:00", "now": "12:34"}, "действует 09:00-11:00, сейчас 12:34"),
        (
            {"from": "2025-03-05T10:00:00", "until": "2025-03-06"},
            "действует с 05.03.2025 10:00 до 06.03.2025",
        ),
        ({"from": "2025-03-05", "until": ""}, "действует с 05.03.2025"),
        ({"from": "", "until": "2025-03-05T10:00:00"}, "действует до 05.03.2025 10:00"),
    ],
)
def test_times_are_said_as_people_write_them(figures: dict[str, str], russian: str) -> None:
    assert say_reason(reason("not_this_hour", **figures), "А", "ru") == f"А: {russian}."


def test_a_weekday_is_said_by_its_name() -> None:
    assert say_reason(reason("not_today", weekday=3), "A", "en") == "A: not on Wednesdays."
    assert say_reason(reason("not_today", weekday=7), "А", "ru") == (
        "А: по воскресеньям не действует."
    )


def test_the_customer_is_spoken_to() -> None:
    found = reason("not_identified")
    assert say_reason(found, "A", "en") == "A: ask for the customer's card."
    assert say_reason(found, "A", "en", audience="customer") == "A: show your card."


def test_an_offer_without_a_title_is_called_by_its_id() -> None:
    assert say_reason(reason("code_missing"), "", "en") == "o: a coupon is needed."


def test_braces_in_a_title_are_only_text() -> None:
    assert say_reason(reason("code_missing"), "{missing}", "en") == "{missing}: a coupon is needed."


@pytest.mark.parametrize("language", ["ru", "RU", "ru-RU", "ru_KZ"])
def test_a_language_is_known_by_its_first_part(language: str) -> None:
    assert say_outcome(Outcome.RECORDED, {}, language) == "Чек записан."


@pytest.mark.parametrize("language", ["", "de", "xx-RU", "russian"])
def test_an_unknown_language_is_english(language: str) -> None:
    assert say_outcome(Outcome.RECORDED, {}, language) == "The receipt is recorded."


def test_a_code_of_a_newer_till_is_said_as_it_is() -> None:
    assert say_reason(reason("brand_new", points=1), "A", "ru") == "A: brand_new."
    assert say_outcome("brand_new", {}, "ru") == "brand_new."


def test_an_outcome_says_its_figures() -> None:
    figures = {"asked_points": 22, "available_points": 1}
    assert say_outcome(Outcome.POINTS_INSUFFICIENT, figures, "en") == (
        "Not enough points: 22 points wanted, 1 point there."
    )
    assert say_outcome(Outcome.POINTS_INSUFFICIENT, figures, "ru") == (
        "Баллов не хватает: запрос — 22 балла, доступно — 1 балл."
    )
    assert say_outcome(Outcome.POINTS_INSUFFICIENT, figures, "ru", audience="customer") == (
        "У вас 1 балл."
    )


def test_a_part_that_could_be_set_aside_is_said_beside_what_could_not() -> None:
    figures = {"points": 5, "held_points": 30}
    assert say_outcome(Outcome.POINTS_HELD_ELSEWHERE, figures, "ru") == (
        "Здесь зарезервировано: 5 баллов, на другой кассе: 30 баллов. Повторите позже."
    )
    assert say_outcome(Outcome.RIGHTS_EXHAUSTED, figures, "en") == (
        "Set aside: 5 points. No more can be redeemed here now. The sale goes on."
    )


@pytest.mark.parametrize(
    ("amount", "said"), [(0, "0,00"), (5, "0,05"), (-5, "-0,05"), (123456, "1234,56")]
)
def test_money_has_two_decimals(amount: int, said: str) -> None:
    assert money(amount, "ru") == said
    assert money(amount, "en") == said.replace(",", ".")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 баллов"),
        (1, "1 балл"),
        (4, "4 балла"),
        (14, "14 баллов"),
        (101, "101 балл"),
        (-2, "-2 балла"),
    ],
)
def test_points_are_counted_in_russian(number: int, said: str) -> None:
    assert points(number, "ru") == said


def test_points_are_counted_in_english() -> None:
    assert [points(number, "en") for number in (0, 1, 21)] == ["0 points", "1 point", "21 points"]

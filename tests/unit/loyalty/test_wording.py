"""Both languages say everything, with the same figures."""

from itertools import pairwise

import pytest

from loyalty.calculation import Reason
from loyalty.outcomes import Outcome
from loyalty.reasons import HINTS, ReasonCode
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
        (
            {"what": "SPRING", "kind": "coupon", "quantity": 1},
            "Sale: coupon SPRING for a later purchase.",
            "Sale: купон SPRING на следующую покупку.",
        ),
        (
            {"what": "air", "kind": "partner_points", "quantity": 21},
            "Sale: plus 21 points at air.",
            "Sale: плюс 21 балл у партнёра air.",
        ),
        ({"kind": "message", "quantity": 1}, "Sale: applied.", "Sale: действует."),
        (
            {"what": "mug", "kind": "gift", "quantity": 2},
            "Sale: hand out mug, 2 pieces.",
            "Sale: выдать: mug, 2 штуки.",
        ),
        ({}, "Sale: applied.", "Sale: действует."),
    ],
)
def test_an_applied_offer_says_what_it_gave(
    figures: dict[str, int | str], english: str, russian: str
) -> None:
    assert say_reason(reason("applied", **figures), "Sale", "en") == english
    assert say_reason(reason("applied", **figures), "Sale", "ru") == russian


def test_an_offer_that_lost_names_the_other_by_its_title() -> None:
    found = reason("lost_to", to="o-2")
    titles = {"o": "Sale", "o-2": "Coffee week"}
    assert say_reason(found, "Sale", "en", titles=titles) == (
        'Sale: not given, "Coffee week" counts instead.'
    )
    assert say_reason(found, "Sale", "ru", titles=titles, audience="customer") == (
        "Sale: вместо неё — «Coffee week»."
    )


def test_without_its_title_the_cashier_hears_the_other_offers_id_and_the_customer_no_id() -> None:
    found = reason("lost_to", to="o-2")
    for titles in ({}, {"o-2": ""}, {"other": "Coffee week"}):
        said = say_reason(found, "Sale", "en", titles=titles)
        assert said == "Sale: not given, offer o-2 counts instead."
        said = say_reason(found, "Sale", "en", titles=titles, audience="customer")
        assert said == "Sale: another offer counts instead."


@pytest.mark.parametrize(
    ("missing", "english", "russian"),
    [
        (1_000, "1 piece", "1 штука"),
        (2_000, "2 pieces", "2 штуки"),
        (5_000, "5 pieces", "5 штук"),
        (11_000, "11 pieces", "11 штук"),
        (21_000, "21 pieces", "21 штука"),
        (112_000, "112 pieces", "112 штук"),
        (532, "0.532 kg", "0,532 кг"),
        (1_500, "1.5 kg", "1,5 кг"),
    ],
)
def test_a_missing_quantity_is_said_in_pieces_or_by_weight(
    missing: int, english: str, russian: str
) -> None:
    found = reason("quantity_missing", have=0, need=missing, missing=missing)
    assert say_reason(found, "Sale", "en") == f"Sale: {english} more and it counts."
    assert say_reason(found, "Sale", "ru") == f"Sale: ещё {russian} — и акция действует."


def test_a_whole_weight_is_known_by_the_other_figures() -> None:
    found = reason("quantity_missing", have=500, need=2_500, missing=2_000)
    assert say_reason(found, "Sale", "en") == "Sale: 2 kg more and it counts."


@pytest.mark.parametrize(
    ("code", "figures", "english", "russian"),
    [
        (
            "quantity_missing",
            {"have": 2_000, "need": 3_000, "missing": 1_000},
            "1 piece more and you get: T.",
            "Ещё 1 штука — и вы получите: T.",
        ),
        (
            "amount_missing",
            {"have": 1, "need": 201, "missing": 200},
            "Goods for 2.00 more and you get: T.",
            "Ещё товаров на 2,00 — и вы получите: T.",
        ),
        (
            "distinct_missing",
            {"have": 1, "need": 3, "missing": 2},
            "2 different products more and you get: T.",
            "Ещё 2 других товара — и вы получите: T.",
        ),
        (
            "part_missing",
            {"part": "soup", "have": 1_000, "missing": 2_000},
            "2 pieces of soup more and you get: T.",
            "Ещё 2 штуки (soup) — и вы получите: T.",
        ),
        (
            "stamps_missing",
            {"stamps": 4, "missing": 21},
            "You have 4 stamps; 21 stamps more and you get: T.",
            "У вас 4 штампа; ещё 21 штамп — и вы получите: T.",
        ),
    ],
)
def test_a_hint_tells_the_customer_what_more_brings_the_offer(
    code: str, figures: dict[str, int | str], english: str, russian: str
) -> None:
    assert code in HINTS
    found = reason(code, **figures)
    assert say_reason(found, "T", "en", audience="customer") == english
    assert say_reason(found, "T", "ru", audience="customer") == russian


@pytest.mark.parametrize("language", CATALOGUES)
@pytest.mark.parametrize("code", sorted(HINTS))
def test_every_hint_has_words_of_its_own_for_the_customer(code: str, language: str) -> None:
    catalogue = CATALOGUES[language]
    assert catalogue.reasons_for_customer[code] != catalogue.reasons[code]


@pytest.mark.parametrize(
    ("part", "stamps"),
    [
        ("T: 1 piece of soup more and it counts.", "T: 5 stamps so far, 1 stamp more and it "),
        ("T: ещё 1 штука (soup) — и акция действует.", "T: пока 5 штампов, ещё 1 штамп — и "),
    ],
)
def test_the_cashier_hears_a_hint_in_one_line(part: str, stamps: str) -> None:
    language = "en" if part.isascii() else "ru"
    found = reason("part_missing", part="soup", have=0, missing=1_000)
    assert say_reason(found, "T", language) == part
    found = reason("stamps_missing", stamps=5, missing=1)
    assert say_reason(found, "T", language).startswith(stamps)


@pytest.mark.parametrize(
    ("missing", "russian"),
    [(1, "1 другой товар"), (3, "3 других товара"), (7, "7 других товаров")],
)
def test_missing_products_are_counted(missing: int, russian: str) -> None:
    found = reason("distinct_missing", have=0, need=missing, missing=missing)
    assert say_reason(found, "Скидка", "ru") == f"Скидка: ещё {russian} — и акция действует."


@pytest.mark.parametrize(
    ("period", "english", "russian"),
    [
        ("ever", "in all", "за всё время"),
        ("year", "this year", "в этом году"),
        ("month", "this month", "в этом месяце"),
        ("week", "this week", "на этой неделе"),
        ("day", "today", "сегодня"),
        ("century", "century", "century"),
    ],
)
def test_a_limit_that_is_used_up_says_how_often_in_which_period(
    period: str, english: str, russian: str
) -> None:
    found = reason("limit_used", used=1, limit=1, period=period, last="")
    assert say_reason(found, "A", "en") == f"A: used up: 1 of 1 {english}."
    assert say_reason(found, "А", "ru") == f"А: использовано: 1 из 1 {russian}."


@pytest.mark.parametrize(
    ("last", "english", "russian"),
    [
        ("2026-11-20 14:02 store 12", "2026-11-20 14:02 store 12", "20.11.2026 14:02 магазин 12"),
        ("2026-11-20T14:02:33", "2026-11-20 14:02", "20.11.2026 14:02"),
        ("in the app", "in the app", "in the app"),
    ],
)
def test_a_limit_that_is_used_up_says_when_and_where_it_was(
    last: str, english: str, russian: str
) -> None:
    found = reason("limit_used", used=2, limit=2, period="month", last=last)
    assert say_reason(found, "A", "en") == f"A: used up: 2 of 2 this month, last {english}."
    assert say_reason(found, "А", "ru") == (
        f"А: использовано: 2 из 2 в этом месяце, последний раз {russian}."
    )
    assert say_reason(found, "A", "en", audience="customer") == (
        f"A: you have used it: 2 of 2 this month, last {english}."
    )


def test_a_purchase_is_named_by_its_number() -> None:
    found = reason("not_this_purchase", number=4)
    assert say_reason(found, "A", "en") == "A: not on purchase number 4."
    assert say_reason(found, "А", "ru") == "А: не на покупку № 4."


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


@pytest.mark.parametrize(
    ("figures", "english", "russian"),
    [
        (
            {"limit": 100, "period": "day", "scope": "store"},
            "A: no use is left for this till (100 today for this store).",
            "А: для этой кассы больше не осталось (всего 100 сегодня на этот магазин).",
        ),
        (
            {"limit_minor": 1_000_000, "period": "month", "scope": "campaign"},
            "A: no money is left for this till (10000.00 this month for all stores).",
            "А: для этой кассы денег не осталось (всего 10000,00 в этом месяце на все магазины).",
        ),
        (
            {"limit_points": 21, "period": "ever", "scope": "campaign"},
            "A: no points are left for this till (21 points in all for all stores).",
            "А: для этой кассы баллов не осталось (всего 21 балл за всё время на все магазины).",
        ),
        (
            {"coupon": "C-1", "limit": 1},
            "A: coupon C-1 is not set aside for this till.",
            "А: купон C-1 не выделен этой кассе.",
        ),
    ],
)
def test_what_is_limited_over_all_customers_says_of_what_nothing_is_left(
    figures: dict[str, int | str], english: str, russian: str
) -> None:
    found = reason("no_allowance", **figures)
    assert say_reason(found, "A", "en") == english
    assert say_reason(found, "А", "ru") == russian


def test_a_code_that_is_used_up_says_when_and_where_it_was() -> None:
    found = reason("code_used", coupon="C-1", last="2026-11-20 14:02 store 12")
    assert say_reason(found, "A", "en") == (
        "A: coupon C-1 is used up, last 2026-11-20 14:02 store 12."
    )
    assert say_reason(found, "А", "ru", audience="customer") == (
        "А: ваш купон C-1 уже использован, последний раз 20.11.2026 14:02 магазин 12."
    )

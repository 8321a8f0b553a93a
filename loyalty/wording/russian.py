"""What is said in Russian."""

from typing import Final

from loyalty.wording.catalogue import Catalogue, Noun, Texts

REASONS: Final[Texts] = {
    "applied": (
        "{title}: скидка {discount_minor}.",
        "{title}: плюс {points}.",
        "{title}: действует.",
    ),
    "lost_to": (
        "{title}: не действует, вместо неё — акция {to}.",
        "{title}: вместо неё действует другая акция.",
    ),
    "not_identified": ("{title}: попросите карту покупателя.",),
    "not_in_tier": (
        "{title}: не для уровня {tier}.",
        "{title}: не для уровня этого покупателя.",
    ),
    "not_in_segment": ("{title}: этого покупателя нет среди приглашённых.",),
    "not_birthday": ("{title}: только ко дню рождения покупателя.",),
    "not_today": ("{title}: по {weekday} не действует.", "{title}: сегодня не действует."),
    "not_this_hour": (
        "{title}: действует {hours}, сейчас {now}.",
        "{title}: действует с {from} до {until}.",
        "{title}: действует с {from}.",
        "{title}: действует до {until}.",
        "{title}: в это время не действует.",
    ),
    "code_missing": ("{title}: нужен купон.",),
    "tender_missing": (
        "{title}: только при оплате: {tender}.",
        "{title}: не действует при таком способе оплаты.",
    ),
    "quantity_missing": ("{title}: добавьте ещё {missing}.", "{title}: добавьте ещё этих товаров."),
    "amount_missing": (
        "{title}: не хватает товаров на {missing}.",
        "{title}: сумма слишком мала.",
    ),
    "distinct_missing": (
        "{title}: добавьте ещё {missing}.",
        "{title}: добавьте другие товары акции.",
    ),
    "condition_not_met": ("{title}: не сочетается с тем, что есть в чеке.",),
    "lines_excluded": ("{title}: товары в чеке не участвуют.",),
    "nothing_to_give": ("{title}: в этом чеке ничего не даёт.",),
}

REASONS_FOR_CUSTOMER: Final[Texts] = {
    "applied": (
        "{title}: ваша выгода {discount_minor}.",
        "{title}: вы получите {points}.",
        "{title}: действует.",
    ),
    "lost_to": ("{title}: вместо неё действует другая акция.",),
    "not_identified": ("{title}: предъявите карту.",),
    "not_in_tier": ("{title}: не для вашего уровня.",),
    "not_in_segment": ("{title}: для приглашённых покупателей.",),
    "not_birthday": ("{title}: ко дню вашего рождения.",),
    "code_missing": ("{title}: предъявите купон.",),
    "quantity_missing": (
        "Добавьте ещё {missing} — и получите: {title}.",
        "Добавьте ещё этих товаров — и получите: {title}.",
    ),
    "amount_missing": (
        "Добавьте товаров ещё на {missing} — и получите: {title}.",
        "Добавьте товаров — и получите: {title}.",
    ),
    "distinct_missing": (
        "Добавьте ещё {missing} — и получите: {title}.",
        "Добавьте другие товары акции — и получите: {title}.",
    ),
    "nothing_to_give": ("{title}: в этом чеке добавить нечего.",),
}

OUTCOMES: Final[Texts] = {
    "calculated": (
        "Рассчитано: скидка {discount_minor}, к оплате {paid_minor}.",
        "Рассчитано.",
    ),
    "reserved": ("Зарезервировано: {points}.", "Баллы зарезервированы."),
    "recorded": ("Чек записан.",),
    "already_recorded": ("Этот чек уже был записан; ничего не изменилось.",),
    "cancelled": ("Отменено; отложенные для этого чека баллы снова свободны.",),
    "previewed": (
        "Деньгами {money_back_minor}; вернётся {given_back_points}, снимется {taken_back_points}.",
        "Возврат возможен; пока ничего не записано.",
    ),
    "already_recorded_differently": (
        "Этот чек уже записан, но с другим содержанием ({field}). Записанное остаётся в силе.",
        "Этот чек уже записан, но с другим содержанием. Записанное остаётся в силе.",
    ),
    "stale_version": ("Касса прислала устаревший чек; рассчитайте ещё раз.",),
    "stale_calculation": ("Чек с тех пор изменился; рассчитайте ещё раз перед оплатой.",),
    "receipt_unknown": ("Такой чек не найден; проверьте номер.",),
    "receipt_closed": ("Этот чек закрыт; откройте новый.",),
    "line_unknown": (
        "В чеке нет позиции {line}; выберите позицию из чека.",
        "В чеке нет такой позиции; выберите позицию из чека.",
    ),
    "line_already_returned": (
        "Позиция {line} уже возвращена.",
        "Эта позиция уже возвращена.",
    ),
    "not_identified": ("Покупатель не определён: попросите карту или номер телефона.",),
    "points_insufficient": (
        "Баллов не хватает: запрос — {asked_points}, доступно — {available_points}.",
        "Баллов не хватает; спишите меньше.",
    ),
    "points_held_elsewhere": (
        "Здесь зарезервировано: {points}, на другой кассе: {held_points}. Повторите позже.",
        "За магазином {store} до его выхода на связь числится {held_points}. Повторите позже.",
        "Зарезервировано на другой кассе: {held_points}. Повторите позже.",
        "Баллы зарезервированы на другой кассе. Повторите позже.",
    ),
    "rights_exhausted": (
        "Зарезервировано: {points}. Больше сейчас здесь списать нельзя. Продажа продолжается.",
        "Сейчас здесь можно списать не больше: {available_points}. Продажа продолжается.",
        "Сейчас здесь нельзя списать баллы. Продажа продолжается, баллы начисляются.",
    ),
    "rules_missing": (
        "На этой кассе ещё нет акций. Продавайте без программы и сообщите в поддержку.",
    ),
    "journal_unavailable": (
        "Касса не может вести запись. Продавайте без программы и сразу сообщите в поддержку.",
    ),
    "accepted": ("Принято, как напечатано.",),
    "accepted_stale": (
        "Принято, как напечатано; касса работала по старым акциям, за наш счёт: {variance_minor}.",
        "Принято, как напечатано; касса работала по старым акциям, за наш счёт.",
    ),
    "adjusted": (
        "Принято с поправкой ({delta_points}): {reason}.",
        "Принято с поправкой ({delta_points}).",
        "Принято с поправкой.",
    ),
    "parked": (
        "Ожидает: {waits_for}; пока ничего не проведено.",
        "Ожидает того, на что ссылается; пока ничего не проведено.",
    ),
    "rejected_kept": (
        "Не проведено, сохранено для проверки: {reason}.",
        "Не проведено, сохранено для проверки.",
    ),
}

OUTCOMES_FOR_CUSTOMER: Final[Texts] = {
    "calculated": ("К оплате: {paid_minor}. Ваша выгода {discount_minor}.", "Рассчитано."),
    "recorded": ("Спасибо за покупку.",),
    "already_recorded": ("Спасибо за покупку.",),
    "already_recorded_differently": ("Одну минуту, пожалуйста.",),
    "stale_version": ("Одну минуту, пожалуйста.",),
    "stale_calculation": ("Одну минуту, пожалуйста.",),
    "not_identified": ("Предъявите карту или назовите номер телефона.",),
    "points_insufficient": (
        "У вас {available_points}.",
        "У вас меньше баллов.",
    ),
    "points_held_elsewhere": (
        "Вы тратите {points}; на другой кассе зарезервировано: {held_points}.",
        "Часть ваших баллов числится за магазином {store}: {held_points}.",
        "Часть ваших баллов зарезервирована на другой кассе: {held_points}.",
        "Часть ваших баллов зарезервирована на другой кассе.",
    ),
    "rights_exhausted": (
        "Вы тратите {points}; больше сейчас здесь потратить нельзя.",
        "Сейчас здесь можно потратить не больше: {available_points}.",
        "Сейчас здесь нельзя потратить баллы. Новые баллы вам начислят.",
    ),
    "rules_missing": ("Программа лояльности на этой кассе сейчас недоступна.",),
    "journal_unavailable": ("Программа лояльности на этой кассе сейчас недоступна.",),
    "accepted": ("Ваши баллы зачислены.",),
    "accepted_stale": ("Ваши баллы зачислены, как напечатано в чеке.",),
    "adjusted": (
        "Ваши баллы изменены ({delta_points}): {reason}.",
        "Ваши баллы изменены ({delta_points}).",
        "Ваши баллы изменены.",
    ),
    "parked": ("Ваши баллы зачислят позже.",),
    "rejected_kept": ("Этот чек проверяется.",),
}

# Behind "add" stands the accusative; it differs from the nominative in the first form alone.
NOUNS: Final[dict[Noun, tuple[str, ...]]] = {
    "piece": ("штуку", "штуки", "штук"),
    "product": ("другой товар", "других товара", "других товаров"),
    "point": ("балл", "балла", "баллов"),
}


def noun_form(number: int) -> int:
    """Return 0 behind 1, 21, 31, 1 behind 2 to 4, 22 to 24, 2 behind all others and 11 to 14."""
    if number % 10 == 1 and number % 100 != 11:  # noqa: PLR2004 - the grammar's own numbers
        return 0
    if number % 10 in {2, 3, 4} and number % 100 not in {12, 13, 14}:
        return 1
    return 2


RUSSIAN: Final = Catalogue(
    reasons=REASONS,
    reasons_for_customer=REASONS_FOR_CUSTOMER,
    outcomes=OUTCOMES,
    outcomes_for_customer=OUTCOMES_FOR_CUSTOMER,
    nouns=NOUNS,
    weekdays=(
        "понедельникам",
        "вторникам",
        "средам",
        "четвергам",
        "пятницам",
        "субботам",
        "воскресеньям",
    ),
    kilogram="кг",
    decimal_mark=",",
    day_form="{day}.{month}.{year}",
    noun_form=noun_form,
)

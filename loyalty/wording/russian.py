"""What is said in Russian."""

from typing import Final

from loyalty.wording.catalogue import Catalogue, Noun, Texts

REASONS: Final[Texts] = {
    "applied": (
        "{title}: скидка {discount_minor}.",
        "{title}: плюс {points}.",
        "{title}: выдать: {what}, {gift_quantity}.",
        "{title}: купон {coupon} на следующую покупку.",
        "{title}: плюс {partner_points} у партнёра {what}.",
        "{title}: действует.",
    ),
    "lost_to": (
        "{title}: не действует, вместо неё — «{to_title}».",
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
    "not_personal": ("{title}: нет среди личных предложений этого покупателя.",),
    "not_this_purchase": (
        "{title}: не на покупку № {number}.",
        "{title}: не на эту покупку.",
    ),
    "limit_used": (
        "{title}: использовано: {used} из {limit} {period}, последний раз {last}.",
        "{title}: использовано: {used} из {limit} {period}.",
        "{title}: уже использовано.",
    ),
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
    "quantity_missing": (
        "{title}: ещё {missing} — и акция действует.",
        "{title}: ещё этих товаров — и акция действует.",
    ),
    "amount_missing": (
        "{title}: ещё товаров на {missing} — и акция действует.",
        "{title}: сумма слишком мала.",
    ),
    "distinct_missing": (
        "{title}: ещё {missing} — и акция действует.",
        "{title}: ещё другие товары акции — и акция действует.",
    ),
    "part_missing": (
        "{title}: ещё {missing} ({part}) — и акция действует.",
        "{title}: не хватает части набора.",
    ),
    "stamps_missing": (
        "{title}: пока {stamps}, ещё {missing} — и акция действует.",
        "{title}: штампов пока не хватает.",
    ),
    "condition_not_met": ("{title}: не сочетается с тем, что есть в чеке.",),
    "lines_excluded": ("{title}: товары в чеке не участвуют.",),
    "receipt_limit": ("{title}: в этом чеке уже наибольшая допустимая скидка.",),
    "nothing_to_give": ("{title}: в этом чеке ничего не даёт.",),
}

REASONS_FOR_CUSTOMER: Final[Texts] = {
    "applied": (
        "{title}: ваша выгода {discount_minor}.",
        "{title}: вы получите {points}.",
        "{title}: вы получите: {what}, {gift_quantity}.",
        "{title}: вы получите купон {coupon} на следующую покупку.",
        "{title}: вы получите {partner_points} у партнёра {what}.",
        "{title}: действует.",
    ),
    "lost_to": (
        "{title}: вместо неё — «{to_title}».",
        "{title}: вместо неё действует другая акция.",
    ),
    "not_identified": ("{title}: предъявите карту.",),
    "not_in_tier": ("{title}: не для вашего уровня.",),
    "not_in_segment": ("{title}: для приглашённых покупателей.",),
    "not_birthday": ("{title}: ко дню вашего рождения.",),
    "not_personal": ("{title}: нет среди ваших личных предложений.",),
    "not_this_purchase": (
        "{title}: не на вашу покупку № {number}.",
        "{title}: не на эту покупку.",
    ),
    "limit_used": (
        "{title}: вы использовали {used} из {limit} {period}, последний раз {last}.",
        "{title}: вы использовали {used} из {limit} {period}.",
        "{title}: вы уже использовали.",
    ),
    "code_missing": ("{title}: предъявите купон.",),
    "quantity_missing": (
        "Ещё {missing} — и вы получите: {title}.",
        "Ещё этих товаров — и вы получите: {title}.",
    ),
    "amount_missing": (
        "Ещё товаров на {missing} — и вы получите: {title}.",
        "Ещё немного товаров — и вы получите: {title}.",
    ),
    "distinct_missing": (
        "Ещё {missing} — и вы получите: {title}.",
        "Ещё другие товары акции — и вы получите: {title}.",
    ),
    "part_missing": (
        "Ещё {missing} ({part}) — и вы получите: {title}.",
        "Ещё остальное из набора — и вы получите: {title}.",
    ),
    "stamps_missing": (
        "У вас {stamps}; ещё {missing} — и вы получите: {title}.",
        "Ещё немного штампов — и вы получите: {title}.",
    ),
    "receipt_limit": ("{title}: у вас уже наибольшая скидка на один чек.",),
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
    "not_whole_pieces": ("Этот товар возвращают целыми штуками.",),
    "quantity_not_left": (
        "В позиции {line} столько не осталось: продано меньше или часть уже возвращена.",
        "В позиции столько не осталось: продано меньше или часть уже возвращена.",
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

NOUNS: Final[dict[Noun, tuple[str, ...]]] = {
    "piece": ("штука", "штуки", "штук"),
    "product": ("другой товар", "других товара", "других товаров"),
    "point": ("балл", "балла", "баллов"),
    "stamp": ("штамп", "штампа", "штампов"),
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
    periods={
        "ever": "за всё время",
        "year": "в этом году",
        "month": "в этом месяце",
        "week": "на этой неделе",
        "day": "сегодня",
    },
    store_form="магазин {store}",
    kilogram="кг",
    decimal_mark=",",
    day_form="{day}.{month}.{year}",
    noun_form=noun_form,
)

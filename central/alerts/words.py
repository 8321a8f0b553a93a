"""What mails say, in English and Russian."""

from typing import Final, Literal

from central.alerts.findings import Finding, Kind

Language = Literal["en", "ru"]
Occasion = Literal["began", "still", "ended"]

_TITLES: Final[dict[Language, dict[Kind, str]]] = {
    "en": {
        "database_down": "the database does not answer",
        "availability_low": "only {percent} of customers are served in full",
        "banner_availability_low": "of {subject} only {percent} of customers are served in full",
        "records_wait": "records wait {minutes} min to be posted",
        "record_quarantined": "records that could not be applied: {value}",
        "receipt_unequal": "receipts the centre calculates otherwise: {value}",
        "uncovered": "{value} points were overdrawn that the risk pool could not pay",
        "pool_low": "only {value} points of the risk pool are free",
        "clone_suspected": "tills whose past was seen twice: {value}",
        "till_quarantined": "till {subject} runs on two machines and gets no rights",
        "counter_exceeded": "limits over all customers given beyond: {value}",
        "day_not_sealed": "days of the ledger that are not sealed: {value}",
        "mark_stands": "tills keep records of {days} days that no tried copy holds",
        "store_silent": "no till of store {subject} is heard, {minutes} min",
        "stores_silent": "stores none of whose tills is heard: {value}",
        "release_halted": "release {subject} of the rules was halted",
        "tills_left_behind": "{value} tills still sell with release {subject}, taken away",
        "transaction_runs_on": "a transaction has been running for {minutes} min",
        "events_wait": "events have waited {minutes} min for the broker",
        "event_dead": "events the broker refused too often: {value}",
        "receipt_rejected": "receipts that stand in no ledger: {value}",
        "records_parked": "a record has waited {days} days for a card, a receipt or a transfer",
        "records_parked_long": "a record has waited {days} days: somebody has to decide",
    },
    "ru": {
        "database_down": "база данных не отвечает",
        "availability_low": "полностью обслужены только {percent} покупателей",
        "banner_availability_low": "в {subject} полностью обслужены только {percent} покупателей",
        "records_wait": "записи ждут проведения {minutes} мин",
        "record_quarantined": "записей, которые не удалось провести: {value}",
        "receipt_unequal": "чеков, которые центр считает иначе: {value}",
        "uncovered": "сверх риск-фонда перерасходовано баллов: {value}",
        "pool_low": "в риск-фонде свободно только баллов: {value}",
        "clone_suspected": "касс, чьё прошлое встретилось дважды: {value}",
        "till_quarantined": "касса {subject} работает на двух машинах и не получает прав",
        "counter_exceeded": "общих лимитов, выданных сверх меры: {value}",
        "day_not_sealed": "дней журнала без печати: {value}",
        "mark_stands": "кассы хранят записи за {days} дн.: в проверенных копиях их нет",
        "store_silent": "ни одной кассы магазина {subject} не слышно, {minutes} мин",
        "stores_silent": "магазинов, чьих касс не слышно: {value}",
        "release_halted": "выпуск правил {subject} остановлен",
        "tills_left_behind": "касс, оставшихся на отозванном выпуске {subject}: {value}",
        "transaction_runs_on": "транзакция идёт уже {minutes} мин",
        "events_wait": "события ждут брокера {minutes} мин",
        "event_dead": "событий, от которых брокер отказался: {value}",
        "receipt_rejected": "чеков, оставшихся непроведёнными: {value}",
        "records_parked": "запись ждёт карты, чека или передачи уже {days} дн.",
        "records_parked_long": "запись ждёт уже {days} дн., пора решать",
    },
}
_TO_DO: Final[dict[Language, dict[Kind, str]]] = {
    "en": {
        "database_down": "Tills sell on and keep their receipts. Look at PostgreSQL.",
        "availability_low": "tillside-central availability --by minute; then by banner and region.",
        "banner_availability_low": "tillside-central availability --banner {subject} --by minute",
        "records_wait": "After an outage that is its backlog. Otherwise look at processing's log.",
        "record_quarantined": "The log has each with its cause (record_quarantined).",
        "receipt_unequal": "tillside-central receipts unequal; halt the release that began it.",
        "uncovered": "tillside-central rights exposure; then fund the pool.",
        "pool_low": "tillside-central fund-pool POINTS: soon new budgets cannot be given.",
        "clone_suspected": "A restored image, or two machines of one till: docs/rights.md.",
        "till_quarantined": "Enrol one anew; then tillside-central rights clear --till {subject}",
        "counter_exceeded": "tillside-central rights counters",
        "day_not_sealed": "Processing seals them; its log says why not (seal_waits).",
        "mark_stands": "tillside-central backup make, then backup drill --mark.",
        "store_silent": "Its line or its power; its tills sell on.",
        "stores_silent": "One cause: a carrier, a proxy, a certificate.",
        "release_halted": "tillside-central rules list says why.",
        "tills_left_behind": "Nothing signed brings them back: tillside-central rules list.",
        "transaction_runs_on": "Tills are told nothing newer: see pg_stat_activity.",
        "events_wait": "The broker is away or full, or no outreach runs (log: events_held_up).",
        "event_dead": "tillside-central events dead says why; then resend or drop them.",
        "receipt_rejected": "Sold, kept and not posted. Each is in the log (receipt_rejected).",
        "records_parked": "tillside-central parked list --days 3 says which, and what is missing.",
        "records_parked_long": "tillside-central parked list --days 90; then parked give-up.",
    },
    "ru": {
        "database_down": "Кассы продают дальше и хранят чеки. Проверьте PostgreSQL.",
        "availability_low": "tillside-central availability --by minute, затем по сетям и регионам.",
        "banner_availability_low": "tillside-central availability --banner {subject} --by minute",
        "records_wait": "После аварии это её хвост. Иначе смотрите журнал processing.",
        "record_quarantined": "В журнале каждая с причиной (record_quarantined).",
        "receipt_unequal": "tillside-central receipts unequal; остановите виновный выпуск правил.",
        "uncovered": "tillside-central rights exposure, затем пополните фонд.",
        "pool_low": "tillside-central fund-pool БАЛЛЫ: скоро новых бюджетов не будет.",
        "clone_suspected": "Восстановленный образ или две машины одной кассы: docs/rights.md.",
        "till_quarantined": "Одну завести заново; tillside-central rights clear --till {subject}",
        "counter_exceeded": "tillside-central rights counters",
        "day_not_sealed": "Печать ставит processing; причина в его журнале (seal_waits).",
        "mark_stands": "tillside-central backup make, затем backup drill --mark.",
        "store_silent": "Линия или питание; кассы продают дальше.",
        "stores_silent": "Причина одна: оператор связи, прокси, сертификат.",
        "release_halted": "Причину скажет tillside-central rules list.",
        "tills_left_behind": "Нужен новый выпуск, какой, скажет tillside-central rules list.",
        "transaction_runs_on": "Кассам не сообщают ничего нового: см. pg_stat_activity.",
        "events_wait": "Брокер недоступен или полон, или нет outreach (журнал: events_held_up).",
        "event_dead": "tillside-central events dead скажет причину; затем resend или drop.",
        "receipt_rejected": "Проданы и не проведены. Причина в журнале (receipt_rejected).",
        "records_parked": "Какая и чего ждёт: tillside-central parked list --days 3.",
        "records_parked_long": "tillside-central parked list --days 90, затем parked give-up.",
    },
}
_OCCASIONS: Final[dict[Language, dict[Occasion, str]]] = {
    "en": {"began": "", "still": "still: ", "ended": "over: "},
    "ru": {"began": "", "still": "всё ещё: ", "ended": "закончилось: "},
}
_FRAME: Final[dict[Language, str]] = {
    "en": "{title}\n\nSince: {began}\n{ended}What to do: {to_do}\nIncident: {incident}\n",
    "ru": "{title}\n\nС: {began}\n{ended}Что делать: {to_do}\nИнцидент: {incident}\n",
}
_UNTIL: Final[dict[Language, str]] = {"en": "Until: {}\n", "ru": "До: {}\n"}
TEST: Final[dict[Language, tuple[str, str]]] = {
    "en": ("Tillside: a test", "Mails of this centre arrive here. Nothing is wrong.\n"),
    "ru": ("Tillside: проверка", "Письма этого центра приходят сюда. Всё в порядке.\n"),
}
_MS_PER_MINUTE: Final = 60_000
_MS_PER_DAY: Final = 86_400_000
_PPM_PER_HUNDREDTH: Final = 100


def title_of(finding: Finding, language: Language) -> str:
    """Return what is wrong, in words."""
    return _TITLES[language][finding.kind].format(**_figures(finding))


def subject_of(said: str, occasion: Occasion, language: Language) -> str:
    """Return a mail's subject."""
    return f"Tillside: {_OCCASIONS[language][occasion]}{said}"


def body_of(
    kind: Kind,
    subject: str,
    said: str,
    *,
    language: Language,
    incident: str,
    began: str,
    ended: str,
) -> str:
    """Return a mail's text.

    Args:
        began, ended: written moments; `ended` is empty while it goes on.
    """
    to_do = _TO_DO[language][kind].format(subject=printable(subject))
    until = _UNTIL[language].format(ended) if ended else ""
    return _FRAME[language].format(
        title=said, began=began, ended=until, to_do=to_do, incident=incident
    )


def printable(text: str) -> str:
    """Return a name as it may stand in a mail: one line of characters that print."""
    return "".join(character if character.isprintable() else "?" for character in text)[:64]


def _figures(finding: Finding) -> dict[str, object]:
    hundredths = finding.value // _PPM_PER_HUNDREDTH
    return {
        "subject": printable(finding.subject),
        "value": finding.value,
        "minutes": finding.value // _MS_PER_MINUTE,
        "days": finding.value // _MS_PER_DAY,
        "percent": f"{hundredths // 100}.{hundredths % 100:02} %",
    }

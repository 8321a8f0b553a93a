"""A calculation as people read it: the receipt, its points, and why an offer did or did not act."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from loyalty.calculation import CalculatedLine, Calculation, Totals
from loyalty.limits import UNIT_THOUSANDTHS
from loyalty.wording import CATALOGUES, money, points, say_reason

_NAME_WIDTH_MIN, _NAME_WIDTH_MAX = 12, 40
_COLUMN_WIDTH = 12


@dataclass(frozen=True, slots=True)
class _Words:
    case: str
    store: str
    columns: tuple[str, str, str, str, str]
    total: str
    lot: str
    lot_until: str
    redeemed: str
    hand_out: str
    why: str
    hints: str
    unproven: str


_WORDS: Final[Mapping[str, _Words]] = {
    "en": _Words(
        case="case",
        store="store",
        columns=("quantity", "price", "discount", "by points", "to pay"),
        total="total",
        lot="earned: {points}, {name}, from {start}",
        lot_until=" until {end}",
        redeemed="redeemed: {points} for {money}; at most {most} could be",
        hand_out="hand out: {kind} {what}, {quantity}",
        why="why",
        hints="hints",
        unproven="not proven: another combination might save up to {money} more",
    ),
    "ru": _Words(
        case="чек",
        store="магазин",
        columns=("кол-во", "цена", "скидка", "баллами", "к оплате"),
        total="итого",
        lot="начислено: {points}, {name}, с {start}",
        lot_until=" до {end}",
        redeemed="списано: {points} на {money}; можно было бы не больше {most}",
        hand_out="выдать: {kind} {what}, {quantity}",
        why="почему",
        hints="подсказки",
        unproven="не доказано: другое сочетание могло бы дать до {money} выгоды сверх этого",
    ),
}


def receipt_text(
    case_id: str | int | None, calculation: Calculation, titles: Mapping[str, str], language: str
) -> str:
    """Return the text of a receipt, several lines.

    Args:
        titles: names of offers in the language by their ids; an offer without one is named by its
            id.
        language: `en` or `ru`.
    """
    words = _WORDS[language]
    lines = [*_lines(calculation, titles, language)]
    lines.append((words.total, ("", *_amounts(calculation.totals, language))))
    width = min(max([_NAME_WIDTH_MIN, *(len(name) for name, _ in lines)]), _NAME_WIDTH_MAX)
    rows = [f"{words.case} {case_id}, {words.store} {calculation.store}, {calculation.moment}"]
    for name, cells in (("", words.columns), *lines):
        right = "".join(f"{cell:>{_COLUMN_WIDTH}}" for cell in cells)
        rows.append(f"  {name[:width]:<{width}}{right}")
    rows += _points(calculation, words, language)
    rows += _hand_outs(calculation, words)
    reasons, hints = said(calculation, titles, language)
    for heading, texts in ((words.why, reasons), (words.hints, hints)):
        rows += [f"{heading}:", *(f"  {text}" for text in texts)] if texts else []
    if not calculation.proven:
        rows.append(words.unproven.format(money=money(calculation.gap_minor, language)))
    return "\n".join(rows) + "\n"


def said(
    calculation: Calculation, titles: Mapping[str, str], language: str
) -> tuple[list[str], list[str]]:
    """Return every reason in words for the cashier, and every hint in words for the customer."""
    reasons = [
        say_reason(reason, titles.get(reason.offer_id, ""), language, titles=titles)
        for reason in calculation.reasons
    ]
    hints = [
        say_reason(
            hint, titles.get(hint.offer_id, ""), language, audience="customer", titles=titles
        )
        for hint in calculation.hints
    ]
    return reasons, hints


_Row = tuple[str, tuple[str, ...]]


def _lines(calculation: Calculation, titles: Mapping[str, str], language: str) -> Iterator[_Row]:
    """Yield name and cells of each line, below it those of what each offer does to it."""
    for line in calculation.lines:
        quantity = _quantity(line.quantity, language)
        yield f"{line.line_id} {line.sku}", (quantity, *_amounts(line, language))
        for effect in line.effects:
            title = f"  {titles.get(effect.offer_id) or effect.offer_id}"
            if effect.discount_minor:
                yield title, ("", "", money(-effect.discount_minor, language))
            if effect.points:
                yield title, ("", "", f"+{points(effect.points, language)}")


def _amounts(of: CalculatedLine | Totals, language: str) -> tuple[str, str, str, str]:
    def negative(amount_minor: int) -> str:
        return money(-amount_minor, language) if amount_minor else ""

    return (
        money(of.gross_minor, language),
        negative(of.discount_minor),
        negative(of.redeemed_minor),
        money(of.paid_minor, language),
    )


def _points(calculation: Calculation, words: _Words, language: str) -> Iterator[str]:
    totals = calculation.totals
    if totals.redeemed_points:
        yield words.redeemed.format(
            points=points(totals.redeemed_points, language),
            money=money(totals.redeemed_minor, language),
            most=points(calculation.redeemable_points_max, language),
        )
    for lot in calculation.earned:
        text = words.lot.format(
            points=points(lot.points, language), name=lot.name, start=lot.active_from
        )
        yield text + (words.lot_until.format(end=lot.expires_on) if lot.expires_on else "")


def _hand_outs(calculation: Calculation, words: _Words) -> Iterator[str]:
    for each in calculation.hand_outs:
        yield words.hand_out.format(kind=each.kind, what=each.what, quantity=each.quantity)


def _quantity(thousandths: int, language: str) -> str:
    whole, rest = divmod(thousandths, UNIT_THOUSANDTHS)
    return f"{whole}{CATALOGUES[language].decimal_mark}{rest:03}" if rest else str(whole)

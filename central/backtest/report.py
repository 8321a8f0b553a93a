"""Figures as a document, as tables for spreadsheets, and as a page to read."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from central.backtest.figures import OfferFigures, Side, StoreFigures
from central.backtest.processes import Ran, Task
from loyalty.limits import PPM

_SHOWN_MAX: Final = 20
_SIDE: Final = (
    "discount_minor",
    "redeemed_minor",
    "redeemed_points",
    "paid_minor",
    "earned_points",
    "lines_at_floor",
    "unproven",
)
_COUNTS: Final = (
    "receipts",
    "touched",
    "changed",
    "gross_minor",
    "winners",
    "won_minor",
    "losers",
    "lost_minor",
    "more_points",
    "fewer_points",
)
_EFFECT: Final = ("receipts", "discount_minor", "points", "handed_out")
_NONE: Final = OfferFigures()

Row = dict[str, Any]


def document_of(draft: str, task: Task, ran: Ran, *, jobs: int) -> Row:
    """Return the whole report as JSON values; money in minor units."""
    total = ran.figures.total()
    change = task.change
    return {
        "draft": draft,
        "period": [task.period.first, task.period.last],
        "days": len(ran.days),
        "sample_percent": task.terms.sample_ppm * 100 / PPM,
        "recalculated": task.terms.recalculate,
        "offers_put_in": [offer.offer_id for offer in change.offers],
        "offers_taken_away": sorted(change.removed_offers),
        "total": _figures(total),
        "offers": list(_offers(task, total)),
        "stores": [
            {"store": store, **_figures(figures)}
            for store, figures in sorted(ran.figures.stores.items())
        ],
        "store_offers": [
            {"store": store, **row}
            for store, figures in sorted(ran.figures.stores.items())
            for row in _offers(task, figures)
        ],
        "distribution": [
            {"more_to_pay_minor": bucket, "receipts": total.distribution[bucket]}
            for bucket in sorted(total.distribution)
        ],
        "left_out": dict(sorted(total.left_out.items())),
        "checked": total.checked,
        "printed_otherwise": total.printed_otherwise,
        "assumed": list(_assumed(task)),
        "time": _time(total, ran, jobs),
    }


def _figures(figures: StoreFigures) -> Row:
    return {
        **{name: getattr(figures, name) for name in _COUNTS},
        "cost_minor": figures.with_change.discount_minor - figures.without.discount_minor,
        "points_more": figures.with_change.earned_points - figures.without.earned_points,
        "without": _side(figures.without),
        "with": _side(figures.with_change),
    }


def _side(side: Side) -> Row:
    return {name: getattr(side, name) for name in _SIDE}


def _offers(task: Task, figures: StoreFigures) -> Iterator[Row]:
    """Yield offers by what they cost more; those the draft is about, and those that it moves."""
    before, after = figures.without.offers, figures.with_change.offers
    put = {offer.offer_id for offer in task.change.offers}
    named = put | task.change.removed_offers
    rows = []
    for offer_id in before.keys() | after.keys() | named:
        one, other = before.get(offer_id, _NONE), after.get(offer_id, _NONE)
        if one == other and offer_id not in named:
            continue
        rows.append(
            {
                "offer": offer_id,
                "draft": "put in"
                if offer_id in put
                else "taken away"
                if offer_id in named
                else "as it was",
                "cost_minor": other.discount_minor - one.discount_minor,
                "points_more": other.points - one.points,
                **{f"{name}_without": getattr(one, name) for name in _EFFECT},
                **{f"{name}_with": getattr(other, name) for name in _EFFECT},
            }
        )
    yield from sorted(rows, key=lambda row: (-abs(row["cost_minor"]), row["offer"]))


def _assumed(task: Task) -> Iterator[str]:
    """Yield what a receipt of the past cannot tell about the offers put in."""
    yield "customers buy and redeem as they did"
    offers = task.change.offers
    if any(offer.limits.uses_per_account_max for offer in offers):
        yield "uses per account are those of the past: of a new offer none is used up"
    if any(offer.limits.are_shared for offer in offers):
        yield "budgets that are new are not used up"
    if any(offer.who.personal for offer in offers):
        yield "personal offers are those customers had"


def _time(total: StoreFigures, ran: Ran, jobs: int) -> Row:
    sides = {"without": total.without, "with": total.with_change}
    return {
        "jobs": jobs,
        "work_s": round(ran.work_ms / 1_000, 2),
        "receipts_per_s_core": round(total.receipts * 1_000 / ran.work_ms) if ran.work_ms else 0,
        **{
            f"us_per_calculation_{name}": round(side.calculated_ms * 1_000 / side.calculated)
            if side.calculated
            else 0
            for name, side in sides.items()
        },
    }


# For spreadsheets


def csv_files(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the content of the files by name."""
    names = ("stores", "offers", "store_offers", "distribution")
    return {f"{name}.csv": _csv([_flat(row) for row in document[name]]) for name in names}


def _flat(row: Row) -> Row:
    flat: Row = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{inner}_{name}": each for inner, each in value.items()}
        else:
            flat[name] = value
    return flat


def _csv(rows: Sequence[Row]) -> str:
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return out.getvalue()


# For people


def text_of(document: Mapping[str, Any]) -> str:
    """Return the page."""
    return "\n".join([*_head(document), *_money(document), *_tables(document), *_foot(document)])


def _head(document: Mapping[str, Any]) -> Iterator[str]:
    total, (first, last) = document["total"], document["period"]
    yield f"{document['draft']} on the receipts of {first} to {last} ({document['days']} dates)"
    if document["sample_percent"] < 100:  # noqa: PLR2004 - percent
        yield f"a sample of {document['sample_percent']:g} %: nothing below is scaled up"
    yield (
        f"{total['receipts']:,} receipts of {len(document['stores']):,} stores;"
        f" the draft may touch {total['touched']:,} and changes {total['changed']:,}"
    )


def _money(document: Mapping[str, Any]) -> Iterator[str]:
    total = document["total"]
    before, after = total["without"], total["with"]
    yield ""
    yield f"{'':<22}{'without':>16}{'with':>16}{'difference':>16}"
    for name, words in (
        ("discount_minor", "discounts"),
        ("redeemed_minor", "redeemed"),
        ("paid_minor", "paid"),
    ):
        one, other = before[name], after[name]
        yield f"{words:<22}{_m(one):>16}{_m(other):>16}{_m(other - one):>16}"
    for name, words in (
        ("earned_points", "points issued"),
        ("redeemed_points", "points redeemed"),
        ("lines_at_floor", "lines at their floor"),
        ("unproven", "not proven best"),
    ):
        one, other = before[name], after[name]
        yield f"{words:<22}{one:>16,}{other:>16,}{other - one:>+16,}"
    yield (
        f"less to pay on {total['winners']:,} receipts ({_m(total['won_minor'])}), more on"
        f" {total['losers']:,} ({_m(total['lost_minor'])}); more points on"
        f" {total['more_points']:,}, fewer on {total['fewer_points']:,}"
    )


def _tables(document: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"{'offer':<32}{'draft':<12}{'receipts':>10}{'cost':>14}{'points':>12}"
    yield from _shown(
        document["offers"],
        lambda row: (
            f"{row['offer'][:31]:<32}{row['draft']:<12}{row['receipts_with']:>10,}"
            f"{_m(row['cost_minor']):>14}{row['points_more']:>+12,}"
        ),
    )
    yield ""
    yield f"{'store':<16}{'receipts':>10}{'changed':>10}{'cost':>14}{'% of gross':>12}"
    stores = sorted(document["stores"], key=lambda row: -abs(row["cost_minor"]))
    yield from _shown(
        stores,
        lambda row: (
            f"{row['store'][:15]:<16}{row['receipts']:>10,}{row['changed']:>10,}"
            f"{_m(row['cost_minor']):>14}{_percent(row['cost_minor'], row['gross_minor']):>12.2f}"
        ),
    )
    yield ""
    yield f"{'more to pay from':<18}{'receipts':>10}"
    for row in document["distribution"]:
        yield f"{_m(row['more_to_pay_minor']):<18}{row['receipts']:>10,}"


def _shown(rows: Sequence[Row], line: Any) -> Iterator[str]:  # noqa: ANN401 - a lambda over a row
    yield from map(line, rows[:_SHOWN_MAX])
    if len(rows) > _SHOWN_MAX:
        yield f"... and {len(rows) - _SHOWN_MAX:,} more: --out FOLDER"


def _foot(document: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    for reason, count in document["left_out"].items():
        yield f"LEFT OUT {count:,} receipts: {reason}"
    if document["printed_otherwise"]:
        yield (
            f"OF {document['checked']:,} CHECKED RECEIPTS {document['printed_otherwise']:,} COME"
            " OUT OTHERWISE THAN PRINTED EVEN WITHOUT THE DRAFT: use --recalculate"
        )
    yield f"Assumed: {'; '.join(document['assumed'])}"
    time = document["time"]
    yield (
        f"Time: {time['us_per_calculation_with']} us for a receipt with the draft,"
        f" {time['us_per_calculation_without']} without; {time['receipts_per_s_core']:,} receipts"
        f" a second and process, {time['jobs']} processes"
    )


def _m(minor: int) -> str:
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100:,}.{abs(minor) % 100:02d}"


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0

"""The report: the figures that have a goal, and a table for each measurement."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]

GOALS: Mapping[str, str] = {
    "real_median_ms": "< 0.15",
    "real_p99_ms": "< 2",
    "ratio_zen_50x1000": ">= 100",
    "ratio_oscar_50x1000": ">= 100",
    "ratio_floor_50x1000": "stated",
    "compile_10000_s": "< 3",
    "bundle_mb": "< 60",
    "hard_proven_share": "stated",
    "hard_p99_ms": "stated",
}
"""What the issue asks of each headline figure."""

_MARKS = {"touching": "touch"}


def headline(parts: Figures) -> dict[str, float | None]:
    """Return the figures that have a goal; None where something was not measured.

    Args:
        parts: what each measurement returned, by its name.
    """
    real, bundle, hard = parts.get("real"), parts.get("bundle"), parts.get("hard")
    ratios = parts.get("synthetic", {}).get("ratios", {})
    made_up = bundle["synthetic"] if bundle else None
    return {
        "real_median_ms": real["once"]["median_ms"] if real else None,
        "real_p99_ms": real["once"]["p99_ms"] if real else None,
        "real_again_median_ms": real["again"]["median_ms"] if real else None,
        "real_first_of_the_day_median_ms": (
            real["first_of_the_day"]["median_ms"] if real else None
        ),
        # Against the fastest way to give the offers to the peer that still is a calculation.
        "ratio_zen_50x1000": ratios.get("zen_table"),
        "ratio_oscar_50x1000": ratios.get("oscar_prepared"),
        "ratio_floor_50x1000": ratios.get("floor"),
        "ratio_zen_expressions_50x1000": ratios.get("zen_expressions"),
        "ratio_zen_matching_50x1000": ratios.get("zen_matching"),
        "ratio_oscar_stacking_50x1000": ratios.get("oscar_stacking"),
        "compile_10000_s": made_up["sum_s"] if made_up else None,
        "bundle_mb": made_up["live_mb"] if made_up else None,
        "hard_proven_share": hard["proven_share"] if hard else None,
        "hard_p99_ms": hard["all"]["p99_ms"] if hard else None,
    }


def text(report: Figures) -> str:
    """Return the whole report as text."""
    parts = report["parts"]
    blocks = [_machine(report), _headline_block(report)]
    sections = {
        "real": _real,
        "synthetic": _synthetic,
        "growth": _growth,
        "bundle": _bundle,
        "hard": _hard,
    }
    blocks += [section(parts[name]) for name, section in sections.items() if name in parts]
    return "\n\n".join(blocks)


def _machine(report: Figures) -> str:
    machine = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in report["machine"].items()
    )
    return f"{machine}\nseed {report['seed']}{', quick: small numbers' if report['quick'] else ''}"


def _headline_block(report: Figures) -> str:
    rows = [
        {"figure": name, "measured": report[name], "goal": GOALS.get(name, "")}
        for name in headline({})
    ]
    return table("The figures", rows)


def _real(figures: Figures) -> str:
    rows = [
        {"calculate()": name.replace("_", " "), **figures[name]}
        for name in ("once", "again", "first_of_the_day")
    ]
    return table(
        f"Real baskets: {figures['baskets']} of {figures['lines_median']:g} lines (median, most"
        f" {figures['lines_max']}), {figures['offers']} offers, {figures['products']} products,"
        f" not proven best: {figures['not_proven']}",
        rows,
    )


def _synthetic(figures: Figures) -> str:
    versions = ", ".join(f"{peer} {version}" for peer, version in figures["versions"].items())
    blocks = [
        table(
            f"Made-up baskets, median ms ({versions or 'no peers'})",
            [
                {name.removesuffix("_ms"): value for name, value in row.items()}
                for row in figures["rows"]
            ],
        ),
        table(
            "Cross-check by hand",
            [{"case": name, **verdicts} for name, verdicts in figures["cross_check"].items()],
        ),
    ]
    if agreements := figures["equal_offers_at_the_headline"]:
        rows = [{"way": way, "offers that give the same": same} for way, same in agreements.items()]
        blocks.append(table("On the 50 x 1,000 baskets, offer by offer", rows))
    return "\n\n".join(blocks)


def _growth(figures: Figures) -> str:
    return "\n\n".join(
        (
            table("Growth with the offers that touch the basket", figures["by_touching"]),
            table("Growth with the offers there are", figures["by_existing"]),
        )
    )


def _bundle(figures: Figures) -> str:
    rows = [{"bundle": name, **cost} for name, cost in figures.items()]
    return table("A bundle, from bytes to the first receipt", rows)


def _hard(figures: Figures) -> str:
    rows = []
    for of in (*figures["ladder"], figures):
        proof, without = of["to_proof"] or {}, of["without_proof"] or {}
        rows.append(
            {
                "lines": of["lines"],
                "multi-buys": of["offers"],
                "baskets": of["baskets"],
                "proven": of["proven_share"],
                "median_ms": of["all"]["median_ms"],
                "p99_ms": of["all"]["p99_ms"],
                "proof median_ms": proof.get("median_ms"),
                "proof p99_ms": proof.get("p99_ms"),
                "unproven median_ms": without.get("median_ms"),
                "gap median": of["gap_share_median"],
                "gap p99": of["gap_share_p99"],
            }
        )
    return table("The hardest baskets (gap: share of the discount)", rows)


def table(title: str, rows: Sequence[Figures]) -> str:
    """Return rows as an aligned table; a column stands where the first row that has it puts it."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    heads = [_MARKS.get(name, name).replace("_", " ") for name in columns]
    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    lines = [_aligned(heads, widths), _aligned(["-" * width for width in widths], widths)]
    lines += [_aligned(row, widths) for row in cells]
    return "\n".join((title, *lines))


def _aligned(cells: Iterable[str], widths: Sequence[int]) -> str:
    first, *others = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join((first, *others)).rstrip()


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)

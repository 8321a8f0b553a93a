"""The figures as a page to read."""

from collections.abc import Iterator, Mapping

from bench.grocery.compare import CAUSES_EXPLAINED, Cause
from bench.replay.figures import Figures, Lines, Prices, Tally, percent

_RESTS_ON = {
    Prices.REGULAR: "no line at a card price",
    Prices.OTHERS: "every card price shown by other baskets too",
    Prices.ITSELF: "a card price shown by this basket alone",
}
_LEFT_OUT = {
    "lines_of_quantity_0": "lines of quantity 0 (no sales)",
    "baskets_without_lines": "baskets of such lines alone",
}
_NOT_FORETOLD = {
    "card_price_shown_by_this_basket_alone": "a card price shown by this basket alone",
    "coupon_value_shown_by_this_basket_alone": "a coupon's value shown by this basket alone",
}


def summary(report: Mapping[str, object], total: Figures) -> str:
    """Return the page.

    Args:
        report: what is written to the file.
        total: of all stores.
    """
    return "\n".join(
        [
            *_head(report, total),
            *_compared(total.with_store_prices),
            *_support(total),
            *_foretold(total),
            *_left_out(report, total),
            *_checks(report, total),
        ]
    )


def _head(report: Mapping[str, object], total: Figures) -> Iterator[str]:
    chain, weeks = report["chain"], report["weeks"]
    assert isinstance(chain, dict)
    assert isinstance(weeks, list)
    yield (
        f"{len(total.stores)} of {chain['stores']} stores, weeks {weeks[0]} to {weeks[1]}:"
        f" {total.with_store_prices.baskets:,} baskets of the chain's {chain['baskets']:,},"
        f" {total.lines:,} lines, {total.offers:,} offers"
    )


def _compared(tally: Tally) -> Iterator[str]:
    paper = tally.causes[Cause.PAPER_COUPON]
    yield ""
    yield "Calculated with the card prices of the store's week, beside what was paid"
    yield _row("equal to the cent", tally.equal, tally.baskets)
    yield _row("equal, makers' paper coupons apart", tally.equal + paper, tally.baskets)
    for cause, count in tally.causes.most_common():
        yield f"{_row(f'not equal: {cause}', count, tally.baskets)}  {CAUSES_EXPLAINED[cause]}"
    yield (
        f"  money: {_money(tally.paid_minor)} paid, {_money(tally.off_minor)} of differences"
        f" ({percent(tally.off_minor, tally.paid_minor)} %), net {_money(tally.net_minor)}"
    )


def _support(total: Figures) -> Iterator[str]:
    yield ""
    yield "The same baskets, by what their card prices were read from"
    for kind, tally in total.by_prices.items():
        share = percent(tally.baskets, total.with_store_prices.baskets)
        yield f"{_row(_RESTS_ON[kind], tally.equal, tally.baskets)}  {share} % of the baskets"
    yield _row("with a campaign's coupon", total.with_codes.equal, total.with_codes.baskets)


def _foretold(total: Figures) -> Iterator[str]:
    yield ""
    yield "Calculated with prices from OTHER baskets of the store and week alone"
    names = {
        _RESTS_ON[Prices.OTHERS]: total.foretold[Prices.OTHERS],
        "- of these without fuel": total.foretold_but_fuel,
        _RESTS_ON[Prices.REGULAR]: total.foretold[Prices.REGULAR],
        "every line in another basket too": total.foretold_wholly,
    }
    for name, tally in names.items():
        causes = ", ".join(f"{cause} {count:,}" for cause, count in tally.causes.most_common())
        yield f"{_row(name, tally.equal, tally.baskets)}  {causes}"
    yield _lines("card-priced lines", total.card_lines)
    yield _lines("lines at the regular price", total.regular_lines)
    for reason, count in sorted(total.not_foretold.items()):
        yield f"  baskets left out here, {_NOT_FORETOLD[reason]}: {count:,}"


def _left_out(report: Mapping[str, object], total: Figures) -> Iterator[str]:
    left_out, coupons = report["left_out"], report["coupons"]
    assert isinstance(left_out, dict)
    assert isinstance(coupons, dict)
    yield ""
    said = (f"{count:,} {_LEFT_OUT[name]}" for name, count in left_out.items())
    yield f"Left out: {', '.join(said)}"
    yield (
        f"Coupons: handed in with {total.with_codes.baskets:,} baskets;"
        f" {coupons['without_value']:,} kinds whose value the data does not show take nothing off"
    )


def _checks(report: Mapping[str, object], total: Figures) -> Iterator[str]:
    checks, slow, time = total.checks, total.slowest, report["time"]
    assert isinstance(time, dict)
    yield ""
    yield (
        f"Checks over {checks.calculations:,} calculations: {len(checks.raised)} raised,"
        f" {len(checks.unsound)} with wrong sums, {checks.unproven} not proven best;"
        f" {len(checks.order_matters)} of {checks.reordered:,} baskets changed with their order"
    )
    for finding in (*checks.raised, *checks.unsound, *checks.order_matters)[:10]:
        yield f"  {finding}"
    yield (
        f"Time: {time['seconds']} s with {time['jobs']} processes; slowest basket"
        f" {slow.took_ms:.1f} ms of processor time"
        f" ({slow.lines} lines, store {slow.store}, {slow.basket_id}"
        f"{', the first of its day' if slow.first_of_the_day else ''})"
    )


def _row(name: str, part: int, whole: int) -> str:
    return f"  {name:<45} {part:>8,} of {whole:>8,}  {percent(part, whole):6.2f} %"


def _lines(name: str, lines: Lines) -> str:
    return (
        f"  {name}: {lines.lines:,}; another basket shows a price for {lines.supported:,},"
        f" the one that was paid for {lines.foretold:,}"
        f" ({percent(lines.foretold, lines.supported)} %)"
    )


def _money(minor: int) -> str:
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100:,}.{abs(minor) % 100:02d}"

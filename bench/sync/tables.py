"""The figures as people read them."""

from typing import Any, Final

_SOURCES: Final = ("own_grant", "vault", "courier", "risk", "partly", "refused")


def text(report: dict[str, Any]) -> str:
    """Return a table for each part that was measured."""
    parts = []
    if "day" in report:
        parts.append(_day(report["day"]))
    if "redeeming" in report:
        parts.append(_redeeming(report["redeeming"]))
    if "rules" in report:
        parts.append(_rules(report["rules"]))
    return "\n\n".join(parts)


def _rules(found: dict[str, Any]) -> str:
    lines = [
        (
            f"new rules: a whole bundle of {found['offers']:,} offers to a store of"
            f" {found['tills']} tills, over the line of the store"
        ),
        f"{'':20}{'bundle':>12}{'pieces':>8}{'bodies':>12}{'headers':>10}{'LAN':>12}{'took s':>8}",
    ]
    for name, key in (("each till fetches", "each"), ("one for all", "one_for_all")):
        sizes = found[key]
        lines.append(
            f"{name:20}{sizes['bundle_bytes']:>12,}{sizes['fetched_pieces']:>8}"
            f"{sizes['line_bytes']:>12,}{sizes['line_header_bytes']:>10,}"
            f"{sizes['lan_bytes']:>12,}{sizes['lan_s']:>8g}"
        )
    return "\n".join(lines)


def _day(found: dict[str, Any]) -> str:
    lines = [
        (
            f"a store's day: {found['tills']} tills, {found['receipts']} receipts,"
            f" {found['accounts']} accounts, {found['open_hours']} hours"
            f" (a pull waits {found['hold_s']:g} s, HELLO every"
            f" {found['hello_interval_s']:g} s)"
        ),
        f"{'message':14}{'exchanges':>10}{'up':>12}{'down':>12}{'headers':>12}",
    ]
    lines += [
        f"{kind:14}{each['exchanges']:>10}{each['up_bytes']:>12,}{each['down_bytes']:>12,}"
        f"{each['header_bytes']:>12,}"
        for kind, each in found["by_kind"].items()
    ]
    first = found["first_contact_bytes"]
    lines += [
        (
            f"{'all':14}{found['exchanges']:>10}{found['up_bytes']:>12,}{found['down_bytes']:>12,}"
            f"{found['header_bytes']:>12,}"
        ),
        (
            f"bodies, both ways: {found['store_day_bytes'] / 1e6:.2f} MB (goal < 0.4);"
            f" {found['exchanges'] / found['receipts']:.1f} exchanges a receipt"
        ),
        (
            f"before that, once: {first['vault']:,} bytes to the vault,"
            f" {first['other_till']:,} to each other till"
        ),
    ]
    return "\n".join(lines)


def _redeeming(found: dict[str, Any]) -> str:
    shares = [
        ("wishes", "served whole, by the last source needed", found["wishes_by_source"]),
        ("points", "by source", found["points_by_source"]),
    ]
    named = sorted({name for *_, by in shares for name in by}, key=_SOURCES.index)
    head = "".join(f"{name.replace('_', ' '):>10}" for name in named)
    rows = [
        f"{what:7}{meaning:40}"
        + "".join(f"{by[name]:>10.1%}" if name in by else f"{'-':>10}" for name in named)
        for what, meaning, by in shares
    ]
    return "\n".join(
        (
            (
                f"redemption without a line: {found['wishes']} wishes of {found['wanted_points']:,}"
                f" points on {found['store_days_out']:,} store-days out,"
                f" {found['wishes_at_home_share']:.0%} of them at the customer's home store"
            ),
            f"{'of all':47}{head}",
            *rows,
            (
                f"served: {found['served_whole_share']:.1%} of the wishes whole, in part"
                f" {found['served_partly_share']:.1%}; of the points {found['served_share']:.1%}"
            ),
            (
                f"elsewhere, with a line: {found['online_short_for_points_held_out_of_reach']} of"
                f" {found['online_wishes']:,} wishes got less because the home store was out"
            ),
            (
                f"overdrawn: ours {found['our_overdraft']:,} points, by cached balances"
                f" {found['cached_balance_overdraft']:,}"
            ),
        )
    )

"""The demo's report: for programs as JSON, for people as a page of text."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.demo.proof import Proof
from bench.demo.replay import Played
from bench.grocery.compare import CAUSES_EXPLAINED, Comparison

SOUND = {
    "lost": 0,
    "applied_twice": 0,
    "mismatched_calculations": 0,
    "ledger_balanced": True,
    "invented": 0,
    "other_figures": 0,
    "journal_faults": 0,
    "uncovered_points": 0,
    "register_faults": 0,
    "returns_not_posted": 0,
    "without_loyalty": 0,
}
"""What a sound run reports; anything else makes the demo fail."""


def make_report(
    proof: Proof,
    played: Played,
    comparison: Comparison,
    *,
    seed: int,
    stores: Sequence[str],
    seconds: float,
) -> dict[str, Any]:
    """Return the report; but for `seconds` the same for the same seed."""
    assert proof.ledger is not None
    printed = proof.printed
    cut = [printed[key] for key in played.cut if key in printed]
    return {
        "seed": seed,
        "stores": list(stores),
        "baskets": len(printed) + proof.without_loyalty,
        "receipts_posted": proof.posted,
        "receipts_made_offline": len(cut),
        "redeemed_points": sum(receipt["redeemed_points"] for receipt in printed.values()),
        "redeemed_offline_points": sum(receipt["redeemed_points"] for receipt in cut),
        "earned_points": sum(receipt["earned_points"] for receipt in printed.values()),
        "returns_posted": proof.returns_posted,
        "returns_not_posted": len(proof.returns_printed) - proof.returns_posted,
        "kills": played.kills,
        "lost": len(proof.lost),
        "invented": len(proof.invented),
        "applied_twice": proof.applied_twice,
        "other_figures": len(proof.other_figures),
        "mismatched_calculations": len(proof.bytes_differ),
        "journal_faults": len(proof.journal_faults),
        "register_faults": len(played.faults),
        "without_loyalty": proof.without_loyalty,
        "overdraft_points": proof.overdraft_points,
        "uncovered_points": proof.uncovered_points,
        "ledger_balanced": proof.ledger.balanced,
        "ledger_broken": [check.name for check in proof.ledger.checks if check.broken],
        "paid_equal": comparison.equal,
        "paid_compared": comparison.compared,
        "paid_differs_because": {str(cause): count for cause, count in comparison.causes.items()},
        "seconds": round(seconds, 1),
    }


def is_sound(report: Mapping[str, Any]) -> bool:
    """Say whether everything that had to hold holds."""
    return all(report[name] == value for name, value in SOUND.items())


def summary(report: Mapping[str, Any], proof: Proof, played: Played) -> str:
    """Return the page for people."""
    equal, compared = report["paid_equal"], report["paid_compared"]
    lines = [
        "",
        f"Stores {' and '.join(report['stores'])}, two tills each, {report['seconds']:.0f} seconds",
        "",
        f"  {report['baskets']:>7,}  baskets sold, {report['returns_posted']} returns",
        f"  {report['receipts_made_offline']:>7,}  of them while the store had no centre",
        (
            f"  {report['redeemed_points']:>7,}  points redeemed,"
            f" {report['redeemed_offline_points']:,} of them without the centre"
        ),
        f"  {report['earned_points']:>7,}  points earned",
        f"  {report['kills']:>7,}  till killed -9 while it completed a sale",
        f"  {played.proxy.get('cut_connections', 0):>7,}  connections broken by the cut",
        "",
        "Proven from the registers' print-outs, the tills' journals and the centre's database:",
        "",
        *_checks(report, proof),
        "",
        "What customers paid equals what the real customers paid"
        f" in {equal:,} of {compared:,} baskets ({equal / compared:.1%})."
        if compared
        else "No basket could be compared.",
        "The others differ because:",
    ]
    lines += [
        f"  {count:>7,}  {CAUSES_EXPLAINED[cause]}"
        for cause, count in report["paid_differs_because"].items()
    ]
    lines += [
        "  (points redeemed count as paid; most card prices are read from the very basket, so this",
        "   proves offers, windows and sums, not that prices could be foretold)",
    ]
    for title, found in (
        ("Registers", played.faults),
        ("Journals", proof.journal_faults),
        ("Lost", proof.lost),
    ):
        lines += [f"{title}: {each}" for each in found[:5]]
    return "\n".join(lines)


def _checks(report: Mapping[str, Any], proof: Proof) -> list[str]:
    """Say of everything that had to hold whether it holds, a line each."""
    words = {
        "lost": f"every printed receipt is posted: {report['lost']} lost",
        "applied_twice": f"each exactly once: {report['applied_twice']} applied twice",
        "invented": f"nothing is posted that was not printed: {report['invented']}",
        "other_figures": f"posted as printed: {report['other_figures']} with other figures",
        "mismatched_calculations": "recalculated at the centre, byte for byte:"
        f" {report['mismatched_calculations']} differ",
        "journal_faults": "the tills' hash chains hold and equal what the centre keeps:"
        f" {proof.records:,} records",
        "ledger_balanced": "the ledger balances: every entry, account, lot, grant and the risk"
        " pool",
        "uncovered_points": "no account is overdrawn beyond the risk pool:"
        f" it paid {report['overdraft_points']} points",
        "without_loyalty": f"no sale had to do without loyalty: {report['without_loyalty']}",
        "returns_not_posted": f"every return is posted: {report['returns_not_posted']} missing",
        "register_faults": f"no register saw a fault: {report['register_faults']}",
    }
    return [
        f"  {'ok    ' if report[name] == SOUND[name] else 'BROKEN'} {words[name]}" for name in words
    ]

"""How many archived receipts a core back-tests a second, and what takes the time.

Real baskets of some stores, a year, sold under the chain's card prices and coupons with cards and
points to redeem; drafts that touch few of them, many, or all. Measured in processor time of one
process: work of others on the machine makes it slower, but not as much as the clock on the wall
would say. Reading the files is in it; compiling the rules is told apart: it is paid once a bundle.
"""

import gc
from collections.abc import Mapping
from pathlib import Path
from time import process_time

from bench.backtest.real_archive import RealArchive
from bench.engine.real import RealCase
from bench.engine.timing import Said
from central.backtest.archive import Archive, Period, pieces_of, read_piece
from central.backtest.batch import Terms, backtest_batch
from central.backtest.change import RuleChange
from central.backtest.figures import Figures
from central.backtest.pairs import Pairs
from central.backtest.processes import PIECE_RECEIPTS
from loyalty.bundle import Bundle
from loyalty.calculate import calculate
from loyalty.compilation import compile_bundle
from loyalty.offers import Attribute, Offer, Percent, Who

_ALWAYS = Period("0001-01-01", "9999-12-31")
_HOLDERS = Who(identified=True)
_INDEXES_KEPT = 512

DRAFTS: Mapping[str, RuleChange] = {
    "few": RuleChange(
        offers=(
            Offer(
                offer_id="draft",
                who=_HOLDERS,
                lines=Attribute(name="department", one_of=("SEAFOOD-PCKGD",)),
                gives=Percent(rate_ppm=100_000),
            ),
        )
    ),
    "many": RuleChange(
        offers=(
            Offer(
                offer_id="draft",
                who=_HOLDERS,
                lines=Attribute(name="department", one_of=("PRODUCE",)),
                gives=Percent(rate_ppm=100_000),
            ),
        )
    ),
    "all": RuleChange(
        offers=(Offer(offer_id="draft", who=_HOLDERS, gives=Percent(rate_ppm=20_000)),)
    ),
}
"""A draft on a small department, on a large one, and on everything."""


def write(case: RealCase, folder: Path) -> Archive:
    """Write a case's receipts as an archive."""
    made = RealArchive(folder, case.bundle)
    sold = (
        made.sold(
            f"r{number}",
            receipt.basket,
            moment=receipt.moment,
            place=receipt.place,
            account=receipt.account,
            request=receipt.request,
            right=receipt.right,
        )
        for number, receipt in enumerate(case.receipts)
    )
    made.write(sold, one_file=True)
    return made.archive


def measure(case: RealCase, archive: Archive) -> dict[str, object]:
    """Back-test every draft; return the figures."""
    said = Said(f"back-test: {len(case.receipts)} receipts, {len(DRAFTS)} drafts")
    found: dict[str, object] = {
        "receipts": len(case.receipts),
        "offers": len(case.bundle.offers),
        "products": len(case.bundle.catalogue),
        "calculate_per_s": _calculated_a_second(case),
    }
    for number, (name, change) in enumerate(DRAFTS.items()):
        found[name] = measure_draft(archive, case.bundle, change, Terms())
        said.step(number + 1, len(DRAFTS))
    found["all_recalculated"] = measure_draft(
        archive, case.bundle, DRAFTS["all"], Terms(recalculate=True)
    )
    return found


def _calculated_a_second(case: RealCase) -> int:
    """Return the floor: every receipt calculated once, nothing read and nothing counted."""
    rules = compile_bundle(case.bundle, "00", indexes_kept=_INDEXES_KEPT)
    gc.disable()
    begun = process_time()
    for receipt in case.receipts:
        calculate(
            receipt.basket,
            rules,
            moment=receipt.moment,
            place=receipt.place,
            account=receipt.account,
            request=receipt.request,
            right=receipt.right,
        )
    took_s = process_time() - begun
    gc.enable()
    return round(len(case.receipts) / took_s)


def measure_draft(
    archive: Archive, bundle: Bundle, change: RuleChange, terms: Terms
) -> dict[str, object]:
    """Back-test one draft; return what a core does a second, and why."""
    begun = process_time()
    pairs = Pairs(change, lambda _: bundle)
    pairs.of("00")
    gc.disable()  # as in the processes that do it
    compiled = process_time()
    days = archive.days(_ALWAYS)
    figures = Figures()
    parts = [part for day in days for part in archive.parts(day)]
    for piece in pieces_of(parts, rows_most=PIECE_RECEIPTS):
        figures.add(backtest_batch(read_piece(piece), pairs, terms=terms))
    took_s = process_time() - compiled
    gc.enable()
    total = figures.total()
    assert not total.left_out, total.left_out
    return {
        "per_s_core": round(total.receipts / took_s),
        "touched_percent": round(100 * total.touched / total.receipts, 2),
        "us_per_receipt": round(took_s * 1e6 / total.receipts, 1),
        "compile_s": round(compiled - begun, 2),
        "printed_otherwise": total.printed_otherwise,
    }

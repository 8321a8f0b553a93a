"""`python -m bench.demo`: the main job from one command; `make demo` runs it."""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bench.demo.books import Books
from bench.demo.progress import Progress
from bench.demo.proof import Proof, prove
from bench.demo.replay import Faults, Played, Replay
from bench.demo.rig import CentreProcess, Rig, RigError, free_port
from bench.demo.summary import is_sound, make_report, summary
from bench.grocery.compare import Comparison, paid_comparison
from bench.grocery.customers import build_accounts, write_load_file
from bench.grocery.data import Selection, choose_stores, load_selection, shift_days_to_end_before
from bench.grocery.offers import Derived, build_bundle, derive, with_one_offer_more
from bench.grocery.sessions import Session, build_sessions
from loyalty.bundle import Bundle
from loyalty.documents import encode

FOLDER = Path("var/demo")
REGISTERS_PER_STORE = 2
POOL_POINTS = 20_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns 0 when everything is proven."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.demo",
        description="Two stores sell real baskets,"
        " lose the network and a process, and nothing else.",
        epilog="Example: python -m bench.demo --weeks 1-4",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of everything that is drawn (default 1)"
    )
    parser.add_argument(
        "--weeks", default="1-24", help="weeks of the data, FIRST-LAST of 1 to 53 (default 1-24)"
    )
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help=f"where everything is kept (default {FOLDER})"
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep centre and tills running afterwards"
    )
    options = parser.parse_args(arguments)
    try:
        return _run(options)
    except RigError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace) -> int:
    started_s = time.monotonic()
    folder = _fresh_folder(options.folder.resolve())
    print("reading the real baskets ...", file=sys.stderr)
    first, last = (int(week) for week in options.weeks.split("-"))
    shift = shift_days_to_end_before(datetime.now(UTC).date(), last)
    selection = load_selection(choose_stores(2), first_week=first, last_week=last, shift_days=shift)
    derived = derive(selection)
    accounts = build_accounts(selection, seed=options.seed)
    sessions = build_sessions(
        selection,
        accounts,
        derived.coupons,
        seed=options.seed,
        registers_per_store=REGISTERS_PER_STORE,
    )
    with ExitStack() as ending:
        rig = Rig(
            folder,
            selection.stores,
            REGISTERS_PER_STORE,
            CentreProcess(folder / "centre", folder / "centre.log", inner_port=free_port()),
        )
        ending.callback(rig.stop)
        new_rules = _prepare(rig, selection, derived, folder, seed=options.seed)
        books = ending.enter_context(Books(folder / "centre"))
        played = _play(rig, books, sessions, new_rules, folder)
        rig.stop_tills()
        proof = prove(folder, {name: till.folder for name, till in rig.tills.items()}, books)
        report = make_report(
            proof,
            played,
            _compared(sessions, selection, derived, proof),
            seed=options.seed,
            stores=selection.stores,
            seconds=time.monotonic() - started_s,
        )
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(summary(report, proof, played))
        print(f"\nreport: {options.folder / 'report.json'}")
        if options.keep:
            _keep(rig)
    return 0 if is_sound(report) else 1


def _fresh_folder(folder: Path) -> Path:
    if (folder / "centre").exists() or (folder / "report.json").exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _prepare(rig: Rig, selection: Selection, derived: Derived, folder: Path, *, seed: int) -> Path:
    """Fill the centre, publish rules, start every process; returns the file with the next rules."""
    print(f"starting the centre and {2 * REGISTERS_PER_STORE} tills ...", file=sys.stderr)
    bundle = build_bundle(selection, version=1, derived=derived)
    write_load_file(folder / "customers.jsonl", selection, build_accounts(selection, seed=seed))
    rig.start_centre()
    rig.centre.run("load", folder / "customers.jsonl")
    rig.centre.run("rules", "publish", _write(folder / "rules-1.json", bundle))
    rig.centre.run("fund-pool", POOL_POINTS)
    rig.start_tills()
    return _write(folder / "rules-2.json", with_one_offer_more(bundle, version=2))


def _write(path: Path, bundle: Bundle) -> Path:
    path.write_text(json.dumps(encode(bundle)), encoding="utf-8")
    return path


def _play(
    rig: Rig, books: Books, sessions: Sequence[Session], new_rules: Path, folder: Path
) -> Played:
    progress = Progress(len(sessions))
    replay = Replay(rig, books, progress, new_rules=new_rules, folder=folder)
    replay.settle(rounds=3)
    try:
        return replay.run(sessions, Faults())
    finally:
        progress.end()


def _compared(
    sessions: Sequence[Session], selection: Selection, derived: Derived, proof: Proof
) -> Comparison:
    sales = {session.receipt_id: session for session in sessions if not session.is_return}
    paid = {
        sales[key].basket_id: printed["paid_minor"] + printed["redeemed_minor"]
        for key, printed in proof.printed.items()
    }
    anonymous = [session.basket_id for session in sales.values() if session.is_anonymous]
    return paid_comparison(paid, selection, derived=derived, anonymous=anonymous)


def _keep(rig: Rig) -> None:
    for till in rig.tills.values():
        till.start(pull_interval_s=5)
    print(f"\nstatus page: http://127.0.0.1:{rig.centre.inner_port}/\nCtrl-C stops everything")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print("stopping ...", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

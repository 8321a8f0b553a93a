"""`rules backtest`: what a draft would have done to the receipts of a period."""

import argparse
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from central.commands.command import Commands, add_centre_command, add_json_option, whole
from central.errors import CentralError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from central.backtest.archive import Period
    from central.backtest.change import RuleChange
    from central.backtest.processes import Ran, Task
    from central.config import CentralConfig
    from loyalty.bundle import Bundle

_PERCENT_MAX = 100
_JOBS_MAX = 1_024
_PPM_A_PERCENT = 10_000
_EXAMPLE = "rules backtest summer.json --period 2026-03-01..2026-03-31 --archive archive"


def add_backtest(actions: Commands) -> None:
    """Declare the command."""
    backtest = add_centre_command(
        actions,
        "backtest",
        "calculate a period's receipts with and without a draft",
        _backtest,
        example=_EXAMPLE,
    )
    backtest.add_argument(
        "draft",
        metavar="DRAFT",
        help="a file or folder of offers that are put in, a whole rule document, or a draft of the"
        " centre by its name",
    )
    add_period_option(backtest)
    backtest.add_argument(
        "--remove",
        action="append",
        default=[],
        metavar="OFFER_ID",
        help="an offer that is taken away; may be given more than once",
    )
    backtest.add_argument(
        "--base",
        type=Path,
        help="what a whole rule document is compared with (default: the bundle published last)",
    )
    backtest.add_argument(
        "--archive",
        help="the archive's folder, for Spark its address; without it the receipts of the period"
        " are archived first, into `archive` in the data folder",
    )
    backtest.add_argument(
        "--stores", default="", help="these stores alone, with commas (default: all)"
    )
    backtest.add_argument(
        "--jobs", type=whole(1, _JOBS_MAX), default=0, help="processes (default: one a core)"
    )
    backtest.add_argument(
        "--sample", type=float, default=100.0, metavar="PERCENT", help="so many of the receipts"
    )
    backtest.add_argument(
        "--recalculate",
        action="store_true",
        help="calculate without the draft, too, what the centre confirmed when it was posted",
    )
    backtest.add_argument("--spark", action="store_true", help="run as a job of Spark (pyspark)")
    backtest.add_argument("--out", type=Path, help="write CSV and JSON files into this folder")
    add_json_option(backtest)


def add_period_option(parser: argparse.ArgumentParser) -> None:
    """Add `--period`."""
    parser.add_argument(
        "--period",
        required=True,
        metavar="FROM..TO",
        help="business dates, both inside: 2026-03-01..2026-03-31, or one date",
    )


def period_of(options: argparse.Namespace) -> "Period":
    """Return the period asked for.

    Raises:
        ConfigurationError: the columns' library is not installed.
        CentralError: these are no dates.
    """
    try:
        from central.backtest.archive import read_period
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise ConfigurationError(
            "archive and back-test need pyarrow: install tillside[backtest]"
        ) from error
    try:
        return read_period(options.period)
    except ValueError as error:
        said = "give two business dates, such as 2026-03-01..2026-03-31, or one"
        raise CentralError(f"--period {options.period}: {error}; {said}") from error


def _spark_job() -> "Callable[[Task], Ran]":
    """Return what runs a back-test as a job of Spark.

    Raises:
        ConfigurationError: Spark's library is not installed.
    """
    try:
        from central.backtest.spark_job import backtest_with_spark
    except ModuleNotFoundError as error:
        if error.name not in ("pyspark", "pandas"):
            raise
        raise ConfigurationError(
            f"--spark needs {error.name}: install tillside[spark], and Java 17 or newer"
        ) from error
    return backtest_with_spark


async def _backtest(options: argparse.Namespace, config: "CentralConfig") -> int:
    period = period_of(options)
    spark_job = _spark_job() if options.spark else None
    from central.backtest.batch import Terms
    from central.backtest.change import NO_CHANGE
    from central.backtest.processes import Task

    folder = options.archive or str(config.folder / "archive")
    rules_of = ""
    if options.archive and _is_in_files(options) and (options.base or _is_parts(options)):
        change = _change_in_files(options, None)  # nothing is asked of the centre
    else:
        change, rules_of = await _change_at_centre(options, config, period, folder)
    _require_known(options.remove, change, Path(folder))
    change = change.without_offers(options.remove)
    if change == NO_CHANGE:
        raise CentralError(f"{options.draft} changes nothing")
    change = replace(change, rules_of=rules_of)
    if not 0 < options.sample <= _PERCENT_MAX:
        raise CentralError("--sample is above 0 and at most 100")
    terms = Terms(
        sample_ppm=max(1, round(options.sample * _PPM_A_PERCENT)), recalculate=options.recalculate
    )
    stores = frozenset(store for store in options.stores.split(",") if store)
    task = Task(folder=folder, period=period, change=change, stores=stores, terms=terms)
    return _run(options, task, spark_job)


def _require_known(offer_ids: Iterable[str], change: "RuleChange", folder: Path) -> None:
    """Refuse to take offers away that nobody has, by name.

    Raises:
        CentralError: neither the draft nor rules of the archive's receipts have one.
    """
    from central.backtest.archive import Archive

    unknown = set(offer_ids) - {offer.offer_id for offer in change.offers}
    if not folder.is_dir():  # an archive elsewhere, which Spark reads
        return
    archive = Archive(folder)
    for bundle_hash in archive.bundle_hashes():
        if not unknown:
            return
        unknown -= {offer.offer_id for offer in archive.read_bundle(bundle_hash).offers}
    if unknown:
        names = ", ".join(sorted(unknown))
        raise CentralError(f"--remove {names}: no rules of {folder} have such an offer")


def _is_in_files(options: argparse.Namespace) -> bool:
    return Path(options.draft).exists()


def _is_parts(options: argparse.Namespace) -> bool:
    """Say whether the files hold offers to put in, no whole rule document."""
    from central.rules.documents import read_rules

    return "version" in read_rules(Path(options.draft)).lacks


def _change_in_files(options: argparse.Namespace, base: "Bundle | None") -> "RuleChange":
    """Return what files say; a whole rule document says it beside its base."""
    from central.backtest.change import RuleChange, change_between
    from central.rules.documents import read_rules

    source = read_rules(Path(options.draft))
    drafted = source.bundle
    if "version" in source.lacks:
        if options.base:
            raise CentralError(
                f"--base goes with a whole rule document; {options.draft} holds parts to put in"
            )
        return RuleChange(
            offers=drafted.offers,
            groups=drafted.groups,
            products=drafted.catalogue,
            programme=None if "programme" in source.lacks else drafted.programme,
        )
    if options.base:
        base = read_rules(options.base).bundle
    if base is None:
        raise CentralError("no rules are published to compare a whole rule document with: --base")
    return change_between(base, drafted)


async def _change_at_centre(
    options: argparse.Namespace, config: "CentralConfig", period: "Period", folder: str
) -> "tuple[RuleChange, str]":
    """Return what a draft changes, and archive the period's receipts where no archive is given.

    Returns:
        Also whose rules it is for, where there are several programmes; else empty.
    """
    from central.backtest.archive import Archive
    from central.backtest.archiving import archive_receipts
    from central.backtest.change import change_between
    from central.bootstrap import opened_database
    from central.commands.archive import told_days
    from central.programmes.registry import DEFAULT, are_several, programme_of_rules
    from central.rules.documents import read_rules
    from central.rules.drafts import load_draft
    from central.rules.library import RuleLibrary, load_bundle
    from central.system import System

    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        draft = None if _is_in_files(options) else await load_draft(connection, options.draft)
        rules_of = draft.bundle.programme.programme_id if draft else _programme_in_files(options)
        programme = await programme_of_rules(connection, rules_of) if rules_of else DEFAULT
        base = (await RuleLibrary().newest(connection, programme)).bundle
        rules_of = rules_of or base.programme.programme_id
        if not await are_several(connection):
            rules_of = ""
        if draft is None:
            change = _change_in_files(options, base)
        else:
            if options.base:
                base = read_rules(options.base).bundle
            elif draft.base_hash:
                base = await load_bundle(connection, draft.base_hash)
            change = change_between(base, draft.bundle)
        if not options.archive:
            with told_days() as told:
                await archive_receipts(connection, Archive(Path(folder)), period, told=told)
    return change, rules_of


def _programme_in_files(options: argparse.Namespace) -> str:
    """Return whose rules files hold; empty where they do not say."""
    from central.rules.documents import read_rules

    source = read_rules(Path(options.draft))
    return "" if "programme" in source.lacks else source.bundle.programme.programme_id


def _run(
    options: argparse.Namespace, task: "Task", spark_job: "Callable[[Task], Ran] | None"
) -> int:
    """Run, print, write."""
    from central.backtest.processes import backtest_archive
    from central.backtest.report import csv_files, document_of, text_of
    from central.commands.progress import Progress

    jobs = options.jobs or os.cpu_count() or 1
    with Progress("receipts") as progress:
        if spark_job is not None:
            ran = spark_job(task)
        else:
            ran = backtest_archive(task, jobs=jobs, told=progress.told)
    if not ran.figures.stores:
        raise CentralError(f"{task.folder} has no receipts of the period and stores")
    document = document_of(options.draft, task, ran, jobs=jobs)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        for name, content in csv_files(document).items():
            (options.out / name).write_text(content, encoding="utf-8", newline="")
        report = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        (options.out / "backtest.json").write_text(report, encoding="utf-8")
    print(json.dumps(document) if options.json else text_of(document))
    return 0

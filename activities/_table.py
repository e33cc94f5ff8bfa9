"""Columns of a Data Array as a table of float64 for scikit-learn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haywain.analysis.moments import seconds
from haywain.errors import InvalidError
from haywain.portal_types.data_array import DataArray
from haywain.store.lanes import Lane, lanes_of

Lanes = dict[str, Lane]


def lanes_in(array: DataArray, columns: Sequence[str] = ()) -> Lanes:
    """Return columns of numbers by name: those asked for by name or number, else all that are no times.

    Raises UnknownNameError or InvalidError for what is none of them.
    """
    names = [column.name for column in array.columns]
    found = lanes_of(array.dtype, array.shape[1:], names)
    if not columns:
        return {name: lane for name, lane in found.items() if lane.table.dtype.kind not in "mM"}
    wanted = [int(one) if one.isdecimal() and one not in found else one for one in columns]
    return lanes_of(array.dtype, array.shape[1:], names, wanted)


def column_of(rows: NDArray[Any], lane: Lane) -> NDArray[Any]:  # Any: of whatever dtype
    """Return one column of rows; times as seconds since 1970 UTC, durations in seconds."""
    found = lane.of(rows)
    return seconds(found) if found.dtype.kind in "mM" else found


def table_of(rows: NDArray[Any], lanes: Lanes, first: int, takes_nan: bool) -> NDArray[np.float64]:
    """Return the columns of rows side by side, float64; `first` is the number of the first row.

    Raises InvalidError, which names row and column, where there is no finite number; NaN only if it is not
    taken.
    """
    found = np.empty((len(rows), len(lanes)))
    for place, (name, lane) in enumerate(lanes.items()):
        found[:, place] = column_of(rows, lane)
        check_finite(found[:, place], name, first, takes_nan)
    return found


def check_finite(column: NDArray[Any], name: str, first: int, takes_nan: bool = False) -> None:
    """Raise InvalidError, which names row and column, where there is no finite number."""
    if column.dtype.kind != "f":
        return
    bad = np.isinf(column) if takes_nan else ~np.isfinite(column)
    if bad.any():
        row = int(bad.argmax())
        raise InvalidError(
            f"Row {first + row} has {column[row]} in column {name!r}: leave the column out, or the row away"
        )

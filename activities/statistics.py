"""Statistics: what the columns of a Data Array hold, in numbers."""

from collections.abc import Generator, Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from haywain.activity.kind import Kind, NoParameters, Work
from haywain.activity.product import check_edition
from haywain.analysis.moments import FINE_BINS, Moments, histogram, seconds, summary
from haywain.analysis.rows import dtype_words
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal_types.data_array import DataArray
from haywain.values import MIB

COLUMNS_MAX = 64
RESULT_BINS = 16_384
"""Bins of all histograms together, so that the result stays small."""

STATE_TIMES = 16
"""A step reads so many times the bytes that are kept with it."""


class _Parameters(NoParameters):
    bins: int = Field(64, ge=1, le=4096, description="Bins of the histogram, rounded up to a power of two.")


class Statistics(Kind):
    """Count, mean, variance, min, max, histogram and quantiles of each column, in two passes of flat memory.

    Computed in float64.  NaN is counted as `nan_count` and left out of the rest.  Quantiles are exact to
    (max - min) / 32,768; how, says `haywain.analysis.moments`.  Both passes look at the rows there were when
    it began; a row changed meanwhile counts as the pass finds it, an array that is replaced ends it.  A kill
    costs the last step.
    """

    name = "statistics"
    title = "Compute statistics"
    portal_types = ("Data Array",)
    parameters = _Parameters
    step_bytes = 16 * MIB

    def suits(self, document: Document) -> str:
        """Say that there are no rows, or no columns of numbers."""
        array = cast(DataArray, document)
        if not array.is_created or not array.shape or not len(array):
            return "The array has no rows"
        try:
            _names(array)
        except InvalidError as error:
            return error.detail
        return ""

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Return the statistics of each column by its name."""
        array, given = cast(DataArray, work.document), cast(_Parameters, work.parameters)
        names, bins = _names(array), 1 << (given.bins - 1).bit_length()
        if bins * len(names) > RESULT_BINS:
            raise InvalidError(
                f"bins: {len(names)} columns with {bins} each are more than {RESULT_BINS} in all"
            )
        rows = work.cursor.setdefault("rows", len(array))
        kept = dict(work.kept)
        fine = kept.pop("fine", np.zeros((len(names), FINE_BINS), np.int64))
        found = Moments(**kept) if kept else Moments.of(np.zeros((0, len(names))))
        step_rows = max(self.step_bytes, STATE_TIMES * fine.nbytes) // _row_bytes(array)
        for passed, part in self._parts(work, array, rows):
            if passed <= rows:
                found = found.merged(Moments.of(part))
            else:
                fine += histogram(part, found, FINE_BINS)
            if passed - work.cursor.get("passed", 0) >= step_rows:
                work.cursor["passed"], work.kept = passed, {**vars(found), "fine": fine}
                yield passed / (2 * rows)
        columns = [summary(name, found, number, fine[number], bins) for number, name in enumerate(names)]
        return {"rows": rows, "columns": columns}

    def _parts(self, work: Work, array: DataArray, rows: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Yield the rows twice, as float64 of shape (rows, columns), with the number passed by then.

        The second pass goes on counting.  Rows that were cut off meanwhile are left out.
        """
        passed, step = work.cursor.get("passed", 0), max(self.step_bytes // _row_bytes(array), 1)
        while passed < 2 * rows:
            work.check()
            check_edition(work, "array")
            start = passed % rows
            stop = min(start + step, rows)
            passed += stop - start
            yield passed, _numbers(array.read(start, min(stop, len(array))))


def _row_bytes(array: DataArray) -> int:
    return max(array.dtype.itemsize * int(np.prod(array.shape[1:])), 1)


def _names(array: DataArray) -> list[str]:
    """Return the names of the columns; raises InvalidError for what has none that are numbers."""
    fields = array.dtype.names
    kinds = [array.dtype] if fields is None else [array.dtype[name] for name in fields]
    for place, kind in enumerate(kinds):
        if kind.kind not in "biufmM" or kind.shape:
            what = f"the field {fields[place]!r} holds" if fields is not None else "the rows are of"
            raise InvalidError(f"Statistics are of real numbers and times; {what} {dtype_words(kind)}")
    count = len(fields) if fields is not None else int(np.prod(array.shape[1:]))
    if count > COLUMNS_MAX or (fields is not None and len(array.shape) > 1):
        raise InvalidError(f"Statistics are of at most {COLUMNS_MAX} columns; a row has {count}")
    named = [column.name for column in array.columns]
    if fields is not None:
        return list(fields)
    return named if len(named) == count else [f"column {number}" for number in range(1, count + 1)]


def _numbers(rows: NDArray[Any]) -> NDArray[np.float64]:  # Any: of whatever dtype
    """Return rows as float64; a time as seconds since 1970 UTC, a duration in seconds, NaT as NaN."""
    if rows.dtype.names is not None:
        return np.stack([_numbers(rows[name])[:, 0] for name in rows.dtype.names], axis=1)
    if rows.dtype.kind in "mM":
        rows = seconds(rows)
    return rows.reshape(len(rows), -1).astype(np.float64)

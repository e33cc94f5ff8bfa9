"""Statistics: what the columns of a Data Array hold, in numbers."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from haywain.activity.kept import Arrays
from haywain.activity.kind import NoParameters, Work
from haywain.activity.map_reduce import MapReduce, Part
from haywain.analysis.moments import FINE_BINS, Moments, histogram, seconds, summary
from haywain.analysis.rows import dtype_words
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal_types.data_array import DataArray

COLUMNS_MAX = 64
RESULT_BINS = 16_384
"""Bins of all histograms together, so that the result stays small."""


class _Parameters(NoParameters):
    bins: int = Field(64, ge=1, le=4096, description="Bins of the histogram, rounded up to a power of two.")


class Statistics(MapReduce):
    """Count, mean, variance, min, max, histogram and quantiles of each column, in two passes of flat memory.

    Computed in float64.  NaN is counted as `nan_count` and left out of the rest.  Quantiles are exact to
    (max - min) / 32,768; how, says `haywain.analysis.moments`.  Both passes look at the rows there were when
    it began; a row changed meanwhile counts as the pass finds it, an array that is replaced ends it.
    """

    name = "statistics"
    title = "Compute statistics"
    portal_types = ("Data Array",)
    parameters = _Parameters
    passes = 2

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

    def length(self, source: Document, given: BaseModel) -> int:
        """Return the rows there are."""
        array = cast(DataArray, source)
        _names(array)
        return len(array)

    def check_given(self, source: Document, given: BaseModel) -> None:
        """Refuse more bins than the result has room for."""
        names, bins = _names(cast(DataArray, source)), _bins(given)
        if bins * len(names) > RESULT_BINS:
            raise InvalidError(
                f"bins: {len(names)} columns with {bins} each are more than {RESULT_BINS} in all"
            )

    def map(self, part: Part) -> Arrays:
        """Return the moments of the rows; in the second pass how many values lie in each fine bin.

        Rows that were cut off meanwhile are left out.
        """
        array = cast(DataArray, part.source)
        rows = _numbers(array.read(part.start, max(min(part.stop, len(array)), part.start)))
        if not part.known:
            return vars(Moments.of(rows))
        return {"fine": histogram(rows, part.known["low"], part.known["high"], FINE_BINS)}

    def reduce(self, one: Arrays, other: Arrays) -> Arrays:
        """Put two stretches of rows together."""
        if "fine" in one:
            return {"fine": one["fine"] + other["fine"]}
        return vars(Moments(**one).merged(Moments(**other)))

    def again(self, known: Arrays, total: Arrays) -> Arrays | None:
        """Count in a second pass, between the extremes that the first has found."""
        if known:
            return None
        return {name if name in ("low", "high") else f"_{name}": array for name, array in total.items()}

    def finish(self, work: Work, known: Arrays, total: Arrays) -> dict[str, Any]:  # Any: JSON
        """Return the statistics of each column by its name."""
        names = _names(cast(DataArray, work.document))
        moments = Moments(**{name.removeprefix("_"): array for name, array in known.items()})
        bins = _bins(work.parameters)
        columns = [
            summary(name, moments, number, total["fine"][number], bins) for number, name in enumerate(names)
        ]
        return {"rows": work.cursor["length"], "columns": columns}


def _bins(given: BaseModel) -> int:
    return 1 << (cast(_Parameters, given).bins - 1).bit_length()


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


def _numbers(rows: NDArray[Any]) -> NDArray[Any]:  # Any: of whatever real dtype
    """Return rows of numbers; a time as seconds since 1970 UTC, a duration in seconds, NaT as NaN."""
    if rows.dtype.names is not None:
        return np.stack([_numbers(rows[name])[:, 0] for name in rows.dtype.names], axis=1)
    if rows.dtype.kind in "mM":
        rows = seconds(rows)
    return rows.reshape(len(rows), int(np.prod(rows.shape[1:])))

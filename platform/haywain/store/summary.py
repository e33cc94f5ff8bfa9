"""Summary: the least and the greatest number, the sum and the count of each of many stretches of rows.

Least and greatest are exact, in the dtype of the numbers.  Sums are float64, so a mean is within 1e-12 of the
mean of the absolute values (numpy adds in pairs); times count as seconds since 1970 UTC, durations as
seconds.  NaN and NaT are left out, as by `numpy.fmin`, `fmax` and `nanmean`; a stretch of nothing else has
NaN.

A Table is the columns of one dtype that a row has: one field of a structure, or all of a matrix.  Its buckets
are stored as structures in which zero bytes mean a bucket of zeros: rows that were never written need none.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from haywain.values import MIB

Numbers = NDArray[Any]
"""Any: numbers of whatever dtype."""

PIECE_SIZE = 4 * MIB
"""Bytes of numbers that are looked at together."""

_SECONDS = {"W": 604800.0, "D": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
_SECONDS |= {"ns": 1e-9, "ps": 1e-12, "fs": 1e-15, "as": 1e-18}


@dataclass(frozen=True)
class Summary:
    """What stretches of one column hold: arrays of one shape, the last axis of which counts the stretches.

    `min` and `max` have the column's dtype; `total` is the sum of the `count` numbers that are not NaN.
    """

    min: Numbers
    max: Numbers
    total: NDArray[np.float64]
    count: NDArray[np.int64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean of each stretch, NaN where there is no number; of times in seconds since 1970 UTC."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.total / self.count

    @classmethod
    def of(cls, numbers: Numbers, starts: NDArray[np.int64]) -> "Summary":
        """Return the summary of stretches along the last axis; each begins at a start, none is empty."""
        seconds = as_seconds(numbers) if numbers.dtype.kind in "mM" else numbers
        lengths = np.diff(starts, append=numbers.shape[-1])
        with np.errstate(invalid="ignore", over="ignore"):
            low, high = (ufunc.reduceat(numbers, starts, axis=-1) for ufunc in (np.fmin, np.fmax))
            total = np.add.reduceat(seconds, starts, axis=-1, dtype=np.float64)
            gaps = np.zeros(total.shape, np.int64)
            if np.isnan(total).any():  # infinities of both signs may have been enough
                is_gap = np.isnan(seconds)
                gaps = np.add.reduceat(is_gap, starts, axis=-1, dtype=np.int64)
                filled = np.where(is_gap, seconds.dtype.type(0), seconds)
                total = np.add.reduceat(filled, starts, axis=-1, dtype=np.float64)
        return cls(low, high, total, lengths - gaps)

    @classmethod
    def empty(cls, dtype: np.dtype[Any]) -> "Summary":
        """Return the summary of no stretches."""
        numbers = np.zeros(0, dtype)
        return cls(numbers, numbers, np.zeros(0), np.zeros(0, np.int64))

    def merged(self, starts: NDArray[np.int64]) -> "Summary":
        """Return the summary of stretches of these stretches."""
        with np.errstate(invalid="ignore", over="ignore"):
            return Summary(
                np.fmin.reduceat(self.min, starts, axis=-1),
                np.fmax.reduceat(self.max, starts, axis=-1),
                np.add.reduceat(self.total, starts, axis=-1),
                np.add.reduceat(self.count, starts, axis=-1),
            )

    def taken(self, index: Any) -> "Summary":  # Any: as NumPy has it
        """Return the summaries of some of the stretches."""
        return Summary(self.min[index], self.max[index], self.total[index], self.count[index])

    @classmethod
    def joined(cls, parts: Sequence["Summary"]) -> "Summary":
        """Return summaries one after the other."""
        columns = zip(*((part.min, part.max, part.total, part.count) for part in parts), strict=True)
        return cls(*(np.concatenate(column, axis=-1) for column in columns))


class Table(NamedTuple):
    """Columns of one dtype: one `field` of a structure, or all columns of rows that are no structures."""

    field: str | None
    dtype: np.dtype[Any]
    columns: int

    def of(self, rows: Numbers) -> Numbers:
        """Return its part of rows, or of stored buckets: a view of shape (rows, columns)."""
        found = rows if self.field is None else rows[self.field]
        return found.reshape(len(found), self.columns)

    def bucket(self, level: int) -> np.dtype[Any]:
        """Return what is stored of one column's bucket: sums of small integers, and gaps, as they need it."""
        is_small = self.dtype.kind in "biu" and self.dtype.itemsize <= 2 and not level
        fields = [("min", self.dtype), ("max", self.dtype), ("total", "<i4" if is_small else "<f8")]
        gaps = [("gaps", "<i8" if level else "<u2")] if self.dtype.kind in "fmM" else []
        return np.dtype([*fields, *gaps])

    def load(self, buckets: Numbers, size: int) -> Summary:
        """Return stored buckets of `size` rows of one column."""
        gaps = buckets["gaps"].astype(np.int64) if self.dtype.kind in "fmM" else 0
        count = np.full(buckets.shape, size, np.int64) - gaps
        return Summary(buckets["min"], buckets["max"], buckets["total"].astype(np.float64), count)

    def store(self, summary: Summary, buckets: Numbers, size: int) -> None:
        """Put summaries of stretches of `size` rows where they are stored."""
        buckets["min"], buckets["max"], buckets["total"] = summary.min, summary.max, summary.total
        if self.dtype.kind in "fmM":
            buckets["gaps"] = size - summary.count


def tables_of(dtype: np.dtype[Any], row: tuple[int, ...]) -> tuple[Table, ...]:
    """Return the tables of rows: none where they have more than one axis, or no numbers.

    >>> [(t.field, t.columns) for t in tables_of(np.dtype([("at", "M8[s]"), ("id", "S3"), ("v", "f4")]), ())]
    [('at', 1), ('v', 1)]
    >>> tables_of(np.dtype(">i2"), (3,))
    (Table(field=None, dtype=dtype('int16'), columns=3),)
    """
    if dtype.names is not None:
        named = [(name, dtype[name]) for name in dtype.names if not row and is_number(dtype[name])]
        return tuple(Table(name, found.newbyteorder("="), 1) for name, found in named)
    if len(row) > 1 or 0 in row or not is_number(dtype):
        return ()
    return (Table(None, dtype.newbyteorder("="), row[0] if row else 1),)


def is_number(dtype: np.dtype[Any]) -> bool:
    """Return whether a dtype is one of real numbers, or of times or durations in a unit."""
    if dtype.kind in "mM":
        return np.datetime_data(dtype)[0] != "generic"
    return dtype.kind in "biuf" and dtype.subdtype is None


def buckets_dtype(tables: Iterable[Table], level: int) -> np.dtype[Any]:
    """Return the dtype of one row of a level: of a structure, a structure of buckets."""
    found = list(tables)
    if found[0].field is None:
        return found[0].bucket(level)
    return np.dtype([(cast(str, table.field), table.bucket(level)) for table in found])


def summarise(table: Table, rows: Numbers, buckets: Numbers) -> None:
    """Store the buckets of rows, as many rows each."""
    size = len(rows) // len(buckets)
    columns, stored = table.of(rows), table.of(buckets)
    for first, last, low, high in _pieces(len(buckets), table.columns, size * table.dtype.itemsize):
        piece = columns[first * size : last * size, low:high].T
        numbers = np.ascontiguousarray(piece, table.dtype)
        summary = Summary.of(numbers, np.arange(0, (last - first) * size, size))
        table.store(summary, stored[first:last, low:high].T, size)


def combine(table: Table, buckets: Numbers, size: int, parents: Numbers) -> None:
    """Store the buckets that consist of stored buckets of `size` rows, as many each."""
    fanout = len(buckets) // len(parents)
    below, above = table.of(buckets), table.of(parents)
    for first, last, low, high in _pieces(len(parents), table.columns, fanout * buckets.dtype.itemsize):
        piece = np.ascontiguousarray(below[first * fanout : last * fanout, low:high].T)
        summary = table.load(piece, size).merged(np.arange(0, (last - first) * fanout, fanout))
        table.store(summary, above[first:last, low:high].T, size * fanout)


def _pieces(buckets: int, columns: int, size: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (first, last, low, high): buckets and columns of at most PIECE_SIZE bytes together."""
    width = max(min(columns, PIECE_SIZE // size), 1)
    length = max(PIECE_SIZE // (size * width), 1)
    for first in range(0, buckets, length):
        for low in range(0, columns, width):
            yield first, min(first + length, buckets), low, min(low + width, columns)


def as_seconds(times: Numbers) -> NDArray[np.float64]:
    """Return times as seconds since 1970 UTC, durations as seconds; NaT is NaN.

    >>> as_seconds(np.array(["1970-01-02", "NaT"], "M8[D]")).tolist()
    [86400.0, nan]
    """
    unit, step = np.datetime_data(times.dtype)
    if unit in "YM":  # of no fixed length; as a duration numpy takes the mean of the calendar's
        times, unit, step = times.astype(f"{times.dtype.kind}8[s]"), "s", 1
    seconds = times.view(np.int64) * (step * _SECONDS[unit])
    return np.where(np.isnat(times), np.nan, seconds)

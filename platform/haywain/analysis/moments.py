"""Count, mean, variance, extremes, histogram and quantiles of columns, merged piece by piece.

Means and sums of squares are merged by the parallel formula of Chan, Golub and LeVeque, "Updating formulae
and a pairwise algorithm for computing sample variances", Stanford STAN-CS-79-773 (1979):

    delta = mean_b - mean_a,  mean = mean_a + delta n_b / n,  M2 = M2_a + M2_b + delta**2 n_a n_b / n

The variance is M2 / n, as `numpy.var` has it.  Histogram and quantiles are counted in a second pass, between
the extremes found by the first.  A quantile is that of `numpy.quantile` to within two of `FINE_BINS` bins, so
(max - min) / 32,768; where the two values beside it are farther apart than that, it is one of the two.  NaN
is counted, and left out of everything else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FINE_BINS = 1 << 16
"""Bins that the quantiles are read from."""

BLOCK_VALUES = 1 << 17
"""Values looked at at once: a MiB of float64."""

Numbers = NDArray[Any]
"""Any: of whatever real dtype, with the shape (rows, columns)."""

_UNIT_S = {"W": 604_800, "D": 86_400, "h": 3_600, "m": 60, "s": 1, "generic": 1}
_PARTS = {"ms": 1e3, "us": 1e6, "ns": 1e9, "ps": 1e12, "fs": 1e15, "as": 1e18}
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class Moments:
    """What is known of each column; `m2` is the sum of squared distances from the mean."""

    count: NDArray[np.int64]
    nan_count: NDArray[np.int64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Numbers) -> "Moments":
        """Return the moments of rows of shape (rows, columns)."""
        blocks = [_of_block(block) for block in _in_cache(rows)]
        return _together(blocks) if blocks else _of_block(np.zeros((rows.shape[1], 0)))

    def merged(self, other: "Moments") -> "Moments":
        """Return the moments of both."""
        count = self.count + other.count
        part = other.count / np.maximum(count, 1)
        with np.errstate(invalid="ignore", over="ignore"):  # of columns with an infinity
            delta = other.mean - self.mean
            mean = self.mean + delta * part
            if not np.isfinite(delta).all():  # also where only the difference is too large
                mean = np.where(np.isfinite(delta), mean, self.mean * (1 - part) + other.mean * part)
            m2 = self.m2 + other.m2 + delta**2 * self.count * part
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return Moments(count, self.nan_count + other.nan_count, mean, m2, low, high)


def seconds(times: NDArray[Any]) -> NDArray[np.float64]:  # Any: datetime64 or timedelta64
    """Return times as seconds since 1970 UTC, durations in seconds; NaT as NaN.

    In the unit they have: none of them may leave the range of another one.
    """
    unit, count = np.datetime_data(times.dtype)
    if unit in ("Y", "M"):  # of no fixed length
        times = times.astype(f"{times.dtype.kind}8[D]")
        unit, count = "D", 1
    number = times.astype(times.dtype.newbyteorder("=")).view(np.int64).astype(np.float64)
    found = number * (count * _UNIT_S[unit]) if unit in _UNIT_S else number * count / _PARTS[unit]
    return np.where(np.isnat(times), np.nan, found)


def _in_cache(rows: Numbers) -> Iterator[NDArray[np.float64]]:
    """Yield the rows as columns of float64, so many at a time that they stay in the processor's cache."""
    step = max(BLOCK_VALUES // max(rows.shape[1], 1), 1)
    for start in range(0, len(rows), step):
        yield np.array(rows[start : start + step].T, np.float64, order="C")  # always a copy


def _of_block(columns: NDArray[np.float64]) -> Moments:
    """Return the moments of columns of shape (columns, rows)."""
    counts = np.full(len(columns), columns.shape[1])
    low, high = columns.min(axis=1, initial=np.inf), columns.max(axis=1, initial=-np.inf)
    nan_counts = np.zeros_like(counts)
    is_nan = np.isnan(columns) if np.isnan(low).any() else None
    if is_nan is not None:
        nan_counts = is_nan.sum(axis=1)
        counts = counts - nan_counts
        low = np.where(is_nan, np.inf, columns).min(axis=1)
        high = np.where(is_nan, -np.inf, columns).max(axis=1)
        columns = np.where(is_nan, 0.0, columns)
    with np.errstate(invalid="ignore", over="ignore"):  # of columns with an infinity
        mean = columns.sum(axis=1) / np.maximum(counts, 1)
        if not np.isfinite(mean).all():  # also where only the sum is too large
            finite = (columns / np.maximum(counts, 1)[:, None]).sum(axis=1)
            mean = np.where(np.isfinite(mean), mean, finite)
        distances = columns - mean[:, None]
        if is_nan is not None:
            distances[is_nan] = 0
        m2 = np.einsum("ij,ij->i", distances, distances)
    return Moments(counts, nan_counts, mean, m2, low, high)


def _together(blocks: list[Moments]) -> Moments:
    """Return the moments of many blocks: the parallel formula for all of them at once."""
    count, nan_count, mean, m2, low, high = (
        np.stack([getattr(block, name) for block in blocks]) for name in Moments.__dataclass_fields__
    )
    total = count.sum(axis=0)
    with np.errstate(invalid="ignore", over="ignore"):  # of columns with an infinity
        middle = (mean * (count / np.maximum(total, 1))).sum(axis=0)
        squares = (m2 + (mean - middle) ** 2 * count).sum(axis=0)
    return Moments(total, nan_count.sum(axis=0), middle, squares, low.min(axis=0), high.max(axis=0))


def histogram(
    rows: Numbers, lows: NDArray[np.float64], highs: NDArray[np.float64], bins: int
) -> NDArray[np.int64]:
    """Return how many values lie in each of `bins` bins between a column's extremes: (columns, bins)."""
    found = np.zeros((rows.shape[1], bins), np.int64)
    for columns in _in_cache(rows):
        for number, values in enumerate(columns):
            low, high = float(lows[number]), float(highs[number])
            if np.isfinite(low) and np.isfinite(high):
                found[number] += _counts(values, low, high, bins)
    return found


def _counts(values: NDArray[np.float64], low: float, high: float, bins: int) -> NDArray[np.int64]:
    """Return how many of the values, which are written over, lie in each bin."""
    width = (high / bins - low / bins) or 1.0
    if high - low == np.inf:
        values, low, width = values / 2, low / 2, width / 2
    values -= low
    values /= width
    is_nan = np.isnan(values)
    if is_nan.any():
        values = values[~is_nan]
    places = np.clip(values, 0, bins - 1, out=values).astype(np.int64)
    return np.bincount(places, minlength=bins)


def quantiles(counts: NDArray[np.int64], low: float, high: float) -> list[float]:
    """Return the `QUANTILES` out of the counts of a fine histogram between two extremes."""
    total = int(counts.sum())
    ranks = np.array(QUANTILES) * (total - 1)
    ends = np.cumsum(counts)
    places = np.searchsorted(ends, ranks, side="right").clip(0, len(counts) - 1)
    inside = (ranks - (ends[places] - counts[places]) + 0.5) / np.maximum(counts[places], 1)
    low, high = low / 2, high / 2  # their difference may be beyond float64
    width = high / len(counts) - low / len(counts)
    return [2 * float(q) for q in np.clip(low + (places + inside.clip(0, 1)) * width, low, high)]


def summary(name: str, moments: Moments, column: int, counts: NDArray[np.int64], bins: int) -> dict[str, Any]:
    """Return a column's statistics as JSON; what an empty column does not have, or is infinite, is None."""
    count = int(moments.count[column])
    low, high = float(moments.low[column]), float(moments.high[column])
    is_told = count > 0 and np.isfinite(low) and np.isfinite(high)
    coarse = counts.reshape(bins, -1).sum(axis=1).tolist() if is_told else []
    found = quantiles(counts, low, high) if is_told else [None] * len(QUANTILES)
    return {
        "name": name,
        "count": count,
        "nan_count": int(moments.nan_count[column]),
        "mean": _finite(moments.mean[column]) if count else None,
        "variance": _finite(moments.m2[column] / count) if count else None,
        "min": _finite(low),
        "max": _finite(high),
        "histogram": {
            "counts": coarse,
            "edges": (2 * np.linspace(low / 2, high / 2, bins + 1)).tolist() if is_told else [],
        },
        "quantiles": {f"{q:g}": value for q, value in zip(QUANTILES, found, strict=True)},
    }


def _finite(value: Any) -> float | None:  # Any: one of numpy's floats
    return float(value) if np.isfinite(value) else None

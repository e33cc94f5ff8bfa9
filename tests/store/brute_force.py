"""What a level of detail must say: each stretch looked at by itself, with NumPy's plain functions."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haywain.store.summary import Summary, as_seconds

Numbers = NDArray[Any]


def check(found: Summary, column: Numbers, edges: NDArray[np.int64]) -> None:
    """Compare a summary with the rows of its column, the mean to 1e-12 of the absolute mean."""
    assert found.min.dtype == found.max.dtype == column.dtype.newbyteorder("=")
    assert len(found.min) == len(found.max) == len(found.mean) == len(edges) - 1
    for number, (start, stop) in enumerate(pairwise(edges)):
        part = column[start:stop]
        seconds = as_seconds(part.astype(part.dtype.newbyteorder("="))) if part.dtype.kind in "mM" else part
        there = seconds[~np.isnan(seconds)].astype(np.float64)
        assert same(found.min[number], np.fmin.reduce(part)), (start, stop)
        assert same(found.max[number], np.fmax.reduce(part)), (start, stop)
        assert found.count[number] == len(there)
        if not len(there):
            assert np.isnan(found.mean[number])
            continue
        with np.errstate(invalid="ignore", over="ignore"):
            mean, scale = there.mean(), np.abs(there).mean()
        if np.isfinite(scale):
            assert abs(found.mean[number] - mean) <= 1e-12 * scale, (start, stop)
        else:
            assert same(found.mean[number], mean)


def same(one: Any, other: Any) -> bool:
    """Return whether two are equal, NaN and NaT to themselves."""
    return bool(one == other or (one != one and other != other))

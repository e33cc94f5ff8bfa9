"""A signal: one channel of a recording or of an array, read in pieces as float64."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haywain.analysis.rows import dtype_words
from haywain.errors import InvalidError


@dataclass(frozen=True)
class SignalSource:
    """`count` samples at `rate_hz`; `read_rows(start, stop)` returns rows, of which `channel` is one."""

    count: int
    rate_hz: float
    channel: int
    read_rows: Callable[[int, int], NDArray[Any]]  # Any: of whatever real dtype
    row_bytes: int = 8

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return the samples [start, stop); raises InvalidError for one that is no number."""
        rows = self.read_rows(start, stop)
        if len(rows) < stop - start:
            raise InvalidError(
                f"The source has become shorter than the {self.count} samples it had; run it again"
            )
        if rows.dtype.names is not None:
            found = rows[rows.dtype.names[self.channel]].astype(np.float64)
        else:
            found = rows.reshape(len(rows), -1)[:, self.channel].astype(np.float64)
        if not np.isfinite(found).all():
            bad = int(np.flatnonzero(~np.isfinite(found))[0])
            raise InvalidError(f"Sample {start + bad} of channel {self.channel} is {found[bad]}, no number")
        return found


RATES_HZ = (1e-12, 1e18)
"""Rates beyond these are a mistake, and their squares and quotients no numbers."""


def check_rate(rate_hz: float) -> float:
    """Return a rate in samples a second; raises InvalidError for one that makes no sense."""
    if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        raise InvalidError(f"rate_hz: {rate_hz:g} is not between {RATES_HZ[0]:g} and {RATES_HZ[1]:g}")
    return rate_hz


def check_channel(channel: int, dtype: np.dtype[Any], row_shape: tuple[int, ...]) -> None:
    """Raise InvalidError unless rows of this dtype and shape have such a channel of real numbers."""
    fields = dtype.names
    count = len(fields) if fields is not None else int(np.prod(row_shape))
    if len(row_shape) > 1 or (fields is not None and row_shape):
        raise InvalidError(f"A signal needs rows of single numbers, not of shape {row_shape}")
    if not 0 <= channel < count:
        raise InvalidError(f"channel: there is no {channel}; there are {count}, counted from 0")
    kind = dtype if fields is None else dtype[channel]
    if kind.kind not in "biuf" or kind.shape:
        raise InvalidError(f"channel: {channel} holds {dtype_words(kind)}, not real numbers")

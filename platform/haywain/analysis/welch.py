"""A spectrogram by Welch's method, in stretches: at most 1,024 columns, each a mean over its span of time.

Welch, "The use of fast Fourier transform for the estimation of power spectra", IEEE Transactions on Audio and
Electroacoustics 15 (1967) 70-73.  A column is what `scipy.signal.welch(span, rate, "hann", nperseg)`
returns: segments that overlap by half, their means taken away, a periodic Hann window, one side, density in
the unit of the samples squared per Hz.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Signal = NDArray[np.float64]

COLUMNS_MAX = 1024
SAMPLES_AT_ONCE = 1 << 18
"""Samples transformed in one call."""


@dataclass(frozen=True)
class Grid:
    """How a signal of `count` samples is cut: `nperseg` samples a segment, so many segments a column."""

    count: int
    rate_hz: float
    nperseg: int
    columns_max: int = COLUMNS_MAX

    @property
    def length(self) -> int:
        """The samples of a segment: those of the signal if it is shorter."""
        return min(self.nperseg, self.count)

    @property
    def hop(self) -> int:
        """The samples from one segment to the next."""
        return self.length - self.length // 2

    @property
    def segments(self) -> int:
        """The number of segments."""
        return (self.count - self.length) // self.hop + 1

    @property
    def columns(self) -> int:
        """The number of columns."""
        return min(self.segments, self.columns_max)

    def edges(self) -> NDArray[np.int64]:
        """Return the first segment of each column, and the number of segments."""
        return np.arange(self.columns + 1) * self.segments // self.columns

    def span(self, column: int) -> tuple[int, int]:
        """Return the samples [start, stop) of a column."""
        first, stop = (int(edge) for edge in self.edges()[column : column + 2])
        return first * self.hop, (stop - 1) * self.hop + self.length

    def frequencies_hz(self) -> Signal:
        """Return the frequency of each row of a column."""
        return np.arange(self.length // 2 + 1) / (self.length / self.rate_hz)

    def times_s(self) -> Signal:
        """Return the time in the middle of each column."""
        spans = np.array([self.span(column) for column in range(self.columns)])
        return np.asarray(spans.mean(axis=1) / self.rate_hz)

    def segments_in(self, start: int, stop: int) -> tuple[int, int]:
        """Return the numbers of the segments that begin in the samples [start, stop), half-open."""
        first, last = -(-start // self.hop), -(-stop // self.hop)
        return min(first, self.segments), min(last, self.segments)

    def samples_of(self, first: int, last: int) -> tuple[int, int]:
        """Return the samples [start, stop) of the segments [first, last)."""
        return first * self.hop, (last - 1) * self.hop + self.length if last > first else first * self.hop


@dataclass(frozen=True)
class Stretch:
    """What some segments side by side add to a spectrogram: `density` of its columns from `first` on."""

    first: int
    density: Signal

    def merged(self, other: "Stretch") -> "Stretch":
        """Return what both add."""
        if not len(other.density) or not len(self.density):
            return self if len(self.density) else other
        first = min(self.first, other.first)
        last = max(one.first + len(one.density) for one in (self, other))
        density = np.zeros((last - first, self.density.shape[1]))
        for one in (self, other):
            density[one.first - first : one.first - first + len(one.density)] += one.density
        return Stretch(first, density)


def stretch_of(grid: Grid, first: int, last: int, signal: Signal) -> Stretch:
    """Return what the segments [first, last) add, whose samples these are."""
    from scipy.signal import get_window

    edges = grid.edges()
    if last <= first:
        return Stretch(0, np.zeros((0, grid.length // 2 + 1)))
    columns = np.searchsorted(edges, np.arange(first, last), side="right") - 1
    column = int(columns[0])
    found = np.zeros((int(columns[-1]) - column + 1, grid.length // 2 + 1))
    window = get_window("hann", grid.length)
    segments = sliding_window_view(signal, grid.length)[:: grid.hop]
    at_once = max(SAMPLES_AT_ONCE // grid.length, 1)
    for start in range(0, last - first, at_once):
        some = columns[start : start + at_once]
        power = _power(grid, window, segments[start : start + at_once])
        starts = np.flatnonzero(np.diff(some, prepend=-1))
        sizes = np.diff(edges)[some[starts]]
        found[some[starts] - column] += np.add.reduceat(power, starts, axis=0) / sizes[:, None]
    return Stretch(column, found)


def _power(grid: Grid, window: Signal, segments: Signal) -> Signal:
    """Return the power spectral density of each segment, one side."""
    from scipy.fft import rfft

    lines = rfft((segments - segments.mean(axis=1, keepdims=True)) * window, axis=1)
    with np.errstate(over="ignore"):  # of samples beyond 1e150; the density tells
        power: Signal = lines.real**2 + lines.imag**2
    power *= 1 / (grid.rate_hz * (window**2).sum())
    power[:, 1 : (grid.length + 1) // 2] *= 2  # one side; there are two of all but 0 and Nyquist
    return power

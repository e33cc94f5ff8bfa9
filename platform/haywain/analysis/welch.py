"""A spectrogram by Welch's method, in one pass: at most 1,024 columns, each a mean over its span of time.

Welch, "The use of fast Fourier transform for the estimation of power spectra", IEEE Transactions on Audio and
Electroacoustics 15 (1967) 70-73.  A column is what `scipy.signal.welch(span, rate, "hann", nperseg)`
returns: segments that overlap by half, their means taken away, a periodic Hann window, one side, density in
the unit of the samples squared per Hz.
"""

from dataclasses import dataclass, field
from typing import Any

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


@dataclass
class Spectrogram:
    """Feed it the signal in order; `density` of shape (columns, frequencies) is then the spectrogram."""

    grid: Grid
    done: int = 0
    rest: Signal = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        """Begin with zeros."""
        from scipy.signal import get_window

        self.window = get_window("hann", self.grid.length)
        self.edges = self.grid.edges()
        self.density = np.zeros((self.grid.columns, self.grid.length // 2 + 1))

    def state(self) -> dict[str, NDArray[Any]]:  # Any: numbers of whatever dtype
        """Return what it has summed up so far, to go on from by `restore`."""
        return {"density": self.density, "rest": self.rest, "done": np.array(self.done)}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:  # Any: as above
        """Go on where another one was."""
        self.density, self.rest, self.done = state["density"], state["rest"], int(state["done"])

    def add(self, signal: Signal) -> None:
        """Add the next samples, of any number."""
        grid = self.grid
        joined = np.concatenate([self.rest, signal])
        if joined.size >= grid.length:
            segments = sliding_window_view(joined, grid.length)[:: grid.hop]
            at_once = max(SAMPLES_AT_ONCE // grid.length, 1)
            for first in range(0, len(segments), at_once):
                self._add_segments(segments[first : first + at_once])
            joined = joined[len(segments) * grid.hop :]
        self.rest = joined.copy()

    def _add_segments(self, segments: Signal) -> None:
        from scipy.fft import rfft

        lines = rfft((segments - segments.mean(axis=1, keepdims=True)) * self.window, axis=1)
        with np.errstate(over="ignore"):  # of samples beyond 1e150; the density tells
            power = lines.real**2 + lines.imag**2
        power *= 1 / (self.grid.rate_hz * (self.window**2).sum())
        power[:, 1 : (self.grid.length + 1) // 2] *= 2  # one side; there are two of all but 0 and Nyquist
        numbers = np.arange(self.done, self.done + len(segments))
        columns = np.searchsorted(self.edges, numbers, side="right") - 1
        starts = np.flatnonzero(np.diff(columns, prepend=-1))
        sizes = np.diff(self.edges)[columns[starts]]
        self.density[columns[starts]] += np.add.reduceat(power, starts, axis=0) / sizes[:, None]
        self.done += len(segments)

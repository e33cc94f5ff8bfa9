"""A spectrogram's column is what scipy's Welch finds in its span, whatever the pieces."""

import itertools

import numpy as np
import pytest
from scipy.signal import welch

from haywain.analysis.welch import Grid, stretch_of


def spectrogram(signal: np.ndarray, grid: Grid, piece: int) -> np.ndarray:
    """Return the columns, summed up in pieces from both ends."""
    starts = range(0, signal.size, piece)
    parts = [(start, min(start + piece, signal.size)) for start in starts]
    found = stretch_of(grid, 0, 0, np.zeros(0))
    for start, stop in parts[::2] + parts[1::2]:
        first, last = grid.segments_in(start, stop)
        low, high = grid.samples_of(first, last)
        found = found.merged(stretch_of(grid, first, last, signal[low:high]))
    assert found.first == 0
    return found.density


@pytest.mark.parametrize("piece", [100, 999, 100_000])
@pytest.mark.parametrize(
    ("count", "nperseg", "columns"), [(10_000, 256, 7), (10_001, 255, 1024), (300, 4096, 1024), (9, 2, 3)]
)
def test_column_is_that_of_scipy(count: int, nperseg: int, columns: int, piece: int) -> None:
    signal = np.random.default_rng(4).standard_normal(count) + 3
    grid = Grid(count, 8000, nperseg, columns)
    found = spectrogram(signal, grid, piece)
    assert found.shape == (min(columns, grid.segments), grid.length // 2 + 1)
    for column in range(grid.columns):
        start, stop = grid.span(column)
        frequencies, expected = welch(signal[start:stop], 8000, "hann", grid.length)
        assert np.allclose(found[column], expected, rtol=1e-9, atol=1e-18)
        assert np.allclose(grid.frequencies_hz(), frequencies)


def test_columns_cover_the_signal_in_order() -> None:
    grid = Grid(1_000_000, 1000, 4096, 100)
    spans = [grid.span(column) for column in range(grid.columns)]
    assert spans[0][0] == 0 and 1_000_000 - spans[-1][1] < grid.hop
    assert all(before[1] >= after[0] > before[0] for before, after in itertools.pairwise(spans))
    assert np.all(np.diff(grid.times_s()) > 0)

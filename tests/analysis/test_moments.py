"""Statistics in pieces are those of numpy on the whole."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haywain.analysis.moments import FINE_BINS, QUANTILES, Moments, histogram, quantiles, seconds, summary


def merged(rows: np.ndarray, cuts: list[int]) -> Moments:
    edges = [0, *sorted(cuts), len(rows)]
    found = Moments.of(rows[:0])
    for start, stop in itertools.pairwise(edges):
        found = found.merged(Moments.of(rows[start:stop]))
    return found


@given(cuts=st.lists(st.integers(0, 1000), max_size=6), offset=st.sampled_from([0.0, 1e9]))
def test_moments_are_those_of_numpy(cuts: list[int], offset: float) -> None:
    rows = np.random.default_rng(8).normal(offset, [1, 5, 0], (1000, 3))
    found = merged(rows, cuts)
    assert np.allclose(found.mean, rows.mean(axis=0), rtol=1e-12)
    assert np.allclose(found.m2 / found.count, rows.var(axis=0), rtol=1e-7, atol=1e-12)
    assert np.array_equal(found.low, rows.min(axis=0)) and np.array_equal(found.high, rows.max(axis=0))


def test_nan_is_counted_and_left_out() -> None:
    rows = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]])
    found = merged(rows, [1])
    assert found.count.tolist() == [2, 0] and found.nan_count.tolist() == [1, 3]
    assert found.mean[0] == 2 and found.m2[0] / 2 == 1
    told = summary("b", found, 1, np.zeros(FINE_BINS, np.int64), 16)
    assert told["mean"] is told["min"] is told["quantiles"]["0.5"] is None


@pytest.mark.parametrize("shape", ["normal", "integers", "constant", "two"])
def test_histogram_and_quantiles_are_those_of_numpy(shape: str) -> None:
    random = np.random.default_rng(9)
    values = {
        "normal": random.standard_normal(20_001),
        "integers": random.integers(0, 50, 5000).astype(float),
        "constant": np.full(100, 2.5),
        "two": np.array([1.0, 2.0]),
    }[shape]
    rows = values[:, None]
    moments = Moments.of(rows)
    fine = histogram(rows[:7], moments.low, moments.high, FINE_BINS) + histogram(
        rows[7:], moments.low, moments.high, FINE_BINS
    )
    assert fine.sum() == len(values)
    low, high = values.min(), values.max()
    expected = np.quantile(values, QUANTILES)
    if shape != "two":  # between two values far apart a bin knows only the nearer
        assert np.allclose(quantiles(fine[0], low, high), expected, atol=2 * (high - low) / FINE_BINS + 1e-12)
    told = summary("x", moments, 0, fine[0], 64)
    if shape == "normal":
        assert told["histogram"]["counts"] == np.histogram(values, 64)[0].tolist()
    assert sum(told["histogram"]["counts"]) == len(values)


def test_infinity_is_told_as_none() -> None:
    rows = np.array([[1.0], [np.inf]])
    moments = merged(rows, [1])
    told = summary("x", moments, 0, histogram(rows, moments.low, moments.high, FINE_BINS)[0], 16)
    assert told["max"] is None and told["min"] == 1 and told["histogram"]["counts"] == []


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (np.datetime64("9999-12-31", "D"), 253_402_214_400.0),
        (np.datetime64("0001-01-01", "us"), -62_135_596_800.0),
        (np.datetime64("9999", "Y"), 253_370_764_800.0),
        (np.datetime64("1970-03", "M"), 59 * 86_400.0),
        (np.datetime64(3, "W"), 3 * 604_800.0),
        (np.datetime64(1_700_000_000_123_456_789, "ns"), 1_700_000_000.1234567),
        (np.timedelta64(10**10, "s"), 1e10),
        (np.timedelta64(1500, "ms"), 1.5),
        (np.timedelta64(3, "25s"), 75.0),
        (np.timedelta64(7, "as"), 7e-18),
        (np.timedelta64(7), 7.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_time_is_seconds_whatever_its_unit(time: object, expected: float, order: str) -> None:
    times = np.array([time, "NaT"]).astype(np.asarray(time).dtype.newbyteorder(order))
    found = seconds(times)
    assert found[0] == expected and np.isnan(found[1])


def test_sum_beyond_all_numbers_has_a_mean() -> None:
    rows = np.array([[1.7e308, 1.0], [1.6e308, 2.0], [-1.7e308, 3.0], [1.5e308, 4.0]])
    found = merged(rows, [2])
    assert found.mean.tolist() == [pytest.approx(0.775e308), 2.5]
    counts = histogram(rows, found.low, found.high, FINE_BINS)
    told = summary("a", found, 0, counts[0], 4)
    assert told["histogram"]["counts"] == [1, 0, 0, 3] and told["variance"] is None
    assert told["histogram"]["edges"] == pytest.approx([-1.7e308, -0.85e308, 0, 0.85e308, 1.7e308])

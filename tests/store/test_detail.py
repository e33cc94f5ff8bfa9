"""Edges lie where they should, and stretches without a Pyramid are what the rows are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.store.brute_force import check

from haywain.errors import InvalidError, UnknownNameError
from haywain.store import detail
from haywain.store.detail import detail_of_rows, edges_of, level_of
from haywain.store.lanes import lanes_of
from haywain.store.pyramid import rows_of


@given(st.integers(0, 1 << 45), st.integers(0, 1 << 45), st.integers(1, 5000))
def test_edges_are_even_and_begin_at_buckets(one: int, other: int, width: int) -> None:
    start, stop = min(one, other), max(one, other)
    edges = edges_of(start, stop, width)
    assert edges[0] == start and edges[-1] == stop
    assert len(edges) == min(width, stop - start) + 1
    lengths, even = np.diff(edges), (stop - start) / max(min(width, stop - start), 1)
    assert (lengths > 0).all() and (abs(lengths - even) <= max(even / 2, 1)).all()
    level = level_of(start, stop, width)
    if level >= 0:
        assert not (edges[1:-1] % rows_of(level)).any() and 2 * rows_of(level) <= even < 2 * rows_of(
            level + 1
        )
    else:
        assert even < 2 * rows_of(0)


def test_a_width_below_one_is_refused() -> None:
    with pytest.raises(InvalidError, match="A width is a number of 1 or more, not 0"):
        edges_of(0, 10, 0)


@given(st.lists(st.floats(width=32) | st.just(np.nan), max_size=300), st.integers(1, 400), st.integers(1, 50))
def test_rows_without_a_pyramid(values: list[float], width: int, piece: int) -> None:
    rows = np.array(values, "<f4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detail, "PIECE_SIZE", 4 * piece)
        found = detail_of_rows(
            lambda low, high: rows[low:high], 4, lanes_of(rows.dtype, ()), (0, len(rows)), width
        )
    check(found.columns["0"], rows, found.edges)
    assert not found.is_sampled


def test_too_many_rows_are_looked_at_in_part() -> None:
    rows = np.arange(100_000)
    found = detail_of_rows(
        lambda low, high: rows[low:high], 8, lanes_of(rows.dtype, ()), (0, 100_000), 10, most_rows=1000
    )
    assert found.is_sampled and found.columns["0"].count.sum() <= 1000
    assert (found.columns["0"].min == found.edges[:-1]).all()


def test_columns_are_chosen_by_name_and_by_number() -> None:
    matrix = np.dtype("<f4")
    assert list(lanes_of(matrix, (3,), ["a", "b", "c"], ["c", 0])) == ["c", "a"]
    assert list(lanes_of(matrix, (3,), ["only one"])) == ["0", "1", "2"]
    record = np.dtype([("name", "S3"), ("level", "f4")])
    assert list(lanes_of(record, (), ["ignored"])) == ["level"] == list(lanes_of(record, (), columns=[1]))
    with pytest.raises(UnknownNameError, match="no column of numbers 'name'; known are: level"):
        lanes_of(record, (), columns=[0])
    with pytest.raises(InvalidError, match="columns are numbers from 0 to 2, not -1"):
        lanes_of(matrix, (3,), columns=[-1])
    with pytest.raises(InvalidError, match="no column of real numbers or times"):
        lanes_of(np.dtype("S3"), ())

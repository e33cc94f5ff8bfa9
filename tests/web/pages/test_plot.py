"""A plot shows every peak, whatever its width."""

from typing import Any

import numpy as np
import pytest

from haywain.errors import InvalidError
from haywain.portal import Portal, Site
from haywain.portal_types.data_array import DataArray
from haywain.values import Column
from haywain.web.pages import plot
from haywain.web.pages.plot import Plot, plot_of, plottable, why_not


class Memory:
    """An array in memory with the names of its columns."""

    is_created = True

    def __init__(self, array: np.ndarray[Any, Any], *columns: Column) -> None:
        self.array, self.columns = array, columns
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, index: Any) -> Any:
        return self.array[index]


def drawn(array: np.ndarray[Any, Any], start: int, stop: int, width: int, column: int = 0) -> Plot:
    return plot_of(Memory(array), [column], start, stop, width)


@pytest.mark.parametrize("width", [1, 7, 100, 999, 1000, 4000])
@pytest.mark.parametrize("window", [(0, 1000), (0, 10**9), (333, 444), (999, 1000)])
def test_lowest_and_highest_of_each_stretch(width: int, window: tuple[int, int]) -> None:
    values = np.random.default_rng(3).normal(size=1000).astype("<f4")
    found = drawn(values, *window, width)
    start, stop = window[0], min(window[1], 1000)
    edges = [*found.at, stop]
    assert (found.start, found.stop, found.rows, edges[0]) == (start, stop, 1000, start)
    assert len(found.at) == min(width, stop - start) and sorted(set(edges)) == edges
    curve = found.curves[0]
    for low, high, mean, first, last in zip(
        curve.low, curve.high, curve.mean, edges, edges[1:], strict=False
    ):
        assert (low, high) == (values[first:last].min(), values[first:last].max())
        assert mean == pytest.approx(values[first:last].mean(dtype="f8"))


def test_column_of_a_table_and_of_records() -> None:
    table = np.arange(20, dtype=">i2").reshape(10, 2)
    found = plot_of(Memory(table, Column("left", "V"), Column("right", "A")), [1, 0, 1], 0, 10, 10)
    assert [(c.name, c.unit) for c in found.curves] == [("right", "A"), ("left", "V"), ("right", "A")]
    assert found.curves[0].low == list(range(1, 20, 2))
    records = np.zeros(3, [("t", "M8[s]"), ("v", "<f4"), ("s", "S2")])
    assert plottable(Memory(records)) == ["v"]
    assert plot_of(Memory(records), [0], 0, 3, 3).curves[0].high == [0, 0, 0]


def test_what_is_no_number_is_a_gap() -> None:
    values = np.array([1, np.nan, np.nan, np.nan, np.inf, -np.inf, 2, 3])
    curve = drawn(values, 0, 8, 4).curves[0]
    assert (curve.low, curve.high) == ([1, None, None, 2], [1, None, None, 3])
    assert curve.mean == [1, None, None, 2.5]


def test_long_stretches_are_sampled_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plot, "EXACT_ROWS", 100)
    values = np.arange(1000.0)
    found = drawn(values, 0, 1000, 10)
    assert found.is_sampled and found.curves[0].low == list(range(0, 1000, 100))
    assert found.curves[0].high == list(range(9, 1000, 100))
    assert not drawn(values, 0, 100, 10).is_sampled


@pytest.fixture
def long_array(site: Site) -> str:
    """5,000 rows with a peak that a look at a part of them misses."""

    def make(portal: Portal) -> str:
        array = portal.new("Data Array", reference="long")
        assert isinstance(array, DataArray)
        array.create((5000, 2), "<f4")
        array[:] = 1
        array[:][4777, 1] = 42
        return str(array.path)

    return site.transact(make)[0]


def test_a_plot_of_what_is_not_seen_yet_has_it_seen(
    site: Site, long_array: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot, "EXACT_ROWS", 1000)
    with site.open() as portal:
        array: Any = portal[long_array]  # Any: one kind of document
        found = plot_of(array, [1], 0, 5000, 4)
        assert found.is_sampled and found.curves[0].high == [1, 1, 1, 1]
        portal.commit()
        while site.workers.run_next() == 0:
            pass
        portal.abort()
        found = plot_of(array, [1], 0, 5000, 4)
        assert not found.is_sampled and found.curves[0].high == [1, 1, 1, 42]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((2, 2, 2)), "An array of 3 dimensions has no plot"),
        (np.zeros((2, 2), [("v", "f4")]), "An array of 2 dimensions has no plot"),
        (np.zeros(3, "S2"), "no column of real numbers"),
        (np.zeros(3, complex), "no column of real numbers"),
        (np.array(1), "A single value has no plot"),
    ],
    ids=["3-D", "records in 2-D", "texts", "complex", "scalar"],
)
def test_what_cannot_be_plotted_says_why(array: np.ndarray[Any, Any], reason: str) -> None:
    assert plottable(Memory(array)) == [] and reason in why_not(Memory(array))
    with pytest.raises(InvalidError, match=reason):
        drawn(array, 0, 1, 1)


def test_column_that_there_is_not_is_named() -> None:
    table = Memory(np.zeros((3, 9)))
    with pytest.raises(InvalidError, match="no 77; they are numbered from 0 to 8"):
        plot_of(table, [1, 77], 0, 3, 3)
    with pytest.raises(InvalidError, match="shows 8 at most, not 9"):
        plot_of(table, list(range(9)), 0, 3, 3)


def test_nothing_to_plot_in_an_empty_array() -> None:
    found = drawn(np.zeros((0, 2)), 0, 0, 100)
    assert (found.at, found.curves[0].low, found.rows) == ([], [], 0)
    with pytest.raises(InvalidError, match="no 2; they are numbered from 0 to 1"):
        drawn(np.zeros((0, 2)), 0, 0, 100, column=2)

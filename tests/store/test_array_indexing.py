"""Indexing and assignment on a Data Array's rows: what NumPy does, in windows and pieces."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from tests.store.conftest import Begin

from haywain.store import assignment
from haywain.store.array import Array
from haywain.store.assignment import assign, tiles
from haywain.store.indexing import select

pytestmark = pytest.mark.storages()

STRUCTURE = np.dtype([("time", "<M8[us]"), ("level", "<f4"), ("axis", "<i2", (3,)), ("name", "S5")])
DTYPES = ["<i2", ">f8", "<M8[ms]", "<c16", "?", "<U3", STRUCTURE]


def read(array: Array, index: Any) -> Any:
    selection = select(index, array.shape)
    return array.view(selection.start, selection.stop)[selection.index]


@pytest.fixture
def make(finding: str, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> Callable[[NDArray[Any]], Array]:
    """Make an Array of these rows, in pieces of a few rows; with views, and where there are none."""
    monkeypatch.setattr(assignment, "PIECE_SIZE", 64)
    monkeypatch.setattr(assignment, "SMALL_SIZE", 32)
    connection, _ = begin()

    def make(rows: NDArray[Any]) -> Array:
        array = Array((0, *rows.shape[1:]), rows.dtype)
        connection.add(array)
        array.append(rows)
        return array

    return make


def numbered(shape: tuple[int, ...], dtype: Any = "<i2") -> NDArray[Any]:
    count = int(np.prod(shape))
    if np.dtype(dtype) == STRUCTURE:
        rows = np.zeros(count, dtype)
        rows["time"], rows["level"] = np.arange(count).astype("M8[us]"), np.arange(count)
        rows["axis"], rows["name"] = (
            np.arange(count)[:, None] + np.arange(3),
            [b"%d" % n for n in range(count)],
        )
        return rows.reshape(shape)
    return np.arange(count).astype(dtype).reshape(shape)


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    """A shape and an index that NumPy takes."""
    shape = draw(npst.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=12))
    basic = npst.basic_indices(shape, allow_newaxis=True, max_dims=5)
    lists = npst.integer_array_indices(shape, result_shape=npst.array_shapes(max_dims=2, max_side=5))
    rows = npst.arrays(np.int64, draw(st.integers(0, 9)), elements=st.integers(-shape[0], shape[0] - 1))
    masks = st.integers(1, len(shape)).flatmap(lambda n: npst.arrays(bool, shape[:n]))
    span = npst.basic_indices(shape[:1], max_dims=1, allow_ellipsis=False)
    span = span.map(lambda item: item if isinstance(item, tuple) else (item,))
    mixed = st.tuples(span, rows).map(lambda pair: (*pair[0], pair[1] % shape[1 % len(shape)])[: len(shape)])
    return shape, draw(st.one_of(basic, lists, rows, rows.map(list), masks, mixed))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(case=cases(), data=st.data())
def test_an_index_reads_and_assigns_what_it_does_with_numpy(
    make: Callable[[NDArray[Any]], Array], case: tuple[tuple[int, ...], Any], data: st.DataObject
) -> None:
    shape, index = case
    expected = numbered(shape)
    array = make(expected)
    wanted = expected[index]
    got = read(array, index)
    assert type(got) is type(wanted) and np.array_equal(got, wanted)
    assert np.shape(got) == np.shape(wanted)
    values = -1 - np.arange(wanted.size).reshape(np.shape(wanted))
    values = values if np.ndim(wanted) else np.atleast_1d(values)
    kinds = ["same", "row", "leading one"][: 2 if isinstance(index, np.ndarray) else 3]  # masks take no more
    kinds = [*kinds, "scalar"] if np.ndim(wanted) else ["scalar"]
    made = {"same": values, "scalar": -7, "row": values[-1:], "leading one": values[None]}
    value = made[data.draw(st.sampled_from(kinds))]
    assign(array, index, value)
    expected[index] = value
    assert np.array_equal(array.view(), expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_items_of_all_fixed_sizes_are_kept(make: Callable[[NDArray[Any]], Array], dtype: Any) -> None:
    rows = numbered((7, 2), dtype)
    array = make(rows)
    assert array.dtype == rows.dtype
    assert np.array_equal(array.view(), rows)
    assign(array, slice(1, 7, 2), rows[:3])
    rows[1:7:2] = rows[:3].copy()
    assert np.array_equal(array.view(), rows)


def test_fields_are_read_and_assigned(make: Callable[[NDArray[Any]], Array]) -> None:
    rows = numbered((9,), STRUCTURE)
    array = make(rows)
    assert np.array_equal(read(array, "level"), rows["level"])
    assert np.array_equal(read(array, ["time", "axis"]), rows[["time", "axis"]])
    assign(array, "level", np.arange(9) * 2)
    assign(array, "axis", 5)
    assign(array, 3, ("2026-01-01", 1.5, (1, 2, 3), b"x"))
    assign(array, slice(5, 7), [("2026-01-01", 1.5, (1, 2, 3), b"y")] * 2)
    rows["level"], rows["axis"] = np.arange(9) * 2, 5
    rows[3] = ("2026-01-01", 1.5, (1, 2, 3), b"x")
    rows[5:7] = [("2026-01-01", 1.5, (1, 2, 3), b"y")] * 2
    assert np.array_equal(array.view(), rows)


@pytest.mark.parametrize("shift", [-3, -1, 1, 3])
def test_rows_assigned_from_a_view_of_themselves_are_those_from_before(
    make: Callable[[NDArray[Any]], Array], monkeypatch: pytest.MonkeyPatch, shift: int
) -> None:
    expected = numbered((40, 8))
    for to, source in [(expected[4:36], expected[4 + shift : 36 + shift])]:
        array = make(expected)
        assign(array, slice(4, 36), array.view()[4 + shift : 36 + shift])
        to[...] = source.copy()
    assert np.array_equal(array.view(), expected)


@pytest.mark.parametrize(
    ("index", "value", "error"),
    [
        (10, 0, IndexError),
        (-11, 0, IndexError),
        ((0, 3), 0, IndexError),
        ((0, 0, 0), 0, IndexError),
        ([10], 0, IndexError),
        (1.5, 0, IndexError),
        ("no such field", 0, IndexError),
        (np.ones(3, bool), 0, IndexError),
        (slice(0, 3), np.zeros((2, 3)), ValueError),
        (slice(None), "word", ValueError),
        (0, 40_000, OverflowError),
        (0, np.int64(40_000), OverflowError),
        ((0, 1), np.float64("nan"), ValueError),
        ((Ellipsis, Ellipsis), 0, IndexError),
    ],
    ids=repr,
)
def test_what_numpy_refuses_is_refused(
    make: Callable[[NDArray[Any]], Array], index: Any, value: Any, error: type[Exception]
) -> None:
    expected = numbered((10, 3))
    array = make(expected)
    with pytest.raises(error):
        expected.copy()[index] = value
    with pytest.raises(error):
        assign(array, index, value)
    assert np.array_equal(array.view(), expected)


def test_a_small_index_looks_at_few_rows() -> None:
    assert select(slice(5, 9), (1000,)).start == 5
    assert select((Ellipsis, 3), (1000,)).start == 3
    assert select((None, -1, Ellipsis), (1000, 4)).start == 999
    assert (select([7, 3], (1000,)).start, select([7, 3], (1000,)).stop) == (3, 8)


def test_whole_rows_are_written_without_a_dirty_page(make: Callable[[NDArray[Any]], Array]) -> None:
    array = make(numbered((100, 8)))
    assign(array, slice(10, 90), 3)
    assert not array.flush()


def test_tiles_cut_also_a_row_that_is_too_large() -> None:
    assert list(tiles((1, 4), 4, 8)) == [(0, slice(0, 2)), (0, slice(2, 4))]
    assert list(tiles((3, 2), 4, 100)) == [(slice(0, 12),)]

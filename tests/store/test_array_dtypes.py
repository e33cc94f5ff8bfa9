"""Array: whatever dtype, order and shape rows have, they come back as they were given."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.store.conftest import Begin

from haywain.store import assignment
from haywain.store.array import Array
from haywain.store.assignment import assign
from haywain.store.indexing import select
from haywain.store.upkeep import fragmented, verify

MIXED = np.dtype([("n", ">i2"), ("t", "<M8[ms]"), ("u", ">M8[us]"), ("v", "<f8"), ("w", ">u4", (2,))])
NESTED = np.dtype([("a", [("x", ">f4"), ("y", "<f4")]), ("s", ">U3"), ("b", "S5"), ("ok", "?")])
PADDED = np.dtype({"names": ["a", "b"], "formats": [">i2", "<f8"], "offsets": [0, 8], "itemsize": 24})
DTYPES = [
    *(">f2", ">f4", ">f8", ">c16", ">i2", ">u8", "<f4", "?", "u1", "<f16", ">m8[s]", ">M8[us]", "<M8[D]"),
    *(">U3", "S5", "V7", MIXED, NESTED, PADDED),
]

Make = Callable[[int | tuple[int, ...], Any], Array]


@pytest.fixture
def make(finding: str, begin: Begin, monkeypatch: pytest.MonkeyPatch, small_blocks: None) -> Make:
    """Make an Array, with small blocks; with views, and where there are none."""
    monkeypatch.setattr(assignment, "PIECE_SIZE", 5000)
    monkeypatch.setattr(assignment, "SMALL_SIZE", 2000)
    connection, manager = begin()

    def make(shape: int | tuple[int, ...], dtype: Any) -> Array:
        array = connection.root()["array"] = Array(shape, dtype)
        connection.add(array)
        manager.commit()
        manager.begin()
        return array

    return make


def filled(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return rows in which no two items are alike, where that is possible."""
    dtype, count = np.dtype(dtype), int(np.prod(shape))
    rows = np.zeros(count, dtype)
    if dtype.names is not None:
        for name in dtype.names:
            rows[name] = filled((count, *dtype[name].shape), dtype[name].base)
    elif dtype.kind in "SUV":
        rows[:] = np.array([str(number % 97) for number in range(count)], f"S{dtype.itemsize}").astype(dtype)
    elif dtype.kind in "mM":
        rows[:] = np.arange(count).astype(dtype)
    else:
        rows[:] = (np.arange(count) % 100).astype(dtype)
    return rows.reshape(shape)


def read(array: Array, index: Any) -> Any:
    selection = select(index, array.shape)
    return array.view(selection.start, selection.stop)[selection.index]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows_come_back_in_the_dtype_they_were_given_in(make: Make, dtype: Any) -> None:
    array, rows = make((0, 3), dtype), filled((1200, 3), dtype)
    assert array.dtype == np.dtype(dtype)
    parts = [0, 1, 7, 900, 1200]
    for low, high in pairwise(parts):  # into the tail, over it, into blocks
        assert array.append(rows[low:high]) == low
    assert np.array_equal(array.view(), rows) and array.view().dtype == rows.dtype
    for index in (5, slice(3, 900, 7), (Ellipsis, 1), [4, 2, 800]):
        assert np.array_equal(read(array, index), rows[index])
        assign(array, index, rows[::-1][index])
        rows[index] = rows[::-1][index].copy()
        assert np.array_equal(array.view(), rows)
    verify(array, 0, array.rows)


@pytest.mark.parametrize("dtype", [">f4", MIXED], ids=str)
@pytest.mark.parametrize(
    "order",
    [
        np.asfortranarray,
        lambda rows: np.repeat(rows, 2, axis=1)[:, ::2],
        lambda rows: rows[::-1][::-1],
        lambda rows: np.lib.stride_tricks.as_strided(rows, rows.shape, rows.strides, writeable=False),
        lambda rows: rows.astype(rows.dtype.newbyteorder("S")),
        lambda rows: rows.tolist() if rows.dtype.names is None else [list(map(tuple, row)) for row in rows],
    ],
    ids=["fortran", "strided", "reversed", "read-only", "other byte order", "lists"],
)
def test_rows_are_taken_in_any_order(make: Make, dtype: Any, order: Callable[..., Any]) -> None:
    for count in (4, 700):
        rows = filled((count, 5), dtype)
        array = make((count, 5), dtype)
        assert array.append(order(rows)) == count
        assert np.array_equal(array.view(count), rows)
        assign(array, slice(0, count), order(rows))
        assert np.array_equal(array.view(0, count), rows)


def test_broadcast_rows_are_taken(make: Make) -> None:
    for count in (4, 700):
        array, row = make((count, 5), ">f4"), np.arange(5, dtype="<i8")
        many = np.broadcast_to(row, (count, 5))
        array.append(many)
        assign(array, slice(0, count), many)
        assert (array.view() == row).all() and len(array.view()) == 2 * count
        assign(array, (slice(None), slice(1, 3)), np.asfortranarray(np.ones((1, 2))))
        assert (array.view() == [0, 1, 1, 3, 4]).all()


EMPTY: list[tuple[int, ...]] = [(0,), (0, 0), (5, 0), (0, 3, 0), (4, 0, 2), (1000, 0), (10**12, 0)]


@pytest.mark.parametrize("shape", EMPTY, ids=str)
def test_arrays_without_items_do_what_numpy_does(make: Make, shape: tuple[int, ...]) -> None:
    array, rows = make(shape, ">f4"), np.empty(shape, ">f4")
    assert (array.shape, array.nbytes) == (shape, 0)
    assert array.view().shape == shape and array.view().sum() == 0 and array.view().dtype == rows.dtype
    indices: list[Any] = [slice(None), slice(1, 3), slice(None, None, -2), Ellipsis, (Ellipsis, None), []]
    if shape[0]:
        indices += [-1, slice(1, 3), [0, 1 % shape[0], 0]]
    for index in indices:
        assert np.shape(read(array, index)) == rows[index].shape
        assign(array, index, 7)
        assign(array, index, np.zeros(rows[index].shape))
    with pytest.raises(IndexError):
        read(array, shape[0])
    with pytest.raises(ValueError, match="broadcast"):
        assign(array, slice(None), np.zeros((3, *shape[1:])))
    assert [stop - start for start, stop in array.row_blocks()] == ([shape[0]] if shape[0] else [])
    verify(array, 0, array.rows)
    assert fragmented(array) == [] and not array.flush()


@pytest.mark.parametrize("shape", [shape for shape in EMPTY if len(shape) > 1], ids=str)
def test_rows_without_items_are_counted(make: Make, shape: tuple[int, ...]) -> None:
    array, count = make(shape, "<i8"), shape[0]
    assert array.append(np.empty((6, *shape[1:]))) == count and array.rows == count + 6
    array.resize(2)
    assert array.view().shape == (2, *shape[1:])
    array.resize(9)
    assert array.append(np.empty(shape[1:])) == 9 and array.rows == 10
    manager = array._p_jar.transaction_manager
    manager.commit()
    manager.begin()
    assert array.view().shape == (10, *shape[1:])


def test_a_row_of_many_items_is_none_where_they_have_no_bytes(make: Make) -> None:
    assert make((0, 3, 0), "<i8").append(np.zeros((3, 0))) == 0

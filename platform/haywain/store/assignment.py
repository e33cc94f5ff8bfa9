"""Assignment: `array[index] = value` as NumPy does it, in pieces that take little memory.

Rows that are replaced as a whole become blobs at once, at most PIECE_SIZE bytes at a time, and change no
page of a view.  All else is written through the view, and flushed when DIRTY_SIZE bytes of pages changed.
"""

import tempfile
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from haywain.store import pagemap
from haywain.store.array import Array
from haywain.store.extents import PAGE, ceil
from haywain.store.indexing import Index, Selection, are_fields, result_shape, rows_axis, select
from haywain.store.passing import passing
from haywain.store.rows import flat
from haywain.values import MIB

PIECE_SIZE = 16 * MIB
"""Most bytes that an assignment writes at a time."""

DIRTY_SIZE = 64 * MIB
"""Most bytes of pages that assignments change before they are flushed; each flush may write blocks anew."""

SMALL_SIZE = MIB
"""Rows of fewer bytes are written through the view: many small assignments make one blob."""


def assign(array: Array, index: Index, value: Any) -> None:  # Any: what NumPy takes
    """Assign as `ndarray[index] = value` does; raises IndexError, ValueError and TypeError as NumPy."""
    if not array.row_bytes:  # there is nothing to change, but perhaps to refuse
        np.empty(array.shape, array.dtype)[index] = value
        return
    selection = select(index, array.shape)
    data = _as_data(array, selection, value)
    if selection.along < 0 or not (selection.is_slice or isinstance(selection.rows, int)):
        _assign_anywhere(array, selection, data)
        return
    shape = result_shape(selection, array.row)
    data = np.broadcast_to(_without_ones(data, len(shape)), shape)
    if _is_whole(selection, array):
        _replace(array, selection, data)
        return
    axis = rows_axis(selection, array.row) if selection.is_slice else -1
    for piece, taken in _pieces(selection, array):
        part = data if axis < 0 else data[(*[slice(None)] * axis, taken)]
        _through_view(array, piece, part)


def _as_data(array: Array, selection: Selection, value: Any) -> NDArray[Any]:  # Any: what NumPy takes
    """Return the value as an ndarray that no write to the array changes."""
    if isinstance(value, np.ndarray):
        data = value
    elif isinstance(value, np.generic):  # what does not fit is refused as NumPy does, not wrapped
        data = np.empty((), _target_dtype(array.dtype, selection.index))
        data[()] = value
    elif hasattr(value, "__array__"):
        data = np.asarray(value)
    else:  # a tuple may be a structure
        data = np.asarray(value, _target_dtype(array.dtype, selection.index))
    if data.nbytes and _shares_memory(array, data):
        data = _spooled(data)
    return data


def _target_dtype(dtype: np.dtype[Any], index: Index) -> np.dtype[Any]:
    return (np.empty(0, dtype)[index].dtype if are_fields(index) else dtype).base


def _shares_memory(array: Array, data: NDArray[Any]) -> bool:
    return pagemap.METHOD != "none" and np.may_share_memory(data, array.window())


def _spooled(data: NDArray[Any]) -> NDArray[Any]:
    """Return a copy; a large one lies in a file without a name."""
    if data.nbytes <= PIECE_SIZE:
        return data.copy()
    with tempfile.TemporaryFile() as file:
        copied: NDArray[Any] = np.memmap(file, data.dtype, "w+", shape=data.shape)
    copied[...] = data
    return copied


def _without_ones(data: NDArray[Any], dimensions: int) -> NDArray[Any]:
    """Return data without the leading dimensions of one item that an assignment may have."""
    while data.ndim > dimensions and data.shape[0] == 1:
        data = data[0]
    return data


def _is_whole(selection: Selection, array: Array) -> bool:
    """Return whether whole rows are selected, one after the other, and enough of them for a blob."""
    rest = [item for k, item in enumerate(selection.index) if k != selection.along]
    step = selection.rows.step if selection.is_slice else 1
    is_large = (selection.stop - selection.start) * array.row_bytes >= SMALL_SIZE
    return is_large and step == 1 and all(map(_is_everything, rest))


def _is_everything(item: Index) -> bool:
    return item is Ellipsis or (isinstance(item, slice) and item == slice(None))


def _replace(array: Array, selection: Selection, data: NDArray[Any]) -> None:
    rows = selection.stop - selection.start
    data = data.reshape((rows, *array.row)) if data.ndim == len(array.row) else data
    low = selection.start * array.row_bytes
    for piece in tiles(data.shape, array.dtype.itemsize, PIECE_SIZE):
        part = np.ascontiguousarray(data[piece], array.dtype).reshape(-1).view(np.uint8)
        array.write(low, memoryview(cast(Any, part)))  # mypy does not know that it is a buffer
        low += len(part)


def tiles(shape: tuple[int, ...], itemsize: int, most: int) -> Iterator[tuple[int | slice, ...]]:
    """Yield indices of contiguous parts of at most `most` bytes, in order.

    >>> list(tiles((2, 3), 4, 8))
    [(0, slice(0, 2, None)), (0, slice(2, 4, None)), (1, slice(0, 2, None)), (1, slice(2, 4, None))]
    """
    axis, size = len(shape) - 1, itemsize
    while axis > 0 and size * shape[axis] <= most:
        size *= shape[axis]
        axis -= 1
    step = max(most // size, 1)
    for first in np.ndindex(shape[:axis]):
        for start in range(0, shape[axis], step):
            yield (*first, slice(start, start + step))


def _pieces(selection: Selection, array: Array) -> Iterator[tuple[Selection, slice]]:
    """Yield selections of at most PIECE_SIZE bytes, and which of the result's rows each has."""
    if not selection.is_slice:
        yield selection, slice(None)
        return
    chosen = range(*selection.rows.indices(selection.stop - selection.start))
    count = max(PIECE_SIZE // (array.row_bytes * abs(chosen.step)), 1)
    for first in range(0, len(chosen), count):
        rows = chosen[first : first + count]
        low, high = min(rows[0], rows[-1]), max(rows[0], rows[-1]) + 1
        item = slice(rows[0] - low, None, rows.step)
        start = selection.start + low
        yield (
            Selection(start, selection.start + high, selection.with_rows(item), selection.along),
            slice(first, first + count),
        )


def _assign_anywhere(array: Array, selection: Selection, data: NDArray[Any]) -> None:
    """Assign to fields, masks and lists of rows: in pieces where that is simple, else at once."""
    index = selection.index
    if are_fields(index):
        _assign_fields(array, index, data)
        return
    item = index[0] if isinstance(index, tuple) and len(index) == 1 else index
    mask: NDArray[Any] = np.asarray(item) if isinstance(item, np.ndarray | list) else np.zeros(())
    if mask.ndim and mask.dtype == bool and mask.shape == array.shape[: mask.ndim]:
        _assign_masked(array, mask, data)
    elif selection.along == 0 and len(index) == 1:
        _assign_rows(array, selection, data)
    else:
        _through_view(array, selection, data)


def _assign_masked(array: Array, mask: NDArray[np.bool_], data: NDArray[Any]) -> None:
    shape = (int(np.count_nonzero(mask)), *array.shape[mask.ndim :])
    data = np.broadcast_to(_without_ones(data, len(shape)), shape)
    count = max(PIECE_SIZE // array.row_bytes, 1)
    done = 0
    for start in range(0, array.rows, count):
        some = mask[start : start + count]
        chosen = int(np.count_nonzero(some))
        if chosen:
            _through_view(array, Selection(start, start + len(some), some), data[done : done + chosen])
        done += chosen


def _assign_fields(array: Array, index: str | list[str], data: NDArray[Any]) -> None:
    target = np.broadcast_to(np.empty((), array.dtype), array.shape)[index]
    data = np.broadcast_to(_without_ones(data, target.ndim), target.shape)
    count = max(PIECE_SIZE // array.row_bytes, 1)
    for start in range(0, array.rows, count):
        stop = min(start + count, array.rows)
        _through_view(array, Selection(start, stop, index), data[start:stop])


def _assign_rows(array: Array, selection: Selection, data: NDArray[Any]) -> None:
    """Assign to rows in any order, the last one wins; each may change pages of its own."""
    numbers: NDArray[np.int64] = selection.rows
    shape = (*numbers.shape, *array.row)
    data = np.broadcast_to(_without_ones(data, len(shape)), shape).reshape(-1, *array.row)
    numbers = numbers.reshape(-1)
    order = np.argsort(numbers, kind="stable")  # so that each page is written, and flushed, once
    count = max(PIECE_SIZE // (ceil(array.row_bytes, PAGE) + PAGE), 1)
    for first in range(0, len(numbers), count):
        taken = order[first : first + count]
        some = numbers[taken]
        low, high = int(some[0]), int(some[-1]) + 1
        piece = Selection(selection.start + low, selection.start + high, (some - low,), 0)
        _through_view(array, piece, data[taken])


def _through_view(array: Array, selection: Selection, data: NDArray[Any]) -> None:
    """Assign to the rows of a selection; where there are no views, to a copy that is written back."""
    low, size = selection.start * array.row_bytes, (selection.stop - selection.start) * array.row_bytes
    if pagemap.METHOD == "none":
        rows = array.copy(selection.start, selection.stop)
        rows[selection.index] = data
        if size:
            array.write(low, flat(rows))
        return
    array.view(selection.start, selection.stop)[selection.index] = data
    array.wrote(_reach(selection, array), DIRTY_SIZE)


def blocks(array: Array, writable: bool) -> Iterator[NDArray[Any]]:
    """Yield all rows in views of about a Block; what is written to one is saved before the next comes."""
    for start, stop in array.row_blocks():
        if not writable:
            yield passing(array, start, stop)
        elif pagemap.METHOD == "none":
            rows = array.copy(start, stop)
            before = xxh3_64_intdigest(flat(rows))
            yield rows
            if xxh3_64_intdigest(flat(rows)) != before:
                array.write(start * array.row_bytes, flat(rows))
        else:
            yield array.view(start, stop, writable, "sequential")
            array.flush()


def _reach(selection: Selection, array: Array) -> int:
    """Return how many bytes of pages an assignment may have changed at most."""
    if selection.along == 0 and isinstance(selection.rows, np.ndarray):
        return selection.rows.size * (ceil(array.row_bytes, PAGE) + PAGE)
    return (selection.stop - selection.start) * array.row_bytes + 2 * PAGE

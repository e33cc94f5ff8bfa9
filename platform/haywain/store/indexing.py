"""Selection: which rows an index means, so that only these are looked at.

NumPy itself applies the index to the rows; here is only found out which of them it reaches, and how it looks
from the first of them.  Where that is not simple, a selection reaches all rows.
"""

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = Any
"""What may stand in brackets behind an ndarray: there is no type for it."""


@dataclass(frozen=True)
class Selection:
    """The rows [start, stop), and the index as it is applied to these.

    `along` is the place in the index of the item that selects rows, -1 if the index is not so simple.
    """

    start: int
    stop: int
    index: Index
    along: int = -1

    @property
    def rows(self) -> Any:  # Any: an integer, a slice or an array
        """The item that selects rows, counted from `start`."""
        return self.index[self.along]

    @property
    def is_slice(self) -> bool:
        """Whether rows are selected by a slice."""
        return self.along >= 0 and isinstance(self.rows, slice)

    def with_rows(self, item: Any) -> Index:  # Any: as above
        """Return the index with another item that selects rows."""
        return (*self.index[: self.along], item, *self.index[self.along + 1 :])


def select(index: Index, shape: tuple[int, ...]) -> Selection:
    """Return what an index selects of an array of a shape; raises IndexError as NumPy does.

    >>> select((slice(4, None, 2), 0), (10, 3))
    Selection(start=4, stop=9, index=(slice(0, 5, 2), 0), along=0)
    """
    whole = Selection(0, shape[0], index)
    if are_fields(index):
        return whole
    items = _explicit(index if isinstance(index, tuple) else (index,), len(shape))
    along = next((k for k, item in enumerate(items) if item is not None and item is not Ellipsis), -1)
    if along < 0:
        return whole
    item = items[along]
    reached = _slice if isinstance(item, slice) else _array if _is_list(item) else _integer
    found = reached(item, shape[0])
    if found is None:
        return whole
    start, stop, item = found
    return Selection(start, stop, (*items[:along], item, *items[along + 1 :]), along)


def are_fields(index: Index) -> bool:
    """Return whether an index names fields of a structure."""
    return isinstance(index, str) or (isinstance(index, list) and bool(index) and isinstance(index[0], str))


def _is_list(item: Index) -> bool:
    return isinstance(item, np.ndarray | list)


def _explicit(items: tuple[Any, ...], dimensions: int) -> tuple[Any, ...]:  # Any: parts of an index
    """Return an index with an item for the rows, if an ellipsis or nothing at all stands for them."""
    ellipses = [k for k, item in enumerate(items) if item is Ellipsis]
    first = next((item for item in items if item is not None), None)
    if first is None:
        return (*items, slice(None))
    if first is not Ellipsis or len(ellipses) > 1 or sum(map(_consumed, items)) >= dimensions:
        return items
    return (*items[: ellipses[0]], slice(None), *items[ellipses[0] :])


def _consumed(item: Any) -> int:  # Any: a part of an index
    """Return how many dimensions a part of an index takes."""
    if item is None or item is Ellipsis or isinstance(item, bool | np.bool_):
        return 0
    if isinstance(item, np.ndarray | list):
        found = np.asarray(item)
        return found.ndim if found.dtype == bool else 1
    return 1


_Reached = tuple[int, int, Any] | None


def _slice(item: slice, rows: int) -> _Reached:  # Any: the item, from the first row on
    try:
        chosen = range(*item.indices(rows))
    except (TypeError, ValueError):
        return None  # NumPy raises
    if not chosen:
        return 0, 0, slice(0, 0, chosen.step)
    low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1]) + 1
    if chosen.step > 0:
        return low, high, slice(0, high - low, chosen.step)
    return low, high, slice(high - low - 1, None, chosen.step)


def _integer(item: Any, rows: int) -> _Reached:  # Any: a part of an index
    if isinstance(item, bool | np.bool_):
        return None
    try:
        number = operator.index(item)
    except TypeError:
        return None  # NumPy raises
    if not -rows <= number < rows:
        raise IndexError(f"index {number} is out of bounds for axis 0 with size {rows}")
    number %= rows
    return number, number + 1, 0


def _array(item: NDArray[Any] | list[Any], rows: int) -> _Reached:
    found = np.asarray(item)
    if found.dtype.kind not in "iu" or not found.size or not found.ndim:
        return None
    low, high = int(found.min()), int(found.max())
    if low < -rows or high >= rows:
        raise IndexError(f"index {low if low < -rows else high} is out of bounds for axis 0 with size {rows}")
    if low < 0:
        found = found.astype(np.int64) % rows
        low, high = int(found.min()), int(found.max())
    return low, high + 1, found.astype(np.int64) - low


def rows_axis(selection: Selection, row: tuple[int, ...]) -> int:
    """Return the axis of the result along which the rows lie that a slice selects.

    >>> rows_axis(select((None, slice(0, 9)), (10, 3)), (3,))
    1
    """
    index = selection.with_rows(slice(None))
    one, two = (np.broadcast_to(np.False_, (rows, *row))[index].shape for rows in (1, 2))
    return next(axis for axis, (a, b) in enumerate(zip(one, two, strict=True)) if a != b)


def result_shape(selection: Selection, row: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of what a slice or a number of rows gives.

    >>> result_shape(select((slice(0, 9, 2), 1), (10, 3)), (3,))
    (5,)
    """
    if not selection.is_slice:
        return np.broadcast_to(np.False_, (1, *row))[selection.index].shape
    axis = rows_axis(selection, row)
    shape = np.broadcast_to(np.False_, (1, *row))[selection.with_rows(slice(None))].shape
    chosen = range(*selection.rows.indices(selection.stop - selection.start))
    return (*shape[:axis], len(chosen), *shape[axis + 1 :])

"""Rows of a slice, read as they are sent: the server's memory does not grow with what passes by."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from haywain.values import MIB

AT_ONCE = 4 * MIB
"""So many bytes of an array are read at a time, or one row."""

Array = NDArray[Any]
"""Any: of whatever dtype."""


class Readable(Protocol):
    """A document whose rows can be read once."""

    @property
    def row_bytes(self) -> int:
        """The bytes that are read for each row."""

    @property
    def read(self) -> Callable[[int, int], Array]:
        """Return the rows [start, stop)."""


class PassingRows:
    """What has the shape and dtype of an array, and the rows of a document when they are asked for."""

    def __init__(
        self, document: Readable, rows: range, rest: tuple[int | slice, ...], field: str, sample: Array
    ) -> None:
        """Take rows of a document, of each of them a part and a field; `sample` is like all of that."""
        self._document, self._rows, self._rest, self._field = document, rows, rest, field
        self._at_once = max(AT_ONCE // max(document.row_bytes * abs(rows.step), 1), 1)
        self.shape, self.dtype, self.ndim, self.nbytes = (
            sample.shape,
            sample.dtype,
            sample.ndim,
            sample.nbytes,
        )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __getitem__(self, index: slice) -> Array:
        """Return some of the rows; a copy if they are made of more than is read at a time."""
        rows, step = self._rows[index], self._at_once
        if len(rows) <= step:
            return self._read(rows)
        found = np.zeros((len(rows), *self.shape[1:]), self.dtype)
        for start in range(0, len(rows), step):
            found[start : start + step] = self._read(rows[start : start + step])
        return found

    def tobytes(self) -> bytes:
        """Return the bytes of all rows."""
        return self[:].tobytes()

    def _read(self, rows: range) -> Array:
        low, high = (min(rows[0], rows[-1]), max(rows[0], rows[-1]) + 1) if rows else (0, 0)
        found = self._document.read(low, high)[(slice(None, None, rows.step), *self._rest)]
        return found[self._field] if self._field else found

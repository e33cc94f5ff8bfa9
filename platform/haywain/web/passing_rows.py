"""Rows of a large slice, read as they are sent: the server's memory does not grow with what passes by."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from haywain.store.index_text import Item

Array = NDArray[Any]
"""Any: of whatever dtype."""


class Readable(Protocol):
    """A document whose rows can be read once."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows, and what each row holds."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""

    @property
    def read(self) -> Callable[[int, int], Array]:
        """Return the rows [start, stop)."""


class PassingRows:
    """What has the shape and dtype of an array, and the rows of a document when they are asked for."""

    def __init__(self, document: Readable, rows: range, items: tuple[Item, ...]) -> None:
        """Take some rows of a document, and of them an index that begins with a slice of step 1 or more."""
        first, *rest = items
        assert isinstance(first, slice)
        self._document, self._rows, self._rest = document, rows[first], tuple(rest)
        shape = (len(rows), *document.shape[1:])
        found = np.broadcast_to(np.zeros((), document.dtype), shape)[items]  # which takes no memory
        self.shape, self.dtype, self.ndim, self.nbytes = found.shape, found.dtype, found.ndim, found.nbytes

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __getitem__(self, index: slice) -> Array:
        """Return some of the rows."""
        rows = self._rows[index]
        found = self._document.read(rows[0], rows[-1] + 1) if rows else self._document.read(0, 0)
        return found[(slice(None, None, rows.step), *self._rest)]

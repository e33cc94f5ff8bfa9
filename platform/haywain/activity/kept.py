"""Kept: the arrays that an activity keeps from step to step, beside its cursor.

A cursor is small JSON.  What a pass over gigabytes has summed up so far may be megabytes of numbers; kept
with each step, a kill costs that step and not the pass.  They lie in pieces of 1 MiB, each with its checksum,
and a piece that is the same as at the step before is not written again.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from persistent import Persistent
from xxhash import xxh3_64_intdigest
from ZODB.Connection import Connection

from haywain.errors import InvalidError
from haywain.store.chunk import RECORD_SIZE, Record, checked
from haywain.store.rows import flat
from haywain.values import MIB

KEPT_BYTES = 256 * MIB
"""Most bytes that an activity keeps."""

Arrays = dict[str, NDArray[Any]]  # Any: numbers of whatever dtype


_Piece = tuple[int, Record]
"""A piece of an array with its checksum, which is known without loading it."""


class Kept(Persistent):  # type: ignore[misc]  # persistent has no types
    """Arrays by name, as of the last step."""

    def __init__(self) -> None:
        """Begin empty."""
        self.layouts: dict[str, tuple[str, tuple[int, ...]]] = {}  # replaced, never changed in place
        self.pieces: dict[str, tuple[_Piece, ...]] = {}  # the same

    def load(self, is_wanted: Callable[[str], bool] = lambda _name: True) -> Arrays:
        """Return the arrays whose names are wanted, as copies; raises CorruptDataError."""
        return {name: self._array(name) for name in self.layouts if is_wanted(name)}

    def told(self, is_wanted: Callable[[str], bool] = lambda _name: True) -> bytes:
        """Return what is the same as long as the arrays with wanted names are; it loads none of them."""
        pieces = {name: [checksum for checksum, _ in some] for name, some in self.pieces.items()}
        names = sorted(filter(is_wanted, self.layouts))
        return repr([(name, self.layouts[name], pieces[name]) for name in names]).encode()

    @property
    def size_bytes(self) -> int:
        """The bytes of all arrays."""
        sizes = ((np.dtype(dtype).itemsize, shape) for dtype, shape in self.layouts.values())
        return sum(itemsize * math.prod(shape) for itemsize, shape in sizes)

    def _array(self, name: str) -> NDArray[Any]:
        dtype, shape = self.layouts[name]
        data = bytearray()
        for _, record in self.pieces[name]:
            data += checked(record)
            record._p_deactivate()
        return np.ndarray(shape, np.dtype(dtype), data)

    def store(self, connection: Connection, arrays: Arrays) -> None:
        """Keep these in place of those before; raises InvalidError for more than `KEPT_BYTES`, or objects."""
        size = sum(array.nbytes for array in arrays.values())
        if size > KEPT_BYTES or any(array.dtype.kind in "OV" for array in arrays.values()):
            raise InvalidError(f"An activity keeps numbers, at most {KEPT_BYTES} bytes; these are {size}")
        layouts = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
        pieces = {name: self._pieces(connection, name, array) for name, array in arrays.items()}
        if (layouts, pieces) != (self.layouts, self.pieces):
            self.layouts, self.pieces = layouts, pieces

    def _pieces(self, connection: Connection, name: str, array: NDArray[Any]) -> tuple[_Piece, ...]:
        data = flat(np.ascontiguousarray(array))
        is_alike = self.layouts.get(name) == (array.dtype.str, array.shape)
        before = self.pieces[name] if is_alike else ()
        found = []
        for number, start in enumerate(range(0, len(data), RECORD_SIZE)):
            piece = data[start : start + RECORD_SIZE]
            checksum = xxh3_64_intdigest(piece)
            if before and before[number][0] == checksum:
                found.append(before[number])
                continue
            record = Record(bytes(piece))
            connection.add(record)
            found.append((checksum, record))
        return tuple(found)

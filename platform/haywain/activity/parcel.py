"""Parcel: a pickle on its way to a Worker or back, as bytes that the database only keeps.

A record of the database names no class but the allowed ones.  What is in a Parcel may name any, and is
loaded by `haywain.activity.packing` alone; why that is safe enough, says docs/decisions/0024.  Large arrays
do not lie in the pickle: it names them, and they lie beside it as Arrays, whose blobs a Worker maps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from BTrees.IOBTree import IOBTree
from BTrees.OOBTree import OOBTree
from numpy.typing import NDArray
from persistent import Persistent
from ZODB.Connection import Connection

from haywain import clock
from haywain.store.array import Array
from haywain.store.chunk import RECORD_SIZE, Record, checked
from haywain.store.rows import flat

T = TypeVar("T")


@dataclass(frozen=True)
class Packed:
    """A pickle, and the arrays that it names, by their names."""

    data: bytes
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)  # Any: numbers of whatever dtype


class Parcel(Persistent):  # type: ignore[misc]  # persistent has no types
    """What was packed, in Records of 1 MiB with their checksums, and the arrays of its own."""

    def __init__(self, connection: Connection, packed: Packed) -> None:
        """Store a pickle, and the arrays with it."""
        self.pieces = tuple(
            _added(connection, Record(packed.data[start : start + RECORD_SIZE]))
            for start in range(0, len(packed.data), RECORD_SIZE)
        )
        self.arrays = {name: stored(connection, array) for name, array in packed.arrays.items()}

    def load(self) -> bytes:
        """Return the pickle; raises CorruptDataError."""
        return b"".join(map(checked, self.pieces))


class Batch(Persistent):  # type: ignore[misc]  # persistent has no types
    """What one activity of a parallel call does, and what came of it once it is done.

    A record of its own: Workers that end at once do not conflict here.
    """

    outcome: Parcel | None = None

    def __init__(self, task: Parcel) -> None:
        """Be to be done."""
        self.task = task


class Pulse(Persistent):  # type: ignore[misc]  # persistent has no types
    """When the one who waits for a parallel call was last known to live, in seconds since 1970 UTC."""

    def __init__(self) -> None:
        """Begin now."""
        self.at = clock.now_s()


class Batches(Persistent):  # type: ignore[misc]  # persistent has no types
    """The batches of one parallel call by number, and the large arrays that several of them may name."""

    def __init__(self) -> None:
        """Begin empty."""
        self.by_number = IOBTree()
        self.shared = OOBTree()
        self.pulse = Pulse()

    def put(self, connection: Connection, number: int, packed: Packed) -> None:
        """Take a batch in; an array that is there already is not stored again."""
        for name, array in packed.arrays.items():
            if name not in self.shared:
                self.shared[name] = stored(connection, array)
        self.by_number[number] = Batch(Parcel(connection, Packed(packed.data)))

    def __getitem__(self, number: int) -> Batch:
        """Return a batch; raises KeyError."""
        found: Batch = self.by_number[number]
        return found


def stored(connection: Connection, array: NDArray[Any]) -> Array:
    """Store the bytes of a contiguous array, each byte a row."""
    found = _added(connection, Array((0,), np.uint8))
    found.append(np.frombuffer(flat(array), np.uint8))
    return found


def _added(connection: Connection, made: T) -> T:
    connection.add(made)
    return made


Arrays = Mapping[str, Array]
"""Arrays by the names that a pickle has for them."""

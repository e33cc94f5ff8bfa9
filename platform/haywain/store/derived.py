"""Rows that are made of those of arrays as they are read: a part of one, and several side by side.

Nothing is stored.  A part is the same memory as its source, so it grows with it and may be written to; rows
side by side are copies.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from haywain.errors import InvalidError, UnknownNameError
from haywain.store.index_text import Item, names_after, one_an_axis, parse_index
from haywain.store.indexing import Index, select
from haywain.values import MIB, Column

MOST_BYTES = 256 * MIB
"""Most bytes of rows side by side that are made at a time."""


class Rows(Protocol):
    """What an array is to those that are made of it; Any: of whatever dtype."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of each item."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the columns of a table, or the fields of a structure, are; may be empty."""

    @property
    def row_bytes(self) -> int:
        """The bytes that are read for each row."""

    @property
    def read(self) -> Callable[[int, int], NDArray[Any]]:
        """Return the rows [start, stop), to be read once."""

    def __getitem__(self, index: Any, /) -> Any:
        """Return what NumPy would."""


Take = Callable[[Rows, int, int], NDArray[Any]]
"""Returns rows of a source."""


def _seen(source: Rows, start: int, stop: int) -> NDArray[Any]:
    return np.asarray(source[start:stop])


def _read(source: Rows, start: int, stop: int) -> NDArray[Any]:
    return source.read(start, stop)


@dataclass(frozen=True)
class Part:
    """What an index, and a field, leave of an array.  Only rows that are looked at are taken of it."""

    source: Rows
    index: tuple[int | slice, ...]
    field: str

    @classmethod
    def of(cls, source: Rows, index: str, field: str) -> "Part":
        """Return the part that an index in text and a field mean; raises InvalidError."""
        items: tuple[Item, ...] = parse_index(index, source.shape)
        if field and field not in (source.dtype.names or ()):
            raise UnknownNameError("field", field, source.dtype.names or ())
        return cls(source, one_an_axis(items, len(source.shape)), field)

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._sample.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of each item."""
        return self._sample.dtype

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of the source that are left."""
        known = {column.name: column for column in self.source.columns}
        if self.field:
            return (known.get(self.field, Column(self.field)),)
        if self.source.dtype.names is not None or len(self.source.shape) != 2:
            return self.source.columns
        return tuple(known[name] for name in names_after(list(known), self.source.shape, self.index))

    @cached_property
    def _sample(self) -> NDArray[Any]:
        zeros = np.broadcast_to(np.zeros((), self.source.dtype), self.source.shape)
        return self._field_of(zeros[(*self.index, ...)])

    def __getitem__(self, index: Index) -> Any:  # Any: as NumPy has it
        """Return what NumPy would: for slices, the memory of the source."""
        if not self.index or isinstance(self.index[0], int):  # no axis of rows is left
            return self._field_of(np.asarray(self.source[(*self.index, ...)]))[index]
        selection = select(index, self.shape)
        return self.rows(selection.start, selection.stop)[selection.index]

    @property
    def row_bytes(self) -> int:
        """The bytes of the source that are read for each row, those between rows included."""
        first = self.index[0] if self.index else 0
        if isinstance(first, int):
            return -(-self.source.row_bytes // max(self.shape[0] if self.shape else 0, 1))
        step: int = first.step or 1
        return self.source.row_bytes * abs(step)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Return some rows, where the index leaves an axis of them."""
        return self._rows(start, stop, _seen)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return some rows to be read once, where there is an axis of any."""
        if not self.index:  # several values in a field of a single one
            return np.asarray(self[start:stop])
        if isinstance(self.index[0], int):
            number = range(self.source.shape[0])[self.index[0]]
            row = self.source.read(number, number + 1)[(0, *self.index[1:], ...)]
            return self._field_of(row)[start:stop]
        return self._rows(start, stop, _read)

    def _rows(self, start: int, stop: int, take: Take) -> NDArray[Any]:
        first = self.index[0]
        assert isinstance(first, slice)
        chosen = range(*first.indices(self.source.shape[0]))[start:stop]
        low, high = (min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1]) + 1) if chosen else (0, 0)
        taken = take(self.source, low, high)[:: chosen.step]
        return self._field_of(taken[(slice(None), *self.index[1:], ...)])

    def _field_of(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows[self.field] if self.field else rows


@dataclass(frozen=True)
class SideBySide:
    """The rows of several arrays as structures; there are as many as the shortest has."""

    sources: tuple[tuple[str, Rows], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """How many rows there are."""
        return (min(rows.shape[0] if rows.shape else 0 for _, rows in self.sources),)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """A field for each column; raises InvalidError for two of one name, and for what is no table."""
        fields = [(name, dtype) for source in self.sources for name, dtype, _ in _fields(*source)]
        names = [name for name, _ in fields]
        double = next((name for name, count in Counter(names).items() if count > 1), None)
        if double is not None:
            raise InvalidError(f"Two columns are called {double[:100]!r}: lines may give them other names")
        return np.dtype(fields)

    @property
    def columns(self) -> tuple[Column, ...]:
        """What they are."""
        return tuple(column for source in self.sources for _, _, column in _fields(*source))

    def __getitem__(self, index: Index) -> Any:  # Any: as NumPy has it
        """Return what NumPy would, as a copy that cannot be written; raises InvalidError if it is large."""
        selection = select(index, self.shape)
        return self.rows(selection.start, selection.stop)[selection.index]

    @property
    def row_bytes(self) -> int:
        """The bytes that are read and made for each row."""
        return self.dtype.itemsize + sum(rows.row_bytes for _, rows in self.sources)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Return some rows."""
        return self._rows(start, stop, _seen)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return some rows, of which nothing else stays in memory."""
        return self._rows(start, stop, _read)

    def _rows(self, start: int, stop: int, take: Take) -> NDArray[Any]:
        size = (stop - start) * self.dtype.itemsize
        if size > MOST_BYTES:
            raise InvalidError(
                f"{stop - start:,} rows side by side are {size:,} bytes to copy, more than {MOST_BYTES:,}; "
                f"take {MOST_BYTES // self.dtype.itemsize:,} rows at a time"
            )
        made = np.empty(stop - start, self.dtype)
        for name, source in self.sources:
            taken = take(source, start, stop)
            for number, (field, _, _) in enumerate(_fields(name, source)):
                made[field] = _column(taken, number)
        made.flags.writeable = False
        return made


def _column(rows: NDArray[Any], number: int) -> NDArray[Any]:
    """Return a column of a table."""
    if rows.dtype.names is not None:
        return rows[rows.dtype.names[number]]
    return rows if rows.ndim == 1 else rows[:, number]


def _fields(name: str, rows: Rows) -> Iterator[tuple[str, Any, Column]]:  # Any: a dtype, or one of a field
    """Yield what the columns of an array become: their name, dtype and description; raises InvalidError."""
    known = {column.name: column for column in rows.columns}
    if rows.dtype.names is not None and len(rows.shape) == 1:
        yield from ((one, rows.dtype[one], known.get(one, Column(one))) for one in rows.dtype.names)
        return
    if rows.dtype.names is not None or len(rows.shape) not in (1, 2):
        raise InvalidError(
            f"{name[:100]!r} is no table: rows side by side have one axis, or two of plain values"
        )
    count = rows.shape[1] if len(rows.shape) == 2 else 1
    names = list(known)
    if len(names) != count:
        names = [name] if len(rows.shape) == 1 else [f"{name} {number}" for number in range(count)]
    yield from ((one, rows.dtype, known.get(one, Column(one))) for one in names)


def nbytes_of(rows: Rows) -> int:
    """Return the bytes of all rows."""
    return math.prod(rows.shape) * rows.dtype.itemsize


def named(columns: Sequence[Column], own: Sequence[Column]) -> tuple[Column, ...]:
    """Return how columns are called: as somebody says, if that is said of as many, else as they are."""
    return tuple(own if own and (len(own) == len(columns) or not columns) else columns)

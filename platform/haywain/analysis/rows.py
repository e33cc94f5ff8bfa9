"""Rows out of bytes: what every format of records promises."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from haywain.errors import InvalidError

Rows = NDArray[Any]  # Any: the bytes decide the dtype
"""Some rows: the first axis counts them."""

COLUMNS_MAX = 65_536
"""Most numbers in a row: more is a mistake in the parameters or in the bytes."""


NAME_LENGTH = 100
"""Characters of a column's name that are kept."""

LOOK_BYTES = 1 << 16
"""Bytes looked through at once for the end of a line."""


class ReadableFile(Protocol):
    """A seekable file of bytes, such as `Data Stream.open()`."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a byte."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to that many bytes."""


@dataclass(frozen=True)
class Layout:
    """What the rows of a source look like; `names` are those of its columns or fields."""

    dtype: np.dtype[Any]  # Any: any fixed-size dtype
    row_shape: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    rate_hz: float = 0.0

    @property
    def row_bytes(self) -> int:
        """The bytes of one row in memory."""
        return self.dtype.itemsize * math.prod(self.row_shape)

    def empty(self) -> Rows:
        """Return no rows."""
        return np.empty((0, *self.row_shape), self.dtype)


class RowReader(Protocol):
    """One format: reads a source step by step.  Its `layout` is that of all its rows."""

    @property
    def layout(self) -> Layout:
        """What the rows look like."""

    def step(self, file: ReadableFile, offset: int, limit: int, rows_before: int | None) -> tuple[Rows, int]:
        """Return the whole rows in the next `limit` bytes or so, and the offset after them.

        Without a whole row the offset comes back unchanged: the rest may still arrive.  `rows_before` is the
        number of rows before `offset`, for messages, if it is known.  Raises InvalidError for bytes that are
        no row.
        """

    def cuts(self, file: ReadableFile, stop: int, step: int) -> Iterator[int]:
        """Yield where to cut the bytes up to `stop` into parts of about `step`; the last is `stop`.

        Each whole row lies in one part.
        """


class UpTo:
    """A file as if it ended at a byte."""

    def __init__(self, file: ReadableFile, stop: int) -> None:
        """Read the bytes of a file that has `stop` of them at least."""
        self._file, self._stop, self._at = file, stop, 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a byte: from the begin, from here (1) or from the end (2)."""
        self._at = offset + (0, self._at, self._stop)[whence]
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Return up to that many bytes."""
        left = max(self._stop - self._at, 0)
        data = read_at(self._file, self._at, left if size < 0 else min(size, left))
        self._at += len(data)
        return data


def pieces_of(
    reader: RowReader, file: ReadableFile, start: int, stop: int, limit: int
) -> Iterator[tuple[Rows, int]]:
    """Yield the rows of a part, and the offset after them, in pieces of about `limit` bytes of the source.

    Raises InvalidError for bytes that are no row.  One that is cut at `stop` is left out.
    """
    bounded = UpTo(file, stop)
    while start < stop:
        rows, end = reader.step(bounded, start, min(limit, stop - start), None)
        if end == start:
            break
        start = end
        yield rows, end


def cuts_at(starts: Iterator[int], stop: int, step: int) -> Iterator[int]:
    """Yield those of the places where rows begin, in order, that cut the bytes up to `stop` about evenly.

    >>> list(cuts_at(iter([3, 6, 9, 12]), 14, 5))
    [6, 12, 14]
    """
    last = 0
    for at in starts:
        if at - last >= step and at < stop:
            yield at
            last = at
    yield stop


def line_starts(file: ReadableFile, stop: int, step: int) -> Iterator[int]:
    """Yield where lines begin, one about every `step` bytes, looking at nothing else."""
    at = 0
    while (at := _line_after(file, at + max(step, 1) - 1, stop)) < stop:
        yield at


def _line_after(file: ReadableFile, at: int, stop: int) -> int:
    """Return where the line behind the next newline begins; `stop` where there is none."""
    while at < stop and (data := read_at(file, at, min(LOOK_BYTES, stop - at))):
        found = data.find(b"\n")
        if found >= 0:
            return at + found + 1
        at += len(data)
    return stop


def place_of(what: str, number: int | None, at: int) -> str:
    """Return words for a row, by its number if that is known, and where it begins.

    >>> place_of("Row", 3, 12), place_of("Row", None, 12)
    ('Row 3 (from 0), which begins at byte 12', 'The row that begins at byte 12')
    """
    if number is None:
        return f"The {what.lower()} that begins at byte {at}"
    return f"{what} {number} (from 0), which begins at byte {at}"


def after(number: int | None, count: int) -> int | None:
    """Return the number of the row so many behind another one, if that is known."""
    return None if number is None else number + count


def read_at(file: ReadableFile, offset: int, size: int) -> bytes:
    """Return up to `size` bytes from an offset on."""
    file.seek(offset)
    return file.read(size)


def parse_dtype(text: str) -> np.dtype[Any]:
    """Return a fixed-size dtype by its name, or by several with commas; raises InvalidError.

    >>> parse_dtype("<f4"), parse_dtype("M8[ms],f8").names
    (dtype('float32'), ('f0', 'f1'))
    """
    try:
        found = np.dtype(text.strip())
    except (TypeError, ValueError, SyntaxError) as error:
        raise InvalidError(f"dtype: {text[:80]!r} is no dtype: {error}") from error
    if found.hasobject or found.itemsize == 0 or found.subdtype is not None:
        raise InvalidError(f"dtype: {text[:80]!r} has no fixed size; use one such as <f4, i2 or M8[ms],f8")
    return found


def dtype_words(dtype: np.dtype[Any]) -> str:
    """Return the dtype of a field, with its shape if it has one.

    >>> dtype_words(np.dtype("f8")), dtype_words(np.dtype(("f8", 3)))
    ('float64', 'float64 of shape (3,)')
    """
    return str(dtype) if dtype.subdtype is None else f"{dtype.base} of shape {dtype.shape}"


def check_row_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of a row; raises InvalidError for one that makes no sense."""
    found = tuple(shape)
    if any(n < 1 for n in found) or math.prod(found) > COLUMNS_MAX or len(found) > 8:
        raise InvalidError(
            f"row_shape: {list(found)} must be up to 8 sizes of 1 and more, {COLUMNS_MAX} in all"
        )
    return found


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """Return names that differ and are not empty, as fields of a dtype must.

    >>> unique(["a", "", "a"])
    ('a', 'column 2', 'a 3')
    """
    found: dict[str, None] = {}
    for number, name in enumerate(names, start=1):
        plain = "".join(c for c in name if c.isprintable()).strip()[:NAME_LENGTH] or f"column {number}"
        while plain in found:
            plain = f"{plain} {number}"
        found[plain] = None
    return tuple(found)


def numbered(word: str, count: int) -> tuple[str, ...]:
    """Return `word 1` to `word count`."""
    return tuple(f"{word} {number}" for number in range(1, count + 1))

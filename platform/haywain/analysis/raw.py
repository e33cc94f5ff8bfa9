"""Raw rows: numbers of one dtype after each other, without a header."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from haywain.analysis.rows import (
    Layout,
    ReadableFile,
    Rows,
    check_row_shape,
    cuts_at,
    numbered,
    parse_dtype,
    read_at,
)
from haywain.errors import InvalidError


@dataclass(frozen=True)
class RawReader:
    """Reads rows of a layout; a row cut at the end waits for its rest."""

    layout: Layout

    def step(self, file: ReadableFile, offset: int, limit: int, rows_before: int | None) -> tuple[Rows, int]:
        """Return the whole rows in the next `limit` bytes, one at least if it is there."""
        row_bytes = self.layout.row_bytes
        data = read_at(file, offset, max(limit // row_bytes, 1) * row_bytes)
        count = len(data) // row_bytes
        flat = np.frombuffer(data[: count * row_bytes], self.layout.dtype)
        return flat.reshape(count, *self.layout.row_shape), offset + count * row_bytes

    def cuts(self, file: ReadableFile, stop: int, step: int) -> Iterator[int]:
        """Yield multiples of a row."""
        row_bytes = self.layout.row_bytes
        yield from cuts_at(iter(range(row_bytes, stop, max(step // row_bytes, 1) * row_bytes)), stop, 1)


def open_raw(dtype: str, row_shape: tuple[int, ...] = ()) -> RawReader:
    """Return a reader of rows of a dtype and a shape; raises InvalidError."""
    if not dtype:
        raise InvalidError("dtype: raw bytes need one, such as <f4")
    shape, found = check_row_shape(row_shape), parse_dtype(dtype)
    names = found.names or (numbered("column", shape[0]) if len(shape) == 1 else ())
    return RawReader(Layout(found, shape, tuple(names)))

"""What is measured: how many bytes, in which pieces, at which places; the same for every subject.

Runs on Python 3.9 too, where wendelin.core still does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

COLUMNS, DTYPE = 8, "<f4"
ROW_BYTES = COLUMNS * 4
MIB = 1 << 20
PIECE = 16 * MIB // ROW_BYTES
"""Rows that are written or read at a time: 16 MiB."""

CHUNK = MIB // ROW_BYTES
"""Rows of a chunk or tile, where a subject has such: 1 MiB."""

SLICES, SLICE = 1000, 1000
"""How many slices of how many rows (32,000 bytes) are read at random."""

RUN = 4096 // ROW_BYTES
"""Rows of one place of a scattered overwrite: 4 KiB, not aligned to anything."""

LARGE, LARGE_COUNT = MIB // ROW_BYTES, 32
SMALL, SMALL_COUNT, SMALL_GROUP = 4096 // ROW_BYTES, 512, 64
"""Appends: rows of each, how many, and after how many of the small ones all must be durable."""

Rows = Any
"""An ndarray of float32 of the shape (n, COLUMNS); `Any` since three versions of NumPy meet here."""


def spans(rows: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of so many rows, a piece at a time."""
    for start in range(0, rows, PIECE):
        yield start, min(start + PIECE, rows)


class Workload:
    """Bytes and places for an array of `rows` rows; equal arguments give equal ones."""

    def __init__(self, rows: int) -> None:
        """Make bytes that do not compress, a little more than one piece."""
        self.rows = rows
        noise = np.random.default_rng(20161).random((PIECE + 4096, COLUMNS), dtype="f4")
        self._noise = noise.astype(DTYPE)

    def some(self, count: int, number: int) -> Rows:
        """Return up to PIECE rows, other ones for another number, without a copy."""
        first = number * 61 % 4096
        return self._noise[first : first + count]

    def places(self, count: int, length: int, seed: int) -> list[int]:
        """Return `count` rows at random where `length` rows begin."""
        found = np.random.default_rng(seed).integers(0, self.rows - length, count)
        return [int(place) for place in found]

    def hundredth(self) -> int:
        """Return how many rows are 1 % of all."""
        return self.rows // 100

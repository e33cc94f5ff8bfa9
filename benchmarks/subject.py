"""Subject: what is compared.  Each is a file in `subjects/`; what is done to all of them stands here.

A subject is made for a folder of its own and does its work in a process of its own (see `child.py`).  All
read and write uncompressed bytes, in one thread, and are durable when `settle` returns: every file that
changed is fsynced, and every folder.  Runs on Python 3.9 too.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

from workload import (
    LARGE,
    LARGE_COUNT,
    RUN,
    SLICE,
    SLICES,
    SMALL,
    SMALL_COUNT,
    SMALL_GROUP,
    Rows,
    Workload,
    spans,
)


class Subject:
    """One way to keep an array; methods named in `arrays.ROWS` are what is timed."""

    def __init__(self, folder: Path, work: Workload) -> None:
        """Live in a folder, which is empty or was filled by this class."""
        self.folder, self.work = folder, work
        self._synced: dict[str, tuple[int, int]] = {}

    # -- what each one does in its own way
    def begin(self, rows: int) -> None:
        """Make an array that is going to have that many rows, 0 if it grows, and open it."""
        raise NotImplementedError

    def open(self) -> None:
        """Open what was made."""
        raise NotImplementedError

    def close(self) -> None:
        """Close it, and hold no byte of it in memory."""
        raise NotImplementedError

    def take(self) -> Any:  # Any: it is sliced like an ndarray
        """Return what `[start:stop]` reads rows of, taken anew."""
        raise NotImplementedError

    def write(self, start: int, rows: Rows) -> None:
        """Replace rows; while it is filled in order, these may be new."""
        raise NotImplementedError

    def append(self, rows: Rows) -> None:
        """Add rows at the end."""
        raise NotImplementedError

    def settle(self) -> None:
        """Make durable what was written."""
        raise NotImplementedError

    # -- what is measured
    def create(self) -> None:
        """Fill a new array, in order, and make it durable once."""
        for number, (start, stop) in enumerate(spans(self.work.rows)):
            self.write(start, self.work.some(stop - start, number))
        self.settle()

    def scan(self, seed: int) -> float:
        """Add up all rows."""
        taken = self.take()
        return float(sum(float(taken[start:stop].sum()) for start, stop in spans(self.work.rows)))

    def column(self, seed: int) -> float:
        """Return the mean of a column."""
        taken = self.take()
        total = sum(float(taken[start:stop, 3].sum(dtype="f8")) for start, stop in spans(self.work.rows))
        return total / self.work.rows

    def slices(self, seed: int) -> float:
        """Add up short runs of rows here and there."""
        taken, places = self.take(), self.work.places(SLICES, SLICE, seed)
        return float(sum(float(taken[start : start + SLICE].sum()) for start in places))

    def overwrite(self, seed: int) -> None:
        """Replace 1 % of the rows, all in a row, a piece at a time."""
        count = self.work.hundredth()
        (first,) = self.work.places(1, count, seed)
        for start, stop in spans(count):
            self.write(first + start, self.work.some(stop - start, seed + start))
        self.settle()

    def overwrite_new(self, seed: int) -> None:
        """Do the same, the new rows into a new file: what a store costs that never changes what it has."""
        raise NotImplementedError

    def scatter(self, seed: int) -> None:
        """Replace 1 % of the rows, 4 KiB here and there."""
        self.write_runs(self.work.places(self.work.hundredth() // RUN, RUN, seed), self.work.some(RUN, seed))
        self.settle()

    def write_runs(self, places: list[int], rows: Rows) -> None:
        """Replace rows at each of the places by the same ones."""
        for start in places:
            self.write(start, rows)

    def append_large(self, seed: int) -> None:
        """Append 1 MiB at a time, each durable before the next."""
        for number in range(LARGE_COUNT):
            self.append(self.work.some(LARGE, seed + number))
            self.settle()

    def append_small(self, seed: int) -> None:
        """Append 4 KiB at a time, durable after each 64."""
        for number in range(SMALL_COUNT):
            self.append(self.work.some(SMALL, seed + number))
            if number % SMALL_GROUP == SMALL_GROUP - 1:
                self.settle()

    def digest(self) -> int:
        """Return a sum over the bytes of all rows: equal ones for all subjects that are not broken."""
        taken, found = self.take(), 0
        for start, stop in spans(self.work.rows):
            found = zlib.crc32(taken[start:stop].tobytes(), found)
        return found

    # -- its files
    def files(self) -> list[Path]:
        """Return all its files."""
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def sync_changed(self) -> None:
        """Flush files and folders that changed since the last call: for subjects that don't do it."""
        paths = [str(self.folder)]
        for base, folders, files in os.walk(self.folder):
            paths += [os.path.join(base, name) for name in folders + files]
        for path in paths:
            found = os.stat(path)
            state = (found.st_mtime_ns, found.st_size)
            if self._synced.get(path) != state:
                _fsync(path)
                self._synced[path] = state


def _fsync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

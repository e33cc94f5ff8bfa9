"""A file, read with `readinto` and written with `pwrite`: what the disk allows."""

import os

import numpy as np
from subject import Subject
from workload import COLUMNS, DTYPE, ROW_BYTES, Rows, spans


class Reading:
    """Reads rows into one buffer, over and over."""

    def __init__(self, descriptor: int) -> None:
        """Begin without a buffer."""
        self.descriptor = descriptor
        self.buffer = bytearray()

    def __getitem__(self, index: slice | tuple[slice, int]) -> Rows:
        """Return rows, or a column of them, valid until the next call."""
        rows, *rest = index if isinstance(index, tuple) else (index,)
        size = (rows.stop - rows.start) * ROW_BYTES
        if len(self.buffer) < size:
            self.buffer = bytearray(size)
        view = memoryview(self.buffer)[:size]
        done = 0
        while done < size:
            done += os.preadv(self.descriptor, [view[done:]], rows.start * ROW_BYTES + done)
        return np.frombuffer(view, DTYPE).reshape(-1, COLUMNS)[(slice(None), *rest)]


class Kept(Subject):
    """An array in a plain file."""

    @staticmethod
    def about() -> str:
        """Say what it is."""
        return "`pread`, `pwrite` and `fsync` of one file"

    def begin(self, rows: int) -> None:
        """Create the file."""
        (self.folder / "rows").touch()
        self.open()

    def open(self) -> None:
        """Open the file."""
        self.descriptor = os.open(self.folder / "rows", os.O_RDWR)
        self.end = os.fstat(self.descriptor).st_size

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)

    def take(self) -> Reading:
        """Return what reads."""
        return Reading(self.descriptor)

    def write(self, start: int, rows: Rows) -> None:
        """Write in place."""
        os.pwrite(self.descriptor, rows, start * ROW_BYTES)

    def append(self, rows: Rows) -> None:
        """Write at the end."""
        self.end += os.pwrite(self.descriptor, rows, self.end)

    def overwrite_new(self, seed: int) -> None:
        """Write into a file of its own, whose folder is flushed as well."""
        count = self.work.hundredth()
        with open(self.folder / f"new-{seed}", "wb", buffering=0) as file:
            for start, stop in spans(count):
                file.write(self.work.some(stop - start, seed + start))
            os.fsync(file.fileno())
        self.sync_changed()

    def settle(self) -> None:
        """Flush the file; its folder, too, the first time."""
        os.fsync(self.descriptor)
        if not self._synced:
            self.sync_changed()

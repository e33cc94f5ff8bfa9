"""A dense array of TileDB: tiles of 1 MiB, as they are."""

import numpy as np
import tiledb
from subject import Subject
from workload import CHUNK, COLUMNS, DTYPE, Rows, spans

ROOM = 1 << 36
"""Rows for which there is room."""


class Reading:
    """Reads rows, and what one index gives of an attribute."""

    def __init__(self, array: tiledb.DenseArray) -> None:
        """Read an array that is open."""
        self.array = array

    def __getitem__(self, index: slice | tuple[slice, int]) -> Rows:
        """Return rows, or a column of them."""
        return self.array[index if isinstance(index, tuple) else (index, slice(0, COLUMNS))]


class Kept(Subject):
    """An array in TileDB."""

    @staticmethod
    def about() -> str:
        """Say which version it is."""
        return f"{tiledb.__version__}, tiles of 1 MiB, no filter, one thread"

    def begin(self, rows: int) -> None:
        """Create the array, with room to grow."""
        self._context()
        rows, columns = (
            tiledb.Dim(name, domain=(0, room - 1), tile=tile, dtype=np.uint64, ctx=self.context)
            for name, room, tile in (("row", ROOM, CHUNK), ("column", COLUMNS, COLUMNS))
        )
        domain = tiledb.Domain(rows, columns, ctx=self.context)
        item = tiledb.Attr(dtype=np.dtype(DTYPE), ctx=self.context)
        schema = tiledb.ArraySchema(domain, [item], ctx=self.context)
        tiledb.Array.create(str(self.folder / "rows"), schema, ctx=self.context)
        self.end = 0
        self._writer()

    def _context(self) -> None:
        self.context = tiledb.Ctx({"sm.compute_concurrency_level": 1, "sm.io_concurrency_level": 1})

    def _writer(self) -> None:
        self.array = tiledb.open(str(self.folder / "rows"), "w", ctx=self.context)

    def open(self) -> None:
        """Open the array."""
        self._context()
        with tiledb.open(str(self.folder / "rows"), ctx=self.context) as found:
            filled = found.nonempty_domain()
        self.end = int(filled[0][1]) + 1 if filled else 0
        self._writer()

    def close(self) -> None:
        """Close it."""
        self.array.close()
        del self.context

    def take(self) -> Reading:
        """Open it anew for reading."""
        return Reading(tiledb.open(str(self.folder / "rows"), ctx=self.context))

    def write(self, start: int, rows: Rows) -> None:
        """Assign: each makes a fragment."""
        self.array[start : start + len(rows), :] = np.ascontiguousarray(rows)

    def write_runs(self, places: list[int], rows: Rows) -> None:
        """Read, change and write 16 MiB at a time: a fragment for each place would be far slower."""
        reading = self.take()
        for start, stop in spans(self.work.rows):
            here = [place for place in places if place < stop and place + len(rows) > start]
            if here:
                block = reading[start:stop]
                for place in here:
                    low, high = max(place, start), min(place + len(rows), stop)
                    block[low - start : high - start] = rows[low - place : high - place]
                self.write(start, block)

    def append(self, rows: Rows) -> None:
        """Assign behind the last row."""
        self.write(self.end, rows)
        self.end += len(rows)

    def settle(self) -> None:
        """Flush what changed."""
        self.sync_changed()

"""A zarr v3 array in a folder: chunks of 1 MiB, as they are."""

import zarr
from subject import Subject
from workload import CHUNK, COLUMNS, DTYPE, Rows

zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1})


class Kept(Subject):
    """An array in zarr."""

    @staticmethod
    def about() -> str:
        """Say which version it is."""
        return f"{zarr.__version__}, format 3, chunks of 1 MiB, no compressor, one thread"

    def begin(self, rows: int) -> None:
        """Create the array."""
        self.array = zarr.create_array(
            self.folder / "rows",
            shape=(rows, COLUMNS),
            chunks=(CHUNK, COLUMNS),
            dtype=DTYPE,
            compressors=None,
        )

    def open(self) -> None:
        """Open the array."""
        self.array = zarr.open_array(self.folder / "rows", mode="r+")

    def close(self) -> None:
        """Let go of it."""
        del self.array

    def take(self) -> zarr.Array:
        """Open the array anew."""
        return zarr.open_array(self.folder / "rows", mode="r+")

    def write(self, start: int, rows: Rows) -> None:
        """Assign."""
        self.array[start : start + len(rows)] = rows

    def append(self, rows: Rows) -> None:
        """Append along the first axis."""
        self.array.append(rows)

    def settle(self) -> None:
        """Flush what changed."""
        self.sync_changed()

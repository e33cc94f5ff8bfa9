"""A dataset of HDF5, by h5py: chunks of 1 MiB, as they are."""

import os

import h5py
from subject import Subject
from workload import CHUNK, COLUMNS, DTYPE, Rows


class Kept(Subject):
    """An array in an HDF5 file."""

    @staticmethod
    def about() -> str:
        """Say which version it is."""
        return f"h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}, chunks of 1 MiB, no filter"

    def begin(self, rows: int) -> None:
        """Create file and dataset."""
        self.file = h5py.File(self.folder / "rows.h5", "w")
        self.dataset = self.file.create_dataset(
            "rows", (rows, COLUMNS), DTYPE, chunks=(CHUNK, COLUMNS), maxshape=(None, COLUMNS)
        )

    def open(self) -> None:
        """Open the file."""
        self.file = h5py.File(self.folder / "rows.h5", "r+")
        self.dataset = self.file["rows"]

    def close(self) -> None:
        """Close it."""
        self.file.close()

    def take(self) -> h5py.Dataset:
        """Return the dataset."""
        return self.file["rows"]

    def write(self, start: int, rows: Rows) -> None:
        """Assign."""
        self.dataset[start : start + len(rows)] = rows

    def append(self, rows: Rows) -> None:
        """Grow, and assign."""
        start = self.dataset.shape[0]
        self.dataset.resize(start + len(rows), 0)
        self.dataset[start:] = rows

    def settle(self) -> None:
        """Flush the library's buffers, then the file; its folder, too, the first time."""
        self.file.flush()
        os.fsync(self.file.id.get_vfd_handle())
        if not self._synced:
            self.sync_changed()

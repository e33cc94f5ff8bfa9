"""A `numpy.memmap`: the view that ours is compared with."""

import numpy as np
from subject import Subject
from workload import COLUMNS, DTYPE, Rows


class Kept(Subject):
    """An array in a mapped file; it cannot grow."""

    @staticmethod
    def about() -> str:
        """Say which version it is."""
        return f"NumPy {np.__version__}, `flush` for durable"

    def begin(self, rows: int) -> None:
        """Create the file."""
        self.mapped = np.memmap(self.folder / "rows", DTYPE, "w+", shape=(max(rows, 1), COLUMNS))

    def open(self) -> None:
        """Map the file."""
        self.mapped = self.take()

    def close(self) -> None:
        """Unmap it."""
        del self.mapped

    def take(self) -> Rows:
        """Map the file anew."""
        return np.memmap(self.folder / "rows", DTYPE, "r+").reshape(-1, COLUMNS)

    def write(self, start: int, rows: Rows) -> None:
        """Write to memory."""
        self.mapped[start : start + len(rows)] = rows

    def settle(self) -> None:
        """Flush the pages; the folder, too, the first time."""
        self.mapped.flush()
        if not self._synced:
            self.sync_changed()

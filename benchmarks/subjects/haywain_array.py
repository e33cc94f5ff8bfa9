"""A Data Array: in a portal of its own, with catalog and all."""

from typing import Any

from subject import Subject
from workload import COLUMNS, DTYPE, Rows

import haywain


class Kept(Subject):
    """An array in Haywain."""

    @staticmethod
    def about() -> str:
        """Say which version it is."""
        return f"{haywain.__version__}, `array[:]`, `commit`"

    def begin(self, rows: int) -> None:
        """Make a document; it grows to its rows as they come."""
        self.portal = haywain.open(str(self.folder / "var"))
        document: Any = self.portal.new("Data Array", reference="measured")  # Any: one kind of document
        document.create(shape=(0, COLUMNS), dtype=DTYPE)
        self.array, self.path = document, document.path
        self.portal.commit()

    def open(self) -> None:
        """Open the portal, and find the document."""
        self.portal = haywain.open(str(self.folder / "var"))
        self.array = next(iter(self.portal.catalog(reference="measured")))

    def close(self) -> None:
        """Close the portal."""
        del self.array
        self.portal.close()

    def take(self) -> Rows:
        """Begin a transaction, and take a view in it."""
        self.portal.abort()
        return self.array[:]

    def write(self, start: int, rows: Rows) -> None:
        """Assign to the document, or append."""
        if start == len(self.array):
            self.array.append(rows)
        else:
            self.array[start : start + len(rows)] = rows

    def overwrite_new(self, seed: int) -> None:
        """Overwrite: it is what it does."""
        self.overwrite(seed)

    def write_runs(self, places: list[int], rows: Rows) -> None:
        """Write to a view, as one does who writes here and there."""
        view = self.array[:]
        for start in places:
            view[start : start + len(rows)] = rows

    def append(self, rows: Rows) -> None:
        """Append to the document."""
        self.array.append(rows)

    def settle(self) -> None:
        """Commit."""
        self.portal.commit()

"""A ZBigArray of wendelin.core 0.13 in a FileStorage.  Runs on Python 3.9, where it still installs."""

from __future__ import annotations

from typing import Any

import numpy as np
import transaction
from pkg_resources import get_distribution
from subject import Subject
from wendelin.bigarray.array_zodb import ZBigArray
from workload import COLUMNS, DTYPE, Rows
from ZODB import DB
from ZODB.FileStorage import FileStorage


class Kept(Subject):
    """An array in wendelin.core: blocks of 2 MiB as records of ZODB."""

    @staticmethod
    def about() -> str:
        """Say which versions it is."""
        core, zodb = (get_distribution(name).version for name in ("wendelin.core", "ZODB"))
        return f"{core}, ZODB {zodb}, NumPy {np.__version__}, ZBlk0"

    def begin(self, rows: int) -> None:
        """Create the array; it grows to its rows as they come."""
        self._connect()
        self.connection.root()["rows"] = ZBigArray((0, COLUMNS), np.dtype(DTYPE))
        transaction.commit()
        self.array = self.connection.root()["rows"]

    def _connect(self) -> None:
        self.db = DB(FileStorage(str(self.folder / "Data.fs")))
        self.connection = self.db.open()

    def open(self) -> None:
        """Open the database."""
        self._connect()
        self.array = self.connection.root()["rows"]

    def close(self) -> None:
        """Close it."""
        transaction.abort()
        del self.array
        self.connection.close()
        self.db.close()

    def take(self) -> Any:  # Any: an ndarray
        """Take a view; what was read before stays in its memory as long as the database is open."""
        return self.array[:]

    def write(self, start: int, rows: Rows) -> None:
        """Assign, or append."""
        if start == len(self.array):
            self.array.append(rows)
        else:
            self.array[start : start + len(rows)] = rows

    def append(self, rows: Rows) -> None:
        """Append."""
        self.array.append(rows)

    def settle(self) -> None:
        """Commit."""
        transaction.commit()

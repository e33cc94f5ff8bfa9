"""The data directory: whose it is, in which format, and who has it open.

DIR/haywain.json    {"format": 1, "version": "0.1.0"}: written first, so that a directory is known as ours
DIR/haywain.lock    locked (flock) by the one process that has it open; names it
DIR/Data.fs, blobs/ the object database         DIR/catalog.sqlite  the catalog, rebuildable
DIR/uploads/        bodies under way            DIR/admin-password  the generated password
"""

import errno
import fcntl
import json
import os
import sys
from pathlib import Path
from typing import IO

import haywain
from haywain.errors import DataDirectoryError, DataDirectoryInUseError, DataDirectoryReadOnlyError
from haywain.store.fsync import fsync_path, write_durably

FORMAT = 1
"""Number of the on-disk format; a larger one was written by a newer version."""

_MARKER = "haywain.json"
_LOCK = "haywain.lock"
_MAY_BE_THERE = {_LOCK, _MARKER, f"{_MARKER}.new", "lost+found"}  # in a directory not yet ours


class DataDirectory:
    """A directory that this process alone may use, from `open()` to `close()`."""

    def __init__(self, path: str | Path) -> None:
        """Name the directory; nothing is touched before `open`."""
        self.path = Path(path).absolute()
        self._lock: IO[str] | None = None

    def open(self) -> bool:
        """Check, create and lock the directory; return whether it is new.

        Raises DataDirectoryError (not ours, newer, damaged), DataDirectoryInUseError or
        DataDirectoryReadOnlyError.
        """
        try:
            return self._open()
        except OSError as error:
            self.close()
            raise _explain(self.path, error) from error
        except DataDirectoryError:
            self.close()
            raise

    def _open(self) -> bool:
        if self.path.exists() and not self.path.is_dir():
            raise DataDirectoryError(f"The data directory {self.path} is not a directory")
        self._check_marker()
        self.path.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        is_new = self._check_marker()  # another process may have made it meanwhile
        if is_new:
            marker = {"format": FORMAT, "version": haywain.__version__}
            write_durably(self.path / _MARKER, json.dumps(marker).encode())
            fsync_path(self.path.parent)
        return is_new

    def close(self) -> None:
        """Let another process open it; closing twice is fine."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _check_marker(self) -> bool:
        marker = self.path / _MARKER
        if not marker.exists():
            found = {path.name for path in self.path.iterdir()} if self.path.exists() else set()
            if found - _MAY_BE_THERE:
                raise DataDirectoryError(
                    f"{self.path} is not a data directory of Haywain (it holds "
                    f"{min(found - _MAY_BE_THERE)!r}); name an empty or a new directory with --data"
                )
            return True
        try:
            found = json.loads(marker.read_text())
            number, version = int(found["format"]), str(found.get("version", "?"))
        except (ValueError, KeyError, TypeError) as error:
            raise DataDirectoryError(f"{marker} is damaged; restore it from a backup") from error
        if number > FORMAT:
            raise DataDirectoryError(
                f"{self.path} has format {number}, written by Haywain {version}; "
                f"this is {haywain.__version__} with format {FORMAT}: install the newer version"
            )
        return False

    def _take_lock(self) -> None:
        lock = (self.path / _LOCK).open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read(200).strip() or "another process"
            lock.close()
            raise DataDirectoryInUseError(
                f"The data directory {self.path} is in use by {holder}; "
                "stop it first, use its address instead of the directory, or name another one with --data"
            ) from error
        self._lock = lock
        lock.truncate(0)
        lock.write(f"process {os.getpid()} ({Path(sys.argv[0]).name or 'python'})\n")
        lock.flush()


def _explain(path: Path, error: OSError) -> DataDirectoryError:
    """Return what a person can do about an error of the operating system."""
    reason = f"The data directory {path} cannot be used: {error.strerror or error}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DataDirectoryReadOnlyError(
            f"{reason}; give this user the right to write there, or name another with --data"
        )
    return DataDirectoryError(f"{reason}; make room there, or name another with --data")

"""A directory for the temporary files of one process, in a place that several processes share.

    PARENT/process-<random>/.lock     locked (flock) by the process as long as it lives

A blob begins there and becomes one by rename, hence the place lies beside the blobs.  What a killed process
leaves is removed by the next one that comes: it finds the lock free.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

_PREFIX, _LOCK = "process-", ".lock"


class Workspace:
    """A directory of this process's own, from the beginning to `close`."""

    def __init__(self, parent: Path) -> None:
        """Make it, and remove those of processes that are gone."""
        sweep(parent)
        while True:  # a sweep of another process may take a new one away before it is locked
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            lock = _locked(self.path, "w")
            if lock is not None:
                self._lock: IO[str] = lock
                return

    def close(self) -> None:
        """Remove it with what is in it; closing twice is fine."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def sweep(parent: Path) -> None:
    """Remove the directories of processes that are gone."""
    for path in parent.glob(f"{_PREFIX}*"):
        lock = _locked(path, "a")
        if lock is not None:
            with lock:
                shutil.rmtree(path, ignore_errors=True)


def clean(parent: Path) -> None:
    """Remove everything but the directories of processes that live."""
    sweep(parent)
    for path in parent.iterdir():
        if not path.is_dir():
            path.unlink()
        elif not path.name.startswith(_PREFIX):
            shutil.rmtree(path)


def _locked(path: Path, mode: str) -> IO[str] | None:
    """Return the lock of a directory, held; None if another process holds it, or has removed it."""
    try:
        lock = (path / _LOCK).open(mode)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock.fileno()).st_ino == (path / _LOCK).stat().st_ino:
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    lock.close()
    return None

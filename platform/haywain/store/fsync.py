"""Make files and directories survive a power cut."""

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FEW, AT_A_TIME = 12, 8
"""More paths than a few are flushed several at a time, by threads."""

_WRITE = 2


def _linux_call(name: str) -> Any:  # Any: ctypes has no type for it
    """Return a function of the C library; None where it is not Linux's, or has it not."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


_sync_file_range = _linux_call("sync_file_range")
if _sync_file_range is not None:
    _sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]


def fsync_path(path: str | Path) -> None:
    """Flush a file or a directory to the disk; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_all(paths: list[str]) -> None:
    """Flush files and directories to the disk, several at a time if they are many; raises OSError.

    The disk is told once to flush for all that wait for it.  Of a few each waits less for the journal of the
    file system if they come one after the other.
    """
    if len(paths) <= FEW:
        for path in paths:
            fsync_path(path)
        return
    with ThreadPoolExecutor(AT_A_TIME, "fsync") as pool:
        for _ in pool.map(fsync_path, paths):
            pass


def begin_writing(descriptor: int) -> None:
    """Have the system write a file to the disk from now on, so that its fsync has little left to wait for."""
    if _sync_file_range is not None:
        _sync_file_range(descriptor, 0, 0, _WRITE)  # what it cannot do is left to fsync, which says why


def write_durably(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace a file as a whole: after a crash it has the old or the new content."""
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    fsync_path(path.parent)


class BlobDirectories:
    """Syncs new blobs and the directories that name them, no directory twice for one name.

    A blob lies eight directories deep, of which all but the last are those of the blobs before it; an fsync
    of a directory that has not changed still waits for the disk.
    """

    def __init__(self, base: Path) -> None:
        """Begin with the blob directory, which is named durably itself."""
        self._base = str(base)
        self._named: set[str] = set()  # what is known to be named, and filled, durably
        self._is_known = True

    def sync(self, files: Iterable[str]) -> None:
        """Flush files, each in a directory of its own, and what names them; raises OSError."""
        named = self._named if self._is_known else set()
        paths: dict[str, None] = {}  # in this order
        new: set[str] = set()
        for file in files:
            own = os.path.dirname(file)
            at = os.path.dirname(own)
            paths |= dict.fromkeys((file, own, at))
            while at != self._base and at not in named | new:
                new.add(at)
                at = os.path.dirname(at)
                paths[at] = None
        fsync_all(list(paths))
        named |= new

    @contextmanager
    def removing(self) -> Iterator[None]:
        """Know nothing while directories that became empty are removed, and begin anew after that.

        A commit that runs beside it has its files in place already, so its directories are not removed.
        """
        self._is_known = False
        try:
            yield
        finally:
            self._named, self._is_known = set(), True

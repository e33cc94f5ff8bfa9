"""Make files and directories survive a power cut."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def fsync_path(path: str | Path) -> None:
    """Flush a file or a directory to the disk; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
        done: set[str] = set()
        for file in files:
            own = os.path.dirname(file)
            at = os.path.dirname(own)
            for path in (file, own, at):
                if path not in done:
                    fsync_path(path)
                    done.add(path)
            while at != self._base and at not in named:
                above = os.path.dirname(at)
                fsync_path(above)
                named.add(at)
                at = above

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

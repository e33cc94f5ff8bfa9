"""PackLock: a pack takes away what a backup or a verification still reads, so they exclude each other.

DIR/pack.lock is locked (flock): by a pack for itself, by backups and verifications together.  The system
frees it when the process dies.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from haywain.errors import DataDirectoryInUseError

NAME = "pack.lock"


@contextmanager
def packing(directory: Path) -> Iterator[None]:
    """Keep backups and verifications out; raises DataDirectoryInUseError while any of these runs."""
    with _locked(directory, fcntl.LOCK_EX, "a backup, a verification or a pack of it is under way"):
        yield


@contextmanager
def reading(directory: Path) -> Iterator[None]:
    """Keep packs out; raises DataDirectoryInUseError while one runs.

    Where the lock cannot be made, since nothing can be written, nobody can pack either.
    """
    with _locked(directory, fcntl.LOCK_SH, "a pack of it is under way"):
        yield


@contextmanager
def _locked(directory: Path, kind: int, who: str) -> Iterator[None]:
    descriptor = _opened(directory / NAME, kind)
    if descriptor is None:
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataDirectoryInUseError(f"The database in {directory} is busy: {who}; try again") from error
        yield
    finally:
        os.close(descriptor)


def _opened(path: Path, kind: int) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if kind == fcntl.LOCK_EX or error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None

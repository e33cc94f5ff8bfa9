"""Packer: copies what is not packed away into a new file, durably, and lets others commit meanwhile.

ZODB's copies all and syncs nothing: the sync of a whole database would come at the end, under the commit
lock.  Here the copy is synced piece by piece while others commit, and under the lock only its last piece.  A
disk that fills up ends the pack, not the portal: what must stay free of it is left free.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from ZODB.FileStorage.fspack import FileStoragePacker

from haywain.store.disk import has_room
from haywain.store.fsync import fsync_path
from haywain.values import MIB

PIECE = 64 * MIB
"""Bytes after which the copy is synced."""


class DurablePacker(FileStoragePacker):  # type: ignore[misc]  # ZODB has no types
    """A FileStoragePacker whose copy is on the disk when it is done."""

    _synced = 0
    _storage: Any
    locked: bool
    _tfile: Any
    _commit_lock: Any

    def pack(self) -> int | None:
        """Copy; return the size of the copy, with the commit lock held, or None if nothing can be removed."""
        copied: int | None = super().pack()
        if copied is None:
            return None
        copy = Path(f"{self._name}.pack")
        try:
            check_open(self._storage)
            fsync_path(copy)
            # The saved index is of the old file: a process killed behind the rename must not find it.
            Path(f"{self._name}.index").unlink(missing_ok=True)
            fsync_path(copy.parent)
        except OSError:
            self._commit_lock.release()
            with suppress(OSError):
                copy.unlink()
            raise
        return copied

    def copyToPacktime(self) -> tuple[int, int]:
        """Copy the transactions up to the pack time; no lock is held."""
        found: tuple[int, int] = super().copyToPacktime()
        self._sync()
        return found

    def copyDataRecords(self, pos: int, th: Any) -> Any:  # Any: ZODB's header of a transaction
        """Copy what is reachable of one transaction before the pack time."""
        check_open(self._storage)
        if self._tfile.tell() - self._synced >= PIECE:
            self._sync()
        return super().copyDataRecords(pos, th)

    def copyOne(self, ipos: int) -> int:
        """Copy one transaction after the pack time; the commit lock is held before and after."""
        check_open(self._storage)
        if self._tfile.tell() - self._synced >= PIECE:
            self._commit_lock.release()
            self.locked = False
            self._sync()
            self._commit_lock.acquire()
            self.locked = True
        found: int = super().copyOne(ipos)
        return found

    def _sync(self) -> None:
        self._tfile.flush()
        os.fsync(self._tfile.fileno())
        self._synced = self._tfile.tell()
        if not has_room(Path(self._name).parent):
            raise OSError(
                errno.ENOSPC, "The disk has no room for the packed copy of the database", self._name
            )


def check_open(storage: Any) -> None:  # Any: a DurableFileStorage, which this module serves
    """Raise OSError if a storage is about to be closed: then another process may open it."""
    if storage.is_closing:
        raise OSError(errno.ECANCELED, "The database is being closed", storage._file_name)

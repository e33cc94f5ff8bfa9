"""LogStorage: what a Log has read, as a storage from which objects can be loaded; it writes nothing, ever.

A FileStorage that is opened read-only makes directories that it misses, and reads on where a server is
appending.  This one has the objects as of the last transaction that the log has read.
"""

import tempfile
from typing import BinaryIO

from ZODB.BaseStorage import BaseStorage
from ZODB.interfaces import IBlobStorage
from ZODB.POSException import POSKeyError
from zope.interface import implementer

from haywain.store.log import Log
from haywain.store.payload import BlobPath
from haywain.store.pickles import check_claims


@implementer(IBlobStorage)
class LogStorage(BaseStorage):  # type: ignore[misc]  # ZODB has no types
    """The objects of a Log, read-only."""

    _is_read_only = True

    def __init__(self, log: Log, blob_path: BlobPath) -> None:
        """Serve what has been read of the log, which stays open for whoever opened it."""
        super().__init__("log")
        self._log, self._blob_path = log, blob_path

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self._log.index)

    def getSize(self) -> int:
        """Return the bytes of the log."""
        return self._log.end

    def lastTransaction(self) -> bytes:
        """Return the tid of the last transaction."""
        return self._log.last_tid

    def supportsUndo(self) -> bool:
        """Return that there is no undo."""
        return False

    def close(self) -> None:
        """Do nothing: the log belongs to whoever opened it."""

    def loadBefore(self, oid: bytes, tid: bytes) -> tuple[bytes, bytes, None]:
        """Return the last state of an object, its tid, and None.

        Raises POSKeyError if it has none, CorruptDataError if it would take much memory.
        """
        found = self._log.state(oid)
        if found is None:
            raise POSKeyError(oid)
        check_claims(found[0])
        return (*found, None)

    def loadBlob(self, oid: bytes, serial: bytes) -> str:
        """Return the file of a blob."""
        return self._blob_path(oid, serial)

    def openCommittedBlobFile(self, oid: bytes, serial: bytes, blob: object = None) -> BinaryIO:
        """Open the file of a blob; raises FileNotFoundError."""
        return open(self._blob_path(oid, serial), "rb")

    def temporaryDirectory(self) -> str:
        """Return that of the system, in which nothing is put."""
        return tempfile.gettempdir()

"""The object database: the one place that knows the kinds of storage.

`file:DIR` is a FileStorage with blobs in this process; `zeo://host:port` and `zeo:///socket` a ZEO
client, for several processes.  PostgreSQL (RelStorage) follows the same URI scheme.
"""

import logging
import os
import re
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from persistent import Persistent
from transaction import TransactionManager
from ZODB import DB
from ZODB.Connection import Connection
from ZODB.FileStorage.FileStorage import FileStorageError
from ZODB.POSException import POSError
from ZODB.utils import u64, z64

from haywain.errors import DataDirectoryError
from haywain.store.durable import DurableFileStorage
from haywain.store.tail import mend_tail
from haywain.values import GIB, Tid

_log = logging.getLogger(__name__)

ALLOWED_MODULES = re.compile(
    r"haywain\.(store|document|catalog|security|ingestion|activity|portal_types)(\.\w+)*"
    r"|BTrees\.\w+|BTrees\.Length|persistent(\.\w+)*|ZODB\.blob"
)
"""Modules whose classes may be loaded from the database; anything else in a record is refused."""

_ALLOWED_NAMES = {
    ("copyreg", "_reconstructor"),
    ("builtins", "object"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
}


def open_storage(uri: str, cache: Path | None = None) -> Any:  # Any: ZODB's storages share no type
    """Open a storage by its URI; `cache` is where a ZEO client keeps blobs.

    Raises DataDirectoryError if the URI is unknown or the file is no FileStorage.
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return _open_file(Path(parts.path or parts.netloc))
    if parts.scheme == "zeo":
        return _open_zeo((parts.hostname, parts.port or 8100) if parts.hostname else parts.path, cache)
    raise DataDirectoryError(f"The database {uri!r} cannot be opened: use file:DIR or zeo://HOST:PORT")


def _open_file(directory: Path) -> DurableFileStorage:
    data_fs = directory / "Data.fs"
    mend_tail(data_fs)
    try:
        return DurableFileStorage(data_fs, directory / "blobs")
    except (FileStorageError, POSError, ValueError) as error:
        raise DataDirectoryError(f"{data_fs} cannot be opened: {error}; restore it from a backup") from error


def _open_zeo(address: Any, cache: Path | None) -> Any:
    from ZEO.ClientStorage import ClientStorage

    return ClientStorage(
        address,
        blob_dir=str(cache) if cache else None,
        shared_blob_dir=False,
        server_sync=True,
        wait_timeout=10,
    )


class PortalConnection(Connection):  # type: ignore[misc]  # ZODB has no types
    """A Connection that knows its last own transaction and carries its catalog.

    `catalog` belongs to the layer above, which puts it there; the store only keeps it as long as the
    pooled connection lives.
    """

    catalog: Any = None
    last_tid: bytes = z64

    def tpc_finish(self, transaction: Any) -> None:
        """Commit, and note the transaction's id.

        Not `storage.lastTransaction()`: another thread may have committed in between.
        """
        changed = [self._cache.get(oid) for oid in (*self._modified, *self._creating)]
        super().tpc_finish(transaction)
        self.last_tid = next(
            (o._p_serial for o in changed if o is not None and o._p_changed is not None), self._storage._ltid
        )


class Database(DB):  # type: ignore[misc]  # ZODB has no types
    """The object database; `connect()` gives a connection for one thread and request."""

    klass = PortalConnection

    def __init__(self, storage: Any, pool_size: int = 80) -> None:
        """Wrap an open storage."""
        super().__init__(storage, pool_size=pool_size, large_record_size=8 << 20)

    def connect(self, manager: TransactionManager | None = None) -> PortalConnection:
        """Return a connection with an explicit transaction manager, a new one if none is given.

        Explicit, since with an implicit one and no `begin()` a savepoint misses what it should see.
        """
        connection = self.open(manager or TransactionManager(explicit=True))
        assert isinstance(connection, PortalConnection)
        return connection

    def classFactory(self, connection: Any, modulename: str, globalname: str) -> Any:
        """Return a class named in a record, if its module may be loaded from the database."""
        if not ALLOWED_MODULES.fullmatch(modulename) and (modulename, globalname) not in _ALLOWED_NAMES:
            raise DataDirectoryError(
                f"A record names the class {modulename}.{globalname}, which is not allowed"
            )
        return super().classFactory(connection, modulename, globalname)


def tid_of(obj: Persistent) -> Tid:
    """Return the transaction that wrote the state of an object, 16 hexadecimal digits."""
    return Tid(f"{u64(obj._p_serial):016x}")


class NamedLocks:
    """Locks by name within this process, to be taken before a snapshot is opened.

    Appenders to one stream that do not queue here starve each other: each commit makes all others try
    again (up to 34 times, measured over ZEO).
    """

    def __init__(self, count: int = 256) -> None:
        """Make `count` locks; names share them by hash, which costs waiting and no correctness."""
        self._locks = [threading.Lock() for _ in range(count)]

    def named(self, name: str) -> threading.Lock:
        """Return the lock of a name."""
        return self._locks[hash(name) % len(self._locks)]


def free_bytes(path: Path) -> tuple[int, int]:
    """Return the free and the total bytes of the disk under a path."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def has_room(path: Path, length: int = 0) -> bool:
    """Return whether the disk has room for so many bytes above its mark: 5 % or 2 GiB, whichever is less."""
    free, total = free_bytes(path)
    return free - length > min(total // 20, 2 * GIB)

"""The object database: the one place that knows the kinds of storage.

`file:DIR` is a FileStorage with blobs in this process; `zeo://host:port` and `zeo:///socket` a ZEO
client, for several processes.  PostgreSQL (RelStorage) follows the same URI scheme.
"""

import re
import threading
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from persistent import Persistent
from transaction import TransactionManager
from zc.lockfile import LockError, LockFile
from ZODB import DB
from ZODB.broken import find_global
from ZODB.Connection import Connection
from ZODB.FileStorage.format import CorruptedError
from ZODB.POSException import POSError
from ZODB.utils import u64, z64

from haywain.errors import CorruptDataError, DataDirectoryError, DataDirectoryInUseError, TemporaryError
from haywain.store.durable import DurableFileStorage
from haywain.store.tail import mend_tail
from haywain.values import MIB, Tid

CACHE_OBJECTS, CACHE_BYTES = 4000, 8 * MIB
"""What a connection keeps between transactions; by ZODB's default 400 Records of 1 MiB each."""

SERVER_WAIT_S = 10
"""How long a database server may take to answer at first."""

ALLOWED_MODULES = re.compile(
    r"haywain\.(store|document|catalog|security|ingestion|activity|portal_types)(\.\w+)*"
    r"|BTrees\.\w+|persistent(\.\w+)*|ZODB\.blob"
)
"""Modules whose classes may be loaded from the database; anything else in a record is refused."""

_ALLOWED_NAMES = {
    ("copyreg", "_reconstructor"),
    ("builtins", "object"),
    ("datetime", "datetime"),
    ("datetime", "timedelta"),
    ("datetime", "timezone"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
}


def open_storage(uri: str, cache: Path | None = None) -> Any:  # Any: ZODB's storages share no type
    """Open a storage by its URI; `cache` is where a ZEO client keeps blobs, without it there are none.

    Raises DataDirectoryError if the URI is unknown or the file cannot be used, DataDirectoryInUseError if
    another process has it, TemporaryError if a server does not answer.
    """
    scheme, _, rest = uri.partition(":")
    if scheme == "file" and rest.removeprefix("//"):
        return _open_file(Path(rest.removeprefix("//")))
    if scheme == "zeo" and rest.startswith("//"):
        return _open_zeo(uri, cache)
    raise DataDirectoryError(f"The database {uri!r} cannot be opened: use file:DIR or zeo://HOST:PORT")


def _open_file(directory: Path) -> DurableFileStorage:
    data_fs = directory / "Data.fs"
    lock = directory / "Data.fs.lock"
    try:
        with closing(LockFile(str(lock))):  # a tail that another process is writing must not be cut
            mend_tail(data_fs)
        return DurableFileStorage(data_fs, directory / "blobs")
    except LockError as error:
        raise DataDirectoryInUseError(
            f"The database {data_fs} is in use by process {lock.read_text().strip() or '?'}; stop it first"
        ) from error
    except (POSError, CorruptedError, ValueError) as error:
        raise DataDirectoryError(f"{data_fs} cannot be opened: {error}; restore it from a backup") from error
    except OSError as error:
        raise DataDirectoryError(f"The database {data_fs} cannot be opened: {error}") from error


def _open_zeo(uri: str, cache: Path | None) -> Any:
    from ZEO.ClientStorage import ClientStorage
    from ZEO.Exceptions import ClientDisconnected

    try:
        parts = urlsplit(uri)
        address = (parts.hostname, parts.port or 8100) if parts.hostname else parts.path
        if not address:
            raise ValueError("it names neither a host nor a socket")
    except ValueError as error:
        raise DataDirectoryError(f"The database {uri!r} cannot be opened: {error}") from error
    try:
        return ClientStorage(
            address,
            blob_dir=str(cache) if cache else None,
            shared_blob_dir=False,
            server_sync=True,
            wait_timeout=SERVER_WAIT_S,
        )
    except ClientDisconnected as error:
        raise TemporaryError(f"The database server {uri} does not answer; start it first") from error


class PortalConnection(Connection):  # type: ignore[misc]  # ZODB has no types
    """A Connection that knows its last own transaction and carries its catalog.

    `catalog` and `portal` belong to the layer above, which puts them there: the one for as long as the
    pooled connection lives, the other while it is open.
    """

    catalog: Any = None
    portal: Any = None
    last_tid: bytes = z64

    def __init__(self, *args: Any, **options: Any) -> None:  # Any: what ZODB passes
        """Listen to what the storage, which is this connection's own, answers to a commit.

        Its `lastTransaction()` may be that of another thread, and objects know their serial only while
        they are in the cache and no conflict was resolved in them.
        """
        super().__init__(*args, **options)
        finish = self._normal_storage.tpc_finish

        def note_tid(*args: Any) -> bytes:
            self.last_tid = finish(*args)
            return self.last_tid

        self._storage.tpc_finish = note_tid

    def _tpc_cleanup(self) -> None:
        """Let go of what was added: after a conflict ZODB would keep it, and the files of its blobs."""
        super()._tpc_cleanup()
        self._added_during_commit = None


class Database(DB):  # type: ignore[misc]  # ZODB has no types
    """The object database; `connect()` gives a connection for one thread and request."""

    klass = PortalConnection

    def __init__(self, storage: Any, pool_size: int = 80, modules: frozenset[str] = frozenset()) -> None:
        """Wrap an open storage; `modules` are those of other packages whose classes may be loaded too."""
        self._modules = modules
        super().__init__(
            storage,
            pool_size=pool_size,
            cache_size=CACHE_OBJECTS,
            cache_size_bytes=CACHE_BYTES,
            historical_pool_size=pool_size,
            historical_cache_size=CACHE_OBJECTS,
            historical_cache_size_bytes=CACHE_BYTES,
            large_record_size=8 * MIB,
        )

    def connect(self, manager: TransactionManager | None = None, at: bytes | None = None) -> PortalConnection:
        """Return a connection with an explicit transaction manager, a new one if none is given.

        `at` is a transaction id: the database as it was then, to be read.

        Explicit, since with an implicit one and no `begin()` a savepoint misses what it should see.
        """
        connection = self.open(manager or TransactionManager(explicit=True), at=at)
        assert isinstance(connection, PortalConnection)
        return connection

    def classFactory(self, connection: Any, modulename: str, globalname: str) -> Any:
        """Return a class named in a record, if it may be loaded from the database."""
        return find_class(modulename, globalname, self._modules)


def find_class(modulename: str, globalname: str, modules: frozenset[str] = frozenset()) -> Any:
    """Return a class by its name, if it may be loaded from the database; else raise CorruptDataError.

    Its module must be allowed, and it must be persistent or defined there: else whatever an allowed
    module imports, such as a function that removes directories, could be named.
    """
    if (modulename, globalname) in _ALLOWED_NAMES:
        return find_global(modulename, globalname)
    if ALLOWED_MODULES.fullmatch(modulename) or modulename in modules:
        found = find_global(modulename, globalname)
        if isinstance(found, type) and (issubclass(found, Persistent) or found.__module__ == modulename):
            return found
    raise CorruptDataError(f"A record names the class {modulename}.{globalname}, which is not allowed")


def tid_of(obj: Persistent) -> Tid:
    """Return the transaction that wrote the state of an object, 16 hexadecimal digits."""
    return Tid(f"{u64(obj._p_serial):016x}")


def read_current(obj: Persistent) -> None:
    """Have this transaction conflict with a change of the object that commits before it does."""
    obj._p_activate()  # a ghost is not checked
    if obj._p_jar is not None and obj._p_serial is not None:
        obj._p_jar.readCurrent(obj)


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

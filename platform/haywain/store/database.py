"""The object database: the one place that knows the kinds of storage.

`file:DIR` is a FileStorage with blobs in this process; `zeo://host:port` and `zeo:///socket` a ZEO
client, for several processes; `memory:` is gone with its process and keeps no blobs.  PostgreSQL (RelStorage)
follows the same URI scheme.
"""

import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from persistent import Persistent
from transaction import TransactionManager
from zc.lockfile import LockError, LockFile
from ZODB import DB
from ZODB.broken import find_global
from ZODB.Connection import Connection
from ZODB.FileStorage.format import CorruptedError
from ZODB.POSException import POSError
from ZODB.utils import p64, u64, z64

from haywain.errors import CorruptDataError, DataDirectoryError, DataDirectoryInUseError
from haywain.store.allowed import is_allowed, is_class_of
from haywain.store.durable import DurableFileStorage
from haywain.store.memory import MemoryStorage
from haywain.store.tail import mend_tail
from haywain.store.zeo_address import ZeoAddress
from haywain.values import MIB, Tid

CACHE_OBJECTS, CACHE_BYTES = 4000, 8 * MIB
"""What a connection keeps between transactions; by ZODB's default 400 Records of 1 MiB each."""


def open_storage(uri: str, cache: Path | None = None) -> Any:  # Any: ZODB's storages share no type
    """Open a storage by its URI; `cache` is where a ZEO client keeps blobs that it does not share.

    Raises DataDirectoryError if the URI is unknown or the file cannot be used, DataDirectoryInUseError if
    another process has it, DatabaseServerError if a server does not answer.
    """
    scheme, _, rest = uri.partition(":")
    if scheme == "file" and rest.removeprefix("//"):
        return _open_file(Path(rest.removeprefix("//")))
    if scheme == "zeo" and rest.startswith("//"):
        return _open_zeo(uri, cache)
    if uri == "memory:":
        return MemoryStorage()
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
    from haywain.store.zeo_client import RemoteStorage  # without a server nobody pays for it

    found = ZeoAddress.parse(uri)
    if found.shared is not None and not (found.shared / ".layout").is_file():
        raise DataDirectoryError(
            f"The database {uri!r} cannot be opened: {found.shared} is not the server's directory of blobs"
        )
    return RemoteStorage(
        found.place,
        found.shared or cache,
        is_shared=found.shared is not None,
        cache_bytes=found.cache_bytes,
        wait_s=found.wait_s,
    )


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

    def open(self, transaction_manager: Any = None, delegate: bool = True) -> None:
        """Begin to be used; if the database does not answer, go back to the pool at once."""
        try:
            super().open(transaction_manager, delegate)
        except BaseException:
            self.close()
            raise

    @property
    def seen_tid(self) -> bytes:
        """The last transaction that is seen here."""
        return bytes(p64(u64(self._storage._start) - 1))

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
    """Return a class by its name, if it may be loaded from the database; else raise CorruptDataError."""
    if is_allowed(modulename, globalname) or modulename in modules:
        found = find_global(modulename, globalname)
        if is_class_of(modulename, globalname, found):
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

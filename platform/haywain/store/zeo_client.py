"""The client of a ZEO server: many processes on one database.

What ZEO's own client does not do, each read in ZEO 6.2 and tried:

- When the connection is lost while a commit is being finished, nobody says whether it was kept: it raises
  what makes callers try again, and then the bytes would be there twice.  Here each transaction carries a mark
  in its header, by which the server's log tells what became of it; where that cannot be learned in time, the
  error is one that nobody tries again by himself.
- When the connection is lost, calls that are under way fail.  Here those that only read are sent again.
- When the server is gone, each call waits for it by itself.  Here all wait until `wait_s` after the loss, and
  from then on they are refused at once.
- Several processes may share a cache of blobs, and none removes what another one is about to write.
- Files of blobs whose transaction does not come to its end stay for ever.
- A blob whose download was cut can never be downloaded again, and each try cuts the connection.
- It asks the DNS for the server's name whenever it connects, in the thread that everything goes through.
"""

import builtins
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

from ZEO.asyncio.client import ClientThread
from ZEO.ClientStorage import ClientStorage
from ZEO.Exceptions import ClientDisconnected, ServerException
from ZODB.blob import rename_or_copy_blob
from ZODB.utils import p64, u64

from haywain import errors
from haywain.errors import DatabaseServerError, HaywainError, InDoubtError
from haywain.store.workspace import Workspace
from haywain.store.zeo_address import Place, uri_of
from haywain.values import MIB

MARK = "commit"
"""Key, in a transaction's extension, of the random bytes by which it is known again."""

START_WAIT_S = 10.0
"""How long a server may take to answer at first, and to come back and tell what became of a commit."""

POLL_S = 0.1
"""Between two tries to connect; ZEO adds up to one second at random."""

_REPEATABLE = frozenset({"ping", "new_oids", "sendBlob", "loadSerial", "getTid", "history", "iterator_start"})
"""Calls that may be sent again after the connection was lost; `loadBefore` too, which goes its own way."""

RECORD_CACHE_BYTES = 64 * MIB
"""Of records, on the disk of this process."""

_log = logging.getLogger(__name__)


class RemoteStorage(ClientStorage):  # type: ignore[misc]  # ZEO has no types
    """A database that a ZEO server has open; its blobs lie in a directory of the server's, or in a cache."""

    _is_closed = False
    connected_at = 0.0
    """Since when the server is there without interruption, on the monotonic clock; 0 while it is not."""

    def __init__(
        self, place: Place, blobs: Path | None, *, is_shared: bool, cache_bytes: int, wait_s: float
    ) -> None:
        """Connect; `blobs` is the server's own directory if it is shared, else that of the cache.

        Raises DatabaseServerError if no server answers.
        """
        self._uri, self._wait_s, self._lost_at = uri_of(place), wait_s, time.monotonic()
        self._use = _use(blobs) if blobs is not None and not is_shared else None
        try:
            super().__init__(
                place,
                blob_dir=None if blobs is None else str(blobs),
                shared_blob_dir=is_shared,
                blob_cache_size=None if is_shared else cache_bytes,
                cache_size=RECORD_CACHE_BYTES,
                server_sync=True,
                wait_timeout=START_WAIT_S,
                _client_factory=partial(ClientThread, disconnect_poll=POLL_S),
            )
        except ClientDisconnected as error:
            if self._use is not None:
                self._use.close()
            raise DatabaseServerError(
                f"The database server {self._uri} does not answer; start it first"
            ) from error
        if self._use is not None:
            fcntl.flock(self._use, fcntl.LOCK_SH)
        self._call: Any = partial(self._reach, self._server.call)
        self._async: Any = lambda method, *args: self._post(lambda io: io.call_async(method, args))
        self._async_iter: Any = lambda messages: self._post(lambda io: io.call_async_iter(messages))
        self._workspace = Workspace(Path(self.fshelper.temp_dir)) if blobs is not None and is_shared else None
        if self._workspace is not None:
            self.fshelper.temp_dir = str(self._workspace.path)

    def close(self) -> None:
        """Let go of the server, and of this process's temporary files."""
        self._is_closed = True
        super().close()
        if self._workspace is not None:
            self._workspace.close()
        if self._use is not None:
            self._use.close()

    # -- whether the server is there; ZEO calls these in its own thread
    def set_server_addr(self, addr: Any) -> None:  # Any: as ZEO has it
        """Remember the address as it is."""
        self._server_addr = str(addr)

    def notify_connected(self, conn: Any, info: Any) -> None:  # Any: as above
        """Note that the server is there; oids of the one before are not used up."""
        super().notify_connected(conn, info)
        self._oids: list[bytes] = []
        self.connected_at = time.monotonic()

    def notify_disconnected(self) -> None:
        """Note that it is gone."""
        self.connected_at, self._lost_at = 0.0, time.monotonic()
        super().notify_disconnected()
        _log.warning("the database server %s is gone", self._uri)

    def _await_server(self, until: float) -> None:
        """Wait for the server, at most to a moment on the monotonic clock; raises DatabaseServerError."""
        while not self.is_connected():
            left_s = until - time.monotonic()
            try:
                self._server.wait(max(left_s, 0.0))
            except ClientDisconnected as error:
                if left_s <= 0 or self._is_closed:
                    raise DatabaseServerError("The database server does not answer; try again") from error

    def _reach(self, call: Callable[..., Any], method: str, *args: Any, timeout: float | None = None) -> Any:
        """Call a method of the server; raises ClientDisconnected if that is lost in a transaction."""
        if timeout is not None:
            return call(method, *args, timeout=timeout)
        if method == "vote":  # a server that comes back knows nothing of the transaction
            return self._once(partial(call, method, *args, timeout=0))
        return self._insist(partial(call, method, *args), method in _REPEATABLE)

    def _insist(self, call: Callable[[], Any], is_repeatable: bool = True) -> Any:
        """Call the server once it is there, and if it may be, again when the connection is lost meanwhile."""
        while True:
            self._await_server(self._lost_at + self._wait_s)
            try:
                return self._once(call)
            except ClientDisconnected:
                if not is_repeatable:
                    raise

    def _once(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except ServerException as error:
            raise _as_raised(error) from error

    def _post(self, send: Callable[[Any], object]) -> None:
        """Send a part of a transaction; if the connection is lost before it is sent, the vote finds out."""
        io = self._server.client
        protocol = io.protocol
        if not io.operational or protocol is None:
            raise ClientDisconnected
        self._server.loop.call_soon_threadsafe(lambda: io.protocol is protocol and send(io))

    def loadBefore(self, oid: bytes, tid: bytes) -> Any:  # Any: as ZODB has it
        """Return the state of an object before a transaction."""
        known = self._cache.loadBefore(oid, tid)
        if known:
            return known
        return self._insist(partial(self._server.load_before, oid, tid))

    # -- commits
    def tpc_begin(self, txn: Any, tid: Any = None, status: str = " ") -> None:  # Any: as ZODB has it
        """Begin to commit; the transaction gets its mark."""
        self._await_server(self._lost_at + self._wait_s)
        txn.extension = {**txn.extension, MARK: os.urandom(8)}
        super().tpc_begin(txn, tid, status)
        buffer = txn.data(self)
        buffer.after, buffer.files = self.lastTransaction(), []

    def tpc_finish(self, txn: Any, f: Any = lambda tid: None) -> bytes:  # Any: as above
        """Keep the transaction; return its id, if need be from the log of a server that came back.

        Raises ClientDisconnected if it was not kept, InDoubtError if that cannot be learned.
        """
        buffer = self._check_trans(txn, "tpc_finish")
        try:
            finished: bytes = super().tpc_finish(txn, f)
        except ClientDisconnected as error:
            found = self._outcome(buffer.after, txn.extension[MARK], error)
            _remove(buffer.files)
            if found is None:
                raise
            f(found)
            return found
        return finished

    def _outcome(self, after: bytes, mark: bytes, error: Exception) -> bytes | None:
        """Return the id of the transaction with a mark, None if it was not kept; raises InDoubtError."""
        try:
            self._await_server(time.monotonic() + START_WAIT_S)
            records = self.iterator(p64(u64(after) + 1))
            found = next((record.tid for record in records if record.extension.get(MARK) == mark), None)
        except (ClientDisconnected, DatabaseServerError):
            raise InDoubtError(
                "The database server went away in the middle of a commit, and whether it was kept is not "
                "known; send it again under the same key, or look first"
            ) from error
        _log.warning(
            "a commit that was cut off was %s", "not kept" if found is None else f"kept: {found.hex()}"
        )
        return found

    def tpc_abort(self, txn: Any, timeout: float | None = None) -> None:  # Any: as above
        """Forget a transaction, with the files of its blobs; a server that is gone has forgotten it."""
        try:
            buffer = txn.data(self)
        except KeyError:
            return
        super().tpc_abort(txn, timeout=timeout if self.is_connected() else 0)
        _remove(getattr(buffer, "files", []))

    # -- blobs
    def storeBlob(self, oid: bytes, serial: bytes, data: bytes, path: str, version: str, txn: Any) -> Any:
        """Store a blob; its file is ours from now on."""
        buffer = self._check_trans(txn, "storeBlob")
        if not self.shared_blob_dir:
            super().storeBlob(oid, serial, data, path, version, txn)
            buffer.files.append(buffer.blobs[-1][1])
            return
        self.fshelper.getPathForOID(oid, create=True)
        descriptor, taken = self.fshelper.blob_mkstemp(oid, serial)
        os.close(descriptor)
        target = f"{taken}-"  # by this name the server knows it; the other keeps the name from others
        buffer.files.append(target)
        rename_or_copy_blob(path, target)
        os.remove(taken)
        self.store(oid, serial, data, "", txn)
        self._async("storeBlobShared", oid, serial, data, os.path.basename(target), id(txn))

    def _check_blob_size(self, bytes: int | None = None) -> None:
        """Look in a thread whether the cache is full, unless one is looking: `close` waits for one."""
        running = self._check_blob_size_thread
        if running is None or not running.is_alive():
            super()._check_blob_size(bytes)

    def _update_blob_cache(self, tbuf: Any, tid: bytes) -> None:
        """Keep in the cache what was committed; a full disk costs a download later, not the commit."""
        try:
            super()._update_blob_cache(tbuf, tid)
        except OSError as error:
            _log.warning("the cache of blobs cannot be written to: %s", error)
            _remove(tbuf.files)

    def receiveBlobStart(self, oid: bytes, serial: bytes) -> None:
        """Begin to take a blob from the server, whether or not an earlier try was cut."""
        Path(f"{self.fshelper.getBlobFilename(oid, serial)}.dl").unlink(missing_ok=True)
        super().receiveBlobStart(oid, serial)


def _as_raised(error: ServerException) -> Exception:
    """Return what the server raised, where that is an error of the system or of ours; ZEO names it only."""
    name, arguments = error.args
    module, _, kind = name.rpartition(".")
    found: Any = getattr({"builtins": builtins, "haywain.errors": errors}.get(module), kind, None)
    is_known = isinstance(found, type) and issubclass(found, OSError | HaywainError)
    raised: Exception = found(*arguments) if is_known and isinstance(arguments, tuple) else error
    return raised


def _remove(paths: list[str]) -> None:
    for path in paths:
        Path(path).unlink(missing_ok=True)


def _use(cache: Path) -> IO[str]:
    """Return a lock that says that a process uses a cache.

    The first one removes what killed ones left, and has the lock for itself until the cache is set up.
    """
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (cache / ".in-use").open("a", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_SH)
    else:
        _clean(cache)
    return lock


def _clean(cache: Path) -> None:
    """Remove from a cache what a killed process was about to write."""
    shutil.rmtree(cache / "tmp", ignore_errors=True)
    for path in cache.glob("[0-9]*/*"):
        if path.suffix == ".dl" or ".tmp" in path.suffix:
            path.unlink()

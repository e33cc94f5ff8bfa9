"""Source: where a verification reads a database from: its files, or the server that has them."""

import os
import pickle
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol

from ZODB.POSException import POSKeyError
from ZODB.utils import p64, u64

from haywain.errors import DataDirectoryError
from haywain.store.database import open_storage
from haywain.store.log import Complain, Log, LogRecord, LogTransaction, open_log
from haywain.store.log_storage import LogStorage
from haywain.store.pack_lock import reading
from haywain.store.payload import file_of


class SourceTransaction(NamedTuple):
    """A transaction; `done` of `total` are read with it, in whatever unit."""

    tid: bytes
    extension: dict[str, Any]  # Any: what the layers above put there
    records: Iterable[LogRecord]
    done: int
    total: int


class Source(Protocol):
    """All states of a database up to one transaction, and its blobs."""

    storage: Any
    """A ZODB storage that has the states as of `last_tid`."""

    @property
    def last_tid(self) -> bytes:
        """The last transaction that was read."""

    def transactions(self) -> Iterator[SourceTransaction]:
        """Yield all transactions; `last_tid` is the last one when that ends."""

    def later(self) -> Iterator[SourceTransaction]:
        """Yield those that came since; what is damaged in them is not told."""

    def blob_path(self, oid: bytes, tid: bytes) -> str:
        """Return the file of a blob; raises OSError or POSKeyError."""

    def forget_blob(self, path: str) -> None:
        """Take note that the file of a blob is not needed any more."""

    def close(self) -> None:
        """Let go of it."""


class FileSource:
    """A Data.fs and the directory of its blobs; a server may write to them, but no pack runs meanwhile."""

    def __init__(self, directory: Path, complain: Complain) -> None:
        """Open the files in a directory.

        Raises DataDirectoryError if there are none, DataDirectoryInUseError while a pack runs.
        """
        self.data_fs, self.blobs = directory / "Data.fs", directory / "blobs"
        if not self.data_fs.exists():
            raise DataDirectoryError(f"There is no database in {directory}: {self.data_fs} is missing")
        with ExitStack() as opened:
            opened.enter_context(reading(directory))
            self.log, self._complain = open_log(self.data_fs, complain), complain
            opened.callback(self.log.close)
            self._opened = opened.pop_all()
        self._path_of = file_of(self.blobs)
        self.storage = LogStorage(self.log, self._path_of)

    @property
    def last_tid(self) -> bytes:
        """The last transaction that was read."""
        return self.log.last_tid

    def transactions(self) -> Iterator[SourceTransaction]:
        """Yield all transactions, each with its end in the file and the file's size, in bytes."""
        return self._read(self.log)

    def later(self) -> Iterator[SourceTransaction]:
        """Yield those that came since."""
        return self._read(Log(self.log.file, end=self.log.end, last_tid=self.log.last_tid, knows_all=False))

    def _read(self, log: Log) -> Iterator[SourceTransaction]:
        size = log.size()
        try:
            for found in log.transactions():
                extension, records = self._extension(found), log.records(found)
                yield SourceTransaction(found.tid, extension, records, found.stop, max(size, found.stop))
        except OSError as error:  # of the disk
            log.knows_all = False
            self._complain(f"the file cannot be read any further: {error}", log.end, b"")

    def _extension(self, transaction: LogTransaction) -> dict[str, Any]:  # Any: as above
        try:
            found = _PlainUnpickler(BytesIO(transaction.extension)).load() if transaction.extension else {}
            if isinstance(found, dict):
                return found
            detail = "it is no dict"
        except Exception as error:  # a damaged pickle raises what it likes
            detail = str(error)
        self._complain(f"the header of a transaction cannot be loaded: {detail}", transaction.position, b"")
        return {}

    def blob_path(self, oid: bytes, tid: bytes) -> str:
        """Return the file of a blob, which may be missing."""
        return self._path_of(oid, tid)

    def forget_blob(self, path: str) -> None:
        """Keep it: it is the only one."""

    def close(self) -> None:
        """Close the files and let packs run."""
        self._opened.close()


class ServerSource:
    """What a database server has; blobs that it does not share come into a directory of their own."""

    def __init__(self, uri: str) -> None:
        """Connect to it; raises TemporaryError if it does not answer."""
        with ExitStack() as opened:
            folder = opened.enter_context(TemporaryDirectory(prefix="haywain-verify-"))
            self._copies = Path(folder)
            self.storage = open_storage(uri, self._copies)
            opened.callback(self.storage.close)
            self._opened = opened.pop_all()
        self._last_tid: bytes = self.storage.lastTransaction()

    @property
    def last_tid(self) -> bytes:
        """The last transaction when it was connected."""
        return self._last_tid

    def transactions(self) -> Iterator[SourceTransaction]:
        """Yield all transactions, with numbers that grow as their times do."""
        return self._read(None, self.last_tid)

    def later(self) -> Iterator[SourceTransaction]:
        """Yield those that came since."""
        return self._read(p64(u64(self.last_tid) + 1), None)

    def _read(self, start: bytes | None, stop: bytes | None) -> Iterator[SourceTransaction]:
        first = None
        for found in self.storage.iterator(start, stop):
            tid = u64(found.tid)
            first = tid if first is None else first
            records = (LogRecord(record.oid, record.tid, 0, record.data) for record in found)
            done, total = tid - first, u64(self.last_tid) - first
            yield SourceTransaction(found.tid, found.extension, records, done, total)

    def blob_path(self, oid: bytes, tid: bytes) -> str:
        """Fetch a blob and return its file; raises POSKeyError."""
        return str(self.storage.loadBlob(oid, tid))

    def forget_blob(self, path: str) -> None:
        """Remove the copy that was fetched; where the server's own file is shared, that stays."""
        if Path(path).is_relative_to(self._copies):
            with suppress(FileNotFoundError):
                os.unlink(path)

    def close(self) -> None:
        """Disconnect."""
        self._opened.close()


class _PlainUnpickler(pickle.Unpickler):
    """Loads what consists of plain values."""

    def find_class(self, module: str, name: str) -> Any:  # Any: what a pickle may name
        """Refuse all classes and functions."""
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def state_of(source: Source, oid: bytes) -> bytes:
    """Return the state of an object as of the last transaction that was read; raises POSKeyError."""
    found = source.storage.loadBefore(oid, p64(u64(source.last_tid) + 1))
    if found is None:
        raise POSKeyError(oid)
    data: bytes = found[0]
    return data

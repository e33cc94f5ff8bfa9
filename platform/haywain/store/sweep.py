"""Sweep: remove the files of blobs that belong to no record, while others commit."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ZODB.POSException import POSKeyError

from haywain import clock
from haywain.store.beside import BlobFile, orphans, unstored
from haywain.store.log import open_log

ABANDONED_S = 86_400
"""So old a file may be that a transaction is still going to store."""


def sweep(storage: Any) -> list[BlobFile]:  # Any: a DurableFileStorage, which this module serves
    """Remove orphans from the directory of a FileStorage that is open; return them.

    What the storage does not know as current is looked for in the whole log: an undo may repeat a state that
    can be found in no other way.  If the log is damaged, nothing is removed.
    """
    last = storage.lastTransaction()  # first: a blob of a later transaction is none of ours
    strays = list(orphans(Path(storage.blob_dir), last, _is_known_to(storage)))
    named = _named(Path(storage._file_name), {file.key for file in strays}) if strays else set()
    found = [file for file in strays if named is not None and file.key not in named]
    for file in found:
        with storage._lock:  # under which a directory of an oid is made and filled
            file.path.unlink(missing_ok=True)
            if not os.listdir(file.path.parent):
                file.path.parent.rmdir()
    return found


def sweep_unstored(storage: Any) -> int:  # Any: as above
    """Remove what killed clients of a ZEO server were about to store a day ago; return how many files."""
    found = list(unstored(Path(storage.blob_dir), clock.now_s() - ABANDONED_S))
    for path in found:
        with storage._lock:
            path.unlink(missing_ok=True)
            if not os.listdir(path.parent):
                path.parent.rmdir()
    return len(found)


def _is_known_to(storage: Any) -> Callable[[bytes], bool]:  # Any: as above
    def is_known(key: bytes) -> bool:
        try:
            storage.loadSerial(key[:8], key[8:])
        except POSKeyError:
            return False
        return True

    return is_known


def _named(data_fs: Path, keys: set[bytes]) -> set[bytes] | None:
    """Return those of the keys (oid and tid) of which there is a record; None if the log is damaged."""
    complaints: list[str] = []
    log, found = open_log(data_fs, lambda detail, position, oid: complaints.append(detail)), set[bytes]()
    try:
        for transaction in log.transactions():
            for record in log.records(transaction):
                if record.oid + record.tid in keys:
                    found.add(record.oid + record.tid)
    finally:
        log.close()
    return None if complaints else found

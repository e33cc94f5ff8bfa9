"""Sweep: remove the files of blobs that belong to no record, while others commit."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ZODB.POSException import POSKeyError

from haywain.store.beside import BlobFile, orphans
from haywain.store.log import open_log


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

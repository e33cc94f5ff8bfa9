"""Usage: how many bytes of a database are live, and how many are history that a pack removes."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ZODB.blob import is_blob_record
from ZODB.fsIndex import fsIndex
from ZODB.POSException import POSKeyError
from ZODB.utils import p64, u64, z64

from haywain.store.beside import blob_files
from haywain.store.pickles import references
from haywain.store.tail import RECORD


@dataclass(frozen=True)
class Usage:
    """Bytes on disk, those of Data.fs and those of blobs; live is what can be reached now."""

    data_bytes: int
    live_data_bytes: int
    blob_bytes: int
    live_blob_bytes: int

    @property
    def live_bytes(self) -> int:
        """The bytes of current objects and their blobs."""
        return self.live_data_bytes + self.live_blob_bytes

    @property
    def historic_bytes(self) -> int:
        """All others: earlier states, what was removed, and the heads of transactions."""
        return max(self.data_bytes + self.blob_bytes - self.live_bytes, 0)

    def as_dict(self) -> dict[str, int]:
        """Return it as JSON."""
        return {**asdict(self), "live_bytes": self.live_bytes, "historic_bytes": self.historic_bytes}


def usage(storage: Any) -> Usage:  # Any: a DurableFileStorage
    """Count the bytes of a storage whose files are here; reads all current objects, while others commit."""
    blobs = {file.key: file.size for file in blob_files(Path(storage.blob_dir))}
    live, live_blobs = _live(storage, blobs)
    return Usage(os.stat(storage._file_name).st_size, live, sum(blobs.values()), live_blobs)


def _live(storage: Any, blobs: dict[bytes, int]) -> tuple[int, int]:  # Any: as above
    """Return the bytes of reachable states and of their blobs, whose sizes are given by oid and tid."""
    before = p64(u64(storage.lastTransaction()) + 1)
    seen, pending, live, live_blobs = fsIndex(), [z64], 0, 0
    while pending:
        oid = pending.pop()
        if oid in seen:
            continue
        seen[oid] = 1
        try:
            found = storage.loadBefore(oid, before)
        except POSKeyError:  # `verify` names what is missing
            continue
        if found is None:
            continue
        data, tid, _ = found
        live += RECORD.size + len(data)
        if is_blob_record(data):
            live_blobs += blobs.get(oid + tid, 0)
        pending += [other for other in _references(data) if other not in seen]
    return live, live_blobs


def _references(data: bytes) -> list[bytes]:
    """Return the oids that a state refers to; none if it is damaged: `verify` names it."""
    try:
        return [oid for oid in references(data) if len(oid) == len(z64)]
    except Exception:  # a damaged pickle raises what it likes
        return []

"""Beside: what lies beside Data.fs and must agree with it: the saved index, and the files of blobs.

A file that no record names is an orphan: a process was killed between the rename of a blob and its vote, or
while a pack removed what it had packed away.  Nothing is lost with it.  Blobs of the transaction under way
look alike, but their tid is greater than that of the last one: there is one at a time.
"""

import os
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ZODB.fsIndex import fsIndex

from haywain.store.log import Log

_BLOB = re.compile(r"0x([0-9a-f]{1,16})\.blob")
_LEAST = 100
"""Bytes below which FileStorage does not trust a saved index."""

_BYTE = re.compile(r"0x[0-9a-f]{2}")


class SavedIndex:
    """The index that a FileStorage saved, compared with a log's while that is as long as it was then."""

    def __init__(self, path: Path) -> None:
        """Load it, if it is there; `fault` says what is wrong with it, "" if nothing is."""
        self.fault = ""
        self._end: int | None = None
        try:
            found = fsIndex.load(str(path))
            self._index, self._end = found["index"], int(found["pos"])
            if self._end < _LEAST:
                self._end = None
        except FileNotFoundError:
            return  # it is made anew at the next start
        except (pickle.UnpicklingError, OSError, EOFError) as error:
            self.fault = f"it cannot be read: {error}"
        except Exception as error:  # a damaged pickle raises what it likes
            self.fault = f"it cannot be loaded: {type(error).__name__}: {error}"

    def compare(self, log: Log, end: int) -> None:
        """Compare it with the index of a log that has been read up to `end`, if this one was saved there."""
        if end != self._end or self.fault or not log.knows_all:
            return
        self._end = None
        for ours, theirs in zip(_padded(log.index), _padded(self._index), strict=False):
            if ours != theirs:
                self.fault = "it names other places than the log"
            if ours != theirs or ours is None:
                return

    def finish(self, log: Log) -> None:
        """Say so if it ends at no transaction of the log, all of which has been read."""
        self.compare(log, log.end)
        if self._end is not None and not self.fault and log.knows_all:
            self.fault = f"it was saved at byte {self._end}, where no transaction ends"


def _padded(index: fsIndex) -> Iterator[tuple[bytes, int] | None]:
    yield from index.iteritems()
    yield None


class BlobFile(NamedTuple):
    """A file of a blob: of which oid and tid, together 16 bytes."""

    path: Path
    key: bytes
    size: int

    @property
    def tid(self) -> bytes:
        """The transaction that the blob came with."""
        return self.key[8:]


def blob_files(blobs: Path) -> Iterator[BlobFile]:
    """Yield the files of blobs in a directory of the layout `bushy`; one that goes meanwhile is left out."""
    for parts in _directories(str(blobs), 8):
        with os.scandir(parts) as entries:
            found = [entry for entry in entries if _BLOB.fullmatch(entry.name)]
        oid = bytes.fromhex("".join(part[2:] for part in parts.split("/")[-8:]))
        for entry in found:
            tid = int(entry.name[2:-5], 16).to_bytes(8, "big")
            try:
                yield BlobFile(Path(entry.path), oid + tid, entry.stat().st_size)
            except FileNotFoundError:
                continue


def _directories(base: str, depth: int) -> Iterator[str]:
    """Yield the directories so many levels below, in order; those that go meanwhile are left out."""
    if not depth:
        yield base
        return
    try:
        names = sorted(name for name in os.listdir(base) if _BYTE.fullmatch(name))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        yield from _directories(f"{base}/{name}", depth - 1)


def orphans(blobs: Path, last_tid: bytes, is_known: Callable[[bytes], bool]) -> Iterator[BlobFile]:
    """Yield the files of blobs of no record up to `last_tid`; `is_known` is asked by oid and tid."""
    for file in blob_files(blobs):
        if file.tid <= last_tid and not is_known(file.key):
            yield file

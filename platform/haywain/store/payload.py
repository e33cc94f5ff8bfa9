"""Payload: checks each state in a log by itself: it can be loaded, and its bytes are those that were written.

Historic states are checked like current ones.  A blob and its BlobChunk are written in one transaction, so a
blob is checked where its chunk is met; a blob without one is only looked for.
"""

import os
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from xxhash import xxh3_64_intdigest
from ZODB._compat import PersistentUnpickler
from ZODB.blob import LAYOUTS, Blob
from ZODB.broken import Broken
from ZODB.fsIndex import fsIndex
from ZODB.POSException import POSKeyError

from haywain.errors import CorruptDataError
from haywain.store import chunk
from haywain.store.chunk import BlobChunk, Record
from haywain.store.database import find_class
from haywain.store.log import LogRecord
from haywain.store.pickles import check_claims
from haywain.store.problem import Problem, Report

BlobPath = Callable[[bytes, bytes], str]
"""Returns the file of a blob by oid and tid; raises POSKeyError or OSError if it is not there."""


class _Chunk(NamedTuple):
    """The state of a BlobChunk, without its objects."""

    oid: bytes
    blob: bytes
    length: int
    sums: bytes


class Payload:
    """Checks the states of a log; remembers what is current, and how long each Record is."""

    def __init__(
        self,
        report: Report,
        blob_path: BlobPath,
        modules: frozenset[str] = frozenset(),
        forget_blob: Callable[[str], object] = lambda path: None,
    ) -> None:
        """Report to `report`; `modules` are those of other packages whose classes may be loaded.

        `forget_blob` is called with the file of each blob that was checked.
        """
        self._report, self._modules = report, modules
        self._blob_path, self._forget_blob = blob_path, forget_blob
        self.classes: list[type] = []
        self.kinds = fsIndex()
        """By oid the number, in `classes`, of the class of its current state."""
        self.lengths = fsIndex()
        """By oid the bytes of a Record."""
        self.blobs: set[bytes] = set()
        """oid and tid, together 16 bytes, of each blob in the log."""

    def class_of(self, oid: bytes) -> type | None:
        """Return the class of an object's current state, if that can be loaded."""
        number = self.kinds.get(oid)
        return None if number is None else self.classes[number]

    def check(self, records: Iterable[LogRecord]) -> None:
        """Check the states of one transaction, and the blobs that came with them."""
        chunks: list[_Chunk] = []
        blobs: dict[bytes, bytes] = {}
        for record in records:
            if record.data is None:
                self._forget(record.oid)
                continue
            self._report.checked["records"] += 1
            self._report.checked["record_bytes"] += len(record.data)
            cls, state = self._unpickled(record)
            if cls is Record:
                self._check_record(record, state)
            elif cls is Blob:
                blobs[record.oid] = record.tid
            elif cls is BlobChunk:
                chunks += self._chunk(record, state)
        self._check_blobs(chunks, blobs)

    def _forget(self, oid: bytes) -> None:
        for index in (self.kinds, self.lengths):
            if oid in index:
                del index[oid]

    def _unpickled(self, record: LogRecord) -> tuple[type | None, Any]:
        """Return class and state; references in it are oids.  What cannot be loaded is a problem."""
        try:
            check_claims(record.data or b"")
            unpickler = PersistentUnpickler(self._find_class, _oid, BytesIO(record.data or b""))
            found = unpickler.load()
            cls = found[0] if isinstance(found, tuple) else found
            state = unpickler.load()
            if issubclass(cls, Broken):
                raise CorruptDataError(f"there is no class {cls.__module__}.{cls.__name__}")
        except OSError:
            raise
        except Exception as error:  # a damaged pickle raises what it likes
            self._complain("record", record.oid, f"it cannot be loaded: {type(error).__name__}: {error}")
            return None, None
        self._note_class(record.oid, cls)
        return cls, state

    def _find_class(self, module: str, name: str) -> Any:  # Any: a class, or a function of the allowed ones
        return find_class(module, name, self._modules)

    def _note_class(self, oid: bytes, cls: type) -> None:
        if cls not in self.classes:
            self.classes.append(cls)
        self.kinds[oid] = self.classes.index(cls)

    def _check_record(self, record: LogRecord, state: Any) -> None:  # Any: what a pickle holds
        data = state.get("data") if isinstance(state, dict) else None
        if not isinstance(data, bytes):
            self._complain("record", record.oid, "it is a Record without bytes")
            return
        self.lengths[record.oid] = len(data)
        self._report.checked["payload_bytes"] += len(data)
        if xxh3_64_intdigest(data) != state.get("checksum"):
            self._complain("checksum", record.oid, "the bytes do not match their checksum")

    def _chunk(self, record: LogRecord, state: Any) -> list[_Chunk]:  # Any: as above
        try:
            found = _Chunk(record.oid, state["blob"], state["length"], state["sums"])
            if len(found.sums) == 8 * -(-found.length // chunk.BLOCK_SIZE) and len(found.blob) == 8:
                return [found]
        except (TypeError, KeyError):
            pass  # it is as little a chunk as one with another number of sums
        self._complain("record", record.oid, "it is a BlobChunk without what belongs to one")
        return []

    def _check_blobs(self, chunks: list[_Chunk], blobs: dict[bytes, bytes]) -> None:
        """Check the blobs of one transaction, given as oids and tids."""
        self.blobs.update(oid + tid for oid, tid in blobs.items())
        for found in chunks:
            tid = blobs.pop(found.blob, None)
            if tid is None:
                self._complain("blob", found.oid, f"its blob {found.blob.hex()} is not in its transaction")
            else:
                self._check_blob(found, tid)
        for oid, tid in blobs.items():
            self._check_blob(_Chunk(oid, oid, -1, b""), tid)

    def _check_blob(self, found: _Chunk, tid: bytes) -> None:
        name = f"blob {found.blob.hex()} of transaction {tid.hex()}"
        self._report.checked["blobs"] += 1
        try:
            path = self._blob_path(found.blob, tid)
            descriptor = os.open(path, os.O_RDONLY)
        except (OSError, POSKeyError) as error:
            self._complain("blob", found.oid, f"{name} has no file that can be read: {error}")
            return
        try:
            self._check_content(found, descriptor, name)
        finally:
            os.close(descriptor)
            self._forget_blob(path)

    def _check_content(self, found: _Chunk, descriptor: int, name: str) -> None:
        length = os.fstat(descriptor).st_size
        self._report.checked["blob_bytes"] += length
        if found.length not in (-1, length):
            self._complain("blob", found.oid, f"{name} has {length} bytes and should have {found.length}")
        for number in range(len(found.sums) // 8):
            self._check_block(found, descriptor, number)

    def _check_block(self, found: _Chunk, descriptor: int, number: int) -> None:
        low = number * chunk.BLOCK_SIZE
        high = min(low + chunk.BLOCK_SIZE, found.length)
        try:
            data = os.pread(descriptor, high - low, low)
        except OSError as error:
            self._complain("blob", found.oid, f"bytes {low} to {high} cannot be read: {error}")
            return
        self._report.checked["payload_bytes"] += len(data)
        if xxh3_64_intdigest(data) != int.from_bytes(found.sums[number * 8 : number * 8 + 8], "little"):
            detail = f"bytes {low} to {high} of blob {found.blob.hex()} do not match their checksum"
            self._complain("checksum", found.oid, detail)

    def _complain(self, kind: str, oid: bytes, detail: str) -> None:
        self._report.add(Problem(kind, detail, oid))


def file_of(blobs: Path) -> BlobPath:
    """Return where the files of blobs lie in a directory of the layout `bushy`."""
    layout = LAYOUTS["bushy"]
    return lambda oid, tid: f"{blobs}/{layout.getBlobFilePath(oid, tid)}"


def _oid(reference: Any) -> Any:  # Any: as ZODB pickles a reference
    """Return the oid of an ordinary reference."""
    return reference[0] if isinstance(reference, tuple) else reference

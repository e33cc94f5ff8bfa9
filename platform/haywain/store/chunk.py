"""The two forms in which bytes lie in the database, each with its checksums.

`Record`: up to 1 MiB in a ZODB record, written by an append and never rewritten.  `BlobChunk`: one
immutable blob, up to 64 MiB in a stream, with one xxh3-64 for each 1 MiB block.  FileStorage has no
checksums of its own.  xxh3-64: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
"""

import errno
import io
import mmap
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from persistent import Persistent
from transaction.interfaces import TransientError
from xxhash import xxh3_64, xxh3_64_intdigest
from ZODB.blob import Blob
from ZODB.Connection import Connection
from ZODB.interfaces import BlobError
from ZODB.POSException import ConnectionStateError, POSKeyError
from zodbpickle.pickle import Unpickler

from haywain.errors import CorruptDataError
from haywain.store.fsync import begin_writing
from haywain.store.pickles import check_claims
from haywain.values import MIB

BLOCK_SIZE = MIB
"""Bytes that one checksum of a blob covers."""

RECORD_SIZE = MIB
"""Most bytes of a Record."""


class Record(Persistent):  # type: ignore[misc]  # persistent has no types
    """Bytes as written by one transaction, with their xxh3-64.

    Until that commits, bytes may be added; they are joined when they are stored or read.
    """

    _v_parts: list[bytes] | None = None

    def __init__(self, data: bytes) -> None:
        """Keep the bytes and their checksum."""
        self.data = data
        self.checksum = xxh3_64_intdigest(data)

    def extend(self, data: bytes) -> None:
        """Add bytes; only in the transaction that made it."""
        if self._v_parts is None:
            self._v_parts = [self.data]
        self._v_parts.append(data)
        self._p_changed = True

    def join(self) -> None:
        """Make one of what was added."""
        if self._v_parts is not None:
            self.data, self._v_parts = b"".join(self._v_parts), None
            self.checksum = xxh3_64_intdigest(self.data)

    def __getstate__(self) -> dict[str, Any]:  # Any: what ZODB pickles
        """Return what is stored."""
        self.join()
        found: dict[str, Any] = super().__getstate__()
        return found


def checked(record: Record) -> bytes:
    """Return a record's bytes; raises CorruptDataError if they are not those that were written.

    A function, since the name of a method already loads the record, outside of any `try` of its own.
    """
    try:
        record.join()
        data: bytes = record.data
        is_intact = xxh3_64_intdigest(data) == record.checksum
    except (TransientError, ConnectionStateError):
        raise
    except Exception as error:  # a damaged pickle raises what it likes
        raise CorruptDataError(f"Record {record._p_oid.hex()} cannot be loaded: {error}") from error
    if not is_intact:
        raise CorruptDataError(f"Record {record._p_oid.hex()} does not match its checksum")
    return data


class _Look(Unpickler):  # type: ignore[misc]  # zodbpickle has no types
    """Looks into a pickle, and loads no class and no object that it names."""

    def find_class(self, module: str, name: str) -> tuple[str, str]:
        """Return the name of a class in place of the class."""
        return module, name

    def persistent_load(self, reference: object) -> None:
        """Return nothing in place of an object."""


def is_intact(pickle: bytes) -> bool:
    """Return False for the pickle of a Record that does not match its checksum.

    Whatever is not the pickle of a Record is True: it may name Records, and cannot be judged here.
    """
    look = _Look(io.BytesIO(pickle))
    try:
        check_claims(pickle, 1)
        if look.load() != (Record.__module__, Record.__name__):
            return True
    except Exception:  # a damaged pickle raises what it likes
        return True
    try:
        check_claims(pickle)
        state = look.load()
        return bool(xxh3_64_intdigest(state["data"]) == state["checksum"])
    except Exception:  # a damaged pickle raises what it likes
        return False


class BlobChunk(Persistent):  # type: ignore[misc]  # persistent has no types
    """An immutable blob: `length` bytes and one xxh3-64 for each 1 MiB block."""

    def __init__(self, blob: Blob, length: int, sums: bytes) -> None:
        """Refer to a blob; `sums` are little-endian unsigned 64-bit integers, one a block."""
        self.blob, self.length, self.sums = blob, length, sums

    @classmethod
    def link(cls, connection: Connection, path: Path) -> "BlobChunk":
        """Make the file a blob as well, by hard link; on another file system, by copy.

        The link begins in the storage's temporary directory, which is cleaned at the next start after a kill.
        The blob is added to the connection first: then its own temporary file lies there too.
        """
        length, sums = path.stat().st_size, checksums(path)
        blob = Blob()
        connection.add(blob)
        link = Path(connection.db().storage.temporaryDirectory(), f"{os.urandom(8).hex()}.link")
        try:
            _link_or_copy(path, link)
            blob.consumeFile(str(link))
        finally:
            link.unlink(missing_ok=True)
        return cls(blob, length, sums)

    @classmethod
    def write(cls, connection: Connection, pieces: Iterator[bytes | memoryview]) -> "BlobChunk":
        """Write the pieces into a new blob."""
        blob = Blob()
        connection.add(blob)
        with blob.open("w") as file:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[file.write(view) :]
            begin_writing(file.fileno())
        path = Path(blob._p_blob_uncommitted)
        return cls(blob, path.stat().st_size, checksums(path))

    @property
    def stored(self) -> int:
        """The bytes that it takes."""
        return self.length

    def view(self, start: int, stop: int) -> memoryview:
        """Return the bytes [start, stop) of the blob, mapped and not copied."""
        return mapped(self.blob, self.length, start, stop)

    def open(self, start: int = 0, stop: int | None = None) -> IO[bytes]:
        """Open the blob's file; the caller reads [start, stop) of it, which for a blob does not matter.

        Raises CorruptDataError as `opened` does.
        """
        return opened(self.blob, self.length)

    def blocks(self, start: int, stop: int) -> Iterator[memoryview]:
        """Yield [start, stop) block by block, each checked; raises CorruptDataError."""
        first = start // BLOCK_SIZE * BLOCK_SIZE
        mapped = self.view(first, min(-(-stop // BLOCK_SIZE) * BLOCK_SIZE, self.length))
        for low in range(first, stop, BLOCK_SIZE):  # mapped at once: three times as fast as each by itself
            view = mapped[low - first : low - first + BLOCK_SIZE]
            if xxh3_64_intdigest(view) != self.checksum(low // BLOCK_SIZE):
                raise CorruptDataError(
                    f"Blob {self.blob._p_oid.hex()} does not match its checksum in bytes"
                    f" {low} to {low + len(view)}"
                )
            yield view[max(start - low, 0) : stop - low]

    def checksum(self, block: int) -> int:
        """Return the checksum of a block by its number."""
        found: int = struct.unpack_from("<Q", self.sums, block * 8)[0]
        return found


def mapped(blob: Blob, length: int, start: int, stop: int) -> memoryview:
    """Return the bytes [start, stop) of a blob of `length` bytes or more, mapped; raises CorruptDataError."""
    with opened(blob, length) as file:
        if start >= stop:
            return memoryview(b"")
        first = start // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        found = mmap.mmap(file.fileno(), stop - first, access=mmap.ACCESS_READ, offset=first)
    return memoryview(found)[start - first :]


def opened(blob: Blob, length: int) -> IO[bytes]:
    """Open a blob's file through the storage, which survives that a ZEO client's cache is emptied.

    Raises CorruptDataError if it is not there or shorter than `length`: reading mapped bytes behind its end
    would be SIGBUS.
    """
    try:
        try:
            file: IO[bytes] = blob.open("c")
        except BlobError:  # it is not committed yet
            file = blob.open("r")
    except (POSKeyError, FileNotFoundError) as error:
        raise CorruptDataError(f"Blob {blob._p_oid.hex()} has no file") from error
    if os.fstat(file.fileno()).st_size < length:
        file.close()
        raise CorruptDataError(f"Blob {blob._p_oid.hex()} is shorter than {length} bytes")
    return file


def _link_or_copy(path: Path, link: Path) -> None:
    try:
        os.link(path, link)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copyfile(path, link)


def checksums(path: Path) -> bytes:
    """Return the xxh3-64 of each 1 MiB block of a file, little-endian.

    Read back in small pieces, which stay in the processor's cache: a buffer of 1 MiB would be new memory for
    each blob, and take four times as long.
    """
    sums, buffer = bytearray(), memoryview(bytearray(BLOCK_SIZE // 4))
    digest, left = xxh3_64(), BLOCK_SIZE
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer[:left]):
            digest.update(buffer[:count])
            left -= count
            if not left:
                sums += struct.pack("<Q", digest.intdigest())
                digest.reset()
                left = BLOCK_SIZE
    return bytes(sums + (struct.pack("<Q", digest.intdigest()) if left < BLOCK_SIZE else b""))

"""Chunks for a storage that keeps no blobs, and which form of chunk a storage takes.

A FileStorage without a blob directory, a storage in memory and a ZEO server on one of these have no files.
There the bytes of a chunk are Records, one for each 1 MiB block, and what reads files gets one that lives in
memory, with the bytes it asked for.  Streams and arrays cannot tell the two forms apart; only what is larger
than memory needs blobs.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from persistent import Persistent
from ZODB.interfaces import IBlobStorage

from haywain.store import chunk
from haywain.store.chunk import BlobChunk, Record, checked
from haywain.values import MIB


class RecordChunk(Persistent):  # type: ignore[misc]  # persistent has no types
    """`length` immutable bytes as Records, with the interface of a BlobChunk."""

    def __init__(self, records: tuple[Record, ...], length: int) -> None:
        """Refer to Records of one block each, of which the last may be shorter."""
        self.records, self.length = records, length

    @classmethod
    def write(cls, pieces: Iterator[bytes | memoryview]) -> "RecordChunk":
        """Keep the pieces, copied."""
        records = tuple(Record(block) for block in _in_blocks(pieces))
        return cls(records, sum(len(record.data) for record in records))

    def blocks(self, start: int, stop: int) -> Iterator[memoryview]:
        """Yield [start, stop) block by block, each checked; raises CorruptDataError."""
        for low in range(start // chunk.BLOCK_SIZE * chunk.BLOCK_SIZE, stop, chunk.BLOCK_SIZE):
            record = self.records[low // chunk.BLOCK_SIZE]
            data = memoryview(checked(record))
            record._p_deactivate()
            yield data[max(start - low, 0) : stop - low]

    def view(self, start: int, stop: int) -> memoryview:
        """Return the bytes [start, stop), checked and copied."""
        return memoryview(b"".join(self.blocks(start, stop)))

    def open(self, start: int = 0, stop: int | None = None) -> IO[bytes]:
        """Return a file in memory with the bytes [start, stop) in their places; raises CorruptDataError."""
        file, at = _file_in_memory(), start
        try:
            os.truncate(file.fileno(), self.length)
            for block in self.blocks(start, self.length if stop is None else stop):
                at += os.pwrite(file.fileno(), block, at)
        except BaseException:
            file.close()
            raise
        return file

    def checksum(self, block: int) -> int:
        """Return the checksum of a block by its number."""
        return int(self.records[block].checksum)


Chunk = BlobChunk | RecordChunk


def write_chunk(connection: Any, pieces: Iterator[bytes | memoryview]) -> Chunk:  # Any: a ZODB Connection
    """Store the pieces in the form that the connection's storage takes."""
    return BlobChunk.write(connection, pieces) if keeps_blobs(connection) else RecordChunk.write(pieces)


def link_chunk(connection: Any, path: Path) -> Chunk:  # Any: as above
    """Store a file that does not change any more: by link where there are blobs, else by copy."""
    if keeps_blobs(connection):
        return BlobChunk.link(connection, path)
    with open(path, "rb", buffering=0) as file:
        return RecordChunk.write(iter(lambda: file.read(MIB), b""))


def keeps_blobs(connection: Any) -> bool:  # Any: as above
    """Return whether the storage of a connection keeps files."""
    return bool(IBlobStorage.providedBy(connection.db().storage))


def _in_blocks(pieces: Iterator[bytes | memoryview]) -> Iterator[bytes]:
    """Yield the bytes of the pieces anew, in whole blocks but for the last."""
    kept = bytearray()
    for piece in pieces:
        left = memoryview(piece).cast("B")
        while left:
            taken = left[: chunk.BLOCK_SIZE - len(kept)]
            kept += taken
            left = left[len(taken) :]
            if len(kept) == chunk.BLOCK_SIZE:
                yield bytes(kept)
                kept.clear()
    if kept:
        yield bytes(kept)


def _file_in_memory() -> IO[bytes]:
    """Return an empty file that has no name; in memory, where the system knows that."""
    if not hasattr(os, "memfd_create"):
        return cast(IO[bytes], tempfile.TemporaryFile(buffering=0))
    return open(os.memfd_create("haywain-chunk", os.MFD_CLOEXEC), "w+b", buffering=0)

"""CompressedChunk: the bytes of a cold segment, in a blob of blocks compressed one by one.

Each 1 MiB block is one frame of Zstandard (RFC 8878), or lies there as it is where that is no smaller; `ends`
says where each block ends, so that a read of a few bytes unpacks one block.  Checksums are of the plain
bytes: the same as those of the segment that it was made of.
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import zstandard
from persistent import Persistent
from xxhash import xxh3_64_intdigest
from ZODB.blob import Blob
from ZODB.Connection import Connection

from haywain.errors import CorruptDataError
from haywain.store import chunk
from haywain.store.chunk import mapped

LEVEL = 6
"""Of Zstandard: cold bytes are written once."""

LEAST_SAVED = 16
"""What does not become smaller by a sixteenth is left as it is: it would be read more slowly for nothing."""

SAMPLES = 4
"""Blocks of a segment that tell whether it is worth compressing."""


class CompressedChunk(Persistent):  # type: ignore[misc]  # persistent has no types
    """An immutable blob that holds `length` bytes in compressed blocks; read like a BlobChunk."""

    codec = "zstd"

    def __init__(self, blob: Blob, length: int, sums: bytes, ends: bytes) -> None:
        """Refer to a blob; `sums` and `ends` are little-endian unsigned 64-bit integers, one a block."""
        self.blob, self.length, self.sums, self.ends = blob, length, sums, ends

    @classmethod
    def write(cls, connection: Connection, blocks: Iterable[bytes | memoryview]) -> "CompressedChunk":
        """Compress blocks of 1 MiB, of which only the last may be shorter, into a new blob."""
        blob, compressor = Blob(), zstandard.ZstdCompressor(LEVEL)
        connection.add(blob)
        length, end, sums, ends = 0, 0, bytearray(), bytearray()
        with blob.open("w") as file:
            for block in blocks:
                packed: bytes | memoryview = compressor.compress(block)
                if len(packed) >= len(block):
                    packed = block
                file.write(packed)
                length, end = length + len(block), end + len(packed)
                sums += struct.pack("<Q", xxh3_64_intdigest(block))
                ends += struct.pack("<Q", end)
        if Path(blob._p_blob_uncommitted).stat().st_size != end:
            raise OSError("A compressed segment was written in part only")
        return cls(blob, length, bytes(sums), bytes(ends))

    @property
    def stored(self) -> int:
        """The bytes that it takes."""
        return self._end(len(self.ends) // 8 - 1)

    def view(self, start: int, stop: int) -> memoryview:
        """Return the bytes [start, stop), unpacked; raises CorruptDataError."""
        return memoryview(b"".join(self.blocks(start, stop)))

    def blocks(self, start: int, stop: int) -> Iterator[memoryview]:
        """Yield [start, stop) block by block, each unpacked and checked; raises CorruptDataError."""
        first, last = start // chunk.BLOCK_SIZE, -(-stop // chunk.BLOCK_SIZE)
        begin, end = self._end(first - 1), self._end(last - 1)
        if not begin <= end <= self.stored:  # mapped bytes behind the file's end would be SIGBUS
            raise CorruptDataError(f"The index of the blocks of blob {self.blob._p_oid.hex()} is damaged")
        packed = mapped(self.blob, self.stored, begin, end)
        for number in range(first, last):
            low = number * chunk.BLOCK_SIZE
            length = min(chunk.BLOCK_SIZE, self.length - low)
            block = _unpacked(packed[self._end(number - 1) - begin : self._end(number) - begin], length)
            if block is None or xxh3_64_intdigest(block) != self.checksum(number):
                raise CorruptDataError(
                    f"Blob {self.blob._p_oid.hex()} does not match its checksum in bytes"
                    f" {low} to {low + length} of what it holds compressed"
                )
            yield block[max(start - low, 0) : stop - low]

    def checksum(self, block: int) -> int:
        """Return the checksum of a block by its number."""
        found: int = struct.unpack_from("<Q", self.sums, block * 8)[0]
        return found

    def _end(self, block: int) -> int:
        found: int = struct.unpack_from("<Q", self.ends, block * 8)[0] if block >= 0 else 0
        return found


def is_worth_it(segment: "chunk.BlobChunk") -> bool:
    """Return whether samples of a segment become smaller; raises CorruptDataError."""
    compressor, count = zstandard.ZstdCompressor(LEVEL), -(-segment.length // chunk.BLOCK_SIZE)
    plain = packed = 0
    for number in range(0, count, max(count // SAMPLES, 1)):
        low = number * chunk.BLOCK_SIZE
        for block in segment.blocks(low, min(low + chunk.BLOCK_SIZE, segment.length)):
            plain, packed = plain + len(block), packed + min(len(compressor.compress(block)), len(block))
    return packed * LEAST_SAVED <= plain * (LEAST_SAVED - 1)


def _unpacked(packed: memoryview, length: int) -> memoryview | None:
    """Return a block; None if it is damaged."""
    if len(packed) == length:
        return packed
    try:
        if zstandard.frame_content_size(packed) != length:  # so much it would allocate
            return None
        return memoryview(zstandard.ZstdDecompressor().decompress(packed))
    except zstandard.ZstdError:
        return None

"""Whether a file still holds the bytes that were read: the last of them bear witness.

Neither a name nor an inode says so: a log is renamed, truncated and written anew beyond where one was, and
inodes are given out again.
"""

import os
from typing import NamedTuple
from zlib import crc32

WITNESS_BYTES = 256


class Witness(NamedTuple):
    """An offset in a file, and the checksum of the (at most 256) bytes before it."""

    offset: int
    crc: int = 0

    @property
    def start(self) -> int:
        """Return where the bytes that bear witness begin."""
        return max(0, self.offset - WITNESS_BYTES)

    def holds_for(self, before: bytes) -> bool:
        """Return whether these are the bytes that stood before the offset."""
        return len(before) == self.offset - self.start and crc32(before) == self.crc

    def holds_in(self, descriptor: int) -> bool:
        """Return whether an open file holds them."""
        return self.holds_for(os.pread(descriptor, self.offset - self.start, self.start))

    def after(self, descriptor: int, data: bytes) -> "Witness":
        """Return that behind `data`, which was read at the offset."""
        offset = self.offset + len(data)
        if len(data) >= WITNESS_BYTES:
            return Witness(offset, crc32(data[-WITNESS_BYTES:]))
        start = max(0, offset - WITNESS_BYTES)
        before = os.pread(descriptor, self.offset - start, start)
        return Witness(offset, crc32(before + data))


def behind(offset: int, before: bytes) -> Witness:
    """Return a witness at an offset behind these bytes, of which the last count."""
    return Witness(offset, crc32(before[-WITNESS_BYTES:]))

"""A stream as a file: `scipy.io.wavfile.read`, `wave`, `pandas` and `zipfile` work on it with flat memory."""

import errno
import io
import os
from collections.abc import Iterator
from typing import Protocol


class ReadableBytes(Protocol):
    """What a StreamReader reads."""

    @property
    def size(self) -> int:
        """The number of bytes."""

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """Yield the bytes [start, stop)."""


class StreamReader(io.RawIOBase):
    """Seekable raw file over the bytes that a stream has when the reader is made."""

    def __init__(self, stream: ReadableBytes) -> None:
        """Read from the first byte on; what is appended later is not seen."""
        self._stream, self._size, self._position = stream, stream.size, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, also behind the end; raises OSError, as files do, before the first byte."""
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}
        if whence not in bases:
            raise ValueError(f"whence is 0, 1 or 2, not {whence}")
        base = bases[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, f"there is no position {base + offset}")
        self._position = base + offset
        return self._position

    def readall(self) -> bytes:
        """Return the bytes from the position to the end; the default reads and checks 8 KiB at a time."""
        found = b"".join(self._stream.chunks(self._position, max(self._position, self._size)))
        self._position += len(found)
        return found

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]  # writable buffers
        """Fill the buffer as far as the bytes go; return how many were read."""
        target, filled = memoryview(buffer).cast("B"), 0
        stop = min(self._position + len(target), self._size)
        if self._position < stop:
            for piece in self._stream.chunks(self._position, stop):
                target[filled : filled + len(piece)] = piece
                filled += len(piece)
        self._position += filled
        return filled

"""A stream as a file: `scipy.io.wavfile.read`, `wave`, `pandas` and `zipfile` work on it with flat memory."""

import io
import os
from collections.abc import Iterator
from typing import Protocol

from haywain.errors import InvalidError


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
        """Move to a position, also behind the end; raises InvalidError before the first byte."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise InvalidError(f"There is no position {base + offset}")
        self._position = base + offset
        return self._position

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

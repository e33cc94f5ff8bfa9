"""Bytes in a folder of piece files, each of which can become a Segment without a copy."""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from io import FileIO
from itertools import count
from pathlib import Path

from haywain.store.fsync import fsync_path
from haywain.store.stream import GENERATION_SIZE
from haywain.values import MIB

PIECE_SIZE = GENERATION_SIZE
"""Most bytes of a piece file."""

_PIECE = re.compile(r"[0-9]{6,}")


class Pieces:
    """Bytes in a folder of piece files; used by one thread at a time."""

    def __init__(self, path: Path, piece_size: int = PIECE_SIZE) -> None:
        """Name the folder, which exists."""
        self.path, self.piece_size = path, piece_size
        self._file: FileIO | None = None
        self._end = 0

    @property
    def size(self) -> int:
        """The number of bytes: of the files in sequence, up to the first that is not full."""
        if self._file is not None:
            return self._end
        return sum(length for _, length in self._sequence())

    def paths(self) -> list[Path]:
        """Return the files in order, none of them empty."""
        return [path for path, length in self._sequence() if length]

    def append(self, data: bytes) -> None:
        """Write bytes through to the files; raises OSError, then the bytes written so far stay."""
        left = memoryview(data)
        while left:
            file = self._tail()
            written = file.write(left[: self.piece_size - self._end % self.piece_size])
            self._end += written
            left = left[written:]

    def close(self) -> None:
        """Close the file that is open; an append opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def truncate(self, size: int) -> None:
        """Keep the first `size` bytes and no other file of the sequence."""
        if size > self.size:
            raise ValueError(f"{self.path.name} has {self.size} bytes, fewer than {size}")
        self.close()
        full, rest = divmod(size, self.piece_size)
        for path in self.path.iterdir():
            if not _PIECE.fullmatch(path.name):
                continue
            if int(path.name) > full or (int(path.name) == full and not rest):
                path.unlink()
            elif int(path.name) == full:
                os.truncate(path, rest)

    def chunks(self, chunk_size: int = MIB) -> Iterator[bytes]:
        """Yield the bytes, at most `chunk_size` at a time."""
        for path in self.paths():
            with open(path, "rb", buffering=0) as file:
                while data := file.read(chunk_size):
                    yield data

    def fsync(self) -> None:
        """Flush files and folder to the disk; raises OSError, then nothing may be taken for stored."""
        self.close()
        for path in self.paths():
            fsync_path(path)
        fsync_path(self.path)

    def discard(self) -> None:
        """Remove the folder; it is gone at once, its files soon after."""
        self.close()
        gone = self.path.with_name(f"gone-{secrets.token_hex(8)}")
        try:
            self.path.rename(gone)
        except FileNotFoundError:
            return
        shutil.rmtree(gone, ignore_errors=True)

    def _sequence(self) -> Iterator[tuple[Path, int]]:
        """Yield files and sizes; a file that is not full ends them, as after a power cut."""
        for number in count():
            path = self.path / f"{number:06d}"
            try:
                length = path.stat().st_size
            except FileNotFoundError:
                return
            yield path, length
            if length < self.piece_size:
                return

    def _tail(self) -> FileIO:
        """Return the file that takes the next byte."""
        if self._file is None:
            self._end = self.size
            self.truncate(self._end)
        elif self._end % self.piece_size:
            return self._file
        self.close()
        self._file = FileIO(self.path / f"{self._end // self.piece_size:06d}", "ab")
        return self._file

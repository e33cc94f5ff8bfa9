"""The files of a spool: segments, each opened with all positions there were, the last one written to.

A segment comes into being as a whole, under another name, so only frames behind its opening can be torn.
Since each begins with the positions of all sources, the older ones can go once their frames are
acknowledged.
"""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from haywain.agent import frame as frames
from haywain.agent.frame import Frame, Stream
from haywain.errors import CorruptDataError
from haywain.store.fsync import fsync_path, write_durably

log = logging.getLogger(__name__)

MAGIC = b"haywain spool 1\n"
LEAST_COUNTED_BYTES = 1024
"""What a small frame counts for at least, so that the bound of the spool also bounds how many there are."""

Positions = dict[str, dict[str, Any]]
"""The position of each item of each source; Any: what the source makes of it."""

_NOBODY = Stream("", "")


def _write_whole(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def counted(length: int) -> int:
    """Return what a frame counts for."""
    return max(length, LEAST_COUNTED_BYTES)


@dataclass
class Segment:
    """One file; `size` is where its next frame goes, `pending` how many of its frames are unacknowledged."""

    path: Path
    number: int
    epoch: int
    size: int
    pending: int = 0
    counted: int = 0
    descriptor: int = field(default=-1, repr=False)

    def write(self, parts: Sequence[bytes]) -> None:
        """Append frames, each head before its payload, durably; raises OSError, and then none is there."""
        try:
            for part in parts:
                _write_whole(self.descriptor, part)
            os.fdatasync(self.descriptor)
        except OSError:
            os.ftruncate(self.descriptor, self.size)
            os.lseek(self.descriptor, self.size, os.SEEK_SET)
            raise
        self.size += sum(map(len, parts))

    def read(self, offset: int) -> tuple[Frame, int]:
        """Return the frame at an offset, and its length; raises CorruptDataError."""
        with self.path.open("rb") as file:
            file.seek(offset)
            found = frames.read(file)
        if found is None:
            raise CorruptDataError(f"The spool is damaged: no frame at {offset} in {self.path}")
        return found

    def frames(self) -> Iterator[tuple[int, int, Frame]]:
        """Yield offset, length and frame of all that are whole, behind the opening."""
        with self.path.open("rb") as file:
            file.seek(len(MAGIC))
            if frames.read(file) is not None:
                yield from frames.scan(file)

    def close(self) -> None:
        """Write to it no more."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def path_of(folder: Path, number: int) -> Path:
    """Return where a segment lies."""
    return folder / f"{number:08d}.segment"


def create(folder: Path, number: int, epoch: int, positions: Positions) -> Segment:
    """Make a segment that opens with these positions, durably; raises OSError."""
    opening = Frame(epoch, 0, "", _NOBODY, msgspec.msgpack.encode(positions))
    data = MAGIC + frames.encode(opening) + opening.payload
    path = path_of(folder, number)
    beside = path.with_suffix(".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        os.fsync(descriptor)
        beside.rename(path)
        fsync_path(folder)
    except OSError:
        os.close(descriptor)
        beside.unlink(missing_ok=True)
        raise
    return Segment(path, number, epoch, len(data), descriptor=descriptor)


def load(path: Path) -> tuple[Segment, Positions]:
    """Return a segment that is there, and the positions that it opens with; raises CorruptDataError."""
    with path.open("rb") as file:
        opening = frames.read(file) if file.read(len(MAGIC)) == MAGIC else None
    if opening is None:
        raise CorruptDataError(f"The spool is damaged: {path} has no opening")
    frame, length = opening
    positions = msgspec.msgpack.decode(frame.payload, type=dict[str, dict[str, Any]])
    return Segment(path, int(path.stem), frame.epoch, len(MAGIC) + length), positions


def found(folder: Path) -> list[Path]:
    """Return the segments of a folder in order; what was left half made is removed."""
    for half in folder.glob("*.new"):
        half.unlink()
    return sorted(folder.glob("*.segment"))


def mend(segment: Segment, is_last: bool) -> None:
    """Cut off what is behind the last whole frame: torn in the last segment, damage in another."""
    surplus = segment.path.stat().st_size - segment.size
    if not surplus:
        return
    if is_last:
        log.info("The spool ends in %d bytes of a write that was not finished; they are cut off", surplus)
    else:
        kept = keep_damaged(segment.path)
        log.error("The last %d bytes of %s are damaged and kept as %s", surplus, segment.path, kept)
        write_durably(segment.path, kept.read_bytes()[: segment.size], 0o600)
    os.truncate(segment.path, segment.size)
    fsync_path(segment.path)


def keep_damaged(path: Path) -> Path:
    """Keep a segment for people to look at, under another name, which is returned."""
    damaged = path.with_name("damaged")
    damaged.mkdir(exist_ok=True, mode=0o700)
    kept = damaged / f"{path.name}-{time.time_ns()}"
    os.link(path, kept)
    return kept

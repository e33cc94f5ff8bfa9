"""What was acknowledged, and where numbers begin anew: a small log beside the segments.

A mark lost to a power cut costs nothing but a request that is answered `duplicate`, so marks are flushed
only where that does not hold: before a stream goes on to a later epoch (an older one is then refused), and
before a segment is deleted.  Of the marks of a stream the last one counts: one that goes back says that
frames are sent again.
"""

import errno
import os
from pathlib import Path
from struct import Struct
from threading import Lock
from typing import NamedTuple
from zlib import crc32

import msgspec

from haywain.agent.frame import Frame, Stream
from haywain.store.fsync import write_durably
from haywain.values import MIB

COMPACTED_FROM_BYTES = MIB
_HEAD = Struct(">II")


class _Mark(msgspec.Struct, array_like=True, tag="acknowledged"):
    stream: tuple[str, str]
    epoch: int
    seq: int
    segment: int


class _Begin(msgspec.Struct, array_like=True, tag="begin"):
    stream: tuple[str, str]
    epoch: int
    seq: int
    under: int


class _Again(msgspec.Struct, array_like=True, tag="again"):
    stream: tuple[str, str]
    epoch: int
    seq: int


class Number(NamedTuple):
    """The numbers under which a frame is sent; they differ from its own where a gap made them begin anew."""

    epoch: int
    seq: int


_Entry = _Mark | _Begin | _Again
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Entry)


class Marks:
    """The log, read at start and appended to; threads may share it."""

    def __init__(self, path: Path) -> None:
        """Read the log, up to where it is torn."""
        self._path = path
        self._lock = Lock()
        self._marks: dict[Stream, _Mark] = {}
        self._begins: dict[Stream, list[_Begin]] = {}
        self._agains: dict[Stream, _Again] = {}
        size = self._load(path.read_bytes() if path.exists() else b"")
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._descriptor, size)
        os.lseek(self._descriptor, size, os.SEEK_SET)
        self._size, self._is_dirty = size, False
        self._waiting, self._is_closed = bytearray(), False

    def acknowledged(self, stream: Stream) -> tuple[int, int]:
        """Return the `order` of the last frame of a stream that needs not be sent any more."""
        mark = self._marks.get(stream)
        return (mark.epoch, mark.seq) if mark is not None else (0, -1)

    def number(self, frame: Frame) -> Number:
        """Return the numbers under which a frame is sent."""
        return self._number(frame.stream, frame.epoch, frame.seq)

    def previous(self, frame: Frame, first_segment: int) -> Number | None:
        """Return the numbers of the last acknowledged frame of the stream, where this one begins an epoch.

        None if they were for another account (before `first_segment`), and if that frame was set aside or
        lost: the portal does not have it.
        """
        mark = self._marks.get(frame.stream)
        if frame.seq or self.number(frame).epoch != frame.epoch or mark is None or mark.seq < 0:
            return None
        is_other = mark.segment < first_segment or self._is_over(frame.stream, mark.epoch, mark.seq)
        return None if is_other else self._number(frame.stream, mark.epoch, mark.seq)

    def is_again(self, frame: Frame) -> bool:
        """Return whether a frame was acknowledged once, and is sent again."""
        again = self._agains.get(frame.stream)
        return again is not None and frame.order < (again.epoch, again.seq)

    def is_over(self, frame: Frame) -> bool:
        """Return whether the epoch of an acknowledged frame is over: those behind it have another one."""
        return self._is_over(frame.stream, frame.epoch, frame.seq)

    @property
    def last_epoch(self) -> int:
        """Return the largest epoch that a gap made begin; 0 if there is none."""
        return max((begin.under for begins in self._begins.values() for begin in begins), default=0)

    def acknowledge(self, frame: Frame, segment: int) -> None:
        """Note that a frame needs not be sent any more; `segment` is where it lies."""
        self._append(_Mark(frame.stream, frame.epoch, frame.seq, segment))

    def go_back(self, stream: Stream, order: tuple[int, int], segment: int) -> None:
        """Note that the frames of a stream from `order` on are to be sent (again): flush before they are."""
        epoch, seq = order
        self._append(_Mark(stream, epoch, seq - 1, segment))

    def send_again(self, stream: Stream, before: tuple[int, int]) -> None:
        """Note that the frames of a stream before an `order` were acknowledged once.

        Flush before one of them is sent.
        """
        again = self._agains.get(stream)
        if again is None or (again.epoch, again.seq) < before:
            self._append(_Again(stream, *before))

    def begin(self, stream: Stream, order: tuple[int, int], under: int) -> None:
        """Note that from `order` on a stream's frames of that epoch count from 0 under another one.

        Flush before one of them is sent.
        """
        epoch, seq = order
        self._append(_Begin(stream, epoch, seq, under))

    def flush(self) -> None:
        """Make durable what was noted; raises OSError, and then has it still to do."""
        with self._lock:
            if self._waiting and not self._is_closed:
                self._write()
            if self._is_dirty:
                os.fdatasync(self._descriptor)
                self._is_dirty = False

    def compact(self, oldest_segment: int, oldest_epoch: int) -> None:
        """Write the log anew, if it is long, without what no frame that is still there needs."""
        with self._lock:
            if self._size < COMPACTED_FROM_BYTES:
                return
            self._marks = {s: mark for s, mark in self._marks.items() if mark.segment >= oldest_segment}
            self._begins = {
                stream: kept
                for stream, begins in self._begins.items()
                if (kept := [begin for begin in begins if begin.epoch >= oldest_epoch])
            }
            self._agains = {s: again for s, again in self._agains.items() if again.epoch >= oldest_epoch}
            entries: list[_Entry] = [*self._marks.values(), *self._agains.values()]
            entries += [begin for begins in self._begins.values() for begin in begins]
            data = b"".join(map(_packed, entries))
            write_durably(self._path, data, 0o600)
            os.close(self._descriptor)
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            self._size, self._is_dirty = len(data), False
            self._waiting.clear()

    def close(self) -> None:
        """Close the log; what was noted since the last flush is known to the portal alone."""
        with self._lock:
            self._is_closed = True
            os.close(self._descriptor)

    def _number(self, stream: Stream, epoch: int, seq: int) -> Number:
        for begin in reversed(self._begins.get(stream, [])):
            if begin.epoch == epoch and begin.seq <= seq:
                return Number(begin.under, seq - begin.seq)
        return Number(epoch, seq)

    def _is_over(self, stream: Stream, epoch: int, seq: int) -> bool:
        return any(begin.epoch == epoch and begin.seq > seq for begin in self._begins.get(stream, []))

    def _append(self, entry: _Entry) -> None:
        with self._lock:
            self._apply(entry)
            self._waiting += _packed(entry)

    def _write(self) -> None:
        try:
            written = os.write(self._descriptor, self._waiting)
            if written < len(self._waiting):
                raise OSError(errno.ENOSPC, "No room for the marks of the spool")
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            os.lseek(self._descriptor, self._size, os.SEEK_SET)
            raise
        self._size += written
        self._waiting.clear()
        self._is_dirty = True

    def _apply(self, entry: _Entry) -> None:
        stream = Stream(*entry.stream)
        if isinstance(entry, _Mark):
            self._marks[stream] = entry
        elif isinstance(entry, _Again):
            self._agains[stream] = entry
        else:
            self._begins.setdefault(stream, []).append(entry)

    def _load(self, data: bytes) -> int:
        """Apply what is whole; return where that ends."""
        at = 0
        while at + _HEAD.size <= len(data):
            length, crc = _HEAD.unpack_from(data, at)
            packed = data[at + _HEAD.size : at + _HEAD.size + length]
            if len(packed) != length or crc32(packed) != crc:
                break
            self._apply(_decoder.decode(packed))
            at += _HEAD.size + length
        return at


def _packed(entry: _Entry) -> bytes:
    data = _encoder.encode(entry)
    return _HEAD.pack(len(data), crc32(data)) + data

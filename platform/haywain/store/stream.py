"""Stream: endless bytes that are appended to, sealed and read at the same time.

    Stream ── generations: LOBTree start -> Generation          changes its own record only on replace
              Generation ── records: LOBTree offset -> Record   until sealed
                         └─ chunk: BlobChunk                    once sealed (a Segment)
                         └─ minutes: LLBTree minute -> offset   sparse index by time

A Generation holds at most 64 MiB.  Only the last one is appended to; an append that finds it full closes
it and starts the next.  A seal packs a *closed* generation into one blob and touches nothing that an append
writes: 0 conflicts in 957 appends and 62 seals.  With one flat tree of chunks, a seal that commits first
made every append in flight fail.
"""

import io
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from BTrees.LLBTree import LLBTree
from BTrees.LOBTree import LOBTree
from persistent import Persistent

from haywain import clock
from haywain.errors import CorruptDataError, InvalidError
from haywain.store.chunk import RECORD_SIZE, Record, checked
from haywain.store.database import read_current
from haywain.store.reader import StreamReader
from haywain.store.record_chunk import Chunk, link_chunk, write_chunk
from haywain.values import MIB, Offset

GENERATION_SIZE = 64 * MIB
"""Most bytes of a Generation, and so of a Segment."""


@dataclass
class _Last:
    """The Record at the end, which may be added to as long as the transaction lasts that made it."""

    record: Record
    length: int
    transaction: Callable[[], object] | None

    def is_open_in(self, generation: "Generation") -> bool:
        """Return whether this transaction made it; a ghost cannot tell by its serial."""
        now = _transaction_of(generation)
        if self.transaction is None or now is None:
            return self.transaction is now and self.record._p_jar is None
        return self.transaction() is now()


def _transaction_of(obj: Persistent) -> Callable[[], object] | None:
    """Return a weak reference to the transaction of an object, None if it is in no database yet."""
    return weakref.ref(obj._p_jar.transaction_manager.get()) if obj._p_jar is not None else None


class Generation(Persistent):  # type: ignore[misc]  # persistent has no types
    """The bytes [start, start + size) of a stream: Records, or one sealed Segment."""

    size = 0
    closed = False
    chunk: Chunk | None = None
    modified = 0.0
    _v_last: "_Last | None" = None

    def __init__(self, start: int) -> None:
        """Begin empty at an offset."""
        self.start = start
        self.records = LOBTree()
        self.minutes = LLBTree()

    @property
    def stop(self) -> int:
        """The offset after the last byte."""
        return self.start + self.size

    def add(self, data: bytes | memoryview, now_s: float) -> None:
        """Append at most what is left of 64 MiB, as Records; small ones of one transaction share one."""
        self._note_time(now_s)
        for position in range(0, len(data), RECORD_SIZE):
            piece = bytes(data[position : position + RECORD_SIZE])
            last = self._v_last
            if last is not None and last.is_open_in(self) and last.length + len(piece) <= RECORD_SIZE:
                last.record.extend(piece)
                last.length += len(piece)
            else:
                self._v_last = last = _Last(Record(piece), len(piece), _transaction_of(self))
                self.records[self.stop] = last.record
            self.size += len(piece)

    def fill(self, chunk: Chunk, now_s: float) -> None:
        """Become a sealed generation of this chunk's bytes."""
        self._note_time(now_s)
        self.size, self.chunk, self.closed = chunk.length, chunk, True

    def pieces(self, low: int, high: int) -> Iterator[memoryview]:
        """Yield the bytes [low, high) of the stream that lie here, each piece checked."""
        while low < high:
            if self.chunk is not None:  # perhaps since the last piece
                yield from self.chunk.blocks(low - self.start, high - self.start)
                return
            offset, data = self._record_at(low)
            yield data[low - offset : high - offset]
            low = offset + len(data)

    def _record_at(self, low: int) -> tuple[int, memoryview]:
        """Return the offset and the bytes of the Record that holds the offset `low`."""
        lacking = f"The stream lacks bytes from offset {low} on"
        try:
            offset = self.records.maxKey(low)
        except ValueError as error:  # no Record begins so early
            raise CorruptDataError(lacking) from error
        record = self.records[offset]
        try:
            data = memoryview(checked(record))
        except CorruptDataError as error:
            raise CorruptDataError(f"{error}; it begins at offset {offset} of the stream") from error
        if offset + len(data) <= low:
            raise CorruptDataError(lacking)
        record._p_deactivate()
        return offset, data

    def _note_time(self, now_s: float) -> None:
        minute = int(now_s // 60)
        if not self.minutes or minute > self.minutes.maxKey():
            self.minutes[minute] = self.stop
        self.modified = now_s


@dataclass(frozen=True)
class Snapshot:
    """The bytes of a stream at one moment; a replace, an append or a seal does not disturb who reads it."""

    generations: LOBTree
    size: int

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """Yield the bytes [start, stop); raises InvalidError for a negative offset."""
        if start < 0 or (stop is not None and stop < 0):
            raise InvalidError("An offset is 0 or more")
        return self._chunks(start, self.size if stop is None else min(stop, self.size))

    def _chunks(self, start: int, stop: int) -> Iterator[memoryview]:
        # Step by key: an iterator of a BTree breaks where the tree changes under it.
        while start < stop:
            generation = self.generations[self.generations.maxKey(start)]
            end = min(stop, generation.stop)
            if end <= start:
                raise CorruptDataError(f"The stream lacks bytes from offset {start} on")
            yield from generation.pieces(start, end)
            start = end


class Stream(Persistent):  # type: ignore[misc]  # persistent has no types
    """Append, replace, read and seal bytes; offsets are in bytes and half-open."""

    def __init__(self) -> None:
        """Begin empty."""
        self._start_over()

    def _start_over(self) -> None:
        self.generations = LOBTree()
        self.generations[0] = Generation(0)

    @property
    def last(self) -> Generation:
        """The generation that is appended to."""
        return cast(Generation, self.generations[self.generations.maxKey()])

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.last.stop

    @property
    def modified(self) -> float:
        """When the last bytes came, in seconds since 1970 UTC; 0 if none did."""
        last = self.last
        if last.size or last.start == 0:
            return last.modified
        return float(self.generations[self.generations.maxKey(last.start - 1)].modified)

    def append(self, data: bytes | memoryview) -> Offset:
        """Add bytes at the end; return the offset of the first of them."""
        self._guard()
        offset, now_s, left = self.size, clock.now_s(), memoryview(data)
        while left:
            generation = self._open_generation()
            room = GENERATION_SIZE - generation.size
            generation.add(left[:room], now_s)
            left = left[room:]
        return Offset(offset)

    def append_files(self, paths: Iterable[Path]) -> Offset:
        """Make each file a sealed Segment at the end, by link and rename where it lies beside the blobs.

        The files stay until the caller removes them, so that a transaction can be tried again; they must
        not change any more.  Each is at most 64 MiB.  Returns the offset of the first byte.
        """
        self._guard()
        offset, now_s = self.size, clock.now_s()
        for path in paths:
            if not 0 < path.stat().st_size <= GENERATION_SIZE:
                raise InvalidError(f"A segment has 1 to {GENERATION_SIZE} bytes, {path.name} has not")
            generation = self._empty_generation()
            generation.fill(link_chunk(self._p_jar, path), now_s)
            self._begin_generation(generation.stop)
        return Offset(offset)

    def replace(self) -> None:
        """Start over empty, in a new tree: readers of the old one finish undisturbed."""
        self._guard()
        self._start_over()

    def hold(self) -> None:
        """Conflict with whoever appends to, closes or replaces these bytes before this transaction commits.

        A replace alone conflicts with no append: the one that commits first is overtaken.
        """
        self._guard()
        read_current(self.last)

    def close_tail(self) -> None:
        """Close the last generation, so that a tail at rest can be sealed; a write of the append kind."""
        self._guard()
        if self.last.size:
            self._close(self.last)

    def unsealed(self) -> list[int]:
        """Return the starts of the generations that can be sealed."""
        return [start for start, g in self.generations.items() if g.closed and g.chunk is None]

    def seal(self, start: int) -> bool:
        """Pack the closed generation that starts there into one blob; return whether there was one."""
        self._guard()
        generation = self.generations.get(start)
        if generation is None or not generation.closed or generation.chunk is not None:
            return False
        generation.chunk = write_chunk(self._p_jar, generation.pieces(generation.start, generation.stop))
        generation.records = LOBTree()  # the records become garbage for the pack
        return True

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """Yield the bytes [start, stop) in pieces of at most 1 MiB, out of mapped segments without a copy.

        Raises InvalidError for a negative offset, CorruptDataError where bytes do not match their checksum.
        """
        return self._snapshot().chunks(start, stop)

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes [start, stop), or fewer where the stream ends."""
        return b"".join(self.chunks(start, stop))

    def open(self) -> io.BufferedReader:
        """Return a seekable, buffered file over the bytes as they are now."""
        return io.BufferedReader(StreamReader(self._snapshot()), buffer_size=RECORD_SIZE)

    def at_time(self, moment_s: float) -> Offset:
        """Return the offset of the first byte received in or after the minute of a moment.

        Where the clock was set back in between, that of one of the moments it stands for.
        """
        minute, low, high = int(moment_s // 60), 0, self.size
        while low < high:  # the first Generation with such a minute starts in [low, high]
            generation = self._holding((low + high) // 2)
            if generation.minutes.maxKey() < minute:
                low = generation.stop
            else:
                high = generation.start
        return Offset(next(iter(self._holding(low).minutes.values(minute)), self.size))

    def _guard(self) -> None:
        """Conflict with a replace that commits meanwhile: else these bytes land in the old tree."""
        read_current(self)

    def _holding(self, offset: int) -> Generation:
        return cast(Generation, self.generations[self.generations.maxKey(offset)])

    def _open_generation(self) -> Generation:
        last = self.last
        return last if last.size < GENERATION_SIZE else self._close(last)

    def _empty_generation(self) -> Generation:
        last = self.last
        return self._close(last) if last.size else last

    def _close(self, generation: Generation) -> Generation:
        generation.closed = True  # a fact that the seal reads; written only here
        return self._begin_generation(generation.stop)

    def _begin_generation(self, start: int) -> Generation:
        generation = self.generations[start] = Generation(start)
        return generation

    def _snapshot(self) -> Snapshot:
        return Snapshot(self.generations, self.size)

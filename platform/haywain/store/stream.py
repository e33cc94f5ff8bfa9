"""Stream: endless bytes that are appended to, sealed and read at the same time.

    Stream ── generations: LOBTree start -> Generation          changes its own record only where bytes go:
              Generation ── records: RecordTree offset -> Record     replace, truncate, expire
                         └─ chunk: BlobChunk                    once sealed (a Segment); when it is cold
                                   CompressedChunk                perhaps compressed
                         └─ minutes: LLBTree minute -> offset   sparse index by time

A Generation holds at most 64 MiB.  Only the last one is appended to; an append that finds it full closes
it and starts the next.  A seal packs a *closed* generation into one blob and touches nothing that an append
writes: 0 conflicts in 957 appends and 62 seals.  With one flat tree of chunks, a seal that commits first
made every append in flight fail.

Whatever forgets bytes writes the Stream's record, and whatever adds bytes or packs them reads it as current:
so of two such the second conflicts.  A replace and a truncate begin another tree; an expiry takes the first
generations out of the tree there is, so that `edition` stays.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import cast

from BTrees.LLBTree import LLBTree
from BTrees.LOBTree import LOBTree
from persistent import Persistent

from haywain import clock
from haywain.errors import CorruptDataError, InvalidError
from haywain.store import segments
from haywain.store.chunk import RECORD_SIZE, Record, checked
from haywain.store.compressed import CompressedChunk
from haywain.store.database import read_current
from haywain.store.growing import Growing, RecordTree
from haywain.store.reader import StreamReader
from haywain.store.record_chunk import Chunk, link_chunk
from haywain.store.snapshot import Snapshot
from haywain.values import MIB, Offset

GENERATION_SIZE = 64 * MIB
"""Most bytes of a Generation, and so of a Segment."""

GENERATION_RECORDS = 16_384
"""Most Records of a Generation, more or less: to read or seal so many takes a second."""


class Generation(Persistent):  # type: ignore[misc]  # persistent has no types
    """The bytes [start, start + size) of a stream: Records, or one sealed Segment."""

    size = 0
    closed = False
    chunk: Chunk | CompressedChunk | None = None
    modified = 0.0
    count = 0  # Records
    is_last_sealed = False  # it is sealed, and so are all before it; see segments.py
    is_settled = False  # its segment is compressed or not worth it, and so are all before it
    saved = 0  # bytes that compression has spared, up to and with this one
    _v_last: Growing | None = None

    def __init__(self, start: int, modified: float = 0.0) -> None:
        """Begin empty at an offset; the bytes before it came last at `modified`."""
        self.start = start
        self.modified = modified
        self.records = RecordTree()
        self.minutes = LLBTree()

    @property
    def stop(self) -> int:
        """The offset after the last byte."""
        return self.start + self.size

    def add(self, data: bytes | memoryview, now_s: float) -> None:
        """Append at most what is left of 64 MiB, as Records; small ones of one transaction share one."""
        self._note_time(now_s)
        self.count = self.count or len(self.records)  # of earlier versions it is not known
        for position in range(0, len(data), RECORD_SIZE):
            piece = bytes(data[position : position + RECORD_SIZE])
            last = self._v_last
            if last is not None and last.takes(self, self.stop, len(piece)):
                last.extend(piece)
            else:
                self._v_last = last = Growing(self, self.stop, piece)
                self.records[self.stop] = last.record
                self.count += 1
            self.size += len(piece)

    def fill(self, chunk: Chunk, now_s: float) -> None:
        """Become a sealed generation of this chunk's bytes."""
        self._note_time(now_s)
        self.size, self.chunk, self.closed = chunk.length, chunk, True

    def cut(self, size: int, now_s: float) -> "Generation":
        """Return a generation of the first `size` bytes; a Segment stays, and shows fewer of them."""
        found = Generation(self.start, now_s)
        found.size, stop = size, self.start + size
        found.minutes = LLBTree([(minute, at) for minute, at in self.minutes.items() if at < stop])
        if self.chunk is not None:
            found.chunk, found.closed = self.chunk, True
            found.is_last_sealed, found.is_settled = self.is_last_sealed, self.is_settled
            found.saved = self.saved - (self.size - size if isinstance(self.chunk, CompressedChunk) else 0)
            return found
        found.records = RecordTree(self.records.items(max=stop, excludemax=True))
        found.count = len(found.records)
        offset, data = self._record_at(stop - 1)
        if offset + len(data) > stop:
            found.records[offset] = Record(bytes(data[: stop - offset]))
        return found

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


class Stream(Persistent):  # type: ignore[misc]  # persistent has no types
    """Append, replace, truncate, expire, seal and read bytes; offsets are in bytes and half-open."""

    start = 0
    gone_saved = 0  # bytes that compression had spared of what has expired

    def __init__(self) -> None:
        """Begin empty."""
        self._start_over()

    def _start_over(self) -> None:
        self.start = self.gone_saved = 0
        self.generations = LOBTree()
        self.generations[0] = Generation(0)

    @property
    def last(self) -> Generation:
        """The generation that is appended to."""
        return cast(Generation, self.generations[self.generations.maxKey()])

    @property
    def size(self) -> int:
        """The offset after the last byte: the number of bytes, those that have expired included."""
        return self.last.stop

    @property
    def stored(self) -> int:
        """The bytes that those from `start` on take, without records of theirs and without history."""
        size = self.size
        return size - self.start - segments.saved_before(self, size) + self.gone_saved

    @property
    def modified(self) -> float:
        """When the last bytes came or went, in seconds since 1970 UTC; 0 if none did."""
        last = self.last
        if last.modified or last.start == self.start:
            return last.modified
        return self.holding(last.start - 1).modified  # earlier versions did not hand it on

    @property
    def tail_began(self) -> float:
        """The minute in which the first byte of the last generation came, in seconds since 1970 UTC."""
        return 60.0 * self.last.minutes.minKey() if self.last.minutes else 0.0

    # -- writing
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
            generation.is_last_sealed = segments.is_all_sealed(self, generation.start)
            self._begin_generation(generation)
        return Offset(offset)

    def replace(self) -> None:
        """Start over empty, in a new tree: readers of the old one finish undisturbed."""
        self._guard()
        self._start_over()

    def truncate(self, size: int) -> None:
        """Forget the bytes from `size` on, in a new tree: readers of the old one finish undisturbed.

        The next append goes to `size`.  Conflicts with whoever appends, seals or truncates meanwhile: what is
        forgotten was seen.  Raises InvalidError for an offset that is not between `start` and `size`.
        """
        self.hold()
        if not self.start <= size <= self.size:
            raise InvalidError(f"The bytes are {self.start} to {self.size}; they cannot be cut at {size}")
        if size == self.size:
            return
        now_s = clock.now_s()
        kept, holding = LOBTree(self.generations.items(max=size, excludemax=True)), self.holding(size)
        if holding.start < size:
            kept[holding.start] = holding.cut(size - holding.start, now_s)
        if not kept or kept[kept.maxKey()].closed:
            kept[size] = Generation(size, now_s)
        self.generations = kept

    def expire(self, before: int) -> Offset:
        """Forget the first generations, those that end at or before an offset; return where bytes begin now.

        Offsets stay as they are.  The last generation stays, so `close_tail` comes first where it is to go.
        """
        self._guard()
        start = self.expiring(before)
        if start > self.start:
            gone = list(self.generations.keys(max=start, excludemax=True))
            self.gone_saved, self.start = segments.saved_before(self, start), start
            for key in gone:
                del self.generations[key]
        return Offset(start)

    def expiring(self, before: int) -> Offset:
        """Return where bytes would begin after `expire(before)`."""
        return Offset(self.generations.maxKey(before) if before > self.start else self.start)

    def hold(self) -> None:
        """Conflict with whoever appends to, closes or replaces these bytes before this transaction commits.

        A replace alone conflicts with no append: the one that commits first is overtaken.
        """
        self._guard()
        read_current(self.last)

    # -- care
    def close_tail(self) -> None:
        """Close the last generation, so that a tail at rest can be sealed; a write of the append kind."""
        self._guard()
        if self.last.size:
            self._close(self.last)

    def unsealed(self) -> list[int]:
        """Return the starts of the generations that can be sealed."""
        return segments.unsealed(self)

    def seal(self, start: int) -> bool:
        """Pack the closed generation that starts there into one blob; return whether there was one."""
        return self._care(segments.seal, start)

    def cold(self, before_s: float) -> int | None:
        """Return where the next generation to compress starts, if its last byte came before a moment."""
        found = segments.cold(self, before_s)
        return None if found is None else found.start

    def compress(self, start: int) -> bool:
        """Compress the next cold segment, which starts there; return whether that made it smaller.

        One that it would not is left as it is, and not looked at again.
        """
        return self._care(segments.settle, start)

    def _care(self, care: "Callable[[Stream, Generation], bool]", start: int) -> bool:
        self._guard()
        generation = self.generations.get(start)
        return generation is not None and care(self, generation)

    # -- reading
    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """Yield the bytes [start, stop) in pieces of at most 1 MiB, out of mapped segments without a copy.

        Raises InvalidError for a negative offset, ExpiredError for one before `start`, CorruptDataError where
        bytes do not match their checksum.
        """
        return self._snapshot().chunks(start, stop)

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes [start, stop), or fewer where the stream ends; raises what `chunks` raises."""
        return b"".join(self.chunks(start, stop))

    def open(self) -> io.BufferedReader:
        """Return a seekable, buffered file over the bytes as they are now."""
        return io.BufferedReader(StreamReader(self._snapshot()), buffer_size=RECORD_SIZE)

    def at_time(self, moment_s: float) -> Offset:
        """Return the offset of the first byte received in or after the minute of a moment.

        Where the clock was set back in between, that of one of the moments it stands for.
        """
        minute, low, high = int(moment_s // 60), self.start, self.size
        while low < high:  # the first Generation with such a minute starts in [low, high]
            generation = self.holding((low + high) // 2)
            if generation.minutes.maxKey() < minute:
                low = generation.stop
            else:
                high = generation.start
        return Offset(next(iter(self.holding(low).minutes.values(minute)), self.size))

    def holding(self, offset: int) -> Generation:
        """Return the generation that holds an offset from `start` on; at the end the last one."""
        return cast(Generation, self.generations[self.generations.maxKey(offset)])

    def _guard(self) -> None:
        """Conflict with a replace that commits meanwhile: else these bytes land in the old tree."""
        read_current(self)

    def _open_generation(self) -> Generation:
        last = self.last
        is_full = last.size >= GENERATION_SIZE or last.count >= GENERATION_RECORDS
        return self._close(last) if is_full else last

    def _empty_generation(self) -> Generation:
        last = self.last
        return self._close(last) if last.size else last

    def _close(self, generation: Generation) -> Generation:
        generation.closed = True  # a fact that the seal reads; written only here
        return self._begin_generation(generation)

    def _begin_generation(self, before: Generation) -> Generation:
        found = self.generations[before.stop] = Generation(before.stop, before.modified)
        return found

    def _snapshot(self) -> Snapshot:
        return Snapshot(self.generations, self.start, self.size)

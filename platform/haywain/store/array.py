"""Array: rows of one dtype, larger than memory, in transactions.

    Array ── blocks: LOBTree number -> Block     64 MiB of the array each: extents over immutable blobs
          ── extent: Size                        rows, and the tail: LOBTree offset -> (length, Record)
          ── changes: Changes                    counts of writes and of shrinks

A Block has no conflict resolution: two transactions that change one Block conflict, and those that change
others don't.  (A flat tree of extents would be merged key by key: two writers of a hole would both commit,
and leave extents that overlap.)  Size is a record of its own: two appends conflict, a write beside an append
does not.  Changes is merged where both sides only wrote, and conflicts where one of them shrank the array: so
no write slips behind a row that is gone, to come up again when the array grows.

Appends of less than 1 MiB go to the tail, as Records, which lie over the extents byte by byte; a full tail
becomes an extent.  What neither has is zero, and so is what follows the last row in its page.
"""

import math
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
from BTrees.LOBTree import LOBTree
from numpy.typing import ArrayLike, DTypeLike, NDArray
from persistent import Persistent

from haywain.errors import InvalidError
from haywain.store import extents, pagemap
from haywain.store.block import Block, Changes, Size
from haywain.store.checking import check_block
from haywain.store.extents import Extents, Span, ceil, floor, joined, overlay, split, trimmed, united, without
from haywain.store.layout import Layout, blocks_of, fill, layout_of
from haywain.store.mapping import StaleViewError
from haywain.store.merging import absorbed
from haywain.store.placed import Placed
from haywain.store.record_chunk import Chunk, write_chunk
from haywain.store.rows import check_bytes, check_dtype, check_shape, describe, flat, parse
from haywain.store.run import Read, Run, concatenated, grouped
from haywain.store.views import views_of
from haywain.values import MIB


class Array(Persistent):  # type: ignore[misc]  # persistent has no types
    """Rows of one dtype.  It must be in the database before it is filled.

    Its own record never changes.  `rows`, `row` (the shape of one row), `shape`, `dtype`, `nbytes`.
    """

    _v_on_pieces: Callable[[], None] | None = None
    """Called when a change leaves a block of more than MANY_EXTENTS, in its transaction."""

    def __init__(self, shape: int | Sequence[int], dtype: DTypeLike) -> None:
        """Begin with zeros, which take no room; raises InvalidError."""
        found = check_dtype(dtype)
        rows, *row = check_shape(shape, found.itemsize)
        self.descr, self.row = describe(found), tuple(row)
        self.blocks, self.extent, self.changes = LOBTree(), Size(rows), Changes()

    # -- what it is
    @property
    def dtype(self) -> np.dtype[Any]:  # Any: any scalar type
        """The type of each item."""
        cached = getattr(self, "_v_dtype", None)
        if not isinstance(cached, np.dtype):
            cached = self._v_dtype = parse(self.descr)
        return cached

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.extent.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of all dimensions; only the first one changes."""
        return (self.rows, *self.row)

    @property
    def row_bytes(self) -> int:
        """The bytes of one row; 0 if one of its lengths is 0."""
        return int(self.dtype.itemsize * math.prod(self.row))

    @property
    def nbytes(self) -> int:
        """The bytes of all rows."""
        return self.rows * self.row_bytes

    @property
    def modified(self) -> float:
        """When a row last changed, in seconds since 1970 UTC."""
        return float(self.changes.modified)

    # -- reading
    def view(
        self, start: int = 0, stop: int | None = None, writable: bool = True, access: str = "normal"
    ) -> NDArray[Any]:
        """Return the rows [start, stop) as memory, paged in when it is read; within the array's rows.

        `access` is a key of `address_space.ACCESS`: how the rows are going to be read.
        Where views cannot be (`pagemap.METHOD` is none), it is a copy that cannot be written.
        Raises MappingLimitError, CorruptDataError where a blob is missing or short.
        """
        stop = self.rows if stop is None else stop
        if pagemap.METHOD == "none":
            copied = self.copy(start, stop)
            copied.flags.writeable = False
            return copied
        low, high = start * self.row_bytes, stop * self.row_bytes
        mapping = views_of(self).mapping(self, high)
        mapping.place(low, high)
        mapping.advise(low, high, access)
        return np.ndarray((stop - start, *self.row), self.dtype, mapping.window(low, high, writable))

    def copy(self, start: int, stop: int) -> NDArray[Any]:
        """Return a copy of the rows [start, stop), without what was written to a view and not saved."""
        data = self.read(start * self.row_bytes, stop * self.row_bytes)
        return np.ndarray((stop - start, *self.row), self.dtype, data)

    def row_blocks(self) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) of all rows, those that begin in one Block at a time."""
        start = 0
        while start < self.rows:
            block = start * self.row_bytes // extents.BLOCK_SIZE + 1
            next_start = -(-block * extents.BLOCK_SIZE // self.row_bytes) if self.row_bytes else self.rows
            stop = min(max(next_start, start + 1), self.rows)
            yield start, stop
            start = stop

    def read(self, low: int, high: int) -> bytearray:
        """Return a copy of the bytes [low, high), without what was written to a view and not saved."""
        found = bytearray(high - low)
        out = memoryview(found)
        for number, start, stop in split((low, high), extents.BLOCK_SIZE):
            first = number * extents.BLOCK_SIZE
            layout = layout_of(self, number)
            fill(self._p_jar, layout, start - first, stop - first, out[start - low : stop - low])
        return found

    def window(self) -> NDArray[np.uint8]:
        """Return the addresses of all views, of which none may be touched."""
        return views_of(self).mapping(self, self.nbytes).window(0, self.nbytes, False)

    # -- writing
    def append(self, rows: ArrayLike) -> int:
        """Add rows, or one row, at the end; return the number of the first of them.

        Raises InvalidError if they do not have the shape of a row.
        """
        data, first = self._as_rows(rows), self.rows
        if not len(data):
            return first
        check_bytes((first + len(data), *self.row), self.dtype.itemsize)
        low, content = self.nbytes, flat(data)
        views, high = views_of(self), self.nbytes + data.nbytes
        is_small = self.extent.has_room(data.nbytes)
        views.settle(self, floor(low, extents.PAGE) if is_small else 0)
        if is_small and self.extent.has_room(data.nbytes):
            views.note(self, blocks_of(low, high))
            self.extent.add(self._p_jar, low, bytes(content))
            self.extent.rows += len(data)
            self.changes.note()
            views.changed(self, blocks_of(low, high), [(low, high)])
        else:
            self.put([self._edged(low, content)], is_full=True)
            self.extent.rows += len(data)
        return first

    def _as_rows(self, rows: ArrayLike) -> NDArray[Any]:
        try:
            data = np.asarray(rows, self.dtype)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidError(f"These cannot be rows of {self.dtype}: {error}") from error
        if data.shape == self.row:
            data = data.reshape((1, *self.row))
        elif data.shape[:1] == (0,):
            data = np.empty((0, *self.row), self.dtype)
        elif data.shape[1:] != self.row or data.ndim != len(self.row) + 1:
            raise InvalidError(f"A row has the shape {self.row}, which these of shape {data.shape} have not")
        return np.ascontiguousarray(data)

    def write(self, low: int, data: memoryview) -> None:
        """Replace the bytes from `low` on, which lie within the array, without a view."""
        views_of(self).settle(self)
        self.put([self._edged(low, data)])

    def resize(self, rows: int) -> None:
        """Grow by zeros, or forget the rows behind the first `rows`; O(1) in the rows that are added.

        Raises InvalidError for a number that makes no sense.
        """
        rows = check_shape((rows, *self.row), self.dtype.itemsize)[0]
        if rows == self.rows:
            return
        low = min(rows, self.rows) * self.row_bytes
        views_of(self).settle(self)
        if rows < self.rows:
            self._cut(low)
        else:
            self.changes.note()
        self.extent.rows = rows

    def wrote(self, size: int, most: int) -> None:
        """Note that bytes were written to a view; flush where they are half of `most` and may be more."""
        mapping = views_of(self).mapping(self, self.nbytes)
        mapping.assigned += size
        if mapping.assigned > most:  # the same page may have been counted many times
            mapping.assigned = sum(high - low for low, high in mapping.written())
            if mapping.assigned > most // 2:
                self.flush()

    def flush(self) -> bool:
        """Save what was written to views into a blob of this transaction; return whether there was any.

        The written pages become pages of a file again, which the kernel may take from memory.
        """
        return pagemap.METHOD != "none" and views_of(self).flush(self)

    # -- the blocks
    def put(self, runs: list[Run], expected: Placed | None = None, *, is_full: bool = False) -> None:
        """Store runs of whole pages: first all bytes, then the checks, then the blocks.

        The tail becomes extents with them, if one of them lies on it or `is_full`; so does what makes a block
        of too many extents one of fewer.  Raises StaleViewError if a block does not show what is `expected`.
        """
        read = runs[0].read
        tail = self.extent.spans()
        own = [(run.low, run.high) for run in runs]
        if is_full or without(own, tail) != united(own):
            runs = sorted([*runs, *(Run(*span, self._stored) for span in without(tail, own))])
        else:
            tail = []
        runs = sorted([*runs, *self._absorbed(runs, expected or (), read)])
        placed = self._write(runs)
        spans = united([*tail, *((run.low, run.high) for run in runs)])
        numbers = {number for span in spans for number, _, _ in split(span, extents.BLOCK_SIZE)}
        if expected is not None:
            self._check_unchanged(numbers, expected)
        views = views_of(self)
        views.note(self, numbers)
        for number, new in placed.items():
            if number not in self.blocks:
                self.blocks[number] = Block()
            block = self.blocks[number]
            block.extents = overlay(block.extents, tuple(new), extents.BLOCK_SIZE)
        if self._v_on_pieces and any(len(self.blocks[n].extents) > extents.MANY_EXTENTS for n in placed):
            self._v_on_pieces()
        if tail:
            self.extent.clear()
        self.changes.note()
        spans = joined(spans, MIB, extents.BLOCK_SIZE)  # to show very many one by one is slow
        views.changed(self, numbers, spans)

    def _check_unchanged(self, numbers: Iterable[int], expected: Placed) -> None:
        for number in numbers:
            if number in expected and layout_of(self, number) != expected[number]:
                raise StaleViewError(f"Block {number} of the array has changed since this view was taken")

    def compact_block(self, number: int) -> None:
        """Store a Block anew as one extent; `modified` stays; raises CorruptDataError, which names rows."""
        views = views_of(self)
        views.settle(self)
        views.note(self, [number])
        spans = self._rewrite(number)
        self.changes.note(is_same=True)
        views.changed(self, [number], spans)

    def _write(self, runs: list[Run]) -> dict[int, list[tuple[int, Chunk, int, int]]]:
        """Write runs into chunks of at most a block each; return the new extents of each block."""
        placed: dict[int, list[tuple[int, Chunk, int, int]]] = {}
        for group in grouped(runs, extents.BLOCK_SIZE):
            chunk = self._chunk(group)
            position = 0
            for low, high, _ in group:
                number, offset = divmod(low, extents.BLOCK_SIZE)
                found = placed.setdefault(number, [])
                if found and found[-1][1] is chunk and found[-1][0] + found[-1][3] == offset:
                    offset, _, start, length = found.pop()
                    found.append((offset, chunk, start, length + high - low))
                else:
                    found.append((offset, chunk, position, high - low))
                position += high - low
        return placed

    def _chunk(self, runs: list[Run]) -> Chunk:
        buffers = (buffer for run in runs for buffer in run.read(run.low, run.high))
        chunk = write_chunk(self._p_jar, (memoryview(buffer) for buffer in buffers))
        assert chunk.length == sum(run.high - run.low for run in runs)
        self._p_jar.add(chunk)
        return chunk

    def _absorbed(self, runs: list[Run], shown: Container[int], read: Read) -> Iterator[Run]:
        """Yield runs of what is stored, to be stored anew so that no block has too many extents.

        Blocks that a view has shown, each as a whole, are read out of it by `read`.  Raises CorruptDataError
        if what is stored does not match its checksums, which a view does not look at.
        """
        parts = (part for run in runs for part in run.parts())
        most = extents.most_extents(self.nbytes)
        for number, some in groupby(parts, lambda part: part.low // extents.BLOCK_SIZE):
            block, start = self.blocks.get(number), number * extents.BLOCK_SIZE
            new = [(part.low - start, part.high - start) for part in some]
            old = () if block is None else block.extents
            stored = partial(self._without_tail, layout_of(self, number).extents)
            found = absorbed(old, new, extents.BLOCK_SIZE, most)
            check_block(self, number, found)
            for low, high in found:
                yield Run(start + low, start + high, read if number in shown else stored)

    def _rewrite(self, number: int) -> list[Span]:
        """Make the extents of a block one; return its span; raises CorruptDataError, which names rows."""
        block = self.blocks.get(number)
        if block is None or not block.extents:
            return []
        first, last = block.extents[0], block.extents[-1]
        start = number * extents.BLOCK_SIZE
        check_block(self, number, [(first[0], last[0] + last[3])])
        low, high = start + first[0], start + last[0] + last[3]
        read = partial(self._without_tail, layout_of(self, number).extents)
        ((extent,),) = self._write([Run(low, high, read)]).values()
        block.extents = (extent,)
        return [(low, high)]

    def _stored(self, low: int, high: int) -> Iterator[bytearray]:
        for start in range(low, high, MIB):
            yield self.read(start, min(start + MIB, high))

    def _without_tail(self, found: Extents[bytes], low: int, high: int) -> Iterator[bytearray]:
        first = floor(low, extents.BLOCK_SIZE)
        for start in range(low, high, MIB):
            out = bytearray(min(start + MIB, high) - start)
            fill(self._p_jar, Layout(found), start - first, start - first + len(out), memoryview(out))
            yield out

    def _edged(self, low: int, data: memoryview) -> Run:
        """Return a run of whole pages, with the bytes that are there around the data."""
        high = low + len(data)
        start, stop = floor(low, extents.PAGE), ceil(high, extents.PAGE)
        head, foot = self.read(start, low), self.read(high, stop)
        return Run(start, stop, concatenated(start, [memoryview(head), data, memoryview(foot)]))

    def _cut(self, size: int) -> None:
        """Forget the bytes behind the first `size`; what is left of their page becomes a Record."""
        edge, end = floor(size, extents.PAGE), ceil(self.nbytes, extents.PAGE)
        kept = bytes(self.read(edge, size))
        numbers = [*self.blocks.keys(edge // extents.BLOCK_SIZE)]
        numbers += [number for span in self.extent.spans() for number in blocks_of(*span)]
        views = views_of(self)
        views.note(self, numbers := sorted({*numbers, *blocks_of(edge, size)}))
        for number in list(self.blocks.keys(edge // extents.BLOCK_SIZE)):
            low = edge - number * extents.BLOCK_SIZE
            if low > 0:
                self.blocks[number].extents = trimmed(self.blocks[number].extents, low)
            else:
                del self.blocks[number]
        self.extent.cut(self._p_jar, edge)
        if any(kept):
            self.extent.add(self._p_jar, edge, kept)
        self.changes.note(is_cut=True)
        views.changed(self, numbers, [(edge, end)])


__all__ = ["Array", "StaleViewError"]

"""Pyramid: the least, the greatest and the mean number of buckets of rows, level upon level.

A bucket of level 0 has BUCKET rows, one of each next level FANOUT of the level below.  The levels are Arrays;
they say what the rows were when the Pyramid last looked, and `seen` says which bytes that was: the Layout of
each Block.  Blobs and Records never change, so where the Layout of a Block is the same, its bytes are.  So
whoever asks learns from the Layouts which rows may be others by now (`stale`), and trusts no bucket that
holds one.  No writer of the array has to tell the Pyramid anything, or writes anything of it.

`seen` names chunks and Records by reference, not by oid: an oid that is still referred to is never given away
again.  So a blob that was replaced stays on the disk until the Pyramid is brought up to date.

Buckets are whole: level k has `rows // rows_of(k)`.  What lies behind `rows` counts as zeros, as in the array
before it is written; a level that has no bucket yet is not there.
"""

from collections.abc import Iterator
from itertools import count, takewhile
from typing import NamedTuple

import numpy as np
from BTrees.LOBTree import LOBTree
from persistent import Persistent

from haywain.store import extents
from haywain.store.array import Array
from haywain.store.assignment import assign
from haywain.store.chunk import BlobChunk, Record
from haywain.store.extents import Extents, Span, united
from haywain.store.layout import Layout, blocks_of, differing, layout_of
from haywain.store.passing import passing
from haywain.store.summary import Numbers, Table, buckets_dtype, combine, summarise, tables_of
from haywain.store.views import views_of
from haywain.values import MIB

BUCKET = 256
"""Rows of a bucket of level 0."""

FANOUT = 16
"""Buckets of a level that are one of the next."""

PIECE_SIZE = 16 * MIB
"""Most bytes of rows that are looked at together, or one bucket."""


class Seen(Persistent):  # type: ignore[misc]  # persistent has no types
    """The Layout that a Block had, by reference."""

    extents: Extents[BlobChunk] = ()
    patches: tuple[tuple[int, Record, int], ...] = ()

    def layout(self) -> Layout:
        """Return it as a value."""
        return Layout(
            tuple(
                (offset, chunk._p_oid, position, length) for offset, chunk, position, length in self.extents
            ),
            tuple((offset, record._p_oid, length) for offset, record, length in self.patches),
        )


class Level(Array):
    """The buckets of one level: an Array of its own class, so that damage there is told from that of rows."""


class Step(NamedTuple):
    """What `Pyramid.update` did: the rows it looked at, and the byte to go on from, None at the end."""

    rows: int
    next: int | None


class Pyramid(Persistent):  # type: ignore[misc]  # persistent has no types
    """The levels of one Array, whose columns of numbers they sum up."""

    token: tuple[bytes, int, int] | None = None
    """Which Changes of the array the levels are known to have seen."""

    def __init__(self) -> None:
        """Begin with what an array of zeros has."""
        self.rows = 0
        self.seen = LOBTree()
        self.levels: tuple[Level, ...] = ()

    # -- what is known
    def length(self, level: int) -> int:
        """Return how many buckets of a level are stored; those behind them are zeros."""
        return int(self.rows // rows_of(level))

    def stale(self, array: Array, start: int, stop: int) -> list[Span]:
        """Return the rows of [start, stop) that may be others than the levels say."""
        low, high = start * array.row_bytes, stop * array.row_bytes
        spans = [] if self.token == _token(array) else self._unlike(array, _blocks(self, array, low, high))
        return _rows([*spans, *views_of(array).unsaved(array)], array, start, stop)

    def _unlike(self, array: Array, numbers: list[int]) -> list[Span]:
        found = []
        for number in numbers:
            seen, now = self._seen(number), layout_of(array, number)
            if seen != now:
                first, size = number * extents.BLOCK_SIZE, extents.BLOCK_SIZE
                spans = differing(seen, now)  # Records may reach out of the Block
                found += [(first + max(low, 0), first + min(high, size)) for low, high in spans]
        return found

    def _seen(self, number: int) -> Layout:
        seen = self.seen.get(number)
        return Layout() if seen is None else seen.layout()

    # -- bringing it up to date
    def update(self, array: Array, first: int = 0, most: int = 256 * MIB) -> Step:
        """Look at what has changed in the Blocks from the byte `first` on, until it is `most` bytes."""
        array.flush()
        self._cut(array.rows)
        left, spans, size = _blocks(self, array, first, None), list[Span](), 0
        taken = []
        while left and size < most:
            taken.append(left.pop(0))
            found = self._unlike(array, taken[-1:])
            spans, size = spans + found, size + sum(high - low for low, high in found)
        following = left[0] * extents.BLOCK_SIZE if left else None
        rows = array.rows if following is None else min(following // array.row_bytes, array.rows)
        looked_at = self._grow(array, _rows(spans, array, 0, array.rows), max(rows, self.rows))
        for number in taken:
            self._note(array, number)
        if following is None:
            self._remember(array)
        return Step(looked_at, following)

    def _remember(self, array: Array) -> None:
        """Note that all is seen, if it is."""
        now = _token(array)
        if self.token != now and not self._unlike(array, _blocks(self, array, 0, None)):
            self.token = now

    def keep(self, array: Array, number: int, before: Layout) -> None:
        """Take note that a Block shows the same bytes in another Layout than `before`."""
        if self._seen(number) == before:
            self._note(array, number)

    def _note(self, array: Array, number: int) -> None:
        block, patches = array.blocks.get(number), layout_of(array, number).patches
        found = () if block is None else block.extents
        if not found and not patches:
            self.seen.pop(number, None)
            return
        if number not in self.seen:
            self.seen[number] = Seen()
        if self._seen(number) != layout_of(array, number):
            seen = self.seen[number]
            seen.extents = found
            seen.patches = tuple((offset, array._p_jar.get(oid), length) for offset, oid, length in patches)

    def _cut(self, rows: int) -> None:
        """Forget the buckets that are not whole any more, where the array has shrunk."""
        if rows >= self.rows:
            return
        self.rows = rows
        self.levels = self.levels[: height_of(rows)]
        for level, buckets in enumerate(self.levels):
            buckets.resize(self.length(level))

    def _grow(self, array: Array, spans: list[Span], rows: int) -> int:
        """Sum up rows anew, up to `rows`; return how many were looked at."""
        tables = tables_of(array.dtype, array.row)
        if not tables:
            return 0
        if 0 < self.rows < rows:  # the buckets that were begun are going to be whole
            spans = united([*spans, (self.rows - 1, self.rows)])
        if rows > self.rows:
            self.rows = rows
        for level in range(len(self.levels), height_of(rows)):
            buckets = Level((0, *array.row), buckets_dtype(tables, level))
            self._p_jar.add(buckets)
            self.levels = (*self.levels, buckets)
        looked_at = 0
        for level, buckets in enumerate(self.levels):
            below = array if level == 0 else self.levels[level - 1]
            size = BUCKET if level == 0 else FANOUT
            spans = united((low // size, min(-(-high // size), self.length(level))) for low, high in spans)
            for low, high in spans:
                _sum_up(tables, below, buckets, level, low, high)
                looked_at += (high - low) * BUCKET if level == 0 else 0
            buckets.resize(max(self.length(level), buckets.rows))
            buckets.flush()
        return looked_at


def rows_of(level: int) -> int:
    """Return the rows of a bucket."""
    return int(BUCKET * FANOUT**level)


def height_of(rows: int) -> int:
    """Return how many levels have a whole bucket of so many rows."""
    return sum(1 for _ in takewhile(lambda level: rows_of(level) <= rows, count()))


def _token(array: Array) -> tuple[bytes, int, int]:
    """Return what changes with every change of the array's bytes.

    The serial tells committed states apart, also after an undo, the counts what this transaction did.
    """
    array.changes._p_activate()
    return (array.changes._p_serial, array.changes.writes, array.changes.cuts)


def _blocks(pyramid: Pyramid, array: Array, low: int, high: int | None) -> list[int]:
    """Return the numbers of all Blocks that the bytes [low, high) meet and that are, or were, no hole."""
    first = low // extents.BLOCK_SIZE
    last = None if high is None else -(-high // extents.BLOCK_SIZE) - 1
    found = {*array.blocks.keys(first, last), *pyramid.seen.keys(first, last)}
    tail = (number for span in array.extent.spans() for number in blocks_of(*span))
    return sorted(found.union(n for n in tail if n >= first and (last is None or n <= last)))


def _rows(spans: list[Span], array: Array, start: int, stop: int) -> list[Span]:
    """Return the rows of [start, stop) that spans of bytes meet."""
    size = array.row_bytes
    return united((max(low // size, start), min(-(-high // size), stop)) for low, high in spans)


def _sum_up(tables: tuple[Table, ...], below: Array, buckets: Array, level: int, low: int, high: int) -> None:
    """Make the buckets [low, high) of a level of the rows of the array, or buckets, below."""
    buckets.resize(max(low, buckets.rows))
    for first, last in _steps(low, high, below.row_bytes * (FANOUT if level else BUCKET)):
        made: Numbers = np.zeros((last - first, *buckets.row), buckets.dtype)
        _fill(tables, below, made, level, first, last)
        inside = min(max(buckets.rows - first, 0), len(made))
        if inside:
            assign(buckets, slice(first, first + inside), made[:inside])
        buckets.append(made[inside:])


def _fill(tables: tuple[Table, ...], below: Array, made: Numbers, level: int, first: int, last: int) -> None:
    size = FANOUT if level else BUCKET
    rows = passing(below, first * size, last * size)
    for table in tables:
        if level:
            combine(table, rows, rows_of(level - 1), made)
        else:
            summarise(table, rows, made)


def _steps(low: int, high: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield [low, high) in steps of at most PIECE_SIZE bytes, where one has `size`."""
    step = max(PIECE_SIZE // size, 1)
    for first in range(low, high, step):
        yield first, min(first + step, high)

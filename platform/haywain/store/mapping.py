"""Mapping: what one connection sees of one array, as memory.

The bytes of a block lie in extents of blobs, mapped, and in holes, which are anonymous memory.  What cannot
be mapped is copied into a memfd that is mapped in its place: the tail's Records, and the edges of extents
where the system's pages are larger than those of the format.  So each page is either one of a file, or was
written (see `pagemap`).
"""

import logging
import os
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from ZODB.POSException import ConflictError

from haywain.store import address_space, extents, pagemap
from haywain.store.address_space import AddressSpace
from haywain.store.extents import Span, ceil, floor, joined, pieces, united
from haywain.store.layout import Layout, blocks_of, chunk_of, fill, layouts_of
from haywain.store.placed import ZEROS, Placed, Ranges
from haywain.store.readahead import LARGE_PAGE, reads_far
from haywain.store.run import Run
from haywain.values import GIB

if TYPE_CHECKING:
    from haywain.store.array import Array

_log = logging.getLogger(__name__)

Piece = tuple[int, bytes | None, int, int]
"""A piece of a block: offset, oid of its chunk or None, position there, length; all in bytes."""
_GAPS = -1
"""Instead of a block's number: what lies between ranges of blocks that are shown."""


class StaleViewError(ConflictError):  # type: ignore[misc]  # ZODB has no types
    """Somebody changed what a view was taken from: take `array[:]` again, in a transaction begun anew."""

    def __init__(self, message: str) -> None:
        """Say what happened; ConflictError would make a text of oids."""
        super().__init__(message)


class Mapping:
    """The memory under the views of an array; alive as long as one of them, or a transaction, needs it."""

    def __init__(self, array: "Array") -> None:
        """Reserve addresses, with room to grow; nothing is placed yet."""
        self.array: Array | None = array
        self.on_pieces: Callable[[], None] | None = None
        """The array's own, which the array forgets when it leaves the cache."""
        self.connection: Any = array._p_jar  # Any: a ZODB Connection
        self.space = AddressSpace(reserved(array.nbytes))
        self.placed = Placed()
        self._access: dict[int, str] = {}  # how blocks are going to be read, if not as usual
        self.touched = Ranges()
        """Blocks that were shown in the running transaction: perhaps with what it changed."""
        self.is_stale = False
        self.assigned = 0
        """Bytes that assignments have changed here since they were last saved."""

    # -- placing
    def place(self, start: int, stop: int) -> None:
        """Show the blocks of a span of bytes that are not shown yet; raises MappingLimitError."""
        assert self.array is not None
        numbers = blocks_of(start, stop)
        missing = self.placed.shown.missing(numbers.start, numbers.stop)
        layouts = [layouts_of(self.array, low, high) for low, high in missing]
        counts = {number: count_pieces(layout) for each in layouts for number, layout in each.items()}
        self.space.announce(counts | {_GAPS: 2 * (len(self.placed.shown) + len(missing))} if missing else {})
        for (low, high), each in zip(missing, layouts, strict=True):
            self._show(low * extents.BLOCK_SIZE, high * extents.BLOCK_SIZE, each)

    def refresh(self, spans: Iterable[Span]) -> None:
        """Show spans as the array has them by this transaction; what was written there is dropped."""
        assert self.array is not None
        for span in spans:
            numbers = blocks_of(*span)
            for first, last in self.placed.shown.within(numbers.start, numbers.stop):
                low, high = first * extents.BLOCK_SIZE, last * extents.BLOCK_SIZE
                self._show(max(low, span[0]), min(high, span[1]), layouts_of(self.array, first, last))

    def _show(self, low: int, high: int, layouts: dict[int, Layout]) -> None:
        """Show the bytes [low, high) in layouts by block; zeros where there is none and was none."""
        numbers = blocks_of(low, high)
        known = self.placed.filled_within(numbers.start, numbers.stop)
        at = low
        for number in sorted({*known, *layouts}):
            start = number * extents.BLOCK_SIZE
            first, last = max(start, low), min(start + extents.BLOCK_SIZE, high)
            self._show_zeros(at, first)
            self.show(number, first - start, last - start, layouts.get(number, ZEROS))
            at = last
        self._show_zeros(at, high)

    def _show_zeros(self, low: int, high: int) -> None:
        """Show zeros in blocks in which nothing is or was stored, in whole pages."""
        if low < high:
            start = floor(low, address_space.PAGE)
            self.space.place_zeros(start, ceil(high, address_space.PAGE) - start)
            numbers = blocks_of(low, high)
            self.placed.add_zeros(numbers.start, numbers.stop)
            self.touched.add(numbers.start, numbers.stop)

    def show(self, number: int, low: int, high: int, layout: Layout) -> None:
        """Show the bytes [low, high) of a block in a layout, in whole pages."""
        page, start = address_space.PAGE, number * extents.BLOCK_SIZE
        low, high = floor(low, page), ceil(high, page)
        self.space.announce({number: count_pieces(layout)})
        found = sorted(pieces(layout.extents, low, high), key=lambda piece: piece[1] or b"")
        for oid, some in groupby(found, lambda piece: piece[1]):  # each chunk is opened once
            self._show_all(start, oid, list(some))
        self._copy(start, odd(layout, low, high), layout)
        self.placed[number] = layout
        self.touched.add(number, number + 1)
        if number in self._access:
            self.space.advise(start + low, high - low, self._access[number])

    def _show_all(self, start: int, oid: bytes | None, found: list[Piece]) -> None:
        """Show pieces of one chunk, or zeros, as far as they can be mapped; `odd` has the rest."""
        page, placed = address_space.PAGE, list[tuple[int, int, int]]()
        for offset, _, position, length in found:
            inner, end = ceil(offset, page), floor(offset + length, page)
            if inner < end and (oid is None or not (position - offset) % page):
                placed.append((start + inner, end - inner, position + inner - offset))
        if oid is None:
            for at, length, _ in placed:
                self.space.place_zeros(at, length)
        elif placed:
            first, last = min(p for _, _, p in placed), max(p + length for _, length, p in placed)
            with chunk_of(self.connection, oid).open(first, last) as file:
                for at, length, position in placed:
                    self.space.place_file(at, length, file.fileno(), position)
                    if length >= LARGE_PAGE and reads_far(file.fileno()):
                        self.space.prefer_large_pages(at, length)

    def _copy(self, start: int, spans: list[Span], layout: Layout) -> None:
        """Show spans of a block through a file in memory."""
        size = sum(high - low for low, high in spans)
        if not size:
            return
        memory = os.memfd_create("haywain-copy", os.MFD_CLOEXEC)
        try:
            os.truncate(memory, size)
            position = 0
            for low, high in spans:
                copied = memoryview(bytearray(high - low))
                fill(self.connection, layout, low, high, copied)
                os.pwrite(memory, copied, position)
                self.space.place_file(start + low, high - low, memory, position)
                position += high - low
        finally:
            os.close(memory)

    def is_current(self) -> bool:
        """Return whether all that is shown is what the array has by this transaction."""
        assert self.array is not None
        found: dict[int, Layout] = {}
        for low, high in self.placed.shown:
            found |= layouts_of(self.array, low, high)
        return found == self.placed.filled

    # -- what was written
    def written(self) -> list[Span]:
        """Return the spans of bytes that were written since they were saved, in whole pages."""
        size = extents.BLOCK_SIZE
        return pagemap.written(
            self.space, [(low * size, high * size) for low, high in self.placed.shown], self._is_hole
        )

    def _is_hole(self, at: int) -> bool:
        number, offset = divmod(at, extents.BLOCK_SIZE)
        layout = self.placed[number]
        end = offset + address_space.PAGE
        (first, *_) = pieces(layout.extents, offset, end)
        covered = any(low < end and low + length > offset for low, _, length in layout.patches)
        return first[1] is None and first[3] == address_space.PAGE and not covered

    def save(self) -> bool:
        """Store what was written, and show it out of its blob; return whether there was something.

        Raises StaleViewError if somebody else changed the same blocks, or the rows are gone.
        """
        assert self.array is not None
        runs = self._runs(self.array.nbytes)
        self.assigned = 0
        if not runs:
            return False
        if self.is_stale:
            raise StaleViewError("Written through a view that is older than this transaction's array[:]")
        self.array._v_on_pieces = self.array._v_on_pieces or self.on_pieces
        self.array.put([Run(low, high, self._bytes) for low, high in runs], self.placed)
        return True

    def _runs(self, size: int) -> list[Span]:
        """Return the spans to save, within the array's `size` bytes."""
        end = ceil(size, extents.PAGE)
        spans = self.written()
        if spans and spans[-1][1] > size:
            edge = ceil(size, address_space.PAGE)
            slack = self.space.window(size, edge) if spans[-1][0] < edge else np.zeros(0, np.uint8)
            if spans[-1][1] > edge or slack.any():
                raise StaleViewError(
                    "Written behind the last row, through a view from before the array shrank"
                )
        runs = joined(spans, extents.JOIN_GAP, extents.BLOCK_SIZE)
        return [(low, min(high, end)) for low, high in runs if low < end]

    def _bytes(self, low: int, high: int) -> list[memoryview]:
        window: Any = self.space.window(low, high)  # Any: mypy does not know that it is a buffer
        return [memoryview(window)]

    # -- going back
    def drop(self) -> None:
        """Forget what was written since it was saved."""
        for low, high in self.written():
            self.space.discard(low, high - low)
        self.assigned = 0

    def advise(self, low: int, high: int, access: str) -> None:
        """Say how placed bytes are going to be read, a key of `address_space.ACCESS`.

        Of a whole block at once, in which something is stored: the kernel splits a mapping where the advice
        changes.
        """
        numbers = blocks_of(low, high)
        for number in self.placed.filled_within(numbers.start, numbers.stop):
            if access not in ("normal", self._access.get(number)):
                self.space.advise(number * extents.BLOCK_SIZE, extents.BLOCK_SIZE, access)
                self._access[number] = access

    def window(self, low: int, high: int, writable: bool) -> NDArray[np.uint8]:
        """Return placed bytes, which keep this mapping alive."""
        return self.space.window(low, high, writable, owner=self)


def reserved(size: int) -> int:
    """Return how many bytes of addresses an array of a size gets: it may grow while views are alive."""
    wanted = min(max(4 * size, GIB), size + (1 << 42))
    return ceil(ceil(wanted, extents.BLOCK_SIZE), address_space.PAGE)


def count_pieces(layout: Layout) -> int:
    """Return how many mappings a block in a layout may need; zeros between blocks are one."""
    copies = odd(layout, 0, extents.BLOCK_SIZE)
    if not layout.extents and not copies:
        return 0
    return sum(1 for _ in pieces(layout.extents, 0, extents.BLOCK_SIZE)) + 2 * len(copies) + 1


def odd(layout: Layout, low: int, high: int) -> list[Span]:
    """Return the spans of whole pages of [low, high) that cannot be mapped from their files.

    Those under the tail's Records, and where the system's pages are larger than 4,096 bytes those at the
    edges of extents, or all of an extent whose position does not fit.
    """
    page = address_space.PAGE
    spans = [(max(o, low), min(o + n, high)) for o, _, n in layout.patches if o < high and o + n > low]
    if page != extents.PAGE:
        for offset, oid, position, length in pieces(layout.extents, low, high):
            stop = offset + length
            if oid is not None and (position - offset) % page:
                spans.append((offset, stop))
            spans += [(edge - 1, edge + 1) for edge in (offset, stop) if edge % page]
    return united((floor(start, page), ceil(stop, page)) for start, stop in spans)

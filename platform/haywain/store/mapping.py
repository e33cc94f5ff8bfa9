"""Mapping: what one connection sees of one array, as memory.

The bytes of a block lie in extents of blobs, mapped, and in holes, which are anonymous memory.  What cannot
be mapped is copied into a memfd that is mapped in its place: the tail's Records, and the edges of extents
where the system's pages are larger than those of the format.  So each page is either one of a file, or was
written (see `pagemap`).
"""

import logging
import os
from collections.abc import Iterable
from contextlib import nullcontext
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from ZODB.POSException import ConflictError

from haywain.store import address_space, extents, pagemap
from haywain.store.address_space import AddressSpace
from haywain.store.extents import Span, ceil, floor, joined, pieces, split, united
from haywain.store.layout import Layout, blocks_of, chunk_of, fill, layout_of
from haywain.store.readahead import LARGE_PAGE, reads_far
from haywain.store.run import Run
from haywain.values import GIB

if TYPE_CHECKING:
    from haywain.store.array import Array

_log = logging.getLogger(__name__)


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
        self.connection: Any = array._p_jar  # Any: a ZODB Connection
        self.space = AddressSpace(reserved(array.nbytes))
        self.placed: dict[int, Layout] = {}
        self._access: dict[int, str] = {}  # how blocks are going to be read, if not as usual
        self.touched: set[int] = set()
        """Blocks that were shown in the running transaction: perhaps with what it changed."""
        self.is_stale = False
        self.assigned = 0
        """Bytes that assignments have changed here since they were last saved."""

    # -- placing
    def place(self, start: int, stop: int) -> None:
        """Show the blocks of a span of bytes that are not shown yet; raises MappingLimitError."""
        assert self.array is not None
        missing = [n for n in blocks_of(start, stop) if n not in self.placed]
        layouts = [(number, layout_of(self.array, number)) for number in missing]
        self.space.announce({number: count_pieces(layout) for number, layout in layouts})
        for number, layout in layouts:
            self.show(number, 0, extents.BLOCK_SIZE, layout)

    def refresh(self, spans: Iterable[Span]) -> None:
        """Show spans as the array has them by this transaction; what was written there is dropped."""
        assert self.array is not None
        for span in spans:
            for number, low, high in split(span, extents.BLOCK_SIZE):
                if number in self.placed:
                    start = number * extents.BLOCK_SIZE
                    self.show(number, low - start, high - start, layout_of(self.array, number))

    def show(self, number: int, low: int, high: int, layout: Layout) -> None:
        """Show the bytes [low, high) of a block in a layout, in whole pages."""
        page, start = address_space.PAGE, number * extents.BLOCK_SIZE
        low, high = floor(low, page), ceil(high, page)
        self.space.announce({number: count_pieces(layout)})
        found = sorted(pieces(layout.extents, low, high), key=lambda piece: piece[1] or b"")
        for oid, some in groupby(found, lambda piece: piece[1]):
            self._show_pieces(start, oid, list(some))
        self._copy(start, odd(layout, low, high), layout)
        self.placed[number] = layout
        self.touched.add(number)
        if number in self._access:
            self.space.advise(start + low, high - low, self._access[number])

    def _show_pieces(
        self, start: int, oid: bytes | None, some: list[tuple[int, bytes | None, int, int]]
    ) -> None:
        """Show pieces of a block that are holes, or lie all in one blob, which is opened once."""
        page = address_space.PAGE
        low = min(position for _, _, position, _ in some)
        high = max(position + length for _, _, position, length in some)
        with nullcontext() if oid is None else chunk_of(self.connection, oid).open(low, high) as file:
            for offset, _, position, length in some:
                inner, end = ceil(offset, page), floor(offset + length, page)
                if inner >= end or (file is not None and (position - offset) % page):
                    continue  # `odd` has it
                if file is None:
                    self.space.place_zeros(start + inner, end - inner)
                else:
                    at = position + inner - offset
                    self.space.place_file(start + inner, end - inner, file.fileno(), at)
                    if end - inner >= LARGE_PAGE and reads_far(file.fileno()):
                        self.space.prefer_large_pages(start + inner, end - inner)

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

    # -- what was written
    def written(self) -> list[Span]:
        """Return the spans of bytes that were written since they were saved, in whole pages."""
        if not self.placed:
            return []
        start, stop = min(self.placed), max(self.placed) + 1
        return pagemap.written(
            self.space, start * extents.BLOCK_SIZE, stop * extents.BLOCK_SIZE, self._is_hole
        )

    def _is_hole(self, at: int) -> bool:
        number, offset = divmod(at, extents.BLOCK_SIZE)
        layout = self.placed.get(number, Layout())
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

        Of a whole block at once: the kernel splits a mapping where the advice changes.
        """
        for number in blocks_of(low, high):
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
    """Return how many mappings a block in a layout may need; holes between blocks are one."""
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

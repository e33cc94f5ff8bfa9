"""Layout: what a block of an array shows, as values that compare equal across transactions.

Blobs and Records never change, so two equal layouts mean equal bytes.  A layout names them by oid: it can be
shown again after the objects that held it have changed.
"""

import os
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from haywain.errors import CorruptDataError
from haywain.store import extents as extent
from haywain.store.chunk import checked
from haywain.store.extents import Extents, pieces
from haywain.store.record_chunk import Chunk

if TYPE_CHECKING:
    from haywain.store.array import Array


class Layout(NamedTuple):
    """The extents of a block, and on top of them the tail's Records as (offset, oid, length)."""

    extents: Extents[bytes] = ()
    patches: tuple[tuple[int, bytes, int], ...] = ()


def layout_of(array: "Array", number: int) -> Layout:
    """Return what a block of an array shows, as this transaction has it."""
    block = array.blocks.get(number)
    found = () if block is None else block.extents
    return Layout(tuple((o, chunk._p_oid, p, n) for o, chunk, p, n in found), array.extent.patches(number))


# Any: a ZODB Connection, which has no types
def fill(connection: Any, layout: Layout, low: int, high: int, out: memoryview) -> None:
    """Write the bytes [low, high) of a block into `out`, which is zero; raises CorruptDataError."""
    for offset, oid, position, length in pieces(layout.extents, low, high):
        if oid is not None:
            with chunk_of(connection, oid).open(position, position + length) as file:
                _read(file, position, out[offset - low : offset - low + length])
    for offset, oid, length in layout.patches:
        start, stop = max(offset, low), min(offset + length, high)
        if start < stop:
            out[start - low : stop - low] = checked(connection.get(oid))[start - offset : stop - offset]


def chunk_of(connection: Any, oid: bytes) -> Chunk:  # Any: as above
    """Return a chunk by its oid."""
    return cast(Chunk, connection.get(oid))


def _read(file: IO[bytes], position: int, out: memoryview) -> None:
    while out:
        count = os.preadv(file.fileno(), [out], position)
        if not count:
            raise CorruptDataError("A blob ends before its last extent")
        position, out = position + count, out[count:]


def blocks_of(low: int, high: int) -> range:
    """Return the numbers of the blocks that the bytes [low, high) of an array meet."""
    return range(low // extent.BLOCK_SIZE, -(-high // extent.BLOCK_SIZE)) if low < high else range(0)

"""Layout: what a block of an array shows, as values that compare equal across transactions.

Blobs and Records never change, so two equal layouts mean equal bytes.  A layout names them by oid: it can be
shown again after the objects that held it have changed.
"""

from hashlib import blake2b
from itertools import pairwise
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from haywain.errors import CorruptDataError
from haywain.store import extents as extent
from haywain.store.chunk import checked
from haywain.store.extents import Extents, Span, pieces, united
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


def layouts_of(array: "Array", low: int, high: int) -> dict[int, Layout]:
    """Return what those of the blocks [low, high) show in which something is stored, by number."""
    numbers = {*array.blocks.keys(low, high - 1), *array.extent.patched(low, high)} if low < high else ()
    found = ((number, layout_of(array, number)) for number in sorted(numbers))
    return {number: layout for number, layout in found if layout != Layout()}


def fingerprint(array: "Array", low: int, high: int) -> bytes:
    """Return 16 bytes that stay the same as long as nothing is written to the bytes [low, high).

    What is stored anew as it was, by a compaction, changes them too.
    """
    found = blake2b(digest_size=16)
    for number, start, stop in extent.split((low, high), extent.BLOCK_SIZE):
        layout, first = layout_of(array, number), number * extent.BLOCK_SIZE
        start, stop = start - first, stop - first
        told: list[object] = list(pieces(layout.extents, start, stop))
        told += [(o, oid, n) for o, oid, n in layout.patches if o < stop and o + n > start]
        found.update(repr((number, told)).encode())
    return found.digest()


def differing(one: Layout, other: Layout) -> list[Span]:
    """Return the spans of a block in which two layouts may show different bytes.

    >>> differing(Layout(((0, b"a", 0, 8),)), Layout(((0, b"a", 0, 4), (4, b"b", 0, 8)), ((2, b"c", 1),)))
    [(2, 3), (4, 12)]
    """
    ends = sorted({end for o, _, _, n in (*one.extents, *other.extents) for end in (o, o + n)})
    spans = [
        (low, high)
        for low, high in pairwise(ends)
        if next(pieces(one.extents, low, high)) != next(pieces(other.extents, low, high))
    ]
    patches = set(one.patches) ^ set(other.patches)
    return united([*spans, *((offset, offset + length) for offset, _, length in patches)])


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
    file.seek(position)
    while out:
        count = file.readinto(out)  # type: ignore[attr-defined]  # typing.IO lacks it, files have it
        if not count:
            raise CorruptDataError("A blob ends before its last extent")
        out = out[count:]


def blocks_of(low: int, high: int) -> range:
    """Return the numbers of the blocks that the bytes [low, high) of an array meet."""
    return range(low // extent.BLOCK_SIZE, -(-high // extent.BLOCK_SIZE)) if low < high else range(0)

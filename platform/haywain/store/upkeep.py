"""Upkeep of an Array: check its bytes, and store anew what is in many pieces."""

from functools import partial

from haywain.store import extents
from haywain.store.array import Array
from haywain.store.checking import check_block, checked_rows
from haywain.store.chunk import checked
from haywain.store.layout import blocks_of


def verify(array: Array, start: int, stop: int) -> None:
    """Check the stored bytes of the rows [start, stop); raises CorruptDataError, which names the rows."""
    low, high = start * array.row_bytes, stop * array.row_bytes
    numbers = blocks_of(low, high)
    for number in array.blocks.keys(numbers.start, numbers.stop - 1) if numbers else ():
        first = number * extents.BLOCK_SIZE
        check_block(array, number, [(max(low - first, 0), min(high - first, extents.BLOCK_SIZE))])
    for offset, (length, record) in array.extent.tail.items():
        if offset < high and offset + length > low:
            checked_rows(array, offset, offset + length, partial(checked, record))


def fragmented(array: Array) -> list[int]:
    """Return the numbers of the Blocks of more than one extent, or over blobs mostly unused."""
    used: dict[bytes, int] = {}
    for block in array.blocks.values():
        for _, chunk, _, length in block.extents:
            used[chunk._p_oid] = used.get(chunk._p_oid, 0) + length
    return [
        number
        for number, block in array.blocks.items()
        if len(block.extents) > 1
        or any(2 * used[chunk._p_oid] < chunk.length for _, chunk, _, _ in block.extents)
    ]


def in_pieces(array: Array, most: int, before: bytes) -> tuple[list[int], bool]:
    """Return the numbers of the Blocks of more than `most` extents whose last change was before a moment.

    And whether there are others, which have changed since.  A moment is a transaction id.
    """
    found = [(number, block) for number, block in array.blocks.items() if len(block.extents) > most]
    at_rest = [number for number, block in found if block._p_serial < before]
    return at_rest, len(at_rest) < len(found)

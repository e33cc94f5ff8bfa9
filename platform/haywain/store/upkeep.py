"""Upkeep of an Array: check its bytes, and store anew what is in many pieces."""

from collections.abc import Callable
from functools import partial

from haywain.errors import CorruptDataError
from haywain.store import extents
from haywain.store.array import Array
from haywain.store.chunk import checked
from haywain.store.layout import blocks_of
from haywain.store.record_chunk import Chunk


def verify(array: Array, start: int, stop: int) -> None:
    """Check the stored bytes of the rows [start, stop); raises CorruptDataError, which names the rows."""
    low, high = start * array.row_bytes, stop * array.row_bytes
    for number in blocks_of(low, high):
        block, first = array.blocks.get(number), number * extents.BLOCK_SIZE
        for offset, chunk, position, length in () if block is None else block.extents:
            begin, end = max(first + offset, low), min(first + offset + length, high)
            if begin < end:
                shift = position - first - offset
                _check(array, begin, end, partial(_check_chunk, chunk, begin + shift, end + shift))
    for offset, (length, record) in array.extent.tail.items():
        if offset < high and offset + length > low:
            _check(array, offset, offset + length, partial(checked, record))


def _check_chunk(chunk: Chunk, low: int, high: int) -> None:
    for _ in chunk.blocks(low, high):
        pass


def _check(array: Array, low: int, high: int, check: Callable[[], object]) -> None:
    try:
        check()
    except CorruptDataError as error:
        rows = f"{low // array.row_bytes} to {min(-(-high // array.row_bytes), array.rows)}"
        raise CorruptDataError(f"{error}; it holds the rows {rows} of the array") from error


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

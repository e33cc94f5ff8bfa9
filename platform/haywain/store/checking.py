"""Checking: the stored bytes of an array against their checksums.

What is read to be stored anew gets new checksums: it must be checked before, else they would vouch for bytes
that nobody wrote.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from haywain.errors import CorruptDataError
from haywain.store import chunk as chunks
from haywain.store import extents
from haywain.store.extents import Span, pieces
from haywain.store.record_chunk import Chunk

if TYPE_CHECKING:
    from haywain.store.array import Array

_Part = tuple[bytes, int]
"""Oid of a chunk, and the number of one of its checksums."""


def check_block(array: "Array", number: int, spans: Iterable[Span]) -> None:
    """Check what the extents of a Block hold of some spans of it; raises CorruptDataError, which names rows.

    Each checksum is looked at once, however many extents it covers.
    """
    start = number * extents.BLOCK_SIZE
    found: dict[_Part, tuple[Chunk, int, int]] = {}  # with the bytes of the array that it holds
    for part, chunk, low, high in _parts(array, number, spans):
        _, first, last = found.get(part, (chunk, low, high))
        found[part] = chunk, min(first, low), max(last, high)
    for _, some in groupby(enumerate(sorted(found)), lambda one: (one[1][0], one[1][1] - one[0])):
        parts = [part for _, part in some]
        views = found[parts[0]][0].blocks(*_span_of(found[parts[0]][0], parts[0][1], parts[-1][1]))
        for part in parts:
            _, low, high = found[part]
            checked_rows(array, start + low, start + high, lambda: next(views))  # noqa: B023  # called at once


def _parts(array: "Array", number: int, spans: Iterable[Span]) -> Iterator[tuple[_Part, Chunk, int, int]]:
    """Yield what of the spans each checksum covers, in bytes of the Block; one may come more than once."""
    block = array.blocks.get(number)
    for span in spans if block is not None else ():
        for offset, chunk, position, length in pieces(block.extents, *span):
            shift, end = offset - position, position + length
            while chunk is not None and position < end:
                part = position // chunks.BLOCK_SIZE
                stop = min((part + 1) * chunks.BLOCK_SIZE, end)
                yield (chunk._p_oid, part), chunk, position + shift, stop + shift
                position = stop


def _span_of(chunk: Chunk, first: int, last: int) -> Span:
    return first * chunks.BLOCK_SIZE, min((last + 1) * chunks.BLOCK_SIZE, chunk.length)


def checked_rows(array: "Array", low: int, high: int, check: Callable[[], object]) -> None:
    """Check the bytes [low, high) of an array; the CorruptDataError of `check` then names their rows."""
    try:
        check()
    except CorruptDataError as error:
        rows = f"{low // array.row_bytes} to {min(-(-high // array.row_bytes), array.rows)}"
        raise CorruptDataError(f"{error}; it holds the rows {rows} of the array") from error

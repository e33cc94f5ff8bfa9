"""Structure: checks that the parts of a Stream or an Array fit together, without reading their bytes."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from haywain.store import extents
from haywain.store.array import Array
from haywain.store.pyramid import Level, Pyramid, height_of
from haywain.store.stream import Generation, Stream


class Flaw(NamedTuple):
    """What does not fit: at which offset of a stream, in bytes, or in which rows of an array."""

    detail: str
    offset: int | None = None
    rows: tuple[int, int] | None = None


LengthOf = Callable[[bytes], int | None]
"""Returns how many bytes the Record of an oid has; None where that is not known."""

Check = Callable[[Any, LengthOf], Iterator[Flaw]]
"""Yields what is wrong with an object.  Any: of the class that it is registered for."""


def stream_flaws(stream: Stream, length_of: LengthOf) -> Iterator[Flaw]:
    """Yield where the generations of a stream, or the Records of one of them, do not join."""
    stop, generation = None, None
    for start, generation in stream.generations.items():
        if generation.start != start:
            yield Flaw(f"the generation at {start} says that it begins at {generation.start}", start)
        if stop is not None and start != stop:
            yield Flaw(f"a generation ends at {stop} and the next one begins at {start}", stop)
        yield from _generation_flaws(generation, length_of)
        stop = generation.stop
    if generation is None:
        yield Flaw("it has no generation to append to")
    elif generation.closed:
        yield Flaw("its last generation is closed", generation.start)


def _generation_flaws(generation: Generation, length_of: LengthOf) -> Iterator[Flaw]:
    if generation.chunk is not None:
        if generation.chunk.length != generation.size:
            detail = f"a segment of {generation.chunk.length} bytes lies where {generation.size} are expected"
            yield Flaw(detail, generation.start)
        return
    at = generation.start
    for offset, record in generation.records.items():
        if offset != at:
            yield Flaw(f"a record ends at {at} and the next one begins at {offset}", at)
        length = length_of(record._p_oid)
        if length is None:
            yield Flaw(f"the record {record._p_oid.hex()} is not there", offset)
            return
        at = offset + length
    if at != generation.stop:
        yield Flaw(f"the records of a generation end at {at} and should at {generation.stop}", at)


def array_flaws(array: Array, length_of: LengthOf) -> Iterator[Flaw]:
    """Yield the extents of an array that do not fit into chunks and blocks, and what is wrong in its tail."""
    size = extents.ceil(array.nbytes, extents.PAGE)
    for number, block in array.blocks.items():
        first, at = number * extents.BLOCK_SIZE, 0
        for offset, chunk, position, length in block.extents:
            rows = _rows(array, first + offset, first + offset + length)
            if offset < at or any(value % extents.PAGE for value in (offset, position, length)):
                yield Flaw("an extent lies on another one, or not on whole pages", rows=rows)
            if position + length > chunk.length:
                yield Flaw(f"an extent ends behind the {chunk.length} bytes of its chunk", rows=rows)
            at = offset + length
            if at > extents.BLOCK_SIZE or first + at > size:
                yield Flaw("an extent ends behind its block or the last row", rows=rows)
    yield from _tail_flaws(array, length_of)


def level_flaws(level: Level, length_of: LengthOf) -> Iterator[Flaw]:
    """Yield the flaws of a level as an array; its buckets are no rows that anybody knows."""
    for flaw in array_flaws(level, length_of):
        yield Flaw(f"in a level of detail: {flaw.detail}")


def pyramid_flaws(pyramid: Pyramid, length_of: LengthOf) -> Iterator[Flaw]:
    """Yield the levels that a pyramid should not have, or that have not as many buckets as they should."""
    if len(pyramid.levels) != height_of(pyramid.rows):
        yield Flaw(f"{pyramid.rows} rows have {height_of(pyramid.rows)} levels, not {len(pyramid.levels)}")
    for number, level in enumerate(pyramid.levels):
        if level.rows != pyramid.length(number):
            yield Flaw(f"level {number} has {level.rows} buckets and should have {pyramid.length(number)}")


def _tail_flaws(array: Array, length_of: LengthOf) -> Iterator[Flaw]:
    tail, total, count = array.extent, 0, 0
    for offset, (length, record) in tail.tail.items():
        rows = _rows(array, offset, offset + length)
        if length_of(record._p_oid) != length:
            yield Flaw(f"the record {record._p_oid.hex()} of the tail has not {length} bytes", rows=rows)
        if offset + length > array.nbytes:
            yield Flaw("a record of the tail ends behind the last row", rows=rows)
        total, count = total + length, count + 1
    if (total, count) != (tail.tail_bytes, tail.tail_count):
        yield Flaw(f"the tail has {count} records and {total} bytes, and counts others")


def _rows(array: Array, low: int, high: int) -> tuple[int, int]:
    """Return the rows that bytes of an array belong to."""
    size = array.row_bytes
    return low // size, min(-(-high // size), max(array.rows, low // size + 1))


def place_in_stream(stream: Stream, oid: bytes) -> int | None:
    """Return the offset at which the bytes of a Record or a BlobChunk begin."""
    for start, generation in stream.generations.items():
        if generation.chunk is not None:
            if generation.chunk._p_oid == oid:
                return int(start)
            continue
        for offset, record in generation.records.items():
            if record._p_oid == oid:
                return int(offset)
    return None


def rows_in_array(array: Array, oid: bytes) -> tuple[int, int] | None:
    """Return the rows that lie in a Record or a BlobChunk, from the first to the last of them."""
    spans = [
        (number * extents.BLOCK_SIZE + offset, length)
        for number, block in array.blocks.items()
        for offset, chunk, _, length in block.extents
        if chunk._p_oid == oid
    ]
    spans += [
        (offset, length) for offset, (length, record) in array.extent.tail.items() if record._p_oid == oid
    ]
    if not spans:
        return None
    return _rows(array, min(low for low, _ in spans), max(low + length for low, length in spans))

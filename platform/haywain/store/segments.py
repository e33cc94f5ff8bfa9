"""Segments: what becomes of a Stream's closed generations, which no append touches any more.

They are sealed, and when they are cold perhaps compressed; neither changes a byte that is read.  Two marks
spare looking at all generations of a long stream.  `is_last_sealed` is of one that is sealed like all before
it: what is not sealed is looked for from the end backwards, up to the last such one.  `is_settled` is of one
that compression is done with, like all before it, since they are taken in order: the first that is not is
found by halving.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from haywain.store.chunk import BlobChunk
from haywain.store.compressed import CompressedChunk, is_worth_it
from haywain.store.growing import RecordTree
from haywain.store.record_chunk import write_chunk

if TYPE_CHECKING:
    from haywain.store.stream import Generation, Stream


def unsealed(stream: "Stream") -> list[int]:
    """Return the starts of the generations that can be sealed."""
    found = []
    for generation in _backwards(stream, stream.last.start + 1):
        if generation.is_last_sealed:
            break
        if generation.closed and generation.chunk is None:
            found.append(generation.start)
    return found[::-1]


def is_all_sealed(stream: "Stream", start: int) -> bool:
    """Return whether all generations before this offset are sealed."""
    for generation in _backwards(stream, start):
        if generation.is_last_sealed:
            break
        if generation.chunk is None:
            return False
    return True


def seal(stream: "Stream", generation: "Generation") -> bool:
    """Pack a closed generation into one blob; return whether there was something to pack."""
    if not generation.closed or generation.chunk is not None:
        return False
    pieces = generation.pieces(generation.start, generation.stop)
    generation.chunk = write_chunk(stream._p_jar, pieces)
    generation.records = RecordTree()  # the records become garbage for the pack
    generation.is_last_sealed = is_all_sealed(stream, generation.start)
    return True


def cold(stream: "Stream", before_s: float) -> "Generation | None":
    """Return the next generation to compress, if its last byte came before a moment."""
    found = _first_unsettled(stream)
    return found if found.chunk is not None and found.modified < before_s else None


def settle(stream: "Stream", generation: "Generation") -> bool:
    """Compress the first segment that is not settled yet, if that makes it smaller; return whether it did."""
    segment, before = generation.chunk, _before(stream, generation.start)
    if generation.is_settled or segment is None or (before is not None and not before.is_settled):
        return False
    spared = 0
    if isinstance(segment, BlobChunk) and is_worth_it(segment):
        packed = CompressedChunk.write(stream._p_jar, segment.blocks(0, generation.size))
        generation.chunk, spared = packed, generation.size - packed.stored
    generation.is_settled = True
    generation.saved = (before.saved if before is not None else stream.gone_saved) + spared
    return generation.chunk is not segment


def saved_before(stream: "Stream", start: int) -> int:
    """Return the bytes that compression has spared of all before an offset, those that expired included."""
    last = _before(stream, min(start, _first_unsettled(stream).start))
    return last.saved if last is not None else stream.gone_saved


def _first_unsettled(stream: "Stream") -> "Generation":
    first = stream.holding(stream.start)
    if not first.is_settled:  # as in most streams
        return first
    low, high = first.stop, stream.last.start
    while low < high:
        generation = stream.holding((low + high) // 2)
        if generation.is_settled:
            low = generation.stop
        else:
            high = generation.start
    return stream.holding(low)


def _before(stream: "Stream", start: int) -> "Generation | None":
    return next(_backwards(stream, start), None)


def _backwards(stream: "Stream", start: int) -> Iterator["Generation"]:
    """Yield the generations that begin before an offset, the last first."""
    while start > stream.start:
        start = stream.generations.maxKey(start - 1)
        yield cast("Generation", stream.generations[start])

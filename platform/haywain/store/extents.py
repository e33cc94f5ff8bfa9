"""Extents: which bytes of a block of an array lie where, as tuples and pure functions.

An extent is (offset, where, position, length): the bytes [offset, offset + length) of a block lie in
`where`, from `position` on.  In the database `where` is a BlobChunk, in a Layout its oid.  The extents of a
block are sorted, never overlap, and offset, position and length are multiples of PAGE; what none of them
covers is zero.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import TypeVar

from haywain.values import MIB

PAGE = 4096
"""Bytes to which extents are aligned, on every system; where its own pages are larger, edges are copied."""

BLOCK_SIZE = 64 * MIB
"""Bytes of an array for which one Block stands: two transactions that change one Block conflict."""

JOIN_GAP = 8 * PAGE
"""Changed runs of bytes closer than this are stored as one: each extent costs a mapping."""

MOST_EXTENTS, MOST_OF_FEW = 256, 1024
"""A Block has at most so many extents; in an array of few Blocks more."""

MOST_OF_ARRAY = 16_000
"""Extents of all Blocks of an array from which on each may have fewer: half of what a process maps."""

MANY_EXTENTS = 16
"""A block of more is worth to be stored anew, once nobody changes it any more."""

Where = TypeVar("Where")
Extents = tuple[tuple[int, Where, int, int], ...]
Span = tuple[int, int]
"""Half-open range of bytes."""


def most_extents(size: int) -> int:
    """Return how many extents a Block may have in an array of `size` bytes.

    A commit that changes pages here and there writes what lies between the nearest of them anew, so that
    there are no more: with 1,000 extents a sixth of the bytes that it is with 256.

    >>> most_extents(64 * MIB), most_extents(2048 * MIB), most_extents(16384 * MIB)
    (1024, 500, 256)
    """
    blocks = max(-(-size // BLOCK_SIZE), 1)
    return max(MOST_EXTENTS, min(MOST_OF_FEW, MOST_OF_ARRAY // blocks))


def floor(value: int, page: int) -> int:
    """Return the last multiple of `page` at or below a value.

    >>> floor(8191, 4096), floor(8192, 4096)
    (4096, 8192)
    """
    return value // page * page


def ceil(value: int, page: int) -> int:
    """Return the first multiple of `page` at or above a value.

    >>> ceil(4097, 4096), ceil(4096, 4096)
    (8192, 4096)
    """
    return -(-value // page) * page


def pieces(extents: Extents[Where], low: int, high: int) -> Iterator[tuple[int, Where | None, int, int]]:
    """Yield (offset, where, position, length) that tile [low, high); `where` is None in a hole.

    >>> list(pieces(((4, "a", 0, 4),), 0, 6))
    [(0, None, 0, 4), (4, 'a', 0, 2)]
    """
    at = low
    first = max(bisect_right(extents, low, key=lambda extent: extent[0]) - 1, 0)
    for offset, where, position, length in extents[first:]:
        if offset >= high:
            break
        if offset + length <= at:
            continue
        if offset > at:
            yield at, None, 0, offset - at
            at = offset
        stop = min(offset + length, high)
        yield at, where, position + at - offset, stop - at
        at = stop
    if at < high:
        yield at, None, 0, high - at


def overlay(extents: Extents[Where], new: Extents[Where], size: int) -> Extents[Where]:
    """Return the extents of a block of `size` bytes with the `new` ones on top.

    >>> overlay(((0, "a", 0, 8),), ((4, "b", 0, 2),), 64)
    ((0, 'a', 0, 4), (4, 'b', 0, 2), (6, 'a', 6, 2))
    """
    result: list[tuple[int, Where, int, int]] = []
    at = 0
    for extent in new:
        assert extent[0] >= at, "extents overlap"
        result += _data(extents, at, extent[0])
        result.append(extent)
        at = extent[0] + extent[3]
    return tuple(result + _data(extents, at, size))


def trimmed(extents: Extents[Where], size: int) -> Extents[Where]:
    """Return the extents of the first `size` bytes of a block."""
    return tuple(_data(extents, 0, size))


def _data(extents: Extents[Where], low: int, high: int) -> list[tuple[int, Where, int, int]]:
    return [(o, where, p, n) for o, where, p, n in pieces(extents, low, high) if where is not None]


def united(spans: Iterable[Span], gap: int = 0) -> list[Span]:
    """Return sorted spans of which none touches another; those at most `gap` bytes apart become one.

    >>> united([(8, 9), (0, 4), (4, 6)])
    [(0, 6), (8, 9)]
    """
    result: list[Span] = []
    for low, high in sorted(spans):
        if result and low - result[-1][1] <= gap:
            result[-1] = (result[-1][0], max(high, result[-1][1]))
        elif low < high:
            result.append((low, high))
    return result


def without(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """Return what of the spans no sorted `taken` span covers.

    >>> without([(0, 10)], [(2, 4), (8, 12)])
    [(0, 2), (4, 8)]
    """
    holes = list(taken)
    result = []
    for low, high in spans:
        at = low
        for start, stop in holes:
            if stop > at and start < high:
                result.append((at, start))
                at = stop
        result.append((at, high))
    return [(low, high) for low, high in result if low < high]


def split(span: Span, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield (number, low, high) for each block of `size` bytes that a span meets; bytes of the array.

    >>> list(split((2, 9), 4))
    [(0, 2, 4), (1, 4, 8), (2, 8, 9)]
    """
    low, high = span
    while low < high:
        number = low // size
        stop = min(high, (number + 1) * size)
        yield number, low, stop
        low = stop


def joined(runs: Iterable[Span], gap: int, size: int) -> list[Span]:
    """Return runs of changed bytes, those closer than `gap` as one, but never into another block.

    >>> joined([(0, 1), (3, 5), (7, 9)], gap=3, size=6)
    [(0, 5), (7, 9)]
    """
    result: list[Span] = []
    for low, high in runs:
        if result and low - result[-1][1] < gap and (result[-1][1] - 1) // size == low // size:
            result[-1] = (result[-1][0], high)
        else:
            result.append((low, high))
    return result

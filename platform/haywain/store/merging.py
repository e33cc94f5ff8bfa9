"""Merging: which extents of a block to write anew with what is written, so that it has not too many.

Each extent costs a mapping.  To write a whole block anew as one would cost 64 MiB for a few changed pages; so
only the smallest of what lies between others is written.
"""

from itertools import groupby
from typing import NamedTuple

from haywain.store.extents import Extents, Span, Where, overlay, pieces, united


class _Tile(NamedTuple):
    """A part of a block: bytes that are `new`, an `old` extent, or a `hole`."""

    kind: str
    low: int
    high: int


def absorbed(extents: Extents[Where], new: list[Span], size: int, most: int) -> list[Span]:
    """Return what else of a block of `size` bytes is to be written when the sorted spans `new` are.

    What is written side by side becomes one extent, so that there are at most `most` of them.

    >>> absorbed(((0, "a", 0, 64),), [(8, 9), (12, 13), (40, 41)], 64, 5)
    [(9, 12)]
    """
    old = tuple((offset, "old", position, length) for offset, _, position, length in extents)
    both = overlay(old, tuple((low, "new", 0, high - low) for low, high in new), size)
    if len(both) <= most:
        return []
    end = both[-1][0] + both[-1][3]
    tiles = [_Tile(kind or "hole", at, at + n) for at, kind, _, n in pieces(both, both[0][0], end)]
    lengths = sorted({tile.high - tile.low for tile in tiles if tile.kind != "new"})
    low, high = 0, len(lengths)
    while low < high:  # the least length up to which all is absorbed
        middle = (low + high) // 2
        if _count(tiles, lengths[middle]) <= most:
            high = middle
        else:
            low = middle + 1
    groups = _groups(tiles, lengths[min(low, len(lengths) - 1)])
    return united((tile.low, tile.high) for group in groups for tile in group if tile.kind != "new")


def _groups(tiles: list[_Tile], length: int) -> list[list[_Tile]]:
    """Return the neighbours that become one extent each, if nothing longer than `length` is absorbed."""
    found = []
    for is_taken, some in groupby(tiles, lambda tile: tile.kind == "new" or tile.high - tile.low <= length):
        group = list(some) if is_taken else []
        while group and group[0].kind == "hole":
            del group[0]
        while group and group[-1].kind == "hole":
            del group[-1]
        if len(group) > 1 or (group and group[0].kind == "new"):
            found.append(group)
    return found


def _count(tiles: list[_Tile], length: int) -> int:
    """Return how many extents there are after that."""
    groups = _groups(tiles, length)
    in_groups = sum(tile.kind != "hole" for group in groups for tile in group)
    return sum(tile.kind != "hole" for tile in tiles) - in_groups + len(groups)

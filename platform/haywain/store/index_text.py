"""Indices as people write them: `0:10, ::2, -1`, NumPy's notation without its lists and masks."""

import re
from collections.abc import Sequence
from types import EllipsisType
from typing import cast

from haywain.errors import InvalidError

INDEX_LENGTH = 1000
"""Most characters of an index."""

_NUMBER = re.compile(r"[+-]?\d+", re.ASCII)
_SLICE = re.compile(r"([+-]?\d+)? *: *([+-]?\d+)?(?: *: *([+-]?\d+)?)?", re.ASCII)

_DIGITS = 19
"""So many digits of a number are told."""

Item = int | slice | EllipsisType


def parse_index(text: str, shape: tuple[int, ...]) -> tuple[Item, ...]:
    """Return the index of a text: integers, slices and one ellipsis; raises InvalidError.

    An empty text is everything.

    >>> parse_index("0:10, ::2, -1", (20, 6, 3))
    (slice(0, 10, None), slice(None, None, 2), -1)
    """
    items = parse_items(text)
    if len(items) - items.count(...) > len(shape):
        raise InvalidError(
            f"The index has {len(items)} items, the array of shape {shape} has {len(shape)} axes"
        )
    _check_bounds(items, shape)
    return items


def parse_items(text: str) -> tuple[Item, ...]:
    """Return the items of an index of any array; raises InvalidError.

    >>> parse_items("5, ..., :3")
    (5, Ellipsis, slice(None, 3, None))
    """
    if len(text) > INDEX_LENGTH:
        raise InvalidError(f"The index is longer than {INDEX_LENGTH} characters")
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if "" in parts:
        raise InvalidError(f"The item {parts.index('')} of the index (from 0) is empty; : is all of an axis")
    items = tuple(_item(part) for part in parts)
    if items.count(...) > 1:
        raise InvalidError("An index has at most one ellipsis (...)")
    return items


def _item(part: str) -> Item:
    if part == "...":
        return ...
    try:
        if _NUMBER.fullmatch(part):
            return int(part)
        found = _SLICE.fullmatch(part)
        if found is None:
            raise ValueError("an index has items such as 3, -1, 0:10, ::2 or ...")
        bounds = [int(one) if one else None for one in found.groups()]
        if bounds[2] == 0:
            raise ValueError("a step cannot be 0")
        return slice(*bounds)
    except ValueError as error:
        raise InvalidError(f"The index {part[:40]!r} makes no sense: {error}") from None


def _check_bounds(items: tuple[Item, ...], shape: tuple[int, ...]) -> None:
    before = items[: items.index(...)] if ... in items else items
    after = items[items.index(...) + 1 :] if ... in items else ()
    axes = [*enumerate(before), *enumerate(after, len(shape) - len(after))]
    for axis, item in axes:
        if isinstance(item, int) and not -shape[axis] <= item < shape[axis]:
            shown = f"{item}" if abs(item) < 10**_DIGITS else f"{str(item)[:_DIGITS]}…"
            raise InvalidError(f"The index {shown} lies outside of axis {axis}, which has {shape[axis]}")


def one_an_axis(items: Sequence[Item], axes: int) -> tuple[int | slice, ...]:
    """Return an index with one item for each axis.

    >>> one_an_axis((..., 1), 3)
    (slice(None, None, None), slice(None, None, None), 1)
    """
    full = (*items, ...) if ... not in items else tuple(items)
    place = full.index(...)
    found = (*full[:place], *[slice(None)] * (axes - len(full) + 1), *full[place + 1 :])
    return cast(tuple[int | slice, ...], found)


def names_after(names: list[str], shape: tuple[int, ...], items: tuple[Item, ...]) -> list[str]:
    """Return those of the names of a table's columns that an index leaves; [] if they are not its names."""
    if len(names) != shape[-1]:
        return []
    last = one_an_axis(items, len(shape))[-1]
    return [names[last]] if isinstance(last, int) else names[last]

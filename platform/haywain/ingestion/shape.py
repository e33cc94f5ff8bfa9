"""How deep and how many: the shape of msgpack and of JSON, looked at before anything is made of it.

A decoder believes what a body claims: an array of 4 billion makes msgpack-python ask for 32 GB, and what is
not nested too deep for it may still be too much.  So the bytes are counted first: msgpack element by element
(0.3 us each), and never more than the limit; JSON in C, by what is left of it without its texts.
"""

import re
from collections.abc import Iterator

import numpy as np

from haywain.errors import InvalidError, TooLargeError
from haywain.values import MIB, RecordLimits

_FIXED = {
    **dict.fromkeys((0xC0, 0xC2, 0xC3, *range(0x80), *range(0xE0, 0x100)), 0),
    **{0xA0 + length: length for length in range(32)},
    0x80: 0,
    0x90: 0,  # without anything inside
}
_FIXED |= {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8, 0xCA: 4, 0xCB: 8}
_FIXED |= {0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
"""Bytes behind the first of a value that has always as many."""
_SIZED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_SIZED |= {0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
"""Bytes of a length that follows, and what comes with the value besides."""
_CONTAINERS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""Bytes of a count that follows, and values for each that is counted."""
_REST = [_FIXED.get(first, -1) for first in range(256)]

_TEXT = re.compile(rb'"[^"]*+"')
_ESCAPES = re.compile(rb"\\*+.?", re.DOTALL)
_OUTSIDE = bytes(set(range(256)) - set(b"[]{},"))
_STEP = MIB


def check_msgpack(data: bytes, limits: RecordLimits) -> None:
    """Check the objects that bytes hold one after the other.

    Raises InvalidError for what is no msgpack, is cut or claims more than there is; TooLargeError for what is
    too deep or too many.
    """
    position, size, elements = 0, len(data), 0
    rest_of, most = _REST, limits.elements
    left: list[int] = []  # how many values each open container still waits for
    while position < size or left:
        if position >= size:
            raise InvalidError("The last object of msgpack is cut short")
        first = data[position]
        position += 1
        elements += 1
        if elements > most:
            raise too_many(limits)
        rest, inside = rest_of[first], 0
        if rest < 0:
            rest, inside = _opened(data, position, first)
        position += rest
        if inside > size - position or position > size:
            raise InvalidError(f"At byte {position - rest - 1} something claims to be longer than the body")
        if inside:
            left.append(inside)
            if len(left) > limits.nesting:
                raise too_deep(limits)
            continue
        while left:
            left[-1] -= 1
            if left[-1]:
                break
            left.pop()


def _opened(data: bytes, position: int, first: int) -> tuple[int, int]:
    """Return the bytes behind the first of a value that come before what is inside, and the values inside."""
    if 0x80 <= first <= 0x9F:
        return 0, (first & 0x0F) * (2 if first < 0x90 else 1)
    if first in _SIZED:
        width, more = _SIZED[first]
        return width + more + int.from_bytes(data[position : position + width], "big"), 0
    if first in _CONTAINERS:
        width, each = _CONTAINERS[first]
        return width, each * int.from_bytes(data[position : position + width], "big")
    raise InvalidError(f"At byte {position - 1} begins no object of msgpack")


def check_json(data: bytes, limits: RecordLimits) -> None:
    """Check JSON, or several after each other; raises TooLargeError for what is too deep or too many.

    What is no JSON may pass: its decoder stops before the first byte that is counted wrong.
    """
    elements = depth = 0
    for marks in _marks(data):
        elements += len(marks) - marks.count(b"]") - marks.count(b"}")
        if elements > limits.elements:
            raise too_many(limits)
        kinds = np.frombuffer(marks.replace(b",", b""), np.uint8)
        opens = (kinds == ord("[")) | (kinds == ord("{"))
        depths = np.cumsum(opens * np.int64(2) - 1)
        if len(depths):
            if depth + int(depths.max()) > limits.nesting:
                raise too_deep(limits)
            depth += int(depths[-1])


def _marks(data: bytes) -> Iterator[bytes]:
    """Yield the brackets and commas that stand outside of texts, a piece at a time."""
    position, step = 0, _STEP
    while position < len(data):
        stop = position + step
        if data[stop - 1 : stop] == b"\\":  # an escape is not cut in two
            stop = _ESCAPES.match(data, stop).end()  # type: ignore[union-attr]  # it matches nothing, too
        piece = data[position:stop].replace(b"\\\\", b"").replace(b'\\"', b"")
        piece = _TEXT.sub(b"", piece)
        begun = piece.find(b'"')  # of a text that goes on behind the piece
        if begun >= 0 and stop < len(data):
            step *= 2
            continue
        yield piece.translate(None, _OUTSIDE)
        position, step = stop, _STEP


def too_many(limits: RecordLimits) -> TooLargeError:
    """Return what is raised for too many elements."""
    return TooLargeError(
        f"The records have more than {limits.elements:,} elements; send them in smaller bodies"
    )


def too_deep(limits: RecordLimits) -> TooLargeError:
    """Return what is raised for a record that is nested too deep."""
    return TooLargeError(f"A record is nested more than {limits.nesting} deep")

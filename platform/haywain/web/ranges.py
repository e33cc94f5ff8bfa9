"""Byte ranges of a request (RFC 9110, section 14)."""

import re

from haywain.errors import RangeError

MOST_RANGES = 64
"""More ranges than that in one request are answered with the whole."""

_SPEC = re.compile(r"(\d*)-(\d*)")


def parse_range(header: str, size: int) -> list[tuple[int, int]] | None:
    """Return the half-open ranges asked for, cut to the size; None where the whole is to be sent.

    A header that makes no sense is ignored, as are ranges that together ask for more bytes than there are.
    Raises RangeError if no range has a byte.

    >>> parse_range("bytes=0-4,-3", 10)
    [(0, 5), (7, 10)]
    """
    unit, _, specs = header.partition("=")
    parts = [part.strip() for part in specs.split(",") if part.strip()]
    if unit.strip().lower() != "bytes" or not parts or len(parts) > MOST_RANGES:
        return None
    found = []
    for part in parts:
        match = _SPEC.fullmatch(part)
        if match is None or part == "-" or len(part) > 40:
            return None
        first, last = match.groups()
        if first and last and int(last) < int(first):
            return None
        start, stop = _bounds(first, last, size)
        if start < stop:
            found.append((start, stop))
    if not found:
        raise RangeError(size)
    return found if sum(stop - start for start, stop in found) <= size else None


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(size - int(last), 0), size
    return int(first), min(int(last) + 1, size) if last else size

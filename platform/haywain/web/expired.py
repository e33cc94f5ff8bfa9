"""Streams whose first bytes have expired: what is gone answers 410, and `?start=` gives the rest as a whole.

A 200 with other bytes than the offsets of ranges would be silently wrong for a client that resumes.  So
`/data` without a range is 410 then; `/data?start=N` is the bytes from N on, with ranges, length and entity
tag of their own.
"""

from collections.abc import Iterator

from pyramid.request import Request

from haywain.errors import ExpiredError, InvalidError, RangeError
from haywain.interfaces import ByteStream


def first_of(stream: ByteStream) -> int:
    """Return the offset of the first byte there still is."""
    return int(getattr(stream, "start", 0))


class FromOffset:
    """The bytes of a stream from an offset on, counted from there."""

    def __init__(self, stream: ByteStream, offset: int) -> None:
        """Show them; raises RangeError behind the end."""
        if offset > stream.size:
            raise RangeError(stream.size)
        self._stream, self._offset = stream, offset
        self.size = stream.size - offset
        self.etag = f"{stream.etag}-{offset:x}"
        self.content_type = stream.content_type

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """Yield the bytes [start, stop)."""
        end = self.size if stop is None else min(stop, self.size)
        return self._stream.chunks(self._offset + start, self._offset + end)


def part_of(stream: ByteStream, request: Request) -> ByteStream:
    """Return the part of a stream that `?start=` asks for, without it the whole; raises InvalidError."""
    start = request.GET.get("start")
    if start is None:
        return stream
    if not start.isascii() or not start.isdigit() or len(start) > 19:
        raise InvalidError("start is an offset in bytes, such as start=67108864")
    return FromOffset(stream, int(start))


def check_ranges(stream: ByteStream, ranges: list[tuple[int, int]]) -> None:
    """Raise ExpiredError if one of several ranges begins before what there is: it would fail half sent."""
    low = min(start for start, _ in ranges)
    if low < first_of(stream):
        raise ExpiredError(low, first_of(stream))

"""gzip of events, in limits: a bomb is refused before it is unpacked."""

import zlib
from collections.abc import Iterator

from haywain.errors import InvalidError, TooLargeError
from haywain.values import MIB

MOST_RATIO = 100
"""Largest decoded size, as a multiple of the encoded, above 1 MiB."""

_GZIP = 31  # wbits: a gzip header, the largest window
_FED = 64 << 10


def inflate(data: bytes, most_bytes: int) -> Iterator[bytes]:
    """Yield the bytes of one or several gzip members, at most 1 MiB at a time.

    fluentd joins members.  Raises InvalidError if it is no gzip, TooLargeError for a bomb.
    """
    most = min(most_bytes, max(MIB, MOST_RATIO * len(data)))
    total = 0
    for piece in _pieces(data):
        total += len(piece)
        if total > most:
            raise TooLargeError(f"The events become larger than {most} bytes when decompressed")
        yield piece


def _pieces(data: bytes) -> Iterator[bytes]:
    view, position, inflater = memoryview(data), 0, zlib.decompressobj(_GZIP)
    try:
        while position < len(view):
            if inflater.eof:
                inflater = zlib.decompressobj(_GZIP)
            fed = view[position : position + _FED]
            yield inflater.decompress(fed, MIB)
            while inflater.unconsumed_tail:
                yield inflater.decompress(inflater.unconsumed_tail, MIB)
            position += len(fed) - len(inflater.unused_data)
    except zlib.error as error:
        raise InvalidError(f"The events are no gzip: {error}") from error
    if len(view) and not inflater.eof:
        raise InvalidError("The events are no gzip: they are cut short")

"""From a request's body to the bytes that are meant: compression and forms, with limits against bombs."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import zstandard

from haywain.errors import InvalidError, TooLargeError
from haywain.values import MIB

FORM = "application/x-www-form-urlencoded"
FIELD = b"data_chunk"

MOST_RATIO = 100
"""Largest decoded size, as a multiple of the encoded, above 1 MiB."""

_STEP = MIB
_FED = 64 << 10  # bytes fed at a time: what follows a member is copied, a large rest would be each time
_ZSTD_FED = 512  # a step of a bomb may become 16 MiB, no more: a block of 4 bytes makes 128 KiB


@dataclass(frozen=True)
class Limits:
    """How large a body may become when decoded, in bytes."""

    decoded_bytes: int = 256 * MIB


def decode_body(body: bytes, content_type: str, encoding: str, limits: Limits) -> bytes:
    """Return the meant bytes; raises InvalidError for a malformed body, TooLargeError for a bomb."""
    for name in reversed([part.strip().lower() for part in encoding.split(",") if part.strip()]):
        body = _decompress(body, name, limits)
    return form_field(body) if media_type(content_type) == FORM else body


def media_type(content_type: str) -> str:
    """Return a content type without its parameters.

    >>> media_type("Text/CSV; charset=utf-8")
    'text/csv'
    """
    return content_type.partition(";")[0].strip().lower()


def form_field(body: bytes) -> bytes:
    r"""Return the bytes of the field `data_chunk` of a form or a query; raises InvalidError without one.

    >>> form_field(b"a=1&data_chunk=%00%ffx+y")
    b'\x00\xffx y'
    """
    name = FIELD + b"="
    start = 0 if body.startswith(name) else body.find(b"&" + name) + 1
    if start or body.startswith(name):
        stop = body.find(b"&", start)
        return percent_decode(body[start + len(name) : stop if stop >= 0 else None])
    raise InvalidError("The form has no field data_chunk")


def percent_decode(value: bytes) -> bytes:
    """Return percent-encoded bytes, `+` as space; what is no escape stays as it is.

    In arrays: `urllib.parse.unquote_to_bytes` takes a microsecond and 60 bytes for each escape, half a minute
    for a body of 64 MiB.  In steps, each cut before a `%` that it would cut in two.
    """
    data, decoded, position = np.frombuffer(value, np.uint8), bytearray(), 0
    while position < len(value):
        stop = position + _STEP
        escape = value.rfind(b"%", stop - 2, stop)
        stop = escape if escape >= 0 else stop
        decoded += _unescape(data[position:stop])
        position = stop
    return bytes(decoded)


def _unescape(data: npt.NDArray[np.uint8]) -> bytes:
    at = np.flatnonzero(data[:-2] == ord("%"))
    high, low = _DIGITS[data[at + 1]], _DIGITS[data[at + 2]]
    is_escape = (high < 16) & (low < 16)
    at = at[is_escape]
    plain = np.where(data == ord("+"), np.uint8(ord(" ")), data)
    plain[at] = high[is_escape] << 4 | low[is_escape]
    stays = np.ones(len(data), np.bool_)
    stays[at + 1] = stays[at + 2] = False
    return plain[stays].tobytes()


def _hexadecimal() -> npt.NDArray[np.uint8]:
    """Return the value of each hexadecimal digit by its character; 255 for what is none."""
    values = np.full(256, 255, np.uint8)
    for value, digit in enumerate("0123456789abcdef"):
        values[[ord(digit), ord(digit.upper())]] = value
    return values


_DIGITS = _hexadecimal()


def _decompress(body: bytes, name: str, limits: Limits) -> bytes:
    if name in ("identity", ""):
        return body
    if name in ("gzip", "x-gzip"):
        pieces = _members(body, _FED, lambda: _Inflater(31))
    elif name == "deflate":
        window = 15 if _has_zlib_header(body) else -15
        pieces = _members(body, _FED, lambda: _Inflater(window))
    elif name == "zstd":
        decompressor = zstandard.ZstdDecompressor(max_window_size=8 * MIB)
        pieces = _members(body, _ZSTD_FED, lambda: _Unzstd(decompressor))
    else:
        raise InvalidError(f"The Content-Encoding {name[:40]!r} is not known; use gzip, deflate or zstd")
    decoded = bytearray()
    try:
        for piece in pieces:
            decoded += piece
            if len(decoded) > limits.decoded_bytes:
                raise TooLargeError(f"The body becomes larger than {limits.decoded_bytes} bytes when decoded")
            if len(decoded) > max(MIB, MOST_RATIO * len(body)):
                raise TooLargeError(f"The body becomes more than {MOST_RATIO} times larger when decoded")
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise InvalidError(f"The body is no {name}: {error}") from error
    return bytes(decoded)


def _has_zlib_header(body: bytes) -> bool:
    return len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0


class _Decoder(Protocol):
    """Decompresses one member of a body (RFC 1952), or one frame (RFC 8878)."""

    @property
    def is_done(self) -> bool:
        """Whether the member is complete."""

    @property
    def rest(self) -> bytes:
        """What was fed behind the end of the member."""

    def feed(self, data: memoryview) -> Iterator[bytes]:
        """Yield what the data become."""


class _Inflater:
    """A member of gzip, or deflate; hands out at most 1 MiB at a time."""

    def __init__(self, window: int) -> None:
        self._inflater = zlib.decompressobj(window)

    @property
    def is_done(self) -> bool:
        return self._inflater.eof

    @property
    def rest(self) -> bytes:
        return self._inflater.unused_data

    def feed(self, data: memoryview) -> Iterator[bytes]:
        yield self._inflater.decompress(data, _STEP)
        while self._inflater.unconsumed_tail:
            yield self._inflater.decompress(self._inflater.unconsumed_tail, _STEP)


class _Unzstd:
    """A frame of zstd."""

    def __init__(self, decompressor: zstandard.ZstdDecompressor) -> None:
        self._inflater = decompressor.decompressobj()

    @property
    def is_done(self) -> bool:
        return self._inflater.eof

    @property
    def rest(self) -> bytes:
        return self._inflater.unused_data

    def feed(self, data: memoryview) -> Iterator[bytes]:
        yield self._inflater.decompress(data)


def _members(body: bytes, step: int, begin: Callable[[], _Decoder]) -> Iterator[bytes]:
    """Yield the pieces of one or several members that follow one another; raises EOFError if one is cut."""
    view, position, decoder = memoryview(body), 0, begin()
    while position < len(view):
        if decoder.is_done:
            decoder = begin()
        fed = view[position : position + step]
        yield from decoder.feed(fed)
        position += len(fed) - (len(decoder.rest) if decoder.is_done else 0)
    if len(view) and not decoder.is_done:
        raise EOFError("it is cut short")

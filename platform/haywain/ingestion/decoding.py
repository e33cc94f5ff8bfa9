"""From a request's body to the bytes that are meant: compression and forms, with limits against bombs."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import zstandard

from haywain.errors import InvalidError, TooLargeError
from haywain.values import MIB

FORM = "application/x-www-form-urlencoded"
FIELD = b"data_chunk"

MOST_RATIO = 100
"""Largest decoded size, as a multiple of the encoded, above 1 MiB."""

_STEP = MIB
_ZSTD_STEP = 4096  # a step of a bomb may become 128 MiB, no more: blocks are at most 128 KiB


@dataclass(frozen=True)
class Limits:
    """How large a body may become when decoded, in bytes."""

    decoded_bytes: int = 256 * MIB


def decode_body(body: bytes, content_type: str, encoding: str, limits: Limits) -> bytes:
    """Return the meant bytes; raises InvalidError for a malformed body, TooLargeError for a bomb."""
    for name in reversed([part.strip().lower() for part in encoding.split(",") if part.strip()]):
        body = _decompress(body, name, limits)
    if content_type.partition(";")[0].strip().lower() == FORM:
        return form_field(body)
    return body


def form_field(body: bytes) -> bytes:
    r"""Return the bytes of the field `data_chunk` of a form or a query; raises InvalidError without one.

    >>> form_field(b"a=1&data_chunk=%00%ffx+y")
    b'\x00\xffx y'
    """
    for part in body.split(b"&"):
        name, _, value = part.partition(b"=")
        if name == FIELD:
            return percent_decode(value)
    raise InvalidError("The form has no field data_chunk")


def percent_decode(value: bytes) -> bytes:
    """Return percent-encoded bytes, `+` as space; in steps, since the library keeps a list of all pieces."""
    decoded, position = bytearray(), 0
    while position < len(value):
        stop = position + _STEP
        while stop < len(value) and b"%" in value[stop - 2 : stop]:
            stop += 1  # do not cut an escape in two
        decoded += unquote_to_bytes(value[position:stop].replace(b"+", b" "))
        position = stop
    return bytes(decoded)


def _decompress(body: bytes, name: str, limits: Limits) -> bytes:
    if name in ("identity", ""):
        return body
    if name in ("gzip", "x-gzip"):
        pieces = _inflate(body, 31)
    elif name == "deflate":
        pieces = _inflate(body, 15 if _has_zlib_header(body) else -15)
    elif name == "zstd":
        pieces = _zstd(body)
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


def _inflate(body: bytes, window: int) -> Iterator[bytes]:
    """Yield the pieces of one or several members (RFC 1952 lets gzip files follow one another)."""
    while body:
        inflater = zlib.decompressobj(window)
        data = body
        while not inflater.eof:
            piece = inflater.decompress(data, _STEP)
            data = inflater.unconsumed_tail
            if not piece and not data and not inflater.eof:
                raise EOFError("it is cut short")
            yield piece
        body = inflater.unused_data


def _zstd(body: bytes) -> Iterator[bytes]:
    """Yield the pieces of one or several frames (RFC 8878)."""
    while body:
        inflater = zstandard.ZstdDecompressor(max_window_size=8 * MIB).decompressobj()
        for position in range(0, len(body), _ZSTD_STEP):
            yield inflater.decompress(body[position : position + _ZSTD_STEP])
            if inflater.eof:
                body = inflater.unused_data + body[position + _ZSTD_STEP :]
                break
        else:
            raise EOFError("it is cut short")

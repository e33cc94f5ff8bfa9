"""A frame of the spool: one request's body with who, where to and up to where its source was read.

    length  crc  epoch  seq  meta length | meta | payload
    u32     u32  u64    u64  u32           msgpack

`length` counts what follows the crc, and the crc is over that.  A frame is one request body, so what goes
into one request is decided once, when it is spooled, and is the same at each try.  A frame without a
payload is sent nowhere: it only carries a position.
"""

from collections.abc import Iterator
from struct import Struct
from typing import Any, BinaryIO, NamedTuple
from zlib import crc32

import msgspec

from haywain.values import MIB

_HEAD = Struct(">II")
_NUMBERS = Struct(">QQI")
LONGEST_BYTES = 256 * MIB
"""A length beyond this is not one that was written."""

_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder()


class Stream(NamedTuple):
    """What is numbered: the frames of one tag for one policy."""

    policy: str
    tag: str


class Frame(NamedTuple):
    """What stands in the spool; `position` is that of the `item` of the source, None: forget it."""

    epoch: int
    seq: int
    source: str
    stream: Stream
    payload: bytes
    item: str = ""
    position: Any = None  # what the source makes of it: numbers, texts and lists of them
    content_type: str = "application/octet-stream"

    @property
    def order(self) -> tuple[int, int]:
        """Return what grows from frame to frame of a stream."""
        return self.epoch, self.seq


def encode(frame: Frame) -> bytes:
    """Return what stands before the payload of a frame in a segment.

    >>> frame = Frame(7, 0, "web", Stream("default", "web.access"), b"GET /", "access.log", [1, 5])
    >>> from io import BytesIO
    >>> found = read(BytesIO(encode(frame) + frame.payload))
    >>> found[0] == frame, read(BytesIO(encode(frame) + frame.payload[:-1]))
    (True, None)
    """
    meta = _encoder.encode([frame.source, *frame.stream, frame.content_type, frame.item, frame.position])
    inside = _NUMBERS.pack(frame.epoch, frame.seq, len(meta)) + meta
    return _HEAD.pack(len(inside) + len(frame.payload), crc32(frame.payload, crc32(inside))) + inside


def read(file: BinaryIO) -> tuple[Frame, int] | None:
    """Return the frame where a file stands, and its length there; None if there is none that is whole."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    length, crc = _HEAD.unpack(head)
    if not _NUMBERS.size <= length <= LONGEST_BYTES:
        return None
    inside = file.read(length)
    if len(inside) != length or crc32(inside) != crc:
        return None
    return _decoded(inside), _HEAD.size + length


def _decoded(inside: bytes) -> Frame:
    epoch, seq, meta_bytes = _NUMBERS.unpack_from(inside)
    start = _NUMBERS.size + meta_bytes
    source, policy, tag, content_type, item, position = _decoder.decode(inside[_NUMBERS.size : start])
    return Frame(epoch, seq, source, Stream(policy, tag), inside[start:], item, position, content_type)


def scan(file: BinaryIO) -> Iterator[tuple[int, int, Frame]]:
    """Yield offset, length and frame from where a file stands to the first that is not whole."""
    offset = file.tell()
    while (found := read(file)) is not None:
        frame, length = found
        yield offset, length, frame
        offset += length

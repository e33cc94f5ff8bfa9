"""A message of the forward protocol as what it carries: events of one tag, in one of four modes.

    Message                   [tag, time, record, option?]
    Forward                   [tag, [[time, record], ...], option?]
    PackedForward             [tag, bin of [time, record] ..., option?]
    CompressedPackedForward   the same, the bin as gzip, {"compressed": "gzip"} in the option

All become the same bytes: msgpack `[time, record]`, one behind another, as they came.  So an EventTime stays
what it is, ext 0 of 8 bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgpack

from haywain.errors import InvalidError
from haywain.forward.scanner import Scanner, blob_header, container_header

_OPTION_BYTES = 64 << 10
_NIL = 0xC0
_PAIR = b"\x92"
_ARRAYS = (*range(0x90, 0xA0), 0xDC, 0xDD)
_KEPT_BYTES = 1 << 20

T = TypeVar("T")

Deliver = Callable[[str, bytes, str | None], None]
"""Keeps `(tag, body, chunk_id)`, and returns once that is kept; raises HaywainError if it is not."""

Reject = Callable[[str, bytes, str | None, str], None]
"""Keeps `(tag, compressed body, chunk_id, reason)`: events that cannot be decompressed."""


@dataclass(frozen=True)
class Event:
    """What one message carries: the tag, and the events as concatenated msgpack `[time, record]`.

    `tag` and `chunk` are text as it came: what is no UTF-8 in them is there as surrogates.  `ack` is what to
    answer once the events are kept, empty if the client waits for nothing.
    """

    tag: str
    body: bytes
    chunk: str | None = None
    ack: bytes = b""
    is_gzip: bool = False


def text(value: bytes) -> str:
    """Return bytes as text from which they can be had again."""
    return value.decode("utf-8", "surrogateescape")


class Reader:
    """Makes messages out of the bytes of a connection."""

    def __init__(self, most_bytes: int) -> None:
        """Begin between two messages, each of which may have so many bytes."""
        self._most_bytes = most_bytes
        self._buffer, self._start = bytearray(), 0
        self._scanner = Scanner(most_bytes)

    def allow(self, most_bytes: int) -> None:
        """Let the next message, of which nothing was looked at yet, and those after it have so many bytes."""
        self._most_bytes = most_bytes
        self._scanner = Scanner(most_bytes)

    @property
    def size(self) -> int:
        """How many bytes are held."""
        return len(self._buffer)

    def append(self, data: bytes) -> None:
        """Take what came."""
        self._buffer += data

    def next(self, make: Callable[[memoryview, list[int]], T]) -> T | None:
        """Return what is made of the next message and of where its elements begin, None if it is not there.

        A `nil`, which is a heartbeat, is passed over.  Raises InvalidError, TooLargeError.
        """
        made = None
        with memoryview(self._buffer) as view:
            while made is None and self._start < len(view):
                with view[self._start :] as rest:
                    stop = self._scan(rest)
                    if stop is None:
                        break
                    if rest[0] != _NIL:
                        with rest[:stop] as message:
                            made = make(message, self._scanner.marks)
                self._start += stop
                self._scanner = Scanner(self._most_bytes)
        if made is None or self._start > _KEPT_BYTES:
            del self._buffer[: self._start]
            self._start = 0
        return made

    def _scan(self, data: memoryview) -> int | None:
        code = data[0]
        if code != _NIL and code not in _ARRAYS:
            raise InvalidError("This is not the forward protocol: a message is an array")
        return self._scanner.advance(data)


def parse(raw: memoryview, marks: list[int]) -> Event:
    """Return what a message carries; raises InvalidError."""
    if not 2 <= len(marks) <= 4:
        raise InvalidError("A message has a tag, events, and perhaps options")
    tag = _blob(raw, marks[0])
    if tag is None:
        raise InvalidError("The tag of a message is a string")
    packed = _blob(raw, marks[1])
    if packed is not None:
        return _event(text(tag), packed, _option(raw, marks, 2), is_packed=True)
    if raw[marks[1]] in _ARRAYS:
        header = container_header(raw, marks[1])
        assert header is not None
        stop = marks[2] if len(marks) > 2 else len(raw)
        entries = bytes(raw[marks[1] + header[0] : stop])
        return _event(text(tag), entries, _option(raw, marks, 2), is_packed=False)
    if len(marks) < 3:
        raise InvalidError("A message has a time and a record")
    stop = marks[3] if len(marks) == 4 else len(raw)
    event = _PAIR + bytes(raw[marks[1] : stop])
    return _event(text(tag), event, _option(raw, marks, 3), is_packed=False)


def unpack(raw: memoryview) -> Any:  # Any: what msgpack holds
    """Return a small object, with text as bytes; raises InvalidError."""
    if len(raw) > _OPTION_BYTES:
        raise InvalidError(f"Options and handshakes have at most {_OPTION_BYTES} bytes")
    try:
        return msgpack.unpackb(raw, raw=True, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:  # also a map as the key of a map
        raise InvalidError(f"A message makes no sense: {type(error).__name__}") from error


def _blob(raw: memoryview, at: int) -> bytes | None:
    header = blob_header(raw, at)
    return None if header is None else bytes(raw[at + header[0] : at + sum(header)])


def _option(raw: memoryview, marks: list[int], index: int) -> dict[bytes, Any]:  # Any: of whatever it has
    """Return the map that stands at an index of a message; empty if none does."""
    found = unpack(raw[marks[index] :]) if index < len(marks) else None
    if found is not None and not isinstance(found, dict):
        raise InvalidError("The option of a message is a map")
    return found or {}


def _event(tag: str, body: bytes, option: dict[bytes, Any], is_packed: bool) -> Event:
    compressed, chunk = option.get(b"compressed"), option.get(b"chunk")
    if compressed not in (None, b"text", b"gzip"):
        raise InvalidError(f"Events may be compressed by gzip, not by {str(compressed)[:40]}")
    is_gzip = is_packed and compressed == b"gzip"
    if chunk is None:
        return Event(tag, body, is_gzip=is_gzip)
    if not isinstance(chunk, bytes):
        raise InvalidError("The chunk of a message is a string")
    ack = msgpack.packb({"ack": text(chunk)}, unicode_errors="surrogateescape")
    return Event(tag, body, text(chunk), ack, is_gzip)

"""Where records end in what agents send, and how many they are: lines, msgpack objects one after another."""

import msgpack

_CONTAINERS = (*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF)
"""First bytes of a msgpack array or map: https://github.com/msgpack/msgpack/blob/master/spec.md"""

_LOOKED_AT = 1 << 16


def ends_record(body: bytes, length: int) -> bool:
    r"""Return whether the first `length` bytes of a body end where a record does.

    >>> ends_record(b"one\ntwo\n", 4), ends_record(b"one\ntwo\n", 5)
    (True, False)
    """
    return body[length - 1 : length] == b"\n" or _walk(body[:length])[1] == length


def count_records(body: bytes) -> int:
    r"""Return how many records a body has, msgpack arrays and maps or lines: at least one, about if large.

    >>> count_records(b"one\ntwo\nthr"), count_records(b"\x91\x01\x91\x02"), count_records(b"\x91")
    (3, 2, 1)
    """
    if not body or body[0] not in _CONTAINERS:
        return max(body.count(b"\n") + (body[-1:] != b"\n"), 1)
    count, stop = _walk(body[:_LOOKED_AT])
    return max(count * len(body) // stop, 1) if stop else 1


def _walk(data: bytes) -> tuple[int, int]:
    """Return how many whole arrays and maps stand at the start, and where the last of them ends."""
    unpacker, count, stop = msgpack.Unpacker(max_buffer_size=len(data)), 0, 0
    unpacker.feed(data)
    try:
        while stop < len(data) and data[stop] in _CONTAINERS:
            unpacker.skip()
            count, stop = count + 1, unpacker.tell()
    except (msgpack.OutOfData, msgpack.UnpackException, ValueError):
        return count, stop
    return count, stop

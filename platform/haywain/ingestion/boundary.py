"""Where a record ends, in what agents send: lines, and msgpack objects one after another."""

import msgpack

_CONTAINERS = (*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF)
"""First bytes of a msgpack array or map: https://github.com/msgpack/msgpack/blob/master/spec.md"""


def ends_record(body: bytes, length: int) -> bool:
    r"""Return whether the first `length` bytes of a body end where a record does.

    >>> ends_record(b"one\ntwo\n", 4), ends_record(b"one\ntwo\n", 5)
    (True, False)
    """
    return body[length - 1 : length] == b"\n" or _is_whole_msgpack(memoryview(body)[:length])


def _is_whole_msgpack(data: memoryview) -> bool:
    """Return whether these are whole arrays and maps, as events are; text would pass as numbers."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    try:
        while unpacker.tell() < len(data):
            if data[unpacker.tell()] not in _CONTAINERS:
                return False
            unpacker.skip()
    except (msgpack.OutOfData, msgpack.UnpackException, ValueError):
        return False
    return True

"""Where a msgpack object ends, in bytes that come piece by piece.

Each byte is looked at once, however small the pieces: an unpacker that begins anew with each piece takes
minutes for a message of 64 MiB that comes in many.  Nothing is built, so that a message which says that it
has four thousand million elements costs nothing but its refusal; and the bytes can be handed on as they are,
while unpacking and packing again would change them (a float of 32 bits becomes one of 64).

https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from haywain.errors import InvalidError, TooLargeError

MOST_NESTING = 64
MOST_ELEMENTS = 1_000_000

_NEVER_USED = 0xC1
_FIXED = {0xC0: 1, 0xC2: 1, 0xC3: 1, 0xCA: 5, 0xCB: 9}
_FIXED |= {0xCC + n: 1 + (1 << n) for n in range(4)} | {0xD0 + n: 1 + (1 << n) for n in range(4)}
_FIXED |= {0xD4 + n: 2 + (1 << n) for n in range(5)}  # ext of 1 to 16 bytes
_SIZED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0)}  # bin: bytes of the length, and beside the payload
_SIZED |= {0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}  # ext
_SIZED |= {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}  # str
_CONTAINERS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""First byte: bytes of the count, and elements for each: an array has one, a map two."""


def _fixed_size(code: int) -> int:
    """Return the size of an object whose first byte tells it, 0 if that does not."""
    if code < 0x80 or code >= 0xE0:
        return 1
    if 0xA0 <= code < 0xC0:
        return 1 + (code & 0x1F)
    return _FIXED.get(code, 0)


_SIZES = [_fixed_size(code) for code in range(256)]


def container_header(data: memoryview | bytes, at: int) -> tuple[int, int] | None:
    """Return size of the header and number of elements of an array or map; None if it is another object.

    Raises IndexError if the header is not all there.

    >>> container_header(bytes([0x92, 1, 2]), 0), container_header(bytes([0xde, 0, 3]), 0)
    ((1, 2), (3, 6))
    """
    code = data[at]
    if 0x80 <= code < 0x90:
        return 1, 2 * (code & 0x0F)
    if 0x90 <= code < 0xA0:
        return 1, code & 0x0F
    if code not in _CONTAINERS:
        return None
    width, elements = _CONTAINERS[code]
    return 1 + width, elements * _number(data, at + 1, width)


def blob_header(data: memoryview | bytes, at: int) -> tuple[int, int] | None:
    r"""Return size of the header and length of a str or bin; None if it is another object.

    Raises IndexError if the header is not all there.

    >>> blob_header(b"\xa3abc", 0), blob_header(bytes([0xC4, 2, 0, 0]), 0), blob_header(bytes([1]), 0)
    ((1, 3), (2, 2), None)
    """
    code = data[at]
    if 0xA0 <= code < 0xC0:
        return 1, code & 0x1F
    if code in _SIZED and not _SIZED[code][1]:
        width = _SIZED[code][0]
        return 1 + width, _number(data, at + 1, width)
    return None


class Scanner:
    """Looks for the end of one object; `marks` are the starts of the elements of an array or map."""

    def __init__(self, most_bytes: int) -> None:
        """Begin before the first byte of an object that may have so many."""
        self.marks: list[int] = []
        self._most_bytes = most_bytes
        self._position, self._elements = 0, 0
        self._left: list[int] = []  # of each container that is open: how many elements are to come

    def advance(self, data: memoryview) -> int | None:
        """Look at the bytes that came since; return where the object ends, None if it is not all there.

        `data` begins with the object, each time.  Raises InvalidError, TooLargeError.
        """
        left, sizes, length, at = self._left, _SIZES, len(data), self._position
        try:
            while at < length:
                size, elements = sizes[data[at]], 0
                if not size:
                    size, elements = _long_size(data, at)
                if at + size > length:
                    break
                if len(left) == 1:
                    self.marks.append(at)
                at += size
                if elements:
                    self._open(elements)
                elif left and left[-1] > 1:
                    left[-1] -= 1
                elif self._close():
                    return self._checked(at)
            else:
                size = 0
        except IndexError:  # a header that is not all there
            size = 0
        self._position = at
        self._checked(at + size)
        return None

    def _checked(self, stop: int) -> int:
        if stop > self._most_bytes:
            raise TooLargeError(f"A message may have {self._most_bytes} bytes")
        return stop

    def _close(self) -> bool:
        """Note that an element ended, and the containers that end with it; return whether that was all."""
        left = self._left
        while left and left[-1] == 1:
            left.pop()
        if not left:
            return True
        left[-1] -= 1
        return False

    def _open(self, elements: int) -> None:
        self._elements += elements
        if self._elements > MOST_ELEMENTS:
            raise TooLargeError(f"A message may have {MOST_ELEMENTS} elements")
        self._left.append(elements)
        if len(self._left) > MOST_NESTING:
            raise TooLargeError(f"A message may be nested {MOST_NESTING} deep")


def _long_size(data: memoryview, at: int) -> tuple[int, int]:
    """Return the size of an object that has a length, or of a header, and how many elements follow that."""
    code = data[at]
    if code in _SIZED:
        width, beside = _SIZED[code]
        return 1 + width + beside + _number(data, at + 1, width), 0
    found = container_header(data, at)
    if found is None:
        raise InvalidError(f"Byte {_NEVER_USED:#x} is no msgpack")
    return found


def _number(data: memoryview | bytes, at: int, width: int) -> int:
    if at + width > len(data):
        raise IndexError(at)
    return int.from_bytes(data[at : at + width], "big")

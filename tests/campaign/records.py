"""Records that tell by themselves whether they are whole, whose they are, and which one they are."""

import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Protocol

_HEAD = struct.Struct(">4sHII")  # magic, sender, sequence, bytes of the payload
_SUM = struct.Struct(">I")
_MAGIC = b"\xf5REC"


class _File(Protocol):
    def read(self, size: int, /) -> bytes: ...


def encode(sender: int, sequence: int, payload: bytes) -> bytes:
    """Return a record."""
    content = _HEAD.pack(_MAGIC, sender, sequence, len(payload)) + payload
    return content + _SUM.pack(zlib.crc32(content))


def decode(file: _File) -> Iterator[tuple[int, int]]:
    """Yield sender and sequence of each record; fail where something else lies between them."""
    position = 0
    while head := file.read(_HEAD.size):
        assert len(head) == _HEAD.size, f"a record is cut at {position}"
        magic, sender, sequence, length = _HEAD.unpack(head)
        assert magic == _MAGIC, f"no record begins at {position}"
        payload = file.read(length)
        assert file.read(_SUM.size) == _SUM.pack(zlib.crc32(head + payload)), (
            f"a record is damaged at {position}"
        )
        position += len(head) + length + _SUM.size
        yield sender, sequence


def by_sender(file: _File) -> dict[int, list[int]]:
    """Return the sequences of each sender, in the order in which they lie there."""
    found: dict[int, list[int]] = defaultdict(list)
    for sender, sequence in decode(file):
        found[sender].append(sequence)
    return found

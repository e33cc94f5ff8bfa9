"""gzip of events: all members, nothing but gzip, and no bombs."""

import gzip

import pytest

from haywain.errors import InvalidError, TooLargeError
from haywain.forward.inflating import inflate
from haywain.values import MIB


def inflated(data: bytes, most: int = 8 * MIB) -> bytes:
    return b"".join(inflate(data, most))


def test_members_are_joined() -> None:
    parts = [b"one", b"", b"x" * 300_000]
    assert inflated(b"".join(gzip.compress(part) for part in parts)) == b"".join(parts)
    assert inflated(b"") == b""


@pytest.mark.parametrize(
    "data",
    [b"no gzip", gzip.compress(b"abc")[:-1], gzip.compress(b"abc") + b"rest", b"\x1f\x8b"],
    ids=["text", "cut", "rest", "begun"],
)
def test_what_is_no_gzip_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidError):
        inflated(data)


@pytest.mark.parametrize(("size", "most"), [(9 * MIB, 8 * MIB), (4 * MIB, 100 * MIB)], ids=["large", "ratio"])
def test_a_bomb_is_refused_before_it_is_unpacked(size: int, most: int) -> None:
    pieces = inflate(gzip.compress(bytes(size)), most)
    with pytest.raises(TooLargeError):
        assert sum(len(piece) for piece in pieces) < size

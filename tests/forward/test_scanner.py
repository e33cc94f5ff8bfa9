"""Where objects end: the same as an unpacker says, whatever the pieces; and what is refused at its header."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haywain.errors import InvalidError, TooLargeError
from haywain.forward.scanner import MOST_NESTING, Scanner

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text("ab\u0436", max_size=300)
    | st.binary(max_size=300)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=40))
)
OBJECTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=15,
)


def end_of(data: bytes, step: int, most: int = 1 << 20) -> int | None:
    """Return where the first object ends, of data that comes in pieces."""
    scanner = Scanner(most)
    for stop in [*range(step, len(data), step), len(data)]:
        found = scanner.advance(memoryview(data)[:stop])
        if found is not None:
            return found
    return None


@given(OBJECTS, st.integers(1, 40))
def test_end_is_that_of_the_object(value: object, step: int) -> None:
    packed = msgpack.packb(value)
    assert end_of(packed + b"\xc0\x90", step) == len(packed)
    assert end_of(packed[:-1], step) is None


@given(st.lists(OBJECTS, min_size=1, max_size=20), st.integers(1, 40))
def test_marks_are_where_the_elements_begin(values: list[object], step: int) -> None:
    packed, scanner = msgpack.packb(values), Scanner(1 << 20)
    for stop in [*range(step, len(packed), step), len(packed)]:
        scanner.advance(memoryview(packed)[:stop])
    parts = [packed[a:b] for a, b in zip(scanner.marks, [*scanner.marks[1:], len(packed)], strict=True)]
    assert parts == [msgpack.packb(value) for value in values]


@pytest.mark.parametrize("width", [8, 32, 64])
def test_numbers_of_all_widths(width: int) -> None:
    packed = msgpack.packb([1.5, -1, 1 << (width - 2)], use_single_float=True)
    assert end_of(packed, 1) == len(packed)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"\xc6\xff\xff\xff\xff", id="bin"),
        pytest.param(b"\xdb\xff\xff\xff\xff", id="str"),
        pytest.param(b"\xc9\xff\xff\xff\xff", id="ext"),
        pytest.param(b"\xdd\xff\xff\xff\xff", id="array"),
        pytest.param(b"\xdf\xff\xff\xff\xff", id="map"),
        pytest.param(b"\x91" * (MOST_NESTING + 1), id="nesting"),
        pytest.param(b"\xdc\xff\xff" + b"\xdc\xff\xff" * 20, id="many"),
    ],
)
def test_lies_are_refused_at_once(header: bytes) -> None:
    with pytest.raises(TooLargeError):
        end_of(header, 1)


def test_a_byte_that_begins_nothing_is_refused() -> None:
    with pytest.raises(InvalidError):
        end_of(b"\xc1", 1)


def test_an_object_may_have_so_many_bytes() -> None:
    packed = msgpack.packb(b"x" * 98)
    assert end_of(packed, 7, most=100) == 100
    with pytest.raises(TooLargeError):
        end_of(packed, 7, most=99)

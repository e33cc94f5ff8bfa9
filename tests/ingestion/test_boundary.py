"""Where a record ends."""

import msgpack
import pytest

from haywain.ingestion.boundary import ends_record

EVENTS = [[1_700_000_000, {"log": "a", "raw": b"\x00\xff"}], {"b": [1, 2, {"c": None}]}]
PACKED = [msgpack.packb(event) for event in EVENTS]
BODY = b"".join(PACKED) + msgpack.packb(["next", {}])


def test_msgpack_ends_where_an_object_does_and_nowhere_else() -> None:
    ends = {len(PACKED[0]), len(PACKED[0]) + len(PACKED[1]), len(BODY)}
    assert {length for length in range(1, len(BODY) + 1) if ends_record(BODY, length)} == ends


@pytest.mark.parametrize(
    ("body", "length", "expected"),
    [
        pytest.param(b"one\ntwo\n", 4, True, id="line"),
        pytest.param(b"one\ntwo\n", 5, False, id="inside a line"),
        pytest.param(b"abcdef", 3, False, id="text that msgpack would take for numbers"),
        pytest.param(b"\xdd\xff\xff\xff\xff\x01", 5, False, id="array that lies about its length"),
        pytest.param(b"\xc1\x90", 1, False, id="byte that msgpack never uses"),
    ],
)
def test_ends_record(body: bytes, length: int, expected: bool) -> None:
    assert ends_record(body, length) is expected

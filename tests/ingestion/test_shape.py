"""The shape of msgpack and JSON: counted right, and counted before a decoder believes it."""

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haywain.errors import InvalidError, TooLargeError
from haywain.ingestion import shape
from haywain.ingestion.shape import check_json, check_msgpack
from haywain.values import RecordLimits

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    """Return how deep a value is; what holds nothing is not deep."""
    inside = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    return 1 + max(map(depth_of, inside)) if inside else 0


def count_of(value: object) -> int:
    inside = value if isinstance(value, list) else []
    if isinstance(value, dict):
        inside = [*value, *value.values()]
    return 1 + sum(map(count_of, inside))


@given(values=st.lists(JSON, max_size=4))
def test_msgpack_is_counted_as_it_is(values: list[object]) -> None:
    body = b"".join(map(msgpack.packb, values))
    elements, depth = sum(map(count_of, values)), max([1, *map(depth_of, values)])
    check_msgpack(body, RecordLimits(depth, max(elements, 1)))
    if elements > 1:
        with pytest.raises(TooLargeError, match="elements"):
            check_msgpack(body, RecordLimits(500, elements - 1))
    if depth > 1:
        with pytest.raises(TooLargeError, match="nested"):
            check_msgpack(body, RecordLimits(depth - 1))


@given(value=JSON, cut=st.integers(1, 1000))
def test_msgpack_that_is_cut_is_refused(value: object, cut: int) -> None:
    body = msgpack.packb(value)
    if cut < len(body):
        with pytest.raises(InvalidError):
            check_msgpack(body[:-cut], RecordLimits())


@given(body=st.binary(max_size=60))
def test_what_passes_can_be_unpacked_without_more_than_was_counted(body: bytes) -> None:
    limits = RecordLimits(4, 30)
    try:
        check_msgpack(body, limits)
    except (InvalidError, TooLargeError):
        return
    unpacker = msgpack.Unpacker(strict_map_key=False, raw=True, ext_hook=lambda code, data: "x", timestamp=3)
    unpacker.feed(body)
    while unpacker.tell() < len(body):
        unpacker.skip()


@pytest.mark.parametrize("step", [3, 7, 1 << 20], ids=["tiny", "small", "usual"])
@given(value=JSON)
def test_json_is_counted_as_it_is(step: int, value: object) -> None:
    body = msgspec.json.format(msgspec.json.encode(value), indent=1)
    depth = body_depth(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shape, "_STEP", step)
        check_json(body, RecordLimits(max(depth, 1)))
        if depth > 1:
            with pytest.raises(TooLargeError):
                check_json(body, RecordLimits(depth - 1))


def body_depth(value: object) -> int:
    """Return how deep the brackets of a value are, those around nothing as well."""
    if not isinstance(value, list | dict):
        return 0
    return 1 + max([0, *map(body_depth, value if isinstance(value, list) else value.values())])


@pytest.mark.parametrize(
    "text", [r'"[[[["', r'"\"[[[["', r'"\\","[[["', r'["\\\"", "]["]', '{"a": "]}]}[[["}'], ids=range(5)
)
def test_brackets_in_texts_do_not_count(text: str) -> None:
    check_json(text.encode(), RecordLimits(1))


def test_elements_of_json_are_counted() -> None:
    check_json(b"[1,2,3]", RecordLimits(elements=3))
    with pytest.raises(TooLargeError, match="elements"):
        check_json(b"[1,2,3,4]", RecordLimits(elements=3))

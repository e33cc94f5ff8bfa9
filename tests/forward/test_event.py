"""Messages: each mode becomes the same bytes, whatever the pieces they come in."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haywain.errors import InvalidError, TooLargeError
from haywain.forward.event import Event, Reader, parse, unpack

TIME = msgpack.ExtType(0, bytes([0, 0, 0, 5, 0, 0, 0, 7]))
ENTRIES = [[1, {"a": 1.5}], [TIME, {"b": [None, "\u0436"]}], [3.5, {}]]
PACKED = b"".join(msgpack.packb(entry) for entry in ENTRIES)


def read(data: bytes, step: int = 1 << 20) -> list[Event]:
    """Return the events of data that comes in pieces."""
    reader, found = Reader(1 << 20), []
    for start in range(0, len(data), step):
        reader.append(data[start : start + step])
        while (event := reader.next(parse)) is not None:
            found.append(event)
    return found


def of(*message: object) -> Event:
    (event,) = read(msgpack.packb(list(message)))
    return event


@pytest.mark.parametrize("option", [(), ({},), (None,), ({"size": 3},)], ids=["no", "empty", "nil", "size"])
def test_each_mode_becomes_the_same_bytes(option: tuple[object, ...]) -> None:
    assert of("a.b", ENTRIES, *option) == Event("a.b", PACKED)
    assert of("a.b", PACKED, *option) == Event("a.b", PACKED)
    assert of("a.b", *ENTRIES[1], *option) == Event("a.b", msgpack.packb(ENTRIES[1]))


def test_packed_events_may_be_a_string() -> None:
    """As those of old clients, which know no bin."""
    message = b"\x92\xa1a\xda" + len(PACKED).to_bytes(2, "big") + PACKED
    assert read(message) == [Event("a", PACKED)]


def test_numbers_stay_as_wide_as_they_came() -> None:
    single = msgpack.packb([1, {"a": 1.5}], use_single_float=True)
    assert read(b"\x92\xa1a\x91" + single) == [Event("a", single)]
    assert read(b"\x93\xa1a" + single[1:]) == [Event("a", single)]


def test_chunk_is_answered_as_it_came() -> None:
    for mode in ([ENTRIES], [PACKED], ENTRIES[0]):
        event = of("a", *mode, {"chunk": "cGF\n", "size": 3})
        assert event.chunk == "cGF\n" and msgpack.unpackb(event.ack) == {"ack": "cGF\n"}
    strange = of("a", PACKED, {"chunk": b"\xff\x00"})
    assert msgpack.unpackb(strange.ack, raw=True) == {b"ack": b"\xff\x00"}


def test_compression_is_told_of_packed_events_alone() -> None:
    assert of("a", b"gz", {"compressed": "gzip"}).is_gzip
    assert not of("a", PACKED, {"compressed": "text"}).is_gzip
    assert not of("a", ENTRIES, {"compressed": "gzip"}).is_gzip


def test_tag_that_is_no_text_can_be_had_again() -> None:
    assert of(b"a\xff", PACKED).tag.encode("utf-8", "surrogateescape") == b"a\xff"


@given(st.lists(st.sampled_from(["nil", "message", "forward", "packed"]), max_size=20), st.integers(1, 50))
def test_messages_one_behind_another(kinds: list[str], step: int) -> None:
    made: dict[str, object] = {"nil": None, "message": ["m", *ENTRIES[0]], "forward": ["f", ENTRIES]}
    made["packed"] = ["p", PACKED, {"chunk": "1"}]
    data = b"".join(msgpack.packb(made[kind]) for kind in kinds)
    assert [event.tag for event in read(data, step)] == [kind[0] for kind in kinds if kind != "nil"]


def test_what_was_read_is_let_go() -> None:
    reader = Reader(1 << 20)
    for _ in range(100):
        reader.append(msgpack.packb(["a", PACKED]) * 100 + b"\x92")
        while reader.next(parse) is not None:
            pass
        assert reader.size == 1
        reader.append(msgpack.packb(["a", PACKED])[1:])
        assert reader.next(parse) is not None


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
        pytest.param(b'{"a": 1}', id="json"),
        pytest.param(msgpack.packb({"a": 1}), id="map"),
        pytest.param(msgpack.packb(["a"]), id="short"),
        pytest.param(msgpack.packb(["a", 1]), id="no-record"),
        pytest.param(msgpack.packb(["a", PACKED, {}, {}, {}]), id="long"),
        pytest.param(msgpack.packb([1, PACKED]), id="tag"),
        pytest.param(msgpack.packb(["a", PACKED, [1]]), id="option"),
        pytest.param(msgpack.packb(["a", PACKED, {"chunk": 5}]), id="chunk"),
        pytest.param(msgpack.packb(["a", PACKED, {"compressed": "zip"}]), id="compressed"),
        pytest.param(b"\x93\xa1a\xa1b\x81\x80\x80", id="map-as-key"),
        pytest.param(msgpack.packb(["a", PACKED, {"x": "y" * 70_000}]), id="large-option"),
    ],
)
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(InvalidError):
        read(message)


@given(st.binary(max_size=200))
def test_other_bytes_are_refused_or_waited_for(data: bytes) -> None:
    try:
        read(b"\x93" + data, 3)
        unpack(memoryview(data))
    except (InvalidError, TooLargeError):
        pass

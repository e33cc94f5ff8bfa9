"""msgpack: any step gives the records, and one that differs is named by number and byte."""

import io

import msgpack
import numpy as np
import pytest

from haywain.analysis import packed
from haywain.analysis.packed import PackedReader, open_packed
from haywain.errors import InvalidError


def pack(*records: object) -> bytes:
    return b"".join(map(msgpack.packb, records))


def steps(reader: PackedReader, data: bytes, offset: int = 0) -> tuple[np.ndarray, int]:
    file, found = io.BytesIO(data), [reader.layout.empty()]
    while True:
        rows, after = reader.step(file, offset, 1, sum(map(len, found)))
        if after == offset:
            return np.concatenate(found), after
        found.append(rows)
        offset = after


def read(data: bytes, dtype: str = "") -> np.ndarray:
    return steps(open_packed(io.BytesIO(data), dtype), data)[0]


def test_arrays_of_numbers_are_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "RECORD_MAX", 100)
    expected = np.random.default_rng(2).normal(size=(6000, 2))
    assert np.array_equal(read(pack(*expected.tolist())), expected)


def test_many_records_in_one_step_are_rows() -> None:
    assert np.array_equal(read(pack(*range(9000)))[:, 0], np.arange(9000))


def test_maps_are_structured_whatever_the_order() -> None:
    found = read(pack({"a": 1, "b": 2.5}, {"b": None, "a": True}))
    assert found.dtype == np.dtype([("a", "f8"), ("b", "f8")])
    assert found["a"].tolist() == [1, 1] and np.isnan(found["b"][1])


def test_events_of_fluentd_have_their_time() -> None:
    time = msgpack.ExtType(0, (1_700_000_000).to_bytes(4, "big") + (123_456_789).to_bytes(4, "big"))
    found = read(pack([time, {"speed": 3}], [1_700_000_001, {"speed": 4}]))
    assert found.dtype == np.dtype([("time", "M8[ns]"), ("speed", "f8")])
    assert found["time"].astype(int).tolist() == [1_700_000_000_123_456_789, 1_700_000_001_000_000_000]
    assert found["speed"].tolist() == [3, 4]


def test_dtype_of_the_numbers_may_be_given() -> None:
    assert read(pack([1, 2], [3, 2**53 + 1]), "<i8").tolist() == [[1, 2], [3, 2**53 + 1]]


def test_cut_record_waits_for_its_rest() -> None:
    data = pack([1, 2], [3, 4])
    reader = open_packed(io.BytesIO(data))
    found, offset = steps(reader, data[:-3])
    assert (found.tolist(), offset) == ([[1, 2]], 3)
    assert steps(reader, data, offset)[0].tolist() == [[3, 4]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pack([1, 2], [3]), "Record 1 .from 0., which begins at byte 3, is an array of 1, but the first is"),
        (pack({"a": 1}, {"b": 1}), "byte 4, is a map of b, but the first is a map of a"),
        (pack([1, 2], {"a": 1}), "byte 3, is a map of a, but the first is an array of 2"),
        (pack([0, {"a": 1}], [0, {"a": 1, "b": 2}]), "is .time, a map of a, b., but the first"),
        (
            pack([0, {"a": 1}], [0, {"a": 1}, 2]),
            "byte 6, is an array of 3, but the first is .time, a map of a",
        ),
        (
            pack([0, {"a": 1}], [10**13, {"a": 1}]),
            "byte 6, does not fit: 10000000000000 is no time in seconds",
        ),
        (pack({"a": 1}, [{"a": 1}]), "byte 4, is an array of 1, but the first is a map of a"),
        (pack([1, 2], [3, "4"]), "byte 3: '4' in 'column 2' is no number"),
        (pack([1], [[2]]), r"\[2\] in 'column 1' is no number"),
        (pack([["x"], {"a": 1}]), "in 'time' is no number"),
        (pack("text"), "Record 0, which begins at byte 0, is something else, not numbers"),
        (pack([1]) + b"\xc1", "Byte 2 begins no msgpack"),
        (pack([1] * 9)[:5], "There is no whole record at byte 0"),
        (b"", "There is no whole record at byte 0"),
    ],
    ids=[
        "fewer",
        "names",
        "kinds",
        "more-names",
        "longer",
        "late",
        "wrapped",
        "text",
        "nested",
        "time",
        "no-numbers",
        "garbage",
        "cut",
        "empty",
    ],
)
def test_bad_record_is_named(data: bytes, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        read(data)


def test_number_out_of_range_is_named() -> None:
    with pytest.raises(InvalidError, match=r"Record 1 .from 0., which begins at byte 2, does not fit"):
        read(pack([1], [300]), "u1")


def test_record_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "RECORD_MAX", 50)
    data = pack([1]) + pack([1] * 100)
    with pytest.raises(InvalidError, match="record that begins at byte 2 is longer than 50 bytes"):
        steps(PackedReader(open_packed(io.BytesIO(data)).layout, "an array", (0,)), data)


@pytest.mark.parametrize("dtype", ["<i4", "u1", "<i8"])
def test_fraction_among_integers_is_named(dtype: str) -> None:
    with pytest.raises(InvalidError, match=r"which begins at byte 10, does not fit: 1.9 is no "):
        read(pack([2.0], [1.9]), dtype)
    assert read(pack([2.0], [3]), dtype).tolist() == [[2], [3]]


def test_first_record_may_be_nil() -> None:
    assert np.array_equal(read(pack(None, 2)), [[np.nan], [2]], equal_nan=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xc1", "Byte 0 begins no msgpack: FormatError"),
        (pack([1]) + b"\x81\x91\x01\x01", "Byte 2 begins no msgpack: unhashable type: 'list'"),
        (pack({"a": 1}, {"a": msgpack.ExtType(0, bytes(8))}), "byte 4: 0 in 'a' is no number"),
        (pack([msgpack.ExtType(0, bytes(8))]), "byte 0: 0 in 'column 1' is no number"),
    ],
    ids=["never", "list-as-name", "time-as-value", "time-in-array"],
)
def test_what_is_wrong_is_told(data: bytes, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        read(data)


def test_number_too_large_for_its_dtype_is_named() -> None:
    with pytest.raises(InvalidError, match=r"begins at byte 9, does not fit: overflow"):
        read(pack(1.0, 1e300), "<f4")

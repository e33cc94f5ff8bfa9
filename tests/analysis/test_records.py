"""Records: what was written comes back, however the bytes are cut, and damage is named by its byte."""

import csv
import io
import json
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haywain.analysis import records
from haywain.analysis.records import RecordReader
from haywain.errors import InvalidError

text = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=20)
plain = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | text
value = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3)
)
field = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=10)
cuts = st.lists(st.integers(1, 40), min_size=1, max_size=5)


def packed(objects: list[Any]) -> bytes:
    return b"".join(map(msgpack.packb, objects))


def lines(objects: list[Any]) -> bytes:
    return b"".join(f"{line}\n".encode() for line in objects)


def ndjson(objects: list[Any]) -> bytes:
    return lines([json.dumps(one, ensure_ascii=False) for one in objects])


def table(rows: list[list[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


def read_of(data: bytes) -> Any:
    return lambda start, stop: data[start:stop]


def in_pieces(reader: RecordReader, data: bytes, cuts: list[int]) -> list[Any]:
    """Return what comes out when bytes arrive cut anywhere, and each call goes on where the last ended."""
    found: list[Any] = []
    at = stop = number = 0
    while stop < len(data):
        stop = min(stop + cuts[number % len(cuts)], len(data))
        some, after = reader.decode(read_of(data), at, stop)
        assert at <= after <= stop
        found, at, number = [*found, *some], after, number + 1
    assert at == len(data)
    return found


@pytest.mark.parametrize(
    ("format", "write", "objects"),
    [
        ("msgpack", packed, st.lists(value, max_size=8)),
        ("ndjson", ndjson, st.lists(value, max_size=8)),
        ("lines", lines, st.lists(text, max_size=8)),
        ("csv", table, st.lists(st.lists(field, min_size=2, max_size=4), max_size=8)),
    ],
    ids=records.FORMATS,
)
def test_what_was_written_comes_back_in_any_pieces(format: str, write: Any, objects: Any) -> None:
    @given(objects, cuts)
    def comes_back(objects: list[Any], cuts: list[int]) -> None:
        data, reader = write(objects), RecordReader(format)
        assert in_pieces(reader, data, cuts) == objects
        assert list(reader.records(read_of(data), 0, len(data))) == objects

    comes_back()


@pytest.mark.parametrize(
    ("format", "data", "objects"),
    [
        ("msgpack", b"\x01\x02\x92\x03", [1, 2]),
        (
            "ndjson",
            b'{"a": 1}\n\n  \n{"b": NaN}\r\n{"c"',
            [{"a": 1}, {"b": pytest.approx(np.nan, nan_ok=True)}],
        ),
        ("ndjson", b"1\n2", [1, 2]),
        ("lines", b"a\r\n\nb", ["a", "", "b"]),
        ("lines", b"a\n\xc3", ["a"]),
        ("lines", b"\xef\xbb\xbfa\n", ["a"]),
        ("csv", b'a,"b\n1"\n\nc,d', [["a", "b\n1"], ["c", "d"]]),
        ("csv", b'a,b\nc,"d\ne', [["a", "b"]]),
    ],
    ids=[
        "cut-object",
        "blank-and-nan",
        "last-number",
        "last-line",
        "cut-character",
        "mark",
        "rows",
        "in-quotes",
    ],
)
def test_an_end_without_its_newline_is_read_if_it_is_whole(
    format: str, data: bytes, objects: list[Any]
) -> None:
    assert list(RecordReader(format).records(read_of(data), 0, len(data))) == objects


@pytest.mark.parametrize("data", [b"1\n2", b'{"a": 1}\n{"b"'], ids=["number", "object"])
def test_a_line_waits_for_its_newline(data: bytes) -> None:
    found, after = RecordReader("ndjson").decode(read_of(data), 0, len(data))
    assert len(found) == 1 and after == data.index(b"\n") + 1


def test_event_times_of_fluentd_are_moments() -> None:
    time = msgpack.ExtType(0, (1_700_000_000).to_bytes(4, "big") + (123_456_789).to_bytes(4, "big"))
    data = packed([[time, {"speed": 3}], [1_700_000_000, {"when": time}], msgpack.ExtType(5, b"x")])
    found, _ = RecordReader("msgpack").decode(read_of(data), 0, len(data))
    moment = np.datetime64("2023-11-14T22:13:20.123456789", "ns")
    assert found[0] == [moment, {"speed": 3}] and found[0][0].dtype == np.dtype("M8[ns]")
    assert found[1] == [1_700_000_000, {"when": moment}]
    assert found[2] == msgpack.ExtType(5, b"x")


@pytest.mark.parametrize(
    ("format", "good", "bad", "at"),
    [
        ("msgpack", b"\x01\x93\x01\x02\x03", b"\xc1", 0),
        ("msgpack", b"\x01", b"\xa2\xff\xff", 0),
        ("ndjson", b'{"a": 1}\n', b"{a: 1}\n", 0),
        ("ndjson", b"1\n", b'"\xff"\n', 1),
        ("ndjson", b"1\n", b"[" * 100_000 + b"\n", 0),
        ("lines", b"a\n", b"bc\xff\n", 2),
        ("csv", b"a,b\n", b'"c"d,e\n', 0),
        ("csv", b"a,b\n", b"c,\xff\n", 2),
    ],
    ids=["no-msgpack", "no-text", "no-json", "no-utf8", "deep", "line", "quotes", "row"],
)
def test_damage_is_named_by_its_byte_behind_what_is_good(
    format: str, good: bytes, bad: bytes, at: int
) -> None:
    data, reader = b"?" * 100 + good + bad + good, RecordReader(format)
    found, after = reader.decode(read_of(data), 100, len(data))
    assert found and after == 100 + len(good)
    with pytest.raises(InvalidError, match=rf"(?i)byte {after + at} (begins|is)"):
        reader.decode(read_of(data), after, len(data))
    one_by_one = reader.records(read_of(data), 100, len(data))
    assert [next(one_by_one) for _ in found] == found
    with pytest.raises(InvalidError, match=f"{after + at}"):
        next(one_by_one)


def test_blanks_make_one_delimiter() -> None:
    data = b" 1  2\n\n3 4 \n"
    assert RecordReader("csv", " ").decode(read_of(data), 0, len(data)) == (
        [["1", "2"], ["3", "4"]],
        len(data),
    )


def test_objects_may_be_longer_than_a_step_but_not_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "STEP", 8)
    monkeypatch.setattr(records, "LONGEST", 64)
    reader, asked = RecordReader("lines"), []

    def read(start: int, stop: int) -> bytes:
        asked.append(stop - start)
        return data[start:stop]

    data = b"short\n" * 20 + b"x" * 50 + b"\n" + b"short\n" * 20 + b"y" * 1000
    found = reader.records(read, 0, len(data))
    assert [next(found) for _ in range(41)] == ["short"] * 20 + ["x" * 50] + ["short"] * 20
    with pytest.raises(InvalidError, match=f"begins at byte {20 * 6 + 51 + 20 * 6} is longer than 64"):
        next(found)
    assert max(asked) == 64

"""Records: every body type, every limit; bombs are refused in little time and memory."""

import json
import subprocess
import sys
import textwrap
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haywain.errors import InvalidError, TooLargeError
from haywain.ingestion.records import Record, records_of
from haywain.ingestion.writing import csv_lines, event_time, json_lines, packed_objects
from haywain.interfaces import Chunk
from haywain.values import RecordLimits

PACKED, JSON, LINES, CSV = "application/msgpack", "application/json", "application/x-ndjson", "text/csv"
OCTETS = "application/octet-stream"
TIME = msgpack.ExtType(0, (1_700_000_000).to_bytes(4, "big") + (5).to_bytes(4, "big"))


def records(body: bytes, content_type: str = OCTETS, **limits: int) -> list[Record]:
    return records_of(Chunk("t", body, content_type, limits=RecordLimits(**limits)))


def packed(*values: object) -> bytes:
    return b"".join(map(msgpack.packb, values))


@pytest.mark.parametrize(
    ("content_type", "body", "values"),
    [
        pytest.param(PACKED, packed({"a": 1}, {"a": b"\0"}), [{"a": 1}, {"a": b"\0"}], id="msgpack"),
        pytest.param("application/x-msgpack", packed([1, 2], 3), [[1, 2], 3], id="msgpack-bare"),
        pytest.param(OCTETS, packed({"a": 1}), [{"a": 1}], id="msgpack-told-by-its-bytes"),
        pytest.param(LINES, b'{"a":1}\n\n[2]\r\n3', [{"a": 1}, [2], 3], id="ndjson"),
        pytest.param("", b'{"a":1}\n{"a":2}\n', [{"a": 1}, {"a": 2}], id="ndjson-told-by-its-bytes"),
        pytest.param(JSON, b'\xef\xbb\xbf{\n"a": 1}', [{"a": 1}], id="json-object"),
        pytest.param(JSON + "; charset=utf-8", b' [{"a": 1},\n 2]', [{"a": 1}, 2], id="json-array"),
        pytest.param(JSON, b"[]", [], id="json-of-nothing"),
        pytest.param(CSV, b"t,v\n1,a\n2.5,\n", [{"t": 1, "v": "a"}, {"t": 2.5, "v": None}], id="csv"),
        pytest.param(CSV, b"1;2\n3;4", [[1, 2], [3, 4]], id="csv-without-a-header"),
        pytest.param(CSV, b'n,"x,y"\n"a\nb",007\n', [{"n": "a\nb", "x,y": "007"}], id="csv-quoted"),
    ],
)
def test_records_of_a_body(content_type: str, body: bytes, values: list[object]) -> None:
    assert [record.value for record in records(body, content_type)] == values


@pytest.mark.parametrize(
    ("time", "time_ns"),
    [(TIME, 1_700_000_000_000_000_005), (17, 17 * 10**9), (1.5, 1_500_000_000)],
    ids=["event-time", "whole", "float"],
)
def test_event_has_a_time(time: object, time_ns: int) -> None:
    assert records(packed([time, {"a": 1}])) == [Record({"a": 1}, time_ns)]


def test_list_that_is_no_event_is_a_record() -> None:
    assert records(packed([1, 2], [True, {}], ["t", {}]), PACKED) == [
        Record([1, 2]),
        Record([True, {}]),
        Record(["t", {}]),
    ]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(PACKED, packed({"a": 1})[:-1], id="msgpack-cut"),
        pytest.param(PACKED, b"\xc1", id="msgpack-unknown"),
        pytest.param(PACKED, b"\x81\x91\x01\x01", id="msgpack-list-for-a-key"),
        pytest.param(PACKED, b"\xa1\xff", id="msgpack-no-utf-8"),
        pytest.param(PACKED, b"\xdd\xff\xff\xff\xff" + b"\xc0" * 100, id="msgpack-array-that-lies"),
        pytest.param(PACKED, b"\xdf\xff\xff\xff\xff" + b"\xc0" * 100, id="msgpack-map-that-lies"),
        pytest.param(PACKED, b"\xc9\xff\xff\xff\xff\x01" + b"a" * 100, id="msgpack-ext-that-lies"),
        pytest.param(LINES, b'{"a":1}\n{"a":\n', id="ndjson-cut"),
        pytest.param(LINES, b'{"a":1}\nnonsense\n{"a":2}\n', id="ndjson-nonsense-between"),
        pytest.param(JSON, b'{"a":', id="json-cut"),
        pytest.param(JSON, b'{"a":1} 2', id="json-and-more"),
        pytest.param(JSON, b"[1" + b"0" * 1_000_000 + b"]", id="json-huge-number"),
        pytest.param(JSON, b"1e999999999", id="json-number-beyond-all"),
        pytest.param(CSV, b"a,b\n1,2,3\n", id="csv-field-too-many"),
        pytest.param(CSV, b'a,b\n"1,2\n', id="csv-quote-without-end"),
        pytest.param(CSV, b"a,b\n\xff,1\n", id="csv-no-utf-8"),
        pytest.param(OCTETS, b"just text\n", id="text"),
        pytest.param(OCTETS, b"\x05\x00\xff", id="bytes"),
    ],
)
def test_malformed_body_is_invalid(content_type: str, body: bytes) -> None:
    with pytest.raises(InvalidError):
        records(body, content_type)


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def test_nesting_is_limited() -> None:
    assert len(records(nested(64), JSON)) == len(records(packed(json.loads(nested(64))), PACKED)) == 1
    for body, content_type in ((nested(65), JSON), (packed(json.loads(nested(65))), PACKED)):
        with pytest.raises(TooLargeError, match="64 deep"):
            records(body, content_type)


def test_elements_are_limited() -> None:
    for body, content_type in ((packed(*range(11)), PACKED), (b"1\n" * 11, LINES), (b"1,2\n" * 11, CSV)):
        with pytest.raises(TooLargeError, match="more than 10 elements"):
            records(body, content_type, elements=10)


@pytest.mark.parametrize("key", ["k" * 256, "\u6e29" * 86], ids=["ascii", "three bytes each"])
def test_keys_are_limited(key: str) -> None:
    for shorter in (key[:-1],):
        assert records(json.dumps([{"a": [{shorter: 1}]}]).encode(), JSON)
    for body, content_type in (
        (json.dumps([{"a": [{key: 1}]}]).encode(), JSON),
        (packed({"a": [{key: 1}]}), PACKED),
    ):
        with pytest.raises(TooLargeError, match="key"):
            records(body, content_type)


@given(
    values=st.lists(st.dictionaries(st.text(max_size=3), st.integers(0, 9) | st.text(max_size=3)), max_size=5)
)
def test_what_was_written_is_read_again(values: list[dict[str, Any]]) -> None:
    made = [Record(value) for value in values]
    assert records(json_lines(made), LINES) == records(packed_objects(made), PACKED) == made


def test_time_of_an_event_is_written() -> None:
    event = Record({"time": 1, "v": b"\0"}, 1_700_000_000_000_000_005)
    assert json_lines([event]) == b'{"event_time":"2023-11-14T22:13:20.000000005Z","time":1,"v":"AA=="}\n'
    assert records(packed_objects([event]), PACKED) == [event]
    assert event_time(event.time_ns or 0) == TIME


def test_what_json_has_no_word_for_is_written_as_well_as_can_be() -> None:
    value = {1: msgpack.Timestamp(1, 2), b"k": [TIME, float("nan")], "t": msgpack.ExtType(5, b"x")}
    written = json.loads(json_lines(records(packed(value), PACKED)))
    assert written == {
        "1": "1970-01-01T00:00:01.000000002Z",
        "k": ["2023-11-14T22:13:20.000000005Z", None],
        "t": [5, "eA=="],
    }


def test_lines_of_csv_are_quoted_where_they_must_be() -> None:
    assert csv_lines([["a,b", 'c"', None, 1.5]]) == b'"a,b","c""",,1.5\n'


SEEDS = (
    msgpack.packb([1, {"a": b"x", "b": [1.5, None, {"c": 1}]}]),
    msgpack.packb({1: msgpack.Timestamp(1, 2), b"k": msgpack.ExtType(5, b"x")}) + packed([TIME, {}]),
    b'{"a":[1,2,{"b":"\\u00e9\\n"}]}\n[1]\n',
    b'[{"a":1e5},NaN,-0,"\\ud800"]',
    b'\na,b\n1,"x\ny"\n',
    b"",
)
CHANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2), st.binary(max_size=3)), max_size=5)


def changed(body: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for at, less, more in changes:
        body = body[:at] + more + body[at + less :]
    return body


@given(
    seed=st.sampled_from(SEEDS),
    changes=CHANGES,
    content_type=st.sampled_from([PACKED, JSON, LINES, CSV, OCTETS, "", "text/plain", "a/b+json", "??"]),
)
def test_any_bytes_are_records_or_an_error_that_tells(
    seed: bytes, changes: list[tuple[int, int, bytes]], content_type: str
) -> None:
    try:
        found = records(changed(seed, changes), content_type)
        json_lines(found)
        packed_objects(found)
    except (InvalidError, TooLargeError) as error:
        assert str(error)


BOMBS = {
    "nested msgpack": (PACKED, 'b"\\x91" * 100_000 + b"\\xc0"'),
    "nested json": (JSON, 'b"[" * 100_000 + b"]" * 100_000'),
    "nested objects": (JSON, "b'{\"a\":' * 100_000"),
    "two million empty maps": (PACKED, 'b"\\x80" * 2_000_000'),
    "two million empty objects": (JSON, 'b"[" + b"{}," * 2_000_000 + b"{}]"'),
    "array of four billion": (PACKED, 'b"\\xdd\\xff\\xff\\xff\\xff" + b"\\xc0" * 1_000_000'),
    "arrays that claim all that is left": (
        PACKED,
        '(b"\\xdd\\x00\\x0f\\x00\\x00") * 60 + b"\\xc0" * 1_500_000',
    ),
    "number of twenty million digits": (JSON, 'b"1" * 20_000_000'),
    "brackets only": (JSON, 'b"[" * 20_000_000'),
    "commas only": (CSV, 'b"," * 20_000_000'),
    "lines only": (LINES, 'b"\\n" * 20_000_000'),
    "extensions": (PACKED, 'b"\\xd4\\x05\\x00" * 2_000_000'),
    "text without end": (JSON, 'b\'["\' + b"a" * 20_000_000'),
    "escapes": (JSON, 'b\'["\' + b"\\\\\\\\" * 20_000_000'),
}
PROGRAM = """
    import resource, sys, time
    from haywain.errors import InvalidError, TooLargeError
    from haywain.ingestion.records import records_of
    from haywain.interfaces import Chunk
    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    for content_type, text in {bombs!r}:
        body = eval(text)
        before, began = peak(), time.process_time()
        try:
            records_of(Chunk("t", body, content_type))
        except (InvalidError, TooLargeError):
            print(f"{{peak() - before + (len(body) >> 20)}} {{time.process_time() - began:.3f}}", flush=True)
"""


def test_bombs_are_refused_in_little_time_and_memory() -> None:
    """In a process of their own, whose peak of memory is theirs; the time is that of its processor."""
    program = textwrap.dedent(PROGRAM).format(bombs=list(BOMBS.values()))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    found = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    assert len(found) == len(BOMBS), dict(zip(BOMBS, found, strict=False))
    for name, (grown_mib, seconds) in zip(BOMBS, found, strict=True):
        assert grown_mib < 256 and seconds < 1, (name, grown_mib, seconds)

"""Formats are told by the first bytes, by the content type, by the name."""

import pytest

from haywain.analysis.sniff import format_of, record_reader
from haywain.errors import InvalidError


@pytest.mark.parametrize(
    ("head", "content_type", "name", "expected"),
    [
        (b"RIFF\0\0\0\0WAVEfmt ", "text/csv", "x.csv", "wav"),
        (b"\0", "text/csv; charset=utf-8", "x", "csv"),
        (b"\0", "application/octet-stream", "a.TSV", "csv"),
        (b"\0", "application/x-msgpack", "x", "msgpack"),
        (b"\x82\xa1a", "application/octet-stream", "x", "msgpack"),
        (b"a;b\n1;2\n", "application/octet-stream", "x", "csv"),
        (b"not\0wav", "", "x.wav", "wav"),
    ],
    ids=["riff", "type", "ending", "packed-type", "map", "text", "wav-ending"],
)
def test_format_is_told(head: bytes, content_type: str, name: str, expected: str) -> None:
    assert format_of(head, content_type, name) == expected


@pytest.mark.parametrize(("head", "message"), [(b"", "is empty"), (b"\0\1", "format: nothing tells")])
def test_what_nothing_tells_is_asked_for(head: bytes, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        format_of(head, "application/octet-stream", "x")


@pytest.mark.parametrize(
    ("head", "content_type", "name", "expected"),
    [
        (b'{"a": 1}\n{"a"', "application/octet-stream", "x", ("ndjson", ",")),
        (b"[1]\n", "", "", ("ndjson", ",")),
        (b'{"a": ' + b"1" * 100, "", "", ("ndjson", ",")),
        (b"{curly}\n", "", "", ("lines", ",")),
        (b"[section]\n", "", "", ("lines", ",")),
        (b"x", "application/x-ndjson", "", ("ndjson", ",")),
        (b"x", "", "a.jsonl", ("ndjson", ",")),
        (b"a;b\nc;d\ne", "text/csv", "", ("csv", ";")),
        (b"a\tb\n1\t2\n", "", "a.tsv", ("csv", "\t")),
        (b"time,level\n1,2\n3,4\n5,", "", "", ("csv", ",")),
        (b"1\n2\n", "", "", ("lines", ",")),
        (b"one, two\n", "text/plain", "a.log", ("lines", ",")),
        (b"", "", "", ("lines", ",")),
        (b"\x92\1\2", "", "", ("msgpack", ",")),
        (b"\1\2", "application/msgpack", "", ("msgpack", ",")),
    ],
    ids=range(15),
)
def test_format_of_records_is_told(
    head: bytes, content_type: str, name: str, expected: tuple[str, str]
) -> None:
    found = record_reader(head, content_type, name)
    assert (found.format, found.delimiter) == expected


def test_format_of_records_that_is_said_counts() -> None:
    assert record_reader(b"\x92\1\2", "text/csv", "a.csv", "lines").format == "lines"


def test_format_of_records_that_nothing_tells_is_asked_for() -> None:
    with pytest.raises(InvalidError, match="record_format"):
        record_reader(b"RIFF\0\0", "audio/x-wav", "a.wav")

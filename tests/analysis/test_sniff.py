"""Formats are told by the first bytes, by the content type, by the name."""

import pytest

from haywain.analysis.sniff import format_of
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

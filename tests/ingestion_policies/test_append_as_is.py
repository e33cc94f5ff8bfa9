"""Append as it is: a tag is a stream, whatever stands in it."""

from tests.ingestion_policies.conftest import Send, Sink

from haywain.ingestion_policies.append_as_is import AppendAsIs
from haywain.interfaces import Route


def test_dot_in_a_tag_means_nothing() -> None:
    assert AppendAsIs().route("a.b") == Route("a.b", "a.b", "a.b")


def test_bytes_are_appended(send: Send, document_at: Sink) -> None:
    first, second = send("any.thing", b"\0one"), send("any.thing", b"two", "text/csv")
    assert (first.offset, second.offset, first.path) == (0, 4, second.path)
    assert document_at(first.path).read() == b"\0onetwo"

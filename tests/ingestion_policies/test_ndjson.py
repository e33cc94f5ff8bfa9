"""NDJSON: every kind of body becomes lines of JSON, whole or not at all."""

import msgpack
import pytest
from tests.ingestion_policies.conftest import Send, Sink

BODIES = {
    "application/msgpack": msgpack.packb([7, {"a": 1}]) + msgpack.packb({"a": 2}),
    "application/x-ndjson": b'{"a":1}\n{"a":2}',
    "application/json": b'[{"a": 1}, {"a": 2}]',
    "text/csv": b"a\n1\n2\n",
}


@pytest.mark.parametrize("content_type", BODIES)
def test_records_become_lines(send: Send, document_at: Sink, content_type: str) -> None:
    receipt = send(f"lines.{content_type.replace('/', '-')}", BODIES[content_type], content_type)
    stream = document_at(receipt.path)
    assert [record["a"] for record in stream.records()] == [1, 2]
    assert stream.read().endswith(b"}\n") and receipt.length == stream.size
    assert ("1970-01-01T00:00:07Z" in stream.read().decode()) == (content_type == "application/msgpack")


def test_what_a_form_holds_is_told_by_its_bytes(send: Send, document_at: Sink) -> None:
    body = b"data_chunk=%7B%22a%22%3A1%7D"
    receipt = send("lines.form", body, "application/x-www-form-urlencoded")
    assert document_at(receipt.path).read() == b'{"a":1}\n'


def test_body_with_one_bad_line_is_quarantined_whole(send: Send, document_at: Sink) -> None:
    before = send("lines.bad", b'{"a":0}\n', "application/x-ndjson")
    receipt = send("lines.bad", b'{"a":1}\nnonsense\n', "application/x-ndjson")
    assert receipt.status == "quarantined" and "no JSON" in document_at(receipt.path).properties.reason
    assert document_at(before.path).read() == b'{"a":0}\n'


def test_bomb_is_quarantined(send: Send, document_at: Sink) -> None:
    receipt = send("lines.bomb", b"\x80" * 2_000_000)
    assert receipt.status == "quarantined" and receipt.length == 2_000_000
    assert "1,000,000 elements" in document_at(receipt.path).properties.reason

"""CSV: one header, one order of columns, and nothing lost that has no column."""

import msgpack
import pytest
from tests.ingestion_policies.conftest import Send, Sink

CSV = "text/csv"


def test_header_stands_once(send: Send, document_at: Sink) -> None:
    path = send("table.header", b"t,v\n1,a\n", CSV).path
    send("table.header", b"t,v\n2,b\n", CSV)
    send("table.header", b"3,c", CSV)
    assert document_at(path).read() == b"t,v\n1,a\n2,b\n3,c\n"


def test_header_in_another_order_sorts_its_rows(send: Send, document_at: Sink) -> None:
    path = send("table.order", b"t;v;w\n1;a;x\n", CSV).path
    send("table.order", b"v,t\nb,2\n", CSV)
    assert document_at(path).read() == b"t,v,w\n1,a,x\n2,b,\n"


def test_rows_of_words_are_no_header(send: Send, document_at: Sink) -> None:
    path = send("table.words", b"who,what\nann,sail\n", CSV).path
    send("table.words", b"bob,row\neve,swim\n", CSV)
    assert document_at(path).read() == b"who,what\nann,sail\nbob,row\neve,swim\n"


def test_rows_without_a_header_are_as_long_as_the_first(send: Send, document_at: Sink) -> None:
    path = send("table.plain", b"1,2\n3,4\n", CSV).path
    send("table.plain", b"5,6\n", CSV)
    assert send("table.plain", b"7\n", CSV).status == "quarantined"
    assert document_at(path).read() == b"1,2\n3,4\n5,6\n"


def test_records_become_rows(send: Send, document_at: Sink) -> None:
    path = send("table.records", b'{"a":1,"b":"x, y"}\n{"c":null}\n', "application/x-ndjson").path
    send("table.records", msgpack.packb({"c": 2.5}), "application/msgpack")
    assert document_at(path).read() == b'a,b,c\n1,"x, y",\n,,\n,,2.5\n'
    assert list(document_at(path).records())[1] == ["1", "x, y", ""]


def test_time_of_an_event_is_a_column(send: Send, document_at: Sink) -> None:
    path = send("table.events", msgpack.packb([0, {"v": 1}])).path
    assert document_at(path).read() == b"time,v\n1970-01-01T00:00:00Z,1\n"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b'{"t":1,"new":2}', "application/json", id="record"),
        pytest.param(b"1,2,3\n", CSV, id="row"),
        pytest.param(b'"text"', "application/json", id="text"),
    ],
)
def test_what_has_no_column_is_quarantined(
    send: Send, document_at: Sink, body: bytes, content_type: str
) -> None:
    path = send("table.fixed", b"t,v\n1,a\n", CSV).path
    before = document_at(path).size
    assert send("table.fixed", body, content_type).status == "quarantined"
    assert document_at(path).size == before


def test_chunk_that_grew_adds_only_the_rest(send: Send, document_at: Sink) -> None:
    """As fluentd sends after a power loss: the stored rows and more, under the same key."""
    path = send("table.grown", b"t,v\n1,a\n", CSV, key="chunk").path
    assert send("table.grown", b"t,v\n1,a\n2,b\n", CSV, key="chunk").status == "stored"
    assert document_at(path).read() == b"t,v\n1,a\n2,b\n"

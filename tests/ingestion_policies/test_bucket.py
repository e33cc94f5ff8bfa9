"""Bucket: the key of a record says where it goes."""

import msgpack
import pytest
from tests.ingestion_policies.conftest import Send, Sink


def test_value_is_stored_under_its_key(send: Send, document_at: Sink) -> None:
    body = b"".join(
        map(msgpack.packb, ({"key": "a/b.jpg", "value": b"\xff\0"}, {"key": "c", "value": [1, "x"]}))
    )
    receipt = send("photos.all", body)
    buckets = document_at(receipt.path)
    assert buckets.portal_type == "Data Bucket Stream" and receipt.length == len(body)
    assert dict(buckets.items()) == {"a/b.jpg": b"\xff\0", "c": b'[1,"x"]'}


def test_value_under_a_key_that_is_there_takes_its_place(send: Send, document_at: Sink) -> None:
    path = send("photos.newer", b'{"key":"k","value":"long ago"}').path
    receipt = send("photos.newer", b'{"key":"k","value":"now"}')
    assert (receipt.status, receipt.path) == ("stored", path) and receipt.length >= 0
    assert document_at(path).read("k") == b"now"


def test_lines_of_a_file_are_joined(send: Send, document_at: Sink) -> None:
    line = '{{"filepath":"/flights/{}.csv","message":"{}\\n"}}\n'
    first = "".join(line.format(*what) for what in (("f7", "one"), ("f8", "x"), ("f7", "two")))
    path = send("drone.log", first.encode()).path
    send("drone.log", line.format("f7", "three").encode())
    assert dict(document_at(path).items()) == {"f7.csv": b"one\ntwo\nthree\n", "f8.csv": b"x\n"}


@pytest.mark.parametrize(
    "body",
    [b'{"key":"k"}', b"[1]\n", b'{"key":"","value":"x"}', b'{"key":"k","value":"x"}\n{}\n'],
    ids=range(4),
)
def test_record_without_a_key_is_quarantined_with_all_others(
    send: Send, document_at: Sink, body: bytes
) -> None:
    path = send("photos.odd", b'{"key":"first","value":"x"}').path
    assert send("photos.odd", body).status == "quarantined"
    assert list(document_at(path).keys()) == ["first"]


def test_bytes_of_another_policy_do_not_go_into_buckets(send: Send, document_at: Sink) -> None:
    """A stream of files has nothing to append to; the reason says so."""
    send("photos.mixed", b'{"key":"k","value":"x"}')
    receipt = send("photos.mixed", b"plain text")
    assert receipt.status == "quarantined" and "has no records" in document_at(receipt.path).properties.reason

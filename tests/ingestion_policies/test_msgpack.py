"""msgpack: what is msgpack already stays untouched, everything else is packed."""

import msgpack
from tests.ingestion_policies.conftest import Send, Sink

EVENT = msgpack.packb([msgpack.ExtType(0, bytes(7) + b"\1"), {"a": 1}])


def test_body_of_msgpack_stays_as_it_is(send: Send, document_at: Sink) -> None:
    odd = b"\xdd\x00\x00\x00\x02\xcd\x00\x01\x80"  # [1, {}], larger than it need be
    receipt = send("packed.raw", EVENT + odd, "application/msgpack")
    assert document_at(receipt.path).read() == EVENT + odd


def test_other_records_are_packed(send: Send, document_at: Sink) -> None:
    send("packed.lines", EVENT)
    path = send("packed.lines", b'{"b":[1.5,null]}\n', "application/x-ndjson").path
    assert send("packed.lines", b"c,d\n1,x\n", "text/csv").path == path
    found, end = document_at(path).decode()
    assert found[1:] == [{"b": [1.5, None]}, {"c": 1, "d": "x"}] and end == document_at(path).size


def test_object_that_is_cut_is_quarantined(send: Send, document_at: Sink) -> None:
    receipt = send("packed.cut", EVENT[:-1], "application/msgpack")
    assert receipt.status == "quarantined" and "cut short" in document_at(receipt.path).properties.reason

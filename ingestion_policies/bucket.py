"""Bucket: records that name a key go into the Data Bucket Stream of the tag, under that key."""

from typing import Any

import msgspec

from haywain.errors import DeliveryError, NotFoundError
from haywain.ingestion.records import records_of
from haywain.interfaces import Chunk, Route, Targets


class Bucket:
    """Each record is put into the Data Bucket Stream of the tag `sensor.product`, under a key of its own.

    A record `{"key", "value"}` is stored under its key, in place of what is there.  A record
    `{"filepath", "message"}`, as agents send the lines of a file that they follow, is added to the end of the
    bucket of the file's name.  Texts and bytes are stored as they are, other values as JSON.
    """

    name = "bucket"
    title = "Records into buckets, by the key in each"

    def route(self, tag: str) -> Route | None:
        """Return the sink of a tag; every valid tag has one."""
        return Route.of_tag(tag, "Data Bucket Stream")

    def deliver(self, chunk: Chunk, targets: Targets) -> None:
        """Store or extend the bucket of each record."""
        for key, data in _buckets(chunk, targets.sink).items():
            targets.sink.insert(key, bytes(data))


def _buckets(chunk: Chunk, sink: Any) -> dict[str, bytearray]:  # Any: a Data Bucket Stream
    """Return the bytes that each bucket then has, all records of a key together."""
    found: dict[str, bytearray] = {}
    for record in records_of(chunk):
        value = record.value
        if not isinstance(value, dict):
            raise DeliveryError(f"A record is no map, so it has no key: {str(value)[:60]!r}")
        if "key" in value and "value" in value:
            found[_text(value["key"])] = bytearray(_bytes(value["value"]))
        elif "filepath" in value and "message" in value:
            key = _text(value["filepath"]).replace("\\", "/").rpartition("/")[2]
            if key not in found:
                found[key] = bytearray(_there(sink, key))
            found[key] += _bytes(value["message"])
        else:
            has = ", ".join(map(str, value))[:200]
            raise DeliveryError(f"A record needs key and value, or filepath and message; it has {has}")
    return found


def _there(sink: Any, key: str) -> bytes:  # Any: as above
    try:
        return bytes(sink.read(key))
    except NotFoundError:
        return b""


def _text(key: Any) -> str:  # Any: what the record holds
    return key.decode() if isinstance(key, bytes) else str(key)


def _bytes(value: Any) -> bytes:  # Any: as above
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)
